//! The kernel's numbers become a snapshot, and a snapshot the documents that commands print.

pub mod documents;
pub mod gauge;
