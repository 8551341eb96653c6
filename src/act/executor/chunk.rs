//! One chunk of a sweep: what of it is asked for, and what came of that.

use std::collections::VecDeque;
use std::io;

use super::{Judge, Swept, Writer};
use crate::core::model::{Entry, Flush};
use crate::core::sweep::{Allowed, Choice, Rules, Victim};
use crate::linux::table::Chunk;

/// Acts on one chunk.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Number of deletions.
    pub deletions: u64,
    /// Second chances of each act, with the certain idleness of each entry.
    pub chances: Vec<Vec<(Entry, u32)>>,
    /// Entries that were seen some milliseconds ago are not looked at again before they are deleted.
    pub urgent: bool,
}

impl Asked {
    pub fn second_chances(&self) -> u64 {
        self.chances.iter().map(|chances| chances.len() as u64).sum()
    }
}

/// Offers each entry of a chunk to the rules, and hands those that go to the writer.
pub(super) fn ask(
    chunk: &Chunk<'_>,
    writer: &mut dyn Writer,
    rules: &mut Rules<&Flush>,
    (allowed, urgent): (Allowed, bool),
    judge: &mut (impl Judge + ?Sized),
    swept: &mut Swept,
) -> Asked {
    rules.begin(allowed);
    let acts = swept.freed.len();
    let mut asked = Asked { deletions: 0, chances: vec![Vec::new(); acts], urgent };
    let (mut victims, mut met) = (Vec::new(), 0);
    for entry in chunk.entries() {
        let Ok(entry) = entry else {
            swept.unreadable += 1;
            continue;
        };
        met += 1;
        let Some(judged) = judge.judge(&entry) else { continue };
        match rules.offer(&entry, &judged) {
            Choice::Delete(act) => {
                let idle_seconds = judged.idle_unprotected().unwrap_or(0);
                victims.push(Victim { act, idle_seconds, count: 1, item: entry });
                continue;
            }
            Choice::SecondChance(act) => {
                writer.give_grace(&entry, chunk.filled_after);
                asked.chances[act].push((entry, judged.idle_seconds.unwrap_or(0)));
            }
            Choice::Stay => {}
        }
        judge.stays(&entry, &judged);
    }
    if rules.cut(met, &mut victims) {
        // Its histograms lack what stays.
        swept.whole = false;
    }
    asked.deletions = victims.len() as u64;
    victims.iter().for_each(|victim| writer.take(&victim.item, rules.class(victim.act), chunk.filled_after));
    asked
}

/// Batches of deletions that were sent and have not ended: the number of each act's, the oldest batch first.
#[derive(Debug, Default)]
pub(super) struct UnderWay(VecDeque<Vec<u64>>);

impl UnderWay {
    /// Credits the batches that have ended.
    ///
    /// # Errors
    /// The first of theirs.
    fn take(
        &mut self,
        writer: &mut dyn Writer,
        rules: &mut Rules<&Flush>,
        swept: &mut Swept,
    ) -> io::Result<()> {
        self.credit(writer, rules, swept, false)
    }

    /// Waits for all of them, so that none is told of later.
    ///
    /// # Errors
    /// The first of theirs.
    pub fn end(
        &mut self,
        writer: &mut dyn Writer,
        rules: &mut Rules<&Flush>,
        swept: &mut Swept,
    ) -> io::Result<()> {
        let ended = self.credit(writer, rules, swept, true);
        self.0.drain(..).for_each(|sent| rules.failed(&sent));
        ended
    }

    fn credit(
        &mut self,
        writer: &mut dyn Writer,
        rules: &mut Rules<&Flush>,
        swept: &mut Swept,
        wait: bool,
    ) -> io::Result<()> {
        let mut all = Ok(());
        while let Some(done) = self.0.front().and_then(|_| writer.told(wait)) {
            let sent = self.0.pop_front().unwrap_or_default();
            match done {
                Ok(done) => {
                    rules.ended(&sent, done.gone());
                    swept.deleted.add(done);
                }
                Err(error) => {
                    rules.failed(&sent);
                    all = all.and(Err(error));
                }
            }
        }
        all
    }
}

/// Sends what was asked for of a chunk, and tells the judge which entries got a second chance.
pub(super) fn settle(
    asked: &Asked,
    writer: &mut dyn Writer,
    rules: &mut Rules<&Flush>,
    judge: &mut (impl Judge + ?Sized),
    swept: &mut Swept,
    under_way: &mut UnderWay,
) -> io::Result<()> {
    if asked.deletions > 0 {
        writer.begin(asked.urgent)?;
        under_way.0.push_back(rules.sent());
    }
    under_way.take(writer, rules, swept)?;
    for (act, chances) in asked.chances.iter().enumerate().filter(|(_, chances)| !chances.is_empty()) {
        let grace_seconds = rules.flush(act).grace_seconds.unwrap_or_default();
        let mut done = writer.settle_chances(grace_seconds)?;
        let mut set = std::mem::take(&mut done.set).into_iter().peekable();
        let mut given = 0;
        for (entry, idle_seconds) in chances {
            if set.next_if(|given| given == entry).is_some() {
                given += 1;
                if !writer.dry() {
                    judge.given_grace(entry, *idle_seconds, grace_seconds);
                }
            }
        }
        swept.chances_given += given;
        rules.gave(act, given, chances.len() as u64 - done.shorter_already);
        swept.chances.add(done);
    }
    Ok(())
}
