//! Simultaneous requests to the server through hyper's client, every answer checked against prediction in this process.

use super::problem::Problem;
use crate::failure::Failure;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tilewise_base::{Column, Model, Task, predict_dataset};
use tilewise_report::quantile;
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

/// Connections that always have a request under way.
const CONNECTIONS: usize = 16;
const REQUESTS: usize = 20_000;

/// What came of it.
pub(crate) struct Load {
    pub(crate) per_second: f64,
    /// Seconds from sending to the whole answer.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{REQUESTS} requests on {CONNECTIONS} connections: {:.0} requests/s, p50 {}, p99 {}; every answer equals \
             prediction in this process, bit for bit",
            self.per_second,
            tilewise_report::seconds(self.p50),
            tilewise_report::seconds(self.p99)
        )
    }
}

/// Row `row` as a JSON object of the model's inputs.
pub(crate) fn row(problem: &Problem, row: usize) -> String {
    let mut object = serde_json::Map::new();
    for (name, column) in problem.table.names().iter().zip(problem.table.columns()) {
        if name != problem.target {
            let cell = match column {
                Column::Categorical { codes, dictionary } => {
                    dictionary.get(codes[row] as usize).map(|text| text.as_str().into())
                }
                Column::Boolean(values) => values.get(row).map(Into::into),
                numbers => serde_json::Number::from_f64(numbers.cell(row)).map(Into::into),
            };
            object.insert(name.clone(), cell.unwrap_or_default());
        }
    }
    serde_json::Value::Object(object).to_string()
}

struct Plan {
    bodies: Vec<Bytes>,
    /// The probability of each class, per row.
    expected: Vec<Vec<f64>>,
    classes: Vec<String>,
}

/// Sends all requests and checks the answers.
pub(crate) fn send(server: SocketAddr, problem: &Problem, model: &dyn Model) -> Result<Load, Failure> {
    let rows = problem.table.rows();
    let Task::Classification { classes } = model.task() else {
        return Err(Failure::Told("the demo serves a model of classes".into()));
    };
    let expected = predict_dataset(model, &problem.table, None)?;
    let plan = Rc::new(Plan {
        bodies: (0..rows).map(|i| Bytes::from(row(problem, i))).collect(),
        expected: expected.chunks(classes.len()).map(<[f64]>::to_vec).collect(),
        classes: classes.clone(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let start = Instant::now();
    let latencies = local.block_on(&runtime, async {
        let clients: Vec<_> =
            (0..CONNECTIONS).map(|client| spawn_local(client_of(server, client, Rc::clone(&plan)))).collect();
        let mut all = Vec::with_capacity(REQUESTS);
        for client in clients {
            let done = client.await.unwrap_or_else(|e| Err(e.to_string()));
            all.extend(
                done.map_err(|e| Failure::Told(format!("a request to the demo's server failed: {e}")))?,
            );
        }
        Ok::<_, Failure>(all)
    })?;
    let elapsed = start.elapsed().as_secs_f64();
    let seconds: Vec<f64> = latencies.iter().map(Duration::as_secs_f64).collect();
    Ok(Load {
        per_second: REQUESTS as f64 / elapsed,
        p50: quantile(&seconds, 0.5),
        p99: quantile(&seconds, 0.99),
    })
}

/// One connection: request after request, each checked.
async fn client_of(server: SocketAddr, client: usize, plan: Rc<Plan>) -> Result<Vec<Duration>, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let stream = TcpStream::connect(server).await.map_err(|e| text(&e))?;
    stream.set_nodelay(true).map_err(|e| text(&e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| text(&e))?;
    spawn_local(connection);
    let mut latencies = Vec::with_capacity(REQUESTS / CONNECTIONS);
    for i in (client..REQUESTS).step_by(CONNECTIONS) {
        let row = i % plan.bodies.len();
        let request = Request::post("/predict")
            .header("host", "localhost")
            .body(Full::new(plan.bodies[row].clone()))
            .map_err(|e| text(&e))?;
        let start = Instant::now();
        let answer = sender.send_request(request).await.map_err(|e| text(&e))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|e| text(&e))?.to_bytes();
        latencies.push(start.elapsed());
        if status != 200 {
            return Err(format!("status {status}: {}", String::from_utf8_lossy(&body)));
        }
        check(&plan, row, &body)?;
    }
    Ok(latencies)
}

fn check(plan: &Plan, row: usize, body: &[u8]) -> Result<(), String> {
    let answer: serde_json::Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    for (class, expected) in plan.classes.iter().zip(&plan.expected[row]) {
        let got = answer["probabilities"][class].as_f64();
        if got.map(f64::to_bits) != Some(expected.to_bits()) {
            return Err(format!(
                "row {row}: the server answered {got:?} for {class}, prediction here is {expected}"
            ));
        }
    }
    Ok(())
}
