//! Until when the agent was told to change nothing in a namespace, and by whom. It outlives what watches that
//! namespace: one that is deleted and comes back under its name is still paused.

use std::sync::{Arc, Mutex, PoisonError};

use crate::core::model::Paused;

/// The last order to pause or to act again.
#[derive(Clone, Debug, Default)]
pub struct Pause(Arc<Mutex<Option<Paused>>>);

impl Pause {
    /// The pause that was told last, if it is not over by `now_seconds`, which count from when the host came up.
    pub fn get(&self, now_seconds: f64) -> Option<Paused> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        told.filter(|paused| now_seconds < paused.until_seconds)
    }

    /// Remembers what was told; `None`: to act again.
    pub fn set(&self, paused: Option<Paused>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = paused;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Asker;

    #[test]
    fn a_pause_is_remembered_until_it_is_over_or_taken_back() {
        let pause = Pause::default();
        let other = pause.clone();
        assert_eq!(other.get(0.0), None);
        let paused = |until_seconds| Some(Paused { until_seconds, until: None, by: Asker::default() });
        pause.set(paused(100.0));
        assert_eq!([99.9, 100.0].map(|now| other.get(now)), [paused(100.0), None]);
        pause.set(paused(f64::INFINITY));
        assert_eq!(other.get(1e9), paused(f64::INFINITY));
        pause.set(None);
        assert_eq!(other.get(0.0), None);
    }
}
