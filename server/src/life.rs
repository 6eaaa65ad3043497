//! The life of a server: running, draining, closing, stopped. It only moves forward.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Accepts and answers.
    Running,
    /// Not ready any more; no new connections; every reply is the last on its connection.
    Draining,
    /// Connections without a request close too.
    Closing,
    /// Everything ends now.
    Stopped,
}

const PHASES: [Phase; 4] = [Phase::Running, Phase::Draining, Phase::Closing, Phase::Stopped];

/// What acceptor, workers and connections share of a server's life.
#[derive(Default)]
pub(crate) struct Life {
    phase: AtomicU8,
    /// Rings at every change.
    changed: Notify,
    open: AtomicUsize,
    hurried: AtomicBool,
}

impl Phase {
    /// The phase of a number that was one.
    #[inline]
    pub(crate) fn of(number: u8) -> Self {
        PHASES[usize::from(number) % PHASES.len()]
    }
}

impl Life {
    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Acquire))
    }

    /// Moves on to `phase`, unless it is there or further.
    pub(crate) fn advance(&self, phase: Phase) {
        if self.phase.fetch_max(phase as u8, Ordering::AcqRel) < phase as u8 {
            self.ring();
        }
    }

    /// Tells all who wait that something has changed: here, or in a worker's own life.
    pub(crate) fn ring(&self) {
        self.changed.notify_waiters();
    }

    /// Ends everything now, what is left after a drain too.
    pub(crate) fn hurry(&self) {
        self.hurried.store(true, Ordering::Release);
        self.advance(Phase::Stopped);
    }

    /// Whether somebody wants the end without any further wait.
    pub(crate) fn hurried(&self) -> bool {
        self.hurried.load(Ordering::Acquire)
    }

    /// Ready at the next change after this call.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Waits until `phase` has come.
    pub(crate) async fn reached(&self, phase: Phase) {
        loop {
            let changed = self.changed();
            if self.phase() >= phase {
                return;
            }
            changed.await;
        }
    }

    /// Open connections.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}
