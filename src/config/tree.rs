//! The tree of a YAML text whose nodes know where they were written.
//!
//! Owns reading: anchors and aliases, merge keys, duplicate keys (the last wins, as in the stock registry, but with a warning).
//! Knows no key. Scalars keep their text: what `0755` or `yes` means is decided by the type that is asked for. Invariant: no
//! text makes the tree deeper than [`DEPTH_LIMIT`] or, by its aliases, larger than [`NODE_LIMIT`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::problem::{Origin, Report};

const DEPTH_LIMIT: usize = 64;
const NODE_LIMIT: usize = 100_000;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where.
    pub(crate) origin: Origin,
    /// What.
    pub(crate) value: Value,
}

/// The three shapes of YAML.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// One text.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Node>),
    /// Values by name, in order, each name once.
    Map(Vec<Entry>),
}

/// A text, and whether it was quoted.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    /// The text without its quotes.
    pub(crate) text: String,
    /// Quoted text is never null.
    pub(crate) style: Style,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Bare.
    Plain,
    /// In quotes, as a block, or with the tag of strings.
    Quoted,
}

/// One line of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The name.
    pub(crate) key: String,
    /// Where the name was written.
    pub(crate) origin: Origin,
    /// The value.
    pub(crate) node: Node,
}

impl Node {
    /// A map without entries.
    pub(crate) fn empty_map(origin: Origin) -> Self {
        Self { origin, value: Value::Map(Vec::new()) }
    }

    /// A quoted text.
    pub(crate) fn quoted(origin: Origin, text: String) -> Self {
        Self { origin, value: Value::Scalar(Scalar { text, style: Style::Quoted }) }
    }

    /// The absent value.
    pub(crate) fn null(origin: Origin) -> Self {
        Self { origin, value: Value::Scalar(Scalar { text: String::new(), style: Style::Plain }) }
    }

    /// Whether this is YAML's null.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar)
            if scalar.style == Style::Plain && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar that is not null.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if !self.is_null() => Some(&scalar.text),
            _ => None,
        }
    }
}

/// Reads the first document of a file.
///
/// # Errors
/// What keeps the text from being YAML is noted in the report.
pub(crate) fn read_file(file: &str, text: &str, report: &mut Report) -> Option<Node> {
    Builder::new(Source::File(Arc::from(file))).build(text, report)
}

/// Reads the value of a variable, which is YAML too.
pub(crate) fn read_variable(name: &str, text: &str, report: &mut Report) -> Option<Node> {
    Builder::new(Source::Variable(Arc::from(name))).build(text, report)
}

enum Source {
    File(Arc<str>),
    Variable(Arc<str>),
}

enum Open {
    List { origin: Origin, anchor: usize, nodes: Vec<Node> },
    Map { origin: Origin, anchor: usize, entries: Vec<Entry>, key: Option<(String, Origin)> },
}

/// What keeps a text from being read: where and why.
type Fault = (Origin, String);

struct Builder {
    source: Source,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    budget: usize,
    root: Option<Node>,
    duplicates: Vec<(String, Origin, Origin)>,
}

impl Builder {
    fn new(source: Source) -> Self {
        Self { source, open: Vec::new(), anchors: HashMap::new(), budget: NODE_LIMIT, root: None, duplicates: Vec::new() }
    }

    fn build(mut self, text: &str, report: &mut Report) -> Option<Node> {
        let text = text.trim_start_matches('\u{feff}');
        for event in Parser::new_from_str(text) {
            let step = match event {
                Ok((Event::DocumentEnd, _)) => break,
                Ok((event, span)) => self.take(event, span),
                Err(fault) => {
                    let (line, column) = place_of(&fault, text);
                    let origin = self.origin(line, column);
                    Err((origin, format!("this is not YAML: {}", fault.info())))
                }
            };
            if let Err((origin, why)) = step {
                report.problem(Some(&origin), "", self.advised(why));
                return None;
            }
        }
        for (key, first, again) in &self.duplicates {
            report.warning(Some(again), key, format_args!("written twice; this one counts, and the one at {first} is ignored"));
        }
        let start = self.origin(1, 0);
        Some(self.root.unwrap_or_else(|| Node::null(start)))
    }

    fn advised(&self, why: String) -> String {
        match self.source {
            Source::File(_) => why + "; check the indentation and the quotes of this line and the one before it",
            Source::Variable(_) => why + "; the value of a variable is read as YAML: put quotes inside the value, as in NAME='\"value\"'",
        }
    }

    fn origin(&self, line: usize, column: usize) -> Origin {
        match &self.source {
            Source::File(file) => Origin::File { file: Arc::clone(file), line, column: column + 1 },
            Source::Variable(name) => Origin::Variable(Arc::clone(name)),
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let origin = self.origin(span.start.line(), span.start.col());
        if self.open.len() > DEPTH_LIMIT {
            return Err((origin, format!("nested deeper than {DEPTH_LIMIT} levels")));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = if style == ScalarStyle::Plain && !says_string(tag.as_ref()) { Style::Plain } else { Style::Quoted };
                let scalar = Scalar { text: text.into_owned(), style };
                self.place(Node { origin, value: Value::Scalar(scalar) }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.open.push(Open::List { origin, anchor, nodes: Vec::new() });
                Ok(())
            }
            Event::MappingStart(anchor, _) => {
                self.open.push(Open::Map { origin, anchor, entries: Vec::new(), key: None });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err((origin, "an alias inside its own anchor".to_owned()));
                };
                self.budget = self.budget.saturating_sub(size(&node));
                if self.budget == 0 {
                    return Err((origin, format!("aliases expand to more than {NODE_LIMIT} values")));
                }
                self.place(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Fault> {
        match self.open.pop() {
            Some(Open::List { origin, anchor, nodes }) => self.place(Node { origin, value: Value::List(nodes) }, anchor),
            Some(Open::Map { origin, anchor, entries, .. }) => {
                let entries = merged(entries)?;
                self.place(Node { origin, value: Value::Map(entries) }, anchor)
            }
            None => Ok(()),
        }
    }

    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { nodes, .. }) => nodes.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                None => match node.value {
                    Value::Scalar(scalar) => *key = Some((scalar.text, node.origin)),
                    _ => return Err((node.origin, "a name must be one text, not a list or a map".to_owned())),
                },
                Some((name, origin)) => {
                    if let Some(at) = entries.iter().position(|entry| entry.key == name && name != MERGE) {
                        let first = entries.remove(at);
                        self.duplicates.push((name.clone(), first.origin, origin.clone()));
                    }
                    entries.push(Entry { key: name, origin, node });
                }
            },
        }
        Ok(())
    }
}

/// Where a fault lies. A tab in front of a line is told at the text before it, which could have gone on there.
fn place_of(fault: &ScanError, text: &str) -> (usize, usize) {
    let (line, column) = (fault.marker().line(), fault.marker().col());
    let is_tabbed = |text: &str| text.chars().take_while(|letter| letter.is_whitespace()).any(|letter| letter == '\t');
    let tabbed = text.lines().enumerate().skip(line.saturating_sub(1)).find(|(_, text)| fault.info().contains("tab") && is_tabbed(text));
    tabbed.map_or((line, column), |(index, text)| (index + 1, text.chars().position(|letter| letter == '\t').unwrap_or_default()))
}

const MERGE: &str = "<<";

/// Replaces merge keys by what they bring; what is written beside them wins, and of several maps the first.
fn merged(entries: Vec<Entry>) -> Result<Vec<Entry>, Fault> {
    let (merges, mut kept): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.key == MERGE);
    for merge in merges {
        let maps = match merge.node.value {
            Value::List(nodes) => nodes,
            _ => vec![merge.node],
        };
        for map in maps {
            let Value::Map(brought) = map.value else {
                return Err((merge.origin, "`<<` merges maps only: let it point to the anchor of a map".to_owned()));
            };
            for entry in brought {
                if kept.iter().all(|known| known.key != entry.key) {
                    kept.push(entry);
                }
            }
        }
    }
    Ok(kept)
}

fn says_string(tag: Option<&Cow<'_, Tag>>) -> bool {
    tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str")
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(_) => 0,
        Value::List(nodes) => nodes.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.node)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Node, Report) {
        let mut report = Report::default();
        let node = read_file("f.yml", text, &mut report);
        (node.unwrap_or_else(|| panic!("{:?}", report.problems)), report)
    }

    fn at<'a>(node: &'a Node, path: &str) -> &'a Node {
        path.split('.').fold(node, |node, name| match &node.value {
            Value::Map(entries) => &entries.iter().find(|entry| entry.key == name).unwrap().node,
            Value::List(nodes) => &nodes[name.parse::<usize>().unwrap()],
            Value::Scalar(_) => panic!("{name} in a scalar"),
        })
    }

    #[test]
    fn a_scalar_keeps_its_text_and_its_place() {
        let (root, _) = read("# a comment\nhttp:\n  mode: 0755\n  addr: ':5000'\n");
        assert_eq!(at(&root, "http.mode").text(), Some("0755"));
        assert_eq!(at(&root, "http.mode").origin.to_string(), "f.yml:3:9");
        assert_eq!(at(&root, "http.addr").text(), Some(":5000"));
    }

    #[test]
    fn only_plain_text_is_null() {
        let (root, _) = read("a:\nb: ~\nc: ''\nd: !!str null\ne: \"null\"\n");
        let nulls: Vec<_> = ["a", "b", "c", "d", "e"].into_iter().map(|name| at(&root, name).is_null()).collect();
        assert_eq!(nulls, [true, true, false, false, false]);
    }

    #[test]
    fn merge_keys_bring_what_is_not_written_beside_them() {
        let (root, _) = read("base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\none: {<<: *b, x: 9}\ntwo: {<<: [*b, *o]}\n");
        let values: Vec<_> = ["one.x", "one.y", "two.y", "two.z"].into_iter().map(|path| at(&root, path).text()).collect();
        assert_eq!(values, [Some("9"), Some("2"), Some("2"), Some("4")]);
    }

    #[test]
    fn the_last_of_duplicate_keys_wins_with_a_warning_that_names_both_lines() {
        let (root, report) = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(at(&root, "a").text(), Some("3"));
        assert_eq!(report.notices[0].message, "f.yml:3:1: a: written twice; this one counts, and the one at f.yml:1:1 is ignored");
    }

    #[test]
    fn only_the_first_document_counts_and_an_empty_one_is_null() {
        assert_eq!(at(&read("a: 1\n---\na: 2\n").0, "a").text(), Some("1"));
        assert!(read("").0.is_null());
        assert!(read("# nothing\n").0.is_null());
    }

    #[test]
    fn what_is_not_yaml_is_named_with_its_line() {
        for text in ["a: [1\nb: 2\n", "a: 1\n\tb: 2\n", "a: *nowhere\n", "[a, b]: c\n", "a: {<<: 3}\n", "a: &x [*x]\n"] {
            let mut report = Report::default();
            assert!(read_file("f.yml", text, &mut report).is_none(), "{text:?}");
            assert!(report.problems[0].message.starts_with("f.yml:"), "{:?}", report.problems);
        }
    }

    #[test]
    fn a_text_cannot_be_deeper_or_larger_than_the_limits() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..8 {
            let last = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{last}"); 10].join(", ")));
        }
        for text in [bomb, "[".repeat(2_000) + &"]".repeat(2_000)] {
            let mut report = Report::default();
            assert!(read_file("f.yml", &text, &mut report).is_none());
            assert_eq!(report.problems.len(), 1);
        }
    }
}
