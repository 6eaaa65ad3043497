//! Drain and stop, under load too.

use crate::client::{Client, post, serve};
use crate::models::{gated, mixed};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tilewise_server::{Config, End, Handle};

fn config() -> Config {
    Config { idle_grace: Duration::from_millis(200), ..Config::default() }
}

#[test]
fn a_drain_answers_what_is_in_flight() {
    let (model, gate) = gated();
    // All on compute threads, so that the worker can answer meanwhile.
    let server = serve(&[("m", model)], Config { inline_bytes: 0, ..config() });
    let mut busy = Client::connect(server.address().unwrap());
    let mut idle = Client::connect(server.address().unwrap());
    assert_eq!(idle.get("/v2/health/ready").status, 200);
    busy.send(post("/predict", "[1]").as_bytes()).unwrap();
    gate.waiting.recv().unwrap();
    server.drain();
    let start = Instant::now();
    let ready = loop {
        let reply = idle.get("/v2/health/ready");
        if reply.status != 200 || start.elapsed() > Duration::from_secs(10) {
            break reply;
        }
    };
    assert_eq!((ready.status, ready.header("connection")), (503, Some("close")));
    assert!(ready.error().contains("draining"));
    assert!(idle.ends());
    while Client::try_connect(server.address().unwrap()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    gate.permits.send(()).unwrap();
    let reply = busy.reply().unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert_eq!(reply.json()["prediction"], 2.0);
    assert!(busy.ends());
    drop((busy, idle));
    assert_eq!(server.join(), End::Drained);
}

/// Clients that keep connections and clients that open one per request: every request that was accepted is answered.
#[test]
fn a_drain_under_load_loses_nothing() {
    for round in 0..5 {
        let server = serve(&[("m", mixed())], Config::default());
        let address = server.address().unwrap();
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let answered = &answered;
            for keep in [true, true, true, true, false, false] {
                scope.spawn(move || {
                    let mut kept: Option<Client> = None;
                    loop {
                        let fresh = kept.is_none();
                        // In the end nobody listens any more.
                        let Ok(mut client) = kept.take().map_or_else(|| Client::try_connect(address), Ok)
                        else {
                            return;
                        };
                        let sent = client.send(post("/predict", "[1,\"red\",true]").as_bytes());
                        match sent.and_then(|()| client.reply()) {
                            Ok(reply) => {
                                assert_eq!(reply.json()["prediction"], 121.0);
                                answered.fetch_add(1, Ordering::Relaxed);
                                if keep && reply.header("connection") != Some("close") {
                                    kept = Some(client);
                                }
                            }
                            // Connected by the system, but never accepted: possible only for a new one.
                            Err(e) => return assert!(fresh, "{e}"),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(100 + 10 * round));
            server.drain();
        });
        assert!(answered.load(Ordering::Relaxed) > 100);
        assert_eq!(server.join(), End::Drained);
    }
}

/// How a server ended, which must be soon.
fn joined(server: Handle, within: Duration) -> End {
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(server.join()));
    told.recv_timeout(within).expect("the server has not ended")
}

/// A prediction that does not end, in any thread, holds up the end no longer than the grace.
#[test]
fn what_never_ends_does_not_keep_the_server_from_ending() {
    let (grace, soon) = (Duration::from_millis(400), Duration::from_secs(5));
    let config = || Config { idle_grace: grace, grace, ..Config::default() };
    // A worker that predicts itself.
    let (model, gate) = gated();
    let server = serve(&[("m", model)], config());
    let mut busy = Client::connect(server.address().unwrap());
    busy.send(post("/predict", "[1]").as_bytes()).unwrap();
    gate.waiting.recv().unwrap();
    server.drain();
    assert_eq!(joined(server, soon), End::Cut { connections: 1 });
    drop(gate);
    // Another thread, for a client that has left; and in a hurry.
    for hurries in [false, true] {
        let (model, gate) = gated();
        let grace = if hurries { Duration::from_secs(3600) } else { grace };
        let server = serve(&[("m", model)], Config { inline_cells: 0, grace, ..config() });
        let mut gone = Client::connect(server.address().unwrap());
        gone.send(post("/predict", "[1]").as_bytes()).unwrap();
        gate.waiting.recv().unwrap();
        drop(gone);
        server.drain();
        while hurries && Client::try_connect(server.address().unwrap()).is_ok() {}
        std::thread::sleep(Duration::from_millis(100));
        if hurries {
            server.stop();
        }
        assert_eq!(joined(server, soon), End::Drained);
    }
    // A stop.
    let (model, gate) = gated();
    let server = serve(&[("m", model)], Config { grace: Duration::from_secs(3600), ..config() });
    let mut busy = Client::connect(server.address().unwrap());
    busy.send(post("/predict", "[1]").as_bytes()).unwrap();
    gate.waiting.recv().unwrap();
    server.stop();
    assert_eq!(joined(server, soon), End::Stopped);
}

#[test]
fn the_grace_ends_and_a_stop_does_not_wait() {
    let (model, gate) = gated();
    let grace = Duration::from_millis(200);
    let server =
        serve(&[("m", model)], Config { inline_bytes: 0, idle_grace: grace, grace, ..Config::default() });
    let mut busy = Client::connect(server.address().unwrap());
    busy.send(post("/predict", "[1]").as_bytes()).unwrap();
    gate.waiting.recv().unwrap();
    server.drain();
    assert_eq!(server.join(), End::Cut { connections: 1 });
    assert!(busy.reply().is_err());
    drop(gate);

    let server = serve(&[("m", mixed())], Config::default());
    let mut client = Client::connect(server.address().unwrap());
    assert_eq!(client.get("/v2").status, 200);
    let start = Instant::now();
    server.stop();
    assert_eq!(server.join(), End::Stopped);
    assert!(start.elapsed() < Duration::from_secs(10));
    // Dropping the handle is a stop.
    let address = serve(&[("m", mixed())], Config::default()).address().unwrap();
    assert!(Client::try_connect(address).is_err());
}
