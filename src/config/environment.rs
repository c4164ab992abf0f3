//! Lays `REGISTRY_…` variables over a tree, by the rule of the stock registry.
//!
//! The rest of a name is cut at each `_`. Fixed names are found by their name in variables, names of maps by their upper case
//! (and made in lower case), items of lists by their index. The value is read as YAML. Names are applied in the order of their
//! bytes, so a whole section is replaced before its parts are set. Where the stock registry panics or loses a value
//! (`…_READONLY_ENABLED`, `…_HOSTS_0`), this works. `…_FILE` names the file of a secret and never shadows a name that exists.

use std::collections::BTreeMap;

use regex::Regex;

use super::check::chosen_by_name;
use super::credentials;
use super::problem::{Origin, Report, Severity};
use super::schema::{self, Key, Kind};
use super::tree::{self, Entry, Node, Style, Value};

/// What names of variables begin with.
pub(super) const PREFIX: &str = "REGISTRY_";

/// Lays every variable over the tree.
pub(crate) fn overlay(root: &mut Node, environment: &BTreeMap<String, String>, report: &mut Report) {
    let ours = environment.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)));
    let of_a_service = Regex::new(OF_A_SERVICE).expect("the constant above is a regular expression");
    for (name, rest, value) in ours.filter(|(_, rest, value)| !belongs_to_others(rest, value, &of_a_service)) {
        let segments: Vec<&str> = rest.split('_').collect();
        if !schema::top().any(|key| key.segment() == segments[0]) {
            unknown(name, segments[0], schema::top().map(Key::segment), report);
            continue;
        }
        let Some((segments, node)) = value_of(name, value, &segments, environment, report) else { continue };
        lay(root, name, &segments, node, report);
    }
    // Last, so that it is known what they must give way to.
    credentials::overlay(root, environment, report);
}

/// The end of what Kubernetes sets for a service, whose own name stands before it.
const OF_A_SERVICE: &str = "(^|_)(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$";

/// The variable that names the file, and those that Kubernetes sets for each service that is called `registry`, or `registry-` and more.
fn belongs_to_others(rest: &str, value: &str, of_a_service: &Regex) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_port = rest == "PORT" || (rest.ends_with("_PORT") && is_address);
    rest == "CONFIGURATION_PATH" || is_port || of_a_service.is_match(rest)
}

fn unknown(variable: &str, segment: &str, known: impl Iterator<Item = String>, report: &mut Report) {
    let origin = Origin::Variable(variable.into());
    match schema::nearest(segment, known) {
        Some(near) => {
            report.mistake(Some(&origin), "", format_args!("`{segment}` is unknown, so the variable is ignored; did you mean `{near}`?"))
        }
        None => report.mistake(Some(&origin), "", format_args!("`{segment}` is unknown, so the variable is ignored")),
    }
}

/// The value to lay down, and where: for `…_FILE` of a secret the content of the file.
fn value_of<'a>(
    name: &str,
    value: &str,
    segments: &[&'a str],
    environment: &BTreeMap<String, String>,
    report: &mut Report,
) -> Option<(Vec<&'a str>, Node)> {
    let origin = Origin::Variable(name.into());
    let Some(secret) = names_a_secret_file(segments) else {
        let node = tree::read_variable(name, value, report)?;
        if let Value::Scalar(scalar) = &node.value
            && scalar.style == Style::Plain
            && value.contains(" #")
        {
            let text = "` #` begins a comment, so the rest of the value is not read; put quotes inside the value to keep it";
            report.notice(Severity::Warning, Some(&origin), "", text);
        }
        return Some((segments.to_vec(), node));
    };
    if let Some(beside) = name.strip_suffix("_FILE").filter(|beside| environment.contains_key(*beside)) {
        report.problem(Some(&origin), "", format_args!("{beside} is set as well; unset one of the two"));
        return None;
    }
    let directory = environment.get(credentials::DIRECTORY).map(String::as_str);
    let path = credentials::expanded(value, directory).map_err(|why| report.problem(Some(&origin), "", why)).ok()?;
    Some((secret.to_vec(), credentials::read(name, &path, report)?))
}

fn names_a_secret_file<'s, 'a>(segments: &'s [&'a str]) -> Option<&'s [&'a str]> {
    let (last, secret) = segments.split_last()?;
    (*last == "FILE" && key_of(segments).is_none() && matches!(key_of(secret)?.kind, Kind::Secret)).then_some(secret)
}

/// The key that the segments of a variable's name lead to, by fixed names and the indexes of lists.
pub(super) fn key_of(segments: &[&str]) -> Option<&'static Key> {
    let (first, rest) = segments.split_first()?;
    let top = schema::top().find(|key| key.segment() == *first)?;
    rest.iter().try_fold(top, |key, segment| match key.kind {
        Kind::Items(_) if segment.parse::<usize>().is_ok() => Some(key),
        _ => {
            let below = key.keys().iter().find(|key| key.segment() == *segment)?;
            Some(if matches!(below.kind, Kind::Inline) { key } else { below })
        }
    })
}

/// Lays a value down where the segments of a variable's name lead to.
pub(super) fn lay(root: &mut Node, variable: &str, segments: &[&str], value: Node, report: &mut Report) {
    if let Some(top) = schema::top().find(|key| Some(&key.segment().as_str()) == segments.first()) {
        Place { variable, report }.section(root, &[top], segments, value);
    }
}

/// One variable on its way down.
struct Place<'a> {
    variable: &'a str,
    report: &'a mut Report,
}

impl Place<'_> {
    fn origin(&self) -> Origin {
        Origin::Variable(self.variable.into())
    }

    fn section(self, node: &mut Node, keys: &[&'static Key], segments: &[&str], value: Node) {
        let Some((segment, rest)) = segments.split_first() else { return };
        let Some(key) = keys.iter().find(|key| key.segment() == *segment) else {
            return unknown(self.variable, segment, keys.iter().map(|key| key.segment()), self.report);
        };
        if matches!(key.kind, Kind::Inline) {
            return if rest.is_empty() { *node = value } else { self.section(node, keys, rest, value) };
        }
        let child = child(node, key.name, self.origin());
        self.below(child, key, rest, value);
    }

    fn below(self, node: &mut Node, key: &'static Key, segments: &[&str], value: Node) {
        if segments.is_empty() {
            *node = value;
            return;
        }
        match key.kind {
            Kind::Section(keys) | Kind::Switch(keys) => self.section(node, &keys.iter().collect::<Vec<_>>(), segments, value),
            Kind::Parameters(keys) | Kind::Choice(keys) => self.map(node, keys, segments, value),
            Kind::Items(keys) => self.list(node, Some(keys), segments, value),
            Kind::Texts => self.list(node, None, segments, value),
            Kind::Table | Kind::Any => self.free(node, segments, value),
            _ => {
                let text = format_args!("`{}` has nothing below it, so the variable is ignored", key.name);
                self.report.mistake(Some(&Origin::Variable(self.variable.into())), "", text);
            }
        }
    }

    fn map(self, node: &mut Node, keys: &'static [Key], segments: &[&str], value: Node) {
        let Some((segment, rest)) = segments.split_first() else { return };
        if let Some(name) = node.text() {
            *node = chosen_by_name(node, name);
        }
        let name = match name_in_map(node, segment) {
            Some(name) if !rest.is_empty() => name,
            _ => segment.to_lowercase(),
        };
        let known = keys.iter().find(|key| key.name == name);
        let child = child(node, &name, self.origin());
        match known {
            Some(key) => self.below(child, key, rest, value),
            None => self.free(child, rest, value),
        }
    }

    /// Descends where the schema says nothing.
    fn free(self, node: &mut Node, segments: &[&str], value: Node) {
        let Some((segment, rest)) = segments.split_first() else {
            *node = value;
            return;
        };
        if matches!(node.value, Value::List(_)) {
            return self.list(node, None, segments, value);
        }
        let name = match name_in_map(node, segment) {
            Some(name) if !rest.is_empty() => name,
            _ => segment.to_lowercase(),
        };
        let child = child(node, &name, self.origin());
        self.free(child, rest, value);
    }

    fn list(self, node: &mut Node, keys: Option<&'static [Key]>, segments: &[&str], value: Node) {
        let Some((segment, rest)) = segments.split_first() else { return };
        let origin = self.origin();
        let Ok(index) = segment.parse::<usize>() else {
            self.report.problem(Some(&origin), "", format_args!("`{segment}` is not the index of an item; the first is 0"));
            return;
        };
        if !matches!(node.value, Value::List(_)) {
            let only = if node.is_null() { Vec::new() } else { vec![node.clone()] };
            *node = Node { origin: origin.clone(), value: Value::List(only) };
        }
        let Value::List(nodes) = &mut node.value else { return };
        if index > nodes.len() {
            let text = format_args!("undefined index {index}: there are {} items before it; the next is {}", nodes.len(), nodes.len());
            self.report.problem(Some(&origin), "", text);
            return;
        }
        if index == nodes.len() {
            nodes.push(Node::null(origin));
        }
        match keys {
            Some(keys) if !rest.is_empty() => self.section(&mut nodes[index], &keys.iter().collect::<Vec<_>>(), rest, value),
            _ => self.free(&mut nodes[index], rest, value),
        }
    }
}

fn name_in_map(node: &Node, segment: &str) -> Option<String> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key.to_uppercase() == segment).map(|entry| entry.key.clone())
}

/// The value of a name in a map, made when it is not there; what is no map becomes one.
fn child<'a>(node: &'a mut Node, name: &str, origin: Origin) -> &'a mut Node {
    if !matches!(node.value, Value::Map(_)) {
        *node = Node::empty_map(origin.clone());
    }
    let Value::Map(entries) = &mut node.value else { unreachable!("made a map above") };
    let at = entries.iter().position(|entry| entry.key == name).unwrap_or_else(|| {
        entries.push(Entry { key: name.to_owned(), origin: origin.clone(), node: Node::null(origin.clone()) });
        entries.len() - 1
    });
    // A name whose value comes from a variable is named by it, so that messages point to what was set last.
    if entries[at].node.is_null() {
        entries[at].origin = origin;
    }
    &mut entries[at].node
}
