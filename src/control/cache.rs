//! Answers that are kept for a moment, so that many clients with the same question cost the agent's other threads one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Call, Caller, Refusal, RefusalKind, Reply, Service};

/// A reply or a refusal, shared by all clients that asked.
pub(super) type SharedReply = Result<Arc<Reply>, Refusal>;

/// Largest number of questions whose answers are kept. Questions differ by their parameters, which a client chooses.
const MOST_QUESTIONS: usize = 32;
/// Rows of the largest answer that is kept: a larger one would hold memory without being asked for again.
const MOST_ROWS: usize = 1024;

/// An answer with the time of its question; `None` if there is none to keep.
#[derive(Default)]
struct Answered {
    last: Option<(Instant, SharedReply)>,
}

/// A question and its answer. The lock is held until there is an answer, so that the service is asked once.
#[derive(Clone)]
struct Question {
    call: Call,
    answered: Arc<tokio::sync::Mutex<Answered>>,
}

/// The last questions, the latest at the end.
#[derive(Default)]
pub(super) struct AnswerCache {
    questions: Mutex<Vec<Question>>,
}

impl AnswerCache {
    /// Drops all answers, also those that are under way.
    pub(super) fn forget(&self) {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the answer to `call`: one that was asked for less than `keep` ago, or a new one of `service`, within
    /// `patience`. Returns too for how long the service worked on it; zero if it was not asked.
    ///
    /// The service is asked on a task of its own, which ends with the caller: a pause of the caller neither counts as
    /// work nor delays other clients with the same question.
    pub(super) async fn ask(
        &self,
        service: &Arc<dyn Service>,
        call: Call,
        keep: Duration,
        patience: Duration,
    ) -> (SharedReply, Duration) {
        let (question, service) = (self.question(&call), service.clone());
        let answer = async move {
            let Ok(mut answered) = timeout(patience, question.answered.lock()).await else {
                return (Err(late(patience)), Duration::ZERO);
            };
            if let Some((at, kept)) = &answered.last
                && at.elapsed() < keep
            {
                return (kept.clone(), Duration::ZERO);
            }
            let asked = Instant::now();
            let kept = answer(&service, call, patience).await;
            answered.last = worth_keeping(&kept).then(|| (asked, kept.clone()));
            (kept, asked.elapsed())
        };
        let mut task = JoinSet::new();
        task.spawn(answer);
        match task.join_next().await {
            Some(Ok(answered)) => answered,
            _ => {
                (Err(Refusal::failed("this question meets a bug of the agent").hint("see its log")), patience)
            }
        }
    }

    fn question(&self, call: &Call) -> Question {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        let question = match questions.iter().position(|question| question.call == *call) {
            Some(place) => questions.remove(place),
            None => Question { call: call.clone(), answered: Arc::default() },
        };
        if questions.len() >= MOST_QUESTIONS {
            questions.remove(0);
        }
        questions.push(question.clone());
        question
    }
}

/// Returns a new answer of `service`, within `patience`.
pub(super) async fn answer(service: &Arc<dyn Service>, call: Call, patience: Duration) -> SharedReply {
    timeout(patience, service.answer(call)).await.unwrap_or_else(|_| Err(late(patience))).map(Arc::new)
}

/// Returns the answer of `service` to a call that changes something, within `patience`.
pub(super) async fn change(
    service: &Arc<dyn Service>,
    call: Call,
    caller: Caller,
    patience: Duration,
) -> SharedReply {
    let answer = timeout(patience, service.change(call, caller)).await;
    answer.unwrap_or_else(|_| Err(late(patience))).map(Arc::new)
}

pub(super) fn late(patience: Duration) -> Refusal {
    let message = format!("the agent gave no answer within {} s", patience.as_secs_f64());
    Refusal::busy(message).hint("ask again; if it stays so, see the agent's log")
}

fn worth_keeping(kept: &SharedReply) -> bool {
    match kept {
        // A busy agent may have room again at once.
        Err(refusal) => refusal.kind != RefusalKind::Busy,
        Ok(reply) => match reply.as_ref() {
            Reply::ManySources(..) => false,
            Reply::TopSources(document) => document.sources.len() <= MOST_ROWS,
            Reply::Entries(document) => document.entries.len() <= MOST_ROWS,
            Reply::History(records) => records.len() <= MOST_ROWS,
            _ => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::control::Answer;

    const KEEP: Duration = Duration::from_secs(60);

    /// A service that counts its questions; each answer takes `takes`.
    #[derive(Default)]
    struct Counting {
        asked: AtomicUsize,
        takes: Duration,
        refuses: Option<Refusal>,
    }

    impl Service for Counting {
        fn answer(&self, _: Call) -> Answer {
            let message = self.asked.fetch_add(1, Relaxed).to_string();
            let (takes, refuses) = (self.takes, self.refuses.clone());
            Box::pin(async move {
                tokio::time::sleep(takes).await;
                refuses.map_or(Ok(Reply::Done { message }), Err)
            })
        }
    }

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(future)
    }

    fn counting(service: Counting) -> (Arc<Counting>, Arc<dyn Service>) {
        let service = Arc::new(service);
        (service.clone(), service)
    }

    #[test]
    fn the_same_question_is_asked_once_while_its_answer_is_kept() {
        let (counted, service) = counting(Counting::default());
        run(async {
            let answers = AnswerCache::default();
            for _ in 0..5 {
                answers.ask(&service, Call::GetPlan, KEEP, KEEP).await.0.expect("an answer");
            }
            assert_eq!(counted.asked.load(Relaxed), 1);
            answers.ask(&service, Call::GetSnapshot, KEEP, KEEP).await.0.expect("an answer");
            assert_eq!(counted.asked.load(Relaxed), 2, "another question");
            answers.ask(&service, Call::GetPlan, Duration::ZERO, KEEP).await.0.expect("an answer");
            assert_eq!(counted.asked.load(Relaxed), 3, "for whom nothing is kept");
            answers.forget();
            answers.ask(&service, Call::GetPlan, KEEP, KEEP).await.0.expect("an answer");
            assert_eq!(counted.asked.load(Relaxed), 4, "something was changed");
        });
    }

    #[test]
    fn who_asks_meanwhile_waits_for_the_same_answer() {
        let (counted, service) =
            counting(Counting { takes: Duration::from_millis(20), ..Counting::default() });
        run(async {
            let answers = Arc::new(AnswerCache::default());
            let mut asking = JoinSet::new();
            for _ in 0..8 {
                let (answers, service) = (answers.clone(), service.clone());
                asking.spawn(async move { answers.ask(&service, Call::GetPlan, KEEP, KEEP).await });
            }
            let mut took = Vec::new();
            while let Some(Ok((answer, spent))) = asking.join_next().await {
                assert_eq!(*answer.expect("an answer"), Reply::Done { message: "0".into() });
                took.push(spent);
            }
            assert_eq!(took.iter().filter(|spent| !spent.is_zero()).count(), 1, "one pays: {took:?}");
            assert_eq!(counted.asked.load(Relaxed), 1);
        });
    }

    #[test]
    fn an_answer_under_way_when_something_changes_is_not_kept() {
        let (counted, service) =
            counting(Counting { takes: Duration::from_millis(20), ..Counting::default() });
        run(async {
            let answers = Arc::new(AnswerCache::default());
            let early = {
                let (answers, service) = (answers.clone(), service.clone());
                tokio::spawn(async move { answers.ask(&service, Call::GetPlan, KEEP, KEEP).await })
            };
            tokio::task::yield_now().await;
            answers.forget();
            answers.ask(&service, Call::GetPlan, KEEP, KEEP).await.0.expect("an answer");
            early.await.expect("no panic").0.expect("an answer");
            answers.ask(&service, Call::GetPlan, KEEP, KEEP).await.0.expect("an answer");
            assert_eq!(counted.asked.load(Relaxed), 2, "the later answer is the one that is kept");
        });
    }

    #[test]
    fn a_refusal_is_kept_unless_the_agent_is_only_busy() {
        for (refusal, asked) in [(Refusal::no("it remembers nothing"), 1), (Refusal::busy("no room"), 3)] {
            let (counted, service) = counting(Counting { refuses: Some(refusal), ..Counting::default() });
            run(async {
                let answers = AnswerCache::default();
                for _ in 0..3 {
                    answers.ask(&service, Call::GetPlan, KEEP, KEEP).await.0.expect_err("a refusal");
                }
            });
            assert_eq!(counted.asked.load(Relaxed), asked);
        }
    }

    #[test]
    fn questions_with_ever_other_parameters_are_forgotten() {
        let (_, service) = counting(Counting::default());
        run(async {
            let answers = AnswerCache::default();
            for limit in 0..1000 {
                let call = Call::GetTopSources { limit, rank: crate::core::model::SortBy::Entries };
                answers.ask(&service, call, KEEP, KEEP).await.0.expect("an answer");
            }
            assert_eq!(answers.questions.lock().expect("whole").len(), MOST_QUESTIONS);
        });
    }
}
