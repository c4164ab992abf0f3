//! The loader as its caller sees it: a text and variables in, a configuration or sentences out.

mod access;
mod client_certificates;
mod environment;
mod grammar;
mod letsencrypt;
mod notifications;
mod observing;
mod oidc;
mod rules;
mod secrets;
mod show;
mod stock;

use super::{Config, Error, Loaded, read};

/// The smallest file that starts.
const SMALL: &str = "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /data\nhttp:\n  addr: :5000\n";

fn with_environment(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Error> {
    read("config.yml", text, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn loaded(text: &str) -> Loaded {
    with_environment(text, &[]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn config(text: &str) -> Config {
    loaded(text).config
}

/// Every notice, a line each.
fn notices(text: &str) -> String {
    loaded(text).warnings.iter().map(|notice| format!("{:?} {}\n", notice.severity, notice.message)).collect()
}

/// The sentences of the error.
fn refusal(text: &str, variables: &[(&str, &str)]) -> String {
    match with_environment(text, variables) {
        Ok(_) => panic!("started:\n{text}"),
        Err(error) => error.to_string(),
    }
}
