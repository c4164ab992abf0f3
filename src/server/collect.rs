//! `garbage-collect`: on a directory that nobody serves, or beside the server that does, which holds changes back meanwhile.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::holding::{self, Promise};
use super::lock::{self, Collector};
use super::owner;
use crate::blocking;
use crate::config::{Config, Loaded};
use crate::registry::{Progress, Pushed, Registry, Survey, Untagged};
use crate::storage::Filesystem;

/// How many threads read and remove: more than there are cores, since they wait for the disk.
const READERS: usize = 16;

/// What a collection does with what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Removes it.
    Remove,
    /// Nothing.
    DryRun,
}

/// Who else works on the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nobody.
    Nobody,
    /// A server, which holds changes back.
    HoldingServer,
    /// A server, which goes on as ever.
    BusyServer,
}

/// A step of a collection, in the order in which they come.
#[derive(Clone, Copy, Debug)]
pub enum Collection<'a> {
    /// It begins.
    Begun(Beside),
    /// The work goes on.
    Progress(Progress<'a>),
    /// All has been read, and nothing has been removed yet.
    Surveyed(&'a Survey),
    /// All that was found has been removed.
    Swept(&'a Survey),
    /// The server takes changes again.
    Released,
}

/// Collects garbage, and tells of each step. To be called while there is one thread: as whom it is done is settled here.
pub fn collect(loaded: &Loaded, effect: Effect, untagged: Untagged, tell: &(dyn Fn(Collection<'_>) + Sync)) -> Result<()> {
    owner::settle_on_data(&loaded.config)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(READERS).enable_all().build().context("no runtime can be made")?;
    let config = &loaded.config;
    match effect {
        Effect::DryRun => runtime.block_on(look(config, untagged, tell)),
        Effect::Remove => {
            let collector = runtime.block_on(Collector::of(&config.state, &config.storage.root_directory))?;
            let done = if collector.is_beside_server() {
                runtime.block_on(remove_beside_server(config, untagged, tell))
            } else {
                tell(Collection::Begun(Beside::Nobody));
                runtime.block_on(remove(config, untagged, Vec::new(), tell))
            };
            // What was given up may still be removing its last files: not until they are gone may anybody else begin.
            drop(runtime);
            drop(collector);
            done
        }
    }
}

async fn look(config: &Config, untagged: Untagged, tell: &(dyn Fn(Collection<'_>) + Sync)) -> Result<()> {
    let (state, root) = (config.state.clone(), config.storage.root_directory.clone());
    let is_served = blocking::run(move || !lock::is_collected(&root) && lock::is_held(&state, &root)).await;
    tell(Collection::Begun(if is_served { Beside::BusyServer } else { Beside::Nobody }));
    let pushed = if is_served { ask(&config.state, holding::PUSHED).await?.pushed } else { Vec::new() };
    survey(config, untagged, pushed, tell).await.map(drop)
}

async fn remove_beside_server(config: &Config, untagged: Untagged, tell: &(dyn Fn(Collection<'_>) + Sync)) -> Result<()> {
    let root = config.storage.root_directory.clone();
    let identity = blocking::run(move || holding::identity(&root)).await.context("the data cannot be looked at")?;
    let mut promise = ask(&config.state, &format!("{} {identity}", holding::WORD)).await?;
    tell(Collection::Begun(Beside::HoldingServer));
    let pushed = std::mem::take(&mut promise.pushed);
    tokio::select! {
        done = remove(config, untagged, pushed, tell) => done?,
        () = promise.broken() => bail!("the registry that held pushes and deletes back is gone; nothing more is removed"),
    }
    promise
        .release()
        .await
        .context("all of the garbage is removed, but the registry does not say that it takes pushes and deletes again")?;
    tell(Collection::Released);
    Ok(())
}

async fn ask(state: &Path, word: &str) -> Result<Promise> {
    let asked = Promise::ask(state, word).await;
    asked.context("a registry serves this directory, and cannot be asked to hold pushes and deletes back; nothing was removed")
}

async fn remove(config: &Config, untagged: Untagged, pushed: Vec<Pushed>, tell: &(dyn Fn(Collection<'_>) + Sync)) -> Result<()> {
    let (registry, survey) = survey(config, untagged, pushed, tell).await?;
    let progress = |progress: Progress<'_>| tell(Collection::Progress(progress));
    registry.sweep(&survey, &progress).await.context("not all of the garbage was removed; what is left can be collected later")?;
    tell(Collection::Swept(&survey));
    Ok(())
}

async fn survey(
    config: &Config,
    untagged: Untagged,
    pushed: Vec<Pushed>,
    tell: &(dyn Fn(Collection<'_>) + Sync),
) -> Result<(Arc<Registry>, Survey)> {
    let root = &config.storage.root_directory;
    let store = Filesystem::attach(&config.storage);
    let store = store.with_context(|| format!("no registry has written to {} yet, or it cannot be read", root.display()))?;
    let registry = Registry::new(Arc::new(store), config.registry.clone());
    let progress = |progress: Progress<'_>| tell(Collection::Progress(progress));
    let survey = registry.survey(untagged, &pushed, &progress).await.context("the tree cannot be read through; nothing was removed")?;
    tell(Collection::Surveyed(&survey));
    Ok((registry, survey))
}
