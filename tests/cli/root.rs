//! What root gives away when it starts the registry. For others there is nothing to give.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};

use super::{run_with, said};

#[test]
fn a_root_start_gives_nothing_away_through_a_link_of_the_owners() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(at("data/docker")).unwrap();
    fs::create_dir(at("victim")).unwrap();
    for name in ["data/docker", "data"] {
        chown(at(name), Some(1000), Some(1000)).unwrap();
    }
    symlink(at("victim"), at("data/breakwater")).unwrap();
    lchown(at("data/breakwater"), Some(1000), Some(1000)).unwrap();
    let config =
        format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 'localhost:0'}}\n", at("data").display());
    fs::write(at("config.yml"), config).unwrap();
    let output = run_with(directory.path(), &[], &["serve", "config.yml"], "");
    let (status, _, error) = said(&output);
    assert_eq!(status, 1, "{error}");
    assert!(error.contains("cannot write to"), "{error}");
    assert_eq!(fs::metadata(at("victim")).unwrap().uid(), 0);
}
