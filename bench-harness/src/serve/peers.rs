//! The servers that are compared, and how each is started.

use super::connection::one;
use super::python::{package, scripts};
use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The same sum of the same leaves, added in another order.
const TOLERANCE: f64 = 1e-12;

/// ONNX holds thresholds and leaves in 32 bits, and its runtime adds 100 of them.
const ONNX_TOLERANCE: f64 = 1e-4;

/// The longest start; BentoML and MLServer need several seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Lines about requests that a log may have.
const SOME_LINES: usize = 100;

/// A server that is compared.
pub(super) struct Peer {
    pub(super) name: &'static str,
    start: Start,
    /// How a row is asked for.
    form: Form,
    /// How far its answer may be from ours; none for those that predict nothing.
    tolerance: Option<f64>,
}

enum Start {
    /// Of this program: the form.
    Ours(&'static str),
    /// An environment, a program of it, its arguments, and what the environment's variables are set to.
    Python(&'static str, &'static str, &'static [&'static str], &'static [(&'static str, &'static str)]),
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// An object by name; the answer's key is `prediction`.
    Row,
    /// The same in an object with the key `row`.
    Wrapped,
    /// A tensor of the Open Inference Protocol.
    Tensor,
}

/// How uvicorn is told to serve from two processes.
const TWO_WORKERS: &[&str] =
    &["--host", "HOST", "--port", "PORT", "--no-access-log", "--workers", "2", "serve_peer:fastapi_app"];

/// The first is ours, to which the others are compared; the next two predict nothing.
pub(super) const PEERS: &[Peer] = &[
    Peer {
        name: "tilewise serve -w 1",
        start: Start::Ours("ours"),
        form: Form::Row,
        tolerance: Some(TOLERANCE),
    },
    Peer { name: "bare hyper, to a Value", start: Start::Ours("value"), form: Form::Row, tolerance: None },
    Peer { name: "bare hyper, echo", start: Start::Ours("echo"), form: Form::Row, tolerance: None },
    Peer {
        name: "gunicorn -w 4 + Flask",
        // A worker that was stopped for others' turns must not be taken for dead.
        start: Start::Python(
            "serve",
            "gunicorn",
            &["-w", "4", "--timeout", "0", "-b", "HOST:PORT", "serve_peer:flask_app"],
            &[("TILEWISE_SERVICE", "flask")],
        ),
        form: Form::Row,
        tolerance: Some(TOLERANCE),
    },
    Peer {
        // What the package has as an example.
        name: "gunicorn -w 4 + Flask + Tilewise",
        start: Start::Python(
            "serve",
            "gunicorn",
            &["--preload", "--chdir", "EXAMPLES", "-w", "4", "--timeout", "0", "-b", "HOST:PORT", "wsgi:app"],
            &[("PYTHONPATH", "PACKAGE")],
        ),
        form: Form::Row,
        tolerance: Some(TOLERANCE),
    },
    Peer {
        name: "granian -w 2 + FastAPI",
        start: Start::Python(
            "serve",
            "granian",
            &[
                "--interface",
                "asgi",
                "--workers",
                "2",
                "--host",
                "HOST",
                "--port",
                "PORT",
                "serve_peer:fastapi_app",
            ],
            &[("TILEWISE_SERVICE", "fastapi")],
        ),
        form: Form::Row,
        tolerance: Some(TOLERANCE),
    },
    Peer {
        name: "uvicorn + FastAPI",
        start: Start::Python(
            "serve",
            "uvicorn",
            &["--host", "HOST", "--port", "PORT", "--no-access-log", "serve_peer:fastapi_app"],
            &[("TILEWISE_SERVICE", "fastapi")],
        ),
        form: Form::Row,
        tolerance: Some(TOLERANCE),
    },
    Peer {
        name: "uvicorn -w 2 + FastAPI",
        start: Start::Python("serve", "uvicorn", TWO_WORKERS, &[("TILEWISE_SERVICE", "fastapi")]),
        form: Form::Row,
        tolerance: Some(TOLERANCE),
    },
    Peer {
        name: "uvicorn -w 2 + ONNX Runtime",
        start: Start::Python("serve", "uvicorn", TWO_WORKERS, &[("TILEWISE_SERVICE", "onnx")]),
        form: Form::Row,
        tolerance: Some(ONNX_TOLERANCE),
    },
    Peer {
        name: "MLServer",
        start: Start::Python(
            "serve_mlserver",
            "mlserver",
            &["start", "FOLDER/mlserver"],
            &[
                ("MLSERVER_HOST", "HOST"),
                ("MLSERVER_HTTP_PORT", "PORT"),
                ("MLSERVER_GRPC_PORT", "FREE"),
                ("MLSERVER_METRICS_PORT", "FREE"),
                // The model in the process that answers: a process of its own behind a queue is slower for one row.
                ("MLSERVER_PARALLEL_WORKERS", "0"),
                ("MLSERVER_DEBUG", "false"),
            ],
        ),
        form: Form::Tensor,
        tolerance: Some(TOLERANCE),
    },
    Peer {
        name: "BentoML, 2 workers",
        start: Start::Python(
            "serve_bentoml",
            "bentoml",
            &["serve", "serve_bento:Peer", "--host", "HOST", "--port", "PORT"],
            &[("BENTOML_DO_NOT_TRACK", "True")],
        ),
        form: Form::Wrapped,
        tolerance: Some(TOLERANCE),
    },
];

impl Peer {
    pub(super) fn predicts(&self) -> bool {
        self.tolerance.is_some()
    }

    /// The environment that it needs.
    pub(super) fn environment(&self) -> Option<&'static str> {
        match self.start {
            Start::Ours(_) => None,
            Start::Python(environment, ..) => Some(environment),
        }
    }

    /// The request for the prediction of a row.
    pub(super) fn request(&self, row: &[f64]) -> Vec<u8> {
        let named = || -> serde_json::Value {
            row.iter()
                .enumerate()
                .map(|(i, x)| (format!("feature_{i}"), (*x).into()))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let (path, body) = match self.form {
            Form::Row => ("/predict", named()),
            Form::Wrapped => ("/predict", serde_json::json!({"row": named()})),
            Form::Tensor => (
                "/v2/models/m/infer",
                serde_json::json!({"inputs": [
                    {"name": "rows", "shape": [1, row.len()], "datatype": "FP64", "data": row},
                ]}),
            ),
        };
        request(path, "", body.to_string().as_bytes())
    }

    /// Whether the reply is right: what ours answers, or 200 from those that predict nothing.
    pub(super) fn check(&self, (status, body): (u16, Vec<u8>), expected: f64) -> Result<()> {
        let text = || String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        if status != 200 {
            return Err(Error::other(format!("it answers {status}: {}", text())));
        }
        let Some(tolerance) = self.tolerance else { return Ok(()) };
        let reply: serde_json::Value = serde_json::from_slice(&body)?;
        let answer = match self.form {
            Form::Row | Form::Wrapped => &reply["prediction"],
            Form::Tensor => &reply["outputs"][0]["data"][0],
        };
        let answer = answer.as_f64().ok_or_else(|| Error::other(format!("no prediction in {}", text())))?;
        match (answer - expected).abs() <= tolerance * expected.abs().max(1.0) {
            true => Ok(()),
            false => Err(Error::other(format!("it answers {answer} where the model says {expected}"))),
        }
    }
}

/// The bytes of a request; `headers` are whole lines.
pub(super) fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A port that nobody has now.
fn free() -> Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A server that runs, in processes of its own; killed when dropped.
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
    /// The file with what it has written.
    log: PathBuf,
}

impl Running {
    /// Starts `peer` and waits until it listens. `folder` holds models and environments, `programs` the environments' programs.
    pub(super) fn start(
        peer: &Peer,
        folder: &Path,
        programs: &BTreeMap<&str, PathBuf>,
        model: &Path,
    ) -> Result<Self> {
        let address = free()?;
        match peer.start {
            Start::Ours(form) => Self::ours(form, model),
            Start::Python(environment, program, arguments, variables) => {
                let fill = |text: &str| -> Result<String> {
                    match text {
                        "FREE" => return Ok(free()?.port().to_string()),
                        "PACKAGE" => return Ok(package()?.to_string_lossy().into_owned()),
                        _ => {}
                    }
                    Ok(text
                        .replace("HOST", &address.ip().to_string())
                        .replace("PORT", &address.port().to_string())
                        .replace("FOLDER", &folder.to_string_lossy())
                        .replace("EXAMPLES", &scripts().join("../../python/examples").to_string_lossy()))
                };
                let mut command = Command::new(programs[environment].join(program));
                for argument in arguments {
                    command.arg(fill(argument)?);
                }
                for (name, value) in variables {
                    command.env(name, fill(value)?);
                }
                command.current_dir(scripts()).env("TILEWISE_MODEL", model).env("OMP_NUM_THREADS", "1");
                Self::spawn(command, address, &folder.join(format!("{program}.log")))
            }
        }
    }

    /// Starts a server of this program.
    pub(super) fn ours(form: &str, model: &Path) -> Result<Self> {
        let address = free()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve-worker", form]).arg(model).arg(address.to_string());
        Self::spawn(command, address, Path::new("/dev/null"))
    }

    fn spawn(mut command: Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut running = Self { child: command.spawn()?, address, log: log.to_owned() };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if running.child.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                return Err(Error::other("it does not listen"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(running)
    }

    /// Its answer, once it gives one: some listen before they can.
    pub(super) fn first(&self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        let start = Instant::now();
        loop {
            match one(self.address, request) {
                Ok(reply) if reply.0 == 200 || start.elapsed() > PATIENCE => return Ok(reply),
                Err(e) if start.elapsed() > PATIENCE => return Err(e),
                _ => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// An error where it has written a line for each request, which the others do not: it would be slower for that.
    pub(super) fn logs_nothing(&self) -> Result<()> {
        match access_lines(&std::fs::read_to_string(&self.log)?) {
            // A request that came before it was ready may be told as a failure.
            0..SOME_LINES => Ok(()),
            lines => Err(Error::other(format!("its access log is on: {lines} lines of requests"))),
        }
    }

    /// Sends a signal to all its processes, wherever they have moved.
    pub(super) fn signal(&self, name: &str) -> Result<()> {
        let processes = family(self.child.id(), &Process::all()?);
        let numbers = processes.iter().map(|process| process.number.to_string());
        match Command::new("kill").arg(name).arg("--").args(numbers).stderr(Stdio::null()).status()?.success()
        {
            true => Ok(()),
            false => Err(Error::other(format!("kill {name} failed"))),
        }
    }

    /// Seconds of processors that its processes have used, and their memory in bytes.
    pub(super) fn used(&self) -> Result<(f64, f64)> {
        let processes = family(self.child.id(), &Process::all()?);
        let sum = |pick: &dyn Fn(&Process) -> f64| processes.iter().map(pick).sum();
        Ok((sum(&|process| process.seconds), sum(&|process| process.bytes)))
    }
}

/// Lines that name the paths of predictions.
fn access_lines(log: &str) -> usize {
    log.lines().filter(|line| line.contains("/predict") || line.contains("/infer")).count()
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.signal("-KILL");
        let _ = self.child.wait();
    }
}

/// A process of this machine.
#[derive(Clone, Debug, PartialEq)]
struct Process {
    number: u32,
    parent: u32,
    /// Of processors.
    seconds: f64,
    /// In memory.
    bytes: f64,
}

impl Process {
    fn all() -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            // Gone in between, or no process.
            let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
            all.extend(Self::parse(&stat));
        }
        Ok(all)
    }

    /// From the text of `/proc/PID/stat`: fields 1, 4, 14, 15 and 24, the clock in hundredths (USER_HZ), the memory in
    /// pages of 4 KiB.
    fn parse(stat: &str) -> Option<Self> {
        // The name in parentheses may hold spaces.
        let (number, fields) = (stat.split(' ').next()?.parse().ok()?, stat.rsplit_once(") ")?.1);
        let fields: Vec<&str> = fields.split(' ').collect();
        let field = |field: usize| fields.get(field - 3)?.trim().parse::<f64>().ok();
        let seconds = (field(14)? + field(15)?) / 100.0;
        Some(Self { number, parent: fields.get(1)?.parse().ok()?, seconds, bytes: field(24)? * 4096.0 })
    }
}

/// A process and all that descend from it.
fn family(first: u32, all: &[Process]) -> Vec<Process> {
    let mut family: Vec<Process> = all.iter().filter(|process| process.number == first).cloned().collect();
    let mut looked = 0;
    while let Some(parent) = family.get(looked).map(|process| process.number) {
        family.extend(all.iter().filter(|process| process.parent == parent).cloned());
        looked += 1;
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_read_behind_strange_names() {
        let stat = "17 (a b) c) S 1 42 42 0 -1 4194560 2018 0 0 0 250 50 0 0 20 0 3 0 1158 363520000 1000 18446744073709551615";
        let expected = Process { number: 17, parent: 1, seconds: 3.0, bytes: 4_096_000.0 };
        assert_eq!(Process::parse(stat), Some(expected));
        assert_eq!(Process::parse("17 (a)"), None);
    }

    #[test]
    fn a_family_is_all_that_descends() {
        let process = |number, parent| Process { number, parent, seconds: 0.0, bytes: 0.0 };
        let all = [process(1, 0), process(5, 2), process(2, 1), process(3, 1), process(4, 2), process(6, 5)];
        let numbers = |first| family(first, &all).iter().map(|process| process.number).collect::<Vec<_>>();
        assert_eq!(numbers(2), [2, 5, 4, 6]);
        assert_eq!((numbers(3), numbers(9)), (vec![3], vec![]));
    }

    #[test]
    fn access_logs_are_noticed() {
        let quiet = "INFO Application startup complete.\nINFO GET /v2/health/ready\n";
        assert_eq!(access_lines(quiet), 0);
        let gunicorn = "127.0.0.1 - - [27/Nov/2026:11:50:00 +0000] \"POST /predict HTTP/1.1\" 200 31\n";
        let bento =
            "[INFO] [entry_service:Peer:1] 127.0.0.1:5 (scheme=http,method=POST,path=/predict,length=15)\n";
        let mlserver = "INFO: 127.0.0.1:4 - \"POST /v2/models/m/infer HTTP/1.1\" 200 OK\n";
        assert_eq!(access_lines(&[quiet, gunicorn, bento, mlserver].concat()), 3);
    }

    #[test]
    fn answers_are_checked() {
        let reply = |status, body: &str| (status, body.as_bytes().to_vec());
        let (ours, echo) = (&PEERS[0], &PEERS[2]);
        assert!(ours.check(reply(200, "{\"prediction\":1.5}"), 1.5).is_ok());
        assert!(ours.check(reply(200, "{\"prediction\":1.5001}"), 1.5).is_err());
        assert!(ours.check(reply(500, "{\"prediction\":1.5}"), 1.5).is_err());
        assert!(ours.check(reply(200, "{}"), 1.5).is_err());
        assert!(echo.check(reply(200, "{}"), 1.5).is_ok());
    }
}
