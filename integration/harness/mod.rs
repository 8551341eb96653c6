//! Namespaces, gateways, traffic and agents for the tests: each goes with its guard.

pub mod agent;
pub mod cleanup;
pub mod cost;
pub mod environment;
pub mod fill;
pub mod flow;
pub mod frames;
pub mod hostwide;
pub mod living;
pub mod namespace;
pub mod netlink;
pub mod packets;
pub mod pressed;
pub mod scrape;
pub mod table;
pub mod terminal;
pub mod tool;
pub mod topology;
pub mod traffic;
pub mod unanswered;
pub mod wait;
