//! The configurations that are replayed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::dice::Dice;
use super::step::Step;
use crate::harness::{ALICE, Setup};

/// A configuration for both registries, and how much is asked with it.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) setup: Setup,
    pub(super) prefix: &'static str,
    pub(super) reads: usize,
    pub(super) scenes: usize,
    login: Login,
}

#[derive(Clone, Copy, PartialEq)]
enum Login {
    Unasked,
    Basic,
}

impl Setting {
    fn new(name: &'static str, (reads, scenes): (usize, usize), setup: Setup) -> Self {
        Self { name, setup: setup.plain(), prefix: "/", reads, scenes, login: Login::Unasked }
    }

    /// A request with the credentials of somebody, most often of one who has some.
    pub(super) fn credentials(&self, dice: &mut Dice, step: Step) -> Step {
        if self.login == Login::Unasked {
            return step;
        }
        let value = match dice.below(24) {
            0 => return step,
            1 => basic(ALICE.0, "wrong"),
            2 => basic("nobody", "wrong"),
            3 => dice.pick(&["Basic", "Basic !", "Basic eA==", "Bearer x", "", "Basic Og==", "basic"]).to_owned(),
            _ => basic(ALICE.0, ALICE.1),
        };
        step.header("Authorization", value)
    }

    /// A request of one who may.
    pub(super) fn signed_in(&self, step: Step) -> Step {
        if self.login == Login::Unasked { step } else { step.header("Authorization", basic(ALICE.0, ALICE.1)) }
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// All of them.
pub(super) fn all() -> Vec<Setting> {
    let open = Setup::open;
    vec![
        Setting::new("open", (1400, 330), open()),
        Setting::new("no deletion", (60, 60), open().set("storage.delete.enabled", false)),
        Setting::new("read-only", (80, 40), open().set("storage.maintenance", json!({"readonly": {"enabled": true}}))),
        Setting {
            prefix: "/below/it/",
            ..Setting::new(
                "prefix and host",
                (160, 30),
                open().set("http.prefix", "/below/it/").set("http.host", "https://named.test:8443"),
            )
        },
        Setting::new(
            "relative",
            (120, 30),
            open().set("http.relativeurls", true).set("http.headers", json!({"X-Content-Type-Options": ["nosniff"], "X-Two": ["a", "b"]})),
        ),
        Setting { login: Login::Basic, ..Setting::new("htpasswd", (260, 40), Setup::basic()) },
    ]
}
