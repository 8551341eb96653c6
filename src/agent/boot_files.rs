//! Reads the files of sysctls, for the name of the file that a changed value is from. A thread of its own reads them,
//! which may wait for their disk: relief does not.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::core::model::ConfiguredValue;
use crate::linux::sysctl_files;

/// Longest wait for the files: some dozens of them on a disk that answers take milliseconds.
const PATIENCE: Duration = Duration::from_millis(100);

/// The reading under way.
#[derive(Debug, Default)]
pub(super) struct BootFiles(Option<Receiver<Vec<ConfiguredValue>>>);

impl BootFiles {
    /// Every value that a file gives; nothing where the disk does not answer in time, which is not asked again before
    /// it has.
    pub(super) fn read(&mut self) -> Vec<ConfiguredValue> {
        self.read_by(sysctl_files::configured)
    }

    fn read_by(&mut self, read: fn() -> Vec<ConfiguredValue>) -> Vec<ConfiguredValue> {
        // An answer that came too late is of then.
        if self.0.as_ref().is_some_and(|late| late.try_recv() != Err(std::sync::mpsc::TryRecvError::Empty)) {
            self.0 = None;
        }
        if self.0.is_some() {
            return Vec::new();
        }
        let (answer, answered) = channel();
        let thread = std::thread::Builder::new().name("files".into()).spawn(move || {
            let _ = answer.send(read());
        });
        if thread.is_err() {
            return Vec::new();
        }
        match answered.recv_timeout(PATIENCE) {
            Ok(values) => values,
            Err(_) => {
                self.0 = Some(answered);
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
    use std::time::Instant;

    fn value() -> ConfiguredValue {
        ConfiguredValue { name: "max".into(), value: 7, file: "/etc/sysctl.conf".into() }
    }

    #[test]
    fn a_disk_that_does_not_answer_is_waited_for_once_and_briefly() {
        static HANGS: AtomicBool = AtomicBool::new(true);
        static READ: AtomicU32 = AtomicU32::new(0);
        let slow = || {
            READ.fetch_add(1, SeqCst);
            while HANGS.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            vec![value()]
        };
        let (mut files, began) = (BootFiles::default(), Instant::now());
        for _ in 0..50 {
            assert_eq!(files.read_by(slow), []);
        }
        assert!(began.elapsed() < 20 * PATIENCE, "{:?} for fifty", began.elapsed());
        assert_eq!(READ.load(SeqCst), 1, "by one thread");
        HANGS.store(false, SeqCst);
        let answered = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            files.read_by(slow) == [value()]
        });
        assert!(answered && READ.load(SeqCst) >= 2, "what came late is read again");
    }

    #[test]
    fn a_disk_that_answers_is_read_each_time() {
        let mut files = BootFiles::default();
        assert_eq!([files.read_by(|| vec![value()]), files.read_by(|| vec![value()])].concat().len(), 2);
    }
}
