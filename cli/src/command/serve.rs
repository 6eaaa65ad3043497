//! `tilewise serve`: models behind an address.

use crate::failure::{Failure, note};
use crate::output;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tilewise_base::error::listed;
use tilewise_base::{Kind, Model};
use tilewise_server::{Bind, Config, End, Handle, Repository, Successor, parse_bind, start_repository};

const EXAMPLES: &str = "\
Examples:
  tilewise serve m.safetensors
  tilewise serve -b :8080 -w 4 income=adult.safetensors prices=houses.safetensors
  tilewise serve m.safetensors --access-log --max-body 64M
  tilewise serve --repository models --reload-every 10
  tilewise serve -b unix:/run/tilewise.sock m.safetensors

A repository holds a folder per model, in it a folder per version (1, 2 ...), in it the model's file. SIGHUP loads what has
changed in it, and files that have changed; what cannot be loaded leaves the old model in service.
SIGUSR1 opens the access log anew. SIGTTIN and SIGTTOU make it one worker more and one fewer.
SIGUSR2 starts this program's file again, with the same arguments, on the same socket: both answer, until one is told to end.
SIGTERM or Ctrl-C lets what was accepted be answered and then ends with exit code 0; a second one, or SIGQUIT, ends at once.";

/// A successor is told by this variable to listen on its standard input.
const LISTENER: (&str, &str) = ("TILEWISE_LISTENER", "stdin");

/// Columns up to which the example names them; more are shown as an array.
const NAMED_COLUMNS: usize = 16;

/// How long the last line may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Answer requests for predictions over HTTP
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    /// Model files, ours, those of LightGBM, XGBoost and CatBoost, or networks as ONNX; a model is called by its file's name without the ending, or by NAME
    #[arg(value_name = "[NAME=]FILE", required_unless_present = "repository")]
    models: Vec<String>,
    /// Folder of models: NAME/VERSION/FILE
    #[arg(long, value_name = "FOLDER")]
    repository: Option<PathBuf>,
    /// Versions of each model of the repository that are served, the latest; 0 is all
    #[arg(long, value_name = "N", default_value_t = 0)]
    versions: usize,
    /// Seconds after which files are looked at again and again; by default only when told to
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    reload_every: Option<Duration>,
    /// Carry out requests to load and unload models (POST /v2/repository/models/NAME/load)
    #[arg(long)]
    admin: bool,
    /// Map the files, which are of Tilewise's models and which nobody may write to (chmod a-w; replaced by mv alone), in place of reading them:
    /// processes share their trees, and large batches take longer
    #[arg(long)]
    mmap: bool,
    /// Address to listen on: HOST:PORT, HOST or :PORT; port 0 takes a free one; unix:PATH; fd://0 for a socket as standard input
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    bind: String,
    /// Threads that answer requests; 0 is one per core but one
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    workers: usize,
    /// Threads for large requests; 0 is as many as workers
    #[arg(long, value_name = "N", default_value_t = 0)]
    compute_threads: usize,
    /// Cells (rows times columns) up to which a request is predicted by the worker itself; models that take long are noticed
    #[arg(long, value_name = "N", default_value_t = Config::default().inline_cells)]
    inline_cells: usize,
    /// Largest body in bytes, or with K, M or G
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "16M")]
    max_body: usize,
    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = Config::default().max_connections)]
    max_connections: usize,
    /// Names of models at a time; more are not loaded
    #[arg(long, value_name = "N", default_value_t = Config::default().max_models)]
    max_models: usize,
    /// Seconds within which a request's headers must arrive
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    header_timeout: Duration,
    /// Seconds within which a request's body must arrive
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    body_timeout: Duration,
    /// Seconds that a connection may stay without a request
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "75")]
    keep_alive: Duration,
    /// Seconds that SIGTERM waits for requests under way
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    graceful_timeout: Duration,
    /// Write a line per request to stdout, or add it to a file; SIGUSR1 opens that anew
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    access_log: Option<PathBuf>,
    /// Seconds that a request may be expected to wait for its turn; it is refused at once with 503 if it would be more
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    queue_time: Duration,
    /// Rows that may wait for a model
    #[arg(long, value_name = "N", default_value_t = Config::default().queue_rows)]
    queue_rows: usize,
    /// Requests after which the server ends as on SIGTERM, for a supervisor that starts it again; 0 is never
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_requests: u64,
    /// Write the number of the process to a file while it listens
    #[arg(short, long, value_name = "FILE")]
    pid: Option<PathBuf>,
    /// Load the models, tell what would be served, and end
    #[arg(long)]
    check_config: bool,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let told = |e: tilewise_server::Error| Failure::Told(e.to_string());
        let bind = match std::env::var_os(LISTENER.0) {
            Some(listener) if listener == LISTENER.1 => Bind::Inherited,
            _ => parse_bind(&self.bind).map_err(told)?,
        };
        let config = Config {
            bind,
            workers: self.workers,
            compute_threads: self.compute_threads,
            inline_cells: self.inline_cells,
            max_body: self.max_body,
            max_connections: self.max_connections,
            max_models: self.max_models,
            header_timeout: self.header_timeout,
            body_timeout: self.body_timeout,
            keep_alive: self.keep_alive,
            grace: self.graceful_timeout,
            access_log: self.access_log.clone(),
            queue_time: self.queue_time,
            queue_rows: self.queue_rows,
            max_requests: self.max_requests,
            pid_file: self.pid.clone(),
            // The file of now: when it is replaced, what is running is no longer found by that name.
            successor: std::env::current_exe().ok().map(|program| Successor {
                program,
                arguments: std::env::args_os().skip(1).collect(),
                variable: (LISTENER.0.into(), LISTENER.1.into()),
            }),
            // Set by systemd for services of Type=notify.
            notify: std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from),
            admin: self.admin,
            signals: true,
            ..Config::default()
        };
        let is_mapped = self.mmap;
        let loader = move |path: &Path| {
            let model = if is_mapped { tilewise_models::map(path) } else { tilewise_models::load(path) };
            model.map(Arc::from).map_err(|e| e.to_string())
        };
        let named = |argument: &String| {
            let (name, path) = name_and_path(argument);
            (name, PathBuf::from(path))
        };
        let repository = Repository {
            files: self.models.iter().map(named).collect(),
            folder: self.repository.clone(),
            newest: self.versions,
            every: self.reload_every,
            notice: Arc::new(|line| note("models", line)),
            ..Repository::new(Arc::new(loader))
        };
        let workers = config.worker_threads();
        if self.check_config {
            let models = tilewise_server::check(&config, repository).map_err(told)?;
            let lines = models.iter().map(|(name, model)| format!("{name}: {} model\n", model.kind()));
            return output::print(&lines.chain(["the configuration is fine\n".into()]).collect::<String>());
        }
        let server = start_repository(config, repository).map_err(told)?;
        let models = server.models();
        let (listens, url) = addresses(&server);
        let mut text = format!("listening on {listens}, workers: {workers}\n");
        for (name, model) in &models {
            let path = if models.len() == 1 { String::new() } else { format!("/{name}") };
            let of = match &model.targets()[..] {
                [] => String::new(),
                targets => format!(" of {}", output::printable(&listed(targets))),
            };
            text += &format!("{name}: {} model{of}; try\n", model.kind());
            text += &format!("  curl {url}/predict{path} -d '{}'\n", example(&**model));
        }
        output::print(&text)?;
        // Or a model would stay in memory when another has taken its place.
        drop(models);
        let end = server.join();
        // Whoever holds the other end of stderr may not read it: the process ends all the same.
        std::thread::spawn(move || {
            std::thread::sleep(LAST_WORDS);
            std::process::exit(i32::from(end != End::Drained));
        });
        match end {
            End::Drained => {
                note("note", "everything that was accepted is answered");
                Ok(())
            }
            End::Cut { connections } => Err(Failure::Told(format!(
                "{connections} connections were cut off after {} s",
                self.graceful_timeout.as_secs_f64()
            ))),
            _ => Err(Failure::Told("stopped before everything was answered".into())),
        }
    }
}

/// Where a server listens, and what `curl` is told to reach it.
fn addresses(server: &Handle) -> (String, String) {
    let Some(mut address) = server.address() else {
        let socket = match server.bound() {
            Bind::Unix(path) => path.display().to_string(),
            other => other.to_string(),
        };
        return (server.bound().to_string(), format!("--unix-socket '{socket}' http://localhost"));
    };
    let listens = format!("http://{address}");
    if address.ip().is_unspecified() {
        address.set_ip(match address.is_ipv4() {
            true => [127, 0, 0, 1].into(),
            false => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    (listens, format!("http://{address}"))
}

/// `NAME=FILE`, or a file whose name without ending is the model's. What stands before `=` is a name unless it has
/// separators.
fn name_and_path(argument: &str) -> (String, &str) {
    match argument.split_once('=') {
        Some((name, path)) if !name.contains(['/', '\\']) => (name.to_owned(), path),
        _ => (Path::new(argument).file_stem().unwrap_or_default().to_string_lossy().into_owned(), argument),
    }
}

/// A row that the model accepts, as JSON that a shell takes in single quotes.
fn example(model: &dyn Model) -> String {
    let cell = |kind: &Kind| match kind {
        Kind::Numeric => "0".to_owned(),
        Kind::Boolean => "true".to_owned(),
        Kind::Categorical { dictionary } => dictionary.first().map_or("null".to_owned(), |text| quoted(text)),
    };
    let named = model.inputs().len() <= NAMED_COLUMNS;
    let inputs = model.inputs().iter().map(|field| (&field.name[..], cell(&field.kind)));
    let offset = model.offset().map(|name| (name, cell(&Kind::Numeric)));
    let cells: Vec<String> = inputs
        .chain(offset)
        .map(|(name, cell)| if named { format!("{}: {cell}", quoted(name)) } else { cell })
        .collect();
    let (open, close) = if named { ("{", "}") } else { ("[", "]") };
    format!("{open}{}{close}", cells.join(", "))
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // A single quote would end the shell's; control characters would reach the terminal.
            '\'' => out += "\\u0027",
            c if c.is_control() => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out + "\""
}

fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let number = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
    number.ok_or_else(|| "a number of bytes, or one with K, M or G, is accepted".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    seconds.ok_or_else(|| "a number of seconds is accepted".to_owned())
}
