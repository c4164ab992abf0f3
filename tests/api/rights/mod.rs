//! The access rules as callers of every kind meet them.

mod audit;
mod bad_tokens;
mod create;
mod hidden;
mod logins;
mod oidc;
mod origin;
mod rereading;
mod table;
mod withheld;

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Client, Running, Setup};

/// May create, and move nothing.
const CAROL: (&str, &str) = ("carol", "christmas");
/// May do nothing where the others may.
const DAVE: (&str, &str) = ("dave", "diver");
/// May do everything.
const ADMIN: (&str, &str) = ("admin", "almighty");

/// Rules in a list.
fn rules(rules: &[Value]) -> Value {
    json!({"rules": rules})
}

/// One rule; more of it may be set.
fn rule(who: &str, repositories: &str, actions: &[&str]) -> Value {
    json!({"who": who, "repositories": repositories, "actions": actions})
}

impl Setup {
    /// Alice may do all in `team`, bob pull, carol create too, dave is a stranger there; a robot and a certificate have rights,
    /// `open` is for everybody.
    fn ruled(self) -> Self {
        let access = rules(&[
            rule("anonymous", "open/**", &["pull"]),
            rule("user:alice", "team/**", &["*"]),
            rule("user:bob", "team/**", &["pull"]),
            rule("user:carol", "team/**", &["pull", "create"]),
            rule("user:dave", "dave/**", &["*"]),
            rule("group:robots", "team/**", &["*"]),
            rule("cert:build", "team/**", &["pull"]),
            rule("oidc:acme/app", "team/**", &["pull"]),
            json!({"who": "user:admin", "repositories": "**", "actions": ["*"], "catalog": true}),
        ]);
        let access = with(access, "groups", json!({"robots": ["robot:ci", "robot:reader", "robot:other"]}));
        let setup = self.client_auth("verify-client-cert-if-given").set("certificates", json!({"user": "cn"}));
        setup.set("oidc", oidc::entry()).set("access", access)
    }

    /// Starts with all the users.
    async fn peopled(self) -> Running {
        let directory = tempfile::tempdir().unwrap();
        oidc::make(directory.path());
        let registry = Running::start_in(self, directory).await;
        registry.write_users(&[ALICE, BOB, CAROL, DAVE, ADMIN]);
        registry.reload().await;
        registry
    }
}

fn with(mut value: Value, key: &str, more: Value) -> Value {
    value[key] = more;
    value
}

/// A token of the realm with these scopes, whoever the client is.
async fn bearer_of(client: &Client, scopes: &[&str]) -> Client {
    let answer = client.token(scopes).await.is(200);
    client.bearer(answer.json()["token"].as_str().unwrap())
}
