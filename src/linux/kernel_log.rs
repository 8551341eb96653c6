//! The kernel's messages: the ring buffer, and logs that a syslog daemon wrote.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::clock;
use super::image::Image;
use crate::core::model::KernelMessage;

const RING: &str = "/dev/kmsg";
/// Files in which syslog daemons keep the kernel's messages.
const LOGS: [&str; 3] = ["var/log/kern.log", "var/log/syslog", "var/log/messages"];
/// Of each log the end: a day's worth where somebody floods it.
const TAIL_BYTES: u64 = 8 << 20;
/// Messages that are kept; the newest ones.
const MOST: usize = 1000;
/// Records of the ring buffer are at most this long (LOG_LINE_MAX and its prefix, kernel/printk/printk.c).
const RECORD_BYTES: usize = 8192;

/// True for messages that tell of a full table: the message itself (`nf_conntrack_alloc`,
/// `nf_ct_expect_related_report`), and the number of those that the rate limit swallowed (`printk` of 2.6.18 counts
/// messages, later kernels callbacks).
fn is_of_interest(text: &str) -> bool {
    (text.contains("conntrack") && text.contains("table full"))
        || text.contains("callbacks suppressed")
        || text.contains("messages suppressed")
}

/// A syslog daemon's line in place of more lines like the one before (`last message repeated 5 times`).
fn repeats(text: &str) -> bool {
    text.contains("last message repeated ")
}

/// The ring buffer's messages about a full table.
///
/// # Errors
/// EPERM where `kernel.dmesg_restrict` forbids it (syslog(2)); `NotFound` in containers without /dev/kmsg.
pub fn ring() -> io::Result<Vec<KernelMessage>> {
    // Each reader has a position of its own, and begins at the oldest record: nothing is taken from anyone.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(RING)?;
    let mut room = [0; RECORD_BYTES];
    let mut found = Vec::new();
    loop {
        match file.read(&mut room) {
            Ok(0) => break,
            Ok(n) => found.extend(record(&String::from_utf8_lossy(&room[..n]))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // Overwritten while it was read (EPIPE): the next one comes.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(newest(found))
}

/// `6,339,5140900,-;text` (Documentation/ABI/testing/dev-kmsg). What user space wrote (facility other than 0) is no
/// message of the kernel.
fn record(record: &str) -> Option<KernelMessage> {
    let (head, text) = record.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let microseconds: u64 = fields.nth(1)?.parse().ok()?;
    let text = text.lines().next().unwrap_or_default();
    let ours = priority < 8 && is_of_interest(text);
    ours.then(|| KernelMessage {
        path: RING.into(),
        line: None,
        at_seconds: Some(microseconds as f64 / 1e6),
        at: Some(clock::at_running_seconds(microseconds as f64 / 1e6)),
        text: text.into(),
    })
}

/// Reads the messages that tell of a full table from the log files of an image.
pub fn logs(image: &Image) -> Vec<KernelMessage> {
    let mut found: Vec<KernelMessage> = Vec::new();
    for path in LOGS {
        // kern.log and syslog have each message twice.
        if !found.is_empty() {
            break;
        }
        let Some((text, first)) = image.tail(path, TAIL_BYTES) else { continue };
        let lines = (first..).zip(text.text.lines());
        let mut before = false;
        let ours = lines.filter(|(_, line)| {
            // It counts for the kernel's message right before it.
            before = (line.contains("kernel:") && is_of_interest(line)) || (before && repeats(line));
            before
        });
        found.extend(ours.map(|(line, text_of)| KernelMessage {
            path: text.path.clone(),
            line: Some(line),
            at_seconds: None,
            at: None,
            text: text_of.trim().into(),
        }));
    }
    newest(found)
}

fn newest(mut found: Vec<KernelMessage>) -> Vec<KernelMessage> {
    let excess = found.len().saturating_sub(MOST);
    found.drain(..excess);
    found
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::Tree;
    use super::*;

    #[test]
    fn records_of_the_kernel_about_a_full_table_are_found() {
        let full = record(
            "4,339,5140900,-;nf_conntrack: nf_conntrack: table full in netns 7, dropping packet\n S=1",
        );
        let full = full.expect("a record");
        assert_eq!(full.text, "nf_conntrack: nf_conntrack: table full in netns 7, dropping packet");
        assert_eq!(full.at_seconds, Some(5.1409));
        assert!(record("4,1,2,-;net_ratelimit: 41 callbacks suppressed").is_some());
        assert_eq!(record("4,1,2,-;eth0: link up"), None);
        assert_eq!(record("12,1,2,-;nf_conntrack: table full, dropping packet"), None, "from user space");
        assert_eq!(record("nonsense"), None);
    }

    #[test]
    fn lines_that_stand_for_more_belong_to_the_message_before() {
        let full = "Nov 21 10:00:00 gw kernel: [ 1.0] nf_conntrack: table full, dropping packet.\n";
        let repeated = "Nov 21 10:00:09 gw last message repeated 5 times\n";
        let other = "Nov 21 10:00:09 gw kernel: eth0: link up\n";
        let again = "Nov 21 10:00:10 gw kernel: message repeated 3 times: [ [ 1.0] nf_conntrack: table full, dropping packet.]\n";
        let text = format!("{repeated}{full}{repeated}{other}{repeated}{again}");
        let tree = Tree::new(&[("var/log/messages", &text)]);
        let found: Vec<_> = logs(&Image::new(tree.root())).iter().map(|m| m.line).collect();
        assert_eq!(found, [Some(2), Some(3), Some(6)]);
    }

    #[test]
    fn logs_are_read_from_the_end_and_once() {
        let line = "Nov 21 10:00:00 gw kernel: [ 1.0] nf_conntrack: table full, dropping packet.\n";
        let other = "Nov 21 10:00:00 gw app: nf_conntrack: table full\n";
        let both = format!("{other}{line}");
        let tree = Tree::new(&[("var/log/kern.log", &both), ("var/log/syslog", &both)]);
        let found = logs(&Image::new(tree.root()));
        let places: Vec<_> = found.iter().map(|m| (m.path.as_str(), m.line)).collect();
        assert_eq!(places, [("/var/log/kern.log", Some(2))]);
    }
}
