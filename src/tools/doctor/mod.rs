//! Settings that do not do what their author thinks: findings, each a pure function of the facts.
//!
//! [`gather`] alone reads: files below a root, and the running kernel. It changes nothing and loads no module, for it
//! asks only what is there already. Every other file turns [`Facts`] into findings.

mod applying;
mod assignments;
mod boot_modules;
mod counters;
mod cure;
mod facts;
mod flushes;
mod formats;
pub mod gather;
mod half_closed;
mod kube_proxy;
mod last_writes;
mod lines;
mod loading;
mod messages;
mod modules;
mod names;
mod negative_max;
mod neighbours;
mod options;
mod order;
mod services;
mod settings;
mod short_timeouts;
mod size;
mod spaced_options;
mod timeouts;
mod torn;
mod trial;
mod units;
mod usage;
mod value;
mod writers;

pub use cure::quoted;
pub use facts::{BootModule, EventListener, Facts, Files, Program, Runtime, Service, Side, TableFacts, When};

use crate::core::model::{DoctorDocument, Finding, Header};

/// Every check, in the order in which findings of one severity are shown.
const CHECKS: [fn(&Facts) -> Vec<Finding>; 13] = [
    lines::check,
    assignments::check,
    order::check,
    modules::check,
    loading::check,
    services::check,
    writers::check,
    neighbours::check,
    size::check,
    timeouts::check,
    half_closed::check,
    counters::check,
    usage::check,
];

/// All findings, the worst first.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = CHECKS.iter().flat_map(|check| check(facts)).collect();
    for finding in &mut found {
        finding.evidence = cure::apart(std::mem::take(&mut finding.evidence));
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    cure::once(&mut found);
    found
}

/// The document of `doctor`.
pub fn document(header: Header, facts: &Facts) -> DoctorDocument {
    let findings = findings(facts);
    DoctorDocument {
        header,
        root: facts.root.clone(),
        severity: findings.iter().map(|finding| finding.severity).max(),
        findings,
        tracking_users: usage::users(facts),
        not_examined: facts.not_examined.clone(),
    }
}

#[cfg(test)]
mod tests;
