//! Breakwater: the registry you already run, hardened.
//!
//! The map, from the outside in: [`cli`] turns a command line into one call; [`server`] builds the state and owns the
//! sockets and background tasks; [`config`] reads the file and the environment into the options of each layer; [`http`] is
//! the protocol on the wire; [`auth`] says who asks and whether they may; [`registry`] is what a push, a pull and a delete
//! mean; [`storage`] moves bytes at keys; [`oci`] holds the words of the specifications as types. [`notify`] tells others what
//! happened; [`tls`] keeps certificates; [`telemetry`] logs and counts; [`blocking`] and `whole_file` are leaves. `tests/layering.rs` guards who may import whom.

pub mod auth;
pub mod blocking;
pub mod cli;
pub mod config;
pub mod http;
pub mod notify;
pub mod oci;
pub mod registry;
pub mod server;
pub mod storage;
pub mod telemetry;
pub mod tls;
mod whole_file;
