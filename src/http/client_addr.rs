//! Who is at the other end: address, scheme and host of a request, worked out here and nowhere else.
//!
//! What a peer says about somebody else (`Forwarded`, `X-Forwarded-*`, `X-Real-IP`) counts only when the peer is trusted to
//! say it: for the client's address the configured proxies, by default loopback; for scheme and host, when nothing is configured,
//! private networks too, so that proxies set up for registry:2 keep their Locations.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use actix_web::HttpRequest;
use actix_web::http::header::{FORWARDED, HOST, HeaderMap};
use ipnet::IpNet;

use crate::auth::{Relay, Source, Visit};

/// What the listener knows of a connection; put into each request's connection data.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The address of the peer; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Whether the connection is TLS to us.
    pub scheme: Scheme,
    /// Whom the client's verified certificate names; `None` also when certificates name nobody.
    pub certificate_user: Option<Arc<str>>,
}

/// The scheme of a request's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The client of a request, as far as anybody who is trusted has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) scheme: Scheme,
    /// The host, with its port if one was named; `None` when it is absent or malformed.
    pub(super) host: Option<String>,
    /// Whether a peer that nobody trusts says that it speaks for somebody else.
    pub(super) relay: Relay,
}

impl Client {
    /// Where the request comes from, as far as rights and limits go.
    pub(super) fn source(&self) -> Source {
        Source { address: self.address, relay: self.relay }
    }
}

/// Whose word counts.
#[derive(Debug)]
pub(super) struct Proxies {
    for_address: Vec<IpNet>,
    for_origin: Vec<IpNet>,
    has_warned: AtomicBool,
}

const LOOPBACK: [&str; 3] = ["127.0.0.0/8", "::1/128", "::ffff:127.0.0.0/104"];
const PRIVATE: [&str; 7] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10"];

/// What proxies add to say whom they speak for.
const FORWARDING: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

impl Proxies {
    pub(super) fn new(configured: Option<Vec<IpNet>>) -> Self {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("the constants are networks")).collect();
        configured.map_or_else(
            || Self {
                for_address: networks(&LOOPBACK),
                for_origin: networks(&[&LOOPBACK[..], &PRIVATE[..]].concat()),
                has_warned: AtomicBool::new(false),
            },
            |list| Self { for_address: list.clone(), for_origin: list, has_warned: AtomicBool::new(false) },
        )
    }

    /// Says once what a set-up that was made for registry:2 misses here.
    fn warn_once(&self, peer: IpAddr) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                client.address = %peer,
                "a proxy that is not under http.trustedproxies passes requests on: its clients count as one, and lie in no network of a rule"
            );
        }
    }

    /// What is known of a request beside its credentials.
    pub(super) fn visit(&self, request: &HttpRequest) -> Visit {
        let certificate = request.conn_data::<ConnectionInfo>().and_then(|info| info.certificate_user.clone());
        Visit { source: self.client(request).source(), certificate, now: SystemTime::now() }
    }

    /// Works out the client of a request.
    pub(super) fn client(&self, request: &HttpRequest) -> Client {
        let scheme = request.conn_data::<ConnectionInfo>().map_or(Scheme::Http, |info| info.scheme);
        self.client_of(request.headers(), peer_of(request), scheme)
    }

    /// Whether a proxy that is trusted has passed a request on, rather than a client beside the registry sent it.
    pub(super) fn have_passed_on(&self, request: &HttpRequest) -> bool {
        contains(&self.for_address, peer_of(request)) && passes_on(request.headers())
    }

    fn client_of(&self, headers: &HeaderMap, peer: IpAddr, scheme: Scheme) -> Client {
        let own_host = || text(headers, HOST.as_str()).map(str::to_owned);
        let mut client = Client { address: peer, scheme, host: own_host(), relay: Relay::None };
        if contains(&self.for_origin, peer) {
            if let Some(scheme) = forwarded_scheme(headers) {
                client.scheme = scheme;
            }
            if let Some(host) = forwarded_host(headers) {
                client.host = Some(host.to_owned());
            }
        }
        if contains(&self.for_address, peer) {
            match self.forwarded_address(headers) {
                Stated::Nothing => {}
                // Another host's own processes are not this host's.
                Stated::One(address) if address.is_loopback() && !peer.is_loopback() => client.relay = Relay::Unclear,
                Stated::One(address) => client.address = address,
                Stated::Unclear => client.relay = Relay::Unclear,
            }
        } else if passes_on(headers) {
            client.relay = Relay::Unclear;
            self.warn_once(peer);
        }
        client.host = client.host.filter(|host| is_host(host));
        client
    }

    /// The address that a trusted proxy states. Most proxies write one of these headers and pass the others on as the client wrote them:
    /// so where several are there, they must agree, and one of which a part cannot be read says nothing that could be relied on.
    fn forwarded_address(&self, headers: &HeaderMap) -> Stated {
        let is_unreadable = |name: &str| headers.get_all(name).any(|value| value.to_str().is_err());
        let named = forwarded(headers, "for");
        let some_are_silent = !named.is_empty() && named.len() != hops(headers).count();
        if some_are_silent || [FORWARDED.as_str(), "x-forwarded-for", "x-real-ip"].into_iter().any(is_unreadable) {
            return Stated::Unclear;
        }
        let all = [named, list(headers, "x-forwarded-for"), list(headers, "x-real-ip")];
        let stated = all.into_iter().filter(|hops| !hops.is_empty()).map(|hops| self.nearest_stranger(hops));
        stated.map(|address| address.map_or(Stated::Unclear, Stated::One)).reduce(Stated::agreed).unwrap_or(Stated::Nothing)
    }

    /// The rightmost hop that is not one of ours; with none, the leftmost. `None` when one on the way is no address.
    fn nearest_stranger(&self, hops: Vec<&str>) -> Option<IpAddr> {
        let mut nearest = None;
        for hop in hops.into_iter().rev() {
            let address = address_of(hop)?;
            nearest = Some(address);
            if !contains(&self.for_address, address) {
                break;
            }
        }
        nearest
    }
}

/// What a proxy says of the address of the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stated {
    Nothing,
    One(IpAddr),
    /// Several, or none that is an address.
    Unclear,
}

impl Stated {
    fn agreed(self, other: Self) -> Self {
        if self == other { self } else { Self::Unclear }
    }
}

/// Who is at the other end of the connection. A peer on a Unix socket is a proxy on this host.
fn peer_of(request: &HttpRequest) -> IpAddr {
    let peer = request.conn_data::<ConnectionInfo>().and_then(|info| info.peer);
    peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip().to_canonical())
}

fn passes_on(headers: &HeaderMap) -> bool {
    FORWARDING.iter().any(|name| headers.contains_key(*name))
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

fn forwarded_scheme(headers: &HeaderMap) -> Option<Scheme> {
    let stated = forwarded(headers, "proto").first().copied().or_else(|| list(headers, "x-forwarded-proto").first().copied())?;
    match stated.to_ascii_lowercase().as_str() {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        _ => None,
    }
}

fn forwarded_host(headers: &HeaderMap) -> Option<&str> {
    forwarded(headers, "host").first().copied().or_else(|| list(headers, "x-forwarded-host").first().copied())
}

/// The elements of `Forwarded` (RFC 7239), one for each hop.
fn hops(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let hops = headers.get_all(FORWARDED).filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    hops.filter(|hop| !hop.trim().is_empty())
}

/// The values of one parameter of `Forwarded`, of the hops that have it.
fn forwarded<'a>(headers: &'a HeaderMap, parameter: &str) -> Vec<&'a str> {
    let value_of = |hop: &'a str| {
        let mut pairs = hop.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| name.eq_ignore_ascii_case(parameter)).map(|(_, value)| value.trim().trim_matches('"'))
    };
    hops(headers).filter_map(value_of).collect()
}

fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = headers.get_all(name).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// An address, with or without a port, an IPv6 one in brackets or bare.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// Whether a text can stand as the authority of a URL: a name or an address, and a port.
pub(super) fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !text.is_empty() && text.len() <= 262 && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn client(configured: Option<&[&str]>, peer: &str, headers: &[(&str, &str)]) -> Client {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        client_of_bytes(configured, peer, &headers)
    }

    fn client_of_bytes(configured: Option<&[&str]>, peer: &str, headers: &[(&str, &[u8])]) -> Client {
        let configured = configured.map(|list| list.iter().map(|text| text.parse().unwrap()).collect());
        let mut map = HeaderMap::new();
        map.insert(HOST, HeaderValue::from_static("own:5000"));
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        Proxies::new(configured).client_of(&map, peer.parse().unwrap(), Scheme::Http)
    }

    fn known(address: &str, scheme: Scheme, host: &str) -> Client {
        Client { address: address.parse().unwrap(), scheme, host: Some(host.into()), relay: Relay::None }
    }

    #[test]
    fn a_stranger_is_believed_in_nothing() {
        let headers = [("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")];
        let client = client(None, "203.0.113.9", &headers);
        assert_eq!(client, Client { relay: Relay::Unclear, ..known("203.0.113.9", Scheme::Http, "own:5000") });
    }

    #[test]
    fn a_private_peer_is_believed_in_scheme_and_host_but_not_in_the_address() {
        let headers = [("x-forwarded-for", "9.9.9.9"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "example.org, b")];
        let client = client(None, "172.17.0.1", &headers);
        assert_eq!(client, Client { relay: Relay::Unclear, ..known("172.17.0.1", Scheme::Https, "example.org") });
    }

    #[test]
    fn the_address_is_the_rightmost_hop_that_is_not_a_proxy_of_ours() {
        let hops = [("x-forwarded-for", "1.1.1.1, 9.9.9.9"), ("x-forwarded-for", "127.0.0.3")];
        assert_eq!(client(None, "127.0.0.1", &hops).address.to_string(), "9.9.9.9");
        let stranger = client(Some(&["10.0.0.0/8"]), "127.0.0.1", &hops);
        assert_eq!((stranger.address.to_string().as_str(), stranger.relay), ("127.0.0.1", Relay::Unclear));
        assert_eq!(client(Some(&["10.0.0.0/8"]), "127.0.0.1", &[]).relay, Relay::None);
    }

    #[test]
    fn the_standard_header_comes_before_the_older_ones() {
        let headers = [("forwarded", "for=\"[2001:db8::1]:99\";proto=https;host=a.example"), ("x-forwarded-proto", "http")];
        let client = client(None, "::1", &headers);
        assert_eq!(client, known("2001:db8::1", Scheme::Https, "a.example"));
    }

    #[test]
    fn what_a_client_slips_past_a_proxy_makes_it_neither_local_nor_anybody_else() {
        let written = ("x-forwarded-for", "203.0.113.9");
        for slipped in [("forwarded", "for=127.0.0.1"), ("forwarded", "for=unknown"), ("x-real-ip", "10.0.0.1")] {
            assert_eq!(client(None, "127.0.0.1", &[written, slipped]).relay, Relay::Unclear, "{slipped:?}");
        }
        for garbage in ["unknown", "1.2.3.4, x", "_hidden"] {
            assert_eq!(client(None, "127.0.0.1", &[("x-forwarded-for", garbage)]).relay, Relay::Unclear, "{garbage}");
        }
        let agreed = client(None, "127.0.0.1", &[written, ("x-real-ip", "203.0.113.9"), ("forwarded", "for=203.0.113.9:80")]);
        assert_eq!((agreed.address.to_string().as_str(), agreed.relay), ("203.0.113.9", Relay::None));
    }

    #[test]
    fn what_cannot_be_read_of_a_trusted_proxy_does_not_make_a_stranger_the_proxy() {
        // As nginx passes it on: what the client wrote, and behind it where the client is.
        for (name, value) in
            [("x-forwarded-for", &b"\xff, 203.0.113.9"[..]), ("forwarded", b"for=\"\xe9\", for=203.0.113.9"), ("x-real-ip", b"\x80")]
        {
            assert_eq!(client_of_bytes(None, "127.0.0.1", &[(name, value)]).relay, Relay::Unclear, "{name}");
        }
    }

    #[test]
    fn a_hop_that_names_nobody_does_not_lend_its_place_to_the_one_before() {
        let hops = [("forwarded", "for=10.0.0.1, proto=https")];
        assert_eq!(client(None, "127.0.0.1", &hops).relay, Relay::Unclear);
        let silent = client(None, "127.0.0.1", &[("forwarded", "proto=https"), ("x-forwarded-for", "203.0.113.9")]);
        assert_eq!((silent.address.to_string().as_str(), silent.relay), ("203.0.113.9", Relay::None));
    }

    #[test]
    fn the_loopback_of_another_host_is_not_ours() {
        let there = client(Some(&["10.0.0.0/8"]), "10.0.0.5", &[("x-forwarded-for", "127.0.0.1")]);
        assert_eq!((there.address.to_string().as_str(), there.relay), ("10.0.0.5", Relay::Unclear));
        assert_eq!(client(None, "127.0.0.1", &[("x-forwarded-for", "127.0.0.1")]).relay, Relay::None);
    }

    #[test]
    fn a_host_that_cannot_stand_in_a_url_is_none() {
        assert_eq!(client(None, "127.0.0.1", &[("x-forwarded-host", "a/b\"")]).host, None);
        assert!(is_host("[::1]:5000"));
        assert!(!is_host("a@b"));
    }
}
