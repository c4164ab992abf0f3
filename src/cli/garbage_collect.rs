//! `garbage-collect`: removes what nothing refers to, with the lines of registry:2's.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Outcome;
use crate::config;
use crate::server::{self, Beside, Collection, Effect, Marked, Progress, Survey, SurveyedRepository, Untagged};

const EXAMPLES: &str = "\
Examples:
  breakwater garbage-collect --dry-run config.yml
  breakwater garbage-collect --delete-untagged config.yml
  docker exec registry registry garbage-collect /etc/docker/registry/config.yml

While a registry serves the directory it refuses pushes and deletes (503, with Retry-After) until the collection has ended; what pushes \
under way have brought stays. A dry run holds nothing back. Exit 0: done. 1: failed; before anything was removed, unless it says \
otherwise.";

/// The arguments of `garbage-collect`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file.
    config: Option<PathBuf>,
    /// Say what would be removed, and remove nothing.
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = truth)]
    dry_run: bool,
    /// Remove manifests, too, that neither a tag nor a manifest that stays points to, and whose subject does not stay.
    #[arg(short = 'm', long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = truth)]
    delete_untagged: bool,
    /// Say nothing but what is wrong.
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = truth)]
    quiet: bool,
    /// Say what was found as JSON, once.
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

/// The texts that Go takes for a boolean, which scripts written for registry:2 use.
fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false"),
    }
}

/// Collects once.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let path = config::default_path(arguments.config.clone(), super::environment())?;
    let loaded = config::load(&path, super::environment())?;
    let effect = if arguments.dry_run { Effect::DryRun } else { Effect::Remove };
    let untagged = if arguments.delete_untagged { Untagged::Delete } else { Untagged::Keep };
    let teller = Teller::new(arguments, effect, untagged);
    let done = server::collect(&loaded, effect, untagged, &|step| teller.tell(step));
    teller.finish();
    done.map(|()| Outcome::Done)
}

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Json,
    Nothing,
}

/// Says what happens: the findings on standard output, all else on standard error. While a server holds changes back nothing is said,
/// since whoever reads may take their time.
struct Teller {
    form: Form,
    effect: Effect,
    untagged: Untagged,
    beside: Mutex<Beside>,
    waiting: Mutex<Vec<Said>>,
    bar: ProgressBar,
}

impl Teller {
    fn new(arguments: &Arguments, effect: Effect, untagged: Untagged) -> Self {
        let form = match (arguments.json, arguments.quiet) {
            (true, _) => Form::Json,
            (false, true) => Form::Nothing,
            (false, false) => Form::Lines,
        };
        let bar = if form != Form::Nothing && io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template(READING).unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { form, effect, untagged, beside: Mutex::new(Beside::Nobody), waiting: Mutex::default(), bar }
    }

    fn tell(&self, step: Collection<'_>) {
        match step {
            Collection::Begun(beside) => {
                let remark = match beside {
                    Beside::Nobody => None,
                    Beside::HoldingServer => {
                        Some("the registry that serves this directory takes no pushes and deletes until this has ended")
                    }
                    Beside::BusyServer => Some("a registry serves this directory and goes on; what is pushed meanwhile may be listed"),
                };
                self.remark(remark);
                *lock(&self.beside) = beside;
            }
            Collection::Progress(Progress::Surveyed(name)) => {
                self.bar.inc(1);
                self.bar.set_message(format!("repositories read, {name} the last"));
            }
            Collection::Progress(Progress::Listed(blobs)) => self.bar.set_message(format!("repositories read, {blobs} blobs looked at")),
            Collection::Progress(Progress::Removed { done, of }) => {
                if self.bar.length().is_none() {
                    self.bar.set_style(ProgressStyle::with_template(REMOVING).unwrap_or_else(|_| ProgressStyle::default_bar()));
                }
                self.bar.set_length(of as u64);
                self.bar.set_position(done as u64);
            }
            Collection::Surveyed(survey) => self.findings(survey),
            Collection::Swept(survey) => self.results(survey),
            Collection::Released => {
                self.speak();
                self.remark(Some("the registry takes pushes and deletes again, and has dropped what it remembered"));
            }
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
        self.speak();
    }

    /// Says what had to wait.
    fn speak(&self) {
        *lock(&self.beside) = Beside::Nobody;
        for said in std::mem::take(&mut *lock(&self.waiting)) {
            self.say(said);
        }
    }

    fn say(&self, said: Said) {
        if *lock(&self.beside) == Beside::HoldingServer {
            lock(&self.waiting).push(said);
            return;
        }
        self.bar.suspend(|| match said {
            // Nobody may be left to read it, which keeps nothing from being done.
            Said::Finding(text) => drop(super::print(text.as_bytes())),
            Said::Complaint(text) => drop(writeln!(io::stderr(), "breakwater: {text}")),
        });
    }

    fn remark(&self, text: Option<&str>) {
        if let Some(text) = text
            && self.form != Form::Nothing
        {
            self.say(Said::Complaint(text.to_owned()));
        }
    }

    fn findings(&self, survey: &Survey) {
        for repository in &survey.repositories {
            for broken in &repository.broken {
                self.say(Said::Complaint(format!("{}: {}: {}", repository.name, broken.key, broken.why)));
            }
        }
        if self.form == Form::Lines {
            self.say(Said::Finding(lines(survey, self.untagged)));
        }
        if self.effect == Effect::DryRun {
            self.results(survey);
        }
    }

    /// What comes of the findings, said when it has.
    fn results(&self, survey: &Survey) {
        match self.form {
            Form::Lines => self.say(Said::Finding(summary(survey, self.effect))),
            Form::Json => self.say(Said::Finding(format!("{}\n", self.json(survey)))),
            Form::Nothing => {}
        }
    }

    fn json(&self, survey: &Survey) -> Value {
        let beside = match *lock(&self.beside) {
            Beside::Nobody => "nobody",
            Beside::HoldingServer => "held",
            Beside::BusyServer => "busy",
        };
        json!({
            "dry_run": self.effect == Effect::DryRun,
            "delete_untagged": self.untagged == Untagged::Delete,
            "server": beside,
            "marked": survey.marked,
            "repositories": survey.repositories.iter().map(as_json).collect::<Vec<_>>(),
            "blobs": survey.blobs.iter().map(|blob| json!({"digest": blob.digest, "bytes": blob.length})).collect::<Vec<_>>(),
            "bytes": survey.bytes(),
        })
    }
}

const READING: &str = "{spinner} {pos} {msg}";
const REMOVING: &str = "{wide_bar} {pos} of {len} removed, {eta} left";

/// Something to be said.
enum Said {
    /// On standard output.
    Finding(String),
    /// On standard error.
    Complaint(String),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn as_json(repository: &SurveyedRepository) -> Value {
    let marked = |is: fn(&&Marked) -> bool| repository.marked.iter().filter(is).count();
    let broken = repository.broken.iter().map(|broken| json!({"key": broken.key.as_str(), "why": broken.why}));
    json!({
        "name": repository.name.as_str(),
        "manifests_marked": marked(|marked| matches!(marked, Marked::Manifest(_))),
        "blobs_marked": marked(|marked| !matches!(marked, Marked::Manifest(_))),
        "manifests": repository.manifests,
        "layer_links": repository.layer_links,
        "bytes": repository.bytes,
        "broken": broken.collect::<Vec<_>>(),
    })
}

/// The lines of registry:2's, which people search for words.
fn lines(survey: &Survey, untagged: Untagged) -> String {
    let mut text = String::new();
    for repository in &survey.repositories {
        let name = &repository.name;
        text += &format!("{name}\n");
        for marked in &repository.marked {
            // The space at the end of the first is theirs.
            text += &match marked {
                Marked::Manifest(digest) => format!("{name}: marking manifest {digest} \n"),
                Marked::Blob(digest) => format!("{name}: marking blob {digest}\n"),
                Marked::Pushed(digest) => format!("{name}: marking blob {digest}, which a push under way has brought\n"),
            };
        }
        if untagged == Untagged::Delete {
            text.extend(repository.manifests.iter().map(|digest| format!("manifest eligible for deletion: {digest}\n")));
        }
    }
    let manifests: usize = survey.repositories.iter().map(|repository| repository.manifests.len()).sum();
    let blobs = survey.blobs.len();
    text += &format!("\n{} blobs marked, {blobs} blobs and {manifests} manifests eligible for deletion\n", survey.marked);
    text.extend(survey.blobs.iter().map(|blob| format!("blob eligible for deletion: {}\n", blob.digest)));
    for repository in &survey.repositories {
        let name = &repository.name;
        text.extend(repository.layer_links.iter().map(|digest| format!("{name}: layer link eligible for deletion: {digest}\n")));
    }
    text
}

/// What there was of garbage in each repository, and in all.
fn summary(survey: &Survey, effect: Effect) -> String {
    let (to, in_all) = match effect {
        Effect::Remove => ("removed", "freed"),
        Effect::DryRun => ("would be removed", "would be freed"),
    };
    let mut text = String::new();
    for repository in survey.repositories.iter().filter(|one| !(one.manifests.is_empty() && one.layer_links.is_empty())) {
        let SurveyedRepository { name, manifests, layer_links, bytes, .. } = repository;
        let bytes = HumanBytes(*bytes);
        text += &format!("{name}: {} manifests and {} layer links {to}, {bytes} referred to\n", manifests.len(), layer_links.len());
    }
    text + &format!("{} blobs, {} bytes ({}) {in_all}\n", survey.blobs.len(), survey.bytes(), HumanBytes(survey.bytes()))
}
