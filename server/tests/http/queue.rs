//! Requests that wait for a thread: batches, limits, deadlines, clients that leave.

use crate::client::{Client, post, serve};
use crate::models::{Gate, answers, gated, logistic, mixed, moody, slow};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tilewise_base::Model;
use tilewise_server::{Config, Handle};

/// A server whose only compute thread is held up at a gate, so that what is sent to `m` waits. Everything waits.
struct Held {
    server: Handle,
    gate: Gate,
    _holding: Client,
}

fn held(model: Arc<dyn Model>, config: Config) -> Held {
    let (gate_model, gate) = gated();
    let config = Config { workers: 1, compute_threads: 1, inline_cells: 0, ..config };
    let server = serve(&[("gate", gate_model), ("m", model)], config);
    let mut holding = Client::connect(server.address().unwrap());
    holding.send(post("/predict/gate", "[1]").as_bytes()).unwrap();
    gate.waiting.recv().unwrap();
    Held { server, gate, _holding: holding }
}

impl Held {
    /// Sends a request to `m` and waits until so many rows wait.
    fn send(&self, body: &str, rows: u64) -> Client {
        self.send_with("", "/predict/m", body, rows)
    }

    fn send_with(&self, headers: &str, path: &str, body: &str, rows: u64) -> Client {
        let mut client = Client::connect(self.server.address().unwrap());
        let request = post(path, body).replacen("\r\n\r\n", &format!("\r\n{headers}\r\n"), 1);
        client.send(request.as_bytes()).unwrap();
        self.until("tilewise_queue_rows", rows);
        client
    }

    fn until(&self, what: &str, value: u64) {
        let start = Instant::now();
        while counted(&self.server, what) != value {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}: {}", counted(&self.server, what));
        }
    }

    fn release(&self) {
        self.gate.permits.send(()).unwrap();
    }
}

fn counted(server: &Handle, what: &str) -> u64 {
    let text = Client::connect(server.address().unwrap()).get("/metrics").body;
    let value = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{what} is not in {text}")).parse().unwrap()
}

#[test]
fn what_waits_together_is_predicted_together_with_the_same_bits() {
    let model = logistic();
    let held = held(Arc::clone(&model), Config::default());
    let row = |i: usize| -> Vec<f64> { (0..30).map(|j| ((i * 31 + j) as f64 * 0.37).sin() * 9.0).collect() };
    let mut clients = Vec::new();
    let mut waiting = 0;
    for i in 0..40 {
        // Some requests have several rows, and one has none.
        let rows: Vec<Vec<f64>> = (0..i % 4).map(|k| row(4 * i + k)).collect();
        waiting += rows.len() as u64;
        clients.push((held.send(&json!(rows).to_string(), waiting), rows));
    }
    held.release();
    for (client, rows) in &mut clients {
        let reply = client.reply().unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
        let expected = answers(&*model, &rows.concat());
        let probabilities = reply.json()["probabilities"].as_array().unwrap().clone();
        let got: Vec<f64> = probabilities
            .iter()
            .flat_map(|row| ["no", "it's \"yes\""].map(|class| row[class].as_f64().unwrap()))
            .collect();
        assert_eq!(got, expected);
    }
    // The gate's request, and all others at once; those without rows wait for nobody.
    assert_eq!(
        (counted(&held.server, "tilewise_batches_total"), counted(&held.server, "tilewise_batched_total")),
        (2, 31)
    );
}

/// What is wrong with one request of a batch is told to that one.
#[test]
fn a_bad_request_harms_none_of_its_batch() {
    let held = held(mixed(), Config::default());
    let bodies = ["[1,\"red\",true]", "[2e300,\"red\",true]", "[2,\"red\",true]"];
    let clients: Vec<Client> = bodies.iter().zip(1..).map(|(body, rows)| held.send(body, rows)).collect();
    held.release();
    let replies: Vec<_> = clients.into_iter().map(|mut client| client.reply().unwrap()).collect();
    assert_eq!(replies[0].json()["prediction"], 121.0);
    assert!(replies[1].status == 400 && replies[1].error().contains("above 1e300"), "{:?}", replies[1]);
    assert_eq!(replies[2].json()["prediction"], 122.0);

    let held = self::held(moody(), Config::default());
    let clients: Vec<Client> = ["[1]", "[13]", "[2]"].iter().zip(1..).map(|(b, n)| held.send(b, n)).collect();
    held.release();
    let statuses: Vec<u16> = clients.into_iter().map(|mut client| client.reply().unwrap().status).collect();
    assert_eq!(statuses, [200, 500, 200]);
}

#[test]
fn queues_are_bounded_in_rows_and_bytes() {
    let refused = |held: &Held, setting: &str| {
        let reply = Client::connect(held.server.address().unwrap()).post("/predict/m", "[[1],[2]]");
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{reply:?}");
        assert!(reply.error().contains(setting), "{reply:?}");
        // The connection goes on, and other models have queues of their own.
        assert_eq!(reply.header("connection"), None);
    };
    for (config, setting) in [
        (Config { queue_rows: 4, ..Config::default() }, "queue_rows"),
        (Config { queue_bytes: 4 * 8, ..Config::default() }, "queue_bytes"),
    ] {
        let held = held(moody(), config);
        let mut waiting = [held.send("[[1],[2],[3]]", 3), held.send("[4]", 4)];
        refused(&held, setting);
        held.release();
        assert!(waiting.iter_mut().all(|client| client.reply().unwrap().status == 200));
        assert_eq!(
            Client::connect(held.server.address().unwrap()).post("/predict/m", "[[1],[2]]").status,
            200
        );
        assert_eq!(counted(&held.server, "tilewise_queue_refused_total"), 1);
    }
    // One alone is never too much.
    let held = held(moody(), Config { queue_rows: 1, ..Config::default() });
    let mut large = held.send("[[1],[2],[3]]", 3);
    held.release();
    assert_eq!(large.reply().unwrap().status, 200);
}

#[test]
fn deadlines_are_kept_in_the_queue() {
    let held = held(moody(), Config::default());
    let infer = |timeout: u32| {
        let input = json!({"name": "x", "shape": [1], "datatype": "FP64", "data": [2]});
        json!({"parameters": {"timeout": timeout}, "inputs": [input]}).to_string()
    };
    let soon = "x-request-timeout-ms: 30\r\n";
    let mut late = [
        held.send_with(soon, "/predict/m", "[1]", 1),
        held.send_with("", "/v2/models/m/infer", &infer(30_000), 2),
        held.send_with(soon, "/v2/models/m/infer", &infer(60_000_000), 3),
    ];
    let mut early = [
        held.send_with("x-request-timeout-ms: 60000\r\n", "/predict/m", "[1]", 4),
        held.send_with("", "/v2/models/m/infer", &infer(60_000_000), 5),
        held.send_with("", "/v2/models/m/infer", &infer(0), 6),
    ];
    std::thread::sleep(Duration::from_millis(40));
    held.release();
    for client in &mut late {
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        assert!(reply.error().contains("the time that the request allows"), "{reply:?}");
    }
    assert!(early.iter_mut().all(|client| client.reply().unwrap().status == 200));
    assert_eq!(counted(&held.server, "tilewise_queue_late_total"), 3);
    for value in ["", "x", "-1", "0", "1.5", "99999999999", "5\r\nx-request-timeout-ms: 5"] {
        let mut client = Client::connect(held.server.address().unwrap());
        let request = format!(
            "POST /predict/m HTTP/1.1\r\nhost: a\r\nx-request-timeout-ms: {value}\r\ncontent-length: 3\r\n\r\n[1]"
        );
        client.send(request.as_bytes()).unwrap();
        let reply = client.reply().unwrap();
        assert!(reply.status == 400 && reply.error().contains("X-Request-Timeout-Ms"), "{value}: {reply:?}");
    }
}

/// The time can be over when a request is read, by the worker or, where it is large, by another thread.
#[test]
fn late_requests_are_counted_wherever_they_are_found_late() {
    let server = serve(&[("m", moody())], Config { workers: 1, ..Config::default() });
    let late = |request: String| {
        let mut client = Client::connect(server.address().unwrap());
        client.send(request.as_bytes()).unwrap();
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        assert!(reply.error().contains("the time that the request allows"), "{reply:?}");
    };
    let input = json!({"name": "x", "shape": [1], "datatype": "FP64", "data": [2]});
    let microsecond = json!({"parameters": {"timeout": 1}, "inputs": [input]}).to_string();
    late(post("/v2/models/m/infer", &microsecond));
    assert_eq!(counted(&server, "tilewise_queue_late_total"), 1);
    let large = format!("{microsecond}{}", " ".repeat(Config::default().inline_bytes));
    late(post("/v2/models/m/infer", &large));
    assert_eq!(counted(&server, "tilewise_queue_late_total"), 2);
    assert_eq!(Client::connect(server.address().unwrap()).post("/predict", "[1]").status, 200);
    assert_eq!(counted(&server, "tilewise_queue_late_total"), 2);
}

#[test]
fn whoever_has_left_is_skipped() {
    let held = held(moody(), Config::default());
    let gone = held.send("[1]", 1);
    let mut stays = held.send("[2]", 2);
    drop(gone);
    // The server hears of it when it looks at the connection, which the reply to another one shows it has done.
    std::thread::sleep(Duration::from_millis(100));
    held.release();
    assert_eq!(stays.reply().unwrap().json()["prediction"], 4.0);
    held.until("tilewise_queue_left_total", 1);
}

/// A model that takes long is noticed, and then does not hold up what is fast; the first who find it slow wait.
#[test]
fn slow_models_stand_in_nobodys_way() {
    let time = Duration::from_millis(20);
    let config = Config { compute_threads: 1, queue_time: 5 * time, ..Config::default() };
    let server = serve(&[("slow", slow(time)), ("fast", moody())], config);
    let mut client = Client::connect(server.address().unwrap());
    for _ in 0..6 {
        assert_eq!(client.post("/predict/slow", "[1]").json()["prediction"], 2.0);
    }
    assert!(counted(&server, "tilewise_batches_total") > 0);
    // More than may wait at once: some are answered, the rest refused long before.
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(server.address().unwrap())).collect();
    let start = Instant::now();
    for client in &mut clients {
        client.send(post("/predict/slow", "[1]").as_bytes()).unwrap();
    }
    assert_eq!(client.post("/predict/fast", "[1]").status, 200);
    let replies: Vec<_> = clients.iter_mut().map(|client| client.reply().unwrap()).collect();
    let answered = replies.iter().filter(|reply| reply.status == 200).count();
    assert!((3..20).contains(&answered), "{answered}");
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        assert!(reply.error().contains("would wait about"), "{reply:?}");
    }
    assert!(start.elapsed() < 20 * time, "{:?}", start.elapsed());
    // With time enough only; and once all is quiet, at any rate.
    assert_eq!(client.post("/predict/slow", "[1]").status, 200);
}
