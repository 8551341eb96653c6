use super::*;

fn writes(script: &str) -> Vec<(String, Option<String>, bool)> {
    let commands = shell::commands("/x", script);
    let all = commands.iter().flat_map(of);
    all.map(|w| (w.name().unwrap_or(&w.key).to_owned(), w.value, w.torn.is_some())).collect()
}

#[track_caller]
fn are(script: &str, expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| (name.to_string(), Some(value.to_string()), false)).collect();
    assert_eq!(writes(script), expected, "{script}");
}

#[test]
fn forms_of_writing_are_told_apart() {
    are("sysctl -w net.netfilter.nf_conntrack_max=5", &[("max", "5")]);
    are("sysctl -w \"net.netfilter.nf_conntrack_max = 5\"", &[("max", "5")]);
    are(
        "sysctl -qw net.nf_conntrack_max=5 net/netfilter/nf_conntrack_acct=1",
        &[("max", "5"), ("acct", "1")],
    );
    are("sysctl net..netfilter.nf_conntrack_max=5", &[("max", "5")]);
    are("/sbin/sysctl -e -q -w net.netfilter.nf_conntrack_max='5' && true", &[("max", "5")]);
    for script in [
        "echo 5 > /proc/sys/net/netfilter/nf_conntrack_max",
        "echo 5 >/proc/sys/net//netfilter/nf_conntrack_max",
        "echo \"5\" | tee /proc/sys/net/netfilter/nf_conntrack_max",
        "echo 5 | sudo tee -a /proc/sys/net/netfilter/nf_conntrack_max >/dev/null",
        "printf '%s\\n' 5 > /proc/sys/net/netfilter/nf_conntrack_max",
        "printf 5 >> /proc/sys/net/netfilter/nf_conntrack_max",
        "tee /proc/sys/net/netfilter/nf_conntrack_max <<< 5",
        "cat > /proc/sys/net/netfilter/nf_conntrack_max <<EOF\n5\nEOF\n",
        "cat <<EOF | tee /proc/sys/net/netfilter/nf_conntrack_max\n5\nEOF\n",
        "sysctl -p - <<EOF\n# ours\nnet.netfilter.nf_conntrack_max = 5\nnet.ipv4.ip_forward = 1\nEOF\n",
        "cat <<EOF | sysctl -e -p /dev/stdin >/dev/null\nnet.netfilter.nf_conntrack_max=5\nEOF\n",
        "MAX=5\nP=/proc/sys/net/netfilter\necho $MAX > ${P}/nf_conntrack_max\n",
        "sh -c 'echo 5 > /proc/sys/net/netfilter/nf_conntrack_max'",
        "sudo bash -ec \"sysctl -w net.netfilter.nf_conntrack_max=5\"",
        "if true; then nice -n 5 sysctl -w net.netfilter.nf_conntrack_max=5; fi",
        "for i in a; do ( env A=b sysctl -w net.netfilter.nf_conntrack_max=5 ) & done",
        "sysctl -w \\\n  net.netfilter.nf_conntrack_max=5",
        "X=$(sysctl -w net.netfilter.nf_conntrack_max=5)",
    ] {
        are(script, &[("max", "5")]);
    }
    are("echo 65536 > /sys/module/nf_conntrack/parameters/hashsize", &[("buckets", "65536")]);
    are("sysctl -w net.netfilter.nf_conntrack_max=$MAX", &[("max", "$MAX")]);
    // A number right in front of `>` is a file's number to a shell, and an empty line is what is written.
    are("echo 5> /proc/sys/net/netfilter/nf_conntrack_max", &[]);
    for unknown in ["expr 5 + 1", "cat /etc/ct.max", ":"] {
        let script = format!("{unknown} > /proc/sys/net/netfilter/nf_conntrack_max");
        assert_eq!(writes(&script), [("max".to_owned(), None, false)], "{script}");
    }
}

#[test]
fn what_reads_writes_nothing() {
    for script in [
        "cat /proc/sys/net/netfilter/nf_conntrack_max",
        "echo x > /tmp/y; cat /proc/sys/net/netfilter/nf_conntrack_max >> /tmp/y",
        "MAX=$(sysctl -n net.netfilter.nf_conntrack_max)",
        "nf_conntrack_max=$(sysctl -n net.netfilter.nf_conntrack_max)",
        "nf_conntrack_max=5",
        "# echo 5 > /proc/sys/net/netfilter/nf_conntrack_max",
        "sysctl net.netfilter.nf_conntrack_count",
        "sysctl -p /etc/sysctl.d/90-conntrack.conf",
        "sysctl --system net.netfilter.nf_conntrack_max",
        "sysctl -a | grep nf_conntrack_max=5",
        "modprobe nf_conntrack_ftp",
        "grep -q \"^net.netfilter.nf_conntrack_max=\" /etc/sysctl.conf",
        "sed -i 's/nf_conntrack_max=.*/nf_conntrack_max=5/' /etc/sysctl.conf",
        "echo net.netfilter.nf_conntrack_max=5 >> /etc/sysctl.conf",
        "echo \"sysctl -w net.netfilter.nf_conntrack_max=5\"",
        "cat > /etc/sysctl.d/x.conf <<'EOF'\nnet.netfilter.nf_conntrack_max = 5\nsysctl -w net.nf_conntrack_max=5\nEOF\n",
        "read max < /proc/sys/net/netfilter/nf_conntrack_max",
        "[ \"$(cat /proc/sys/net/netfilter/nf_conntrack_max)\" -gt 5 ]",
        "while read -r l; do :; done < /proc/sys/net/netfilter/nf_conntrack_max",
        "ip netns exec blue sysctl -w net.netfilter.nf_conntrack_max=5",
        "ssh gw 'sysctl -w net.netfilter.nf_conntrack_max=5'",
        "awk '{ print > \"/proc/sys/net/netfilter/nf_conntrack_max\" }' /dev/null",
        "sysctl -w net.ipv4.vs.conntrack=1",
        "sysctl -w net.ipv4.conf.conntrack0.rp_filter=1",
    ] {
        are(script, &[]);
    }
}

#[test]
fn assignments_in_several_words_are_torn() {
    for script in [
        "sysctl -w net.netfilter.nf_conntrack_max = 5",
        "sysctl net.netfilter.nf_conntrack_max= 5",
        "sysctl net.netfilter.nf_conntrack_max =5",
        "sysctl -w net.netfilter.nf_conntrack_max 5",
    ] {
        assert_eq!(writes(script), [("max".to_owned(), Some("5".to_owned()), true)], "{script}");
    }
}

#[test]
fn a_command_is_cut_out_of_its_line() {
    for (script, cut) in [
        ("sysctl -w net.nf_conntrack_max=5 && echo done", "sysctl -w net.nf_conntrack_max=5"),
        (
            "  if x; then echo 5 > /proc/sys/net/nf_conntrack_max; fi # why",
            "echo 5 > /proc/sys/net/nf_conntrack_max",
        ),
        (
            "x && \\\n sysctl -q -w \\\n  net.nf_conntrack_max=5 \\\n || y",
            "sysctl -q -w   net.nf_conntrack_max=5",
        ),
    ] {
        let commands = shell::commands("/x", script);
        let written: Vec<Write> = commands.iter().flat_map(of).collect();
        let [write] = written.as_slice() else { panic!("{written:?}") };
        let command = write.command.as_ref().expect("a command");
        assert_eq!(command.text().unwrap_or("-"), cut);
    }
}
