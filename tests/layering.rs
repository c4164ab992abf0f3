//! Who may import whom: the arrows of the design, checked against every line of `src`.

#![expect(clippy::unwrap_used, reason = "a test may end in a panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module, and the ones that it may import. What is not here may import nothing of ours.
const ARROWS: [(&str, &[&str]); 11] = [
    ("main", &["cli"]),
    ("cli", &["server", "config", "auth", "oci", "tls", "whole_file"]),
    ("server", &["config", "http", "auth", "notify", "registry", "storage", "tls", "telemetry", "blocking", "whole_file"]),
    ("config", &["http", "auth", "notify", "registry", "storage", "tls", "telemetry"]),
    ("http", &["auth", "notify", "registry", "oci", "telemetry"]),
    ("auth", &["oci", "blocking", "whole_file"]),
    ("registry", &["storage", "oci", "blocking"]),
    ("storage", &["oci", "blocking"]),
    ("notify", &["telemetry", "blocking"]),
    ("tls", &["blocking", "whole_file"]),
    ("oci", &[]),
];

/// Who may know the crates of the protocol; `config` checks headers with them.
const OF_THE_PROTOCOL: [&str; 4] = ["http", "server", "cli", "config"];

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The lines that are compiled into the product: without comments, and without the tests at the end.
fn product_lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim).take_while(|line| *line != "mod tests {");
    lines.filter(|line| !line.starts_with("//"))
}

/// The modules of ours that a line names: `crate::x`, and each of `crate::{x, y::z}` on one line.
fn imports(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, prefix) in line.match_indices("crate::").chain(line.match_indices("breakwater::")) {
        let rest = &line[at + prefix.len()..];
        let names = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap());
        let count = if rest.starts_with('{') { usize::MAX } else { 1 };
        let end = |name: &&str| name.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(name.len());
        found.extend(names.split(", ").take(count).map(|name| &name[..end(&name)]));
    }
    found
}

#[test]
fn every_import_follows_an_arrow_of_the_design() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = BTreeSet::new();
    for path in files_below(&src) {
        let inner = path.strip_prefix(&src).unwrap().to_str().unwrap();
        let module = inner.split('/').next().unwrap().trim_end_matches(".rs");
        // Files that are tests as a whole, which their parent includes under cfg(test) only.
        let is_test = inner.contains("/tests") || ["storage/contract.rs", "storage/faults.rs"].contains(&inner);
        if module == "lib" || is_test {
            continue;
        }
        let allowed = ARROWS.iter().find(|(from, _)| *from == module).map_or(&[][..], |(_, to)| *to);
        for line in product_lines(&fs::read_to_string(&path).unwrap()) {
            for target in imports(line).into_iter().filter(|target| *target != module && !allowed.contains(target)) {
                wrong.insert(format!("{inner}: {module} -> {target}"));
            }
            if line.contains("actix_web::") && !OF_THE_PROTOCOL.contains(&module) {
                wrong.insert(format!("{inner}: {module} -> actix"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn imports_are_found_in_each_form() {
    assert_eq!(imports("use crate::storage::{Content, Error};"), ["storage"]);
    assert_eq!(imports("use crate::{http, oci::Name};"), ["http", "oci"]);
    assert_eq!(imports("let x = crate::auth::Error::Busy + crate::tls::y;"), ["auth", "tls"]);
    assert!(imports("pub(crate) fn f() {}").is_empty());
}
