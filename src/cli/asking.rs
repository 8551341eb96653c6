//! `top-sources` asked of the agent where it keeps what is asked, of the kernel else.

use std::time::Duration;

use super::place::Place;
use super::prefix;
use super::reach::{self, Without};
use crate::error::Result;
use crate::model::{Filters, Grouping, Question, Ranking, SortBy};
use crate::survey;

/// How long new entries are listened to where no agent has counted them.
pub const LISTEN: Duration = Duration::from_secs(2);

/// What is asked.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Asking {
    /// By what, and how many.
    pub question: Question,
    /// Entries that count.
    pub filters: Filters,
    /// The kernel's answer alone.
    pub direct: bool,
}

impl Asking {
    /// The agent's answer.
    ///
    /// # Errors
    /// Why it has none.
    pub fn agent(&self, place: &Place) -> std::result::Result<Ranking, Without> {
        let Question { rank, prefix, limit, .. } = self.question;
        if self.direct {
            return Err(Without::Direct);
        }
        if let Some(why) = self.unkept() {
            // What an agent does not keep is no reason where there is none.
            let none = reach::agent(&place.socket, place.target.netns()).err();
            return Err(none.unwrap_or(Without::Unkept(why)));
        }
        let top = reach::asked(&place.socket, place.target.netns(), |client| match prefix {
            None => client.top_sources(limit as u64, rank),
            // Prefixes are summed over every source: the first few addresses say nothing of them.
            Some(_) => client.top_sources(0, rank),
        })?;
        Ok(match prefix {
            None => top.into(),
            Some(lengths) => prefix::aggregate(top, lengths, rank, limit).into(),
        })
    }

    /// The kernel's, from a dump; new entries are listened to for `span` where they are asked for.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read.
    pub fn kernel(&self, place: &Place, span: Duration) -> Result<Ranking> {
        let listen = (self.question.rank == SortBy::New).then_some(span);
        let wanted = |entry: &_, idle| self.filters.matches(entry, idle);
        let idleness = self.filters.need_idleness();
        let judged = self.question.rank == SortBy::Idle || idleness;
        let beside = match (judged, self.direct) {
            (false, _) => None,
            (true, false) => place.beside_agent()?,
            (true, true) => place.distrusting()?,
        };
        let target = beside.as_ref().unwrap_or(&place.target);
        survey::ranking(target, &place.settings, &self.question, listen, idleness, &wanted)
    }

    /// Why no agent knows: it keeps of each entry no more than its source, its protocol and when it came.
    pub fn unkept(&self) -> Option<&'static str> {
        if !self.filters.is_empty() {
            return Some("the agent counts sources and keeps no entries to filter");
        }
        match (self.question.grouping, self.question.rank) {
            (Grouping::Source, SortBy::Entries | SortBy::New) => None,
            (Grouping::Source, SortBy::Unreplied) => {
                Some("the agent does not count by source what is unreplied")
            }
            (Grouping::Source, SortBy::Idle) => Some("the agent does not count by source what is idle"),
            _ => Some("the agent counts by source alone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_asked_for_what_it_keeps_and_for_nothing_else() {
        let unkept = |grouping, rank| {
            let question = Question { grouping, rank, ..Question::default() };
            Asking { question, ..Asking::default() }.unkept()
        };
        assert_eq!(unkept(Grouping::Source, SortBy::Entries), None);
        assert_eq!(unkept(Grouping::Source, SortBy::New), None);
        for (grouping, rank) in [
            (Grouping::Source, SortBy::Idle),
            (Grouping::Source, SortBy::Unreplied),
            (Grouping::Zone, SortBy::New),
        ] {
            assert!(unkept(grouping, rank).is_some());
        }
    }
}
