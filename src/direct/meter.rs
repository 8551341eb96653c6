//! Usage again and again without an agent: what costs no dump.

use std::collections::BTreeMap;

use super::{Target, found};
use crate::core::model::{Settings, StatusDocument, Value};
use crate::core::policy::{self, Memory};
use crate::error::Result;
use crate::facts::documents;
use crate::facts::gauge::Gauge;
use crate::linux::clock;

/// Reads how full a table is. Belongs to the thread that opened it, which it moves into the namespace.
pub struct Meter<'a> {
    target: &'a Target,
    settings: &'a Settings,
    gauge: Gauge,
    found: BTreeMap<Value, u64>,
}

impl<'a> Meter<'a> {
    /// Enters the namespace and opens what is read.
    ///
    /// # Errors
    /// Exit 3 without conntrack or the right to look.
    pub fn open(target: &'a Target, settings: &'a Settings) -> Result<Meter<'a>> {
        Ok(Meter { target, settings, gauge: target.gauge(settings)?, found: found(target, settings) })
    }

    /// `status` without what needs a dump: classes and what is protected are not known.
    ///
    /// # Errors
    /// Exit 3 where the kernel does not answer any more.
    pub fn read(&mut self) -> Result<StatusDocument> {
        let snapshot = self.gauge.snapshot()?;
        let (plan, _) = policy::decide(&snapshot, &Memory::once(), self.settings);
        let header = documents::header(self.target.netns(), clock::now_rfc3339());
        Ok(documents::status(header, &snapshot, &plan, self.settings, &self.found))
    }
}
