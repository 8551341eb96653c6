//! Refused texts: place, message and hint of each error.

use crate::config::parse;
use crate::error::Exit;

/// Text, its LINE:COLUMN, a part of the message, a part of the hint ("" where none must be).
type Bad = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn assert_bad(rows: &[Bad]) {
    for (text, place, message, hint) in rows {
        let error = parse(text, "/etc/c.toml").expect_err(text);
        assert_eq!(error.exit, Exit::Usage);
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("configuration: /etc/c.toml:{place}: ")), "{text:?}: {shown}");
        assert!(shown.contains(message), "{text:?}: {shown}");
        let found = error.hint.unwrap_or_default();
        assert!(found.contains(hint) && found.is_empty() == hint.is_empty(), "{text:?}: hint {found:?}");
    }
}

#[test]
fn unknown_keys_and_tables() {
    assert_bad(&[
        (
            "[pressure]\nhigh_pecrent = 80",
            "2:1",
            "unknown key `high_pecrent` in [pressure]",
            "did you mean `high_percent`?",
        ),
        ("[pressure]\n\n  high = 80", "3:3", "`high`", "did you mean `high_percent`?"),
        ("[pressure]\nHigh-Percent = 80", "2:1", "`High-Percent`", "did you mean `high_percent`?"),
        ("pressure = { low_percent = 70, hihg_percent = 1 }", "1:32", "`hihg_percent`", "`high_percent`"),
        ("[agent]\nlisten = ''", "2:1", "unknown key `listen` in [agent]", "`listen` belongs in [metrics]"),
        ("[agent]\nenabled = true", "2:1", "", "[capacity] or [flush] or [timeouts]"),
        ("[log]\ncolour = 1", "2:1", "`colour`", "[log] takes format"),
        ("[log]\n\"a\\nb\" = 1", "2:1", "`a\\nb`", "[log] takes format"),
        ("[timeouts]\nudp_stream_flor_seconds = 1", "2:1", "", "`udp_stream_floor_seconds`"),
        (
            "[timeouts]\ntcp_fin_wait_floor_seconds = 1",
            "2:1",
            "unknown key",
            "tcp_timeout_fin_wait is never shortened",
        ),
        ("\n[agnet]\ndry_run = 1", "2:2", "unknown table `agnet`", "did you mean `[agent]`?"),
        ("\u{feff}[agnet]", "1:2", "unknown table `agnet`", "`[agent]`"),
        ("[kernel]", "1:2", "unknown table `kernel`", "the tables are agent, pressure"),
        ("high_percent = 80", "1:1", "unknown key `high_percent` outside any table", "belongs in [pressure]"),
        ("[agent.more]", "1:8", "unknown key `more` in [agent]", "[agent] takes netns"),
        ("agent = 3", "1:9", "`agent` takes a table, not 3", "write [agent]"),
        ("[[agent]]", "1:1", "`agent` takes a table, not a list", "write [agent]"),
    ]);
}

#[test]
fn the_first_fault_of_the_file_is_the_one_shown() {
    assert_bad(&[
        ("[log]\nformat = 1\n[agent]\nx = 1", "2:10", "`format`", ""),
        ("[agent]\nsocket = 1\ndry_run = 1", "2:10", "`socket`", ""),
    ]);
}

#[test]
fn syntax() {
    assert_bad(&[
        ("[agent]\ninterval_ms = 20\ninterval_ms = 30", "3:1", "duplicate key `interval_ms`", ""),
        ("[agent]\n[log]\n[agent]", "3:2", "duplicate key `agent`", ""),
        ("[agent\n", "1:7", "unclosed table", ""),
        ("[agent]\nsocket = \"abc", "2:14", "invalid basic string", ""),
        ("[log]\nformat = text", "2:10", "invalid boolean", "need quotes"),
        ("[log]\nformat = json", "2:10", "must be quoted", ""),
        ("# \u{e9}\u{1f980}\n\"\u{e9}\" = 1 x", "2:7", "must be quoted", ""),
    ]);
    let deep = format!("{}x = 1", "a.".repeat(100_000));
    assert!(parse(&deep, "f").unwrap_err().why.contains("recursion limit"));
}

#[test]
fn types_and_words() {
    assert_bad(&[
        ("[agent]\ndry_run = 'no'", "2:11", "`dry_run` takes true or false, not \"no\"", ""),
        (
            "[agent]\nrestore_on_exit = \"stopp\"",
            "2:19",
            "\"stop\" or \"never\", not \"stopp\"",
            "did you mean \"stop\"?",
        ),
        ("[agent]\nevents = true", "2:10", "\"on\" or \"keep\", not true", ""),
        ("[capacity]\nbuckets = 'always'", "2:11", "\"start\" or \"never\"", ""),
        ("[flush]\nidle_proof = 'arithmetics'", "2:14", "\"auto\" or", "\"arithmetic\""),
        ("[log]\nformat = 'JSON'", "2:10", "not \"JSON\"", "\"json\""),
        ("[agent]\nsocket = ''", "2:10", "`socket` takes a path", "without the key"),
        ("[agent]\nstate_dir = \"a\\u0000b\"", "2:13", "without NUL", ""),
        ("[agent]\nsocket_group = 5", "2:16", "a group's name, not 5", ""),
        ("[protect]\nhelpers = 2020-01-01", "2:11", "not a date", ""),
        ("[metrics]\nlisten = 'localhost:9466'", "2:10", "ADDRESS:PORT", "127.0.0.1:9466"),
        ("[metrics]\nlisten = 'unix:'", "2:10", "unix:PATH", "such as"),
        ("[metrics]\nlisten = '127.0.0.1'", "2:10", "ADDRESS:PORT", "such as"),
    ]);
    let long = format!("[agent]\nsocket = '/{}'", "x".repeat(107));
    assert!(parse(&long, "f").unwrap_err().why.contains("at most 107 bytes"));
    assert!(parse(&long.replace("xx'", "x'"), "f").is_ok());
}

#[test]
fn whole_numbers() {
    assert_bad(&[
        ("[agent]\ninterval_ms = 9", "2:15", "a whole number from 10 to 60000, not 9", ""),
        ("[agent]\ninterval_ms = 60001", "2:15", "not 60001", ""),
        ("[agent]\ninterval_ms = -250", "2:15", "not -250", ""),
        ("[agent]\ninterval_ms = 250.0", "2:15", "a whole number", ""),
        ("[capacity]\nceiling = -1", "2:11", "from 0 to 4294967295, not -1", ""),
        ("[capacity]\nlimit = 4294967296", "2:9", "not 4294967296", ""),
        ("[capacity]\nlimit = 340282366920938463463374607431768211457", "2:9", "from 0 to", ""),
        ("[flush]\nper_second_high = 0", "2:19", "from 1 to", ""),
        ("[flush]\nper_second_critical = 18446744073709551617", "2:23", "from 1 to", ""),
        ("[flush]\nemergency_idle_floor_seconds = 0", "2:32", "from 1 to", ""),
        ("[flush]\nclosed_idle_floor_seconds = 4294967297", "2:29", "from 1 to", ""),
        ("[flush]\ngrace_seconds = 0", "2:17", "from 1 to", ""),
        ("[timeouts]\nudp_floor_seconds = 0", "2:21", "`udp_floor_seconds` takes a whole number from 1", ""),
        ("[flush]\nudp_short_ports = [53, 0]", "2:24", "from 1 to 65535, not 0", ""),
        ("[protect]\nports = 22", "2:9", "a list of ports, not 22", "[a, b]"),
        ("[protect]\nports = [\n  22,\n  65558,\n]", "4:3", "not 65558", ""),
        ("[protect]\nzones = [65536]", "2:10", "from 0 to 65535", ""),
        ("[metrics]\ntop_sources = 10001", "2:15", "from 0 to 10000", ""),
        ("[flush]\nsource_prefix = [33, 64]", "2:18", "from 1 to 32, not 33", ""),
        ("[flush]\nsource_prefix = [32, 129]", "2:22", "from 1 to 128, not 129", ""),
        ("[flush]\nsource_prefix = [0, 64]", "2:18", "from 1 to 32, not 0", ""),
        ("[flush]\nsource_prefix = [32]", "2:17", "two prefix lengths", ""),
        ("[flush]\nsource_prefix = 32", "2:17", "two prefix lengths", ""),
    ]);
}

#[test]
fn shares_and_spans() {
    assert_bad(&[
        ("[pressure]\ntarget_percent = 0", "2:18", "above 0 and at most 100, not 0", ""),
        ("[pressure]\ncritical_percent = 100.1", "2:20", "not 100.1", ""),
        ("[pressure]\nhigh_percent = nan", "2:16", "not nan", ""),
        ("[pressure]\nhigh_percent = '80'", "2:16", "not \"80\"", ""),
        ("[pressure]\nhorizon_seconds = -1", "2:19", "from 0 to", ""),
        ("[pressure]\ncalm_seconds = inf", "2:16", "not inf", ""),
        ("[pressure]\ncalm_seconds = 1e999", "2:16", "from 0 to", ""),
        ("[capacity]\nstall_budget_ms = -0.1", "2:19", "not -0.1", ""),
        ("[capacity]\nmemory_percent = 0", "2:18", "above 0 and at most 90", ""),
        ("[capacity]\nmemory_percent = 90.5", "2:18", "above 0 and at most 90", ""),
        ("[capacity]\nkeep_available_percent = 100", "2:26", "less than 100", ""),
        ("[capacity]\nkeep_available_percent = -1", "2:26", "less than 100", ""),
        ("[protect]\nmax_percent = 101", "2:15", "from 0 to 100", ""),
        ("[protect]\nmax_percent = -1", "2:15", "from 0 to 100", ""),
    ]);
}

#[test]
fn watermarks_are_in_order() {
    assert_bad(&[
        (
            "[pressure]\nlow_percent = 85\nhigh_percent = 80",
            "3:16",
            "`high_percent` must be above `low_percent` (85), not 80",
            "target_percent <=",
        ),
        (
            "[pressure]\nhigh_percent = 80\nlow_percent = 80",
            "2:16",
            "`high_percent` must be above",
            "target_percent <=",
        ),
        (
            "[pressure]\nhigh_percent = 60",
            "2:16",
            "`low_percent` (75, the default), not 60",
            "set `low_percent` too",
        ),
        (
            "[pressure]\nhigh_percent = 95",
            "2:16",
            "`high_percent` must be below `critical_percent` (95, the default)",
            "set `critical_percent` too",
        ),
        ("[pressure]\ntarget_percent = 76", "2:18", "must be at most `low_percent`", "set `low_percent`"),
        (
            "[pressure]\nlow_percent = 69.5",
            "2:15",
            "must be at least `target_percent` (70, the default), not 69.5",
            "set `target_percent`",
        ),
        ("pressure.critical_percent = 80", "1:29", "must be above `high_percent`", "set `high_percent`"),
    ]);
}

#[test]
fn names_networks_and_marks() {
    assert_bad(&[
        ("[agent]\nnetns = ''", "2:9", "a namespace's name", ""),
        ("[agent]\nnetns = 'a/b'", "2:9", "not \"a/b\"", ""),
        ("[agent]\nnetns = ['a', '..']", "2:15", "not \"..\"", ""),
        ("[agent]\nnetns = ['a', 3]", "2:15", "not 3", ""),
        ("[agent]\nnetns = \"/a\\u0000\"", "2:9", "not \"/a\\0\"", ""),
        ("[agent]\nnetns = ['a', 'b', 'a']", "2:20", "each namespace once", ""),
        ("[protect]\nsources = '10.0.0.1'", "2:11", "a list of addresses", "[a, b]"),
        ("[protect]\nsources = ['10.0.0.1', '10.0.0.300']", "2:24", "not \"10.0.0.300\"", ""),
        ("[protect]\ndestinations = ['10.0.0.0/33']", "2:17", "not \"10.0.0.0/33\"", ""),
        ("[protect]\ndestinations = [10]", "2:17", "not 10", ""),
        ("[flush]\nsource_weights = { \"10.0.0.0/8\" = 0 }", "2:35", "a number above 0, not 0", ""),
        ("[flush]\nsource_weights = { \"10.0.0.0/8\" = 'x' }", "2:35", "a number above 0", ""),
        ("[flush]\nsource_weights = { office = 2 }", "2:20", "`office` is neither", "in quotes"),
        ("[flush]\nsource_weights = { 10.0.0.1 = 2 }", "2:20", "`10` is neither", "in quotes"),
        (
            "[flush.source_weights]\n\"10.0.0.0/8\" = 2\n\"10.9.9.9/8\" = 3",
            "3:1",
            "10.0.0.0/8 has a weight already",
            "",
        ),
        ("[flush]\nsource_weights = { \"10.0.0.0/8\" = inf }", "2:35", "a number above 0, not inf", ""),
        ("[flush]\nsource_weights = []", "2:18", "a table of networks", ""),
        ("[protect]\nmarks = ['0x1/0xff', 'x']", "2:22", "not \"x\"", ""),
        ("[protect]\nmarks = ['-1']", "2:10", "not \"-1\"", ""),
        ("[protect]\nmarks = ['0x+1']", "2:10", "not \"0x+1\"", ""),
        ("[protect]\nmarks = ['']", "2:10", "marks such as", ""),
        ("[protect]\nmarks = [4294967296]", "2:10", "from 0 to 4294967295", ""),
        ("[protect]\nmarks = ['0x100000000']", "2:10", "marks such as", ""),
        ("[protect]\nmarks = ['1/0']", "2:10", "marks with a mask", "every entry matches"),
        ("[protect]\nmarks = ['0x101/0xff']", "2:10", "marks inside their mask", "0x1/0xff"),
    ]);
}
