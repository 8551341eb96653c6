use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::act::journal::disk::{Answer, Answered, Asked, Disk, Found, LocalDisk, Of, Question};
use crate::act::journal::{Baseline, Loaded, TimeoutsSeen};
use crate::core::model::{Draft, RecordEvent, Value};

/// Longer than anything here takes; only a failing test waits so long.
const LONG: Duration = Duration::from_secs(30);

/// Waits before each request until it is let go, with or without an error.
struct Slow(Receiver<io::Result<()>>);

impl Disk for Slow {
    fn ask(&mut self, request: &Request) -> io::Result<Option<Stamp>> {
        // Whoever let go for good has dropped the other end.
        self.0.recv().unwrap_or(Ok(()))?;
        LocalDisk.ask(request)
    }
}

fn slow() -> (Sender<io::Result<()>>, SharedDisk) {
    let (go, wait) = channel();
    (go, SharedDisk::new(Slow(wait)))
}

fn soon() -> Instant {
    Instant::now() + LONG
}

#[test]
fn what_is_wanted_is_written_and_only_the_newest_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deep/file");
    let (go, disk) = slow();
    let (woken, wakes) = channel();
    let records = Records::start(disk, move || woken.send(()).unwrap_or_default()).unwrap();
    let first = records.put(&file, "one".into());
    let tickets: Vec<Ticket> = (0..100).map(|n| records.put(&file, n.to_string())).collect();
    assert!(matches!(records.recorded(&first), Recorded::Waits(_)));
    assert!(wakes.try_recv().is_err());
    drop(go);
    let last = tickets.last().unwrap();
    assert_eq!(records.wait(last, soon()), Recorded::Yes);
    assert!(tickets.iter().all(|ticket| records.recorded(ticket) == Recorded::Yes), "newer is as good");
    assert_eq!(fs::read_to_string(&file).unwrap(), "99");
    wakes.recv_timeout(LONG).unwrap();
    assert_eq!(records.put(&file, "99".into()), *last, "it is there already");
    assert_eq!(records.wait(&records.remove(&file), soon()), Recorded::Yes);
    assert!(!file.exists());
}

#[test]
fn what_fails_is_said_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let (go, disk) = slow();
    let records = Records::start(disk, || ()).unwrap();
    let ticket = records.put(&file, "text".into());
    go.send(Err(io::Error::from_raw_os_error(libc::ENOSPC))).unwrap();
    let Recorded::Failed(why) = records.wait(&ticket, soon()) else { panic!("it failed") };
    assert!(why.contains("No space left"), "{why}");
    let trouble = records.trouble().expect("it is not there");
    assert!(trouble.contains("file cannot be written: No space left") && !records.hangs(), "{trouble}");
    drop(go);
    let until = soon();
    while records.recorded(&ticket) != Recorded::Yes && Instant::now() < until {
        let state = records.shared.lock();
        drop(records.shared.progress.wait_timeout(state, LOOK));
    }
    assert_eq!((records.recorded(&ticket), records.trouble()), (Recorded::Yes, None));
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
}

/// Waits until a file says this.
fn says(file: &Path, text: &str) {
    let until = soon();
    while fs::read_to_string(file).ok().as_deref() != Some(text) {
        assert!(Instant::now() < until, "{} does not say {text}", file.display());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_file_that_is_lost_replaced_or_changed_is_written_again_its_directory_too() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("state");
    let file = dir.join("file");
    let records = Records::start(SharedDisk::of_this_process(), || ()).unwrap();
    let ticket = records.put(&file, "text".into());
    assert_eq!(records.wait(&ticket, soon()), Recorded::Yes);
    let spoil: [fn(&Path); 4] = [
        |file| fs::remove_file(file).unwrap(),
        |file| fs::remove_dir_all(file.parent().unwrap()).unwrap(),
        |file| fs::write(file, "TEXT").unwrap(),
        |file| {
            fs::write(file.with_extension("new"), "other").unwrap();
            fs::rename(file.with_extension("new"), file).unwrap();
        },
    ];
    for spoil in spoil {
        spoil(&file);
        says(&file, "text");
    }
    // What is another's now is left alone.
    records.forget(&file);
    fs::write(&file, "another's").unwrap();
    let other = records.put(&dir.join("other"), "x".into());
    assert_eq!(records.wait(&other, soon()), Recorded::Yes);
    thread::sleep(LOOK + Duration::from_millis(200));
    assert_eq!(fs::read_to_string(&file).unwrap(), "another's");
}

#[test]
fn the_end_waits_for_what_is_wanted_and_not_for_a_disk_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let mut records = Records::start(SharedDisk::of_this_process(), || ()).unwrap();
    records.put(&file, "text".into());
    records.remove(&file);
    records.put(&dir.path().join("last"), "x".into());
    records.finish(soon()).unwrap();
    assert!(!file.exists() && dir.path().join("last").exists());

    let (go, disk) = slow();
    let mut records = Records::start(disk, || ()).unwrap();
    records.put(&file, "text".into());
    let began = Instant::now();
    let why = records.finish(began + Duration::from_millis(50)).unwrap_err();
    assert!(why.contains("has not answered") && began.elapsed() < LONG / 2, "{why}");
    drop((records, go));
}

#[test]
fn requests_and_answers_go_between_two_processes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x/file");
    let requests = [
        Request::Replace { path: path.clone(), text: "two\nlines".into(), sync: true },
        Request::Look { path: path.clone() },
        Request::Append { dir: dir.path().into(), line: "{}\n".into() },
        Request::Replace { path: "/dev/null/x".into(), text: String::new(), sync: false },
        Request::Remove { path },
    ];
    let input: String = requests.map(|r| serde_json::to_string(&Asked::Do(r)).unwrap() + "\n").concat();
    let mut output = Vec::new();
    crate::act::journal::serve(input.as_bytes(), &mut output).unwrap();
    let output = String::from_utf8(output).unwrap();
    let stamp = |line| match serde_json::from_str::<Answer>(line).unwrap() {
        Ok(Answered::Done(stamp)) => Ok(stamp),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    let answers: Vec<_> = output.lines().map(stamp).collect();
    assert!(answers[0].as_ref().is_ok_and(|stamp| stamp.is_some()) && answers[0] == answers[1]);
    assert_eq!((&answers[2], &answers[4]), (&Ok(None), &Ok(None)));
    assert!(answers[3].as_ref().is_err_and(|(errno, _)| *errno == libc::ENOTDIR || *errno == libc::EEXIST));
    assert_eq!(fs::read_to_string(dir.path().join("journal.jsonl")).unwrap(), "{}\n");
    assert!(!dir.path().join("x/file").exists());
}

#[test]
fn what_a_start_reads_is_the_same_by_way_of_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let netns = crate::core::model::Netns { name: None, inode: 7 };
    let mut baseline = Baseline::new("b", netns.clone());
    baseline.will_write(Value::Max, 100, 150);
    baseline.save(dir.path()).unwrap();
    let seen = TimeoutsSeen { boot_id: "b".into(), inode: 7, flowtables: true, ..TimeoutsSeen::default() };
    fs::write(TimeoutsSeen::path(dir.path()), seen.text()).unwrap();
    let mut journal = crate::act::journal::Journal::open(dir.path(), "b", netns);
    let draft = Draft {
        name: Some("max".into()),
        from: Some(100),
        to: Some(150),
        ..Draft::new(3, RecordEvent::Done, "why")
    };
    journal.append_durably(draft, LONG);
    drop(journal);
    let found = |of: Of, boot_id: &str| {
        let question = Question { dir: dir.path().into(), boot_id: boot_id.into(), inode: 7, of };
        let mut output = Vec::new();
        let line = serde_json::to_string(&Asked::Read(question)).unwrap() + "\n";
        crate::act::journal::serve(line.as_bytes(), &mut output).unwrap();
        match serde_json::from_slice::<Answer>(&output).unwrap() {
            Ok(Answered::Found(found)) => *found,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(found(Of::Seen, "b"), Found::Seen(read) if read == seen));
    let trail = found(Of::Trail, "b");
    assert!(matches!(&trail, Found::Trail(held) if held[&Value::Max].found == 100), "{trail:?}");
    let last = found(Of::Last, "");
    assert!(matches!(&last, Found::Last(last) if (last.seq, last.id) == (1, 3)), "{last:?}");
    assert!(matches!(found(Of::Baseline, "b"), Found::Baseline(Loaded::Ours(read)) if read == baseline));
    assert!(matches!(found(Of::Baseline, "c"), Found::Baseline(Loaded::SetAside { .. })));
    assert!(matches!(found(Of::Baseline, "c"), Found::Baseline(Loaded::None)));
}
