//! `compare serve`: one row of 28 features as JSON over 32 connections, against the services that Python programs are
//! put behind, all with the same LightGBM file, and against a bare hyper that predicts nothing.
//!
//! Each server runs in processes of its own and is stopped while others are measured (SIGSTOP), so that its threads take
//! nothing from them; rounds take turns, and ratios are medians over rounds. The load generator is one thread on the
//! same machine: on two cores it has one of them.

use load::{Load, load, one, request};
use std::io::{Error, Result};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tilewise_report::{Table, median};

mod load;
mod ours;

pub use ours::work;

const FEATURES: usize = 28;
const CONNECTIONS: usize = 32;

/// The same sum of the same leaves, added in another order.
const TOLERANCE: f64 = 1e-12;

/// How it is measured.
pub struct Options {
    /// Turns of each server.
    pub rounds: usize,
    /// How long each turn takes.
    pub time: Duration,
    /// Where the environment and the model are kept.
    pub target: PathBuf,
}

/// A server that is compared.
struct Peer {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    /// Of this program: the form, and whether it predicts.
    Ours(&'static str, bool),
    /// A module of Python, its arguments, and the service in `serve_peer.py`.
    Python(&'static str, &'static [&'static str], &'static str),
}

const PEERS: &[Peer] = &[
    Peer { name: "tilewise serve -w 1", kind: Kind::Ours("ours", true) },
    Peer { name: "bare hyper, one thread, to a Value", kind: Kind::Ours("bare", false) },
    Peer {
        name: "gunicorn -w 4 + Flask",
        kind: Kind::Python("gunicorn", &["-w", "4", "-b", "ADDRESS", "serve_peer:flask_app"], "flask"),
    },
    Peer {
        name: "uvicorn + FastAPI",
        kind: Kind::Python(
            "uvicorn",
            &["--host", "HOST", "--port", "PORT", "--no-access-log", "serve_peer:fastapi_app"],
            "fastapi",
        ),
    },
    Peer {
        name: "uvicorn --workers 2 + FastAPI",
        kind: Kind::Python(
            "uvicorn",
            &[
                "--host",
                "HOST",
                "--port",
                "PORT",
                "--no-access-log",
                "--workers",
                "2",
                "serve_peer:fastapi_app",
            ],
            "fastapi",
        ),
    },
];

/// A server that runs, in a group of processes of its own; killed when dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts it and waits until it answers `row`.
    fn start(peer: &Peer, python: &Path, model: &Path, row: &[u8]) -> Result<(Self, Vec<u8>)> {
        use std::os::unix::process::CommandExt;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = match peer.kind {
            Kind::Ours(form, _) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve-worker", form]).arg(model).arg(address.to_string());
                command
            }
            Kind::Python(module, arguments, service) => {
                let mut command = Command::new(python);
                command.args(["-m", module]).current_dir(scripts()).env("TILEWISE_SERVICE", service);
                for argument in arguments {
                    command.arg(match *argument {
                        "ADDRESS" => address.to_string(),
                        "HOST" => address.ip().to_string(),
                        "PORT" => address.port().to_string(),
                        other => other.to_owned(),
                    });
                }
                command
            }
        };
        command.env("TILEWISE_MODEL", model).env("OMP_NUM_THREADS", "1").process_group(0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut running = Self { child, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if running.child.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(60) {
                return Err(Error::other("it does not listen"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let reply = one(address, row)?;
        Ok((running, reply))
    }

    /// Sends a signal to all its processes.
    fn signal(&self, name: &str) -> Result<()> {
        let group = format!("-{}", self.child.id());
        match Command::new("kill").args([name, "--", &group]).status()?.success() {
            true => Ok(()),
            false => Err(Error::other(format!("kill {name} failed"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.signal("-KILL");
        let _ = self.child.wait();
    }
}

/// What was measured: a line per server, with the rounds of each.
pub struct Compared {
    servers: Vec<(&'static str, Vec<Load>)>,
    /// Servers that did not take part, and why.
    pub missing: Vec<String>,
}

impl Compared {
    /// Requests per second and latencies, medians over rounds; ratios to ours within each round.
    pub fn table(&self) -> Table {
        let mut table = Table::new(
            "One row of 28 features, 32 connections",
            &["<server", "requests/s", "p50 ms", "p99 ms", "ours / it, requests/s", "its p99 / ours"],
        );
        let ours = &self.servers[0].1;
        for (name, loads) in &self.servers {
            let over = |pick: &dyn Fn(&Load) -> f64| median(&loads.iter().map(pick).collect::<Vec<_>>());
            let ratio = |pick: &dyn Fn(&Load, &Load) -> f64| {
                median(&ours.iter().zip(loads).map(|(ours, its)| pick(ours, its)).collect::<Vec<_>>())
            };
            table.push([
                (*name).to_owned(),
                format!("{:.0}", over(&|load| load.per_second)),
                format!("{:.2}", 1e3 * over(&|load| load.quantile(0.5))),
                format!("{:.2}", 1e3 * over(&|load| load.quantile(0.99))),
                format!("{:.2}", ratio(&|ours, its| ours.per_second / its.per_second)),
                format!("{:.2}", ratio(&|ours, its| its.quantile(0.99) / ours.quantile(0.99))),
            ]);
        }
        table
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

fn succeed(command: &mut Command) -> Result<()> {
    match command.stdout(Stdio::null()).status()?.success() {
        true => Ok(()),
        false => Err(Error::other(format!("failed: {command:?}"))),
    }
}

/// The Python of an environment with what `serve.txt` names, made where it is not there.
fn environment(folder: &Path) -> Result<PathBuf> {
    let (environment, done) = (folder.join("python"), folder.join("python/installed"));
    let python = environment.join("bin/python");
    let wanted = std::fs::read(scripts().join("serve.txt"))?;
    if std::fs::read(&done).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    let system = std::env::var_os("TILEWISE_PYTHON").unwrap_or_else(|| "python3".into());
    succeed(Command::new(system).args(["-m", "venv", "--clear"]).arg(&environment))?;
    let install = ["-m", "pip", "install", "--quiet", "-r"];
    succeed(Command::new(&python).args(install).arg(scripts().join("serve.txt")))?;
    std::fs::write(done, wanted)?;
    Ok(python)
}

/// Compares all; `tell` hears what goes on.
///
/// # Errors
/// When the model cannot be trained, or our own server fails or disagrees with a peer that predicts.
pub fn run(options: &Options, tell: impl Fn(&str)) -> Result<Compared> {
    let folder = options.target.join("compare/serve");
    std::fs::create_dir_all(&folder)?;
    tell("preparing the environment and the model");
    let (python, model) = (environment(&folder)?, folder.join("model.txt"));
    succeed(Command::new(&python).arg(scripts().join("serve_peer.py")).arg("train").arg(&model))?;
    let cells: Vec<_> =
        (0..FEATURES).map(|i| format!("\"feature_{i}\":{}", f64::from(i as u32) * 0.137 - 1.9)).collect();
    let row = request(&format!("{{{}}}", cells.join(",")));
    let (mut running, mut missing, mut expected) = (Vec::new(), Vec::new(), None);
    for peer in PEERS {
        tell(&format!("starting {}", peer.name));
        let outcome = Running::start(peer, &python, &model, &row).and_then(|(server, reply)| {
            server.signal("-STOP")?;
            let reply: serde_json::Value = serde_json::from_slice(&reply)?;
            let answer = reply["prediction"].as_f64().ok_or_else(|| Error::other("no prediction"))?;
            let predicts = !matches!(peer.kind, Kind::Ours(_, false));
            let agreed = *expected.get_or_insert(answer);
            match predicts && (answer - agreed).abs() > TOLERANCE * agreed.abs().max(1.0) {
                true => Err(Error::other(format!("it answers {answer} where ours answers {agreed}"))),
                false => Ok(server),
            }
        });
        match outcome {
            Ok(server) => running.push((peer.name, server, Vec::new())),
            Err(error) if running.is_empty() => return Err(error),
            Err(error) => missing.push(format!("{}: {error}", peer.name)),
        }
    }
    for round in 1..=options.rounds {
        for (name, server, loads) in &mut running {
            tell(&format!("round {round}: {name}"));
            server.signal("-CONT")?;
            let warm = options.time / 4;
            loads.push(load(server.address, &row, CONNECTIONS, warm, options.time)?);
            server.signal("-STOP")?;
        }
    }
    let servers = running.into_iter().map(|(name, _, loads)| (name, loads)).collect();
    Ok(Compared { servers, missing })
}
