//! Scopes: what a token is asked for, and what it grants.
//!
//! Grammar `type[(class)]:name:action[,action]`, cut at the first colon for the type and the last for the actions (Docker token
//! specification). Invariant: a [`Scope`] names a real resource and at least one action; what is not understood is dropped.

use std::fmt;

use super::identity::{Action, Resource};
use crate::oci::Name;

/// A resource with actions on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) target: Target,
    pub(super) actions: Actions,
}

/// An owned [`Resource`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Repository(Name),
    Catalog,
}

/// A set of action words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Actions(u8);

impl Target {
    fn parse(kind: &str, name: &str) -> Option<Self> {
        let class = kind.find('(').map_or("", |start| &kind[start..]);
        match kind.strip_suffix(class)? {
            "repository" if class.is_empty() || is_class(class) => name.parse().ok().map(Self::Repository),
            "registry" if class.is_empty() && name == "catalog" => Some(Self::Catalog),
            _ => None,
        }
    }

    /// The `type` of a token's access entry.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Repository(_) => "repository",
            Self::Catalog => "registry",
        }
    }

    /// The `name` of a token's access entry.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Repository(name) => name.as_str(),
            Self::Catalog => "catalog",
        }
    }

    pub(super) fn resource(&self) -> Resource<'_> {
        match self {
            Self::Repository(name) => Resource::Repository(name),
            Self::Catalog => Resource::Catalog,
        }
    }
}

impl Actions {
    pub(super) const PULL: Self = Self(1);
    pub(super) const PUSH: Self = Self(2);
    pub(super) const DELETE: Self = Self(4);
    /// The word `*`, which stands for all actions.
    pub(super) const ANY: Self = Self(8);
    pub(super) const CREATE: Self = Self(16);

    const WORDS: [(Self, &'static str); 5] =
        [(Self::PULL, "pull"), (Self::PUSH, "push"), (Self::CREATE, "create"), (Self::DELETE, "delete"), (Self::ANY, "*")];

    /// The actions that a request needs to do `action` to `resource`: writes need `pull` as well.
    pub(super) fn needed(resource: &Resource<'_>, action: Action) -> Self {
        match (resource, action) {
            (Resource::Catalog, _) => Self::ANY,
            (Resource::Repository(_), Action::Pull) => Self::PULL,
            (Resource::Repository(_), Action::Create) => Self::PULL.with(Self::CREATE),
            (Resource::Repository(_), Action::Push) => Self::PULL.with(Self::PUSH),
            (Resource::Repository(_), Action::Delete) => Self::DELETE,
        }
    }

    /// The known ones among the words.
    pub(super) fn of_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().filter_map(Self::of_word).fold(Self::default(), Self::with)
    }

    /// The action of a word, if it is one.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(action, _)| *action)
    }

    /// The set as words.
    pub(super) fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.into_iter().filter(move |(action, _)| self.0 & action.0 != 0).map(|(_, word)| word)
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With everything that is included: in `*` all, in `push` also `create`.
    pub(super) fn expanded(self) -> Self {
        if self.0 & Self::ANY.0 != 0 {
            Self::WORDS.iter().fold(self, |set, (action, _)| set.with(*action))
        } else if self.0 & Self::PUSH.0 != 0 {
            self.with(Self::CREATE)
        } else {
            self
        }
    }

    /// Whether every needed action is inside.
    pub(super) fn cover(self, needed: Self) -> bool {
        self.expanded().0 & needed.0 == needed.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.target.kind(), self.target.name())?;
        for (index, word) in self.actions.words().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl Scope {
    /// One scope; `None` when nothing in it is understood.
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        Self::new(kind, name, actions.split(','))
    }

    /// The parts of one scope, as a token's access entry has them.
    pub(super) fn new<'a>(kind: &str, name: &str, actions: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let actions = Actions::of_words(actions);
        let target = Target::parse(kind, name)?;
        (!actions.is_empty()).then_some(Self { target, actions })
    }
}

/// Parses what was asked for: each text holds any number of scopes, split by blanks; duplicates are merged.
///
/// Beyond [`MAX_SCOPES`] scopes or [`MAX_TEXT`] bytes the rest is dropped, like everything else that is not understood.
pub(super) fn parse_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Scope> {
    let mut room = MAX_TEXT;
    let fitting = texts.into_iter().take_while(move |text| {
        let fits = text.len() <= room;
        room = room.saturating_sub(text.len());
        fits
    });
    merge(fitting.flat_map(str::split_ascii_whitespace).take(MAX_SCOPES).filter_map(Scope::parse))
}

/// Unites scopes of the same resource, in the order of first mention.
pub(super) fn merge(scopes: impl IntoIterator<Item = Scope>) -> Vec<Scope> {
    let mut merged: Vec<Scope> = Vec::new();
    for scope in scopes {
        match merged.iter_mut().find(|known| known.target == scope.target) {
            Some(known) => known.actions = known.actions.with(scope.actions),
            None => merged.push(scope),
        }
    }
    merged
}

fn is_class(text: &str) -> bool {
    let word = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    word.is_some_and(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

/// The most scopes one token may be asked for.
pub(super) const MAX_SCOPES: usize = 100;
/// The most bytes of scope text that are looked at.
pub(super) const MAX_TEXT: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(scopes: &[Scope]) -> Vec<String> {
        scopes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn scopes_come_repeated_joined_in_any_order_and_twice() {
        let asked = parse_all(["repository:a/b:push,pull repository:c:pull", "repository:a/b:delete", "registry:catalog:*"]);
        assert_eq!(texts(&asked), ["repository:a/b:pull,push,delete", "repository:c:pull", "registry:catalog:*"]);
    }

    #[test]
    fn a_class_is_read_and_dropped() {
        assert_eq!(texts(&parse_all(["repository(plugin):a:pull"])), ["repository:a:pull"]);
    }

    #[test]
    fn what_is_not_understood_is_dropped() {
        let odd = [
            "",
            ":",
            "::",
            "repository",
            "repository:a",
            "repository:a:",
            "repository::pull",
            "repository:A:pull",
            "repository:host:5000/a:pull",
            "repository:../a:pull",
            "repository(:a:pull",
            "repository():a:pull",
            "repository(x)y:a:pull",
            "registry:other:*",
            "registry(x):catalog:*",
            "blob:a:pull",
            "repository:a:PULL",
            "repository:a:read,,",
        ];
        assert_eq!(parse_all(odd), []);
        assert_eq!(texts(&parse_all(["repository:a:pull,read"])), ["repository:a:pull"]);
    }

    #[test]
    fn the_number_and_the_length_are_bounded() {
        let many: Vec<String> = (0..2 * MAX_SCOPES).map(|number| format!("repository:r{number}:pull")).collect();
        assert_eq!(parse_all(many.iter().map(String::as_str)).len(), MAX_SCOPES);
        let long = " ".repeat(MAX_TEXT);
        assert_eq!(parse_all([long.as_str(), "repository:a:pull"]), []);
    }

    #[test]
    fn the_star_covers_everything_and_push_covers_no_delete() {
        assert!(Actions::ANY.cover(Actions::PULL.with(Actions::DELETE)));
        assert!(!Actions::PULL.with(Actions::PUSH).cover(Actions::DELETE));
        assert!(!Actions::PUSH.cover(Actions::PULL.with(Actions::PUSH)));
        assert!(Actions::PUSH.cover(Actions::CREATE) && !Actions::CREATE.cover(Actions::PUSH));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_a_panic(texts in prop::collection::vec(".{0,80}", 0..4)) {
            parse_all(texts.iter().map(String::as_str));
        }

        #[test]
        fn a_parsed_scope_reads_back_the_same(name in "[a-z]{1,5}(/[a-z]{1,5}){0,2}", words in prop::sample::subsequence(vec!["pull", "push", "create", "delete", "*"], 1..=5)) {
            let text = format!("repository:{name}:{}", words.join(","));
            let parsed = parse_all([text.as_str()]);
            prop_assert_eq!(parsed.len(), 1);
            prop_assert_eq!(parsed[0].to_string(), text);
        }
    }
}
