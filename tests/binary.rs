//! The `tilewise` binary, built once and run as a person would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// The binary in the target folder and profile of this test. `make test` says that it is as fresh as the sources (by
/// `TILEWISE_BUILT`); otherwise it is built here.
fn path() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("the path of this test");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
        let binary = profile.join("tilewise");
        if std::env::var_os("TILEWISE_BUILT").is_some() && binary.is_file() {
            return binary;
        }
        let release = profile.ends_with("release");
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "-p", "tilewise", "--target-dir"])
            .arg(profile.parent().expect("target"))
            .args(release.then_some("--release"))
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "cargo build -p tilewise failed");
        binary
    })
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the workspace")
}

/// One of the embedded data sets.
pub(crate) fn embedded(name: &str) -> String {
    root().join("cli/data").join(name).display().to_string()
}

pub(crate) fn tilewise(arguments: &[&str]) -> Output {
    Command::new(path()).args(arguments).output().expect("tilewise runs")
}

/// Runs with a text as standard input; what it wrote to stdout and stderr.
pub(crate) fn with_input(arguments: &[&str], text: &str) -> (String, String) {
    let mut child = Command::new(path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tilewise runs");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr))
}

/// `tilewise serve` of one model on a free port; killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(model: &str) -> Self {
        let mut child = Command::new(path())
            .args(["serve", model, "-b", "127.0.0.1:0", "-w", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("tilewise serves");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let address = line.strip_prefix("listening on http://").and_then(|l| l.split(',').next());
        Self { child, address: address.expect("an address").to_owned() }
    }

    /// The body of the reply to `POST /predict`.
    pub(crate) fn predict(&self, body: &str) -> String {
        let (status, reply) = self.post(body);
        assert_eq!(status, 200, "{reply}");
        reply
    }

    /// The status and the body of the reply to `POST /predict`.
    pub(crate) fn post(&self, body: &str) -> (u16, String) {
        self.post_to("/predict", body)
    }

    /// The same of a path.
    pub(crate) fn post_to(&self, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the server listens");
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: tilewise\r\nconnection: close\r\n");
        write!(stream, "{head}content-length: {length}\r\n\r\n{body}").expect("the server reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("the server answers");
        let status = reply.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), reply.split_once("\r\n\r\n").expect("a head").1.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs and expects success; what it printed.
pub(crate) fn works(arguments: &[&str]) -> String {
    let output = tilewise(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The first number behind `name` in a printed table of measures.
pub(crate) fn measure(told: &str, name: &str) -> f64 {
    let line = told.lines().find_map(|l| l.trim_start().strip_prefix(name));
    let number = line.and_then(|l| l.split_whitespace().next()).and_then(|x| x.parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in\n{told}"))
}

/// A folder of one test's own, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tilewise-system-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
