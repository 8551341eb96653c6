//! The control socket from outside: a server with canned answers, the client, and those who mean no good.

mod bind;
mod calls;
mod canned;
mod client;
mod hostile;
mod idl;
mod interface;
mod unprivileged;
