//! A client on a bare socket, so that requests can be cut, slowed and malformed.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tilewise_base::Model;
use tilewise_server::{Config, Handle, start};

/// No reply takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
    /// The text of `error`, the only key of its body.
    pub(crate) fn error(&self) -> String {
        let value = self.json();
        assert_eq!(value.as_object().unwrap().len(), 1, "{self:?}");
        value["error"].as_str().unwrap().to_owned()
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, unread: Vec::new() })
    }
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }
    pub(crate) fn end_of_requests(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.unread.extend_from_slice(&buffer[..n]);
                Ok(())
            }
        }
    }
    /// Reads up to so many bytes, whatever they are.
    pub(crate) fn read_some(&mut self, most: usize) -> io::Result<usize> {
        self.stream.read(&mut vec![0; most])
    }
    /// The next reply; an error when the connection ends before or within it.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let end = loop {
            if let Some(i) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                break i + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut reply = Reply { status, head, body: String::new(), bytes: Vec::new() };
        let length = reply.header("content-length").map_or(0, |n| n.parse().unwrap());
        while self.unread.len() < length {
            self.more()?;
        }
        reply.bytes = self.unread.drain(..length).collect();
        reply.body = String::from_utf8_lossy(&reply.bytes).into_owned();
        Ok(reply)
    }
    /// Whether the server closes without a further byte.
    pub(crate) fn ends(&mut self) -> bool {
        self.unread.is_empty() && self.stream.read(&mut [0]).is_ok_and(|n| n == 0)
    }
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Reply {
        self.send(post(path, body).as_bytes()).unwrap();
        self.reply().unwrap()
    }
    /// The same where the connection may have ended.
    pub(crate) fn try_post(&mut self, path: &str, body: &str) -> io::Result<Reply> {
        self.send(post(path, body).as_bytes())?;
        self.reply()
    }
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).unwrap();
        self.reply().unwrap()
    }
}

/// The bytes of a request.
pub(crate) fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Settings of a server on a free port.
pub(crate) fn served(config: Config) -> Config {
    Config { bind: SocketAddr::from(([127, 0, 0, 1], 0)).into(), workers: config.workers.max(2), ..config }
}

/// A server on a free port.
pub(crate) fn serve(models: &[(&str, Arc<dyn Model>)], config: Config) -> Handle {
    let models = models.iter().map(|(name, model)| (name.to_string(), Arc::clone(model))).collect();
    start(served(config), models).unwrap()
}

/// A server of one model and a connection to it.
pub(crate) fn serve_one(model: Arc<dyn Model>) -> (Handle, Client) {
    let handle = serve(&[("m", model)], Config::default());
    let client = Client::connect(handle.address().unwrap());
    (handle, client)
}
