//! Metrics: the contract's OpenMetrics text over HTTP.
//!
//! The figures come from copies that the agent hands over ([`Reading`]); nothing here asks the kernel or waits for a
//! thread that does. [`serve`] answers, [`write()`] makes the text.

mod acts;
mod http;
mod steady;
mod text;

pub use acts::Acts;
pub use http::{Limits, Listener, Pages, serve};
pub use steady::Steady;
pub use text::{CONTENT_TYPE, Reading, write};
