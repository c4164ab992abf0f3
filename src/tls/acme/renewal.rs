//! The task that keeps a certificate good: orders what is missing, renews what grows old, and tries again what failed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{Account, CertificateIdentifier};
use tracing::{debug, error, info, warn};

use super::super::certificate::{Certificate, Reload};
use super::super::inspect::date;
use super::super::leaf::Leaf;
use super::client::Client;
use super::issued::Issued;
use super::{Acme, Error, account, order, schedule, store};

/// How long one attempt may take, all in all.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest sleep: the clock may be set meanwhile, and a machine may be put to sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);
/// How often a server is asked for its advice at least and at most, whatever it says, and when it has none to give.
const ADVICE: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(24 * 3600));

/// What is to come.
struct Plan {
    /// When the next certificate is ordered.
    order: SystemTime,
    /// When the server is next asked for its advice.
    advice: SystemTime,
    /// Whether it has given any on the certificate that is served.
    is_advised: bool,
    /// How often an order has failed in a row.
    failures: u32,
}

impl Acme {
    /// Keeps a certificate good for as long as it is polled.
    pub(crate) async fn keep(&self, certificate: &Arc<Certificate>) {
        let mut plan = self.first_plan(certificate, SystemTime::now());
        loop {
            let now = SystemTime::now();
            if now >= plan.order {
                plan = self.renew(certificate, plan).await;
            } else if plan.failures == 0 && now >= plan.advice {
                self.take_advice(certificate, &mut plan).await;
            } else {
                self.sleep(&mut plan, now).await;
            }
        }
    }

    fn first_plan(&self, certificate: &Certificate, now: SystemTime) -> Plan {
        let served = certificate.leaf();
        let order = match &served {
            Some(leaf) if leaf.names == self.options.hosts => schedule::renewal(leaf, chance()),
            _ => now,
        };
        match served {
            Some(leaf) => info!(
                tls.expires = %date(leaf.not_after), acme.next = %date(order.max(now)),
                "the certificate of the last time is served; the next one is ordered when it is due"
            ),
            None => warn!("there is no certificate yet; until one is issued, one is shown that nobody should believe"),
        }
        Plan { order, advice: now, is_advised: false, failures: 0 }
    }

    async fn sleep(&self, plan: &mut Plan, now: SystemTime) {
        let next = if plan.failures == 0 { plan.order.min(plan.advice) } else { plan.order };
        let length = next.duration_since(now).unwrap_or_default().min(LONGEST_SLEEP);
        let slept = tokio::time::timeout(length, self.hurry.notified()).await;
        if slept.is_ok() && plan.failures > 0 {
            plan.order = SystemTime::now();
        }
    }

    async fn renew(&self, certificate: &Arc<Certificate>, plan: Plan) -> Plan {
        let began = SystemTime::now();
        let mut asked = None;
        let attempt = tokio::time::timeout(PATIENCE, self.attempt(certificate, &plan, &mut asked)).await;
        let outcome = attempt.unwrap_or(Err(Error::Slow(PATIENCE)));
        let now = SystemTime::now();
        self.count(began, outcome.as_ref().err());
        match outcome {
            Ok(leaf) => {
                let order = schedule::renewal(&leaf, chance());
                info!(
                    tls.expires = %date(leaf.not_after), acme.next = %date(order), tls.hosts = ?leaf.names,
                    "there is a new certificate, and new connections get it"
                );
                Plan { order, advice: now, is_advised: false, failures: 0 }
            }
            Err(error) => {
                let failures = plan.failures.saturating_add(1);
                let served = certificate.leaf();
                let order = now + schedule::retry(failures, served.as_ref(), asked, chance(), now);
                complain(&error, served.as_ref(), &self.options.hosts, failures, order, now);
                Plan { order, failures, ..plan }
            }
        }
    }

    async fn attempt(&self, certificate: &Arc<Certificate>, plan: &Plan, asked: &mut Option<SystemTime>) -> Result<Leaf, Error> {
        let client = Client::new(&self.options).await?;
        let issued = self.order(&client, certificate, plan).await;
        *asked = client.asked_to_wait();
        store::keep_certificate(&self.options, &issued?).await?;
        match certificate.reload().await {
            Ok(Reload::Replaced | Reload::Unchanged) => certificate.leaf().ok_or(Error::Unfit("cannot be read back")),
            Err(error) => {
                debug!(%error, "what was issued cannot be served");
                Err(Error::Unfit("cannot be served"))
            }
        }
    }

    /// Orders with the account that is kept. One that the server does not take any more gives way to a new one, once.
    async fn order(&self, client: &Client, certificate: &Certificate, plan: &Plan) -> Result<Issued, Error> {
        let (account, is_new) = match account::kept(&self.options, client).await? {
            Some(account) => (account, false),
            None => (account::new(&self.options, client).await?, true),
        };
        let leaf = certificate.leaf().filter(|_| plan.is_advised && plan.failures == 0);
        let replaces = leaf.as_ref().and_then(identifier);
        let issue = |account: Account, replaces| async move { order::issue(&account, &self.options, &self.challenges, replaces).await };
        match issue(account.clone(), replaces).await {
            Err(error) if error.is_about_the_account() && !is_new => {
                warn!(error = %error.chain(), acme.account = account.id(), "the ACME server does not take the account; a new one is made");
                issue(account::new(&self.options, client).await?, None).await
            }
            Err(error) if error.is_about_what_it_replaces() => issue(account, None).await,
            outcome => outcome,
        }
    }

    /// Asks the server when the certificate should be renewed (RFC 9773). Most have no opinion, and none is needed.
    async fn take_advice(&self, certificate: &Certificate, plan: &mut Plan) {
        let now = SystemTime::now();
        plan.advice = now + ADVICE.1;
        let Some(leaf) = certificate.leaf() else { return };
        match tokio::time::timeout(PATIENCE, self.advice(&leaf)).await {
            Ok(Ok(Some((start, end, again)))) => {
                let order = schedule::advised(&leaf, start, end, chance());
                // Once inside the window the moment stands: it is not rolled anew with each question.
                if !plan.is_advised || !(start..=end).contains(&plan.order) {
                    info!(acme.next = %date(order), "the ACME server says when it wants the certificate renewed");
                    plan.order = order;
                }
                plan.is_advised = true;
                plan.advice = now + again.clamp(ADVICE.0, ADVICE.1);
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                debug!(error = %error.chain(), "the ACME server cannot be asked when it wants the certificate renewed");
                plan.advice = now + ADVICE.0;
            }
            Err(_) => plan.advice = now + ADVICE.0,
        }
    }

    async fn advice(&self, leaf: &Leaf) -> Result<Option<(SystemTime, SystemTime, Duration)>, Error> {
        let Some(identifier) = identifier(leaf) else { return Ok(None) };
        let client = Client::new(&self.options).await?;
        let Some(account) = account::kept(&self.options, &client).await? else { return Ok(None) };
        match account.renewal_info(&identifier).await {
            Ok((info, again)) => Ok(Some((info.suggested_window.start.into(), info.suggested_window.end.into(), again))),
            Err(instant_acme::Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(Error::Server(error)),
        }
    }

    fn count(&self, began: SystemTime, error: Option<&Error>) {
        let mut renewals = self.lock();
        renewals.last_attempt = Some(began);
        renewals.last_error = error.map(Error::chain);
        *(if error.is_none() { &mut renewals.succeeded } else { &mut renewals.failed }) += 1;
    }
}

/// Says why there is no new certificate, as loud as it is serious.
fn complain(error: &Error, served: Option<&Leaf>, hosts: &BTreeSet<String>, failures: u32, next: SystemTime, now: SystemTime) {
    let (error, next, expires) = (error.chain(), date(next), served.map(|leaf| date(leaf.not_after)));
    let (is_serious, text) = match served {
        None => (true, "no certificate can be had; clients will not believe the one that is shown"),
        Some(leaf) if !hosts.is_subset(&leaf.names) => {
            (true, "no certificate for all hosts can be had; the old one is served, which lacks some")
        }
        Some(leaf) if schedule::is_early(leaf, now) => (false, "the certificate cannot be renewed; the old one is still good"),
        Some(leaf) if now < leaf.not_after => (true, "the certificate cannot be renewed, and runs out soon"),
        Some(_) => (true, "the certificate cannot be renewed, and has run out"),
    };
    if is_serious {
        error!(%error, acme.failures = failures, acme.next = %next, tls.expires = expires, "{text}");
    } else {
        warn!(%error, acme.failures = failures, acme.next = %next, tls.expires = expires, "{text}");
    }
}

fn identifier(leaf: &Leaf) -> Option<CertificateIdentifier<'static>> {
    let (authority_key_identifier, serial) = leaf.identifier.clone()?;
    Some(CertificateIdentifier { authority_key_identifier: authority_key_identifier.into(), serial: serial.into() })
}

fn chance() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}
