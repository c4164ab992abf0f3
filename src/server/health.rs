//! Asks a registry whether it can serve, from beside it: over the address of its configuration, on loopback or its own socket.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, ClientBuilder, redirect};
use rustls::AlertDescription;

use super::listen;
use crate::config::{Config, Listen};

/// Asks the registry of a configuration for `/readyz`, and is content when it can serve. Blocks, for some seconds at most.
pub fn health(config: &Config) -> Result<()> {
    let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(PATIENCE);
    // The question goes to this very machine, and carries no secret. Its certificate is made for another name than `localhost`, may
    // be signed by an authority that only its clients know, and whether it is valid is for them to judge.
    let client = client.tls_danger_accept_invalid_certs(true);
    let (client, authority) = directed(client, &config.listen)?;
    let client = client.build().context("no client can be made")?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(async { client.get(format!("{scheme}://{authority}/readyz")).send().await }) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => bail!("the registry answers, but cannot serve: {} from /readyz", answer.status()),
        Err(error) if wants_certificate(&error) => Ok(()),
        Err(error) => Err(error.without_url()).with_context(|| format!("no answer from {}", shown(&config.listen))),
    }
}

/// A client that finds the registry wherever it listens, and the authority for its URLs.
fn directed(client: ClientBuilder, listen: &Listen) -> Result<(ClientBuilder, String)> {
    match listen {
        Listen::Unix(path) => Ok((client.unix_socket(path.as_path()), NAME.to_owned())),
        Listen::Tcp(address) => {
            let addresses = listen::addresses(address).with_context(|| format!("http.addr: {address} names no address"))?;
            let addresses: Vec<SocketAddr> = addresses.into_iter().flat_map(within_reach).collect();
            let port = addresses.first().map_or(0, SocketAddr::port);
            ensure!(port != 0, "http.addr: {address} names no port to ask at");
            Ok((client.resolve_to_addrs(NAME, &addresses), format!("{NAME}:{port}")))
        }
    }
}

/// Where a socket is reached from its own machine: one that listens everywhere, at loopback.
pub(super) fn within_reach(address: SocketAddr) -> Vec<SocketAddr> {
    let port = address.port();
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => vec![(Ipv4Addr::LOCALHOST, port).into()],
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()],
        _ => vec![address],
    }
}

/// A registry that lets nobody in without a certificate answers, and that is all that can be asked of it without one.
fn wants_certificate(error: &reqwest::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |error| (*error).source());
    causes.any(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref());
        matches!(inner, Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)))
    })
}

fn shown(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.clone(),
        Listen::Unix(path) => path.display().to_string(),
    }
}

const NAME: &str = "localhost";
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_listens_everywhere_is_reached_at_loopback() {
        let of = |text: &str| within_reach(text.parse().unwrap()).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(of("0.0.0.0:5000"), "127.0.0.1:5000");
        assert_eq!(of("[::]:5000"), "127.0.0.1:5000 [::1]:5000");
        assert_eq!(of("10.77.0.1:443"), "10.77.0.1:443");
    }
}
