//! The rules of `validation` and `policy`.

use super::Rules;
use crate::config::problem::Severity;
use crate::registry::{Children, LayerUrls, Patterns, Validation};

const CLASSES: [&str; 2] = ["image", "plugin"];
const PLATFORMS: &str = "validation.manifests.indexes.platforms";
const LISTED: &str = "validation.manifests.indexes.platformlist";

impl Rules<'_> {
    pub(super) fn validation(&mut self) -> Validation {
        let (urls, children, classes) = (self.layer_urls(), self.children(), self.classes());
        if self.is_validated() {
            return Validation { urls, children, classes };
        }
        Validation { urls: LayerUrls::Any, children: Children::None, classes }
    }

    /// As stock registries read it: only `disabled` takes the checks away, and `enabled` brings them back.
    fn is_validated(&mut self) -> bool {
        let enabled = self.settings.truth("validation.enabled");
        let disabled = self.settings.truth("validation.disabled") == Some(true);
        if enabled == Some(false) && !disabled {
            let text =
                "false has no effect, as with registry:2; write `disabled: true` to accept any addresses of layers and indexes with gaps";
            self.notice(Severity::Warning, "validation.enabled", text);
        }
        if enabled == Some(true) && disabled {
            self.notice(Severity::Warning, "validation.disabled", "has no effect beside `enabled: true`; remove one of the two");
        }
        enabled == Some(true) || !disabled
    }

    fn layer_urls(&mut self) -> LayerUrls {
        match (self.patterns("allow"), self.patterns("deny")) {
            (None, None) => LayerUrls::Nowhere,
            (allow, deny) => LayerUrls::Listed { allow, deny: deny.unwrap_or_default() },
        }
    }

    fn patterns(&mut self, list: &str) -> Option<Patterns> {
        let key = format!("validation.manifests.urls.{list}");
        let texts = self.settings.texts(&key).filter(|texts| !texts.is_empty())?;
        for text in texts {
            if Patterns::new(std::slice::from_ref(text)).is_err() {
                self.problem(
                    &key,
                    format_args!("`{text}` is not a regular expression; write one such as ^https://images\\.example\\.com/"),
                );
            }
        }
        Some(Patterns::new(texts).unwrap_or_default())
    }

    fn children(&mut self) -> Children {
        let choice = self.settings.text(PLATFORMS).map(str::to_lowercase);
        let children = match choice.as_deref() {
            None | Some("all") => Children::All,
            Some("none") => Children::None,
            Some("list") => return self.listed_children(),
            Some(other) => {
                self.problem(PLATFORMS, format_args!("`{other}` is not a choice; write all, none or list"));
                Children::All
            }
        };
        if self.settings.count(LISTED) > 0 {
            self.notice(Severity::Warning, LISTED, "has no effect without `platforms: list`");
        }
        children
    }

    fn listed_children(&mut self) -> Children {
        let mut listed = Vec::new();
        for index in 0..self.settings.count(LISTED) {
            let value = |name: &str| self.settings.text(&format!("{LISTED}.{index}.{name}")).unwrap_or_default().to_owned();
            listed.push((value("architecture"), value("os")));
        }
        if listed.iter().any(|(architecture, os)| architecture.is_empty() || os.is_empty()) {
            self.problem(LISTED, "an item lacks its architecture or os; write items such as {architecture: amd64, os: linux}");
        }
        if listed.is_empty() {
            self.notice(Severity::Warning, PLATFORMS, "no platform is listed, so each child of an index must be there, as with `all`");
            return Children::All;
        }
        Children::Of(listed)
    }

    fn classes(&mut self) -> Option<Vec<String>> {
        const KEY: &str = "policy.repository.classes";
        let classes = self.settings.texts(KEY).filter(|classes| !classes.is_empty())?;
        for class in classes.iter().filter(|class| !CLASSES.contains(&class.as_str())) {
            self.notice(Severity::Warning, KEY, format_args!("`{class}` is no class of manifests; image and plugin are"));
        }
        Some(classes.to_vec())
    }
}
