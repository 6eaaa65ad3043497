//! A connection of the load generator: sends a request, reads its reply, never waits.

use rustix::event::epoll;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Instant;

/// A reply that has come.
pub(super) struct Reply {
    pub(super) status: u16,
    /// Whether it has a Retry-After.
    pub(super) retry: bool,
    pub(super) closes: bool,
    /// When its request was to be sent.
    pub(super) intended: Instant,
}

/// What a reply's head says.
#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    /// Where the body begins and ends.
    body: (usize, usize),
    retry: bool,
    closes: bool,
}

impl Head {
    /// None while it is incomplete.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
        let malformed = || Error::other("a reply is not HTTP with a Content-Length");
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| malformed())?;
        let (first, lines) = text.split_once("\r\n").unwrap_or((text, ""));
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
        let (mut length, mut retry, mut closes) = (None::<usize>, false, false);
        for (name, value) in lines.split("\r\n").filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok();
            } else if name.eq_ignore_ascii_case("retry-after") {
                retry = true;
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case("close");
            }
        }
        let body = (end + 4, end + 4 + length.ok_or_else(malformed)?);
        Ok(Some(Self { status, body, retry, closes }))
    }
}

/// How far a connection is.
pub(super) enum Progress {
    Waiting,
    Replied(Reply),
    /// The server has closed it without a reply.
    Lost,
}

/// What became of the beginning of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is on its way.
    Begun,
    /// The server was known to have closed the connection.
    Nothing,
    /// The server has closed it meanwhile.
    InVain,
}

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Bytes of the request that are sent.
    sent: usize,
    /// When the request under way was to be sent.
    pending: Option<Instant>,
    /// Whether it has carried a reply: only then may the server have closed it for having been idle.
    used: bool,
    /// Whether the server has closed it while nothing was under way.
    ended: bool,
}

impl Connection {
    /// Connects, and has `epoll` tell under `number` when it can go on.
    pub(super) fn open(address: SocketAddr, epoll: &OwnedFd, number: usize) -> Result<Self> {
        use epoll::EventFlags;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(epoll, &stream, epoll::EventData::new_u64(number as u64), flags)?;
        Ok(Self { stream, unread: Vec::new(), sent: 0, pending: None, used: false, ended: false })
    }

    /// When the request that has no reply yet was to be sent.
    pub(super) fn pending(&self) -> Option<Instant> {
        self.pending
    }

    pub(super) fn used(&self) -> bool {
        self.used
    }

    /// Begins to send `request`.
    pub(super) fn send(&mut self, request: &[u8], intended: Instant) -> Result<Sent> {
        (self.sent, self.pending) = (0, Some(intended));
        match self.ended {
            true => Ok(Sent::Nothing),
            false => Ok(if self.write(request)? { Sent::Begun } else { Sent::InVain }),
        }
    }

    /// Sends what can be sent; false where the server has closed the connection.
    fn write(&mut self, request: &[u8]) -> Result<bool> {
        while self.sent < request.len() {
            match self.stream.write(&request[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if is_close(&e) => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Goes on as far as it can.
    pub(super) fn progress(&mut self, request: &[u8]) -> Result<Progress> {
        let Some(intended) = self.pending else {
            self.ended |= !matches!(self.stream.read(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
            return Ok(Progress::Waiting);
        };
        // A server may refuse, and close, before it has read all.
        self.write(request)?;
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Progress::Lost),
                Ok(n) => self.unread.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waiting),
                Err(e) if is_close(&e) => return Ok(Progress::Lost),
                Err(e) => return Err(e),
            }
            if let Some(Head { status, body: (_, end), retry, closes }) = Head::parse(&self.unread)?
                && self.unread.len() >= end
            {
                self.unread.drain(..end);
                (self.pending, self.used) = (None, true);
                return Ok(Progress::Replied(Reply { status, retry, closes, intended }));
            }
        }
    }
}

fn is_close(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// Status and body of one reply.
pub(super) fn one(address: SocketAddr, request: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
    stream.write_all(request)?;
    let mut unread = Vec::new();
    loop {
        if let Some(Head { status, body: (start, end), .. }) = Head::parse(&unread)?
            && unread.len() >= end
        {
            return Ok((status, unread[start..end].to_vec()));
        }
        let mut buffer = [0; 16 * 1024];
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => unread.extend_from_slice(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nabrest";
        let expected = Head { status: 200, body: (57, 59), retry: false, closes: true };
        assert_eq!(Head::parse(reply).unwrap(), Some(expected));
        assert_eq!(&reply[57..59], b"ab");
        for cut in 0..57 {
            assert_eq!(Head::parse(&reply[..cut]).unwrap(), None);
        }
        let refusal = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
        assert!(Head::parse(refusal).unwrap().is_some_and(|head| head.status == 503 && head.retry));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
