//! Changes that other programs make to the values that the agent may change.

use serde::{Deserialize, Serialize};

/// Kind of change that another program made to a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// Back to what the agent had found: a firewall's restart does that.
    PutBack,
    /// To what a file of sysctl.d says: the same.
    Configured,
    /// To something new: an operator's wish.
    NewValue,
    /// Back to what the agent had set: a script that saved and restored.
    Own,
}

/// A value that a file sets at boot, or whenever `sysctl --system` runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfiguredValue {
    /// By the contract's name (`max`, `tcp_timeout_established`).
    pub name: String,
    /// Value in the file.
    pub value: u64,
    /// Path of the file.
    pub file: String,
}
