//! The differential replay: the same requests to a stock registry and to this one, on equal stores, and every field of the answers
//! compared.
//!
//! The requests are made over the API's grammar from a fixed seed, the odd and the broken among them. A field that differs must be
//! covered by exactly one row of `docs/differences.md` ([`rows`]); a row that nothing hits any more is a failure too, so that the list
//! cannot rot.

mod asked;
mod bodies;
mod certain;
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
mod traits;
mod wire;

use tempfile::TempDir;

use crate::harness::Running;
use crate::stock::{Stock, Version};
use dice::Dice;
use exchange::{Exchange, Route};
use seed::Known;
use settings::Setting;
use side::Side;
use step::{Act, State, Step, Target};
use tally::Tally;

/// Whatever fails is repeated with the same one. `REPLAY_SEED` gives another.
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
    let (known, sown) = seed::sow().await;
    let seed = std::env::var("REPLAY_SEED").map_or(SEED, |text| text.parse().unwrap());
    let mut tally = Tally::default();
    for setting in settings::all() {
        let dice = Dice::new(seed ^ u64::from(setting.name.as_bytes()[0]));
        compare(&stock, &setting, (&known, &sown), dice, &mut tally).await;
    }
    eprintln!("{version:?}, seed {seed}: {tally}");
    assert!(tally.requests >= FEWEST, "{} requests", tally.requests);
    tally.check(version);
}

/// Replays what belongs to a configuration.
async fn compare(stock: &Stock, setting: &Setting, (known, sown): (&Known, &TempDir), mut dice: Dice, tally: &mut Tally) {
    let (their_place, our_place) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for place in [&their_place, &our_place] {
        crate::copy(&sown.path().join("data"), &place.path().join("data"));
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
    let steps: Vec<_> = reads::certain().into_iter().chain((0..setting.reads).map(|_| reads::read(&mut dice, known))).collect();
    for step in steps {
        tally.begin_sequence();
        tally.add(pair.send(&setting.credentials(&mut dice, step)).await);
    }
    play(&mut pair, certain::acts(), &mut dice, tally).await;
    for number in 0..setting.scenes {
        play(&mut pair, scenes::scene(&mut dice, known, number), &mut dice, tally).await;
    }
    let Pair { theirs, ours, .. } = pair;
    drop((theirs, ours));
}

/// A sequence that writes. Where the answers part the stores, they are made equal again before it goes on.
async fn play(pair: &mut Pair<'_>, acts: Vec<Act>, dice: &mut Dice, tally: &mut Tally) {
    pair.theirs.begin_scene();
    pair.ours.begin_scene();
    tally.begin_sequence();
    for act in acts {
        let steps = act.steps.into_iter().map(|step| pair.setting.credentials(dice, step)).collect();
        if pair.run(steps, tally).await == Stores::Equal {
            continue;
        }
        let mend: Vec<_> = act.mend.into_iter().map(|step| pair.setting.signed_in(step)).collect();
        if mend.is_empty() || pair.run(mend, tally).await == Stores::Parted {
            break;
        }
    }
}

/// Whether what follows can be compared.
#[derive(Clone, Copy, PartialEq)]
enum Stores {
    Equal,
    Parted,
}

/// Both registries.
struct Pair<'a> {
    version: Version,
    setting: &'a Setting,
    theirs: Side,
    ours: Side,
}

impl Pair<'_> {
    /// Sends requests until one that writes has another outcome on either side.
    async fn run(&mut self, steps: Vec<Step>, tally: &mut Tally) -> Stores {
        for step in steps {
            let exchange = self.send(&step).await;
            let is_write = matches!(exchange.sent.method.as_str(), "DELETE" | "PATCH" | "POST" | "PUT");
            let [theirs, ours] = [&exchange.theirs, &exchange.ours].map(|reply| reply.status);
            // They keep the bytes that came with a digest that cannot be read.
            let is_refused_end = exchange.sent.method == "PUT" && exchange.route == Route::Upload && (theirs, ours) == (400, 400);
            let is_parted = is_write && (theirs != ours || is_refused_end);
            tally.add(exchange);
            if let Target::Upload { slot, .. } = step.target
                && is_refused_end
            {
                tally.add(self.send(&self.setting.signed_in(Step::upload("GET", slot, State::Given, ""))).await);
            }
            if is_parted {
                return Stores::Parted;
            }
        }
        Stores::Equal
    }

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
