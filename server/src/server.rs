//! Starting a server, and the handle that ends it.

use crate::acceptor::{self, LOOK};
use crate::access_log::AccessLog;
use crate::catalogue::Current;
use crate::compute::Compute;
use crate::config::{Bind, Config};
use crate::crew::{Change, Crew, Place, SPARE};
use crate::error::{Error, Result};
use crate::life::{Life, Phase};
use crate::listener::{Listener, SocketFile};
use crate::metrics::Counters;
use crate::repository::{Keeper, Order, Orders, Repository};
use crate::signals::Signals;
use crate::successor::Succession;
use crate::supervised::{PidFile, notify};
use crate::waiting::Waiting;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tilewise_base::Model;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep};

/// How long threads that have nothing left to do may take to end, beyond every grace.
const LITTLE: Duration = Duration::from_millis(250);

/// What all threads of a server share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) catalogue: Current,
    pub(crate) orders: Orders,
    pub(crate) life: Arc<Life>,
    /// One per place of a worker.
    pub(crate) counters: Vec<Counters>,
    /// Of each worker.
    pub(crate) places: Vec<Place>,
    /// Workers that take connections.
    pub(crate) workers: AtomicUsize,
    pub(crate) changes: UnboundedSender<Change>,
    /// Connections that found no room.
    pub(crate) refused: AtomicU64,
    /// Requests, counted where their number is limited.
    pub(crate) answered: AtomicU64,
    pub(crate) compute: Compute,
    pub(crate) waiting: Waiting,
    pub(crate) access_log: Option<AccessLog>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything that was accepted was answered.
    Drained,
    /// It was stopped, without a drain or before its end.
    Stopped,
    /// The grace was over while connections were open.
    Cut {
        /// How many.
        connections: usize,
    },
    /// Its main thread failed.
    Failed,
}

/// A running server. Dropping it stops the server at once.
pub struct Handle {
    bound: Bind,
    life: Arc<Life>,
    compute: Compute,
    catalogue: Current,
    orders: Sender<Order>,
    changes: UnboundedSender<Change>,
    thread: Option<JoinHandle<End>>,
}

impl Handle {
    /// Where it listens; the port that was taken when port 0 was asked for, the address of a socket that was inherited.
    pub fn bound(&self) -> &Bind {
        &self.bound
    }

    /// The same where it is a TCP address.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.bound {
            Bind::Tcp(address) => Some(*address),
            _ => None,
        }
    }

    /// Begins to start one worker more, as SIGTTIN does; there can be 32 more than at the start.
    pub fn add_worker(&self) {
        // Fails when the server has ended.
        let _ = self.changes.send(Change::More);
    }

    /// Begins to let the worker with the fewest connections retire, as SIGTTOU does, unless it is the last: it answers what it
    /// holds, and ends.
    pub fn remove_worker(&self) {
        let _ = self.changes.send(Change::Fewer);
    }

    /// Begins to drain: readiness turns to 503, no new connection is accepted, every reply is the last on its
    /// connection, and [`Handle::join`] returns when all are gone or the grace is over.
    pub fn drain(&self) {
        self.life.advance(Phase::Draining);
    }

    /// The latest version of each model that is served now, by name.
    pub fn models(&self) -> Vec<(String, Arc<dyn Model>)> {
        self.catalogue.load().latest()
    }

    /// Begins to load what has changed in the files of the repository, as SIGHUP does.
    pub fn reload(&self) {
        // Fails when the server has ended.
        let _ = self.orders.send(Order::Reload);
    }

    /// Ends at once, whatever is in flight.
    pub fn stop(&self) {
        self.life.hurry();
    }

    /// Waits for the end, whoever brings it about (see [`Config::signals`]); after a drain has begun no longer than
    /// [`Config::grace`] and half a second.
    pub fn join(mut self) -> End {
        self.thread.take().map_or(End::Failed, |thread| thread.join().unwrap_or(End::Failed))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
        self.compute.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts a server for `models`, each under its name.
///
/// # Errors
/// When a setting or name is not accepted, a model cannot be made ready, the address cannot be listened on, or threads cannot
/// be started.
pub fn start(config: Config, models: Vec<(String, Arc<dyn Model>)>) -> Result<Handle> {
    config.check()?;
    let mut keeper = Keeper::new(None, &config);
    for (name, model) in models {
        keeper.add(name, model)?;
    }
    run(config, keeper)
}

/// Starts a server for the models of `repository`, which it reloads when told to.
///
/// # Errors
/// As [`start`]; when one of the repository's files, or every model of its folder, cannot be loaded.
pub fn start_repository(config: Config, repository: Repository) -> Result<Handle> {
    config.check()?;
    let keeper = Keeper::new(Some(repository), &config);
    run(config, keeper)
}

/// Checks settings and loads the models of `repository`, as [`start_repository`] would, but serves nothing; returns the
/// latest version of each model.
///
/// # Errors
/// As [`start_repository`], except for what concerns the address.
pub fn check(config: &Config, repository: Repository) -> Result<Vec<(String, Arc<dyn Model>)>> {
    config.check()?;
    let mut keeper = Keeper::new(Some(repository), config);
    keeper.begin()?;
    Ok(keeper.current().load().latest())
}

fn run(config: Config, mut keeper: Keeper) -> Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before models are loaded, which may take long: a SIGHUP or SIGUSR1 meanwhile would end the process. SIGTERM may.
    let signals = match config.signals {
        true => Some(runtime.block_on(async { Signals::early() })?),
        false => None,
    };
    keeper.begin()?;
    let workers = config.worker_threads();
    let listener = runtime.block_on(async { Listener::new(&config.bind, config.backlog) })?;
    let bound = listener.bound()?;
    let socket_file = SocketFile::of(&config.bind, &bound);
    let (access_log, log_thread) = match &config.access_log {
        Some(path) => {
            let started = AccessLog::start(path);
            let told = |e: std::io::Error| Error::AccessLog { path: path.clone(), source: e };
            started.map(|(log, thread)| (Some(log), Some(thread))).map_err(told)?
        }
        None => (None, None),
    };
    let pid_file = config.pid_file.as_deref().map(PidFile::write).transpose()?.map(Arc::new);
    let (sender, orders) = channel();
    let succession = Succession::new(config.successor.clone(), pid_file.as_ref(), sender.clone());
    let life = Arc::new(Life::default());
    let ready = config.notify.clone();
    let waiting = Waiting::new(config.max_waiting);
    let compute = Compute::new(&config, &waiting);
    let (change, changes) = unbounded_channel();
    let places = workers + SPARE;
    let catalogue = keeper.current();
    let shared = Arc::new(Shared {
        catalogue: keeper.current(),
        orders: Orders { sender: sender.clone(), reloads: keeper.reloads() },
        life: Arc::clone(&life),
        changes: change.clone(),
        counters: (0..places).map(|_| Counters::default()).collect(),
        places: (0..places).map(|_| Place::default()).collect(),
        workers: AtomicUsize::new(0),
        refused: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        compute: compute.clone(),
        waiting,
        access_log,
        config: Arc::new(config),
    });
    // From here on a failure must end the threads that were already started: the handle's drop does.
    let mut handle = Handle {
        bound,
        life,
        compute: compute.clone(),
        catalogue,
        orders: sender,
        changes: change,
        thread: None,
    };
    // Ends when handle and server have.
    std::thread::Builder::new().name("tilewise-models".into()).spawn(move || keeper.run(&orders))?;
    let mut threads = compute.start()?;
    let mut crew = Crew::start(Arc::clone(&shared), workers)?;
    handle.thread = Some(std::thread::Builder::new().name("tilewise-accept".into()).spawn(move || {
        let _pid_file = pid_file;
        let life = Arc::clone(&shared.life);
        if let Some(signals) = signals {
            runtime.spawn(signals.obey(Arc::downgrade(&shared), Arc::clone(&life)));
        }
        let run = acceptor::run(listener, &shared, &mut crew, changes, &succession);
        let (end, grace) = runtime.block_on(run);
        match socket_file {
            Some(file) if succession.runs() => file.leave(),
            // Removed before the last threads have ended: another server may start.
            file => drop(file),
        }
        compute.close();
        // The thread of the log ends when nobody can give it lines any more.
        drop(shared);
        threads.extend(crew.into_threads().into_iter().chain(log_thread));
        runtime.block_on(ended(threads, &life, grace));
        end
    })?);
    // A supervisor that does not listen has no influence on what is served.
    let _ = notify(ready.as_deref(), "READY=1");
    Ok(handle)
}

/// Waits until `threads` have ended: until the grace is over, or for [`LITTLE`], whichever is later; if somebody hurries,
/// for that only. What is still under way then is left to the end of the process: a prediction whose client has gone, a
/// line of the access log that nobody reads. A thread cannot be stopped.
async fn ended(mut threads: Vec<JoinHandle<()>>, life: &Life, grace: Instant) {
    let little = Instant::now() + LITTLE;
    let (mut until, mut hurries) = (grace.max(little), false);
    loop {
        for thread in threads.extract_if(.., |thread| thread.is_finished()) {
            let _ = thread.join();
        }
        let now = Instant::now();
        if life.hurried() && !hurries {
            (until, hurries) = (until.min(now + LITTLE), true);
        }
        if threads.is_empty() || now >= until {
            return;
        }
        sleep(LOOK).await;
    }
}
