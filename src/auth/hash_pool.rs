//! Threads that hash passwords, and nothing else: few, and nice, so that a flood of logins cannot starve pulls.
//!
//! Not the blocking pool, whose threads read files at full priority and are as many as there is work. Invariants: as many hashes run
//! as there are threads, and a bounded number waits; what comes beyond that is refused at once. The lower the rank the sooner its turn, and
//! where no place is left the lower takes that of the highest: so a flood of guesses does not keep out those who are known.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::error::Error;

/// A pool, whose threads end when it is dropped.
pub(super) struct HashPool {
    queue: Arc<Queue>,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// By rank, and among equals by their arrival.
    jobs: BTreeMap<(u32, u64), Job>,
    arrivals: u64,
    is_closed: bool,
}

impl HashPool {
    /// Starts one thread for each two cores.
    pub(super) fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        let pool = Self { queue: Arc::default() };
        for _ in 0..threads {
            let queue = Arc::clone(&pool.queue);
            thread::Builder::new().name("password-hash".to_owned()).spawn(move || work(&queue))?;
        }
        Ok(pool)
    }

    /// Runs a closure on a thread of the pool when its turn comes, even if the caller has gone by then.
    pub(super) async fn run<T: Send + 'static>(&self, rank: u32, closure: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let (done, outcome) = oneshot::channel();
        // Whoever waited may be gone.
        self.queue.enter(rank, Box::new(move || drop(done.send(closure()))))?;
        // The closure is dropped when its place is taken by another.
        outcome.await.map_err(|_| Error::Busy)
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, rank: u32, job: Job) -> Result<(), Error> {
        let mut waiting = self.lock();
        if waiting.jobs.len() >= WAITING {
            // Of those of the highest rank, the one that came last has waited least.
            let last = waiting.jobs.last_entry().filter(|last| last.key().0 > rank).ok_or(Error::Busy)?;
            drop(last.remove());
        }
        waiting.arrivals += 1;
        let place = (rank, waiting.arrivals);
        waiting.jobs.insert(place, job);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job; none when the pool is gone.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if let Some((_, job)) = waiting.jobs.pop_first() {
                return Some(job);
            }
            if waiting.is_closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(queue: &Queue) {
    // Of this thread alone, as Linux has it. A system that refuses leaves it as it is.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "password hashes run at the usual priority");
    }
    while let Some(job) = queue.next() {
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
    use futures_util::future::join;

    use super::*;

    #[tokio::test]
    async fn hashes_run_nicely_and_apart_from_everything_else() {
        let pool = HashPool::start().unwrap();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let here = nice();
        assert_eq!(pool.run(0, nice).await.unwrap(), NICE.max(here));
        assert_eq!(nice(), here);
        let name = pool.run(0, || thread::current().name().map(str::to_owned)).await.unwrap();
        assert_eq!(name.as_deref(), Some("password-hash"));
    }

    #[tokio::test]
    async fn a_panic_is_one_failure_and_the_pool_goes_on() {
        let pool = HashPool::start().unwrap();
        assert!(pool.run(0, || panic!("on purpose")).await.is_err());
        assert_eq!(pool.run(0, || 1).await.unwrap(), 1);
    }

    #[test]
    fn the_lower_rank_goes_first_and_takes_a_place_from_the_highest() {
        // Without threads, so that everything waits.
        let queue = Queue::default();
        let (sender, order) = std::sync::mpsc::channel();
        let job = |name: usize| -> Job {
            let sender = sender.clone();
            Box::new(move || sender.send(name).unwrap())
        };
        queue.enter(9, job(9)).unwrap();
        for name in 100..100 + WAITING - 1 {
            queue.enter(2, job(name)).unwrap();
        }
        assert!(queue.enter(9, job(998)).is_err() && queue.enter(10, job(999)).is_err(), "there is no place left, nor one to be taken");
        queue.enter(0, job(0)).unwrap();
        queue.enter(1, job(1)).unwrap();
        queue.lock().is_closed = true;
        while let Some(job) = queue.next() {
            job();
        }
        let expected: Vec<usize> = [0, 1].into_iter().chain(100..100 + WAITING - 2).collect();
        assert_eq!(order.try_iter().collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn whose_place_is_taken_is_told_that_there_was_none() {
        let pool = HashPool { queue: Arc::default() };
        let frequent = pool.run(1, || ());
        let crowd = async {
            let queue = Arc::clone(&pool.queue);
            for _ in 0..WAITING {
                queue.enter(0, Box::new(|| ())).unwrap();
            }
        };
        assert!(matches!(join(frequent, crowd).await.0, Err(Error::Busy)));
    }
}
