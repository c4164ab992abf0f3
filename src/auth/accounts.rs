//! Who there is and what proves it, put together: users of the password file, machine tokens, whom other issuers vouch for, and
//! the rules for all of them.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::claims::{Bearer, Verified};
use super::defence::Defence;
use super::error::{Error, TokenFault};
use super::htpasswd::Passwords;
use super::identity::{Caller, Identity, Proof, ROBOT, Rights, Visit};
use super::machine_tokens::{MachineTokens, Robot};
use super::oidc::{Issuers, Refusal, looks_like_token};
use super::policy::{self, Subject};
use super::rules::Rules;
use super::scope::Scope;
use super::{HtpasswdOptions, LoginLimits};

/// Everybody who can log in.
pub(super) struct Accounts {
    passwords: Passwords,
    robots: MachineTokens,
    issuers: Option<Issuers>,
    rules: ArcSwap<Rules>,
    defence: Arc<Defence>,
}

/// Somebody, and how that is known.
pub(super) struct Account {
    pub(super) identity: Identity,
    pub(super) proof: Proof,
    /// What a refresh token is bound to: it dies when this changes. None: such an account gets none.
    pub(super) entry: Option<Arc<str>>,
    /// When what proved it ends, so that no token of ours lives longer.
    pub(super) until: Option<SystemTime>,
    robot: Option<Arc<Robot>>,
}

impl Account {
    /// An account that nothing is stored of.
    pub(super) fn passing(identity: Identity, proof: Proof) -> Self {
        Self { identity, proof, entry: None, until: None, robot: None }
    }

    /// Whom a request without credentials comes from: whom the certificate of its connection names, or nobody.
    pub(super) fn of_connection(visit: &Visit) -> Self {
        match &visit.certificate {
            Some(name) => Self::passing(Identity::Certificate(name.to_string()), Proof::Certificate),
            None => Self::passing(Identity::Anonymous, Proof::None),
        }
    }

    fn of_robot(robot: Arc<Robot>) -> Self {
        let token = robot.token();
        let (identity, entry) = (Identity::Robot(token.name.clone()), token.hash().into());
        Self { entry: Some(entry), robot: Some(robot), ..Self::passing(identity, Proof::Login) }
    }

    /// What a token says of its bearer beside the subject.
    pub(super) fn bearer(&self) -> Option<Bearer> {
        match &self.identity {
            Identity::Anonymous | Identity::User(_) => None,
            Identity::Robot(_) => self.robot.as_ref().map(|robot| Bearer::Robot { id: robot.token().id.clone() }),
            Identity::Oidc { issuer, .. } => Some(Bearer::Oidc { issuer: issuer.to_string() }),
            Identity::Certificate(_) => Some(Bearer::Certificate),
        }
    }

    /// The subject of a token.
    pub(super) fn subject(&self) -> String {
        match &self.identity {
            Identity::Robot(name) => format!("{ROBOT}{name}"),
            other => other.name().unwrap_or_default().to_owned(),
        }
    }
}

impl Accounts {
    /// Reads the files; makes a missing password file.
    pub(super) async fn open(options: &HtpasswdOptions) -> Result<Self, Error> {
        let defence = Arc::new(Defence::new(options.logins.clone()));
        Ok(Self {
            passwords: Passwords::open(&options.path, Arc::clone(&defence)).await?,
            robots: MachineTokens::open(&options.state).await?,
            issuers: if options.oidc.is_empty() { None } else { Some(Issuers::open(options.oidc.clone()).await?) },
            rules: ArcSwap::from_pointee(options.rules.clone()),
            defence,
        })
    }

    /// Checks a name and a password, or the secret of a machine token. What is wrong is counted, and its answer delayed.
    pub(super) async fn login(&self, user: &str, password: &[u8], visit: &Visit) -> Result<Account, Error> {
        let Some(robot) = user.strip_prefix(ROBOT) else {
            let (entry, proof) = self.passwords.verify(user, password, visit.source, visit.now).await?;
            return Ok(Account { entry: Some(entry.as_str().into()), ..Account::passing(Identity::User(user.to_owned()), proof) });
        };
        // Looked at before all: its secret cannot be guessed and costs no hash, so that a neighbour who guesses keeps it from nothing.
        if let Some(robot) = self.robots.verify(robot, password, visit.now) {
            return Ok(Account::of_robot(robot));
        }
        Err(self.refuse(user, visit, Error::WrongCredentials).await)
    }

    /// The same for a token of another issuer in the place of the password, which the token realm takes with any name.
    pub(super) async fn login_at_realm(&self, user: &str, password: &[u8], visit: &Visit) -> Result<Account, Error> {
        let token = std::str::from_utf8(password).ok().filter(|text| looks_like_token(text));
        let (Some(issuers), Some(token)) = (&self.issuers, token) else { return self.login(user, password, visit).await };
        // Before all else, as with a machine token: what is signed cannot be guessed.
        match issuers.verify(token, visit.now).await {
            Ok(vouched) => {
                let identity = Identity::Oidc { issuer: vouched.issuer, user: vouched.user };
                Ok(Account { until: Some(vouched.expires), ..Account::passing(identity, Proof::Login) })
            }
            Err(Refusal::Token(fault)) => Err(self.refuse(user, visit, fault.into()).await),
            Err(Refusal::KeysUnavailable(issuer)) => Err(Error::IssuerUnavailable(issuer.to_string())),
        }
    }

    /// Counts something wrong that was sent in the place of a password, and waits as long as its answer is to wait. The answer:
    /// what is wrong, or that nothing is compared any more.
    async fn refuse(&self, user: &str, visit: &Visit, fault: Error) -> Error {
        if let Some(wait) = self.defence.closed_for(visit.source, user) {
            return Error::Closed(wait);
        }
        tokio::time::sleep(self.defence.count(visit.source, user)).await;
        fault
    }

    /// The account that a login name has now, for a refresh token.
    pub(super) async fn find(&self, user: &str, visit: &Visit) -> Option<Account> {
        match user.strip_prefix(ROBOT) {
            Some(name) => self.robots.find(name, visit.now).map(Account::of_robot),
            None => {
                let entry = self.passwords.entry(user, visit.now).await?;
                let account = Account::passing(Identity::User(user.to_owned()), Proof::Token);
                Some(Account { entry: Some(entry.as_str().into()), ..account })
            }
        }
    }

    /// The caller that an account makes of a request.
    pub(super) fn caller(&self, account: Account, rights: Rights, visit: &Visit) -> Caller {
        let ceiling = account.robot.map(|robot| robot.ceiling());
        let caller = Caller::new(account.identity, rights, self.rules.load_full(), visit.source);
        caller.below(ceiling).proven(account.proof)
    }

    /// The caller of a token of ours, if whom it was issued to is still there.
    pub(super) fn bearer(&self, verified: &Verified, visit: &Visit) -> Result<Caller, TokenFault> {
        let subject = verified.subject().to_owned();
        let mut robot = None;
        let identity = match verified.bearer() {
            None => Identity::of_subject(subject),
            Some(Bearer::Robot { id }) => {
                let name = subject.strip_prefix(ROBOT).unwrap_or_default();
                robot = Some(self.robots.recall(name, id, visit.now).ok_or(TokenFault::Revoked)?);
                Identity::Robot(name.to_owned())
            }
            Some(Bearer::Oidc { issuer }) => Identity::Oidc { issuer: issuer.as_str().into(), user: subject },
            Some(Bearer::Certificate) => Identity::Certificate(subject),
        };
        if matches!(&identity, Identity::User(user) if !self.passwords.knows(user)) {
            return Err(TokenFault::Revoked);
        }
        let account = Account { robot, ..Account::passing(identity, Proof::Token) };
        Ok(self.caller(account, Rights::Granted(verified.scopes()), visit))
    }

    /// What of the asked scopes an account is granted.
    pub(super) fn grant(&self, account: &Account, asked: &[Scope], visit: &Visit) -> Vec<Scope> {
        let (rules, ceiling) = (self.rules.load(), account.robot.as_ref().map(|robot| robot.ceiling()));
        let subject = Subject { identity: &account.identity, source: visit.source, ceiling: ceiling.as_deref() };
        asked.iter().filter_map(|asked| policy::grant(&rules, subject, asked)).collect()
    }

    /// Puts other limits of wrong passwords in the place of the old ones.
    pub(super) fn set_login_limits(&self, limits: LoginLimits) {
        self.defence.set_limits(limits);
    }

    /// Puts other rules in the place of the old ones, for requests that come from now on.
    pub(super) fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Whether a rule speaks of callers without credentials.
    pub(super) fn speak_of_anonymous(&self) -> bool {
        self.rules.load().speak_of_anonymous()
    }

    /// Reads files again that have changed.
    pub(super) async fn refresh(&self, now: SystemTime) -> Result<(), Error> {
        self.passwords.look(now).await;
        self.robots.refresh(now).await
    }

    /// Reads passwords, machine tokens and the key files of other issuers again; what cannot be used leaves the old in force.
    pub(super) async fn reload(&self) -> Result<(), Error> {
        let passwords = self.passwords.reload().await;
        let robots = self.robots.reload().await;
        let issuers = match &self.issuers {
            Some(issuers) => issuers.reload().await,
            None => Ok(()),
        };
        passwords.and(robots).and(issuers)
    }

    /// The machine tokens.
    pub(super) fn robots(&self) -> &MachineTokens {
        &self.robots
    }

    /// How many password hashes have been computed.
    pub(super) fn hashes(&self) -> u64 {
        self.passwords.hashes()
    }
}
