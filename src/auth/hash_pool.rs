//! Threads that hash passwords, and nothing else: few, and nice, so that a flood of logins cannot starve pulls.
//!
//! Not the blocking pool, whose threads read files at full priority and are as many as there is work. Invariant: as many hashes run
//! as there are threads, and a bounded number waits; what comes beyond that is refused at once.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::error::Error;

/// A pool, whose threads end when it is dropped.
pub(super) struct HashPool {
    jobs: SyncSender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

impl HashPool {
    /// Starts one thread for each two cores.
    pub(super) fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        let (jobs, waiting) = sync_channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new().name("password-hash".to_owned()).spawn(move || work(&waiting))?;
        }
        Ok(Self { jobs })
    }

    /// Runs a closure on a thread of the pool when its turn comes, even if the caller has gone by then.
    pub(super) async fn run<T: Send + 'static>(&self, closure: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let (done, outcome) = oneshot::channel();
        // Whoever waited may be gone.
        let job: Job = Box::new(move || drop(done.send(closure())));
        self.jobs.try_send(job).map_err(|_| Error::Busy)?;
        outcome.await.map_err(|_| Error::Crypto)
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    // Of this thread alone, as Linux has it. A system that refuses leaves it as it is.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "password hashes run at the usual priority");
    }
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A hash that panics is one login that fails, not the end of all.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("a password hash panicked");
        }
    }
}

/// How many wait for their turn at most.
pub(super) const WAITING: usize = 64;
const NICE: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hashes_run_nicely_and_apart_from_everything_else() {
        let pool = HashPool::start().unwrap();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let here = nice();
        assert_eq!(pool.run(nice).await.unwrap(), NICE.max(here));
        assert_eq!(nice(), here);
        let name = pool.run(|| thread::current().name().map(str::to_owned)).await.unwrap();
        assert_eq!(name.as_deref(), Some("password-hash"));
    }

    #[tokio::test]
    async fn a_panic_is_one_failure_and_the_pool_goes_on() {
        let pool = HashPool::start().unwrap();
        assert!(pool.run(|| panic!("on purpose")).await.is_err());
        assert_eq!(pool.run(|| 1).await.unwrap(), 1);
    }
}
