use super::*;
use crate::cli::render::canned;
use crate::model::Level;

fn drawn(width: Option<usize>, verbosity: i8, status: &StatusDocument) -> String {
    let mut out = Vec::new();
    let style = Style { verbosity, ..canned::style(width) };
    let without = Without::NoAgent("/run/ctctl/host.sock".into());
    write(&mut out, status, Some(&without), &style).expect("memory");
    String::from_utf8(out).expect("text")
}

#[test]
fn piped_is_whole() {
    let expected = "\
Namespace: host (inode 4026531840)
    Level: normal
    Usage: 7900 / 65536 (12.1 %)
      Max: 65536, at most 262144 (96.0 MiB of memory, 384 B an entry): memory_percent (10 %) of memory; 65536 buckets
   Growth: 120.0 new a second, +3.2 net, full in 4 h 59 min
    Drops: drop 0, early_drop 0, insert_failed 0, chaintoolong 0
Protected: 12 entries
    Agent: pid 812, since 2026-11-21 03:00:00, version 0.1.0
           in step with the kernel, 12345 events, 2 sources
           0 overruns, 0 lost events, 0 resyncs
           room for 100000 queued events (122.1 MiB), lag 1 ms, longest stall 70 ms
           journal written
           regret 0.1 %
           capabilities CAP_NET_ADMIN
  Waiting: max goes back below 49152 entries

Timeouts, in seconds
TIMEOUT                  BASELINE   NOW  FLOOR
tcp_timeout_established    432000  7440   7440
udp_timeout_stream            120   120     60

Classes, the first to go first (seen 7 s ago)
CLASS        ENTRIES  OLDEST IDLE  WOULD FREE
closed           300         59 s         280
established     7000    2 h 4 min           0

Last actions
  2026-11-21 04:49:52  raised max from 32768 to 65536: because
";
    assert_eq!(drawn(None, 0, &canned::status()), expected);
}

#[test]
fn too_little_room_for_events_is_said() {
    let mut status = canned::status();
    let queue = status.agent.as_mut().and_then(|agent| agent.queue.as_mut()).expect("a queue");
    queue.buffer_bytes = 425_984;
    let expected =
        "room for 332 queued events (416.0 KiB of the 122.1 MiB that pace and stalls call for), lag";
    assert!(drawn(None, 0, &status).contains(expected));
}

#[test]
fn forty_columns_break_between_words() {
    let mut status = canned::status();
    (status.classes, status.timeouts) = (None, vec![]);
    let expected = "\
Namespace: host (inode 4026531840)
    Level: normal
    Usage: 7900 / 65536 (12.1 %)
      Max: 65536, at most 262144 (96.0
           MiB of memory, 384 B an
           entry): memory_percent (10 %)
           of memory; 65536 buckets
   Growth: 120.0 new a second, +3.2 net,
           full in 4 h 59 min
    Drops: drop 0, early_drop 0,
           insert_failed 0, chaintoolong
           0
Protected: 12 entries
    Agent: pid 812, since 2026-11-21
           03:00:00, version 0.1.0
           in step with the kernel,
           12345 events, 2 sources
           0 overruns, 0 lost events, 0
           resyncs
           room for 100000 queued events
           (122.1 MiB), lag 1 ms,
           longest stall 70 ms
           journal written
           regret 0.1 %
           capabilities CAP_NET_ADMIN
  Waiting: max goes back below 49152
           entries

Last actions
  2026-11-21 04:49:52  raised max from
      32768 to 65536: because
";
    assert_eq!(drawn(Some(40), 0, &status), expected);
}

#[test]
fn without_an_agent_the_text_says_where_it_was_read() {
    let mut status = canned::status();
    (status.agent, status.new_per_second, status.net_growth_per_second) = (None, None, None);
    let text = drawn(Some(80), 0, &status);
    assert!(text.contains("    Agent: no agent on /run/ctctl/host.sock; read from the kernel\n"), "{text}");
    assert!(text.contains("   Growth: not known without events\n"), "{text}");
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
fn regret_is_shown_by_class_once_something_was_flushed() {
    let mut status = canned::status();
    assert!(!drawn(None, 0, &status).contains("REGRET"));
    let rows = status.classes.as_mut().expect("canned");
    (rows[0].flushed, rows[0].regretted, rows[0].regret_percent) = (400, 8, Some(2.0));
    rows[0].suspended = true;
    let text = drawn(None, 0, &status);
    assert!(text.contains("WOULD FREE  FLUSHED  REGRET\n"), "{text}");
    assert!(text.contains("  closed is suspended: flows that it took for idle lived\n"), "{text}");
    assert!(!text.contains("established is suspended"), "{text}");
}

#[test]
fn an_agent_that_does_not_act_says_so() {
    let mut status = canned::status();
    let agent = status.agent.as_mut().expect("canned");
    (agent.paused, agent.dry_run, agent.journal_ok) = (true, true, false);
    let text = drawn(None, 0, &status);
    assert!(text.contains("           paused: it watches and touches nothing\n"), "{text}");
    assert!(text.contains("           dry run: it decides and touches nothing\n"), "{text}");
    assert!(text.contains("           the journal cannot be written\n"), "{text}");
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
    assert!(text.contains("    Level: \x1b[1;31mcritical\x1b[0m\n"), "{text}");
    assert!(text.starts_with("Namespace: \\u{1b}[2J (inode"), "{text}");
}

#[test]
fn no_limit_is_no_share() {
    let mut status = canned::status();
    (status.max, status.limit) = (0, 0);
    let text = drawn(None, 0, &status);
    assert!(text.contains("    Usage: 7900 entries, no limit\n      Max: none, at most"), "{text}");
}
