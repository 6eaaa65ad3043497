//! Clients that are slow or stuck: they are cut off after their time, and move nobody else.

use crate::client::{Client, post, serve};
use crate::models::{mixed, wide};
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use tilewise_server::{Config, Handle};

const ROW: &str = "[1,\"red\",true]";
const SHORT: Duration = Duration::from_millis(400);

#[test]
fn slow_clients_are_told_and_harm_nobody() {
    let config = Config { header_timeout: SHORT, body_timeout: SHORT, ..Config::default() };
    let server = serve(&[("m", mixed())], config.clone());
    let connect = || Client::connect(server.address().unwrap());
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
    let mut used = Client::connect(server.address().unwrap());
    assert_eq!(used.post("/predict", ROW).status, 200);
    assert!(used.ends());
}

/// A client that sends requests and never reads replies is cut off.
#[test]
fn replies_that_nobody_reads() {
    let server = serve(&[("m", mixed())], Config { write_timeout: SHORT, ..Config::default() });
    let mut client = Client::connect(server.address().unwrap());
    let many = post("/predict", &format!("[{}{ROW}]", format!("{ROW},").repeat(10_000)));
    let start = Instant::now();
    while client.send(many.as_bytes()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(Client::connect(server.address().unwrap()).post("/predict", ROW).status, 200);
}

/// A server whose times are all short, and that gives long replies at `/predict/wide`.
fn impatient(config: Config) -> Handle {
    let config = Config { header_timeout: SHORT, body_timeout: SHORT, write_timeout: SHORT, ..config };
    serve(&[("m", mixed()), ("wide", wide())], config)
}

/// A request whose reply has so many times 24,000 bytes: 200 are beyond what the system holds for a client.
fn long(rows: usize) -> String {
    post("/predict/wide", &format!("[{}[1]]", "[1],".repeat(rows - 1)))
}

fn open(server: &Handle) -> u64 {
    let text = Client::connect(server.address().unwrap()).get("/metrics").body;
    let line = text.lines().find_map(|line| line.strip_prefix("tilewise_connections_open "));
    line.unwrap().parse().unwrap()
}

/// Waits until so few connections are open, the one that asks among them.
fn until_open(server: &Handle, connections: u64) {
    let start = Instant::now();
    while open(server) > connections {
        assert!(start.elapsed() < Duration::from_secs(20), "{} connections", open(server));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Two hundred that stand still in the head, in the body and in the reply.
#[test]
fn stuck_clients_are_closed_after_their_time_and_healthy_ones_answered_meanwhile() {
    let patient = Duration::from_secs(3);
    let config = Config {
        header_timeout: patient,
        body_timeout: patient,
        write_timeout: patient,
        ..Config::default()
    };
    let server = serve(&[("m", mixed()), ("wide", wide())], config);
    let head = "POST /predict/m HTTP/1.1\r\nho".to_owned();
    let body = post("/predict/m", ROW)[..60].to_owned();
    let start = Instant::now();
    let stuck = |request: &str, count: usize| -> Vec<Client> {
        let one = || {
            let mut client = Client::connect(server.address().unwrap());
            client.send(request.as_bytes()).unwrap();
            client
        };
        (0..count).map(|_| one()).collect()
    };
    let (heads, bodies, readers) = (stuck(&head, 90), stuck(&body, 90), stuck(&long(200), 20));
    let mut healthy = Client::connect(server.address().unwrap());
    let mut answered = 0;
    while open(&server) > 200 && answered < 500 {
        let asked = Instant::now();
        assert_eq!(healthy.post("/predict/m", ROW).json()["prediction"], 121.0);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        answered += 1;
    }
    assert!(answered > 20, "{answered} in {:?}", start.elapsed());
    for mut client in heads.into_iter().chain(bodies) {
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
        assert!(client.ends());
    }
    // The healthy one, and the one that asks.
    until_open(&server, 2);
    assert!(start.elapsed() >= patient && start.elapsed() < 5 * patient, "{:?}", start.elapsed());
    for mut client in readers {
        assert_eq!(client.reply().unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(healthy.post("/predict/m", ROW).status, 200);
}

/// What is not read occupies memory: it is counted until it is read, or the client cut off. What would be answered is counted before it
/// is predicted, however small the request is: 4096 numbers of 25 bytes in text and 8 in memory for each row.
#[test]
fn answers_count_as_memory_until_they_are_read() {
    let server = impatient(Config { max_waiting: 30_000_000, ..Config::default() });
    let waiting = || -> u64 {
        let text = Client::connect(server.address().unwrap()).get("/metrics").body;
        text.lines().find_map(|line| line.strip_prefix("tilewise_large_bytes ")).unwrap().parse().unwrap()
    };
    let mut stuck = Client::connect(server.address().unwrap());
    stuck.send(long(200).as_bytes()).unwrap();
    let start = Instant::now();
    // Up to then it is what it may become.
    while !(4_000_000..6_000_000).contains(&waiting()) {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    let ask = |client: &mut Client, request: &str| {
        client.send(request.as_bytes()).unwrap();
        client.reply().unwrap()
    };
    let mut other = Client::connect(server.address().unwrap());
    let refused = ask(&mut other, &long(200));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.error().contains("max_waiting"), "{}", refused.error());
    // As many rows can never be answered, fewer at once, and on the same connection.
    let refused = ask(&mut other, &long(230));
    assert!(refused.status == 413 && refused.error().contains("fewer rows"), "{refused:?}");
    assert_eq!(ask(&mut other, &long(100)).status, 200);
    drop(other);
    let large = post("/predict/m", &format!("{ROW}{}", " ".repeat(40_000)));
    let mut whole = Client::connect(server.address().unwrap());
    assert_eq!(ask(&mut whole, &large).status, 200);
    drop(whole);
    until_open(&server, 1);
    assert_eq!(waiting(), 0);
    assert_eq!(ask(&mut Client::connect(server.address().unwrap()), &long(200)).status, 200);
}

/// A client that reads a little now and then is stuck too; one that reads steadily is not, however long it takes, and
/// whatever the time for connections without a request.
#[test]
fn replies_are_read_at_a_least_speed() {
    let keep_alive = Duration::from_millis(100);
    let server = impatient(Config { keep_alive, ..Config::default() });
    let mut dripping = Client::connect(server.address().unwrap());
    dripping.send(long(400).as_bytes()).unwrap();
    let start = Instant::now();
    // It and the one that asks. What has reached its system it can read after it was cut off.
    while open(&server) > 1 || start.elapsed() < SHORT {
        assert!(start.elapsed() < Duration::from_secs(20));
        assert!(dripping.read_some(64).unwrap() > 0);
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut steady = Client::connect(server.address().unwrap());
    steady.send(long(400).as_bytes()).unwrap();
    let start = Instant::now();
    let mut read = 0;
    while read < 9_000_000 {
        let n = steady.read_some(65_536).unwrap();
        assert!(n > 0, "{read}");
        read += n;
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(start.elapsed() > SHORT);
}
