//! Root's privileges, given up for good.
//!
//! The calls change the calling thread alone, so that they are right only as long as there is no other; every later thread starts
//! with what is left.

use std::fmt;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};
use rustix::thread::{capabilities, set_capabilities, set_keep_capabilities, set_no_new_privs};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// A user and a group, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// Root.
pub(super) const ROOT: Owner = Owner { user: 0, group: 0 };

/// As `chown` takes it.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// What is still needed of root's privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// To listen on a port below 1024.
    Ports,
    /// That, and to read files that the owner may not.
    PortsAndFiles,
}

/// Becomes a user of that group and no other. Privileges are not in force from now on, but can still be kept.
pub(super) fn become_owner(owner: Owner) -> Result<()> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    ensure!(threads == 1, "there are {threads} threads already");
    let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
    set_keep_capabilities(true)?;
    set_thread_groups(&[]).context("no setgroups (CAP_SETGID)")?;
    set_thread_res_gid(group, group, group).context("no setresgid (CAP_SETGID)")?;
    set_thread_res_uid(user, user, user).context("no setresuid (CAP_SETUID)")?;
    set_keep_capabilities(false)?;
    Ok(())
}

/// Gives up every privilege but what is needed, as far as it was there; the name of what files are read by.
pub(super) fn give_up_all_but(need: Need) -> Result<Option<&'static str>> {
    let had = capabilities(None)?.permitted;
    // The first does not let it write; Docker gives a container's root the second only.
    let for_files = [(CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"), (CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE")];
    let for_files = for_files.into_iter().find(|(capability, _)| need == Need::PortsAndFiles && had.contains(*capability));
    let wanted = for_files.map_or(CapabilitySet::NET_BIND_SERVICE, |(capability, _)| CapabilitySet::NET_BIND_SERVICE | capability);
    let kept = had & wanted;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })
        .context("privileges cannot be given up")?;
    set_no_new_privs(true)?;
    Ok(for_files.map(|(_, name)| name))
}
