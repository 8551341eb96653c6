//! The real binary on saved tables: no root, no kernel, no agent.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const TEXT: &str = "\
tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=192.0.2.9 sport=40000 dport=443 src=192.0.2.9 dst=198.51.100.1 sport=443 dport=1024 [ASSURED] mark=16 use=1
udp      17 29 src=10.0.0.2 dst=192.0.2.9 sport=5000 dport=53 [UNREPLIED] src=192.0.2.9 dst=10.0.0.2 sport=53 dport=5000 mark=0 use=1
ipv4     2 udp      17 29 src=10.0.0.2 dst=192.0.2.9 sport=5001 dport=53 [UNREPLIED] src=192.0.2.9 dst=10.0.0.2 sport=53 dport=5001 mark=0 zone=7 use=1 id=77
ipv6     10 icmpv6   58 29 src=fd00::1 dst=fd00::2 type=128 code=0 id=5 src=fd00::2 dst=fd00::1 type=129 code=0 id=5 mark=0 use=2
conntrack v1.4.8 (conntrack-tools): 4 flow entries have been shown.
";

fn read(arguments: &[&str], text: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctctl"));
    command.args(["top-sources", "--input", "-"]).args(arguments).env_remove("COLUMNS");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // Refused arguments end it before it reads.
    let _ = child.stdin.take().expect("a pipe").write_all(text);
    child.wait_with_output().expect("its end")
}

fn document(arguments: &[&str], text: &str) -> Value {
    let output = read(&[arguments, &["--json"]].concat(), text.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("one document")
}

fn keys(document: &Value) -> Vec<(String, u64)> {
    let rows = document["rows"].as_array().expect("rows");
    rows.iter().map(|row| (row["key"].as_str().unwrap().into(), row["entries"].as_u64().unwrap())).collect()
}

#[test]
fn sources_have_the_contracts_fields_and_what_is_not_known_is_null() {
    let top = document(&["-n", "0"], TEXT);
    assert_eq!((&top["schema"], &top["basis"], &top["entries"]), (&1.into(), &"dump".into(), &4.into()));
    assert_eq!((&top["sources_total"], &top["unreadable_lines"]), (&4.into(), &0.into()));
    assert_eq!(top["netns"], serde_json::json!({"name": null, "inode": null}));
    let row = &top["sources"][0];
    assert_eq!((&row["source"], &row["tcp"], &row["assured"]), (&"10.0.0.1".into(), &1.into(), &1.into()));
    assert_eq!((&row["idle"], &row["new_per_second"]), (&Value::Null, &Value::Null));
    let zones: Vec<&Value> = top["sources"].as_array().unwrap().iter().map(|row| &row["zone"]).collect();
    assert_eq!(zones, [0, 0, 7, 0]);
}

#[test]
fn groups_orders_prefixes_and_filters_hold_for_a_file_too() {
    let services = keys(&document(&["--group", "service"], TEXT));
    let expected = [("udp/53", 2), ("tcp/443", 1), ("icmpv6", 1)].map(|(key, n)| (key.to_string(), n));
    assert_eq!(services, expected);
    let nat = keys(&document(&["--group", "nat-source", "-w", "0", "-f", "ipv4"], TEXT));
    assert_eq!(nat, [("198.51.100.1".to_string(), 1), ("none".to_string(), 1)]);
    let marks = keys(&document(&["--group", "mark", "-m", "16"], TEXT));
    assert_eq!(marks, [("16".to_string(), 1)]);
    let unreplied = document(&["--by", "unreplied", "--prefix", "24", "-n", "1"], TEXT);
    assert_eq!(
        (&unreplied["sources"][0]["source"], &unreplied["sources"][0]["unreplied"]),
        (&"10.0.0.0/24".into(), &1.into())
    );
}

#[test]
fn a_broken_line_is_said_and_loses_nothing_else() {
    let text = TEXT.replacen("src=10.0.0.2", "src=10.0.0.", 1);
    let output = read(&[], text.as_bytes());
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(0));
    assert!(error.contains("1 line is no entry") && error.contains("line 2"), "{error}");
    assert!(String::from_utf8(output.stdout).expect("text").starts_with("3 entries from 3 sources"));
}

#[test]
fn a_line_that_was_cut_short_is_no_entry() {
    // As a disk that is full leaves a file: its last line ends where an entry still could.
    let end = TEXT.find(" mark=0 use=2").expect("the last entry's");
    let output = read(&[], &TEXT.as_bytes()[..end]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        error.contains("1 line is no entry") && error.contains("the first is line 4: cut short"),
        "{error}"
    );
    assert!(String::from_utf8(output.stdout).expect("text").starts_with("3 entries from 3 sources"));
    let top: Value =
        serde_json::from_slice(&read(&["--json"], &TEXT.as_bytes()[..end]).stdout).expect("JSON");
    assert_eq!((&top["entries"], &top["unreadable_lines"]), (&3.into(), &1.into()));
}

/// TEXT's second entry goes through a flowtable.
fn offloaded() -> String {
    TEXT.replacen("[ASSURED]", "[OFFLOAD]", 1).replacen("10.0.0.1", "10.0.0.2", 2)
}

#[test]
fn what_a_flowtable_hides_is_unknown_and_counted() {
    let top = document(&["-n", "0", "-f", "ipv4", "-w", "0"], &offloaded());
    assert_eq!(
        (&top["entries"], &top["assured_unknown"], &top["undecided"]),
        (&2.into(), &1.into(), &0.into())
    );
    let row = &top["sources"][0];
    assert_eq!(
        (&row["entries"], &row["assured"], &row["assured_unknown"]),
        (&2.into(), &Value::Null, &1.into())
    );
    assert_eq!(row["unreplied"], 1);
    let output = read(&["-f", "ipv4", "-w", "0"], offloaded().as_bytes());
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("of 1 entry it does not tell whether it is ASSURED"), "{text}");
    let last = text.lines().last().expect("a row");
    assert!(last.starts_with("10.0.0.2") && last.contains(" - "), "{text}");
    // Nobody knows whether it is one of them.
    for filter in [&["--assured"][..], &["--not", "--assured", "-p", "tcp"]] {
        let output = read(&[filter, &["--json"]].concat(), offloaded().as_bytes());
        let top: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((&top["entries"], &top["undecided"]), (&0.into(), &1.into()), "{filter:?}");
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains("1 entry is left out"), "{error}");
    }
    assert_eq!(document(&["--not", "--assured", "-p", "udp"], &offloaded())["undecided"], 0);
}

#[test]
fn states_are_tcps_and_a_day_is_no_protocol() {
    let sctp = TEXT.replacen("tcp      6", "sctp     132", 1);
    assert_eq!(document(&["--state", "established"], &sctp)["entries"], 0);
    let logged: String = TEXT.lines().map(|line| format!("Jun  6 13:13:20 gw ct[77]: {line}\n")).collect();
    let services = |text: &str| keys(&document(&["--group", "service"], text));
    assert_eq!(services(&logged), services(TEXT));
    // A date alone is nothing that is known to stand there.
    let dated: String = TEXT.lines().take(4).map(|line| format!("Jun 6 {line}\n")).collect();
    let output = read(&[], dated.as_bytes());
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
}

#[test]
fn files_that_are_no_text_are_named() {
    for (bytes, word) in
        [(&b"\x1f\x8b\x08\x00"[..], "zcat"), (b"\xff\xfet\0c\0p\0", "iconv"), (b"\xfd7zXZ\0", "xzcat")]
    {
        let output = read(&[], bytes);
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.code() == Some(2) && error.contains(word), "{error}");
    }
}

#[test]
fn what_is_no_table_is_refused_and_an_empty_one_is_one() {
    let output = read(&[], b"root:x:0:0:root:/root:/bin/bash\n\xff\n");
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.starts_with("ctctl: input: standard input: no line is an entry") && error.contains("hint: "),
        "{error}"
    );
    assert_eq!(document(&[], "")["entries"], 0);
    for refused in
        [&["--by", "idle"][..], &["--by", "new"], &["--idle-over", "1m"], &["--direct"], &["--watch"]]
    {
        let output = read(refused, TEXT.as_bytes());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{refused:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 2, "{output:?}");
    }
}

#[test]
fn a_long_file_is_read_in_little_memory() {
    // 60 MB of text about one source; the bound on the address space leaves room for threads' stacks.
    let line = TEXT.lines().next().expect("a line").to_string() + "\n";
    let mut command = Command::new("sh");
    let limited = "ulimit -v 400000; exec \"$0\" top-sources --input - --json";
    command.args(["-c", limited, env!("CARGO_BIN_EXE_ctctl")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("sh starts");
    let mut input = child.stdin.take().expect("a pipe");
    let chunk = line.repeat(4000);
    (0..100).for_each(|_| input.write_all(chunk.as_bytes()).expect("read as it comes"));
    drop(input);
    let output = child.wait_with_output().expect("its end");
    let top: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!((&top["entries"], &top["sources_total"]), (&400_000.into(), &1.into()));
}
