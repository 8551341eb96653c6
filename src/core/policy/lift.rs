//! Protection is an attack surface: whoever can make entries look protected keeps them for ever. So the share of the
//! table that configuration protects is metered, and at critical it is held to `max_percent`.

use super::moment::Moment;
use super::{Memory, percent, share};
use crate::core::model::{Act, Action, Class, ClassScan, Flush, Level, Plan, Scan, Settings};

/// Entries that configuration protects, and those that it may.
struct Share {
    held: u64,
    allowed: u64,
    percent: f64,
    max_percent: f64,
}

impl Share {
    /// Of the limit, as the last scan saw it: a share of the entries would alarm on an empty table.
    fn of(moment: &Moment<'_>) -> Option<Share> {
        let Moment { snapshot, settings, .. } = *moment;
        let (limit, max_percent) = (moment.limit?, settings.protect.max_percent);
        let scan = snapshot.scan.as_ref().filter(|scan| scan.trusted)?;
        let (held, allowed) = (scan.liftable, share(limit, max_percent));
        Some(Share { held, allowed, percent: percent(held, limit), max_percent })
    }

    /// Tells how much configuration protects, and how many entries would lose that at critical.
    fn sentence(&self, scan: Option<&Scan>) -> String {
        let idle = |sum: u64, seen: &ClassScan| sum.saturating_add(seen.held_by_protection.total());
        let may_lose = scan.map_or(0, |scan| scan.classes.iter().fold(0, idle)).min(self.over());
        let more = match self.over() {
            0 => "at critical none loses that now".into(),
            over => format!(
                "{over} are over that, and at critical {may_lose} of them would be flushed, for they are idle for \
                 certain past their floor"
            ),
        };
        let (held, percent, max_percent) = (self.held, self.percent, self.max_percent);
        format!(
            "configuration protects {held} entries, {percent:.1} % of the limit, against max_percent {max_percent}: \
             {more}"
        )
    }

    fn over(&self) -> u64 {
        self.held.saturating_sub(self.allowed)
    }
}

/// Raises the alarm and takes it back: nine tenths of what raises it, so that it does not come and go.
pub(super) fn meter(moment: &Moment<'_>, memory: &mut Memory, plan: &mut Plan) {
    let Some(share) = Share::of(moment) else { return };
    let stays = memory.overprotected && share.held as f64 > 0.9 * share.allowed as f64;
    memory.overprotected = share.over() > 0 || stays;
    if memory.overprotected {
        let text = share.sentence(moment.snapshot.scan.as_ref());
        plan.waiting.push(text.clone());
        plan.reasons.push(text.clone());
        plan.overprotected = Some(text);
    }
}

/// At critical, where nothing gentler is left, flushes of what configuration protects as much as is over
/// `max_percent`: what is idle for certain past its floor, the longest idle first. How many that may free.
pub(super) fn lift(moment: &Moment<'_>, memory: &Memory, scan: &Scan, excess: u64, plan: &mut Plan) -> u64 {
    let Moment { snapshot, settings, .. } = *moment;
    let Some(share) = Share::of(moment) else { return 0 };
    let allowed = settings.flush.enabled && snapshot.may_flush && plan.level == Level::Critical;
    // Max that rises right now, or may in a moment, may be enough.
    let raises = memory.raised_at_seconds.is_some_and(|at| snapshot.now_seconds - at < 1.0);
    if !allowed || raises {
        return 0;
    }
    let wanted = excess.min(share.over());
    let mut left = wanted;
    for seen in &scan.classes {
        let budget = seen.held_by_protection.total().min(left);
        if budget > 0 {
            plan.actions.push(lifted(seen, budget, excess, settings, &share));
            left -= budget;
        }
    }
    wanted - left
}

fn lifted(seen: &ClassScan, budget: u64, excess: u64, settings: &Settings, share: &Share) -> Action {
    let class: Class = seen.class;
    let floor = settings.flush.floor_seconds(class);
    let held = seen.held_by_protection.total();
    let cut = if held > budget { seen.held_by_protection.cut_for(budget, floor) } else { floor };
    let reason = format!(
        "protection is lifted: {excess} entries are too many, nothing unprotected is idle for certain, and \
         configuration protects {} entries ({:.1} % of the limit, max_percent is {}); {held} {class} entries of them \
         are idle for {floor} s or more",
        share.held, share.percent, share.max_percent
    );
    let flush = Flush { lifts_protection: true, ..Flush::of(class, cut, budget) };
    Action { act: Act::Flush(flush), reason }
}
