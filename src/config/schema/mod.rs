//! The one table of every name a configuration may hold: registry:2's, of both lines of versions, and ours.
//!
//! Each name has its spelling in YAML, its spelling in a variable, a type, and a status: what happens to what is written there.
//! The table is data; reading by it is `check`, laying variables over it is `environment`.

mod ours;
mod rest;
mod storage;

pub(crate) use self::ours::ACCESS;
use super::problem::Severity;

/// One name.
#[derive(Debug)]
pub(crate) struct Key {
    /// The name in YAML.
    pub(crate) name: &'static str,
    /// The name in a variable, where it is not the one in YAML in upper case.
    variable: Option<&'static str>,
    /// What may be written there.
    pub(crate) kind: Kind,
    /// What happens to it.
    pub(crate) status: Status,
}

/// What may be written at a name.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `true`, `yes`, `on` or their opposites.
    Bool,
    /// A whole number.
    Integer,
    /// A duration as Go writes it.
    Duration,
    /// One text.
    Text,
    /// One text that a variable `…_FILE` may name the file of.
    Secret,
    /// A list of texts; one text stands for a list of one.
    Texts,
    /// Free names, each with a list of texts or one text.
    Table,
    /// Fixed names: what else is written is a mistake.
    Section(&'static [Key]),
    /// A section that switches something on by being there, be it empty.
    Switch(&'static [Key]),
    /// Names of a map: as a section, but a variable makes names that are not there yet, in lower case.
    Parameters(&'static [Key]),
    /// A map of which one name is chosen; a bare text stands for that name, and an unknown name is refused.
    Choice(&'static [Key]),
    /// A list of sections.
    Items(&'static [Key]),
    /// A second way, in variables only, to the names of the section it stands in.
    Inline,
    /// Anything: nothing reads it.
    Any,
}

/// What happens to what is written at a name.
#[derive(Debug)]
pub(crate) enum Status {
    /// It is done.
    Honoured,
    /// There is nothing to be done here: it asks for no more than what happens anyway, or tunes what is not there.
    Moot,
    /// It is not done yet; the text says what happens instead.
    Pending(Severity, &'static str),
    /// It is not done, and to start without it would be wrong; the text says what to do.
    Refused(&'static str),
    /// It belongs to versions long gone and has no effect.
    Legacy(&'static str),
}

impl Key {
    /// A name whose value is used.
    pub(crate) const fn honoured(name: &'static str, kind: Kind) -> Self {
        Self { name, variable: None, kind, status: Status::Honoured }
    }

    /// A name that asks for nothing special.
    pub(crate) const fn moot(name: &'static str, kind: Kind) -> Self {
        Self { name, variable: None, kind, status: Status::Moot }
    }

    /// A name that is not honoured yet, where somebody will miss it.
    pub(crate) const fn missing(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, variable: None, kind, status: Status::Pending(Severity::Warning, text) }
    }

    /// A name that is not honoured yet, where nobody is worse off.
    pub(crate) const fn later(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, variable: None, kind, status: Status::Pending(Severity::Info, text) }
    }

    /// A name that must not be ignored.
    pub(crate) const fn refused(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, variable: None, kind, status: Status::Refused(text) }
    }

    /// A name of old versions.
    pub(crate) const fn legacy(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, variable: None, kind, status: Status::Legacy(text) }
    }

    /// The same, under another name in variables.
    pub(crate) const fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    /// The name in a variable.
    pub(crate) fn segment(&self) -> String {
        self.variable.map_or_else(|| self.name.to_ascii_uppercase(), str::to_owned)
    }

    /// The names below this one.
    pub(crate) fn keys(&self) -> &'static [Self] {
        match self.kind {
            Kind::Section(keys) | Kind::Switch(keys) | Kind::Parameters(keys) | Kind::Choice(keys) | Kind::Items(keys) => keys,
            _ => &[],
        }
    }
}

/// Every name at the top of a file.
pub(crate) fn top() -> impl Iterator<Item = &'static Key> + Clone {
    rest::FIRST.iter().chain(storage::STORAGE).chain(rest::LAST).chain(ours::TOP)
}

/// Whether a path begins with a name that registry:2 does not know.
pub(crate) fn is_ours(path: &str) -> bool {
    ours::TOP.iter().any(|key| path.split('.').next() == Some(key.name))
}

/// Whether a secret is written at a name, wherever it stands.
pub(crate) fn has_secret(name: &str) -> bool {
    fn is_or_has(key: &Key, name: &str) -> bool {
        (matches!(key.kind, Kind::Secret) && key.name == name) || key.keys().iter().any(|below| is_or_has(below, name))
    }
    top().any(|key| is_or_has(key, name))
}

/// The name among some that is most like a text, if any is near: a few letters away, or its beginning.
pub(crate) fn nearest(text: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let text = text.to_lowercase();
    let near = |name: String| {
        let lower = name.to_lowercase();
        let shorter = lower.len().min(text.len());
        let begins = shorter >= 3 && (text.starts_with(&lower) || lower.starts_with(&text));
        let distance = distance(&text, &lower);
        (begins || distance <= 1.max(shorter / 3)).then_some((distance, name))
    };
    names.filter_map(near).min().map(|(_, name)| name)
}

/// The fewest letters to insert, remove, replace or swap with a neighbour to turn one text into another.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_are_unique_and_lower_case(path: &str, keys: &[&'static Key]) {
        for (index, key) in keys.iter().enumerate() {
            assert!(keys[..index].iter().all(|other| other.name != key.name && other.segment() != key.segment()), "{path}.{}", key.name);
            assert!(!key.name.contains('.'), "{path}.{}", key.name);
            names_are_unique_and_lower_case(&format!("{path}.{}", key.name), &key.keys().iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_section_lists_a_name_twice() {
        names_are_unique_and_lower_case("", &top().collect::<Vec<_>>());
    }

    #[test]
    fn the_nearest_name_is_found_or_none() {
        let names = || ["rootdirectory", "maxthreads", "addr"].into_iter().map(str::to_owned);
        for (text, name) in [
            ("rootdirectry", Some("rootdirectory")),
            ("rootDirectory", Some("rootdirectory")),
            ("adrr", Some("addr")),
            ("address", Some("addr")),
            ("zebra", None),
        ] {
            assert_eq!(nearest(text, names()).as_deref(), name, "{text}");
        }
    }
}
