//! Threads for large requests, and the memory that their bodies may occupy.
//!
//! These are threads of their own rather than the pool behind `kernels::parallel`: a job may wait for that pool, and a
//! pool whose threads wait for each other's jobs lets one request delay another. Inside a job the rows of a request are
//! divided by `kernels::parallel`.

use crate::failure::{Failure, Result};
use hyper::StatusCode;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// A queue of jobs, first come, first served; any number of threads take from it.
#[derive(Clone, Default)]
pub(crate) struct Compute(Arc<(Mutex<Queue>, Condvar)>);

impl Compute {
    /// Starts `threads` threads.
    pub(crate) fn start(&self, threads: usize) -> std::io::Result<Vec<JoinHandle<()>>> {
        (0..threads)
            .map(|i| {
                let compute = self.clone();
                std::thread::Builder::new().name(format!("tilewise-compute-{i}")).spawn(move || {
                    while let Some(job) = compute.next() {
                        // Jobs catch the panics of models; another one must not take the thread with it.
                        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                    }
                })
            })
            .collect()
    }

    fn next(&self) -> Option<Job> {
        let (queue, wake) = &*self.0;
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Threads end when the queue is empty.
    pub(crate) fn close(&self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.1.notify_all();
    }

    /// Runs `work` on a compute thread. A job whose client has left before it begins is skipped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let job = Box::new(move || {
            if !reply.is_closed() {
                let _ = reply.send(work());
            }
        });
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).jobs.push_back(job);
        self.0.1.notify_one();
        answer.await.unwrap_or_else(|_| {
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the computation ended without an answer"))
        })
    }
}

/// A share of the memory for large bodies; given back when dropped.
pub(crate) struct Waiting {
    used: Arc<AtomicUsize>,
    limit: usize,
    mine: usize,
}

impl Waiting {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit, mine: 0 }
    }

    /// A share of nothing yet.
    pub(crate) fn empty(&self) -> Self {
        Self { used: Arc::clone(&self.used), limit: self.limit, mine: 0 }
    }

    pub(crate) fn size(&self) -> usize {
        self.mine
    }

    /// Bytes in use by all.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Makes the share `size` bytes.
    pub(crate) fn grow(&mut self, size: usize) -> Result<()> {
        let more = size.saturating_sub(self.mine);
        let before = self.used.fetch_add(more, Ordering::Relaxed);
        self.mine += more;
        if before + more <= self.limit {
            return Ok(());
        }
        let message =
            format!("{before} bytes of large requests are in work, {} may be; try again", self.limit);
        Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).closing())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.used.fetch_sub(self.mine, Ordering::Relaxed);
    }
}
