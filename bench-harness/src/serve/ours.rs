//! Servers of this program's own: ours with the model, ours with a slow one, and bare hypers that tell what one thread
//! has to give.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tilewise_base::{Field, FitReport, Model, Task};
use tilewise_kernels::{MatMut, MatRef};
use tilewise_server::Config;

/// What a row of the slow model costs at least.
pub(super) const SLOW: Duration = Duration::from_micros(250);

/// How long a request for it may wait for its turn, half of what is called good.
const WAIT: Duration = Duration::from_millis(50);

/// Runs the server called `form` at `address` until it is killed.
///
/// # Errors
/// When the form is not known, the model cannot be read, or the address cannot be listened on.
pub fn work(form: &str, model: &Path, address: SocketAddr) -> Result<()> {
    let load = || tilewise_models::load(model).map_err(Error::other).map(Arc::from);
    match form {
        "ours" => serve(load()?, Config { bind: address.into(), ..Config::default() }),
        "slow" => serve(
            Arc::new(Slow(load()?)),
            Config { bind: address.into(), queue_time: WAIT, ..Config::default() },
        ),
        "value" => bare(address, true),
        "echo" => bare(address, false),
        _ => Err(Error::other(format!("server {form:?} is not known; ours, slow, value and echo are"))),
    }
}

fn serve(model: Arc<dyn Model>, config: Config) -> Result<()> {
    let config = Config { workers: 1, ..config };
    tilewise_server::start(config, vec![("m".to_owned(), model)]).map_err(Error::other)?.join();
    Ok(())
}

/// A model of which each row costs [`SLOW`], in a batch too: batching cannot help.
struct Slow(Arc<dyn Model>);

impl Model for Slow {
    fn kind(&self) -> &str {
        self.0.kind()
    }
    fn inputs(&self) -> &[Field] {
        self.0.inputs()
    }
    fn target(&self) -> &str {
        self.0.target()
    }
    fn task(&self) -> &Task {
        self.0.task()
    }
    fn report(&self) -> &FitReport {
        self.0.report()
    }
    fn predict(
        &self,
        cells: MatRef<'_, f64>,
        offset: Option<&[f64]>,
        out: MatMut<'_, f64>,
    ) -> tilewise_base::Result<()> {
        let (start, rows) = (Instant::now(), cells.rows());
        self.0.predict(cells, offset, out)?;
        while start.elapsed() < SLOW * rows as u32 {
            std::hint::spin_loop();
        }
        Ok(())
    }
    fn to_bytes(&self) -> tilewise_base::Result<Vec<u8>> {
        self.0.to_bytes()
    }
    fn describe(&self) -> String {
        self.0.describe()
    }
}

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Sends the body back, or parses it into a document, adds its numbers up and predicts nothing.
async fn answer(request: Request<Incoming>, parse: bool) -> Outcome<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    if !parse {
        return Ok(Response::new(Full::new(body)));
    }
    let value: serde_json::Value = serde_json::from_slice(&body)?;
    let sum: f64 = value.as_object().into_iter().flatten().filter_map(|(_, x)| x.as_f64()).sum();
    Ok(Response::new(Full::new(serde_json::json!({"prediction": sum}).to_string().into())))
}

/// hyper on one thread, without limits.
fn bare(address: SocketAddr, parse: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let stream = hyper_util::rt::TokioIo::new(stream);
                let service = service_fn(|request| answer(request, parse));
                hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
            });
        }
    })
}
