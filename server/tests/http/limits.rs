//! Sizes, times, counts.

use crate::client::{Client, post, serve};
use crate::models::{gated, mixed, moody};
use std::time::{Duration, Instant};
use tilewise_server::{Config, End, parse_bind};

const ROW: &str = "[1,\"red\",true]";
const SHORT: Duration = Duration::from_millis(400);

/// A refusal reaches even a client that first writes all it has.
#[test]
fn a_body_beyond_the_limit() {
    let server = serve(&[("m", mixed())], Config { max_body: 100_000, ..Config::default() });
    let exactly = format!("{ROW}{}", " ".repeat(100_000 - ROW.len()));
    assert_eq!(Client::connect(server.address()).post("/predict", &exactly).status, 200);
    for size in [100_001, 900_000] {
        let body = "x".repeat(size);
        let chunked = format!("{size:x}\r\n{body}\r\n0\r\n\r\n");
        let chunked =
            format!("POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunked}");
        for request in [post("/predict", &body), chunked] {
            let mut client = Client::connect(server.address());
            client.send(request.as_bytes()).unwrap();
            let reply = client.reply().unwrap();
            assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
            assert!(reply.error().contains("100000 bytes"));
            assert!(client.ends());
        }
    }
}

#[test]
fn slow_clients_are_told_and_harm_nobody() {
    let config = Config { header_timeout: SHORT, body_timeout: SHORT, ..Config::default() };
    let server = serve(&[("m", mixed())], config.clone());
    let connect = || Client::connect(server.address());
    let mut slow = Vec::new();
    let head = "POST /predict HTTP/1.1\r\nho".to_owned();
    let body = "POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 14\r\n\r\n[1,".to_owned();
    for bytes in [head, body].iter().cycle().take(100) {
        slow.push(connect());
        slow.last_mut().unwrap().send(bytes.as_bytes()).unwrap();
    }
    let mut healthy = connect();
    for _ in 0..200 {
        assert_eq!(healthy.post("/predict", ROW).status, 200);
    }
    for client in &mut slow {
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
        assert!(reply.error().contains("400ms"));
        assert!(client.ends());
    }
    // Drops of a byte do not restart the clock.
    let mut dripping = connect();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) && dripping.send(b"G").is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    // Connections without a request end in silence, fresh or used.
    assert!(connect().ends());
    let server = serve(&[("m", mixed())], Config { keep_alive: SHORT, ..config });
    let mut used = Client::connect(server.address());
    assert_eq!(used.post("/predict", ROW).status, 200);
    assert!(used.ends());
}

/// A client that sends requests and never reads replies is cut off.
#[test]
fn replies_that_nobody_reads() {
    let server = serve(&[("m", mixed())], Config { write_timeout: SHORT, ..Config::default() });
    let mut client = Client::connect(server.address());
    let many = post("/predict", &format!("[{}{ROW}]", format!("{ROW},").repeat(10_000)));
    let start = Instant::now();
    while client.send(many.as_bytes()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(Client::connect(server.address()).post("/predict", ROW).status, 200);
}

#[test]
fn connections_beyond_the_limit() {
    let server = serve(&[("m", mixed())], Config { max_connections: 3, ..Config::default() });
    let mut held: Vec<_> = (0..3).map(|_| Client::connect(server.address())).collect();
    for client in &mut held {
        assert_eq!(client.post("/predict", ROW).status, 200);
    }
    let mut fourth = Client::connect(server.address());
    fourth.send(post("/predict", ROW).as_bytes()).unwrap();
    let reply = fourth.reply().unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert!(reply.error().contains("all 3 connections"));
    assert!(fourth.ends());
    held.pop();
    let start = Instant::now();
    let admitted = || {
        let mut client = Client::connect(server.address());
        client.send(post("/predict", ROW).as_bytes()).is_ok() && client.reply().is_ok_and(|r| r.status == 200)
    };
    while !admitted() {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

/// Large requests in work do not hold up small ones, and their memory is limited.
#[test]
fn large_requests_wait_elsewhere() {
    let (gate_model, gate) = gated();
    let config = Config { workers: 1, compute_threads: 1, max_waiting: 150_000, ..Config::default() };
    let config = Config { inline_bytes: 1000, ..config };
    let server = serve(&[("gated", gate_model), ("moody", moody())], Config { workers: 1, ..config });
    let large = format!("[[1]{}]", " ".repeat(99_990));
    let mut first = Client::connect(server.address());
    first.send(post("/predict/gated", &large).as_bytes()).unwrap();
    gate.waiting.recv().unwrap();
    let mut other = Client::connect(server.address());
    for _ in 0..100 {
        assert_eq!(other.post("/predict/moody", "[1]").status, 200);
    }
    other.send(post("/predict/moody", &large).as_bytes()).unwrap();
    let reply = other.reply().unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    gate.permits.send(()).unwrap();
    assert_eq!(first.reply().unwrap().json()["predictions"][0], 2.0);
    assert_eq!(Client::connect(server.address()).post("/predict/moody", &large).status, 200);
    server.drain();
    drop((first, other));
    assert_eq!(server.join(), End::Drained);
}

#[test]
fn settings_that_are_refused() {
    let refused = |config: Config, name: &str| {
        let models = vec![(name.to_owned(), mixed())];
        tilewise_server::start(config, models).map(drop).unwrap_err().to_string()
    };
    let free = || Config { bind: parse_bind("127.0.0.1:0").unwrap(), ..Config::default() };
    assert!(refused(Config { max_head: 100, ..free() }, "m").contains("max_head"));
    assert!(refused(Config { keep_alive: Duration::ZERO, ..free() }, "m").contains("keep_alive"));
    for name in ["", "..", "a/b", "a b", "é", &"a".repeat(129)] {
        assert!(refused(free(), name).contains("a name has"), "{name}");
    }
    let twice = vec![("m".to_owned(), mixed()), ("m".to_owned(), mixed())];
    assert!(tilewise_server::start(free(), twice).map(drop).unwrap_err().to_string().contains("twice"));
    assert!(tilewise_server::start(free(), Vec::new()).is_err());
    let server = serve(&[("m", mixed())], Config::default());
    let taken = Config { bind: server.address(), ..Config::default() };
    assert!(refused(taken, "m").contains("cannot listen on 127.0.0.1"));
}
