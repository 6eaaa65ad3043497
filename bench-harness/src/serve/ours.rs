//! Servers of this program's own: ours, and a bare hyper that tells what one thread has to give.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Runs the server called `form` at `address` until it is killed.
///
/// # Errors
/// When the form is not known, the model cannot be read, or the address cannot be listened on.
pub fn work(form: &str, model: &Path, address: SocketAddr) -> Result<()> {
    match form {
        "ours" => {
            let model = tilewise_models::load(model).map_err(Error::other)?;
            let config =
                tilewise_server::Config { bind: address, workers: 1, ..tilewise_server::Config::default() };
            let models = vec![("m".to_owned(), Arc::from(model))];
            tilewise_server::start(config, models).map_err(Error::other)?.join();
            Ok(())
        }
        "bare" => bare(address),
        _ => Err(Error::other(format!("server {form:?} is not known; ours and bare are"))),
    }
}

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Parses the body into a document, adds its numbers up, predicts nothing.
async fn answer(request: Request<Incoming>) -> Outcome<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let value: serde_json::Value = serde_json::from_slice(&body)?;
    let sum: f64 = value.as_object().into_iter().flatten().filter_map(|(_, x)| x.as_f64()).sum();
    Ok(Response::new(Full::new(serde_json::json!({"prediction": sum}).to_string().into())))
}

/// hyper on one thread, without limits.
fn bare(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let stream = hyper_util::rt::TokioIo::new(stream);
                hyper::server::conn::http1::Builder::new().serve_connection(stream, service_fn(answer)).await
            });
        }
    })
}
