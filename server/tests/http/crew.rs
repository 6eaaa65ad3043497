//! More and fewer workers while requests come, and Unix sockets.

use crate::client::{Client, post, served};
use crate::models::mixed;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tilewise_server::{Bind, Config, End, Handle, start};

const ROW: &str = "[1,\"red\",true]";

fn serve(config: Config) -> Handle {
    start(config, vec![("m".to_owned(), mixed())]).unwrap()
}

/// Clients that keep their connections, and clients that do not, lose nothing, whoever retires.
#[test]
fn workers_come_and_go_under_load() {
    let config = Config { idle_grace: Duration::from_millis(50), ..Config::default() };
    let server = serve(served(config));
    let (address, stop) = (server.address().unwrap(), AtomicBool::new(false));
    let total = AtomicUsize::new(0);
    let count = || -> usize {
        let text = Client::connect(address).get("/metrics").body;
        text.lines().find_map(|line| line.strip_prefix("tilewise_workers ")).unwrap().parse().unwrap()
    };
    let until = |workers: usize| {
        let begin = Instant::now();
        while count() != workers {
            assert!(begin.elapsed() < Duration::from_secs(20), "{} instead of {workers}", count());
        }
    };
    std::thread::scope(|scope| {
        let (stop, total) = (&stop, &total);
        let clients = [true, true, true, false].map(|keeps| {
            scope.spawn(move || {
                let (mut kept, mut moved, mut answered) = (None, 0, 0);
                while !stop.load(Ordering::Relaxed) {
                    let mut client = kept.take().unwrap_or_else(|| Client::connect(address));
                    let reply = client.post("/predict", ROW);
                    assert_eq!(reply.json()["prediction"], 121.0);
                    answered += 1;
                    total.fetch_add(1, Ordering::Relaxed);
                    match reply.header("connection") {
                        Some(_) => moved += 1,
                        None => kept = keeps.then_some(client),
                    }
                }
                (moved, answered)
            })
        });
        for _ in 0..5 {
            for more in 3..=5 {
                server.add_worker();
                until(more);
            }
            for fewer in (1..=4).rev() {
                server.remove_worker();
                until(fewer);
            }
            // Each round sees some requests.
            let (seen, begin) = (total.load(Ordering::Relaxed), Instant::now());
            while total.load(Ordering::Relaxed) < seen + 100 {
                assert!(begin.elapsed() < Duration::from_secs(120));
                std::thread::sleep(Duration::from_millis(1));
            }
            // The last stays.
            server.remove_worker();
            server.add_worker();
            until(2);
        }
        stop.store(true, Ordering::Relaxed);
        let seen = clients.map(|client| client.join().unwrap());
        assert!(seen.iter().all(|(_, answered)| *answered > 5), "{seen:?}");
        // Who keeps his connection was told to open another, now and then.
        assert!(seen[..3].iter().map(|(moved, _)| moved).sum::<i32>() > 0, "{seen:?}");
    });
    // A connection without a request is closed by the worker that holds it, when that retires.
    server.add_worker();
    until(3);
    let mut idle: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    assert!(idle.iter_mut().all(|client| client.post("/predict", ROW).status == 200));
    server.remove_worker();
    server.remove_worker();
    until(1);
    let open = || -> usize {
        let text = Client::connect(address).get("/metrics").body;
        let told = text.lines().find_map(|line| line.strip_prefix("tilewise_connections_open "));
        told.unwrap().parse().unwrap()
    };
    // What is left answers, and is all that is open beside who asks. How many that are depends on who had them: connections that were
    // just closed counted as well when they were handed out.
    let begin = Instant::now();
    while idle.len() == 3 || open() != 1 + idle.len() {
        assert!(begin.elapsed() < Duration::from_secs(120), "{} answer, {} are open", idle.len(), open());
        idle = idle
            .into_iter()
            .filter_map(|mut client| {
                let reply = client.try_post("/predict", ROW).ok()?;
                reply.header("connection").is_none().then_some(client)
            })
            .collect();
    }
    server.drain();
    drop(idle);
    assert_eq!(server.join(), End::Drained);
}

#[test]
fn a_unix_socket_is_one_server_s() {
    let path: PathBuf = std::env::temp_dir().join(format!("tilewise-socket-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let config = || Config { bind: Bind::Unix(path.clone()), ..Config::default() };
    let log = path.with_extension("log");
    let server = serve(Config { access_log: Some(log.clone()), ..config() });
    assert_eq!((server.address(), server.bound()), (None, &Bind::Unix(path.clone())));
    let refused = start(config(), vec![("m".to_owned(), mixed())]).map(drop).unwrap_err().to_string();
    assert!(refused.contains("cannot listen on unix:/"), "{refused}");
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reply = [0; 4096];
    for _ in 0..3 {
        client.write_all(post("/predict", ROW).as_bytes()).unwrap();
        let n = client.read(&mut reply).unwrap();
        assert!(reply[..n].ends_with(b"{\"prediction\":121.0}"), "{}", String::from_utf8_lossy(&reply[..n]));
    }
    server.drain();
    drop(client);
    assert_eq!(server.join(), End::Drained);
    assert!(!path.exists());
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.lines().count() == 3 && lines.starts_with("- - - ["), "{lines}");
    std::fs::remove_file(&log).unwrap();
    // One that was left behind is replaced, another file is not.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(serve(config()));
    assert!(!path.exists());
    std::fs::write(&path, "kept").unwrap();
    assert!(start(config(), vec![("m".to_owned(), mixed())]).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    std::fs::remove_file(&path).unwrap();
}
