//! The only Linux: netlink, sysctls, memory facts, namespaces, clocks. The only `unsafe`.

pub mod address;
pub mod attribute;
pub mod clock;
pub mod decode;
pub mod deleting;
pub mod event_listeners;
pub mod grace;
pub mod host_values;
pub mod listener;
pub mod memory;
pub mod netns;
mod own_ports;
mod port_filter;
pub mod priority;
pub mod process;
pub mod receive;
pub mod request;
mod root;
mod second_look;
pub mod sock_diag;
pub mod socket;
pub mod sysctl;
pub mod sysctl_files;
pub mod table;
pub mod timeout_policies;
