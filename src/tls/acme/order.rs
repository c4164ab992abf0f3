//! One order: from the list of hosts to the certificate.

use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use zeroize::Zeroizing;

use super::challenge::{Challenges, Presented};
use super::issued::Issued;
use super::{Error, Options, Step};

/// How long the server may take to look at all hosts, and again to issue the certificate.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

const ASKING: RetryPolicy = RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(PATIENCE);

/// Orders a certificate for all hosts, answers the challenges, and waits for it.
pub(super) async fn issue(
    account: &Account,
    options: &Options,
    challenges: &Challenges,
    replaces: Option<CertificateIdentifier<'_>>,
) -> Result<Issued, Error> {
    let hosts: Vec<Identifier> = options.hosts.iter().cloned().map(Identifier::Dns).collect();
    let mut wanted = NewOrder::new(&hosts);
    if let Some(identifier) = replaces {
        wanted = wanted.replaces(identifier);
    }
    let mut order = account.new_order(&wanted).await.map_err(|error| Step::Order.failed(error))?;
    let presented = present(&mut order, options, challenges).await?;
    validated(&mut order).await?;
    drop(presented);
    let key = Zeroizing::new(order.finalize().await.map_err(|error| Step::Issue.failed(error))?);
    let chain = order.poll_certificate(&ASKING).await.map_err(|error| Step::Issue.failed(error))?;
    Issued::check(chain, key, &options.hosts, SystemTime::now())
}

/// Has every challenge answered that the server needs, and tells it so.
async fn present<'a>(order: &mut Order, options: &Options, challenges: &'a Challenges) -> Result<Vec<Presented<'a>>, Error> {
    let mut presented = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| Step::Order.failed(error))?;
        // What was validated lately need not be looked at again; what has failed is found when the order is.
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let host = authorization.identifier().to_string();
        let kind = if options.http.is_some() { ChallengeType::Http01 } else { ChallengeType::TlsAlpn01 };
        let offered = offers(&authorization);
        let Some(mut challenge) = authorization.challenge(kind.clone()) else {
            return Err(Error::NoChallenge { host, offered });
        };
        let proof = challenge.key_authorization();
        presented.push(challenges.present(&kind, &host, &challenge.token, proof.as_str())?);
        challenge.set_ready().await.map_err(|error| Step::Validation.failed(error))?;
    }
    Ok(presented)
}

/// Waits until the server has looked at all hosts.
async fn validated(order: &mut Order) -> Result<(), Error> {
    let outcome = order.poll_ready(&ASKING).await;
    if matches!(outcome, Ok(OrderStatus::Ready)) {
        return Ok(());
    }
    // Which host it was, and why, is written at its challenge.
    match (fault(order).await, outcome) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(Step::Validation.failed(error)),
        (None, Ok(_)) => Err(Error::Ended),
    }
}

async fn fault(order: &mut Order) -> Option<Error> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let host = state.identifier().to_string();
        let failed = state.challenges.iter().find_map(|challenge| Some((method(&challenge.r#type), challenge.error.clone()?)));
        if let Some((method, problem)) = failed {
            return Some(Error::Challenge { host, method, problem });
        }
    }
    None
}

fn offers(authorization: &AuthorizationHandle<'_>) -> String {
    authorization.challenges.iter().map(|challenge| method(&challenge.r#type)).collect::<Vec<_>>().join(", ")
}

fn method(kind: &ChallengeType) -> &'static str {
    match kind {
        ChallengeType::Http01 => "HTTP-01",
        ChallengeType::TlsAlpn01 => "TLS-ALPN-01",
        ChallengeType::Dns01 => "DNS-01",
        _ => "another method",
    }
}
