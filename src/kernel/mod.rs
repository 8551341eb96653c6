//! The only Linux: netlink, sysctls, memory facts, namespaces. The only `unsafe`.

pub mod attribute;
pub mod decode;
pub mod listener;
pub mod receive;
pub mod request;
pub mod socket;
pub mod table;
