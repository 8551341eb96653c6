//! Findings of `doctor`: a setting that does not do what its author thinks, or a sign that something is wrong.

use serde::{Deserialize, Serialize};

use super::answer::Header;

/// Severity of a finding, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// It works today, or partly.
    Warning,
    /// It does not do what it says, or connections are lost.
    Error,
}

impl Severity {
    /// In lower case, as documents have it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Evidence of a finding: a line of a file, or a value of the running kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The file, also one of /proc; nothing for what has no file.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Text of the line, or the value that was seen.
    pub text: String,
    /// Time of the evidence, RFC 3339 in UTC: of a message of the kernel when it was written, of a counter when it
    /// was read. `None` where only the text tells, and for what has no time.
    pub at: Option<String>,
}

/// A finding of `doctor`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Its stable name, in kebab-case.
    pub id: String,
    /// Severity of the finding.
    pub severity: Severity,
    /// The finding in one line.
    pub title: String,
    /// Reason for which it matters.
    pub explanation: String,
    /// Lines and values that it rests on.
    pub evidence: Vec<Evidence>,
    /// Commands to paste, one an element; lines that begin with `#` are advice.
    pub fix: Vec<String>,
    /// Kernel functions and documents, RFCs, manual pages.
    pub source: Vec<String>,
}

impl Finding {
    /// Without evidence, fix and source.
    pub fn new(id: &str, severity: Severity, title: impl Into<String>) -> Finding {
        Finding {
            id: id.into(),
            severity,
            title: title.into(),
            explanation: String::new(),
            evidence: Vec::new(),
            fix: Vec::new(),
            source: Vec::new(),
        }
    }

    /// Adds the reason for which it matters.
    pub fn because(self, explanation: impl Into<String>) -> Finding {
        Finding { explanation: explanation.into(), ..self }
    }

    /// Adds lines and values that it rests on.
    pub fn seen(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Finding {
        self.evidence.extend(evidence);
        self
    }

    /// Commands to paste.
    pub fn fix<T: Into<String>>(mut self, commands: impl IntoIterator<Item = T>) -> Finding {
        self.fix.extend(commands.into_iter().map(Into::into));
        self
    }

    /// Adds documents in which it is written.
    pub fn source(mut self, sources: &[&str]) -> Finding {
        self.source.extend(sources.iter().map(ToString::to_string));
        self
    }
}

/// A part that `doctor` could not look at, or did not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotExamined {
    /// A file, or a part of the kernel.
    pub what: String,
    /// Reason for that.
    pub why: String,
    /// It was refused or cannot be read; otherwise there is nothing to look at, or looking would change something.
    pub failed: bool,
}

/// A rule that makes the kernel track connections.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrackingUser {
    /// `nft rule inet filter input handle 7`, `iptables-legacy table nat`.
    pub place: String,
    /// By what: `ct`, `masq`, `flow_offload`.
    pub by: String,
}

/// The document of `doctor`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DoctorDocument {
    /// The head; of an image the namespace has no name and inode 0.
    #[serde(flatten)]
    pub header: Header,
    /// The directory of `--root`; nothing for the running system.
    pub root: Option<String>,
    /// The worst severity found.
    pub severity: Option<Severity>,
    /// Findings, the worst first.
    pub findings: Vec<Finding>,
    /// Rules that track connections; nothing where the ruleset was not read.
    pub tracking_users: Option<Vec<TrackingUser>>,
    /// Parts that were not looked at.
    pub not_examined: Vec<NotExamined>,
}
