//! The differential replay: the same requests to a stock registry and to this one, on equal stores, and every field of the answers
//! compared.
//!
//! The requests are made over the API's grammar from a fixed seed, the odd and the broken among them. A field that differs must be
//! covered by exactly one row of `docs/differences.md` ([`rows`]); a row that nothing hits any more is a failure too, so that the list
//! cannot rot.

mod asked;
pub(crate) mod dice;
mod exchange;
mod images;
mod reads;
mod rows;
mod scenes;
mod seed;
mod settings;
mod side;
mod step;
mod tally;
mod wire;

use tempfile::TempDir;

use crate::harness::Running;
use crate::stock::{Stock, Version};
use dice::Dice;
use exchange::{Exchange, Route};
use seed::Known;
use settings::Setting;
use side::Side;
use step::{Step, Target};
use tally::Tally;

/// Whatever fails is repeated with the same one.
const SEED: u64 = 0x00b1_ea4e;

/// Fewer requests than this are no replay.
const FEWEST: usize = 4_000;

#[tokio::test]
async fn each_answer_is_that_of_registry_2_or_stands_on_the_list() {
    replay(Version::Two).await;
}

#[tokio::test]
async fn each_answer_is_that_of_registry_3_or_stands_on_the_list() {
    replay(Version::Three).await;
}

#[test]
fn the_list_of_differences_has_the_rows_that_are_tested() {
    rows::check_document();
}

#[expect(clippy::print_stderr, reason = "how much was compared, for those who look")]
async fn replay(version: Version) {
    let Some(stock) = Stock::find(version) else { return };
    let (known, seed) = seed::sow().await;
    let mut tally = Tally::default();
    for setting in settings::all() {
        compare(&stock, &setting, &known, &seed, &mut tally).await;
    }
    eprintln!("{version:?}: {tally}");
    assert!(tally.requests >= FEWEST, "{} requests", tally.requests);
    tally.check(version);
}

/// Replays what belongs to a configuration.
async fn compare(stock: &Stock, setting: &Setting, known: &Known, seed: &TempDir, tally: &mut Tally) {
    let (their_place, our_place) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for place in [&their_place, &our_place] {
        crate::copy(&seed.path().join("data"), &place.path().join("data"));
    }
    let running = Running::start_in(setting.setup.clone(), our_place).await;
    std::fs::copy(running.path().join("htpasswd"), their_place.path().join("htpasswd")).unwrap();
    let serving = stock.start(&setting.setup.config, &[], their_place.path());
    let mut pair = Pair {
        version: stock.version,
        setting,
        theirs: Side::new(serving.address, setting.prefix),
        ours: Side::new(running.address, setting.prefix),
    };
    let mut dice = Dice::new(SEED ^ u64::from(setting.name.as_bytes()[0]));
    let steps: Vec<_> = reads::certain().into_iter().chain((0..setting.reads).map(|_| reads::read(&mut dice, known))).collect();
    for step in steps {
        tally.add(pair.send(&setting.credentials(&mut dice, step)).await);
    }
    for number in 0..setting.scenes {
        pair.theirs.begin_scene();
        pair.ours.begin_scene();
        for step in scenes::scene(&mut dice, known, number) {
            let exchange = pair.send(&setting.credentials(&mut dice, step)).await;
            // What differs now would make what comes after it differ.
            let is_parted = exchange.theirs.status != exchange.ours.status && !matches!(exchange.sent.method.as_str(), "GET" | "HEAD");
            tally.add(exchange);
            if is_parted {
                break;
            }
        }
    }
    let Pair { theirs, ours, .. } = pair;
    drop((theirs, ours));
}

/// Both registries.
struct Pair<'a> {
    version: Version,
    setting: &'a Setting,
    theirs: Side,
    ours: Side,
}

impl Pair<'_> {
    async fn send(&mut self, step: &Step) -> Exchange {
        let (to_them, to_us) = (self.theirs.address(step), self.ours.address(step));
        let theirs = self.theirs.send(&to_them, step.slot).await;
        let ours = self.ours.send(&to_us, step.slot).await;
        let mut sent = to_us;
        sent.target = self.ours.named(&sent.target);
        let path = sent.target.split('?').next().unwrap_or_default();
        let (path, route) = match &step.target {
            Target::Outside(_) => (path.to_owned(), Route::Other),
            _ => {
                let path = format!("/{}", path.strip_prefix(self.setting.prefix).unwrap_or_default());
                let route = Route::of(&path);
                (path, route)
            }
        };
        Exchange { version: self.version, setting: self.setting.name, route, path, sent, theirs, ours }
    }
}
