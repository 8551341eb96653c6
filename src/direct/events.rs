//! `events`: what the kernel tells of the table as it changes.

use std::io;
use std::time::Duration;

use super::Target;
use super::list::Sink;
use crate::core::model::{Event, EventKind, Filters};
use crate::error::{Error, Result};
use crate::linux::ctnetlink::{Change, Ctnetlink};
use crate::linux::listener::Listener;
use crate::linux::socket::{Netlink, explain};
use crate::linux::stop::{Stop, Woken};
use crate::linux::sysctl::ConntrackSysctls;
use crate::linux::table;

/// Room for 26,000 events: a second of a reader that stalls at 26,000 a second.
const BUFFER_BYTES: usize = 32 << 20;
/// System calls of 64 events each before they are handed on.
const BATCHES: usize = 4;
/// Losses show in a counter and wake nobody.
const TICK: Duration = Duration::from_secs(1);

/// An item of a tail of events.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// An event that the filters want.
    Event(&'a Event),
    /// Events, of whatever kind, that found no room since the last time: the reader, or this machine, is too slow.
    Lost(u64),
}

/// Hands on events until the sink has enough, a signal comes, or the reader of standard output leaves.
///
/// # Errors
/// Exit 3 where the kernel tells no events, or not this user.
pub fn events(
    target: &Target,
    filters: &Filters,
    kinds: &[EventKind],
    sink: &mut impl for<'a> Sink<Told<'a>>,
) -> Result<()> {
    target.namespace().enter()?;
    if ConntrackSysctls::open()?.read("events").is_ok_and(|events| events == 0) {
        return Err(Error::unreachable(
            "conntrack events",
            "nf_conntrack_events is 0: the kernel makes none",
        )
        .hint("sysctl -w net.netfilter.nf_conntrack_events=1, in that network namespace"));
    }
    let failed = |error: io::Error| explain("conntrack events", &error);
    // To join a group succeeds without ctnetlink too (it loads that, where it can), and then nothing ever comes.
    table::count_and_max(&mut Netlink::open()?).map_err(failed)?;
    let mut ctnetlink = Ctnetlink::default();
    let stop = Stop::catch().map_err(failed)?;
    let mut listener = Listener::open_kinds(BUFFER_BYTES, kinds)?;
    let (mut lost, mut unreadable, output) = (0, 0, io::stdout());
    let mut more = false;
    loop {
        let at_most = if more { Duration::ZERO } else { TICK };
        let woken = stop.wait(listener.descriptor(), std::os::fd::AsFd::as_fd(&output), at_most);
        if woken == Woken::ReaderGone {
            return Ok(());
        }
        let met = listener.drain(BATCHES, |event| {
            if filters.matches(&event.entry, None) {
                sink.entry(Told::Event(event));
            }
        });
        let met = met.map_err(failed)?;
        (more, unreadable) = (met.more, unreadable + met.unreadable);
        let lost_now = u64::from(listener.lost().map_err(failed)?) + unreadable;
        if lost_now > lost {
            sink.entry(Told::Lost(lost_now - lost));
            lost = lost_now;
        }
        if met.received == 0 && ctnetlink.look() == Change::Gone {
            let why = "nf_conntrack_netlink was unloaded: the kernel tells no more events";
            return Err(Error::unreachable("conntrack events", why).hint("modprobe nf_conntrack_netlink"));
        }
        if !sink.breathe() || woken == Woken::Asked {
            return Ok(());
        }
    }
}
