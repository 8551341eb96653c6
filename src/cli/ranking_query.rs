//! The question of `top-sources` and `top`, put to the agent where it keeps the figures asked for, else to the kernel.

use std::time::Duration;

use super::place::Place;
use super::prefix;
use super::reach::{self, NoAnswer};
use crate::core::model::{Filters, Grouping, Question, Ranking, SortBy};
use crate::direct;
use crate::error::Result;

/// Time for which new entries are listened to where no agent has counted them.
pub const LISTEN: Duration = Duration::from_secs(2);

/// A question about the sources (or other groups) that fill the table, and the entries that count for it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RankingQuery {
    /// Grouping, rank, prefix lengths and number of rows.
    pub question: Question,
    /// Filters that an entry must match to count.
    pub filters: Filters,
    /// True if only the kernel is asked (`--direct`).
    pub direct: bool,
}

impl RankingQuery {
    /// Asks the agent.
    ///
    /// # Errors
    /// The reason why the answer cannot be the agent's.
    pub fn agent(&self, place: &Place) -> std::result::Result<Ranking, NoAnswer> {
        let Question { rank, prefix, limit, .. } = self.question;
        if self.direct {
            return Err(NoAnswer::Direct);
        }
        if let Some(why) = self.why_no_agent() {
            // That no agent keeps these figures is worth saying only if there is an agent.
            let none = reach::agent(&place.socket, place.target.netns()).err();
            return Err(none.unwrap_or(NoAnswer::NotKept(why)));
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

    /// Asks the kernel, by a dump. Where new entries are asked for, it listens to them for `span` too.
    ///
    /// # Errors
    /// Exit 3 if the kernel cannot be read.
    pub fn kernel(&self, place: &Place, span: Duration) -> Result<Ranking> {
        let listen = (self.question.rank == SortBy::New).then_some(span);
        let wanted = |entry: &_, idle| self.filters.matches(entry, idle);
        let idleness = self.filters.need_idleness();
        let judged = self.question.rank == SortBy::Idle || idleness;
        let beside = match (judged, self.direct) {
            (false, _) => None,
            (true, false) => place.beside_agent()?,
            (true, true) => place.without_arithmetic()?,
        };
        let target = beside.as_ref().unwrap_or(&place.target);
        direct::ranking(target, &place.settings, &self.question, listen, idleness, &wanted)
    }

    /// Returns the reason why no agent can answer, `None` if it can: of each entry an agent keeps no more than its
    /// source, its protocol and its time of arrival.
    pub fn why_no_agent(&self) -> Option<&'static str> {
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
            RankingQuery { question, ..RankingQuery::default() }.why_no_agent()
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
