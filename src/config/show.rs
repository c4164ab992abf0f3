//! The values in force, each with where it comes from: as a file that would be read as the same, with secrets masked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::check::Typed;
use super::excerpt::{MASK, names_a_secret};
use super::problem::{Origin, without_credentials};
use super::schema::{self, Key, Kind};
use super::{Loaded, defaults};

/// One value in force.
#[derive(Debug, Serialize)]
pub struct Shown {
    key: String,
    value: serde_json::Value,
    origin: String,
}

impl Shown {
    /// The dotted path of its name.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value, a secret masked.
    pub fn value(&self) -> &serde_json::Value {
        &self.value
    }
}

impl Loaded {
    /// The values in force as YAML, each with its origin in a comment.
    pub fn shown_as_yaml(&self) -> String {
        let mut page = Page { effective: Effective::of(self), text: String::new() };
        page.section("", schema::top(), 0);
        page.text
    }

    /// The values in force one by one, by the dotted path of their names.
    pub fn shown(&self) -> Vec<Shown> {
        let effective = Effective::of(self);
        let mut shown = Vec::new();
        effective.list("", schema::top(), &mut shown);
        shown
    }
}

/// What is in force, by path: numbers as they count, texts as they were written.
struct Effective<'a> {
    values: BTreeMap<String, (Typed, Option<&'a Origin>)>,
}

impl<'a> Effective<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        let written = loaded.settings.iter().filter(|(_, typed, _)| !matches!(typed, Typed::Text(text) if text.is_empty()));
        let mut values: BTreeMap<_, _> = written.map(|(path, typed, origin)| (path.to_owned(), (typed.clone(), Some(origin)))).collect();
        for (path, typed) in defaults::of(&loaded.config, &loaded.settings) {
            match values.get_mut(&path) {
                // Some numbers stand for another, as 0 for the usual one.
                Some((written, _)) if !matches!(written, Typed::Text(_) | Typed::Texts(_)) => *written = typed,
                Some(_) => {}
                None => {
                    let origin = loaded.settings.origin(alias(&path));
                    values.insert(path, (typed, origin));
                }
            }
        }
        Self { values }
    }

    fn has_below(&self, path: &str) -> bool {
        let start = format!("{path}.");
        self.values.range(start.clone()..).next().is_some_and(|(path, _)| path.starts_with(&start))
    }

    fn count(&self, path: &str) -> usize {
        (0..).take_while(|index| self.values.contains_key(&format!("{path}.{index}"))).count()
    }

    fn list(&self, path: &str, keys: impl Iterator<Item = &'static Key>, shown: &mut Vec<Shown>) {
        for key in keys {
            let path = joined(path, key.name);
            match key.kind {
                Kind::Items(keys) if self.count(&path) > 0 => {
                    for index in 0..self.count(&path) {
                        self.list(&format!("{path}.{index}"), keys.iter(), shown);
                    }
                }
                _ if self.has_below(&path) => self.list(&path, key.keys().iter(), shown),
                _ => {
                    if let Some((typed, origin)) = self.values.get(&path) {
                        let origin = origin_text(*origin);
                        shown.push(Shown { key: path, value: json(typed, &key.kind, key.name), origin });
                    }
                }
            }
        }
    }
}

/// Where a value may come from that another name gives.
fn alias(path: &str) -> &str {
    if path == "log.level" { "loglevel" } else { path }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn origin_text(origin: Option<&Origin>) -> String {
    origin.map_or_else(|| "default".to_owned(), ToString::to_string)
}

struct Page<'a> {
    effective: Effective<'a>,
    text: String,
}

impl Page<'_> {
    fn section(&mut self, path: &str, keys: impl Iterator<Item = &'static Key>, depth: usize) {
        for key in keys {
            let path = joined(path, key.name);
            let head = format!("{}{}:", "  ".repeat(depth), key.name);
            match key.kind {
                Kind::Items(keys) if self.effective.count(&path) > 0 => {
                    let _ = writeln!(self.text, "{head}");
                    for index in 0..self.effective.count(&path) {
                        self.item(&format!("{path}.{index}"), keys, depth + 1);
                    }
                }
                _ if self.effective.has_below(&path) => {
                    let _ = writeln!(self.text, "{head}");
                    self.section(&path, key.keys().iter(), depth + 1);
                }
                _ => {
                    if let Some((typed, origin)) = self.effective.values.get(&path) {
                        let origin = origin_text(*origin);
                        // Beside the rules that it brought, the name of their file could not stand.
                        let mark = if path == "access.file" { "# " } else { "" };
                        let value = yaml(typed, key, depth);
                        let _ = writeln!(self.text, "{mark}{head} {}", with_comment(&value, &origin));
                    }
                }
            }
        }
    }

    fn item(&mut self, path: &str, keys: &'static [Key], depth: usize) {
        let before = self.text.len();
        self.section(path, keys.iter(), depth + 1);
        let item = self.text.split_off(before);
        let margin = "  ".repeat(depth);
        match item.strip_prefix(&format!("{margin}  ")) {
            Some(rest) => self.text.push_str(&format!("{margin}- {rest}")),
            None => self.text.push_str(&format!("{margin}- {{}}\n")),
        }
    }
}

/// A value with its origin at the end of its first line.
fn with_comment(value: &str, origin: &str) -> String {
    match value.split_once('\n') {
        None => format!("{value}  # {origin}"),
        Some((first, rest)) => format!("{first} # {origin}\n{rest}"),
    }
}

fn yaml(typed: &Typed, key: &Key, depth: usize) -> String {
    let margin = "  ".repeat(depth + 1);
    match typed {
        Typed::Section if matches!(key.kind, Kind::Items(_)) => "[]".to_owned(),
        Typed::Section => "{}".to_owned(),
        Typed::Bool(value) => value.to_string(),
        Typed::Integer(number) => number.to_string(),
        Typed::Duration(time) => duration(*time),
        Typed::Text(_) if hides(&key.kind, key.name) => format!("\"{MASK}\""),
        Typed::Text(text) => scalar(&bare(text)),
        Typed::Texts(texts) => list(texts),
        Typed::Table(rows) if rows.is_empty() => "{}".to_owned(),
        Typed::Table(rows) => rows.iter().fold(String::new(), |text, (name, values)| {
            let values = if names_a_secret(name) { format!("[\"{MASK}\"]") } else { list(values) };
            format!("{text}\n{margin}{}: {values}", scalar(name))
        }),
    }
}

fn json(typed: &Typed, kind: &Kind, name: &str) -> serde_json::Value {
    use serde_json::json;
    match typed {
        Typed::Section if matches!(kind, Kind::Items(_)) => json!([]),
        Typed::Section => json!({}),
        Typed::Bool(value) => json!(value),
        Typed::Integer(number) => json!(number),
        Typed::Duration(time) => json!(duration(*time)),
        Typed::Text(_) if hides(kind, name) => json!(MASK),
        Typed::Text(text) => json!(bare(text)),
        Typed::Texts(texts) => json!(texts.iter().map(|text| without_credentials(text)).collect::<Vec<_>>()),
        Typed::Table(rows) => rows
            .iter()
            .map(|(name, values)| (name.clone(), if names_a_secret(name) { json!([MASK]) } else { json!(values) }))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn hides(kind: &Kind, name: &str) -> bool {
    matches!(kind, Kind::Secret) || names_a_secret(name)
}

/// A text without the credentials of an address: those before its host, and its query, where receivers of events expect theirs.
fn bare(text: &str) -> String {
    let text = without_credentials(text);
    match text.split_once('?') {
        Some((address, _)) if address.contains("://") => format!("{address}?{MASK}"),
        _ => text,
    }
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| scalar(text)).collect::<Vec<_>>().join(", "))
}

/// A text as YAML reads it back, in quotes where it could be anything else.
fn scalar(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '/' | '.' | '_' | '-' | '@' | '%');
    let is_word = text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/') && text.chars().all(is_plain);
    let means_more = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if is_word && !means_more {
        return text.to_owned();
    }
    // A JSON text is one of YAML too.
    serde_json::Value::from(text).to_string()
}

/// A duration as Go writes it.
fn duration(time: Duration) -> String {
    if time.subsec_nanos() > 0 {
        return match time.as_nanos() {
            nanos if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
            nanos if nanos % 1_000 == 0 => format!("{}us", nanos / 1_000),
            nanos => format!("{nanos}ns"),
        };
    }
    let seconds = time.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.into_iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}
