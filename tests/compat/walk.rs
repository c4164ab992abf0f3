//! The rules of registry:2's layout, checked on a tree.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{sha256, sha512};

/// Whether what crashes of a stock registry leave may lie about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leftovers {
    Tolerated,
    Forbidden,
}

/// How much of each kind was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) blobs: usize,
    pub(crate) layers: usize,
    pub(crate) revisions: usize,
    pub(crate) tags: usize,
    pub(crate) uploads: usize,
}

/// Looks at every file below `docker/registry/v2`; one that no rule knows is a failure.
pub(crate) fn check(root: &Path, leftovers: Leftovers) -> Found {
    let mut found = Found::default();
    for path in files_below(root) {
        let inner = path.strip_prefix(root).unwrap().to_str().unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{inner} is no regular file");
        let parts: Vec<&str> = inner.split('/').collect();
        match parts.as_slice() {
            ["blobs", "sha256", two, hex, "data"] => {
                assert!(hex.starts_with(two) && two.len() == 2, "{inner}");
                assert_eq!(sha256(&fs::read(&path).unwrap()), format!("sha256:{hex}"));
                found.blobs += 1;
            }
            // The directory of an upload that has ended waits there for the next one.
            ["repositories", "_staging", _, "startedat"] => {}
            ["repositories", "_staging", ..] => panic!("{inner} was left behind"),
            ["repositories", rest @ ..] => {
                // The first part with an underscore ends the name; ours, which a stock registry does not enter, begin with one too.
                let at = rest.iter().position(|part| part.starts_with('_')).unwrap_or_else(|| panic!("{inner} lies among names"));
                of_repository(root, &path, &rest[at..], leftovers, &mut found);
            }
            _ => panic!("{inner} is nothing that a stock registry knows"),
        }
    }
    found
}

fn of_repository(root: &Path, path: &Path, parts: &[&str], leftovers: Leftovers, found: &mut Found) {
    match parts {
        ["_layers", algorithm, hex, "link"] => found.layers += of_link(root, path, Some((algorithm, hex)), leftovers),
        ["_manifests", "revisions", algorithm, hex, "link"] => found.revisions += of_link(root, path, Some((algorithm, hex)), leftovers),
        ["_manifests", "tags", _, "current", "link"] => found.tags += of_link(root, path, None, leftovers),
        ["_manifests", "tags", _, "index", algorithm, hex, "link"] => {
            of_link(root, path, Some((algorithm, hex)), leftovers);
        }
        ["_uploads", _, "data"] => found.uploads += 1,
        ["_uploads", _, "startedat"] => {
            let text = fs::read_to_string(path).unwrap();
            assert!(text.len() == 20 && text.ends_with('Z'), "{text:?}");
        }
        ["_uploads", _, "hashstates", ..] if leftovers == Leftovers::Tolerated => {}
        [.., last] if leftovers == Leftovers::Tolerated && last.ends_with(".tmp") => {}
        ["_layers" | "_manifests" | "_uploads", ..] => panic!("{} is nothing that a stock registry knows", path.display()),
        _ => {}
    }
}

/// One link: a digest without a newline, that names bytes whose digest is that of its directory.
fn of_link(root: &Path, path: &Path, name: Option<(&str, &str)>, leftovers: Leftovers) -> usize {
    let text = fs::read_to_string(path).unwrap();
    if text.is_empty() && leftovers == Leftovers::Tolerated {
        return 0;
    }
    let hex = text.strip_prefix("sha256:").unwrap_or_else(|| panic!("{}: {text:?}", path.display()));
    assert!(hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}: {text:?}", path.display());
    let data: PathBuf = root.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]));
    let bytes = fs::read(&data).unwrap_or_else(|error| panic!("{}: {text}: {error}", path.display()));
    match name {
        Some(("sha256", named)) => assert_eq!(named, hex),
        Some(("sha512", named)) => assert_eq!(sha512(&bytes), format!("sha512:{named}")),
        Some((other, _)) => panic!("{}: {other}", path.display()),
        None => {}
    }
    1
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() && !path.is_symlink() { files_below(&path) } else { vec![path] }).collect()
}
