use super::*;
use crate::cli::render::canned;
use crate::core::model::Level;

fn drawn(width: Option<usize>, verbosity: i8, status: &StatusDocument) -> String {
    let mut out = Vec::new();
    let style = Style { verbosity, ..canned::style(width) };
    let without = NoAnswer::NoAgent("/run/ctctl/host.sock".into());
    write(&mut out, status, Some(&without), &style).expect("memory");
    String::from_utf8(out).expect("text")
}

#[test]
fn the_screen_begins_with_the_level_and_has_what_matters() {
    let expected = "\x20   Level: normal: usage is 12.1 % (7900 of 65536 entries), below high_percent 80
Namespace: host (inode 4026531840)
   Growth: 120.0 new a second, +3.2 net, full in 4 h 59 min
      Max: 65536, may rise to 262144 (10 % of 960.0 MiB memory at 384 bytes an entry)
    Drops: drop 0, early_drop 0, insert_failed 0, chaintoolong 0
Protected: 12 entries
    Agent: pid 812, since 2026-11-21 03:00:00, version 0.1.0
 Timeouts: tcp_timeout_established 7440 s (was 432000 s)
  Waiting: max goes back below 49152 entries

Classes, the first to go first (seen 7 s ago)
CLASS        ENTRIES  OLDEST IDLE  WOULD FREE  FLUSHED  REGRET
closed           300         59 s         280        0       -
established     7000    2 h 4 min           0        0       -
Last actions
  2026-11-21 04:49:52  raised max from 32768 to 65536: because
";
    assert_eq!(drawn(None, 0, &canned::status()), expected);
}

#[test]
fn v_shows_the_rest() {
    let text = drawn(None, 1, &canned::status());
    for part in [
        "           memory_percent (10 %) of memory\n",
        "           in step with the kernel, 12345 events, 2 sources\n",
        "           0 overruns, 0 lost events, 0 resyncs\n",
        "           room for 100000 queued events (122.1 MiB), lag 1 ms, longest stall 70 ms\n",
        "           journal written\n",
        "           regret 0.1 %\n",
        "           capabilities CAP_NET_ADMIN\n",
        "\nTimeouts, in seconds\nTIMEOUT                  BASELINE   NOW  FLOOR\n",
        "tcp_timeout_close              10    10     10\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

/// A gateway with a value for every line that `status` may show.
fn pressed() -> StatusDocument {
    let mut status = canned::status();
    let long = "a sentence that goes on for much longer than a line of a terminal has room for, as those of relief do";
    status.level = Level::Critical;
    status.reasons =
        vec![format!("usage is 96.0 % (62915 of 65536 entries), at or over critical_percent 95")];
    status.reasons.extend((0..6).map(|n| format!("{n}: {long}")));
    status.waiting = (6..12).map(|n| format!("{n}: {long}")).collect();
    status.bounds.summary = "262144, may rise to 2097152 (8 entries a bucket at 262144 buckets); memory would do for \
        5710886 (10 % of 24576.0 MiB memory at 384 bytes an entry, less 1000000 entries that other namespaces hold)"
        .into();
    for row in &mut status.timeouts {
        row.baseline_seconds = Some(u32::try_from(row.current_seconds).expect("small") + 1);
    }
    let row = status.classes.as_ref().expect("canned")[0].clone();
    status.classes = Some(vec![row; 9]);
    let act = status.last_actions[0].clone();
    let acts = (1..10).map(|id| crate::core::model::JournalRecord { id, reason: long.into(), ..act.clone() });
    status.last_actions = acts.collect();
    let agent = status.agent.as_mut().expect("canned");
    (agent.paused, agent.dry_run, agent.journal_ok, agent.synced) = (true, true, false, false);
    agent.paused_until = Some("2026-11-21T03:49:52.000001Z".into());
    agent.paused_by = Some(crate::core::model::Asker {
        uid: Some(0),
        command: Some("ctctl --netns blue --socket /run/ctctl/blue.sock pause --for 1h".into()),
        ..Default::default()
    });
    (agent.doubt, agent.log_lines_dropped) = (Some(long.into()), 7);
    status
}

#[test]
fn whatever_there_is_to_say_a_screen_of_24_by_80_is_enough() {
    for status in [canned::status(), pressed()] {
        for width in [Some(80), Some(100), None] {
            let text = drawn(width, 0, &status);
            assert!(text.lines().count() <= 24, "{} lines:\n{text}", text.lines().count());
            let most = width.unwrap_or(160);
            assert!(text.lines().all(|line| line.chars().count() <= most), "{text}");
            assert!(text.starts_with("    Level: "), "{text}");
        }
        let all = drawn(None, 1, &status);
        assert!(all.lines().all(|line| line.chars().count() < 400), "{all}");
    }
}

#[test]
fn what_was_cut_is_counted() {
    let text = drawn(Some(80), 0, &pressed());
    assert!(text.contains("and 11 sentences more (-v)"), "{text}");
    assert!(
        text.contains(" Timeouts: tcp_timeout_established 7440 s (was 7441 s), and 2 more (-v)\n"),
        "{text}"
    );
    let mut acting = StatusDocument { agent: None, ..pressed() };
    acting.waiting.truncate(2);
    acting.reasons.truncate(1);
    let text = drawn(Some(80), 0, &acting);
    assert!(text.contains("lines more (-v)\nLast actions\n"), "{text}");
}

#[test]
fn a_pause_says_until_when_and_by_whom() {
    let text = drawn(None, 0, &pressed());
    let expected = "paused until 2026-11-21 05:49:52, asked by uid 0 (`ctctl --netns blue --socket \
        /run/ctctl/blue.sock pause --for 1h`)\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn too_little_room_for_events_is_said() {
    let mut status = canned::status();
    let queue = status.agent.as_mut().and_then(|agent| agent.queue.as_mut()).expect("a queue");
    queue.buffer_bytes = 425_984;
    let expected =
        "room for 332 queued events (416.0 KiB of the 122.1 MiB that pace and stalls call for), lag";
    assert!(drawn(None, 1, &status).contains(expected));
}

#[test]
fn forty_columns_break_between_words() {
    let mut status = canned::status();
    (status.classes, status.timeouts) = (None, vec![]);
    let expected = "\x20   Level: normal: usage is 12.1 % (7900
           of 65536 entries), below
           high_percent 80
Namespace: host (inode 4026531840)
   Growth: 120.0 new a second, +3.2 net,
           full in 4 h 59 min
      Max: 65536, may rise to 262144 (10
           % of 960.0 MiB memory at 384
           bytes an entry)
    Drops: drop 0, early_drop 0,
           insert_failed 0, chaintoolong
           0
Protected: 12 entries
    Agent: pid 812, since 2026-11-21
           03:00:00, version 0.1.0
  Waiting: max goes back below 49152...
Last actions
  2026-11-21 04:49:52  raised max...
";
    assert_eq!(drawn(Some(40), 0, &status), expected);
}

#[test]
fn without_an_agent_the_text_says_where_it_was_read() {
    let mut status = canned::status();
    (status.agent, status.new_per_second, status.net_growth_per_second) = (None, None, None);
    // The time until full is derived from growth, which is unknown too.
    status.seconds_to_full = None;
    let text = drawn(Some(80), 0, &status);
    assert!(text.contains("    Agent: no agent on /run/ctctl/host.sock; read from the kernel\n"), "{text}");
    assert!(text.contains("   Growth: not known without events\n"), "{text}");
    status.seconds_to_full = Some(0.0);
    assert!(drawn(Some(80), 0, &status).contains("   Growth: not known without events, full\n"));
    status.net_growth_per_second = Some(0.0);
    assert!(drawn(Some(80), 0, &status).contains("   Growth: - new a second, +0.0 net, full\n"));
}

#[test]
fn what_the_kernel_does_not_count_is_unknown_and_why_counts_are_in_doubt_is_said() {
    let mut status = canned::status();
    assert!(!drawn(None, 0, &status).contains("in doubt"));
    status.drops.chaintoolong = None;
    let agent = status.agent.as_mut().expect("canned");
    (agent.synced, agent.doubt) = (false, Some("ctnetlink does not answer".into()));
    let text = drawn(None, 0, &status);
    assert!(text.contains("chaintoolong -\n"), "{text}");
    assert!(text.contains("the counts are in doubt: ctnetlink does not answer\n"), "{text}");
}

#[test]
fn timeouts_that_agree_are_shown_with_v_alone() {
    let agree = "tcp_timeout_close";
    assert!(!drawn(None, 0, &canned::status()).contains(agree));
    assert!(drawn(None, 1, &canned::status()).contains(agree));
}

#[test]
fn the_columns_are_the_same_with_an_agent_and_without() {
    let mut status = canned::status();
    let titles = "ENTRIES  OLDEST IDLE  WOULD FREE  FLUSHED  REGRET\n";
    assert!(drawn(Some(80), 0, &status).contains(titles));
    let rows = status.classes.as_mut().expect("canned");
    (rows[0].flushed, rows[0].regretted, rows[0].regret_percent) = (400, 8, Some(2.0));
    rows[0].suspended = true;
    let text = drawn(None, 0, &status);
    assert!(text.contains(titles), "{text}");
    assert!(text.contains("  closed is suspended: flows that it took for idle lived\n"), "{text}");
    assert!(!text.contains("established is suspended"), "{text}");
    status.agent = None;
    assert!(drawn(Some(80), 0, &status).contains(titles));
}

#[test]
fn an_agent_that_does_not_act_says_so() {
    let mut status = canned::status();
    let agent = status.agent.as_mut().expect("canned");
    (agent.paused, agent.dry_run, agent.journal_ok) = (true, true, false);
    let text = drawn(None, 0, &status);
    assert!(
        text.contains("           paused until `ctctl resume`: it watches and touches nothing\n"),
        "{text}"
    );
    let both = "           dry run: it decides and touches nothing; the journal cannot be written\n";
    assert!(text.contains(both), "{text}");
    assert!(!text.contains("journal written"), "{text}");
}

#[test]
fn colour_is_on_the_level_and_names_cannot_drive_the_terminal() {
    let mut status = canned::status();
    status.level = Level::Critical;
    status.header.netns.name = Some("\x1b[2J".into());
    let mut out = Vec::new();
    let style = Style { colour: true, ..canned::style(Some(80)) };
    write(&mut out, &status, None, &style).expect("memory");
    let text = String::from_utf8(out).expect("text");
    assert!(text.starts_with("    Level: \x1b[1;31mcritical\x1b[0m: usage is"), "{text}");
    assert!(text.contains("Namespace: \\u{1b}[2J (inode"), "{text}");
}

#[test]
fn no_limit_is_no_share() {
    let mut status = canned::status();
    (status.max, status.limit) = (0, 0);
    let text = drawn(None, 0, &status);
    assert!(text.contains("    Usage: 7900 entries, no limit\n"), "{text}");
}
