//! Levels of pressure.

use serde::{Deserialize, Serialize};

/// The level of pressure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do.
    #[default]
    Normal,
    /// At or over `high_percent`, or about to be full.
    High,
    /// At or over `critical_percent`, or packets are being dropped.
    Critical,
}

impl Level {
    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Normal => "normal",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
