//! A connection's bytes, as hyper reads and writes them, with what hyper leaves to its caller.
//!
//! 1. Time limits: a head must be complete within `header_timeout` of its first byte (408 otherwise), a connection
//!    without a request ends after `keep_alive`, a reply of which nobody reads [`STEP`] bytes, or the rest, within
//!    `write_timeout`. One timer per connection is
//!    enough, and it is not touched per request: it fires at the earliest time that could matter, and then looks.
//! 2. To a head that it cannot parse hyper replies by itself, without a body; the body that every other refusal has
//!    is put in here.
//! 3. Closing a socket with unread bytes makes the system send a reset, which may destroy the last reply on its way:
//!    the rest of a refused request is read away first, within limits (RFC 9112, 9.6).

use crate::config::Config;
use crate::life::Phase;
use crate::listener::Socket;
use crate::reply::error_body;
use crate::server::Shared;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const SERVING: u8 = 2;
/// Opened, and nothing came yet: browsers open connections for later.
const FRESH: u8 = 3;
/// A reply is ready that the client does not read as fast as it is written.
const WRITING: u8 = 4;

/// What a client must read of a reply each `write_timeout`. Were a single byte enough, a client that takes one now and then
/// would hold its reply for ever.
const STEP: usize = 64 * 1024;

/// What a connection's stream and its requests tell each other. Only one thread uses it, so that it, rather than what
/// all share, is counted as a reference of each request.
pub(crate) struct Link {
    pub(crate) shared: Arc<Shared>,
    /// None over a Unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// Number of the worker that holds the connection.
    pub(crate) worker: usize,
    opened: Instant,
    /// Where the connection is: no request, within a head, within a request.
    state: AtomicU8,
    /// Since when, in nanoseconds after `opened`.
    since: AtomicU64,
}

impl Link {
    pub(crate) fn new(shared: Arc<Shared>, peer: Option<IpAddr>, worker: usize) -> Arc<Self> {
        let (state, since) = (AtomicU8::new(FRESH), AtomicU64::new(0));
        Arc::new(Self { shared, peer, worker, opened: Instant::now(), state, since })
    }

    /// Where the server is in its life, or the worker, if it retires.
    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        self.shared.life.phase().max(self.shared.places[self.worker].phase())
    }

    /// A head is complete.
    #[inline]
    pub(crate) fn serving(&self) {
        self.state.store(SERVING, Ordering::Relaxed);
    }

    /// A reply is ready.
    #[inline]
    pub(crate) fn idle(&self, now: Instant) {
        self.enter(IDLE, now);
    }

    #[inline]
    fn enter(&self, state: u8, now: Instant) {
        let since = u64::try_from((now - self.opened).as_nanos()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
        self.state.store(state, Ordering::Relaxed);
    }

    fn state(&self) -> (u8, Instant) {
        let since = self.opened + Duration::from_nanos(self.since.load(Ordering::Relaxed));
        (self.state.load(Ordering::Relaxed), since)
    }
}

/// The time in which a client has to read the next [`STEP`] bytes, from the first wait for it.
#[derive(Default)]
struct Stall {
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes that were taken since then.
    taken: usize,
}

impl Stall {
    /// Waits; ready when it has lasted for `time`.
    fn poll(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<()> {
        self.timer.get_or_insert_with(|| sleep(time)).as_mut().poll(cx)
    }

    /// So many bytes were taken.
    fn went_on(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= STEP {
            self.ends();
        }
    }

    /// All was taken; whether it had to wait.
    fn ends(&mut self) -> bool {
        self.taken = 0;
        self.timer.take().is_some()
    }
}

/// A connection's bytes.
pub(crate) struct Stream {
    inner: TokioIo<Socket>,
    link: Arc<Link>,
    config: Arc<Config>,
    /// For heads and idle connections.
    watch: Option<Pin<Box<Sleep>>>,
    /// While the client does not read, or not enough.
    stall: Stall,
    /// While the rest is read away: until when.
    lingering: Option<Pin<Box<Sleep>>>,
    /// Bytes of it that are still read.
    left: Option<usize>,
    /// A reply of ours in place of hyper's, as far as it is not written.
    unwritten: Vec<u8>,
}

fn sleep(time: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(time))
}

/// A whole reply, head included.
pub(crate) fn whole_reply(status: &str, extra: &str, message: &str) -> Vec<u8> {
    let body = error_body(message);
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{extra}\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl Stream {
    pub(crate) fn new(inner: Socket, link: Arc<Link>) -> Self {
        let (inner, config) = (TokioIo::new(inner), Arc::clone(&link.shared.config));
        Self {
            inner,
            link,
            config,
            watch: None,
            stall: Stall::default(),
            lingering: None,
            left: None,
            unwritten: Vec::new(),
        }
    }

    /// Whether the client has taken too long; called when there is nothing to read.
    fn overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let config = &self.config;
        // Within a request the timer only has to look again; a head that begins right after must not be missed.
        let pause = config.header_timeout.min(config.keep_alive);
        let watch = self.watch.get_or_insert_with(|| sleep(pause));
        while watch.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = match self.link.state() {
                (HEAD | FRESH, since) => since + config.header_timeout,
                (IDLE, since) => since + config.keep_alive,
                _ => now + pause,
            };
            if due <= now {
                return true;
            }
            watch.as_mut().reset(due.min(now + pause).into());
        }
        false
    }

    /// What goes out for `buf`, where hyper replied by itself: its last head announces an empty body.
    fn own_reply(buf: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(buf).ok()?;
        let start = text.rfind("HTTP/1.1 4")?;
        let head = &text[start..];
        if !head.contains("content-length: 0\r\n") {
            return None;
        }
        let (status, message) = match head.get(9..12)? {
            "414" => ("414 URI Too Long", "the path is too long"),
            "431" => ("431 Request Header Fields Too Large", "the headers are too large or too many"),
            _ => ("400 Bad Request", "the request line or a header is malformed"),
        };
        Some([&buf[..start], &whole_reply(status, "", message)].concat())
    }

    fn flush_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            match Pin::new(&mut self.inner).poll_write(cx, &self.unwritten) {
                Poll::Ready(n) => drop(self.unwritten.drain(..n?)),
                Poll::Pending => return self.stall(cx),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the client to read, until that has lasted too long, which is an error.
    fn stall<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        // Without a request the connection is, but not without a reply.
        if self.link.state.load(Ordering::Relaxed) == IDLE {
            self.link.state.store(WRITING, Ordering::Relaxed);
        }
        ready!(self.stall.poll(cx, self.config.write_timeout));
        // Or the system would keep what it holds for the client, megabytes, and offer it for minutes.
        self.inner.inner().forget();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// All that was ready is written.
    fn all_written(&mut self) {
        if self.stall.ends() && self.link.state.load(Ordering::Relaxed) == WRITING {
            self.link.idle(Instant::now());
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        if outcome.is_ready() {
            if matches!(this.link.state.load(Ordering::Relaxed), IDLE | FRESH | WRITING) {
                this.link.enter(HEAD, Instant::now());
            }
            return outcome;
        }
        if !this.overdue(cx) {
            return Poll::Pending;
        }
        if this.link.state().0 == HEAD {
            let message = format!("the headers did not arrive within {:?}", this.config.header_timeout);
            this.unwritten = whole_reply("408 Request Timeout", "", &message);
            // Nothing else waits in the socket's buffer, so this does not have to wait either.
            let _ = this.flush_own(cx);
        }
        // hyper takes it for the client's end of the connection.
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // Our replies end in a body; only heads without one end like this.
        if buf.ends_with(b"\r\n\r\n")
            && let Some(own) = Self::own_reply(buf)
        {
            self.unwritten = own;
            return Poll::Ready(Ok(buf.len()));
        }
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_write(cx, buf) {
            Poll::Pending => this.stall(cx),
            Poll::Ready(Ok(n)) => {
                this.stall.went_on(n);
                Poll::Ready(Ok(n))
            }
            failed => failed,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has written all that it has.
        ready!(self.flush_own(cx))?;
        self.all_written();
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        let this = &mut *self;
        let left = match &mut this.left {
            Some(left) => left,
            None => {
                ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                this.left.insert(this.config.linger_bytes)
            }
        };
        let mut scratch = [MaybeUninit::uninit(); 4096];
        while *left > 0 {
            let mut buf = ReadBuf::uninit(&mut scratch);
            if Pin::new(&mut this.inner).poll_read(cx, buf.unfilled())?.is_pending() {
                let time = this.config.linger;
                return this.lingering.get_or_insert_with(|| sleep(time)).as_mut().poll(cx).map(Ok);
            }
            match buf.filled().len() {
                0 => break,
                n => *left = left.saturating_sub(n),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// The clock of the test goes on only when all wait for it.
    #[test]
    fn a_byte_now_and_then_is_not_reading() {
        let time = Duration::from_secs(30);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut stall = Stall::default();
            let mut over = async |after: Duration, taken: usize| {
                let now = poll_fn(|cx| Poll::Ready(stall.poll(cx, time).is_ready())).await;
                tokio::time::sleep(after).await;
                stall.went_on(taken);
                now
            };
            // A step restarts the time, in one piece or several.
            for taken in [STEP, STEP / 2, STEP / 2, STEP, 1] {
                assert!(!over(time / 2 - Duration::from_secs(1), taken).await);
            }
            assert!(!over(time / 2, 1).await);
            assert!(!over(Duration::from_secs(2), 1).await);
            assert!(over(Duration::ZERO, 0).await);
            assert!(stall.ends() && !stall.ends());
        });
    }
}
