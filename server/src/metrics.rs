//! Counters and their text form for Prometheus.
//!
//! Each worker owns its counters: it alone writes them, with a plain load and store; whoever asks for `/metrics` adds
//! them up. No two workers ever write to the same cache line.

use crate::catalogue::Catalogue;
use crate::compute::Compute;
use hyper::StatusCode;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Predict,
    Infer,
    Health,
    Metadata,
    Metrics,
    Repository,
    Other,
}

const ROUTES: [&str; 7] = ["predict", "infer", "health", "metadata", "metrics", "repository", "other"];

/// The statuses that the routes use; the last entry counts what is none of them.
const STATUSES: [u16; 14] = [200, 400, 403, 404, 405, 408, 411, 413, 415, 417, 500, 501, 503, 0];

/// Upper bounds of the latency histogram in microseconds.
const BOUNDS: [u64; 15] =
    [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// A number that one thread writes and others read.
#[derive(Default)]
struct Count(AtomicU64);

impl Count {
    #[inline]
    fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one worker. Aligned so that neighbours share no pair of cache lines.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    requests: [[Count; STATUSES.len()]; ROUTES.len()],
    /// Per route: a count per bucket, the last beyond all bounds, and the sum in nanoseconds.
    latency: [([Count; BOUNDS.len() + 1], Count); ROUTES.len()],
    connections: Count,
}

/// Rows predicted with all versions of a model: a count of each worker, on a cache line of its own.
pub(crate) struct Rows(Vec<Own>);

#[derive(Default)]
#[repr(align(128))]
struct Own(Count);

impl Rows {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Own::default()).collect())
    }

    /// Told by worker number `worker`.
    #[inline]
    pub(crate) fn add(&self, worker: usize, rows: usize) {
        self.0[worker].0.add(rows as u64);
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|own| own.0.get()).sum()
    }
}

impl Counters {
    #[inline]
    pub(crate) fn request(&self, route: Route, status: StatusCode, took: Duration) {
        let status = status.as_u16();
        let column = STATUSES.iter().position(|&s| s == status).unwrap_or(STATUSES.len() - 1);
        self.requests[route as usize][column].add(1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let (buckets, sum) = &self.latency[route as usize];
        buckets[BOUNDS.iter().position(|&b| micros <= b).unwrap_or(BOUNDS.len())].add(1);
        sum.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn connection(&self) {
        self.connections.add(1);
    }
}

/// What is not counted by workers.
pub(crate) struct Gauges<'s> {
    pub(crate) open: usize,
    pub(crate) waiting: usize,
    pub(crate) refused: u64,
    pub(crate) lines_dropped: u64,
    pub(crate) ready: bool,
    pub(crate) loaded: u64,
    pub(crate) failed: u64,
    pub(crate) compute: &'s Compute,
    pub(crate) workers: usize,
}

/// The text of `/metrics`.
pub(crate) fn text(workers: &[Counters], catalogue: &Catalogue, gauges: &Gauges<'_>) -> String {
    let mut out = String::new();
    let total = |pick: &dyn Fn(&Counters) -> u64| workers.iter().map(pick).sum::<u64>();
    let head = |out: &mut String, name: &str, kind: &str, help: &str| {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    };
    head(&mut out, "tilewise_requests_total", "counter", "Requests answered, by route and status.");
    for (r, route) in ROUTES.iter().enumerate() {
        for (s, status) in STATUSES.iter().enumerate() {
            let n = total(&|c| c.requests[r][s].get());
            if n > 0 {
                let _ = writeln!(out, "tilewise_requests_total{{route=\"{route}\",status=\"{status}\"}} {n}");
            }
        }
    }
    let name = "tilewise_request_seconds";
    head(&mut out, name, "histogram", "Time from the end of a request's headers to its reply.");
    for (r, route) in ROUTES.iter().enumerate() {
        let mut below = 0;
        for (b, bound) in BOUNDS.iter().enumerate() {
            below += total(&|c| c.latency[r].0[b].get());
            let bound = *bound as f64 / 1e6;
            let _ = writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {below}");
        }
        below += total(&|c| c.latency[r].0[BOUNDS.len()].get());
        let sum = total(&|c| c.latency[r].1.get()) as f64 / 1e9;
        let _ = writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {below}");
        let _ =
            writeln!(out, "{name}_sum{{route=\"{route}\"}} {sum}\n{name}_count{{route=\"{route}\"}} {below}");
    }
    head(&mut out, "tilewise_rows_total", "counter", "Rows predicted, by model.");
    for entry in &catalogue.models {
        let (name, n) = (&entry.name, entry.versions[0].served.counted.total());
        let _ = writeln!(out, "tilewise_rows_total{{model=\"{name}\"}} {n}");
    }
    let (waited, told) = (gauges.compute.told(), |count: &AtomicU64| count.load(Ordering::Relaxed));
    for (name, kind, help, value) in [
        ("tilewise_connections_total", "counter", "Connections accepted.", total(&|c| c.connections.get())),
        ("tilewise_connections_refused_total", "counter", "Connections beyond the limit.", gauges.refused),
        ("tilewise_connections_open", "gauge", "Connections open now.", gauges.open as u64),
        ("tilewise_workers", "gauge", "Workers that take connections.", gauges.workers as u64),
        ("tilewise_large_bytes", "gauge", "Bytes of large requests in work.", gauges.waiting as u64),
        (
            "tilewise_log_lines_dropped_total",
            "counter",
            "Access log lines not written.",
            gauges.lines_dropped,
        ),
        ("tilewise_queue_rows", "gauge", "Rows that wait for a thread.", gauges.compute.rows() as u64),
        (
            "tilewise_queue_refused_total",
            "counter",
            "Requests refused because too much waited before them.",
            told(&waited.refused),
        ),
        (
            "tilewise_queue_late_total",
            "counter",
            "Requests whose time was over before they were predicted.",
            told(&waited.late),
        ),
        (
            "tilewise_queue_left_total",
            "counter",
            "Requests whose client left before their turn.",
            told(&waited.left),
        ),
        ("tilewise_batches_total", "counter", "Predictions of requests that waited.", told(&waited.batches)),
        ("tilewise_batched_total", "counter", "Requests that were predicted in them.", told(&waited.batched)),
        ("tilewise_models", "gauge", "Models that are served.", catalogue.models.len() as u64),
        ("tilewise_model_loads_total", "counter", "Versions of models loaded from files.", gauges.loaded),
        ("tilewise_model_loads_failed_total", "counter", "Versions that could not be loaded.", gauges.failed),
        ("tilewise_ready", "gauge", "1 while the server takes new connections.", u64::from(gauges.ready)),
    ] {
        head(&mut out, name, kind, help);
        let _ = writeln!(out, "{name} {value}");
    }
    out
}
