//! What a manifest is asked for by: a tag or a digest.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::digest::InvalidDigest;
use super::{Algorithm, Digest};

/// A tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// The text is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tag")]
pub struct InvalidTag;

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag under which clients keep a list of referrers where the registry has no referrers API
    /// (distribution specification, "Referrers tag schema").
    pub fn of_referrers(subject: &Digest) -> Self {
        let hex = &subject.hex()[..64];
        Self(format!("{}-{hex}", subject.algorithm().as_str()).into())
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let (first, rest) = text.as_bytes().split_first().ok_or(InvalidTag)?;
        let ok = is_word(*first) && rest.len() < 128 && rest.iter().all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-'));
        if ok { Ok(Self(text.into())) } else { Err(InvalidTag) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// A name that is the content's own.
    Digest(Digest),
}

/// Why a text is neither a tag nor a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// It has a colon, so a digest was meant.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// It has none, so a tag was meant.
    #[error("not a tag")]
    Tag,
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { text.parse().map(Self::Tag).map_err(|_| InvalidReference::Tag) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

const _: () = assert!(Algorithm::ALL.len() == 2, "a new algorithm needs its cut in Tag::of_referrers");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_from_digests_by_the_colon() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        assert_eq!("latest".parse(), Ok(Reference::Tag("latest".parse().unwrap())));
        assert_eq!(digest.as_str().parse(), Ok(Reference::Digest(digest)));
        assert_eq!("md5:00".parse::<Reference>(), Err(InvalidReference::Digest(InvalidDigest::Algorithm)));
        assert_eq!(".hidden".parse::<Reference>(), Err(InvalidReference::Tag));
    }

    #[test]
    fn a_tag_has_at_most_128_characters() {
        assert!("t".repeat(128).parse::<Tag>().is_ok());
        assert!("t".repeat(129).parse::<Tag>().is_err());
        assert!("".parse::<Tag>().is_err());
        assert!("-a".parse::<Tag>().is_err());
    }

    #[test]
    fn the_referrers_tag_of_a_sha512_digest_is_cut_at_64_digits() {
        let tag = Tag::of_referrers(&Digest::of(Algorithm::Sha512, b"x"));
        assert_eq!(tag.as_str().len(), "sha512-".len() + 64);
    }
}
