//! The registry as clients meet it: a real server over real TLS, one module for each noun of the API.

#![expect(clippy::unwrap_used, reason = "a test may end in a panic")]

#[path = "../harness/mod.rs"]
mod harness;

mod accel;
mod access_table;
mod auth;
mod blob_redirect;
mod blobs;
mod catalog;
mod client_certificates;
mod errors;
mod foreign;
mod health;
mod hostile;
mod limits;
mod machine_tokens;
mod manifests;
mod metrics;
mod notifications;
mod options;
mod ranges;
mod referrers;
mod reload;
mod restart;
mod rights;
mod routes;
mod tags;
mod tls;
mod tokens;
mod uploads;
