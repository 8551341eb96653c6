//! Who runs first where a flood and its remedy share a core.
#![allow(unsafe_code)]

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
