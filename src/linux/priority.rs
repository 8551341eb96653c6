//! Decides which thread runs first, and on which CPU, as a flood and its remedy share the cores.
#![allow(unsafe_code)]

use std::sync::OnceLock;

pub use nix::sched::CpuSet;
use nix::sched::{sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

/// Before what an ordinary process does, after what the kernel itself does (packets are forwarded in softirqs, which no
/// niceness holds back).
const NICE: libc::c_int = -10;

/// Lets the calling thread run before ordinary processes (setpriority(2) of a thread). Beside a flood that some other
/// process makes, a thread of the same niceness waits for it for milliseconds, while the table fills. Without the right
/// (CAP_SYS_NICE) all stays as it is.
pub fn raise() {
    // SAFETY: takes numbers and touches no memory of ours; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// Puts the calling thread among ordinary processes, where it was started before them (`nice`, `chrt`, a unit's
/// `Nice=`): for work that anyone can ask for. A thread that is ordinary, or after them, stays as it is.
pub fn lower() {
    // SAFETY: these take numbers, and one structure that lives for the call; 0 is the calling thread.
    unsafe {
        let ordinary = libc::sched_param { sched_priority: 0 };
        if matches!(
            libc::sched_getscheduler(0) & !libc::SCHED_RESET_ON_FORK,
            libc::SCHED_FIFO | libc::SCHED_RR
        ) {
            libc::sched_setscheduler(0, libc::SCHED_OTHER, &ordinary);
        }
        // An error is -1, which is a niceness as well; ordinary is wanted either way.
        if libc::getpriority(libc::PRIO_PROCESS, 0) < 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        }
    }
}

/// The CPU that the calling thread runs on at this moment (getcpu(2)).
pub fn cpu() -> Option<usize> {
    sched_getcpu().ok()
}

/// Keeps the calling thread, which is woken by another one, off that one's CPU (sched_setaffinity(2)): from its next
/// call on, and until the other follows.
///
/// For where another program makes entries through ctnetlink. A scheduler leaves who wakes each other on one CPU for a
/// tenth of a second, though the other CPU is held by a process of lower precedence, as long as that one never sleeps;
/// and then that one has `nfnl_lock` nearly always, and a delete gets it in one of five turns. With 60,000 made in a
/// second on two cores, entries were refused in 7 of 20 runs so, and in 1 of 49 with the two apart. Where entries are
/// made by packets nobody waits for a lock, and to share a CPU is the better: of 60,000 handshakes in two seconds
/// 51,900 were let in so, 49,400 with the two apart.
#[derive(Default)]
pub struct Apart {
    from: Option<usize>,
}

impl Apart {
    /// Keeps off this CPU, if the calling thread is on it and may be on another; of none, it may be anywhere again.
    /// Where that cannot be had all stays as it is.
    pub fn keep_from(&mut self, other: Option<usize>) {
        if other == self.from || (other.is_some() && other != cpu()) {
            return;
        }
        self.from = other;
        let mut allowed = allowed();
        if other.is_none_or(|other| allowed.unset(other).is_ok()) {
            // EINVAL where none is left.
            let _ = sched_setaffinity(Pid::from_raw(0), &allowed);
        }
    }
}

/// The CPUs that the first thread of this process might use when this was first asked, before any thread was narrowed
/// here. Of those that a cpuset has taken away since, the kernel makes none of a wish for them.
fn allowed() -> CpuSet {
    static ALLOWED: OnceLock<CpuSet> = OnceLock::new();
    *ALLOWED.get_or_init(|| sched_getaffinity(Pid::this()).unwrap_or_default())
}

/// The CPUs that this process may use, every second one in each half; `None` alone where that is one CPU, or is
/// not known (sched_getaffinity(2)).
pub fn halves() -> Vec<Option<CpuSet>> {
    let (mut even, mut odd) = (CpuSet::new(), CpuSet::new());
    let allowed = allowed();
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)).collect();
    for (at, cpu) in cpus.iter().enumerate() {
        let half = if at % 2 == 0 { &mut even } else { &mut odd };
        // EINVAL of what is no CPU.
        let _ = half.set(*cpu);
    }
    if cpus.len() < 2 { vec![None] } else { vec![Some(even), Some(odd)] }
}

/// The [`halves`] for two threads that both work within the kernel for long: that of the CPU on which the calling thread
/// is, for itself, and the other. Two filtered dumps on one CPU come one after the other, even where the other CPU has
/// nothing to do. `None` where there is one CPU only.
pub fn apart() -> Option<(CpuSet, CpuSet)> {
    let here = cpu()?;
    match halves()[..] {
        [Some(even), Some(odd)] if even.is_set(here) == Ok(true) => Some((even, odd)),
        [Some(even), Some(odd)] => Some((odd, even)),
        _ => None,
    }
}

/// Keeps the calling thread on these CPUs (sched_setaffinity(2)), or leaves it as it is where that cannot be had.
pub fn stay_on(cpus: &CpuSet) {
    let _ = sched_setaffinity(Pid::from_raw(0), cpus);
}

/// Keeps the calling thread on some CPUs until this is dropped.
pub struct Stays(Option<CpuSet>);

impl Stays {
    /// From now on. Where that cannot be had, all stays as it is.
    pub fn on(cpus: &CpuSet) -> Self {
        let before = sched_getaffinity(Pid::from_raw(0)).ok();
        if before.is_some() {
            stay_on(cpus);
        }
        Stays(before)
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        self.0.iter().for_each(stay_on);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_thread_becomes_ordinary_and_one_that_comes_last_stays_so() {
        // SAFETY: as in the functions above.
        let nice = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let settle = |wanted: libc::c_int| unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, wanted) == 0 };
        std::thread::spawn(move || {
            raise();
            assert!(nice() == NICE || nice() >= 0, "with the right to it or without");
            lower();
            assert!(nice() >= 0);
            assert!(settle(5), "later is always allowed");
            lower();
            assert_eq!(nice(), 5);
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn the_halves_are_all_cpus_and_a_thread_that_stayed_on_one_may_be_on_all_again() {
        let allowed = || sched_getaffinity(Pid::from_raw(0)).expect("a mask");
        let cpus = |mask: &CpuSet| (0..CpuSet::count()).filter(|cpu| mask.is_set(*cpu) == Ok(true)).count();
        std::thread::spawn(move || {
            let before = allowed();
            let Some((here, other)) = apart() else {
                assert_eq!((cpus(&before), halves()), (1, vec![None]));
                return;
            };
            assert_eq!(cpus(&here) + cpus(&other), cpus(&sched_getaffinity(Pid::this()).expect("a mask")));
            assert!(
                (0..CpuSet::count()).all(|cpu| here.is_set(cpu) != Ok(true) || other.is_set(cpu) != Ok(true))
            );
            let stays = Stays::on(&other);
            assert_eq!(allowed(), other);
            drop(stays);
            assert_eq!(allowed(), before);
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn a_thread_that_is_woken_leaves_the_cpu_of_its_waker() {
        let allowed = || sched_getaffinity(Pid::from_raw(0)).expect("a mask");
        let several =
            |mask: &CpuSet| (0..CpuSet::count()).filter(|cpu| mask.is_set(*cpu) == Ok(true)).count() > 1;
        let mut apart = Apart::default();
        let before = allowed();
        apart.keep_from(None);
        assert_eq!(allowed(), before, "nobody to keep from");
        for _ in 0..2 {
            // It may be moved between the question and its use.
            let mut left = None;
            for _ in 0..1000 {
                left = cpu();
                apart.keep_from(left);
                if apart.from == left {
                    break;
                }
            }
            let left = left.expect("a CPU");
            assert_eq!(apart.from, Some(left));
            let stays = !several(&sched_getaffinity(Pid::this()).expect("a mask"));
            assert_eq!(allowed().is_set(left), Ok(stays));
            assert!(stays || cpu() != Some(left), "it is elsewhere at once");
        }
        apart.keep_from(None);
        assert_eq!(allowed(), before);
    }
}
