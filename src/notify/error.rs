//! Why events cannot be queued or sent at all.

use std::io;
use std::path::PathBuf;

/// Why there can be no notifications.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of the queues cannot be used.
    #[error("the event queue in {} cannot be used", path.display())]
    Queue {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No HTTP client can be made, which hangs on the certificates of the system.
    #[error("no client can be made for the endpoint {name}")]
    Client {
        /// The endpoint.
        name: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A header of an endpoint cannot be sent.
    #[error("the header {header} of the endpoint {name} cannot be sent")]
    Header {
        /// The endpoint.
        name: String,
        /// The header.
        header: String,
    },
}
