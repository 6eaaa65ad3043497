//! A worker: a thread with a single-threaded runtime that holds connections from their hand-over to their end.
//!
//! Nothing moves between workers, so nothing is stolen, locked or woken across cores for a request; of the designs
//! compared in public, one runtime per core has the lowest tail latency.

use crate::connection::{self, Accepted};
use crate::life::Phase;
use crate::server::Shared;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedReceiver;

/// Starts worker number `index`. Its queue is bounded by the limit of open connections.
pub(crate) fn start(
    index: usize,
    shared: Arc<Shared>,
    mut accepted: UnboundedReceiver<Accepted>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("tilewise-worker-{index}")).spawn(move || {
        let builder = connection::builder(&shared);
        runtime.spawn(async move {
            while let Some(accepted) = accepted.recv().await {
                tokio::spawn(connection::serve(accepted, builder.clone()));
            }
        });
        runtime.block_on(shared.life.reached(Phase::Stopped));
        // What is still open ends with the runtime.
    })
}
