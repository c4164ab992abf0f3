//! Whatever is written, the loader answers with a configuration or with sentences.

use proptest::prelude::*;

use super::*;
use crate::config::schema::{self, Key, Kind};

/// Every name in variables, with the indexes of lists.
fn variables(prefix: &str, keys: Vec<&'static Key>, found: &mut Vec<String>) {
    for key in keys {
        let name = format!("{prefix}_{}", key.segment());
        let below = if matches!(key.kind, Kind::Items(_)) { format!("{name}_0") } else { name.clone() };
        variables(&below, key.keys().iter().collect(), found);
        found.push(name);
    }
}

fn every_variable() -> Vec<String> {
    let mut found = Vec::new();
    variables("REGISTRY", schema::top().collect(), &mut found);
    found
}

#[test]
fn every_name_of_the_schema_is_reached_by_its_variable() {
    for variable in every_variable() {
        let text = match with_environment(SMALL, &[(&variable, "{x: [y]}")]) {
            Ok(loaded) => format!("{:?}", loaded.warnings),
            Err(error) => error.to_string(),
        };
        assert!(!text.contains("so the variable is ignored"), "{text}");
    }
}

proptest! {
    #[test]
    fn no_file_makes_the_loader_panic(lines in prop::collection::vec("[ ]{0,4}(- )?(storage|filesystem|http|auth|tls|a|<<|&a|\\*a|!!str)?(: |:)?[\\[{}\\],\"'|>#0-9a-z*&]{0,6}", 0..12)) {
        let _ = with_environment(&lines.join("\n"), &[]);
    }

    #[test]
    fn no_variable_makes_the_loader_panic(
        chosen in prop::sample::select(every_variable()),
        rest in "(_[A-Z0-9]{0,4}){0,2}",
        value in "[\\[{}\\],:\"'#*& a-z0-9]{0,12}",
    ) {
        let _ = with_environment(SMALL, &[(&format!("{chosen}{rest}"), &value), (&chosen, &value)]);
    }
}
