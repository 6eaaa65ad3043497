//! `tilewise serve` as a process: it answers what `tilewise predict` answers, and ends as it should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const TILEWISE: &str = env!("CARGO_BIN_EXE_tilewise");

fn tilewise(arguments: &[&str]) -> String {
    let done = Command::new(TILEWISE).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A served process; killed when a test fails.
struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
    curl: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(TILEWISE)
            .args(["serve", "-b", "127.0.0.1:0", "-w", "2"])
            .args(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line
        };
        let first = line();
        let address =
            first.strip_prefix("listening on http://").and_then(|l| l.split(',').next()).unwrap().to_owned();
        line();
        let curl = line();
        Self { child, out, address, curl }
    }

    fn post(&self, path: &str, body: &str) -> (String, TcpStream) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        write!(stream, "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"}") {
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).unwrap();
            assert!(n > 0, "{}", String::from_utf8_lossy(&reply));
            reply.extend_from_slice(&buffer[..n]);
        }
        (String::from_utf8(reply).unwrap().split("\r\n\r\n").nth(1).unwrap().to_owned(), stream)
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A table with text, missing cells and a number; returns the model's file and rows to ask for.
fn trained(folder: &Path) -> (String, Vec<[&'static str; 3]>) {
    let mut table = String::from("size,colour,old,price\n");
    for i in 0..60 {
        let colour = ["red", "blue", "dark \"green\""][i % 3].replace('"', "\"\"");
        let size = if i % 11 == 5 { String::new() } else { format!("{}.25", i * 7 % 19) };
        table += &format!("{size},\"{colour}\",{},{}\n", i % 2 == 0, (i * i) % 23);
    }
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("train.csv"), table).unwrap();
    let model = path("m.safetensors");
    tilewise(&[
        "train",
        "--model",
        "ridge",
        "--data",
        &path("train.csv"),
        "--target",
        "price",
        "--out",
        &model,
    ]);
    (
        model,
        vec![
            ["1.5", "blue", "true"],
            ["", "red", "false"],
            ["-2e3", "dark \"green\"", "false"],
            ["7", "", "true"],
        ],
    )
}

#[test]
fn answers_what_predict_answers_and_drains() {
    let folder = folder("answers");
    let (model, rows) = trained(&folder);
    let mut table = String::from("old,colour,size\n");
    let mut body = Vec::new();
    for [size, colour, old] in &rows {
        table += &format!("{old},\"{}\",{size}\n", colour.replace('"', "\"\""));
        let size = if size.is_empty() { "null" } else { size };
        let colour =
            if colour.is_empty() { "null".into() } else { format!("\"{}\"", colour.replace('"', "\\\"")) };
        body.push(format!("{{\"colour\": {colour}, \"size\": {size}, \"old\": {old}}}"));
    }
    let data = folder.join("new.csv");
    std::fs::write(&data, table).unwrap();
    let predicted = tilewise(&["predict", "--model", &model, "--data", data.to_str().unwrap()]);
    let predicted: Vec<f64> = predicted.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!(predicted.len(), rows.len());

    let mut server = Server::start(&[&model, "--access-log"]);
    let (reply, kept) = server.post("/predict", &format!("[{}]", body.join(",")));
    let served = reply.strip_prefix("{\"predictions\":[").and_then(|r| r.strip_suffix("]}")).unwrap();
    let served: Vec<f64> = served.split(',').map(|x| x.parse().unwrap()).collect();
    assert_eq!(served, predicted);
    // The line that is printed to try works.
    let row = server.curl.split('\'').nth(1).unwrap();
    assert!(server.post("/predict/m", row).0.starts_with("{\"prediction\":"));

    server.signal("-TERM");
    assert!(server.child.wait().unwrap().success());
    drop(kept);
    let mut log = String::new();
    server.out.read_to_string(&mut log).unwrap();
    assert_eq!(log.lines().filter(|l| l.contains("\"POST /predict\" 200 ")).count(), 1, "{log}");
}

#[test]
fn the_line_to_try_holds_the_offset() {
    let folder = folder("offset");
    let (data, model) = (folder.join("t.csv"), folder.join("m.safetensors"));
    std::fs::write(&data, "x,known,y\n1,0,1\n2,5,7\n3,1,4\n").unwrap();
    let (data, model) = (data.to_str().unwrap(), model.to_str().unwrap());
    tilewise(&[
        "train", "--model", "linear", "--data", data, "--target", "y", "--offset", "known", "--out", model,
    ]);
    let server = Server::start(&[model]);
    let row = server.curl.split('\'').nth(1).unwrap();
    assert!(row.contains("known") && server.post("/predict", row).0.starts_with("{\"prediction\":"), "{row}");
    assert!(tilewise(&["inspect", "--model", model]).contains("known  numeric, the offset"));
}

#[test]
fn files_that_nobody_may_write_to_are_mapped() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("mapped");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let _ = std::fs::remove_file(path("m.safetensors"));
    trained(&folder);
    let (data, model) = (path("train.csv"), path("m.safetensors"));
    tilewise(&["train", "--model", "forest", "--data", &data, "--target", "price", "--out", &model]);
    let asked = ["serve", "--check-config", "--mmap", &model];
    let refused = Command::new(TILEWISE).args(asked).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("chmod a-w"), "{told}");
    let row = r#"{"size": 2.5, "colour": "red", "old": true}"#;
    let read = Server::start(&[&model]).post("/predict", row).0;
    std::fs::set_permissions(&model, std::fs::Permissions::from_mode(0o444)).unwrap();
    let server = Server::start(&[&model, "--mmap"]);
    assert_eq!(server.post("/predict", row).0, read);
    #[cfg(target_os = "linux")]
    {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.child.id())).unwrap();
        assert!(maps.contains("m.safetensors"), "{maps}");
    }
}

#[test]
fn several_models_and_what_is_refused() {
    let folder = folder("several");
    let (model, _) = trained(&folder);
    let server = Server::start(&[&format!("a={model}"), &format!("b={model}")]);
    let row = "[1, \"red\", true]";
    assert!(server.post("/predict/a", row).0.starts_with("{\"prediction\":"));
    assert_eq!(server.post("/predict/a", row).0, server.post("/predict/b", row).0);
    assert!(server.post("/predict", row).0.starts_with("{\"error\":"));
    for arguments in [
        vec!["serve"],
        vec!["serve", "nothing.safetensors"],
        vec!["serve", &model, "-b", "127.0.0.1:x"],
        vec!["serve", &model, "-b", &server.address],
        vec!["serve", &model, &model],
        vec!["serve", &model, "--max-body", "lots"],
        vec!["serve", &format!("a b={model}")],
    ] {
        let done = Command::new(TILEWISE).args(&arguments).output().unwrap();
        assert!(!done.status.success() && !done.stderr.is_empty() && done.stdout.is_empty(), "{arguments:?}");
    }
}

/// Weights of 8 bits, and a network of ONNX whose answers ONNX Runtime gave (`models/network/tests/golden/imported.py`).
#[test]
fn networks_of_bytes_and_of_onnx_are_served() {
    let folder = folder("networks");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/network/tests/golden/imported");
    let (_, rows) = trained(&folder);
    let (model, small, data) = (path("net.safetensors"), path("small.safetensors"), path("train.csv"));
    let train = ["train", "--model", "network", "--data", &data, "--target", "price", "--out", &model];
    tilewise(&[&train[..], &["--set", "epochs=5"]].concat());
    tilewise(&["quantise", "--model", &model, "--data", &data, "--out", &small]);
    let onnx = golden.join("rows.onnx").display().to_string();
    let server = Server::start(&[&format!("small={small}"), &format!("rows={onnx}")]);
    let text = std::fs::read_to_string(golden.join("answers.csv")).unwrap();
    let lines: Vec<Vec<f64>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("rows,"))
        .map(|line| line.split(',').map(|x| x.parse().unwrap()).collect())
        .collect();
    assert_eq!(lines.len(), 6);
    for line in &lines {
        let (row, told) = line.split_at(6);
        let reply: serde_json::Value =
            serde_json::from_str(&server.post("/predict/rows", &format!("{row:?}")).0).unwrap();
        let shares = &reply["probabilities"];
        for (class, told) in told.iter().enumerate() {
            let share = shares[class.to_string()].as_f64().unwrap_or_else(|| panic!("{reply}"));
            assert!((share - told).abs() < 1e-5, "{reply}: {told:?}");
        }
    }
    let refused = |path: &str, body: &str, part: &str| {
        let reply = server.post(path, body).0;
        assert!(reply.starts_with("{\"error\":") && reply.contains(part), "{reply}");
    };
    refused("/predict/rows", "[1, 2, 3]", "6");
    refused("/predict/rows", "[1, 2, 3, 4, 5, null]", "x5");
    refused("/predict/rows", "[1, 2, 3, 4, 5, 1e300]", "too large");
    refused("/predict/small", "{\"size\": 1}", "colour");
    refused("/predict/small", "{\"size\": 1e300, \"colour\": \"red\", \"old\": true}", "too large");
    for [size, colour, old] in &rows {
        let colour = colour.replace('"', "\"\"");
        std::fs::write(path("row.csv"), format!("size,colour,old\n{size},\"{colour}\",{old}\n")).unwrap();
        let told = tilewise(&["predict", "--model", &small, "--data", &path("row.csv")]);
        let [size, colour] = [size, &*colour].map(|cell| if cell.is_empty() { "null" } else { cell });
        let colour =
            if colour == "null" { colour.to_owned() } else { format!("{:?}", colour.replace("\"\"", "\"")) };
        let body = format!("{{\"size\": {size}, \"colour\": {colour}, \"old\": {old}}}");
        let reply = server.post("/predict/small", &body).0;
        assert_eq!(reply, format!("{{\"prediction\":{}}}", told.lines().nth(1).unwrap()));
    }
}

/// A reader of the access log that has stopped reading, and of everything else that the process says, does not keep it.
#[test]
fn ends_although_nobody_reads_what_it_writes() {
    let (model, _) = trained(&folder("stuck"));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = Command::new(TILEWISE)
        .args(["serve", "-b", "127.0.0.1:0", "-w", "1", "--graceful-timeout", "1", "--access-log", &model])
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut out = BufReader::with_capacity(1, reader);
    let mut first = String::new();
    // Its other notes are in the same pipe.
    while !first.starts_with("listening") {
        first.clear();
        assert!(out.read_line(&mut first).unwrap() > 0);
    }
    let address = first.strip_prefix("listening on http://").and_then(|l| l.split(',').next()).unwrap();
    // Some 700 bytes of log each, into a pipe of 64 KiB.
    let request =
        format!("GET /{} HTTP/1.1\r\nhost: a\r\nuser-agent: {}\r\n\r\n", "p".repeat(500), "a".repeat(200));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for _ in 0..500 {
        stream.write_all(request.as_bytes()).unwrap();
        let (mut reply, mut buffer) = (Vec::new(), [0; 4096]);
        while !reply.ends_with(b"}") {
            let n = stream.read(&mut buffer).unwrap();
            reply.extend_from_slice(&buffer[..n]);
        }
    }
    drop(stream);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let start = std::time::Instant::now();
    let ended = loop {
        match child.try_wait().unwrap() {
            None if start.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(10))
            }
            ended => break ended,
        }
    };
    let _ = child.kill();
    let ended = ended.expect("the process has not ended");
    assert!(ended.success() && start.elapsed() >= Duration::from_secs(1), "{ended} {:?}", start.elapsed());
}

/// A process that is not our child; ended when the test fails.
struct Other(u32);

impl Other {
    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.0.to_string()]).status().unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0.to_string()]).stderr(Stdio::null()).status();
    }
}

/// Waits until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// SIGUSR2: a new process gets the socket, the old one is told to end, and no request is lost, by clients that keep their
/// connections and by those that do not. What is told to end first may be the new one too.
#[test]
fn a_successor_takes_over_without_a_lost_request() {
    let folder = folder("successor");
    let (model, _) = trained(&folder);
    let pid = folder.join("pid");
    let aside = folder.join("pid.oldbin");
    for file in [&pid, &aside] {
        let _ = std::fs::remove_file(file);
    }
    let mut server = Server::start(&[&model, "--pid", pid.to_str().unwrap()]);
    let first = server.child.id();
    let number =
        |file: &Path| std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    assert_eq!(number(&pid), Some(first));
    let successor = || {
        server.signal("-USR2");
        until("no successor", || number(&pid).is_some_and(|pid| pid != first));
        let other = Other(number(&pid).unwrap());
        assert_eq!(number(&aside), Some(first));
        // Once only.
        server.signal("-USR2");
        other
    };
    // The new one is not wanted: all is as before.
    let other = successor();
    other.signal("-TERM");
    until("the pid file has not come back", || number(&pid) == Some(first));
    drop(other);
    assert!(server.post("/predict", "[1, \"red\", true]").0.starts_with("{\"prediction\":"));

    let stop = std::sync::atomic::AtomicBool::new(false);
    let (stop, address) = (&stop, server.address.clone());
    let answered = std::thread::scope(|scope| {
        let clients: Vec<_> = [true, true, false, false]
            .map(|keeps| {
                let address = &address;
                scope.spawn(move || {
                    let request = b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\n\r\n";
                    let (mut kept, mut answered) = (None, 0);
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let mut stream: TcpStream =
                            kept.take().unwrap_or_else(|| TcpStream::connect(address).unwrap());
                        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                        stream.write_all(request).unwrap();
                        let mut reply = Vec::new();
                        while !reply.ends_with(b"}") {
                            let mut buffer = [0; 1024];
                            let n = stream.read(&mut buffer).unwrap();
                            assert!(n > 0, "{}", String::from_utf8_lossy(&reply));
                            reply.extend_from_slice(&buffer[..n]);
                        }
                        let reply = String::from_utf8(reply).unwrap();
                        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
                        answered += 1;
                        kept = (keeps && !reply.contains("connection: close")).then_some(stream);
                    }
                    answered
                })
            })
            .into();
        let work = || {
            std::thread::sleep(Duration::from_millis(100));
            let other = successor();
            std::thread::sleep(Duration::from_millis(200));
            server.signal("-TERM");
            until("the old one has not ended", || !aside.exists());
            std::thread::sleep(Duration::from_millis(100));
            other
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let answered: Vec<i32> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        (answered, done.unwrap())
    });
    let (answered, other) = answered;
    assert!(answered.iter().all(|&n| n > 20), "{answered:?}");
    assert!(server.child.wait().unwrap().success());
    // The new one has all to itself.
    assert_eq!(number(&pid), Some(other.0));
    assert!(server.post("/predict", "[1, \"red\", true]").0.starts_with("{\"prediction\":"));
    other.signal("-TERM");
    until("the new one has not ended", || !pid.exists());
    until("somebody still listens", || TcpStream::connect(&address).is_err());
}

/// A Unix socket, one worker more and fewer, a successor there too, and SIGQUIT.
#[test]
fn listens_on_a_unix_socket_and_obeys_the_other_signals() {
    let folder = folder("unix");
    let (model, _) = trained(&folder);
    let (socket, pid) = (folder.join("s"), folder.join("pid"));
    for file in [&socket, &pid] {
        let _ = std::fs::remove_file(file);
    }
    let bind = format!("unix:{}", socket.display());
    let mut child = Command::new(TILEWISE)
        .args(["serve", "-w", "1", &model, "-b", &bind, "--pid", pid.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with(&format!("listening on {bind}, workers: 1")), "{line}");
    let first = Other(child.id());
    let ask = |path: &str| {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    };
    assert!(ask("/v2/health/ready").starts_with("HTTP/1.1 200 "));
    let workers = |count: usize| {
        until("another number of workers", || {
            ask("/metrics").contains(&format!("\ntilewise_workers {count}\n"))
        });
    };
    workers(1);
    first.signal("-TTIN");
    workers(2);
    first.signal("-TTIN");
    workers(3);
    first.signal("-TTOU");
    workers(2);
    first.signal("-TTOU");
    first.signal("-TTOU");
    workers(1);
    let second = Command::new(TILEWISE).args(["serve", &model, "-b", &bind]).output().unwrap();
    assert!(
        !second.status.success()
            && String::from_utf8_lossy(&second.stderr).contains("cannot listen on unix:")
    );

    first.signal("-USR2");
    let number = || std::fs::read_to_string(&pid).ok().and_then(|text| text.trim().parse::<u32>().ok());
    until("no successor", || number().is_some_and(|pid| pid != first.0));
    let other = Other(number().unwrap());
    first.signal("-QUIT");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    std::mem::forget(first);
    assert!(ask("/v2/health/ready").starts_with("HTTP/1.1 200 "));
    other.signal("-TERM");
    until("the file of the socket is still there", || !socket.exists());
    until("the new one has not ended", || !pid.exists());
}

/// What programs that watch over a service rely on: a pid file, a log that can be moved away, systemd's notifications,
/// an end after so many requests, and a check that serves nothing.
#[test]
fn lives_as_supervisors_expect() {
    let folder = folder("life");
    let (model, _) = trained(&folder);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (pid, log, socket) = (path("pid"), path("access.log"), path("notify"));
    for file in [&pid, &log, &socket, &format!("{log}.1")] {
        let _ = std::fs::remove_file(file);
    }
    let systemd = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let told = || {
        let mut buffer = [0; 64];
        let n = systemd.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    };
    let mut server = Server::start_with(
        &[&model, "--pid", &pid, &format!("--access-log={log}"), "--max-requests", "5"],
        &[("NOTIFY_SOCKET", &socket)],
    );
    assert_eq!(told(), "READY=1");
    assert_eq!(std::fs::read_to_string(&pid).unwrap(), format!("{}\n", server.child.id()));
    let second =
        Command::new(TILEWISE).args(["serve", &model, "-b", "127.0.0.1:0", "--pid", &pid]).output().unwrap();
    assert!(
        !second.status.success()
            && String::from_utf8_lossy(&second.stderr).contains("it holds the number of process")
    );

    let row = "[1, \"red\", true]";
    let lines = |file: &str| std::fs::read_to_string(file).unwrap_or_default().lines().count();
    let until = |file: &str, count: usize| {
        let start = std::time::Instant::now();
        while lines(file) != count {
            assert!(start.elapsed() < Duration::from_secs(20), "{file}: {}", lines(file));
        }
    };
    server.post("/predict", row);
    until(&log, 1);
    std::fs::rename(&log, format!("{log}.1")).unwrap();
    server.post("/predict", row);
    until(&format!("{log}.1"), 2);
    server.signal("-USR1");
    until(&log, 0);
    let start = std::time::Instant::now();
    while !Path::new(&log).exists() {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    server.post("/predict", row);
    server.post("/predict", row);
    until(&log, 2);
    // The fifth is the last.
    server.post("/predict", row);
    assert!(server.child.wait().unwrap().success());
    assert_eq!(told(), "STOPPING=1");
    assert!(!Path::new(&pid).exists());
    assert_eq!((lines(&log), lines(&format!("{log}.1"))), (3, 2));

    let check = |arguments: &[&str]| {
        Command::new(TILEWISE).args(["serve", "--check-config"]).args(arguments).output().unwrap()
    };
    let fine = check(&[&model]);
    assert!(fine.status.success());
    assert_eq!(String::from_utf8(fine.stdout).unwrap(), "m: ridge model\nthe configuration is fine\n");
    std::fs::write(path("broken.safetensors"), "nothing").unwrap();
    for bad in
        [vec!["nothing.safetensors"], vec![&path("broken.safetensors")], vec![&model, "-b", "127.0.0.1:x"]]
    {
        let done = check(&bad);
        assert!(!done.status.success() && done.stdout.is_empty() && !done.stderr.is_empty(), "{bad:?}");
    }
}
