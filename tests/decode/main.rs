//! The borrowed decode and the requests, held against the typed messages of netlink-packet-netfilter, against what a
//! kernel was recorded to send, and against the kernel that runs.

mod bytes;
mod captures;
mod expected;
mod forged;
mod generated;
mod hold;
mod live;
mod messages;
mod namespace;
mod recall;
mod recorded;
mod requests;
mod typed;
