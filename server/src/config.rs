//! Every setting of a server, with its default.

use crate::error::{Error, Result};
use crate::successor::Successor;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// The port when an address names none, as in gunicorn.
const DEFAULT_PORT: u16 = 8000;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A TCP address; port 0 takes a free one (see [`crate::Handle::address`]).
    Tcp(SocketAddr),
    /// A Unix socket, whose file is made with the rights that the process's umask leaves, and removed at the end. One that
    /// nobody listens on any more is replaced.
    Unix(PathBuf),
    /// The standard input, which is a listening TCP or Unix socket: whoever started the process listens on it.
    Inherited,
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// As [`parse_bind`] reads it.
impl fmt::Display for Bind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
            Self::Inherited => out.write_str("fd://0"),
        }
    }
}

/// Every setting of a server. `..Config::default()` fills the rest.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub bind: Bind,
    /// Threads that hold connections and predict small requests; 0 is one per core but one, which
    /// is left to the system and whatever else runs. What gunicorn's `-w` means, without its processes:
    /// workers share the models.
    pub workers: usize,
    /// Threads for large requests; 0 is as many as workers.
    pub compute_threads: usize,
    /// Bodies up to this many bytes are read and predicted by the worker itself.
    pub inline_bytes: usize,
    /// Of those, requests up to this many cells (rows times inputs). Models that take long are noticed by themselves ([`Config::inline_time`]).
    pub inline_cells: usize,
    /// How long a prediction may take the worker itself, as measured; what takes longer waits for another thread.
    pub inline_time: Duration,
    /// Rows that may wait for a model; beyond it 503. Those of large bodies are not known before they are read.
    pub queue_rows: usize,
    /// Bytes that may wait for a model, of large bodies and of cells; beyond it 503.
    pub queue_bytes: usize,
    /// How long a request may be expected to wait for its turn; beyond it 503 at once. A request can ask for less.
    pub queue_time: Duration,
    /// Largest body in bytes; beyond it 413.
    pub max_body: usize,
    /// Bytes of large bodies, and of large replies until they are read, in memory at a time, over all connections; beyond it no
    /// further large body is read and nothing is predicted whose reply may be large: that is refused with 503, and with 413 if it
    /// could never be.
    pub max_waiting: usize,
    /// Largest request line and headers in bytes (at least 8192); beyond it 431.
    pub max_head: usize,
    /// Header lines in a request; beyond it 431.
    pub max_headers: usize,
    /// Names of models at a time, failed ones included; a model beyond it is not loaded.
    pub max_models: usize,
    /// Whether `POST /v2/repository/models/{name}/load` and `unload` are carried out, or refused with 403.
    pub admin: bool,
    /// Connections at a time; beyond it 503 and a close.
    pub max_connections: usize,
    /// Connections that the system holds until they are accepted.
    pub backlog: u32,
    /// From the first byte of a request to the end of its headers; beyond it 408.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body; beyond it 408.
    pub body_timeout: Duration,
    /// How long a client may take to read the next 64 KiB of a reply, or its rest; beyond it a reset.
    pub write_timeout: Duration,
    /// How long a connection may stay without a request; beyond it a close.
    pub keep_alive: Duration,
    /// How long, and for how many bytes, the rest of a refused request is read away so that the reply arrives.
    pub linger: Duration,
    /// See [`Config::linger`].
    pub linger_bytes: usize,
    /// How long a drain waits for what is in flight.
    pub grace: Duration,
    /// How long a drain keeps connections without a request open, for a request that is under way on them.
    pub idle_grace: Duration,
    /// Whether SIGTERM and SIGINT drain, and a second one stops at once, as SIGQUIT does; SIGHUP reloads models, SIGUSR1 opens
    /// the access log anew, SIGTTIN and SIGTTOU start and retire a worker, SIGUSR2 starts the [`Config::successor`].
    pub signals: bool,
    /// The file to which a line per request is added, as gunicorn does with `--access-logfile`; `-` is the standard
    /// output. SIGUSR1 opens it anew (with [`Config::signals`]), after it was moved away.
    pub access_log: Option<PathBuf>,
    /// Requests after which the server drains and ends, for a supervisor that starts it again; 0 is never. What gunicorn's
    /// `--max-requests` does to a worker.
    pub max_requests: u64,
    /// The file that holds the number of the process while it listens; refused where the
    /// file holds the number of another process that runs.
    pub pid_file: Option<PathBuf>,
    /// What SIGUSR2 starts, to take over.
    pub successor: Option<Successor>,
    /// The socket on which systemd wants to hear when the server is ready and when it ends: its `NOTIFY_SOCKET`.
    pub notify: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT))),
            workers: 0,
            compute_threads: 0,
            inline_bytes: 32 * 1024,
            // Some 50 microseconds of reading JSON, against which the hop to another thread costs little.
            inline_cells: 1024,
            // What a hop to another thread and back costs some five times over.
            inline_time: Duration::from_micros(150),
            queue_rows: 16 * 1024,
            queue_bytes: 64 * 1024 * 1024,
            queue_time: Duration::from_secs(5),
            max_body: 16 * 1024 * 1024,
            max_waiting: 256 * 1024 * 1024,
            max_head: 16 * 1024,
            max_headers: 100,
            max_models: 256,
            admin: false,
            max_connections: 4096,
            backlog: 2048,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            linger: Duration::from_secs(1),
            linger_bytes: 1024 * 1024,
            grace: Duration::from_secs(30),
            idle_grace: Duration::from_secs(1),
            signals: false,
            access_log: None,
            max_requests: 0,
            pid_file: None,
            successor: None,
            notify: None,
        }
    }
}

impl Config {
    /// Workers, as a number of threads.
    pub fn worker_threads(&self) -> usize {
        match self.workers {
            // With a client beside it on two cores, one worker answered 130,000 requests a second within 1.6 ms (99 %),
            // two workers 90,000 within 3.6 ms. Where clients are elsewhere, as many workers as cores may answer more.
            0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1)),
            n => n,
        }
    }

    /// Threads for large requests, as a number.
    pub(crate) fn threads_for_large(&self) -> usize {
        if self.compute_threads > 0 { self.compute_threads } else { self.worker_threads() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let at_least = |name, value: usize, least: usize, accepted| {
            if value >= least {
                Ok(())
            } else {
                Err(Error::Setting { name, value: value.to_string(), accepted })
            }
        };
        if self.workers > 1024 || self.compute_threads > 1024 {
            let value = self.workers.max(self.compute_threads).to_string();
            return Err(Error::Setting { name: "workers", value, accepted: "0 to 1024 threads are" });
        }
        at_least("max_head", self.max_head, 8192, "8192 bytes or more are")?;
        at_least("max_headers", self.max_headers, 1, "1 or more are")?;
        at_least("max_body", self.max_body, 1, "1 byte or more is")?;
        at_least("max_models", self.max_models, 1, "1 or more are")?;
        at_least("max_connections", self.max_connections, 1, "1 or more are")?;
        for (name, value) in [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
            ("keep_alive", self.keep_alive),
        ] {
            if value.is_zero() {
                return Err(Error::Setting { name, value: "0".into(), accepted: "a time above zero is" });
            }
        }
        Ok(())
    }
}

/// Reads an address as gunicorn's `-b` takes it: `HOST:PORT`, `HOST` (port 8000), `:PORT` (all interfaces) or
/// `[IPV6]:PORT`, a host name being looked up; `unix:PATH`; and, of descriptors, `fd://0`, a listening socket as the standard
/// input.
///
/// ```
/// use tilewise_server::{Bind, parse_bind};
/// assert_eq!(parse_bind("127.0.0.1").unwrap().to_string(), "127.0.0.1:8000");
/// assert_eq!(parse_bind("unix:/run/t.sock").unwrap(), Bind::Unix("/run/t.sock".into()));
/// assert_eq!(parse_bind(":9000").unwrap().to_string(), "0.0.0.0:9000");
/// assert!(parse_bind("127.0.0.1:port").is_err() && parse_bind("unix://").is_err());
/// ```
///
/// # Errors
/// When the text is not an address, or the name is not known.
pub fn parse_bind(text: &str) -> Result<Bind> {
    let refuse = |what: &str| Error::Address { address: text.into(), what: what.into() };
    // Two slashes are those of a URL.
    let unix = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
    match (unix, text) {
        (Some(""), _) => return Err(refuse("the path is empty")),
        (Some(path), _) => return Ok(Bind::Unix(path.into())),
        (None, "fd://0") => return Ok(Bind::Inherited),
        (None, text) if text.starts_with("fd://") => {
            return Err(refuse("of inherited descriptors only the standard input is accepted"));
        }
        _ => {}
    }
    if let Ok(address) = text.parse() {
        return Ok(Bind::Tcp(address));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().map_err(|_| refuse("the port is not a number up to 65535"))?)
        }
        _ => (text, DEFAULT_PORT),
    };
    let host = match host.trim_start_matches('[').trim_end_matches(']') {
        "" => "0.0.0.0",
        host => host,
    };
    let mut found = (host, port).to_socket_addrs().map_err(|e| refuse(&e.to_string()))?;
    found.next().map(Bind::Tcp).ok_or_else(|| refuse("the name has no address"))
}
