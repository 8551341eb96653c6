//! Rows that are made as they are sent: a million of them ready to be sent would take 300 MB.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::core::model::SourceRow;

/// Makes the rows of a range.
type Make = dyn Fn(Range<usize>) -> Vec<SourceRow> + Send + Sync;

/// A list of rows in order, made range by range.
#[derive(Clone)]
pub struct SourceRows {
    len: usize,
    make: Arc<Make>,
}

impl SourceRows {
    /// Wraps `make`, which answers for every range up to `len`.
    pub fn new(len: usize, make: impl Fn(Range<usize>) -> Vec<SourceRow> + Send + Sync + 'static) -> Self {
        SourceRows { len, make: Arc::new(make) }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the rows of a range, cut to the rows that there are.
    pub fn of(&self, range: Range<usize>) -> Vec<SourceRow> {
        (self.make)(range.start.min(self.len)..range.end.min(self.len))
    }
}

impl fmt::Debug for SourceRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.len)
    }
}

impl PartialEq for SourceRows {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.of(0..self.len) == other.of(0..self.len)
    }
}
