//! From a request to its reply.

use crate::access_log::Entry;
use crate::body;
use crate::catalogue::Catalogue;
use crate::compute::Times;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::head::{self, Head};
use crate::life::Phase;
use crate::metadata;
use crate::metrics::{self, Gauges, Route};
use crate::openapi;
use crate::predict::{self, Form, Room, Small};
use crate::reply::{self, Reply};
use crate::repository::{Order, Refused};
use crate::served::Served;
use crate::server::Shared;
use crate::stream::Link;
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::{Method, Request, StatusCode, header};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What `/metrics` is.
pub(crate) const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What `/` is.
pub(crate) const PAGE_TYPE: &str = "text/html; charset=utf-8";

/// The page at `/`: it shows models and rates, and asks for predictions, with what is in it and the routes below.
const PAGE: &str = include_str!("page.html");

/// What the page may do: nothing that is not its own or this server's.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A route that was found.
enum Target {
    Predict(Arc<Served>),
    Infer(Arc<Served>),
    Metadata(Bytes),
    Live,
    Ready,
    Server,
    Metrics,
    Document,
    Page,
    Index,
    /// Of the model of this name, if true a load, else an unload.
    Change(String, bool),
}

impl Target {
    fn route(&self) -> Route {
        match self {
            Self::Predict(_) => Route::Predict,
            Self::Infer(_) => Route::Infer,
            Self::Metadata(_) | Self::Server | Self::Document | Self::Page => Route::Metadata,
            Self::Live | Self::Ready => Route::Health,
            Self::Metrics => Route::Metrics,
            Self::Index | Self::Change(..) => Route::Repository,
        }
    }
}

/// The target of a path.
fn find(catalogue: &Catalogue, path: &str) -> Result<Target> {
    let unknown = || Failure::new(StatusCode::NOT_FOUND, format!("there is no route {path:?}"));
    let path = match path.strip_suffix('/') {
        Some(rest) if !rest.is_empty() => rest,
        _ => path,
    };
    match path {
        "/predict" => match &catalogue.models[..] {
            [only] => return Ok(Target::Predict(Arc::clone(&only.versions[0].served))),
            _ => {
                let message = "not one model is served: POST /predict/{name}";
                return Err(Failure::new(StatusCode::NOT_FOUND, message));
            }
        },
        "/v2" => return Ok(Target::Server),
        "/v2/health/live" => return Ok(Target::Live),
        "/v2/health/ready" => return Ok(Target::Ready),
        "/v2/repository/index" => return Ok(Target::Index),
        "/metrics" => return Ok(Target::Metrics),
        "/openapi.json" => return Ok(Target::Document),
        "/" => return Ok(Target::Page),
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/v2/repository/models/") {
        return match rest.split_once('/') {
            Some((name, "load")) => Ok(Target::Change(name.to_owned(), true)),
            Some((name, "unload")) => Ok(Target::Change(name.to_owned(), false)),
            _ => Err(unknown()),
        };
    }
    let (rest, plain) = match (path.strip_prefix("/predict/"), path.strip_prefix("/v2/models/")) {
        (Some(rest), _) => (rest, true),
        (_, Some(rest)) => (rest, false),
        _ => return Err(unknown()),
    };
    // NAME[/versions/VERSION][/action]
    let (name, rest) = rest.split_once('/').map_or((rest, None), |(name, rest)| (name, Some(rest)));
    let (version, action) = match rest.and_then(|rest| rest.strip_prefix("versions/")) {
        Some(rest) => rest.split_once('/').map_or((Some(rest), None), |(v, action)| (Some(v), Some(action))),
        None => (None, rest),
    };
    let found = || catalogue.find(name, version);
    match (plain, action) {
        (true, None) => Ok(Target::Predict(Arc::clone(&found()?.served))),
        (false, Some("infer")) => Ok(Target::Infer(Arc::clone(&found()?.served))),
        (false, None) => Ok(Target::Metadata(found()?.metadata.clone())),
        (false, Some("ready")) => found().map(|_| Target::Ready),
        _ => Err(unknown()),
    }
}

/// Answers one request: never fails, and the reply always has a body.
pub(crate) async fn answer(link: Arc<Link>, request: Request<Incoming>) -> Reply {
    let start = Instant::now();
    link.serving();
    let shared = &link.shared;
    let log = shared.access_log.as_ref().map(|_| {
        let agent = request.headers().get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("-");
        (request.method().clone(), request.uri().clone(), agent.to_owned())
    });
    let mut route = Route::Other;
    let mut reply = match handle(shared, &link, request, &mut route, start).await {
        Ok(reply) => reply,
        Err(failure) => reply::failure(&failure),
    };
    let most = shared.config.max_requests;
    if most > 0 && shared.answered.fetch_add(1, Ordering::Relaxed) + 1 >= most {
        shared.life.advance(Phase::Draining);
    }
    if link.phase() >= Phase::Draining {
        reply::close(&mut reply);
    }
    let now = Instant::now();
    let took = now - start;
    shared.counters[link.worker].request(route, reply.status(), took);
    if let (Some(log), Some((method, uri, agent))) = (&shared.access_log, &log) {
        log.write(&Entry {
            peer: link.peer,
            method: method.as_str(),
            path: uri.path(),
            status: reply.status().as_u16(),
            bytes: reply.body().size_hint().exact().unwrap_or(0),
            agent,
            micros: took.as_micros(),
        });
    }
    link.idle(now);
    reply
}

/// What to do once the head is known.
enum Plan {
    Reply(Reply),
    Predict(Arc<Served>, Form),
    /// What the repository holds.
    Index,
    /// See [`Target::Change`].
    Change(String, bool),
}

async fn handle(
    shared: &Arc<Shared>,
    link: &Link,
    request: Request<Incoming>,
    route: &mut Route,
    start: Instant,
) -> Result<Reply> {
    let head = head::check(request.version(), request.headers())?;
    let (served, form) = match plan(shared, &request, &head, route) {
        Ok(Plan::Reply(reply)) => return Ok(reply),
        Ok(Plan::Predict(served, form)) => (served, form),
        Ok(Plan::Index) => {
            let ready = repository_body(shared, request).await?["ready"] == true;
            return Ok(reply::json(StatusCode::OK, shared.catalogue.load().index(ready)));
        }
        Ok(Plan::Change(name, load)) => {
            let body = repository_body(shared, request).await?;
            return change(shared, name, load, &body).await;
        }
        Err(failure) => return Err(past_body(failure, shared, request, &head).await),
    };
    let config = &shared.config;
    let timeout = head.timeout.and_then(|timeout| start.checked_add(timeout));
    let times = Times { start, deadline: timeout };
    // Rows that this thread may predict itself; none of a model that takes long.
    let most_rows = served.cost.rows_within(config.inline_time);
    let is_large = request.body().size_hint().exact().is_none_or(|n| n > config.inline_bytes as u64);
    if is_large || most_rows == 0 {
        // As early as can be: before the body is read, or asked for.
        let cost = served.cost.of_rows(1);
        if let Err(failure) = shared.compute.admit(&served, times, cost) {
            return Err(past_body(failure, shared, request, &head).await);
        }
    }
    let body = body::read(request.into_body(), config, &shared.waiting).await?;
    let done = if body.bytes.len() <= config.inline_bytes {
        match predict::small(
            &served,
            form,
            &body.bytes,
            (config.inline_cells, most_rows),
            Room { waiting: &shared.waiting, uncounted: config.inline_bytes },
            times,
            shared.compute.told(),
        )? {
            Small::Done(done) => done,
            Small::Read(read) => {
                let times = times.within(read.asked.timeout());
                shared.compute.read(&served, read, times).await?
            }
        }
    } else {
        shared.compute.whole(&served, (body, form), times).await?
    };
    served.counted.add(link.worker, done.rows);
    Ok(reply::predicted(done))
}

/// Decides by path and method.
fn plan(shared: &Shared, request: &Request<Incoming>, head: &Head, route: &mut Route) -> Result<Plan> {
    let target = find(&shared.catalogue.load(), request.uri().path())?;
    *route = target.route();
    let get = |body: Bytes| match *request.method() {
        Method::GET | Method::HEAD => Ok(Plan::Reply(reply::json(StatusCode::OK, body))),
        _ => Err(Failure::method("GET, HEAD")),
    };
    match target {
        Target::Predict(_) | Target::Infer(_) | Target::Index | Target::Change(..)
            if *request.method() != Method::POST =>
        {
            Err(Failure::method("POST"))
        }
        Target::Index => Ok(Plan::Index),
        Target::Change(..) if !shared.config.admin => {
            let message = "loading and unloading of models is switched off (Config::admin, serve --admin)";
            Err(Failure::new(StatusCode::FORBIDDEN, message))
        }
        Target::Change(name, load) => Ok(Plan::Change(name, load)),
        Target::Predict(_) | Target::Infer(_) if !head.body => {
            let message = "a request with a body needs Content-Length or Transfer-Encoding: chunked";
            Err(Failure::new(StatusCode::LENGTH_REQUIRED, message))
        }
        Target::Infer(served) => Ok(Plan::Predict(served, Form::Tensors(head.json))),
        _ if head.json.is_some() => {
            Err(Failure::bad("binary tensors are accepted in inference requests only").closing())
        }
        Target::Predict(served) => Ok(Plan::Predict(served, Form::Rows)),
        Target::Live => get(Bytes::from_static(b"{\"live\":true}")),
        Target::Ready => {
            let reply = get(Bytes::from_static(b"{\"ready\":true}"))?;
            match shared.life.phase() {
                Phase::Running => Ok(reply),
                _ => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the server is draining")),
            }
        }
        Target::Server => get(metadata::server()),
        Target::Metadata(metadata) => get(metadata),
        Target::Document => get(openapi::document()),
        Target::Page => {
            let plan = of_type(get(Bytes::from_static(PAGE.as_bytes()))?, PAGE_TYPE);
            Ok(with(plan, header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
        }
        Target::Metrics => Ok(of_type(get(metrics_text(shared).into())?, METRICS_TYPE)),
    }
}

/// The same reply with another type.
fn of_type(plan: Plan, kind: &'static str) -> Plan {
    with(plan, header::CONTENT_TYPE, kind)
}

/// The same reply with a header.
fn with(mut plan: Plan, name: header::HeaderName, value: &'static str) -> Plan {
    if let Plan::Reply(reply) = &mut plan {
        reply.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    plan
}

/// The body of a request about the repository: an object, or nothing, which is taken for an empty one.
async fn repository_body(shared: &Shared, request: Request<Incoming>) -> Result<serde_json::Value> {
    const MOST: usize = 64 * 1024;
    let config = Config { max_body: MOST.min(shared.config.max_body), ..Config::clone(&shared.config) };
    let body = body::read(request.into_body(), &config, &shared.waiting).await?.bytes;
    if body.trim_ascii().is_empty() {
        return Ok(serde_json::json!({}));
    }
    match serde_json::from_slice(&body) {
        Ok(value @ serde_json::Value::Object(_)) => Ok(value),
        Ok(_) => Err(Failure::bad("the body is an object or empty")),
        Err(e) => Err(Failure::bad(format!("JSON: {e}"))),
    }
}

/// Has a model loaded or unloaded.
async fn change(shared: &Shared, name: String, load: bool, body: &serde_json::Value) -> Result<Reply> {
    // What Triton would take from the request, configurations and files, comes from the repository alone.
    let parameters = body.get("parameters").and_then(|parameters| parameters.as_object());
    let strange = parameters.into_iter().flatten().find(|(key, _)| load || *key != "unload_dependents");
    if let Some((key, _)) = strange {
        return Err(Failure::bad(format!("parameter {key:?} is not supported; none is needed")));
    }
    let (sender, answer) = tokio::sync::oneshot::channel();
    let order = if load { Order::Load } else { Order::Unload };
    let _ = shared.orders.sender.send(order(name.clone(), sender));
    match answer.await {
        Ok(Ok(versions)) => {
            let versions: Vec<_> = versions.iter().map(u64::to_string).collect();
            let body = serde_json::json!({"name": name, "versions": versions}).to_string();
            Ok(reply::json(StatusCode::OK, body))
        }
        Ok(Err(Refused::Unknown)) => {
            let message = format!("the repository has no model {name:?}");
            Err(Failure::new(StatusCode::NOT_FOUND, message))
        }
        Ok(Err(Refused::Failed(what))) => {
            let done = if load { "loaded" } else { "unloaded" };
            Err(Failure::bad(format!("model {name:?} could not be {done}: {what}")))
        }
        Err(_) => {
            let message = "the thread that loads models has ended";
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

/// A refusal before the body was read: a small body is read away, so that the connection can go on; with a large one,
/// or one that waits for a 100, it ends.
async fn past_body(failure: Failure, shared: &Shared, request: Request<Incoming>, head: &Head) -> Failure {
    let small = request.body().size_hint().exact().is_some_and(|n| n <= shared.config.inline_bytes as u64);
    if !head.body {
        return failure;
    }
    if small
        && !head.expects
        && body::read(request.into_body(), &shared.config, &shared.waiting).await.is_ok()
    {
        return failure;
    }
    failure.closing()
}

fn metrics_text(shared: &Shared) -> String {
    let gauges = Gauges {
        open: shared.life.open(),
        waiting: shared.waiting.used(),
        refused: shared.refused.load(Ordering::Relaxed),
        lines_dropped: shared.access_log.as_ref().map_or(0, |log| log.dropped()),
        ready: shared.life.phase() == Phase::Running,
        loaded: shared.orders.reloads.loaded.load(Ordering::Relaxed),
        compute: &shared.compute,
        workers: shared.workers.load(Ordering::Relaxed),
        failed: shared.orders.reloads.failed.load(Ordering::Relaxed),
    };
    metrics::text(&shared.counters, &shared.catalogue.load(), &gauges)
}
