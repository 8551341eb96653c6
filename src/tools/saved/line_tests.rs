use proptest::prelude::*;

use super::*;
use crate::core::model::{Entry, GRE, ICMP, ICMPV6, L4, TCP, TcpState, UDP};

fn shown(line: &str) -> ShownEntry {
    entry(line, true).unwrap_or_else(|why| panic!("{line}: {why}")).expect("an entry")
}

fn read(line: &str) -> Entry {
    shown(line).entry
}

fn why_not(line: &str) -> NoEntryReason {
    entry(line, true).expect_err(line)
}

fn ports(entry: &Entry) -> (u16, u16) {
    match entry.original.l4 {
        L4::Ports { source, destination } => (source, destination),
        other => panic!("{other:?}"),
    }
}

#[test]
fn conntracks_own_form() {
    let line = "tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=192.0.2.9 sport=40000 dport=443 src=192.0.2.9 \
        dst=198.51.100.1 sport=443 dport=1024 [ASSURED] mark=16 zone=7 use=1";
    let tcp = read(line);
    assert_eq!((tcp.original.source.to_string(), tcp.original.protocol), ("10.0.0.1".into(), TCP));
    assert_eq!((ports(&tcp), tcp.timeout_seconds), ((40000, 443), Some(431_999)));
    assert_eq!((tcp.tcp.map(|tcp| tcp.state), tcp.zone, tcp.mark), (Some(TcpState::Established), 7, 16));
    assert!(tcp.status.assured() && tcp.status.seen_reply());
    assert_eq!(tcp.reply.expect("there").destination.to_string(), "198.51.100.1");
}

#[test]
fn extended_with_id_and_counters_and_the_procs_form() {
    let line = "ipv6     10 udp      17 29 src=2001:db8::1 dst=2001:db8::2 sport=1 dport=53 packets=2 bytes=120 \
        [UNREPLIED] src=2001:db8::2 dst=2001:db8::1 sport=53 dport=1 packets=3 bytes=0 mark=0 use=1 id=4027281924";
    let udp = read(line);
    assert_eq!((udp.original.source.to_string(), udp.original.protocol), ("2001:db8::1".into(), UDP));
    assert_eq!((udp.id, udp.packets, udp.status.seen_reply()), (4_027_281_924, Some(5), false));
    let line = "ipv4     2 icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=55 src=10.0.0.2 dst=10.0.0.1 \
        type=0 code=0 id=55 mark=0 zone=0 use=2";
    let icmp = read(line);
    assert_eq!(icmp.original.protocol, ICMP);
    assert_eq!((icmp.original.l4, icmp.id), (L4::Icmp { kind: 8, code: 0, id: 55 }, 0));
    let six = read(
        "icmpv6 58 29 src=fe80::1 dst=fe80::2 type=128 code=0 id=7 src=fe80::2 dst=fe80::1 type=129 code=0 id=7 use=1 id=9",
    );
    assert_eq!((six.original.protocol, six.id), (ICMPV6, 9));
}

#[test]
fn keys_unknown_protocols_offloaded_flows_and_zones_of_one_direction() {
    let gre = read(
        "gre 47 179 src=10.0.0.1 dst=10.0.0.2 srckey=0x10 dstkey=0x0 src=10.0.0.2 dst=10.0.0.1 srckey=0x0 dstkey=0x10 use=1",
    );
    assert_eq!((gre.original.protocol, ports(&gre)), (GRE, (16, 0)));
    for line in [
        "unknown  99 599 src=10.0.0.1 dst=10.0.0.2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 mark=0 use=1",
        "ipv4     2 unknown  99 599 src=10.0.0.1 dst=10.0.0.2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 use=1",
    ] {
        let other = read(line);
        assert_eq!((other.original.protocol, other.original.l4), (99, L4::None), "{line}");
        assert_eq!(other.timeout_seconds, Some(599));
    }
    let line = "ipv4     2 tcp      6 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 zone-orig=3 src=10.0.0.2 dst=10.0.0.1 \
        sport=2 dport=1 zone-reply=4 [OFFLOAD] mark=0 use=2";
    let offloaded = read(line);
    assert_eq!((offloaded.timeout_seconds, offloaded.zone), (None, 3));
    assert_eq!(offloaded.reply_zone, Some(4));
    assert!(offloaded.status.any(Status::OFFLOAD));
    // [OFFLOAD] stands where [ASSURED] would.
    assert_eq!((shown(line).assured_told, shown(line).reply_told), (false, true));
    assert!(!shown(&line.replace("[OFFLOAD]", "[HW_OFFLOAD]")).assured_told);
    assert!(shown(&line.replace("[OFFLOAD] ", "")).assured_told);
}

#[test]
fn what_is_no_entry_says_why() {
    for frame in [
        "",
        "\u{feff}",
        "conntrack v1.4.8 (conntrack-tools): 12 flow entries have been shown.",
        "Dec  1 08:00:00 gw ct[7]: conntrack v1.4.2 (conntrack-tools): 1 flow entries have been shown.",
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
        "<conntrack>",
        "</conntrack>",
        "-- Logs begin at Tue 2026-11-20 08:00:00 UTC. --",
    ] {
        assert_eq!(entry(frame, true), Ok(None), "{frame}");
    }
    for line in [
        "tcp",
        "tcp 6",
        "tcp 17 1 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2",
        "tcp 6 1 src=10.0.0.1 dst=10.0.0.256 sport=1 dport=2",
        "tcp 6 1 src=10.0.0.1 dst=2001:db8::1 sport=1 dport=2",
        "tcp 6 1 src=10.0.0.1 dst=10.0.0.2 sport=65536 dport=2",
        "tcp 6 1 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst",
        "udp 17 1 src=10.0.0.1 dst=10.0.0.2 src=10.0.0.1 dst=10.0.0.2 src=10.0.0.1 dst=10.0.0.2",
        "    [NEW] tcp      6 120 SYN_SENT src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2",
        "hello world",
        "udp 17 1 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=0 us",
    ] {
        assert!(entry(line, true).is_err(), "{line}");
    }
}

const TCP_LINE: &str = "tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=192.0.2.9 sport=40000 dport=443 src=192.0.2.9 \
    dst=198.51.100.1 sport=443 dport=1024 [ASSURED] mark=16 use=1";
const UDP_LINE: &str = "udp      17 19 src=10.0.0.1 dst=10.0.9.10 sport=55850 dport=53 [UNREPLIED] src=10.0.9.10 \
    dst=10.0.0.1 sport=53 dport=55850 mark=0 use=1";

#[test]
fn what_logs_and_tools_put_before_a_line_changes_nothing() {
    for prefix in [
        "\u{feff}",
        // RFC 3164, of syslogd, busybox and logread; journalctl's short and short-precise.
        "Jun  6 13:13:20 gw ct[77]: ",
        "<13>Jun 17 13:13:20 gw ct: ",
        "Jun 17 13:13:20 gw user.notice root: ",
        "Tue Jun  6 13:13:20 2026 user.notice root: ",
        "Jun 06 13:13:20.123456 gw ct[6]: ",
        // RFC 3339 and 5424; journalctl's short-iso, short-full, short-unix and short-monotonic.
        "2026-06-06T13:13:20.123456+00:00 gw ct[77]: ",
        "<13>1 2026-06-06T13:13:20Z gw ct 77 - - ",
        "<13>1 2026-06-06T13:13:20Z gw ct 77 - - \u{feff}",
        "<13>1 - gw ct - - - ",
        "<13>1 2026-06-06T13:13:20Z gw ct 77 ID [x@1 a=\"6 b\"] ",
        "2026-06-06T13:13:20+0000 gw ct[77]: ",
        "Tue 2026-06-06 13:13:20 UTC gw ct[77]: ",
        "1780751600.123456 gw ct[77]: ",
        "[  123.456789] gw ct[77]: ",
        "MESSAGE=",
        // grep, with a number, of a path with a blank; pdsh; cat -n.
        "saved.txt:",
        "saved.txt:12:",
        "/var/log/my dump.6:17:",
        "gw1: ",
        "     17\t",
        // kubectl logs, docker compose logs, the log file of a container.
        "2026-06-06T13:13:20.123456789Z ",
        "[pod/gw-6/ct] ",
        "[pod/gw-6/ct] 2026-06-06T13:13:20.123456789Z ",
        "gw-1  | ",
        "2026-06-06T13:13:20.123456789Z stdout F ",
        // ts(1) and others.
        "Jun 06 13:13:20 ",
        "13:13:20.5 ",
        "2026-06-06 13:13:20 ",
        "2026-06-06 13:13:20,123 +0200 ",
        "2026-06-06 13:13:20 UTC ",
        "[2026-06-06 13:13:20] ",
        "20260606T131320Z ",
        "1780751600.123456 ",
    ] {
        for line in [TCP_LINE, UDP_LINE] {
            assert_eq!(shown(&format!("{prefix}{line}")), shown(line), "{prefix}");
            let extended = format!("{prefix}ipv4     2 {line}\r\n");
            assert_eq!(shown(&extended), shown(line), "{extended}");
        }
    }
    for (before, after) in [
        ("{\"MESSAGE\":\"", "\",\"_PID\":\"6\"}"),
        ("{\"log\":\"", "\\n\",\"stream\":\"stdout\",\"time\":\"2026-06-06T13:13:20Z\"}"),
    ] {
        assert_eq!(shown(&format!("{before}{UDP_LINE}{after}")), shown(UDP_LINE));
    }
}

#[test]
fn other_words_before_a_line_are_no_prefix() {
    for prefix in [
        "Jun 6 ",
        "gw 6 ",
        "# ",
        "#",
        "< ",
        "> ",
        "+",
        "-",
        "- ",
        "// ",
        "deleted ",
        "tcp 6 431999 ESTABLISHED ",
        "17 19 ",
        "saved.txt-12-",
        "mark=0 use=1 ",
        "[ASSURED] ",
        "x=",
        "2026-06-06T13:13:20Z stdout P ",
        "{",
        "\"",
        "\u{a0}",
    ] {
        let line = format!("{prefix}{UDP_LINE}");
        assert!(entry(&line, true).is_err(), "{line}: {:?}", entry(&line, true));
    }
    for event in
        ["    [NEW] ", " [UPDATE] ", "[DESTROY] ", "[1796094580.414001]\t    [NEW] ", "f:1:[NEW] ipv4 2 "]
    {
        assert_eq!(why_not(&format!("{event}{UDP_LINE}")), EVENT);
    }
    // Events have no use=, and name the program that caused them.
    let by_hand = "[UPDATE] udp 17 200 src=10.1.0.2 dst=192.0.2.9 sport=1 dport=53 [UNREPLIED] src=192.0.2.9 dst=10.1.0.2 \
        sport=53 dport=1 mark=0 id=2319315041 [USERSPACE] portid=27458 progname=a tcp";
    assert_eq!(why_not(by_hand), EVENT);
    let expected = "300 proto=6 src=10.0.0.1 dst=10.0.0.2 sport=0 dport=5 mask-src=255.255.255.255 mask-dst=255.255.255.255";
    assert_eq!(why_not(expected), "an expectation and no entry");
    assert!(entry("EXPECTING: 100 use=1 proto=17 src=10.0.0.1 dst=10.0.0.2 sport=0 dport=5", true).is_err());
}

#[test]
fn proc_of_every_kernel() {
    for (line, protocol, left) in [
        // 2.4 and 2.6: ip_conntrack, without a name of layer 3.
        (
            "tcp      6 117 SYN_SENT src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=2 \
          dport=1 use=1 ",
            6,
            Some(117),
        ),
        (
            "udp      17 28 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 packets=1 bytes=60 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 \
          packets=1 bytes=60 [ASSURED] mark=0 secmark=0 use=1",
            17,
            Some(28),
        ),
        (
            "icmp     1 18 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=512 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=512 use=1",
            1,
            Some(18),
        ),
        (
            "unknown  2 520 src=10.0.0.1 dst=224.0.0.1 [UNREPLIED] src=224.0.0.1 dst=10.0.0.1 use=1",
            2,
            Some(520),
        ),
        // Expired: negative until 4.6, and huge in 2.4.
        (
            "ipv4     2 udp      17 -3 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=0 \
          secmark=0 use=2",
            17,
            Some(0),
        ),
        (
            "udp      17 42949672 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 use=1",
            17,
            Some(42_949_672),
        ),
        // 3.x and later.
        (
            "ipv4     2 gre      47 298 timeout=30, stream_timeout=180 src=10.0.0.5 dst=192.0.2.9 srckey=0x10 dstkey=0x11 \
          [UNREPLIED] src=192.0.2.9 dst=10.0.0.5 srckey=0x11 dstkey=0x10 mark=0 zone=0 delta-time=1 use=2",
            47,
            Some(298),
        ),
        (
            "ipv4     2 unknown  33 298 src=10.0.0.6 dst=192.0.2.9 [UNREPLIED] src=192.0.2.9 dst=10.0.0.6 mark=0 zone=0 use=2",
            33,
            Some(298),
        ),
        (
            "ipv6     10 tcp      6 src=fd00:0000:0000:0000:0000:0000:0000:0001 dst=fd00::2 sport=1 dport=2 src=fd00::2 dst=fd00::1 \
          sport=2 dport=1 [HW_OFFLOAD] mark=0 secctx=unconfined (enforce) zone=0 use=3",
            6,
            None,
        ),
    ] {
        let entry = read(line);
        assert_eq!((entry.original.protocol, entry.timeout_seconds), (protocol, left), "{line}");
    }
    let family = TCP_LINE.replace("tcp  ", "ipv6     10 tcp  ");
    assert_eq!(why_not(&family), "addresses of another family");
}

#[test]
fn extended_with_labels_and_kernel_timestamps() {
    let line = format!(
        "ipv4     2 {} delta-time=1 [start=Tue Dec  1 03:09:37 2026] helper=ftp use=1 id=2518685622 labels=a,b",
        TCP_LINE.trim_end_matches(" use=1")
    );
    let entry = read(&line);
    assert_eq!((entry.id, entry.helper, entry.mark), (2_518_685_622, true, 16));
    assert_eq!(why_not(&line.replace(" 2026]", "")), CUT);
}

#[test]
fn states_are_tcps_alone() {
    let line = |protocol: &str, state: &str| {
        TCP_LINE.replace("tcp      6 431999 ESTABLISHED", &format!("{protocol} 210 {state}"))
    };
    for other in ["sctp     132", "dccp     33", "udplite  136"] {
        assert_eq!(read(&line(other, "ESTABLISHED")).tcp, None, "{other}");
        assert_eq!(read(&line(other, "COOKIE_WAIT")).tcp, None);
    }
    assert_eq!(read(&line("tcp 6", "TIME_WAIT")).tcp.map(|tcp| tcp.state), Some(TcpState::TimeWait));
    assert_eq!(why_not(&line("tcp 6", "COOKIE_WAIT")), "a state that TCP does not have");
}

const FLOW: &str = "<flow><meta direction=\"original\"><layer3 protonum=\"2\" protoname=\"ipv4\"><src>10.0.0.1</src><dst>192.0.2.9\
    </dst></layer3><layer4 protonum=\"6\" protoname=\"tcp\"><sport>40000</sport><dport>443</dport></layer4><counters><packets>2\
    </packets><bytes>0</bytes></counters></meta><meta direction=\"reply\"><layer3 protonum=\"2\" protoname=\"ipv4\"><src>192.0.2.9\
    </src><dst>198.51.100.1</dst></layer3><layer4 protonum=\"6\" protoname=\"tcp\"><sport>443</sport><dport>1024</dport></layer4>\
    </meta><meta direction=\"independent\"><state>ESTABLISHED</state><timeout>431999</timeout><mark>16</mark><use>1</use><id>7</id>\
    <assured/><timestamp><start>1796094577766184853</start></timestamp><deltatime>2</deltatime></meta></flow>";

#[test]
fn xml_says_the_same() {
    let expected = Entry { id: 7, packets: Some(2), ..read(TCP_LINE) };
    assert_eq!(read(FLOW), expected);
    assert_eq!(read(&format!("Jun  6 13:13:20 gw ct[77]: {FLOW}")), expected);
    let unreplied = read(&FLOW.replace("<assured/>", "<unreplied/>").replace("<zone>", ""));
    assert!(!unreplied.status.seen_reply() && !unreplied.status.assured());
    // Its SCTP states are TCP's names of the same number.
    let sctp = read(&FLOW.replace("protonum=\"6\"", "protonum=\"132\""));
    assert_eq!((sctp.original.protocol, sctp.tcp), (132, None));
    assert_eq!(why_not(&FLOW.replace("<flow>", "<flow type=\"new\">")), EVENT);
    assert!(entry(&FLOW[..FLOW.len() - 1], true).is_err() && entry("<flow></flow>", true).is_err());
}

#[test]
fn the_options_of_save_say_the_same() {
    let line = "-A -t 431999 -u SEEN_REPLY,ASSURED -s 10.0.0.1 -d 192.0.2.9 -r 192.0.2.9 -q 198.51.100.1 -p tcp --sport 40000 \
        --dport 443 --reply-port-src 443 --reply-port-dst 1024 --state ESTABLISHED";
    assert_eq!(read(line), Entry { mark: 0, ..read(TCP_LINE) });
    assert_eq!(read(&format!("saved.txt:3:{line}")), read(line));
    let icmp = read(
        "-A -t 298 -u UNSET -w 7 -s fd00::1 -d fd00::2 -r fd00::2 -q fd00::1 -p icmpv6 --icmpv6-type 128 \
        --icmpv6-code 0 --icmpv6-id 5",
    );
    assert_eq!((icmp.original.l4, icmp.zone), (L4::Icmp { kind: 128, code: 0, id: 5 }, 7));
    assert!(!icmp.status.seen_reply());
    let other =
        read("-A -t 299 -u UNSET --orig-zone 3 -s 10.0.0.7 -d 192.0.2.9 -g 192.0.2.9 -n 10.0.0.7 -p 99");
    assert_eq!((other.original.protocol, other.zone, other.reply_zone), (99, 3, Some(0)));
    for event in ["-U", "-D"] {
        assert_eq!(why_not(&line.replace("-A", event)), EVENT);
    }
    assert!(entry(line, false).is_err(), "its end could be missing");
    for other in ["-A INPUT -p tcp --dport 22 -j ACCEPT", "-A", "-A -s", "-A -t 1 -p tcp", "x -A -p 6"] {
        assert!(entry(other, true).is_err(), "{other}");
    }
}

#[test]
fn open_vswitch_tells_no_status_unless_asked() {
    let line = "tcp,orig=(src=10.0.0.1,dst=192.0.2.9,sport=40000,dport=443),reply=(src=192.0.2.9,dst=198.51.100.1,sport=443,\
        dport=1024),zone=5,mark=16,labels=0x2,protoinfo=(state=ESTABLISHED),helper=ftp";
    let bare = shown(line);
    assert_eq!(
        bare.entry,
        Entry { zone: 5, helper: true, timeout_seconds: None, status: bare.entry.status, ..read(TCP_LINE) }
    );
    assert_eq!((bare.assured_told, bare.reply_told), (false, false));
    let verbose = line.replace(",mark", ",status=SEEN_REPLY|CONFIRMED,timeout=9,mark");
    let verbose = shown(
        &verbose.replace("state=ESTABLISHED", "state_orig=ESTABLISHED,state_reply=ESTABLISHED,wscale_orig=7"),
    );
    assert!(verbose.assured_told && verbose.entry.status.seen_reply() && !verbose.entry.status.assured());
    assert_eq!(verbose.entry.tcp.map(|tcp| tcp.state), Some(TcpState::Established));
    let icmp = "icmp,orig=(src=10.1.1.1,dst=10.1.1.2,id=7,type=8,code=0),reply=(src=10.1.1.2,dst=10.1.1.1,id=7,type=0,code=0)";
    assert_eq!(read(&format!("gw: {icmp}")).original.l4, L4::Icmp { kind: 8, code: 0, id: 7 });
    assert!(entry(line, false).is_err() && entry(&line[..line.len() - 20], true).is_err());
}

/// Returns the line of one UDP entry in four forms.
fn forms(source: u32, port: u16, reply: bool) -> Vec<String> {
    let (from, unreplied) = (std::net::Ipv4Addr::from(source), if reply { "" } else { "[UNREPLIED] " });
    let plain = format!(
        "udp      17 29 src={from} dst=192.0.2.9 sport={port} dport=53 {unreplied}src=192.0.2.9 dst={from} sport=53 \
         dport={port} mark=0 use=1"
    );
    let status = if reply { "SEEN_REPLY" } else { "UNSET" };
    vec![
        format!("ipv4     2 {plain}"),
        format!("{plain} id=4027281924"),
        format!(
            "-A -t 29 -u {status} -s {from} -d 192.0.2.9 -r 192.0.2.9 -q {from} -p udp --sport {port} --dport 53 \
             --reply-port-src 53 --reply-port-dst {port}"
        ),
        plain,
    ]
}

proptest! {
    #[test]
    fn no_text_is_a_panic(
        line in "(ipv4 |unknown |tcp |6 |99 |src=|dst=|10\\.0\\.0\\.1 |zone=|id=|code=|0x|\\[ASSURED\\] |<flow>|</flow>|<meta direction=\"|\
            ,orig=\\(src=|-A |-p |-s |\\{|\"log\":|[0-9]{1,12} |.){0,30}",
        ended in any::<bool>(),
    ) {
        let _ = entry(&line, ended);
    }

    /// After any prefix, a line is read as the entry that it shows, or as none: never as another one.
    #[test]
    fn a_line_with_anything_before_it_is_right_or_unreadable(
        source in any::<u32>(), port in any::<u16>(), reply in any::<bool>(), which in 0_usize..4,
        before in "(Jun  6 |Jul 17 |tcp |udp |6 |17 |gw |ct\\[6\\]: |f:|f:12:|<13>1 |2026-06-06T13:13:20Z |\u{feff}|[a-z]{1,4}|\
            [0-9]{1,3} |\\[NEW\\] |- |ipv4 2 |src=|.){0,6}",
    ) {
        let line = &forms(source, port, reply)[which];
        let right = shown(line).entry;
        if let Ok(found) = entry(&format!("{before}{line}"), true) {
            prop_assert_eq!(found.map(|shown| shown.entry), Some(right), "{}{}", before, line);
        }
    }

    /// A line that is cut, or cut and joined with the next, is no entry, unless only fields without meaning here are
    /// cut.
    #[test]
    fn a_line_that_is_cut_is_right_or_unreadable(
        source in any::<u32>(), port in any::<u16>(), which in 0_usize..4, next in 0_usize..4, cut in any::<prop::sample::Index>(),
    ) {
        let whole = &forms(source, port, true)[which];
        let right = shown(whole).entry;
        let part = &whole[..cut.index(whole.len())];
        let same = |found: &ShownEntry| Entry { id: right.id, ..found.entry } == right;
        if let Ok(Some(found)) = entry(part, false) {
            prop_assert!(same(&found), "{}", part);
        }
        let other = &forms(!source, port, false)[next];
        if let Ok(Some(found)) = entry(&format!("{part}{other}"), true) {
            prop_assert_eq!(found.entry, shown(other).entry, "{}{}", part, other);
            prop_assert!(!part.contains("src=") && !part.contains("-s "), "{}{}", part, other);
        }
    }
}
