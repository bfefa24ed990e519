//! Graceful stop: one trigger, many watchers.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Tells every task that the process is stopping, and waits for those that finish their work first.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drain {
    /// A drain that nobody has started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks all to stop. May be called again.
    pub fn start(&self) {
        self.stop.cancel();
    }

    /// Whether stopping has begun.
    #[must_use]
    pub fn started(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Returns once stopping has begun.
    pub async fn wait(&self) {
        self.stop.cancelled().await;
    }

    /// A drain that starts with this one but can be started alone; [`Drain::finish`] on it waits only for its own tasks.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { stop: self.stop.child_token(), tasks: TaskTracker::new() }
    }

    /// Runs a task that [`Drain::finish`] waits for.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Makes [`Drain::finish`] wait for a future that runs elsewhere, too.
    pub fn track<F: Future>(&self, task: F) -> impl Future<Output = F::Output> + use<F> {
        self.tasks.track_future(task)
    }

    /// Starts draining and waits for the tasks, at most `limit`. True when all have ended.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.start();
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn finish_waits_for_tasks_and_no_longer_than_the_limit() {
        let drain = Drain::new();
        let (quick, slow) = (drain.child(), drain.child());
        let waiter = quick.clone();
        quick.spawn(async move { waiter.wait().await });
        slow.spawn(std::future::pending::<()>());
        drain.start();
        assert!(quick.started());
        assert!(quick.finish(Duration::from_secs(1)).await);
        assert!(!slow.finish(Duration::from_secs(1)).await);
    }
}
