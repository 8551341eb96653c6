//! Fair share: at critical, with all that is gentler spent, who holds more than its share gives up what is over it.
//!
//! Each step asks what is still missing of the holders as they stand after the step before:
//! 1. what never had a reply, whoever it claims to be from. It can be forged; so all of it is owed by nobody else, even
//!    where it is too young to go yet: the kernel's own early drop takes such entries when it needs room;
//! 2. sources without an ASSURED entry, or young ones, where together they hold what is missing: a scattered flood
//!    pays as one, inside it by level, and nobody else pays for it;
//! 3. else everybody above the level to which all sources would have to be cut. Where those who hold much would give
//!    half of what is missing, that level holds. Where many small ones make the flood, those stand together as one, and
//!    inside it prefixes do, by level (/16, /24, address; /48, /56, /64): so that an honest office behind one address
//!    does not pay for a flood out of many, wherever those are.
//!
//! A due that cannot be met (its entries are live, or idle less than the emergency floor) is nobody else's: what is
//! below its level never pays for a flood.

use super::ceiling::what_makes_room;
use super::max_min::{Claim, dues, level};
use super::moment::Moment;
use crate::core::model::*;

/// Payers with at most this multiple of the mean of all payers stand together.
const LITTLE: f64 = 4.0;
/// Prefixes by which levels are found before the source itself, IPv4 and IPv6.
const PREFIXES: [(u8, u8); 3] = [(16, 48), (24, 56), (32, 64)];
/// Payers that are named at most; all of them pay.
const NAMED: usize = 100;

/// Entries that are asked of each holding so far.
struct Bill<'a> {
    weighed: &'a Weighed,
    weights: Vec<f64>,
    /// Entries that may be taken of each holding.
    takeable: Vec<u64>,
    /// Entries that each holding pays.
    pays: Vec<u64>,
    /// Entries that are missing still.
    missing: u64,
}

/// Adds what makes up for `missing` entries; how many that may free.
pub(super) fn share_out(moment: &Moment<'_>, weighed: &Weighed, missing: u64, plan: &mut Plan) -> u64 {
    let settings = moment.settings;
    let floor = settings.flush.emergency_idle_floor_seconds;
    let forged = take_unanswered(weighed, missing, floor, settings, plan);
    let mut bill = Bill::new(weighed, missing.saturating_sub(weighed.unanswered_entries), settings);
    let group = bill.ask_group();
    // Entries that a scattered flood owes and cannot give yet are not asked of honest sources that are larger than
    // each bot.
    if group.is_none() {
        bill.ask_above_level();
    }
    tell_what_stays(moment, &bill, floor, plan);
    forged + take_dues(&bill, group, floor, settings, plan)
}

fn take_unanswered(weighed: &Weighed, missing: u64, floor: u32, settings: &Settings, plan: &mut Plan) -> u64 {
    let there = weighed.unanswered.total();
    let budget = there.min(missing);
    if budget == 0 {
        return 0;
    }
    let reason = format!(
        "{missing} entries are over target_percent {} and nothing gentler is left; {there} entries never had a \
         reply and are idle for {floor} s or more: whoever they claim to be from, they go first",
        settings.pressure.target_percent
    );
    let idle_over_seconds = weighed.unanswered.cut_for(budget, floor);
    let share = Some(Share::Unanswered);
    let flush = Flush { share, ..Flush::of(Class::FairShare, idle_over_seconds, budget) };
    plan.actions.push(Action { act: Act::Flush(flush), reason });
    budget
}

impl<'a> Bill<'a> {
    fn new(weighed: &'a Weighed, missing: u64, settings: &Settings) -> Self {
        let holdings = &weighed.holdings;
        let mut takeable = vec![0; holdings.len()];
        for bin in &weighed.takeable {
            if let Some(sum) = takeable.get_mut(bin.holding as usize) {
                *sum += u64::from(bin.entries);
            }
        }
        let weights = holdings.iter().map(|holding| weight(&holding.holder, settings)).collect();
        Bill { weighed, weights, takeable, pays: vec![0; holdings.len()], missing }
    }

    /// Entries that are left to a holding.
    fn holds(&self, i: usize) -> u64 {
        u64::from(self.weighed.holdings[i].entries).saturating_sub(self.pays[i])
    }

    fn claim(&self, i: usize) -> Claim {
        Claim { entries: self.holds(i), weight: self.weights[i] }
    }

    /// A holding pays what it is due, as far as it may be taken.
    fn charge(&mut self, i: usize, due: u64) {
        let paid = due.min(self.takeable[i]).min(self.missing);
        self.pays[i] += paid;
        self.takeable[i] -= paid;
        self.missing -= paid;
    }

    /// Step 2. How many entries the group holds, where it pays.
    fn ask_group(&mut self) -> Option<u64> {
        let suspect = |holding: &Holding| holding.entries > 0 && (holding.assured == 0 || holding.young);
        let holdings = &self.weighed.holdings;
        let group: Vec<usize> = (0..holdings.len()).filter(|i| suspect(&holdings[*i])).collect();
        let held: u64 = group.iter().map(|i| self.holds(*i)).sum();
        if self.missing == 0 || held < self.missing {
            return None;
        }
        self.ask(&group);
        Some(held)
    }

    fn ask(&mut self, members: &[usize]) {
        let claims: Vec<Claim> = members.iter().map(|i| self.claim(*i)).collect();
        for (i, due) in members.iter().zip(dues(&claims, self.missing)) {
            self.charge(*i, due);
        }
    }

    /// Asks holdings above the level, which is step 3.
    fn ask_above_level(&mut self) {
        let everybody: Vec<Claim> = (0..self.weights.len()).map(|i| self.claim(i)).collect();
        let level = level(&everybody, self.missing);
        let height = |i: &usize| everybody[*i].height();
        let payers: Vec<usize> = (0..everybody.len()).filter(|i| height(i) > level).collect();
        let mean = payers.iter().map(height).sum::<f64>() / payers.len().max(1) as f64;
        let (little, large): (Vec<usize>, Vec<usize>) =
            payers.into_iter().partition(|i| height(i) <= LITTLE * mean);
        let by_level = dues(&everybody, self.missing);
        if 2 * large.iter().map(|i| by_level[*i]).sum::<u64>() >= self.missing {
            // Few explain it: they are cut to the level, and who is a little above it gives that little.
            for i in large.into_iter().chain(little) {
                self.charge(i, by_level[i]);
            }
            return;
        }
        let together = self.claim_of(&little);
        let claims: Vec<Claim> = [together].into_iter().chain(large.iter().map(|i| everybody[*i])).collect();
        let mut dues = dues(&claims, self.missing).into_iter();
        let of_little = dues.next().unwrap_or(0);
        for (i, due) in large.iter().zip(dues) {
            self.charge(*i, due);
        }
        self.ask_prefixes(&little, 0, of_little);
    }

    /// Shares `wanted` out among the prefixes of some holdings, then inside each.
    fn ask_prefixes(&mut self, members: &[usize], depth: usize, wanted: u64) {
        if wanted == 0 {
            return;
        }
        // Holdings are in order, so that those of a prefix lie side by side.
        let holder = |i: &usize| &self.weighed.holdings[*i].holder;
        let parts: Vec<&[usize]> =
            members.chunk_by(|a, b| prefix(holder(a), depth) == prefix(holder(b), depth)).collect();
        let claims: Vec<Claim> = parts.iter().map(|part| self.claim_of(part)).collect();
        for (part, due) in parts.into_iter().zip(dues(&claims, wanted)) {
            match part {
                [single] => self.charge(*single, due),
                several => self.ask_prefixes(several, depth + 1, due),
            }
        }
    }

    /// Several stand for as many as they do in the mean, by what each holds.
    fn claim_of(&self, members: &[usize]) -> Claim {
        let entries: u64 = members.iter().map(|i| self.holds(*i)).sum();
        let height: f64 = members.iter().map(|i| self.holds(*i) as f64 / self.weights[*i]).sum();
        let weight = if height > 0.0 { entries as f64 / height } else { 1.0 };
        Claim { entries, weight }
    }
}

/// The prefix by which a holder is asked at this depth; in the end, itself.
fn prefix(holder: &Holder, depth: usize) -> Holder {
    let Some((v4, v6)) = PREFIXES.get(depth) else { return *holder };
    let len = if holder.net.addr().is_ipv4() { *v4 } else { *v6 };
    match ipnet::IpNet::new(holder.net.addr(), len) {
        Ok(net) if len < holder.net.prefix_len() => Holder { net: net.trunc(), ..*holder },
        _ => *holder,
    }
}

/// Number of users for which a source stands: of the longest prefix that the operator named for it.
fn weight(holder: &Holder, settings: &Settings) -> f64 {
    let named = settings.flush.source_weights.iter().filter(|(net, _)| net.contains(&holder.net));
    named.max_by_key(|(net, _)| net.prefix_len()).map_or(1.0, |(_, weight)| *weight)
}

/// Says why not all of it goes, until when, and what makes room before.
fn tell_what_stays(moment: &Moment<'_>, bill: &Bill<'_>, floor: u32, plan: &mut Plan) {
    if bill.missing == 0 {
        return;
    }
    plan.reasons.push(format!(
        "{} entries that are too many stay: what is above the fair share is live, protected or not idle for \
         emergency_idle_floor_seconds {floor} for certain, and nobody below it pays for others; they go as they come to be \
         idle for so long, and before that {}",
        bill.missing,
        what_makes_room(moment.snapshot, moment.settings)
    ));
}

fn take_dues(bill: &Bill<'_>, group: Option<u64>, floor: u32, settings: &Settings, plan: &mut Plan) -> u64 {
    let payers: Vec<usize> = (0..bill.pays.len()).filter(|i| bill.pays[*i] > 0).collect();
    let budget: u64 = payers.iter().map(|i| bill.pays[*i]).sum();
    if budget == 0 {
        return 0;
    }
    let level = payers.iter().map(|i| bill.holds(*i)).min();
    let named = name(bill, &payers);
    let flush = Flush {
        share_level: level,
        payers: Some(named),
        share: Some(Share::Dues(payers.iter().map(|i| due(bill, *i)).collect())),
        ..Flush::of(Class::FairShare, floor, budget)
    };
    let reason = sentence(bill, &flush, payers.len(), group, settings);
    plan.actions.push(Action { act: Act::Flush(flush), reason });
    budget
}

fn sentence(
    bill: &Bill<'_>,
    flush: &Flush,
    payers: usize,
    group: Option<u64>,
    settings: &Settings,
) -> String {
    let largest = flush.payers.iter().flatten().take(3);
    let largest: Vec<String> = largest.map(|p| format!("{} gives {}", p.source, p.entries)).collect();
    let more = payers.saturating_sub(largest.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let scattered = group.map_or(String::new(), |held| {
        format!("; sources without an ASSURED entry or younger than calm_seconds hold {held} and pay first")
    });
    format!(
        "{} entries are over target_percent {} and nothing gentler is left{scattered}; of {} sources {payers} hold \
         more than their share and none is cut below {}: {}{more}; not ASSURED first, the longest idle first, none \
         idle less than {} s",
        flush.budget + bill.missing,
        settings.pressure.target_percent,
        bill.weighed.holdings.len(),
        flush.share_level.unwrap_or(0),
        largest.join(", "),
        flush.idle_over_seconds
    )
}

fn name(bill: &Bill<'_>, payers: &[usize]) -> Vec<Payer> {
    let mut by_due: Vec<usize> = payers.to_vec();
    by_due.sort_by_key(|i| (std::cmp::Reverse(bill.pays[*i]), *i));
    let named = by_due.into_iter().take(NAMED);
    named
        .map(|i| Payer { source: bill.weighed.holdings[i].holder.to_string(), entries: bill.pays[i] })
        .collect()
}

/// Entries of a payer that go: bins in the order of their rank until the due is met.
fn due(bill: &Bill<'_>, i: usize) -> Due {
    let takeable = &bill.weighed.takeable;
    let start = takeable.partition_point(|bin| (bin.holding as usize) < i);
    let mut left = bill.pays[i];
    let mut due = Due {
        holder: bill.weighed.holdings[i].holder,
        entries: u32::try_from(left).unwrap_or(u32::MAX),
        rank: Rank::default(),
        at_rank: 0,
    };
    let own: Vec<&Takeable> = takeable[start..].iter().take_while(|bin| bin.holding as usize == i).collect();
    for bin in own.into_iter().rev() {
        let taken = left.min(bin.entries.into());
        (due.rank, due.at_rank) = (bin.rank, taken as u32);
        left -= taken;
        if left == 0 {
            break;
        }
    }
    due
}
