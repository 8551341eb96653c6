//! The filters as they are written.

use clap::Parser;
use proptest::prelude::*;

use super::*;

/// A command with filters and an option of its own.
#[derive(Parser, Debug)]
struct Line {
    #[command(flatten)]
    filters: FilterArguments,
    #[arg(short = 'n', default_value_t = 0)]
    limit: u64,
}

fn parse(line: &[&str]) -> Result<Filters, String> {
    let line = std::iter::once(&"ctctl").chain(line);
    Line::try_parse_from(line).map(|line| line.filters.0).map_err(|error| error.render().to_string())
}

fn shown(line: &[&str]) -> String {
    parse(line).expect("filters").to_string()
}

#[test]
fn short_and_long_are_the_same() {
    let long = ["--source", "10.0.0.0/8", "--destination", "::/0", "--proto", "udp", "--mark", "0x1/0xff"];
    let short = ["-s", "10.0.0.0/8", "-d", "::/0", "-p", "17", "-m", "1/255"];
    assert_eq!(parse(&long), parse(&short));
    assert_eq!(shown(&["-w", "7", "-f", "ipv6"]), "--family ipv6 --zone 7");
    assert_eq!(
        shown(&["--family=INET6", "-p1", "-s10.0.0.1"]),
        "--family ipv6 --proto icmp --source 10.0.0.1"
    );
}

#[test]
fn not_takes_the_filter_that_follows_and_no_other() {
    assert_eq!(
        shown(&["-s", "10.0.0.1", "--not", "--dport", "53", "--unreplied", "-s", "10.0.0.2"]),
        "--unreplied --source 10.0.0.1 --source 10.0.0.2 --not --dport 53"
    );
    assert_eq!(shown(&["--unreplied", "--not", "--assured"]), "--unreplied --not --assured");
    assert_eq!(shown(&["--not", "--assured", "--unreplied"]), "--unreplied --not --assured");
    assert_eq!(shown(&["--not", "--assured", "--assured"]), "--assured --not --assured");
    assert_eq!(
        shown(&["--not", "-s", "10.0.0.1", "-n", "3", "--not", "-p", "tcp"]),
        "--not --proto tcp --not --source 10.0.0.1"
    );
    assert_eq!(shown(&["--not", "-n", "3", "-p", "tcp"]), "--not --proto tcp");
    for (line, why) in [
        (&["--not"][..], "no filter follows '--not'"),
        (&["-s", "10.0.0.1", "--not"], "no filter follows '--not'"),
        (&["--not", "--not", "-s", "10.0.0.1"], "'--not' stands twice before one filter"),
    ] {
        let error = parse(line).expect_err("refused");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn states_are_read_as_conntrack_writes_them_too() {
    assert_eq!(shown(&["--state", "time-wait"]), "--state time-wait");
    assert_eq!(parse(&["--state", "TIME_WAIT"]), parse(&["--state", "time-wait"]));
    assert_eq!(parse(&["--state", "ESTABLISHED"]), parse(&["--state", "established"]));
    for state in TcpState::ALL {
        assert_eq!(shown(&["--state", state.name()]), format!("--state {state}"));
    }
}

#[test]
fn the_nearest_right_one_is_named() {
    for (line, near) in [
        (["--state", "establishd"], "'established'"),
        (["--state", "timewait"], "'time-wait'"),
        (["--proto", "udplit"], "'udplite'"),
        (["--proto", "icmp6"], "'icmpv6'"),
        (["--family", "ip4"], "'ipv4'"),
        (["--sprot", "80"], "'--sport'"),
        (["--nat-sorce", "10.0.0.1"], "'--nat-source'"),
    ] {
        let error = parse(&line).expect_err("refused");
        let tip = error.lines().find(|line| line.contains("tip: ")).unwrap_or_default();
        assert!(tip.contains(near), "{line:?}: {error}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    for line in [
        ["--source", "10.0.0.0/33"],
        ["--source", "example.org"],
        ["--sport", "65536"],
        ["--sport", "-1"],
        ["--sport", "+1"],
        ["--sport", "http"],
        ["--proto", "256"],
        ["--proto", ""],
        ["--idle-over", "1h30"],
        ["--idle-over", "-90s"],
        ["--mark", "0x100/0xff"],
        ["--mark", "1/0"],
        ["--mark", "0x1_0"],
        ["--zone", "65536"],
        ["--family", "ipx"],
    ] {
        assert!(parse(&line).is_err(), "{line:?}");
    }
    assert_eq!(shown(&["--idle-over", "100d"]), "--idle-over 100d");
}

proptest! {
    #[test]
    fn what_is_shown_reads_back(given in proptest::collection::vec(any_filter(), 0..8)) {
        let filters = Filters::new(given);
        let shown = filters.to_string();
        let words: Vec<&str> = shown.split_whitespace().collect();
        prop_assert_eq!(parse(&words), Ok(filters));
    }
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let net = (any::<u128>(), 0u8..=128, any::<bool>()).prop_map(|(bits, length, v4)| {
        let address: std::net::IpAddr = if v4 {
            std::net::Ipv4Addr::from(bits as u32).into()
        } else {
            std::net::Ipv6Addr::from(bits).into()
        };
        let length = if v4 { length % 33 } else { length };
        ipnet::IpNet::new(address, length).expect("a length").trunc()
    });
    let wanted = prop_oneof![
        prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)].prop_map(Wanted::Family),
        any::<u8>().prop_map(Wanted::Protocol),
        any::<u16>().prop_map(Wanted::Zone),
        any::<u16>().prop_map(Wanted::SourceZone),
        (any::<u32>(), 1u32..).prop_map(|(value, mask)| Wanted::Mark(Mark { value: value & mask, mask })),
        Just(Wanted::Unreplied),
        Just(Wanted::Assured),
        (0u8..10).prop_map(|state| Wanted::State(TcpState::from_kernel(state))),
        any::<u16>().prop_map(Wanted::SourcePort),
        any::<u16>().prop_map(Wanted::DestinationPort),
        net.clone().prop_map(Wanted::Source),
        net.clone().prop_map(Wanted::Destination),
        net.clone().prop_map(Wanted::ReplySource),
        net.clone().prop_map(Wanted::ReplyDestination),
        net.prop_map(Wanted::NatSource),
        any::<u16>().prop_map(Wanted::NatPort),
        // A hundred years are the longest duration.
        (0u32..3_000_000_000).prop_map(Wanted::IdleOver),
    ];
    (any::<bool>(), wanted).prop_map(|(negated, wanted)| Filter { negated, wanted })
}
