use super::SysctlProgram::{Busybox, Procps, Systemd};
use super::*;

const KEY: &str = "net.netfilter.nf_conntrack_udp_timeout";
const PATH: &str = "net/netfilter/nf_conntrack_udp_timeout";

#[test]
fn lines_are_understood_as_systemd_and_procps_do() {
    for program in [Systemd, Procps] {
        let line = |text: &str| {
            let line = of_line(1, text, program);
            (line.key, line.value, line.may_fail)
        };
        let is = |key: &str, value: &str, may_fail| (key.to_owned(), Some(value.to_owned()), may_fail);
        assert_eq!(line("net.a.b = 5"), is("net/a/b", "5", false));
        assert_eq!(line("net/a/b=5 6"), is("net/a/b", "5 6", false));
        assert_eq!(line("-net.a.b=5"), is("net/a/b", "5", true));
        assert_eq!(line("net.ipv4.conf.eth0/200.x=1"), is("net/ipv4/conf/eth0.200/x", "1", false));
        assert_eq!(line("net/ipv4/conf/eth0.200/x=1"), is("net/ipv4/conf/eth0.200/x", "1", false));
        assert_eq!(line("net.a.b == 5"), is("net/a/b", "= 5", false));
        assert_eq!(line("-net.a.b"), ("net/a/b".into(), None, true));
        assert_eq!(line("="), is("", "", false));
    }
}

/// As seen on Linux 6.18 with each of the programs: whether the value is then in force.
#[test]
fn spellings_reach_the_value_where_the_program_takes_them() {
    for (key, systemd, procps, busybox) in [
        (KEY, true, true, true),
        (PATH, true, true, true),
        ("/net/netfilter/nf_conntrack_udp_timeout", true, true, false),
        (".net.netfilter.nf_conntrack_udp_timeout", true, true, false),
        ("/proc/sys/net/netfilter/nf_conntrack_udp_timeout", false, false, true),
        ("-net.netfilter.nf_conntrack_udp_timeout", true, true, false),
        ("- net.netfilter.nf_conntrack_udp_timeout", true, false, false),
        ("net.netfilter.nf_conntrack_udp_timeout.", true, false, false),
        ("net/netfilter/nf_conntrack_udp_timeout/", true, false, false),
        ("net..netfilter.nf_conntrack_udp_timeout", true, true, true),
        ("net//netfilter/nf_conntrack_udp_timeout", true, true, true),
        ("net/./netfilter/nf_conntrack_udp_timeout", true, true, true),
        ("net/netfilter.nf_conntrack_udp_timeout", false, false, true),
        ("net.netfilter/nf_conntrack_udp_timeout", false, false, false),
        ("net.netfilter. nf_conntrack_udp_timeout", false, false, false),
        ("\u{a0}net.netfilter.nf_conntrack_udp_timeout", false, false, false),
        ("net.netfilter.nf_conntrack_udp_timeout\u{a0}", false, false, false),
        ("\u{feff}net.netfilter.nf_conntrack_udp_timeout", false, false, false),
        ("Net.netfilter.nf_conntrack_udp_timeout", false, false, false),
        ("\"net.netfilter.nf_conntrack_udp_timeout\"", false, false, false),
    ] {
        for (program, reached) in [(Systemd, systemd), (Procps, procps), (Busybox, busybox)] {
            let found = lines(&format!("{key} = 77\n"), program).lines;
            assert_eq!(found[0].key == PATH, reached, "{key:?} by {program:?}: {:?}", found[0]);
            assert_eq!(found[0].value.as_deref(), Some("77"), "{key:?} by {program:?}");
        }
    }
}

#[test]
fn busybox_alone_continues_lines() {
    let text = format!("# note \\\n{KEY} = 1\n{KEY} = \\\n77\nx = 1\n");
    let at = |program| -> Vec<(u32, u32, String)> {
        lines(&text, program).lines.into_iter().map(|l| (l.line, l.last, l.text)).collect()
    };
    let one = |line, last, text: &str| (line, last, text.to_owned());
    assert_eq!(at(Busybox), [one(3, 4, &format!("{KEY} = 77")), one(5, 5, "x = 1")]);
    let four = [
        one(2, 2, &format!("{KEY} = 1")),
        one(3, 3, &format!("{KEY} = \\")),
        one(4, 4, "77"),
        one(5, 5, "x = 1"),
    ];
    assert_eq!(at(Systemd), four);
    assert_eq!(at(Procps), four);
    assert_eq!(lines(&text, Busybox).total, 5);
}

#[test]
fn a_no_break_space_is_a_part_of_the_value() {
    for program in [Systemd, Procps, Busybox] {
        let value = |text: &str| lines(text, program).lines.remove(0).value.expect("a value");
        assert_eq!(value("a =\u{a0}77\r\n"), "\u{a0}77");
        assert_eq!(value("a = \t77 \r\n"), "77");
    }
    assert_eq!(lines("a = 77\u{c}\n", Systemd).lines[0].value.as_deref(), Some("77\u{c}"));
    assert_eq!(lines("a = 77\u{c}\n", Procps).lines[0].value.as_deref(), Some("77"));
}
