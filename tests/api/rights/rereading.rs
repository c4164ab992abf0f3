//! Rules that change while the registry runs.

use serde_json::json;

use super::{bearer_of, rule, rules};
use crate::harness::{BOB, Client, Running, Setup, eventually};

const TAGS: &str = "/v2/team/app/tags/list";

async fn status(client: &Client) -> u16 {
    client.get(TAGS).send().await.status
}

/// A registry where bob may pull, and bob by password and by token.
async fn ready(setup: Setup) -> (Running, Client, Client) {
    let registry = setup.start().await;
    registry.alice().push_image("team/app", "1", "one").await;
    let bob = registry.client().basic(BOB);
    let token = bearer_of(&bob, &["repository:team/app:pull"]).await;
    assert_eq!((status(&bob).await, status(&token).await), (200, 200));
    (registry, bob, token)
}

fn alice() -> serde_json::Value {
    rule("user:alice", "**", &["*"])
}

#[tokio::test]
async fn stricter_rules_in_the_configuration_bind_passwords_and_tokens_that_are_out() {
    let both = rules(&[alice(), rule("user:bob", "team/**", &["pull"])]);
    let (mut registry, bob, token) = ready(Setup::tokens().set("access", both.clone())).await;
    registry.configure("access", rules(&[alice()]));
    eventually(async || status(&bob).await == 404).await;
    let refused = token.get(TAGS).send().await.refuses(401, "UNAUTHORIZED");
    assert!(refused.header("www-authenticate").ends_with("error=\"insufficient_scope\""), "{refused:?}");
    registry.configure("access", both);
    eventually(async || status(&bob).await == 200).await;
    assert_eq!(status(&token).await, 200, "what was taken from a token is given back with the rule");
    registry.configure("access", rules(&[alice()]));
    registry.reload().await;
    assert_eq!((status(&bob).await, status(&token).await), (404, 401), "a reload need not be waited for");
}

#[tokio::test]
async fn rules_in_a_file_of_their_own_are_read_again_when_it_changes() {
    let text = |who: &str| {
        format!(
            "rules:\n- {{who: 'user:alice', repositories: '**', actions: ['*']}}\n- {{who: '{who}', repositories: 'team/**', actions: [pull]}}\n"
        )
    };
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("rules.yml"), text("user:bob")).unwrap();
    let registry = Running::start_in(Setup::tokens().set("access", json!({"file": "DIR/rules.yml"})), directory).await;
    registry.alice().push_image("team/app", "1", "one").await;
    let bob = registry.client().basic(BOB);
    let token = bearer_of(&bob, &["repository:team/app:pull"]).await;
    registry.replace("rules.yml", &text("user:carol"));
    eventually(async || status(&bob).await == 404).await;
    assert_eq!(status(&token).await, 401);
    registry.replace("rules.yml", &text("user:bob"));
    eventually(async || status(&bob).await == 200).await;
}

#[tokio::test]
async fn rules_that_move_to_a_file_of_their_own_are_watched_there() {
    let both = rules(&[alice(), rule("user:bob", "team/**", &["pull"])]);
    let (registry, bob, _) = ready(Setup::tokens().set("access", both.clone())).await;
    registry.replace("rules.yml", &rules(&[alice()]).to_string());
    let path = registry.path().join("config.yml");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["access"] = json!({"file": registry.path().join("rules.yml")});
    // Old enough not to be looked into again by itself.
    let staged = path.with_extension("old");
    std::fs::write(&staged, config.to_string()).unwrap();
    let file = std::fs::File::options().write(true).open(&staged).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();
    std::fs::rename(&staged, &path).unwrap();
    eventually(async || status(&bob).await == 404).await;
    registry.replace("rules.yml", &both.to_string());
    eventually(async || status(&bob).await == 200).await;
}

#[tokio::test]
async fn rules_that_cannot_be_read_leave_the_old_ones_in_force() {
    let both = rules(&[alice(), rule("user:bob", "team/**", &["pull"])]);
    let (mut registry, bob, token) = ready(Setup::tokens().set("access", both)).await;
    let good = std::fs::read_to_string(registry.path().join("config.yml")).unwrap();
    for broken in ["{", "", &good.replace("user:bob", "nobody:bob"), &good.replace("\"access\"", "\"acess\"")] {
        registry.replace("config.yml", broken);
        registry.reload().await;
        assert_eq!((status(&bob).await, status(&token).await), (200, 200), "{broken}");
    }
    std::fs::remove_file(registry.path().join("config.yml")).unwrap();
    registry.reload().await;
    assert_eq!(status(&bob).await, 200, "a file that is gone says nothing");
    registry.configure("access", rules(&[alice()]));
    registry.reload().await;
    assert_eq!(status(&bob).await, 404, "the next good one counts");
}

#[tokio::test]
async fn a_rule_for_everybody_opens_the_realm_and_closes_it_when_it_goes() {
    let open = rules(&[alice(), rule("anonymous", "public/**", &["pull"])]);
    let mut registry = Setup::basic().set("access", open).start().await;
    let image = registry.alice().push_image("public/app", "1", "one").await;
    let nobody = registry.client();
    let challenge = async || nobody.get("/v2/").send().await.is(401).header("www-authenticate").to_owned();
    assert!(challenge().await.starts_with(&format!("Bearer realm=\"{}/auth/token\"", nobody.base)));
    let token = bearer_of(&nobody, &["repository:public/app:pull"]).await;
    token.pull_image("public/app", "1", &image).await;
    nobody.pull_image("public/app", "1", &image).await;
    registry.alice().pull_image("public/app", "1", &image).await;
    registry.configure("access", rules(&[alice()]));
    registry.reload().await;
    assert_eq!(challenge().await, "Basic realm=\"Registry\"");
    nobody.get("/auth/token").send().await.is(404);
    token.manifest("public/app", "1").await.refuses(401, "UNAUTHORIZED");
    registry.alice().pull_image("public/app", "1", &image).await;
}
