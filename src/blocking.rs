//! The one way to work that would hold up a worker: the blocking pool.

use tokio::task;
use tracing::Span;

/// Runs a closure on the blocking pool, inside the caller's span, and awaits its value.
///
/// A panic in the closure goes on in the caller, where the worker contains it to the one request.
pub async fn run<T, F>(closure: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let span = Span::current();
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
    let joined = task::spawn_blocking(move || span.in_scope(closure)).await;
    match joined {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("a blocking closure is never cancelled: {error}"),
        },
    }
}
