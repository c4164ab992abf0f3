//! Types a tree by the schema: values by the path of their name, problems and notices with their place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::credentials;
use super::excerpt::MASK;
use super::problem::{Origin, Report, Severity};
use super::scalar;
use super::schema::{self, Key, Kind, Status};
use super::tree::{Node, Value};

/// A value of its type, and where it was written.
#[derive(Clone)]
struct Setting {
    origin: Origin,
    typed: Typed,
}

/// A value as it was understood.
#[derive(Clone, PartialEq)]
pub(crate) enum Typed {
    /// A section that is there.
    Section,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A duration.
    Duration(Duration),
    /// One text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// Free names with their texts.
    Table(Vec<(String, Vec<String>)>),
}

/// Every value that was written, by the dotted path of its name.
#[derive(Clone, Default)]
pub(crate) struct Settings(BTreeMap<String, Setting>);

/// The names alone: some of the values are secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    /// Where a name was written, if it was.
    pub(crate) fn origin(&self, path: &str) -> Option<&Origin> {
        self.0.get(path).map(|setting| &setting.origin)
    }

    /// Every value with its name and its place, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Typed, &Origin)> {
        self.0.iter().map(|(path, setting)| (path.as_str(), &setting.typed, &setting.origin))
    }

    /// The names whose value is another here than there, or is in one of both only; sorted.
    pub(crate) fn differing(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys()).collect::<BTreeSet<_>>();
        let value = |settings: &'_ Self, name: &String| settings.0.get(name).map(|setting| setting.typed.clone());
        names.into_iter().filter(|name| value(self, name) != value(other, name)).cloned().collect()
    }

    /// A truth value.
    pub(crate) fn truth(&self, path: &str) -> Option<bool> {
        match self.0.get(path)?.typed {
            Typed::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A whole number.
    pub(crate) fn integer(&self, path: &str) -> Option<i64> {
        match self.0.get(path)?.typed {
            Typed::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// A duration.
    pub(crate) fn duration(&self, path: &str) -> Option<Duration> {
        match self.0.get(path)?.typed {
            Typed::Duration(value) => Some(value),
            _ => None,
        }
    }

    /// A text that is not empty.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        match &self.0.get(path)?.typed {
            Typed::Text(value) if !value.is_empty() => Some(value),
            _ => None,
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, path: &str) -> Option<&[String]> {
        match &self.0.get(path)?.typed {
            Typed::Texts(values) => Some(values),
            _ => None,
        }
    }

    /// How many items a list of sections has; the first lies at `PATH.0`.
    pub(crate) fn count(&self, path: &str) -> usize {
        (0..).take_while(|index| self.origin(&format!("{path}.{index}")).is_some()).count()
    }

    /// Free names with their texts.
    pub(crate) fn table(&self, path: &str) -> &[(String, Vec<String>)] {
        match self.0.get(path).map(|setting| &setting.typed) {
            Some(Typed::Table(rows)) => rows,
            _ => &[],
        }
    }
}

/// Types a whole file; `credentials` is the directory of systemd that paths may begin with.
pub(crate) fn check(root: &Node, credentials: Option<&str>, report: &mut Report) -> Settings {
    let mut check = Check { settings: Settings::default(), credentials, report };
    let keys: Vec<&Key> = schema::top().collect();
    check.entries("", root, &keys, Strangers::Warned);
    check.settings
}

/// Types the content of a file that stands for a section, as if it were written there.
pub(crate) fn include(
    settings: &mut Settings,
    path: &str,
    root: &Node,
    keys: &'static [Key],
    credentials: Option<&str>,
    report: &mut Report,
) {
    let mut check = Check { settings: std::mem::take(settings), credentials, report };
    check.entries(path, root, &keys.iter().collect::<Vec<_>>(), Strangers::Warned);
    *settings = check.settings;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strangers {
    Warned,
    Refused,
}

struct Check<'a> {
    settings: Settings,
    credentials: Option<&'a str>,
    report: &'a mut Report,
}

impl Check<'_> {
    fn entries(&mut self, path: &str, node: &Node, keys: &[&Key], strangers: Strangers) {
        if node.is_null() {
            return;
        }
        let Value::Map(entries) = &node.value else {
            let names = keys.iter().take(3).map(|key| key.name).collect::<Vec<_>>().join(", ");
            self.report.problem(Some(&node.origin), path, format_args!("must be a section with names such as {names}"));
            return;
        };
        for entry in entries {
            let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            match keys.iter().find(|key| key.name == entry.key && !matches!(key.kind, Kind::Inline)) {
                Some(key) => self.entry(&path, &entry.origin, &entry.node, key, strangers),
                None => self.stranger(&path, &entry.origin, &entry.key, keys, strangers),
            }
        }
    }

    fn stranger(&mut self, path: &str, origin: &Origin, name: &str, keys: &[&Key], strangers: Strangers) {
        let near = schema::nearest(name, keys.iter().map(|key| key.name.to_owned()));
        match (strangers, near) {
            (Strangers::Warned, Some(near)) => {
                self.report.mistake(Some(origin), path, format_args!("unknown, so ignored; did you mean `{near}`?"));
            }
            (Strangers::Warned, None) => self.report.mistake(Some(origin), path, "unknown, so ignored"),
            (Strangers::Refused, near) => {
                let known = keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
                let advice = near.map_or_else(|| format!("one of {known} is meant here"), |near| format!("did you mean `{near}`?"));
                self.report.problem(Some(origin), path, format_args!("unknown; {advice}"));
            }
        }
    }

    fn entry(&mut self, path: &str, origin: &Origin, node: &Node, key: &Key, among: Strangers) {
        let chosen = among == Strangers::Refused;
        match key.status {
            Status::Refused(why) => {
                if chosen || asks(node, key) {
                    // Kept, so that a second driver beside it is seen.
                    self.keep(path, origin, Typed::Section);
                    self.report.problem(Some(origin), path, why);
                }
                return;
            }
            Status::Pending(severity, what) if asks(node, key) => self.report.notice(severity, Some(origin), path, what),
            Status::Legacy(what) if asks(node, key) => self.report.warning(Some(origin), path, what),
            _ => {}
        }
        // An empty variable takes a section away; an empty section of the file is there.
        let switched = matches!((&key.kind, &node.origin), (Kind::Switch(_), Origin::File { .. }));
        if chosen || switched || (!node.is_null() && !key.keys().is_empty()) {
            self.keep(path, origin, Typed::Section);
        }
        self.value(path, node, key);
    }

    fn keep(&mut self, path: &str, origin: &Origin, typed: Typed) {
        self.settings.0.insert(path.to_owned(), Setting { origin: origin.clone(), typed });
    }

    fn value(&mut self, path: &str, node: &Node, key: &Key) {
        let keys = || key.keys().iter().collect::<Vec<_>>();
        match key.kind {
            Kind::Section(_) | Kind::Switch(_) | Kind::Parameters(_) => self.entries(path, node, &keys(), Strangers::Warned),
            Kind::Choice(_) => match node.text() {
                Some(name) => self.entries(path, &chosen_by_name(node, name), &keys(), Strangers::Refused),
                None => self.entries(path, node, &keys(), Strangers::Refused),
            },
            // A condition that was passed over would give more than was written. Stock lists are read as a stock registry does.
            Kind::Items(_) if schema::is_ours(path) => self.items(path, node, &keys(), Strangers::Refused),
            Kind::Items(_) => self.items(path, node, &keys(), Strangers::Warned),
            Kind::Any | Kind::Inline => {}
            _ if node.is_null() => {}
            _ => match typed(node, &key.kind) {
                Ok(value) => {
                    self.ask_about_nanoseconds(path, node, &key.kind);
                    self.ask_about_the_mask(path, node, &key.kind);
                    let value = self.expanded(path, node, value, &key.kind);
                    self.keep(path, &node.origin, value);
                }
                Err(wanted) => {
                    let found = node.text().map_or_else(|| found(node).to_owned(), |text| quoted(text, &key.kind));
                    self.report.problem(Some(&node.origin), path, format_args!("{found} is not {wanted}"));
                }
            },
        }
    }

    fn items(&mut self, path: &str, node: &Node, keys: &[&Key], strangers: Strangers) {
        match &node.value {
            Value::List(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    let path = format!("{path}.{index}");
                    self.keep(&path, &node.origin, Typed::Section);
                    self.entries(&path, node, keys, strangers);
                }
            }
            _ if node.is_null() => {}
            _ => self.report.problem(Some(&node.origin), path, "must be a list: begin each of its items with `- `"),
        }
    }

    /// The path that is meant, where one begins with the directory of credentials.
    fn expanded(&mut self, path: &str, node: &Node, value: Typed, kind: &Kind) -> Typed {
        let credentials = self.credentials;
        let expanded = match &value {
            Typed::Text(text) if !matches!(kind, Kind::Secret) => credentials::expanded(text, credentials).map(Typed::Text),
            Typed::Texts(texts) => {
                texts.iter().map(|text| credentials::expanded(text, credentials)).collect::<Result<_, _>>().map(Typed::Texts)
            }
            _ => return value,
        };
        expanded.unwrap_or_else(|why| {
            self.report.problem(Some(&node.origin), path, why);
            value
        })
    }

    fn ask_about_the_mask(&mut self, path: &str, node: &Node, kind: &Kind) {
        if matches!(kind, Kind::Secret) && node.text() == Some(MASK) {
            self.report.mistake(Some(&node.origin), path, "this is what `config show` prints in place of a secret, and no secret");
        }
    }

    fn ask_about_nanoseconds(&mut self, path: &str, node: &Node, kind: &Kind) {
        let number = node.text().and_then(scalar::integer).filter(|number| (1..1_000_000).contains(number));
        if let (Kind::Duration, Some(number)) = (kind, number) {
            let text = format_args!("{number} means {number} nanoseconds; write `{number}s` for seconds");
            self.report.notice(Severity::Warning, Some(&node.origin), path, text);
        }
    }
}

/// What a bare text at a choice stands for.
pub(crate) fn chosen_by_name(node: &Node, name: &str) -> Node {
    let entry = super::tree::Entry { key: name.to_owned(), origin: node.origin.clone(), node: Node::null(node.origin.clone()) };
    Node { origin: node.origin.clone(), value: Value::Map(vec![entry]) }
}

/// Whether anything is asked for that would not happen by itself.
fn asks(node: &Node, key: &Key) -> bool {
    match &node.value {
        _ if node.is_null() => false,
        Value::Scalar(scalar) if matches!(key.kind, Kind::Bool) => scalar::truth(&scalar.text) != Some(false),
        Value::Scalar(scalar) if matches!(key.kind, Kind::Integer) => scalar::integer(&scalar.text) != Some(0),
        Value::Scalar(scalar) => !scalar.text.is_empty(),
        Value::List(nodes) => !nodes.is_empty(),
        Value::Map(entries) => entries.iter().any(|entry| {
            let below = key.keys().iter().find(|key| key.name == entry.key);
            below.map_or_else(|| !entry.node.is_null(), |below| asks(&entry.node, below))
        }),
    }
}

fn typed(node: &Node, kind: &Kind) -> Result<Typed, &'static str> {
    let text = node.text();
    match kind {
        Kind::Bool => text.and_then(scalar::truth).map(Typed::Bool).ok_or("a truth value; write true or false"),
        Kind::Integer => text.and_then(scalar::integer).map(Typed::Integer).ok_or("a whole number"),
        Kind::Duration => text.and_then(scalar::duration).map(Typed::Duration).ok_or("a duration; write one such as 90s, 5m or 1h30m"),
        Kind::Texts => texts(node).map(Typed::Texts).ok_or("a list of texts; write one such as [one, two]"),
        Kind::Table => table(node).map(Typed::Table).ok_or("a section of names with a text or a list of texts each"),
        _ => text.map(|text| Typed::Text(text.to_owned())).ok_or("one text; if it is meant as one, put it in quotes"),
    }
}

fn texts(node: &Node) -> Option<Vec<String>> {
    match &node.value {
        Value::List(nodes) => nodes.iter().map(|node| node.text().map(str::to_owned)).collect(),
        Value::Scalar(scalar) => Some(vec![scalar.text.clone()]).filter(|_| !scalar.text.is_empty()).or_else(|| Some(Vec::new())),
        Value::Map(_) => None,
    }
}

fn table(node: &Node) -> Option<Vec<(String, Vec<String>)>> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().map(|entry| Some((entry.key.clone(), if entry.node.is_null() { Vec::new() } else { texts(&entry.node)? }))).collect()
}

fn found(node: &Node) -> &'static str {
    match node.value {
        Value::Map(_) => "a section",
        Value::List(_) => "a list",
        Value::Scalar(_) => "this",
    }
}

/// Quotes what was found; never a secret.
fn quoted(text: &str, kind: &Kind) -> String {
    match kind {
        Kind::Secret => "this".to_owned(),
        _ => format!("`{text}`"),
    }
}
