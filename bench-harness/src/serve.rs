//! `compare serve`: the server beside the services that Python programs are put behind, all with the same LightGBM
//! model, and beside a bare hyper that predicts nothing.
//!
//! 1. One row of 28 features as JSON in a closed loop, over 1 and over 32 connections.
//! 2. 1,024 rows as a binary tensor, against the same prediction inside one process.
//! 3. Latency at loads that do not depend on the server (open loop), up to what each server can do.
//! 4. Overload: a model that takes 250 microseconds a row, beyond what the server can do.
//!
//! Each server runs in processes of its own and is stopped while others are measured (SIGSTOP), so that its threads take
//! nothing from them; rounds take turns, and ratios are medians over rounds. The load generator is one thread on the
//! same machine: on two cores it has one of them.

use load::{Load, Pace, Plan, load};
use peers::{PEERS, Peer, Running, request};
use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tilewise_base::Model;
use tilewise_kernels::{MatMut, MatRef, parallel};

mod connection;
mod load;
mod ours;
mod page;
mod peers;
mod python;

pub use ours::work;
pub use page::page;
pub(crate) use python::{environment, package, scripts, succeed};

const FEATURES: usize = 28;

/// Connections of the closed loop.
const CONNECTIONS: [usize; 2] = [1, 32];

/// Rows of a large request, and connections that send them: one is read while another is predicted.
const ROWS: usize = 1024;
const ROWS_CONNECTIONS: usize = 4;

/// Connections of an open loop: more than any server that keeps up needs.
const OPEN_CONNECTIONS: usize = 64;

/// The same under overload: as many as could wait.
const OVERLOAD_CONNECTIONS: usize = 1024;

/// Loads of the open loop, as parts of what the server did in the closed one.
const PARTS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];

/// Loads beyond the knee, and the knee itself.
const OVERLOADS: [f64; 5] = [0.5, 0.9, 1.0, 1.5, 2.0];

/// An answer is good within this time (s).
const GOOD: f64 = 0.1;

/// Whether a rate is at the knee: this part of what was asked for is answered in time.
const KEPT_UP: f64 = 0.99;

/// How it is measured.
pub struct Options {
    /// Turns of each server.
    pub rounds: usize,
    /// How long each turn takes.
    pub time: Duration,
    /// How long each load beyond the knee is kept up.
    pub overload: Duration,
    /// Names of peers to compare with; all where none is given.
    pub only: Vec<String>,
    /// Where the environments and the model are kept.
    pub target: PathBuf,
}

/// A turn of a server: its load, the processors' seconds that it took, and its memory at the end.
#[derive(Clone)]
struct Turn {
    load: Load,
    cpu: f64,
    memory: f64,
}

impl Turn {
    /// Microseconds of processors per request, whatever the reply.
    fn cost(&self) -> f64 {
        let load = &self.load;
        // The warm-up costs too.
        1e6 * self.cpu / (load.answered.len() + load.refused.len()) as f64
    }
}

/// A server and what it did.
struct Compared {
    name: &'static str,
    predicts: bool,
    /// By number of connections, in the order of [`CONNECTIONS`].
    closed: [Vec<Turn>; 2],
    /// Requests per second asked for, and the turn.
    open: Vec<(f64, Turn)>,
}

/// Everything that was measured.
pub struct Findings {
    servers: Vec<Compared>,
    /// Of [`ROWS`] rows: requests per second of the server, and of a process on one thread and on all.
    rows: Vec<Rows>,
    /// What the knee is, and what happens beyond it.
    overload: Overload,
    /// Servers that did not take part, and why.
    pub missing: Vec<String>,
}

/// One round of large requests.
struct Rows {
    served: Turn,
    one_thread: f64,
    all_threads: f64,
}

/// Loads around the knee.
struct Overload {
    /// Requests per second.
    knee: f64,
    turns: Vec<(f64, Turn)>,
}

/// A server that runs and takes turns.
struct Entrant {
    peer: &'static Peer,
    running: Running,
    request: Vec<u8>,
    compared: Compared,
    failure: Option<String>,
}

impl Entrant {
    fn turn(&mut self, connections: usize, pace: Pace, time: Duration) -> Option<Turn> {
        if self.failure.is_some() {
            return None;
        }
        match turn(&self.running, &self.request, connections, pace, time) {
            Ok(turn) => Some(turn),
            Err(error) => {
                self.failure = Some(format!("{}: {error}", self.peer.name));
                None
            }
        }
    }
}

/// Wakes a server, loads it, stops it.
fn turn(running: &Running, request: &[u8], connections: usize, pace: Pace, time: Duration) -> Result<Turn> {
    running.signal("-CONT")?;
    let warm = time / 4;
    let plan = |warm, time| Plan { address: running.address, request, connections, pace, warm, time };
    load(&plan(Duration::ZERO, warm))?;
    let (before, _) = running.used()?;
    let load = load(&plan(Duration::ZERO, time))?;
    let (after, memory) = running.used()?;
    running.signal("-STOP")?;
    Ok(Turn { load, cpu: after - before, memory })
}

/// Compares all; `tell` hears what goes on.
///
/// # Errors
/// When the model cannot be trained, or our own server fails or disagrees with the model.
pub fn run(options: &Options, tell: impl Fn(&str)) -> Result<Findings> {
    let folder = options.target.join("compare/serve");
    std::fs::create_dir_all(&folder)?;
    let mut missing = Vec::new();
    tell("preparing environments and model");
    let (programs, failures) = environments(&folder);
    let path =
        prepare(&folder, programs.get("serve").ok_or_else(|| Error::other(failures["serve"].clone()))?)?;
    let model = tilewise_models::load(&path).map_err(Error::other)?;
    let row: Vec<f64> = (0..FEATURES as u32).map(|i| f64::from(i) * 0.137 - 1.9).collect();
    let mut answer = [0.0];
    predict(&*model, &row, &mut answer)?;
    let mut entrants = Vec::new();
    for peer in PEERS {
        let ours = peer.environment().is_none();
        if !ours
            && !options.only.is_empty()
            && !options.only.iter().any(|part| peer.name.contains(part.as_str()))
        {
            continue;
        }
        tell(&format!("starting {}", peer.name));
        match enter(peer, &folder, &programs, &failures, &path, &row, answer[0]) {
            Ok(entrant) => entrants.push(entrant),
            Err(error) if ours => return Err(error),
            Err(error) => missing.push(format!("{}: {error}", peer.name)),
        }
    }
    for round in 1..=options.rounds {
        // Whoever was last is first: being first may cost, or help.
        entrants.rotate_right(1);
        for entrant in &mut entrants {
            tell(&format!("round {round}: {}", entrant.peer.name));
            for (at, connections) in CONNECTIONS.into_iter().enumerate() {
                let turn = entrant.turn(connections, Pace::Closed, options.time);
                entrant.compared.closed[at].extend(turn);
            }
        }
    }
    let first = options.rounds % entrants.len();
    entrants.rotate_left(first);
    for entrant in entrants.iter_mut().filter(|entrant| entrant.peer.predicts()) {
        tell(&format!("open loop: {}", entrant.peer.name));
        let most = page::rate(&entrant.compared.closed[1]);
        for part in PARTS {
            let asked = most * part;
            let turn = entrant.turn(OPEN_CONNECTIONS, Pace::Poisson(asked), options.time);
            entrant.compared.open.extend(turn.map(|turn| (asked, turn)));
        }
    }
    let ours = &entrants[0];
    let mut rows = Vec::new();
    for round in 1..=options.rounds {
        tell(&format!("round {round}: {ROWS} rows as a binary tensor"));
        rows.push(large(&ours.running, &*model, options.time)?);
    }
    tell("overload");
    let overload = overload(&path, &ours.request, options)?;
    let mut servers = Vec::new();
    for mut entrant in entrants {
        if let Err(error) = entrant.running.logs_nothing() {
            entrant.failure.get_or_insert(format!("{}: {error}", entrant.peer.name));
        }
        match entrant.failure {
            Some(what) if entrant.peer.environment().is_none() => return Err(Error::other(what)),
            Some(what) => missing.push(what),
            None => servers.push(entrant.compared),
        }
    }
    Ok(Findings { servers, rows, overload, missing })
}

/// The programs of each environment, and why those that failed did.
fn environments(folder: &Path) -> (BTreeMap<&'static str, PathBuf>, BTreeMap<&'static str, String>) {
    let (mut programs, mut failures) = (BTreeMap::new(), BTreeMap::new());
    let mut names: Vec<_> = PEERS.iter().filter_map(Peer::environment).collect();
    names.dedup();
    for name in names {
        match python::environment(folder, name) {
            Ok(folder) => drop(programs.insert(name, folder)),
            Err(error) => drop(failures.insert(name, error.to_string())),
        }
    }
    (programs, failures)
}

/// The model in all forms that the peers read; answers the path of LightGBM's text.
fn prepare(folder: &Path, programs: &Path) -> Result<PathBuf> {
    let path = folder.join("model.txt");
    let mut train = Command::new(programs.join("python"));
    python::succeed(train.arg(python::scripts().join("serve_peer.py")).arg("train").arg(&path))?;
    let exported = tilewise_models::export(&path, tilewise_models::Format::Onnx).map_err(Error::other)?;
    std::fs::write(path.with_extension("onnx"), exported.bytes)?;
    let mlserver = folder.join("mlserver");
    std::fs::create_dir_all(&mlserver)?;
    std::fs::copy(&path, mlserver.join("model.txt"))?;
    let settings = serde_json::json!({
        "name": "m",
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"uri": "./model.txt"},
    });
    std::fs::write(mlserver.join("model-settings.json"), settings.to_string())?;
    Ok(path)
}

/// Starts a peer, checks its answer, and stops it until its turn.
fn enter(
    peer: &'static Peer,
    folder: &Path,
    programs: &BTreeMap<&str, PathBuf>,
    failures: &BTreeMap<&str, String>,
    model: &Path,
    row: &[f64],
    expected: f64,
) -> Result<Entrant> {
    if let Some(why) = peer.environment().and_then(|name| failures.get(name)) {
        return Err(Error::other(why.clone()));
    }
    let (running, request) = (Running::start(peer, folder, programs, model)?, peer.request(row));
    peer.check(running.first(&request)?, expected)?;
    running.signal("-STOP")?;
    let compared = Compared {
        name: peer.name,
        predicts: peer.predicts(),
        closed: [Vec::new(), Vec::new()],
        open: Vec::new(),
    };
    Ok(Entrant { peer, running, request, compared, failure: None })
}

fn predict(model: &dyn Model, cells: &[f64], out: &mut [f64]) -> Result<()> {
    let rows = cells.len() / FEATURES;
    let cells = MatRef::new(cells, rows, FEATURES).map_err(Error::other)?;
    model.predict(cells, None, MatMut::new(out, rows, 1).map_err(Error::other)?).map_err(Error::other)
}

/// Large requests, and the same predictions inside this process.
fn large(running: &Running, model: &dyn Model, time: Duration) -> Result<Rows> {
    let cells: Vec<f64> = (0..(ROWS * FEATURES) as u32).map(|i| (f64::from(i) * 0.73).sin() * 2.0).collect();
    let bytes: Vec<u8> = cells.iter().flat_map(|x| x.to_le_bytes()).collect();
    let json = serde_json::json!({
        "inputs": [{"name": "rows", "shape": [ROWS, FEATURES], "datatype": "FP64",
                    "parameters": {"binary_data_size": bytes.len()}}],
        "parameters": {"binary_data_output": true},
    })
    .to_string();
    let header = format!("inference-header-content-length: {}\r\n", json.len());
    let request = request("/v2/models/m/infer", &header, &[json.as_bytes(), &bytes].concat());
    let once = |out: &mut [f64], threads| {
        parallel::with_threads(threads, || {
            let piece = ROWS.div_ceil(threads);
            parallel::for_each_chunk_mut(out, piece, |i, out| {
                let first = i * piece * FEATURES;
                // Shapes that fit and numbers are refused by no model of numbers.
                let _ = predict(model, &cells[first..first + out.len() * FEATURES], out);
            });
        });
    };
    let per_second = |threads| {
        let (mut out, start, mut times) = (vec![0.0; ROWS], Instant::now(), 0);
        while start.elapsed() < time / 2 {
            once(&mut out, threads);
            times += 1;
        }
        f64::from(times) / start.elapsed().as_secs_f64()
    };
    let (one_thread, all_threads) = (per_second(1), per_second(parallel::threads()));
    let mut expected = vec![0.0; ROWS];
    once(&mut expected, 1);
    running.signal("-CONT")?;
    let (status, body) = connection::one(running.address, &request)?;
    let expected: Vec<u8> = expected.iter().flat_map(|x| x.to_le_bytes()).collect();
    if status != 200 || !body.ends_with(&expected) {
        return Err(Error::other(format!(
            "a large request got {status}, or other bits than the model gives"
        )));
    }
    let served = turn(running, &request, ROWS_CONNECTIONS, Pace::Closed, time)?;
    Ok(Rows { served, one_thread, all_threads })
}

/// Finds the knee of the server with a slow model, the highest rate at which all is answered in time, and goes beyond it.
fn overload(model: &Path, request: &[u8], options: &Options) -> Result<Overload> {
    let running = Running::ours("slow", model)?;
    running.first(request)?;
    let at = |rate, time| turn(&running, request, OVERLOAD_CONNECTIONS, Pace::Poisson(rate), time);
    let least = |Load { asked, seconds, .. }: &Load| KEPT_UP * *asked as f64 / seconds;
    // What one thread could do at best, and a search between half of that and all of it.
    let most = ours::SLOW.as_secs_f64().recip();
    let (mut low, mut high) = (0.5 * most, most);
    for _ in 0..5 {
        let rate = (low + high) / 2.0;
        let load = at(rate, options.time)?.load;
        if load.goodput(GOOD) >= least(&load) { low = rate } else { high = rate }
    }
    let mut turns = Vec::new();
    for part in OVERLOADS {
        turns.push((part * low, at(part * low, options.overload)?));
    }
    Ok(Overload { knee: low, turns })
}
