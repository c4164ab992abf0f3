//! Secrets that lie in files of their own: those that a variable `…_FILE` names, and the credentials that systemd hands a unit.
//!
//! With `LoadCredential=NAME:PATH` a unit finds the file NAME in the directory that `$CREDENTIALS_DIRECTORY` names. One that is named
//! as the variable of a secret is that secret, unless the file or a variable says it already; and a path may begin with
//! `${CREDENTIALS_DIRECTORY}/`. No other variable is put into values.

use std::collections::BTreeMap;
use std::fs;

use super::environment::{self, PREFIX};
use super::problem::{Origin, Report, Severity};
use super::schema::{Key, Kind};
use super::tree::{Node, Value};

/// The variable that systemd sets.
pub(super) const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

const BEGINNING: &str = "${CREDENTIALS_DIRECTORY}/";

/// A path with the directory of credentials in it, or as it is.
pub(super) fn expanded(path: &str, directory: Option<&str>) -> Result<String, &'static str> {
    match (path.strip_prefix(BEGINNING), directory) {
        (None, _) => Ok(path.to_owned()),
        (Some(rest), Some(directory)) => Ok(format!("{}/{rest}", directory.trim_end_matches('/'))),
        (Some(_), None) => Err("CREDENTIALS_DIRECTORY is not set: systemd sets it for a unit with LoadCredential="),
    }
}

/// Reads a secret; the ends of lines at its end are not part of it.
pub(super) fn read(named_by: &str, path: &str, report: &mut Report) -> Option<Node> {
    let origin = Origin::SecretFile { named_by: named_by.into(), path: path.into() };
    let named = Origin::Variable(named_by.into());
    match fs::read_to_string(path) {
        Ok(text) => {
            let secret = text.trim_end_matches(['\n', '\r']);
            if secret.is_empty() {
                report.problem(Some(&named), "", format_args!("the file {path} is empty; write the secret into it"));
            }
            (!secret.is_empty()).then(|| Node::quoted(origin, secret.to_owned()))
        }
        Err(error) => {
            report.problem(Some(&named), "", format_args!("cannot read the file {path} that it names: {error}"));
            None
        }
    }
}

/// Lays the credentials that are secrets of ours over the tree, where nothing else says them.
pub(super) fn overlay(root: &mut Node, environment: &BTreeMap<String, String>, report: &mut Report) {
    let Some(directory) = environment.get(DIRECTORY).filter(|directory| !directory.is_empty()) else { return };
    let origin = Origin::Variable(DIRECTORY.into());
    for name in names(directory, report) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let segments: Vec<&str> = rest.split('_').collect();
        match environment::key_of(&segments) {
            Some(Key { kind: Kind::Secret, .. }) => {}
            _ => {
                let text = format!("the credential {name} is not the variable of a secret, so it is ignored");
                report.mistake(Some(&origin), "", text);
                continue;
            }
        }
        if let Some(written) = written(root, &segments) {
            let text = format!("the credential {name} is not used, since the same is said by {written}");
            report.notice(Severity::Info, Some(&origin), "", text);
        } else if let Some(secret) = read(DIRECTORY, &format!("{}/{name}", directory.trim_end_matches('/')), report) {
            environment::lay(root, &name, &segments, secret, report);
        }
    }
}

/// The names in the directory, sorted.
fn names(directory: &str, report: &mut Report) -> Vec<String> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.unwrap_or_else(|error| {
        report.problem(Some(&Origin::Variable(DIRECTORY.into())), "", format_args!("cannot read the directory {directory}: {error}"));
        Vec::new()
    });
    let mut names: Vec<String> = entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Where a value stands already that the segments of a variable's name lead to; an empty one says nothing.
fn written(root: &Node, segments: &[&str]) -> Option<Origin> {
    let mut node = root;
    for end in 1..=segments.len() {
        let key = environment::key_of(&segments[..end])?;
        node = match (&node.value, segments[end - 1].parse::<usize>()) {
            (Value::List(nodes), Ok(index)) => nodes.get(index)?,
            (Value::Map(entries), _) => match entries.iter().find(|entry| entry.key == key.name) {
                Some(entry) => &entry.node,
                // A second way to the names of the section that it stands in.
                None if end > 1 && environment::key_of(&segments[..end - 1]).is_some_and(|above| std::ptr::eq(above, key)) => node,
                None => return None,
            },
            _ => return None,
        };
    }
    node.text().filter(|text| !text.is_empty()).map(|_| node.origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_directory_of_credentials_and_only_at_the_beginning_is_put_in() {
        let expand = |path: &str| expanded(path, Some("/run/c/"));
        assert_eq!(expand("${CREDENTIALS_DIRECTORY}/tls.key"), Ok("/run/c/tls.key".to_owned()));
        for same in ["/a/${CREDENTIALS_DIRECTORY}/b", "${HOME}/a", "$CREDENTIALS_DIRECTORY/a", "${CREDENTIALS_DIRECTORY}", ""] {
            assert_eq!(expand(same), Ok(same.to_owned()));
        }
        assert!(expanded("${CREDENTIALS_DIRECTORY}/a", None).is_err());
    }
}
