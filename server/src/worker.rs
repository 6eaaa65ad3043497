//! A worker: a thread with a single-threaded runtime that holds connections from their hand-over to their end.
//!
//! Nothing moves between workers, so nothing is stolen, locked or woken across cores for a request; of the designs
//! compared in public, one runtime per core has the lowest tail latency.

use crate::acceptor::LOOK;
use crate::connection::{self, Accepted};
use crate::life::Phase;
use crate::server::Shared;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

/// Starts the worker of place number `index`. Its queue is bounded by the limit of open connections.
pub(crate) fn start(
    index: usize,
    shared: Arc<Shared>,
    mut accepted: UnboundedReceiver<Accepted>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("tilewise-worker-{index}")).spawn(move || {
        let builder = connection::builder(&shared);
        let life = Arc::clone(&shared);
        let mut work = runtime.spawn(async move {
            while let Some(accepted) = accepted.recv().await {
                tokio::spawn(connection::serve(accepted, builder.clone()));
            }
            retire(index, &shared).await;
        });
        runtime.block_on(async {
            let mut stopped = pin!(life.life.reached(Phase::Stopped));
            poll_fn(|cx| {
                let ended = stopped.as_mut().poll(cx).is_ready() || pin!(&mut work).poll(cx).is_ready();
                if ended { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        // What is still open ends with the runtime.
    })
}

/// Waits until the last connection has gone; those without a request are closed after a while, as in a drain.
async fn retire(index: usize, shared: &Shared) {
    let place = &shared.places[index];
    let closing = tokio::time::Instant::now() + shared.config.idle_grace;
    while place.open.load(Ordering::Acquire) > 0 {
        if place.phase() < Phase::Closing && tokio::time::Instant::now() >= closing {
            place.set(Phase::Closing);
            shared.life.ring();
        }
        sleep(LOOK).await;
    }
}
