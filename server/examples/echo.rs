//! What the machine can do at best, to compare the server with in the same run, and the server itself on a made-up
//! logistic model of 30 columns:
//!
//! ```text
//! cargo run --release -p tilewise-server --example echo -- bare   127.0.0.1:9001 1   # hyper, the body comes back
//! cargo run --release -p tilewise-server --example echo -- value  127.0.0.1:9001 1   # the same, parsed to a Value
//! cargo run --release -p tilewise-server --example echo -- serve  127.0.0.1:9001 1   # this server
//! cargo run --release -p tilewise-server --example echo -- script > post.lua         # a request for wrk
//! wrk -t1 -c32 -d5 --latency -s post.lua http://127.0.0.1:9001/predict
//! ```
//!
//! The last argument is the number of workers. The first two have none of the server's limits: they are the distance
//! to the metal, not servers to use.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::sync::Arc;
use tilewise_base::{Field, FitReport, Kind, Model, Task};
use tilewise_kernels::{MatMut, MatRef};
use tilewise_server::{Config, parse_bind, start};

const COLUMNS: usize = 30;

/// A logistic model with made-up weights.
struct Logistic {
    inputs: Vec<Field>,
    task: Task,
    weights: Vec<f64>,
    report: FitReport,
}

impl Logistic {
    fn new() -> Self {
        let name = |i| Field { name: format!("feature_{i}"), kind: Kind::Numeric };
        Self {
            inputs: (0..COLUMNS).map(name).collect(),
            task: Task::Classification { classes: vec!["no".into(), "yes".into()] },
            weights: (0..COLUMNS).map(|i| (i as f64 - 14.5) / 50.0).collect(),
            report: FitReport::default(),
        }
    }
}

impl Model for Logistic {
    fn kind(&self) -> &str {
        "logistic"
    }
    fn inputs(&self) -> &[Field] {
        &self.inputs
    }
    fn target(&self) -> &str {
        "answer"
    }
    fn task(&self) -> &Task {
        &self.task
    }
    fn report(&self) -> &FitReport {
        &self.report
    }
    fn predict(
        &self,
        cells: MatRef<'_, f64>,
        _: Option<&[f64]>,
        mut out: MatMut<'_, f64>,
    ) -> tilewise_base::Result<()> {
        for i in 0..cells.rows() {
            let score: f64 = self.weights.iter().enumerate().map(|(j, w)| w * cells.get(i, j)).sum();
            let yes = 1.0 / (1.0 + (-score).exp());
            out.set(i, 0, 1.0 - yes);
            out.set(i, 1, yes);
        }
        Ok(())
    }
    fn to_bytes(&self) -> tilewise_base::Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn describe(&self) -> String {
        String::new()
    }
}

/// The row that the script sends.
fn row() -> String {
    let cells: Vec<_> =
        (0..COLUMNS).map(|i| format!("\"feature_{i}\":{}", f64::from(i as u32) * 0.137 - 1.9)).collect();
    format!("{{{}}}", cells.join(","))
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

async fn answer(request: Request<Incoming>, parse: bool) -> Outcome<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    if !parse {
        return Ok(Response::new(Full::new(body)));
    }
    let value: serde_json::Value = serde_json::from_slice(&body)?;
    let cells: f64 = value.as_object().into_iter().flatten().filter_map(|(_, x)| x.as_f64()).sum();
    Ok(Response::new(Full::new(serde_json::json!({"prediction": cells}).to_string().into())))
}

/// The server's layout without its limits: a thread that accepts, single-threaded runtimes that answer.
fn bare(address: &str, workers: usize, parse: bool) -> Outcome<()> {
    let mut queues = Vec::new();
    for _ in 0..workers {
        let (queue, mut accepted) = tokio::sync::mpsc::unbounded_channel::<std::net::TcpStream>();
        queues.push(queue);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async move {
                while let Some(stream) = accepted.recv().await {
                    tokio::spawn(async move {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                        let stream = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::from_std(stream)?);
                        let service = service_fn(|request| answer(request, parse));
                        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await?;
                        Outcome::Ok(())
                    });
                }
            });
        });
    }
    let listener = std::net::TcpListener::bind(address)?;
    for (stream, queue) in listener.incoming().zip(queues.iter().cycle()) {
        queue.send(stream?)?;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mode = arguments.first().map_or("", String::as_str);
    let address = arguments.get(1).map_or("127.0.0.1:9001", String::as_str);
    let workers = arguments.get(2).map_or(Ok(1), |n| n.parse())?;
    match mode {
        "bare" => bare(address, workers, false),
        "value" => bare(address, workers, true),
        "serve" => {
            let config = Config { bind: parse_bind(address)?, workers, signals: true, ..Config::default() };
            let end = start(config, vec![("logistic".into(), Arc::new(Logistic::new()))])?.join();
            println!("{end:?}");
            Ok(())
        }
        "script" => {
            println!("wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"");
            println!("wrk.body = [[{}]]", row());
            Ok(())
        }
        _ => Err("bare, value, serve or script".into()),
    }
}
