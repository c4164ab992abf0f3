//! Every route with every kind of caller.

use super::oidc::job;
use super::{ADMIN, CAROL, DAVE, bearer_of};
use crate::harness::{ALICE, Answer, BOB, Client, Running, Setup};
use crate::routes::{Names, Need, Route, routes};

/// What a caller may do in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    /// Not even show who it is.
    Wrong,
    None,
    Pull,
    Create,
    All,
}

/// How a caller is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    Nothing,
    /// A password, a machine token, or a certificate.
    Itself,
    /// A token of the realm, with the scope of the route asked for.
    Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Challenge,
    InsufficientScope,
    NameUnknown,
    Denied,
}

struct Caller {
    name: &'static str,
    client: Client,
    shows: Shows,
    rights: Rights,
}

impl Caller {
    fn expects(&self, need: Need) -> Outcome {
        let is_allowed = match need {
            Need::Credentials | Need::List => true,
            Need::Pull => matches!(self.rights, Rights::Pull | Rights::Create | Rights::All),
            Need::Write => matches!(self.rights, Rights::Create | Rights::All),
            Need::Delete => self.rights == Rights::All,
        };
        match (self.shows, self.rights) {
            (_, Rights::Wrong) => Outcome::Challenge,
            // Credentials are sent only after a challenge, so that these two always have one.
            (Shows::Nothing, _) if matches!(need, Need::Credentials | Need::List) => Outcome::Challenge,
            _ if is_allowed => Outcome::Allowed,
            (Shows::Nothing, _) => Outcome::Challenge,
            (Shows::Token, _) => Outcome::InsufficientScope,
            (Shows::Itself, Rights::None) => Outcome::NameUnknown,
            (Shows::Itself, _) => Outcome::Denied,
        }
    }

    /// The client that sends the request of a route.
    async fn client_for(&self, route: &Route) -> Client {
        match self.shows {
            Shows::Token => bearer_of(&self.client, &[route.scope.as_deref().unwrap_or_default()]).await,
            Shows::Nothing | Shows::Itself => self.client.clone(),
        }
    }
}

/// Everybody, each who can also with a token of the realm.
async fn callers(registry: &Running, rights_of_all: Rights) -> Vec<Caller> {
    let nobody = registry.client();
    let certified = |name| registry.client_showing(&registry.certificate.client(name));
    let robot = async |name, repositories, actions: &[&str]| {
        let (user, secret) = registry.robot(name, &[repositories], actions).await;
        nobody.basic((&user, &secret))
    };
    let somebody = [
        ("alice", nobody.basic(ALICE), Rights::All),
        ("bob", nobody.basic(BOB), Rights::Pull),
        ("carol", nobody.basic(CAROL), Rights::Create),
        ("dave", nobody.basic(DAVE), Rights::None),
        ("admin", nobody.basic(ADMIN), Rights::All),
        ("a robot", robot("ci", "team/app", &["*"]).await, Rights::All),
        ("a robot made for less", robot("reader", "**", &["pull"]).await, Rights::Pull),
        ("a robot made for elsewhere", robot("other", "team/other", &["*"]).await, Rights::None),
        ("a robot without rules", robot("stray", "**", &["*"]).await, Rights::None),
        ("a certificate", certified("build"), Rights::Pull),
        ("a certificate named like a user", certified("alice"), Rights::None),
        ("a password on the connection of a certificate", certified("build").basic(ALICE), Rights::All),
    ];
    let mut callers = Vec::new();
    for (name, client, rights) in somebody {
        callers.push(Caller { name, client: client.clone(), shows: Shows::Itself, rights });
        callers.push(Caller { name, client, shows: Shows::Token, rights });
    }
    for (name, repository, rights) in [("a job", "acme/app", Rights::Pull), ("a job without rules", "acme/other", Rights::None)] {
        callers.push(Caller { name, client: job(registry, repository, 3600), shows: Shows::Token, rights });
    }
    for (name, shows) in [("nobody", Shows::Nothing), ("nobody", Shows::Token)] {
        callers.push(Caller { name, client: nobody.clone(), shows, rights: rights_of_all });
    }
    for (name, client) in [
        ("a wrong password", nobody.basic(("alice", "wrong"))),
        ("an unknown user", nobody.basic(("mallory", "wrong"))),
        ("a job's token at the wrong door", job(registry, "acme/app", 3600)),
        ("a wrong secret", nobody.basic(("robot$ci", "bwt_wrong"))),
        ("an unknown robot", nobody.basic(("robot$mallory", "bwt_wrong"))),
        ("a wrong password on the connection of a certificate", certified("build").basic(("alice", "wrong"))),
    ] {
        callers.push(Caller { name, client, shows: Shows::Itself, rights: Rights::Wrong });
    }
    callers
}

/// Checks an answer; what is wrong with it, with the caller's name.
fn check(answer: Answer, caller: &Caller, route: &Route, base: &str) {
    let (outcome, scope) = (caller.expects(route.need), route.scope.as_ref());
    let said = format!("{}, who shows {:?}, expects {outcome:?}: {answer:?}", caller.name, caller.shows);
    let (status, code, problem) = match outcome {
        Outcome::Allowed => {
            assert!(![401, 403].contains(&answer.status) && !said.contains("NAME_UNKNOWN"), "{said}");
            return;
        }
        Outcome::Challenge => (401, "UNAUTHORIZED", ""),
        Outcome::InsufficientScope => (401, "UNAUTHORIZED", ",error=\"insufficient_scope\""),
        Outcome::NameUnknown => (404, "NAME_UNKNOWN", ""),
        Outcome::Denied => (403, "DENIED", ""),
    };
    assert_eq!(answer.status, status, "{said}");
    let mut challenge = String::new();
    if status == 401 {
        // A mount names the scope of its source behind this one.
        let scopes = scope.map_or_else(String::new, |scope| {
            let more = if route.path.contains("from=") { " repository:other:pull" } else { "" };
            format!(",scope=\"{scope}{more}\"")
        });
        challenge = format!("Bearer realm=\"{base}/auth/token\",service=\"the-service\"{scopes}{problem}");
    }
    assert_eq!(answer.header("www-authenticate"), challenge, "{said}");
    if route.method != "HEAD" {
        answer.refuses(status, code);
    }
}

async fn walk(registry: &Running, repository: &'static str, callers: &[Caller]) {
    for caller in callers {
        // Something for those who may delete it, with a tag that stays, so that the repository is there.
        for tag in ["1", "stays"] {
            registry.client().basic(ADMIN).push_image(repository, tag, tag).await;
        }
        for route in routes(&Names::of_nothing_in(repository)) {
            let client = caller.client_for(&route).await;
            check(client.request(route.method, &route.path).send().await, caller, &route, &client.base);
        }
    }
}

#[tokio::test]
async fn each_route_answers_each_caller_as_the_rules_say() {
    let registry = Setup::tokens().ruled().peopled().await;
    let callers = callers(&registry, Rights::None).await;
    walk(&registry, "team/app", &callers).await;
}

#[tokio::test]
async fn what_is_open_is_open_to_all_but_wrong_credentials() {
    let registry = Setup::tokens().ruled().peopled().await;
    let mut callers = callers(&registry, Rights::Pull).await;
    callers.retain(|caller| ["nobody", "dave", "a robot without rules"].contains(&caller.name) || caller.rights == Rights::Wrong);
    for caller in callers.iter_mut().filter(|caller| caller.rights == Rights::None) {
        // What nobody in particular may do, everybody may.
        caller.rights = Rights::Pull;
    }
    walk(&registry, "open/app", &callers).await;
}
