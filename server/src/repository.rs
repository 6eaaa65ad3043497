//! Models from files: which there are, and the thread that loads, replaces and frees them.
//!
//! A reload loads a version whose file has changed, makes it ready, lets it answer one row, and only then puts a new
//! [`Catalogue`] in place of the old one. What fails leaves in service what was there. A model that was replaced is
//! freed here, when the last request that uses it has ended: freeing a large forest takes milliseconds that no
//! request should wait for.

use crate::catalogue::{Catalogue, Current, Entry, version_number};
use crate::config::Config;
use crate::crew::SPARE;
use crate::error::{Error, Result};
use crate::metrics::Rows;
use crate::served::{Served, acceptable};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use tilewise_base::Model;
use tokio::sync::oneshot;

/// How often it looks whether models that were replaced are still in use.
const LOOK: Duration = Duration::from_millis(20);

/// Reads the model in a file; an error says what is wrong with it.
pub type Loader = Arc<dyn Fn(&Path) -> Result<Arc<dyn Model>, String> + Send + Sync>;

/// Where models come from.
#[derive(Clone)]
pub struct Repository {
    /// Reads a file.
    pub loader: Loader,
    /// Models by name, each in one file, as version 1.
    pub files: Vec<(String, PathBuf)>,
    /// A folder with a folder per model, in it a folder per version called 1, 2 ..., in it the model's one file. What
    /// begins with a dot is passed over. Publish a version by renaming its folder into place.
    pub folder: Option<PathBuf>,
    /// How many versions of a model in the folder are served, the latest; 0 is all.
    pub newest: usize,
    /// How often to look for changes; none is only when told to.
    pub every: Option<Duration>,
    /// Told what was loaded, replaced or failed, and what became of a successor, a line at a time.
    pub notice: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Repository {
    /// One that reads with `loader` and holds nothing yet.
    pub fn new(loader: Loader) -> Self {
        Self { loader, files: Vec::new(), folder: None, newest: 0, every: None, notice: Arc::new(|_| {}) }
    }
}

/// What the thread is asked to do.
pub(crate) enum Order {
    /// Load what has changed.
    Reload,
    /// Load a model, also after it was unloaded or had failed; answers with its versions.
    Load(String, oneshot::Sender<Outcome>),
    /// Take a model out of service until it is loaded by name.
    Unload(String, oneshot::Sender<Outcome>),
    /// Tell what happened to the server.
    Tell(String),
}

/// The versions that a model has after an order.
pub(crate) type Outcome = Result<Vec<u64>, Refused>;

/// Why an order was not carried out.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is no such model.
    Unknown,
    /// It could not be loaded; what was there stays.
    Failed(String),
}

/// How often versions were loaded, and how often that failed.
#[derive(Default)]
pub(crate) struct Reloads {
    pub(crate) loaded: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// The way to the thread.
pub(crate) struct Orders {
    pub(crate) sender: Sender<Order>,
    pub(crate) reloads: Arc<Reloads>,
}

/// Which bytes a file held, as far as can be told without reading them.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, String> {
        let about = fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
        // Reading a pipe would wait for whoever writes it.
        if !about.is_file() {
            return Err(format!("{}: it is not a file", path.display()));
        }
        Ok(Self {
            file: (about.dev(), about.ino()),
            length: about.len(),
            changed: (about.mtime(), about.mtime_nsec()),
        })
    }
}

/// A version as it is known.
struct Known {
    /// Of the file that was tried last.
    stamp: Option<Stamp>,
    served: Option<Arc<Served>>,
    trouble: Option<String>,
}

type Found = BTreeMap<u64, Result<PathBuf, String>>;

/// Models whose folder cannot be listed, and why.
type Unreadable = BTreeMap<String, String>;

/// What the thread holds.
pub(crate) struct Keeper {
    repository: Option<Repository>,
    most: usize,
    models: BTreeMap<String, BTreeMap<u64, Known>>,
    /// Out of service by order.
    unloaded: BTreeSet<String>,
    /// Of every name there is.
    counted: BTreeMap<String, Arc<Rows>>,
    workers: usize,
    current: Current,
    reloads: Arc<Reloads>,
    /// Replaced, and perhaps still in use.
    retired: Vec<Arc<Served>>,
}

impl Keeper {
    /// Holds at most so many names of models at a time as `config` allows.
    pub(crate) fn new(repository: Option<Repository>, config: &Config) -> Self {
        Self {
            repository,
            most: config.max_models,
            workers: config.worker_threads() + SPARE,
            models: BTreeMap::new(),
            unloaded: BTreeSet::new(),
            counted: BTreeMap::new(),
            current: Current::default(),
            reloads: Arc::default(),
            retired: Vec::new(),
        }
    }

    pub(crate) fn current(&self) -> Current {
        Arc::clone(&self.current)
    }

    pub(crate) fn reloads(&self) -> Arc<Reloads> {
        Arc::clone(&self.reloads)
    }

    /// Adds a model that is not from a file.
    pub(crate) fn add(&mut self, name: String, model: Arc<dyn Model>) -> Result<()> {
        let refuse = |what: String| Error::Model { name: name.clone(), what };
        if self.models.contains_key(&name) {
            return Err(refuse("the name is given twice".into()));
        }
        let counted = self.counted(&name).map_err(refuse)?;
        model.prepare().map_err(|e| refuse(e.to_string()))?;
        let served = Arc::new(Served::new(counted, name.clone(), 1, model).map_err(refuse)?);
        let known = Known { stamp: None, served: Some(served), trouble: None };
        self.models.insert(name, BTreeMap::from([(1, known)]));
        Ok(())
    }

    /// Loads everything for the first time. A file that was named must load; of the folder, one model must.
    pub(crate) fn begin(&mut self) -> Result<()> {
        if let Some(repository) = self.repository.clone() {
            if let Some(every) = repository.every.filter(|every| every.as_millis() == 0) {
                let (value, accepted) = (format!("{every:?}"), "a millisecond or more is");
                return Err(Error::Setting { name: "reload_every", value, accepted });
            }
            let mut names = BTreeSet::new();
            for (name, _) in &repository.files {
                if self.models.contains_key(name) || !names.insert(name.clone()) {
                    return Err(Error::Model { name: name.clone(), what: "the name is given twice".into() });
                }
            }
            self.reload(None).map_err(|what| Error::Repository { what })?;
            for (name, _) in &repository.files {
                if let Some(Known { trouble: Some(what), .. }) = self.models.get(name).and_then(|m| m.get(&1))
                {
                    return Err(Error::Model { name: name.clone(), what: what.clone() });
                }
            }
        }
        self.publish();
        if !self.current.load().models.is_empty() {
            return Ok(());
        }
        let troubles =
            self.models.values().flat_map(BTreeMap::values).filter_map(|known| known.trouble.clone());
        match troubles.reduce(|all, next| format!("{all}; {next}")) {
            Some(what) => Err(Error::Repository { what }),
            None => {
                let (value, accepted) = ("none".into(), "one or more are");
                Err(Error::Setting { name: "models", value, accepted })
            }
        }
    }

    /// Carries out orders until nobody can give any more.
    pub(crate) fn run(mut self, orders: &Receiver<Order>) {
        let every = self.repository.as_ref().and_then(|repository| repository.every);
        let later = || every.and_then(|every| Instant::now().checked_add(every));
        let mut next = later();
        loop {
            let now = Instant::now();
            let look = next.map_or(Duration::MAX, |next| next.saturating_duration_since(now));
            let wait = if self.retired.is_empty() { look } else { look.min(LOOK) };
            match orders.recv_timeout(wait) {
                Ok(order) => self.carry_out(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if next.is_some_and(|next| next <= Instant::now()) {
                self.reload_all();
                next = later();
            }
            // Nobody can take a further reference to what is in no catalogue.
            self.retired.retain(|served| Arc::strong_count(served) > 1);
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Reload => self.reload_all(),
            Order::Tell(line) => self.notice(&line),
            Order::Load(name, reply) => {
                let outcome = self.load(&name);
                self.publish();
                let _ = reply.send(outcome);
            }
            Order::Unload(name, reply) => {
                let outcome = self.unload(&name);
                self.publish();
                let _ = reply.send(outcome);
            }
        }
    }

    fn reload_all(&mut self) {
        if let Err(what) = self.reload(None) {
            self.reloads.failed.fetch_add(1, Ordering::Relaxed);
            self.notice(&format!("{what}; the models stay as they are"));
        }
        self.publish();
    }

    fn load(&mut self, name: &str) -> Outcome {
        let was_unloaded = self.unloaded.remove(name);
        // What failed is tried again, even if nothing seems to have changed.
        for known in self.models.get_mut(name).into_iter().flat_map(BTreeMap::values_mut) {
            if known.trouble.is_some() {
                known.stamp = None;
            }
        }
        let reloaded = self.reload(Some(name));
        let versions = self.models.get(name);
        if was_unloaded && !versions.is_some_and(|all| all.values().any(|known| known.served.is_some())) {
            self.unloaded.insert(name.to_owned());
        }
        reloaded.map_err(Refused::Failed)?;
        let Some(versions) = versions else { return Err(Refused::Unknown) };
        let troubles = versions.values().rev().filter_map(|known| known.trouble.clone());
        match troubles.reduce(|all, next| format!("{all}; {next}")) {
            Some(what) => Err(Refused::Failed(what)),
            None => Ok(versions.keys().rev().copied().collect()),
        }
    }

    fn unload(&mut self, name: &str) -> Outcome {
        let Some(versions) = self.models.remove(name) else {
            return if self.unloaded.contains(name) { Ok(Vec::new()) } else { Err(Refused::Unknown) };
        };
        if versions.values().all(|known| known.stamp.is_none() && known.trouble.is_none()) {
            self.models.insert(name.to_owned(), versions);
            return Err(Refused::Failed(
                "it is not from a file, so that it could not be loaded again".into(),
            ));
        }
        self.retired.extend(versions.into_values().filter_map(|known| known.served));
        self.unloaded.insert(name.to_owned());
        self.notice(&format!("model {name:?} is unloaded"));
        Ok(Vec::new())
    }

    fn notice(&self, line: &str) {
        if let Some(repository) = &self.repository {
            (repository.notice)(line);
        }
    }

    /// Brings `only`, or everything, to what the files hold. An error when the folder cannot be listed.
    fn reload(&mut self, only: Option<&str>) -> Result<(), String> {
        let Some(repository) = self.repository.clone() else { return Ok(()) };
        let (found, unreadable) = repository.find(only)?;
        unreadable.values().for_each(|what| self.notice(&format!("{what}; its versions stay as they are")));
        let mut kept = BTreeMap::new();
        for (name, versions) in &found {
            if self.unloaded.contains(name) {
                continue;
            }
            let kept: &mut BTreeSet<u64> = kept.entry(name.clone()).or_default();
            let mut served = 0;
            // One that fails does not take the place of an older one that serves.
            for (version, path) in versions.iter().rev() {
                if repository.newest > 0 && served == repository.newest {
                    break;
                }
                self.try_version(&repository, name, *version, path);
                kept.insert(*version);
                let known = self.models.get(name).and_then(|versions| versions.get(version));
                served += usize::from(known.is_some_and(|known| known.served.is_some()));
            }
        }
        // What is gone from the files, or is older than what is to be served, goes out of service.
        let mut gone = Vec::new();
        for (name, versions) in &mut self.models {
            if only.is_some_and(|only| only != name) || unreadable.contains_key(name) {
                continue;
            }
            let there = kept.get(name);
            let leaves = |version: &u64, known: &Known| {
                (known.stamp.is_some() || known.trouble.is_some())
                    && there.is_none_or(|kept| !kept.contains(version))
            };
            let numbers: Vec<u64> = versions.iter().filter(|(v, k)| leaves(v, k)).map(|(v, _)| *v).collect();
            for version in numbers {
                self.retired.extend(versions.remove(&version).and_then(|known| known.served));
                gone.push(format!("version {version} of model {name:?} is out of service"));
            }
        }
        self.models.retain(|_, versions| !versions.is_empty());
        gone.iter().for_each(|line| self.notice(line));
        Ok(())
    }

    /// Loads a version if its file has changed since it was tried last.
    fn try_version(
        &mut self,
        repository: &Repository,
        name: &str,
        version: u64,
        path: &Result<PathBuf, String>,
    ) {
        let known = self.models.get(name).and_then(|versions| versions.get(&version));
        let place = path.clone().and_then(|path| Stamp::of(&path).map(|stamp| (path, stamp)));
        let stamp = place.as_ref().ok().map(|(_, stamp)| *stamp);
        if known.is_some_and(|known| known.stamp == stamp && (stamp.is_some() || known.trouble.is_some())) {
            return;
        }
        let replaces = known.is_some_and(|known| known.served.is_some());
        let counted = self.counted(name);
        // Where there was no room for its name it is tried again, though nothing changes in its file.
        let stamp = stamp.filter(|_| counted.is_ok());
        let loaded = place.and_then(|(path, stamp)| repository.load(&path, stamp, counted?, name, version));
        let versions = self.models.entry(name.to_owned()).or_default();
        let known = versions.entry(version).or_insert(Known { stamp: None, served: None, trouble: None });
        known.stamp = stamp;
        match loaded {
            Ok(served) => {
                known.trouble = None;
                self.retired.extend(known.served.replace(Arc::new(served)));
                self.reloads.loaded.fetch_add(1, Ordering::Relaxed);
                let how = if replaces { "replaced" } else { "loaded" };
                self.notice(&format!("version {version} of model {name:?} is {how}"));
            }
            Err(what) => {
                let stays = if replaces { "; the old one stays in service" } else { "" };
                let line = format!("version {version} of model {name:?} could not be loaded: {what}{stays}");
                known.trouble = Some(what);
                self.reloads.failed.fetch_add(1, Ordering::Relaxed);
                self.notice(&line);
            }
        }
    }

    /// Where rows of a model are counted.
    fn counted(&mut self, name: &str) -> Result<Arc<Rows>, String> {
        if let Some(counted) = self.counted.get(name) {
            return Ok(Arc::clone(counted));
        }
        if self.counted.len() >= self.most {
            return Err(format!("{} names of models are served, as many as may be (max_models)", self.most));
        }
        let counted = Arc::new(Rows::new(self.workers));
        self.counted.insert(name.to_owned(), Arc::clone(&counted));
        Ok(counted)
    }

    /// Puts a new catalogue in place of the present one. Retired models are in `retired` by now, so that whoever drops
    /// the old catalogue frees none of them.
    fn publish(&mut self) {
        let mut next = Catalogue::default();
        // What is gone makes room for other names.
        self.counted.retain(|name, _| self.models.contains_key(name));
        for (name, versions) in &self.models {
            let served: Vec<_> = versions.values().rev().filter_map(|known| known.served.clone()).collect();
            if !served.is_empty() {
                next.models.push(Entry::new(name, served));
            }
            for (version, known) in versions {
                if let Some(trouble) = &known.trouble {
                    next.troubles.insert((name.clone(), *version), trouble.clone());
                }
            }
        }
        self.current.store(Arc::new(next));
    }
}

impl Repository {
    /// The versions that files and folder hold, of `only` or of all models; and those whose folder cannot be listed, with the reason.
    fn find(&self, only: Option<&str>) -> Result<(BTreeMap<String, Found>, Unreadable), String> {
        let (mut models, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
        if let Some(folder) = &self.folder {
            for name in entries(folder)? {
                // Another name could not stand in a path, so it cannot be asked for.
                if acceptable(&name) && only.is_none_or(|only| only == name) && folder.join(&name).is_dir() {
                    match versions(&folder.join(&name)) {
                        Ok(versions) if versions.is_empty() => {}
                        Ok(versions) => drop(models.insert(name, versions)),
                        Err(what) => drop(unreadable.insert(name, what)),
                    }
                }
            }
        }
        for (name, path) in &self.files {
            if only.is_none_or(|only| only == name) {
                models.insert(name.clone(), BTreeMap::from([(1, Ok(path.clone()))]));
            }
        }
        Ok((models, unreadable))
    }

    /// Reads, checks and tries a model.
    fn load(
        &self,
        path: &Path,
        stamp: Stamp,
        counted: Arc<Rows>,
        name: &str,
        version: u64,
    ) -> Result<Served, String> {
        let work = || {
            let model = (self.loader)(path)?;
            // Formats of others have no checksum: half of a file may be a model.
            if Stamp::of(path)? != stamp {
                return Err(format!("{}: it changed while it was read", path.display()));
            }
            model.prepare().map_err(|e| e.to_string())?;
            let served = Served::new(counted, name.to_owned(), version, model)?;
            served.warm_up()?;
            Ok(served)
        };
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(format!("{}: reading it failed without a reason", path.display())))
    }
}

/// The versions in the folder of a model.
fn versions(folder: &Path) -> Result<Found, String> {
    let entries = entries(folder)?;
    let numbers = entries.iter().filter_map(|name| version_number(name));
    Ok(numbers.map(|number| (number, only_file(&folder.join(number.to_string())))).collect())
}

/// Names in a folder that do not begin with a dot.
fn entries(folder: &Path) -> Result<Vec<String>, String> {
    let told = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(told)? {
        if let Ok(name) = entry.map_err(told)?.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// The one file of a version.
fn only_file(folder: &Path) -> Result<PathBuf, String> {
    let names = entries(folder)?;
    match &names[..] {
        [name] => Ok(folder.join(name)),
        _ => {
            Err(format!("{}: a version's folder holds one file, this one {}", folder.display(), names.len()))
        }
    }
}
