//! A closed loop of requests: so many connections, each sends its next request when its reply has come.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What a server did under load.
pub(super) struct Load {
    pub(super) per_second: f64,
    /// Seconds from a request to its reply, ascending.
    pub(super) latencies: Vec<f64>,
}

impl Load {
    /// The time within which this share of the requests was answered.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

/// The bytes of a request.
pub(super) fn request(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /predict HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A connection, reopened where the server closes it.
struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    unread: Vec<u8>,
}

impl Connection {
    /// Sends `request` and waits for the reply, whose body is returned.
    async fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
            self.unread.clear();
        }
        let stream = self.stream.as_ref().ok_or(ErrorKind::NotConnected)?;
        let mut sent = 0;
        while sent < request.len() {
            match stream.try_write(&request[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => stream.writable().await?,
                Err(e) => return Err(e),
            }
        }
        loop {
            if let Some((start, end, closes)) = whole(&self.unread)? {
                let body = self.unread[start..end].to_vec();
                self.unread.drain(..end);
                if closes {
                    self.stream = None;
                }
                return Ok(body);
            }
            let mut buffer = [0; 4096];
            match stream.try_read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.unread.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => stream.readable().await?,
                Err(e) => return Err(e),
            }
        }
    }
}

/// Where the body of the first reply stands, if it is there, and whether the connection ends with it.
fn whole(bytes: &[u8]) -> Result<Option<(usize, usize, bool)>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(Error::other(format!("a reply is not 200: {}", head.lines().next().unwrap_or(""))));
    }
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length: Option<usize> = field("content-length:").and_then(|n| n.parse().ok());
    let length = length.ok_or_else(|| Error::other("a reply has no Content-Length"))?;
    let (start, closes) = (end + 4, field("connection:") == Some("close"));
    Ok((bytes.len() >= start + length).then_some((start, start + length, closes)))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The body of one reply.
pub(super) fn one(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    let mut connection = Connection { address, stream: None, unread: Vec::new() };
    runtime()?.block_on(connection.ask(request))
}

/// Loads a server for `time` after `warm`; every reply must be 200.
pub(super) fn load(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    warm: Duration,
    time: Duration,
) -> Result<Load> {
    runtime()?.block_on(async {
        let begin = Instant::now() + warm;
        let end = begin + time;
        let tasks: Vec<_> = (0..connections)
            .map(|_| {
                let request = request.to_vec();
                tokio::spawn(async move {
                    let mut connection = Connection { address, stream: None, unread: Vec::new() };
                    let mut latencies = Vec::new();
                    loop {
                        let start = Instant::now();
                        if start >= end {
                            return Ok::<_, Error>(latencies);
                        }
                        connection.ask(&request).await?;
                        if start >= begin {
                            latencies.push(start.elapsed().as_secs_f64());
                        }
                    }
                })
            })
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.map_err(Error::other)??);
        }
        latencies.sort_unstable_by(f64::total_cmp);
        Ok(Load { per_second: latencies.len() as f64 / time.as_secs_f64(), latencies })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_found_whole() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}HTTP";
        assert_eq!(whole(reply).unwrap(), Some((57, 59, true)));
        assert_eq!(&reply[57..59], b"{}");
        for cut in 0..59 {
            assert_eq!(whole(&reply[..cut]).unwrap(), None, "{cut}");
        }
        assert!(whole(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn quantiles_are_of_the_sorted() {
        let load = Load { per_second: 0.0, latencies: (0..101).map(f64::from).collect() };
        assert_eq!((load.quantile(0.5), load.quantile(0.99), load.quantile(1.0)), (50.0, 99.0, 100.0));
    }
}
