//! Sizes, times, counts.

use crate::client::{Client, post, serve};
use crate::models::{gated, mixed, moody};
use std::time::{Duration, Instant};
use tilewise_server::{Bind, Config, End, parse_bind};

const ROW: &str = "[1,\"red\",true]";

/// A refusal reaches even a client that first writes all it has.
#[test]
fn a_body_beyond_the_limit() {
    let server = serve(&[("m", mixed())], Config { max_body: 100_000, ..Config::default() });
    let exactly = format!("{ROW}{}", " ".repeat(100_000 - ROW.len()));
    assert_eq!(Client::connect(server.address().unwrap()).post("/predict", &exactly).status, 200);
    for size in [100_001, 900_000] {
        let body = "x".repeat(size);
        let chunked = format!("{size:x}\r\n{body}\r\n0\r\n\r\n");
        let chunked =
            format!("POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunked}");
        for request in [post("/predict", &body), chunked] {
            let mut client = Client::connect(server.address().unwrap());
            client.send(request.as_bytes()).unwrap();
            let reply = client.reply().unwrap();
            assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
            assert!(reply.error().contains("100000 bytes"));
            assert!(client.ends());
        }
    }
}

#[test]
fn connections_beyond_the_limit() {
    let server = serve(&[("m", mixed())], Config { max_connections: 3, ..Config::default() });
    let mut held: Vec<_> = (0..3).map(|_| Client::connect(server.address().unwrap())).collect();
    for client in &mut held {
        assert_eq!(client.post("/predict", ROW).status, 200);
    }
    let mut fourth = Client::connect(server.address().unwrap());
    fourth.send(post("/predict", ROW).as_bytes()).unwrap();
    let reply = fourth.reply().unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert!(reply.error().contains("all 3 connections"));
    assert!(fourth.ends());
    held.pop();
    let start = Instant::now();
    let admitted = || {
        let mut client = Client::connect(server.address().unwrap());
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
    let mut first = Client::connect(server.address().unwrap());
    first.send(post("/predict/gated", &large).as_bytes()).unwrap();
    gate.waiting.recv().unwrap();
    let mut other = Client::connect(server.address().unwrap());
    for _ in 0..100 {
        assert_eq!(other.post("/predict/moody", "[1]").status, 200);
    }
    other.send(post("/predict/moody", &large).as_bytes()).unwrap();
    let reply = other.reply().unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    gate.permits.send(()).unwrap();
    assert_eq!(first.reply().unwrap().json()["predictions"][0], 2.0);
    assert_eq!(Client::connect(server.address().unwrap()).post("/predict/moody", &large).status, 200);
    server.drain();
    drop((first, other));
    assert_eq!(server.join(), End::Drained);
}

/// What a start has made is gone when a later part of it fails.
#[test]
fn a_failed_start_leaves_no_socket_file() {
    let path = std::env::temp_dir().join(format!("tilewise-failed-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let nowhere = Some("/nowhere/at/all".into());
    for config in [
        Config { pid_file: nowhere.clone(), ..Config::default() },
        Config { access_log: nowhere, ..Config::default() },
    ] {
        let config = Config { bind: Bind::Unix(path.clone()), ..config };
        let failed = tilewise_server::start(config, vec![("m".to_owned(), mixed())]).map(drop);
        assert!(failed.unwrap_err().to_string().contains("/nowhere/at/all"));
        assert!(!path.exists());
    }
    let config = Config { bind: Bind::Unix(path.clone()), ..Config::default() };
    let server = tilewise_server::start(config, vec![("m".to_owned(), mixed())]).unwrap();
    assert!(path.exists());
    drop(server);
    assert!(!path.exists());
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
    let taken = Config { bind: server.bound().clone(), ..Config::default() };
    assert!(refused(taken, "m").contains("cannot listen on 127.0.0.1"));
}
