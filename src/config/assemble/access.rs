//! The rules of `access`: reading them, and saying what can be said of them beforehand.

use super::Rules;
use crate::auth::{Futile, Groups, Listing, Pattern, Recognised, Rule, Rules as AccessRules, Who};

impl Rules<'_> {
    /// The rules; none when the section is not there.
    pub(super) fn access(&mut self) -> Option<AccessRules> {
        self.settings.origin("access")?;
        let issuers = self.issuers();
        let issuers: Vec<&str> = issuers.iter().map(String::as_str).collect();
        let groups = self.groups(&issuers);
        let written = self.settings.count("access.rules");
        if written == 0 {
            let text = "has no rules, so nobody may do anything; write some, or remove the section to let users do everything";
            self.report.mistake(self.settings.origin("access"), "access", text);
        }
        let read: Vec<Rule> = (0..written).filter_map(|index| self.rule(&format!("access.rules.{index}"), &groups, &issuers)).collect();
        let rules = AccessRules::new(read);
        // With one that cannot be read, the others are not counted as they are written.
        if rules.iter().count() == written {
            self.review(&rules, Recognised { issuers: issuers.len(), certificates: self.settings.origin("certificates").is_some() });
        }
        Some(rules)
    }

    fn issuers(&self) -> Vec<String> {
        let names = (0..self.settings.count("oidc")).filter_map(|index| self.settings.text(&format!("oidc.{index}.name")));
        names.map(str::to_owned).collect()
    }

    fn groups(&mut self, issuers: &[&str]) -> Groups {
        let mut groups = Groups::new();
        for (name, members) in self.settings.table("access.groups") {
            let read: Result<Vec<Who>, _> = members.iter().map(|member| Who::parse_member(member, issuers)).collect();
            match read {
                Ok(members) => drop(groups.insert(name.clone(), members.into())),
                Err(fault) => self.problem("access.groups", format_args!("{name}: {fault}")),
            }
        }
        groups
    }

    fn rule(&mut self, key: &str, groups: &Groups, issuers: &[&str]) -> Option<Rule> {
        let settings = self.settings;
        let who_key = format!("{key}.who");
        let Some(who) = settings.text(&who_key) else {
            self.problem(&who_key, "missing; write whom the rule is for, such as `who: authenticated`");
            return None;
        };
        let who = match Who::parse(who, groups, issuers) {
            Ok(who) => who,
            Err(fault) => {
                self.problem(&who_key, fault);
                return None;
            }
        };
        let texts = |name: &str| settings.texts(&format!("{key}.{name}")).unwrap_or_default();
        let patterns = texts("repositories").iter().map(|text| Pattern::new(text)).collect();
        let place = settings.origin(key).map_or_else(|| key.to_owned(), |origin| format!("{origin}: {key}"));
        let rule = match Rule::new(who, place).allows(patterns, texts("actions").iter().map(String::as_str)) {
            Ok(rule) => rule,
            Err(fault) => {
                self.problem(&format!("{key}.actions"), fault);
                return None;
            }
        };
        let from_key = format!("{key}.from");
        let from = self.networks(&from_key);
        if from.as_ref().is_none_or(Vec::is_empty) && settings.origin(&from_key).is_some() {
            // Left out it means everywhere: somebody who writes an empty list may mean nowhere.
            self.problem(&from_key, "an empty list of networks; leave it out for everywhere");
        }
        let listing = if settings.truth(&format!("{key}.catalog")) == Some(true) { Listing::All } else { Listing::Pullable };
        Some(rule.within(from.unwrap_or_default()).lists(listing))
    }

    fn review(&mut self, rules: &AccessRules, recognised: Recognised) {
        for (index, futile) in rules.futile(recognised) {
            let rule = format!("access.rules.{index}");
            let key = match futile {
                Futile::Repository(_) | Futile::User(..) => format!("{rule}.repositories"),
                Futile::Pull(_) => format!("{rule}.actions"),
                Futile::Nothing => rule.clone(),
                Futile::Group(_) | Futile::Name(_) | Futile::Issuer(_) | Futile::Ambiguous(_) | Futile::Certificate(_) => {
                    format!("{rule}.who")
                }
            };
            let origin = self.settings.origin(&key).or_else(|| self.settings.origin(&rule));
            let verdict = if matches!(futile, Futile::Ambiguous(_)) { "is not clear" } else { "can never match" };
            self.report.mistake(origin, &key, format_args!("{verdict}: {futile}"));
        }
    }
}
