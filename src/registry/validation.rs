//! What a manifest may be and point to, beyond the form of its type: classes, addresses outside, children that need not be here.

use regex::bytes::{RegexSet, RegexSetBuilder};
use url::Url;

use super::Error;
use crate::oci::media_type::{DOCKER_IMAGE_CONFIG, DOCKER_MANIFEST, DOCKER_PLUGIN_CONFIG, OCI_IMAGE_CONFIG};
use crate::oci::{Descriptor, Digest, Manifest, Platform};

/// `validation` and `policy.repository`.
#[derive(Clone, Debug, Default)]
pub struct Validation {
    /// Where layers may lie that are not here.
    pub urls: LayerUrls,
    /// Which children of an index must be here.
    pub children: Children,
    /// The classes of manifests that are taken; `None`: all.
    pub classes: Option<Vec<String>>,
}

/// `validation.manifests.urls`: where layers may lie that are not here.
#[derive(Clone, Debug, Default)]
pub enum LayerUrls {
    /// Anywhere on the web.
    Any,
    /// Nowhere: a layer with an address is refused.
    #[default]
    Nowhere,
    /// Where one of these matches, if there are any, and none of those.
    Listed {
        /// One of them must match; `None`: all addresses do.
        allow: Option<Patterns>,
        /// None of them may match.
        deny: Patterns,
    },
}

/// Regular expressions in the syntax of RE2; without `i` and the like they know ASCII letters only.
#[derive(Clone, Debug, Default)]
pub struct Patterns(RegexSet);

/// A text that is no regular expression.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(#[from] regex::Error);

impl Patterns {
    /// Reads regular expressions.
    pub fn new(texts: &[String]) -> Result<Self, InvalidPattern> {
        // As RE2: `\w` and the like stand for letters of ASCII, so that no address passes that would not there.
        Ok(Self(RegexSetBuilder::new(texts).unicode(false).build()?))
    }

    fn match_any_of(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

/// `validation.manifests.indexes`: which children of an index must be here when it is pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Children {
    /// Each.
    #[default]
    All,
    /// None.
    None,
    /// Those for a processor (as GOARCH) and a system (as GOOS).
    Of(Vec<(String, String)>),
}

impl Children {
    fn must_be_here(&self, child: &Descriptor) -> bool {
        let is_for = |platform: &Platform, on: &(String, String)| platform.architecture == on.0 && platform.os == on.1;
        match self {
            Self::All => true,
            Self::None => false,
            Self::Of(listed) => child.platform.as_ref().is_some_and(|platform| listed.iter().any(|on| is_for(platform, on))),
        }
    }
}

/// A layer and the address of it that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedUrl {
    /// The layer.
    pub layer: Digest,
    /// The address.
    pub url: String,
}

impl Validation {
    /// Checks the class of a manifest and the addresses of its layers. As in a stock registry, in an image of Docker's an address
    /// counts for a foreign layer only, in one of OCI for every layer of its types.
    pub(super) fn check(&self, manifest: &Manifest) -> Result<(), Error> {
        self.check_class(manifest)?;
        let layers = manifest.blobs().filter(|blob| {
            is_foreign(manifest, blob) || !is_docker(manifest) && blob.media_type.as_str().starts_with("application/vnd.oci.image.layer.")
        });
        let urls = layers.flat_map(|layer| layer.urls.iter().flatten().map(move |url| (layer, url)));
        let refused = urls.filter(|(_, url)| !self.urls.allow(url));
        let refused: Vec<_> = refused.map(|(layer, url)| RefusedUrl { layer: layer.digest.clone(), url: url.clone() }).collect();
        if refused.is_empty() { Ok(()) } else { Err(Error::UrlsRefused(refused)) }
    }

    /// The blobs that must be here: all but layers that must not be handed on and have an address.
    pub(super) fn needed_blobs<'m>(&self, manifest: &'m Manifest) -> impl Iterator<Item = &'m Descriptor> {
        let lies_elsewhere = |blob: &Descriptor| is_foreign(manifest, blob) && blob.urls.iter().flatten().next().is_some();
        manifest.blobs().filter(move |blob| !lies_elsewhere(blob))
    }

    /// The children that must be here.
    pub(super) fn needed_children<'m>(&self, manifest: &'m Manifest) -> impl Iterator<Item = &'m Descriptor> {
        manifest.children().filter(|child| self.children.must_be_here(child))
    }

    fn check_class(&self, manifest: &Manifest) -> Result<(), Error> {
        let Some(classes) = self.classes.as_ref().filter(|_| !manifest.media_type().is_index()) else { return Ok(()) };
        let config = manifest.config().map(|config| &config.media_type);
        let class = match config.map(|kind| kind.as_str()) {
            Some(OCI_IMAGE_CONFIG | DOCKER_IMAGE_CONFIG) => Some("image"),
            Some(DOCKER_PLUGIN_CONFIG) => Some("plugin"),
            _ => None,
        };
        let is_allowed = class.is_some_and(|class| classes.iter().any(|allowed| allowed == class));
        if is_allowed { Ok(()) } else { Err(Error::ClassRefused(config.cloned())) }
    }
}

/// Whether a layer is of a type that need not be handed on: in an image of Docker's its type, in one of OCI that one's.
fn is_foreign(manifest: &Manifest, layer: &Descriptor) -> bool {
    layer.media_type.is_nondistributable() && layer.media_type.as_str().contains(".foreign.") == is_docker(manifest)
}

fn is_docker(manifest: &Manifest) -> bool {
    manifest.media_type().as_str() == DOCKER_MANIFEST
}

impl LayerUrls {
    fn allow(&self, text: &str) -> bool {
        // `Url` repairs what a client may not: what is matched and stored is the text.
        let is_plain = |url: Url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none_or(str::is_empty);
        if !Url::parse(text).is_ok_and(is_plain) {
            return false;
        }
        match self {
            Self::Any => true,
            Self::Nowhere => false,
            Self::Listed { allow, deny } => allow.as_ref().is_none_or(|allow| allow.match_any_of(text)) && !deny.match_any_of(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        Patterns::new(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn an_address_is_matched_as_a_whole_text_by_re2() {
        let allow = Some(patterns(&[r"^https?://[^/]*\.example\.com/", r"^https://\w+\.example\.net/"]));
        let listed = LayerUrls::Listed { allow, deny: patterns(&[r"^http://", "secret"]) };
        for (url, is_allowed) in [
            ("https://store.example.com/layer", true),
            ("http://store.example.com/layer", false),
            ("https://store.example.com/secret", false),
            ("https://store.example.org/.example.com/", false),
            ("https://store.example.net/x", true),
            ("https://störe.example.net/x", false),
            ("HTTPS://store.example.com/layer", false),
            ("ftp://store.example.com/layer", false),
            ("https://store.example.com/layer#part", false),
            ("store.example.com/layer", false),
            ("", false),
        ] {
            assert_eq!(listed.allow(url), is_allowed, "{url}");
        }
        let all_but = LayerUrls::Listed { allow: None, deny: patterns(&["secret"]) };
        assert!(all_but.allow("http://anywhere.example/x") && !all_but.allow("http://anywhere.example/secret"));
        assert!(LayerUrls::Any.allow("http://anywhere.example/x") && !LayerUrls::Any.allow("file:///x"));
        assert!(!LayerUrls::Nowhere.allow("http://anywhere.example/x"));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        assert!(Patterns::new(&["(".to_owned()]).is_err());
        assert!(!Patterns::default().match_any_of("anything"));
    }
}
