//! The workers of a server: who gets the next connection, and how there come to be more or fewer of them.

use crate::connection::{Accepted, Open};
use crate::life::Phase;
use crate::listener::Came;
use crate::server::Shared;
use crate::stream::Link;
use crate::worker;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Places for workers beyond those that a server starts with.
pub(crate) const SPARE: usize = 32;

/// A change of what a server is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// One worker more.
    More,
    /// One worker fewer.
    Fewer,
    /// Another process with the same socket.
    Successor,
}

/// What others see of a worker, on a cache line of its own. Its counters stay when it has gone, for the next in its place.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Place {
    /// Open connections.
    pub(crate) open: AtomicUsize,
    /// Where the worker is in its own life; a server's is another.
    phase: AtomicU8,
}

impl Place {
    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Acquire))
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }
}

/// A worker's thread, and the way to it until it retires.
struct Worker {
    queue: Option<UnboundedSender<Accepted>>,
    thread: JoinHandle<()>,
}

/// All workers, by the number of their place.
pub(crate) struct Crew {
    shared: Arc<Shared>,
    workers: Vec<Option<Worker>>,
}

impl Crew {
    /// Starts so many.
    pub(crate) fn start(shared: Arc<Shared>, workers: usize) -> io::Result<Self> {
        let mut crew = Self { workers: shared.places.iter().map(|_| None).collect(), shared };
        (0..workers).try_for_each(|_| crew.more())?;
        Ok(crew)
    }

    /// The places of those that take connections.
    fn active(&self) -> impl Iterator<Item = usize> {
        let takes = |worker: &Option<Worker>| worker.as_ref().is_some_and(|worker| worker.queue.is_some());
        self.workers.iter().enumerate().filter(move |(_, worker)| takes(worker)).map(|(place, _)| place)
    }

    fn idlest(&self) -> Option<usize> {
        self.active().min_by_key(|&place| self.shared.places[place].open.load(Ordering::Relaxed))
    }

    /// Starts one more, where there is a place: that of one which has retired has to be empty.
    pub(crate) fn more(&mut self) -> io::Result<()> {
        let free = |worker: &Option<Worker>| worker.as_ref().is_none_or(|worker| worker.thread.is_finished());
        let Some(place) = self.workers.iter().position(free) else { return Ok(()) };
        self.shared.places[place].set(Phase::Running);
        let (queue, accepted) = unbounded_channel();
        let thread = worker::start(place, Arc::clone(&self.shared), accepted)?;
        self.workers[place] = Some(Worker { queue: Some(queue), thread });
        self.count();
        Ok(())
    }

    /// Lets the one with the fewest connections retire, unless it is the last: it gets no more connections, each reply is
    /// the last on its connection, and it ends when they have gone.
    pub(crate) fn fewer(&mut self) {
        if self.active().count() < 2 {
            return;
        }
        let Some(place) = self.idlest() else { return };
        self.shared.places[place].set(Phase::Draining);
        if let Some(worker) = &mut self.workers[place] {
            worker.queue = None;
        }
        self.shared.life.ring();
        self.count();
    }

    fn count(&self) {
        self.shared.workers.store(self.active().count(), Ordering::Relaxed);
    }

    /// Gives a connection to the worker that has the fewest.
    pub(crate) fn hand_out(&self, (stream, peer): Came) {
        let Some(place) = self.idlest() else { return };
        let open = Open::new(Link::new(Arc::clone(&self.shared), peer, place));
        if let Some(queue) = self.workers[place].as_ref().and_then(|worker| worker.queue.as_ref()) {
            // A worker lives until its queue has gone.
            let _ = queue.send(Accepted { stream, open });
        }
    }

    /// All threads there are; they get no more connections.
    pub(crate) fn into_threads(self) -> Vec<JoinHandle<()>> {
        self.workers.into_iter().flatten().map(|worker| worker.thread).collect()
    }
}
