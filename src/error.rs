//! The one error that reaches the operator: what failed, why, and what to do about it.

use std::fmt;

/// Outcome of a command, as its exit code says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It ran and the answer is no, was declined, or something waits.
    No = 1,
    /// Usage or configuration.
    Usage = 2,
    /// The kernel or the agent could not be reached, refused, or did part only.
    Unreachable = 3,
}

/// An error for the operator: the part that failed, the reason, and the remedy. It is printed as `ctctl: what: why`
/// and `hint: …`, one line each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// The exit code that it leads to.
    pub exit: Exit,
    /// The part that failed (`configuration`, `conntrack dump`).
    pub what: String,
    /// The reason, in the kernel's or the parser's words.
    pub why: String,
    /// The remedy, where there is one.
    pub hint: Option<String>,
}

/// A result whose error is for the operator.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The kernel or the agent could not be reached or refused.
    pub fn unreachable(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Error { exit: Exit::Unreachable, what: what.into(), why: why.to_string(), hint: None }
    }

    /// A usage or configuration error.
    pub fn usage(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Error { exit: Exit::Usage, what: what.into(), why: why.to_string(), hint: None }
    }

    /// It ran, and the answer is no.
    pub fn no(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Error { exit: Exit::No, what: what.into(), why: why.to_string(), hint: None }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Error {}
