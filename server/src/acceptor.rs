//! The thread that owns the listener: it accepts, hands out, and leads the server through its drain.

use crate::crew::{Change, Crew};
use crate::life::Phase;
use crate::listener::{Came, Listener, Plain};
use crate::server::{End, Shared};
use crate::stream::whole_reply;
use crate::successor::Succession;
use crate::supervised::notify;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout};

/// After an error that will not pass at once (no descriptors left), so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a drain looks whether the last connection has gone.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Connections beyond the limit that are told so at a time; more are closed without a word.
const REFUSALS: usize = 256;

/// Accepts until the server drains, then drains it; returns how it ended, and when its grace is over.
pub(crate) async fn run(
    listener: Listener,
    shared: &Arc<Shared>,
    crew: &mut Crew,
    changes: UnboundedReceiver<Change>,
    succession: &Succession,
) -> (End, Instant) {
    accept(&listener, shared, crew, changes, succession).await;
    let _ = notify(shared.config.notify.as_deref(), "STOPPING=1");
    let grace = Instant::now() + shared.config.grace;
    (drain(listener, shared, crew, grace).await, grace)
}

/// Takes all connections that are waiting; whether none is left. An error may be one connection's, which has gone
/// again, or the system's, which has no descriptor for the next until others are closed: both leave some waiting.
fn take_waiting<C>(mut next: impl FnMut() -> io::Result<C>, mut take: impl FnMut(C)) -> bool {
    loop {
        match next() {
            Ok(connection) => take(connection),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            Err(_) => return false,
        }
    }
}

/// Accepts while the server runs, and changes what is to change.
async fn accept(
    listener: &Listener,
    shared: &Arc<Shared>,
    crew: &mut Crew,
    mut changes: UnboundedReceiver<Change>,
    succession: &Succession,
) {
    enum Next {
        Drain,
        Change(Change),
        Connection(io::Result<Came>),
    }
    let mut draining = pin!(shared.life.reached(Phase::Draining));
    loop {
        let next = poll_fn(|cx| {
            if draining.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Drain);
            }
            if let Poll::Ready(Some(change)) = changes.poll_recv(cx) {
                return Poll::Ready(Next::Change(change));
            }
            listener.poll_accept(cx).map(Next::Connection)
        })
        .await;
        match next {
            Next::Drain => return,
            // What the system does not let it do leaves everything as it was.
            Next::Change(Change::More) => drop(crew.more()),
            Next::Change(Change::Fewer) => crew.fewer(),
            Next::Change(Change::Successor) => succession.start(listener),
            Next::Connection(Ok(came)) => hand_out(came, shared, crew),
            // The client has gone again.
            Next::Connection(Err(e)) if e.kind() == ErrorKind::ConnectionAborted => {}
            Next::Connection(Err(_)) => sleep(PAUSE).await,
        }
    }
}

/// Gives a connection to a worker, where there is room for it.
fn hand_out(came: Came, shared: &Arc<Shared>, crew: &Crew) {
    if came.0.set_nonblocking().is_err() {
        return;
    }
    match shared.life.open() >= shared.config.max_connections {
        true => refuse(came.0, shared),
        false => crew.hand_out(came),
    }
}

/// Tells a client that there is no room for its connection.
fn refuse(stream: Plain, shared: &Arc<Shared>) {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    shared.refused.fetch_add(1, Ordering::Relaxed);
    if TOLD.load(Ordering::Relaxed) >= REFUSALS {
        return;
    }
    TOLD.fetch_add(1, Ordering::Relaxed);
    let linger = shared.config.linger;
    let message = format!("all {} connections are taken; try again", shared.config.max_connections);
    tokio::spawn(async move {
        let _ = timeout(linger, tell(stream, &message)).await;
        TOLD.fetch_sub(1, Ordering::Relaxed);
    });
}

async fn tell(stream: Plain, message: &str) -> io::Result<()> {
    let mut socket = stream.into_socket()?;
    let reply = whole_reply("503 Service Unavailable", "retry-after: 1\r\n", message);
    // An empty socket buffer takes a few hundred bytes at once.
    poll_fn(|cx| Pin::new(&mut socket).poll_write(cx, &reply)).await?;
    poll_fn(|cx| Pin::new(&mut socket).poll_shutdown(cx)).await?;
    // Unread bytes would turn the close into a reset that may destroy the reply.
    let mut scratch = [0; 1024];
    loop {
        let mut buffer = ReadBuf::new(&mut scratch);
        poll_fn(|cx| Pin::new(&mut socket).poll_read(cx, &mut buffer)).await?;
        if buffer.filled().is_empty() {
            return Ok(());
        }
    }
}

/// Waits for what is in flight, within the grace.
async fn drain(listener: Listener, shared: &Arc<Shared>, crew: &Crew, grace: Instant) -> End {
    let life = &shared.life;
    let start = Instant::now();
    // Whoever the system has already connected is served too. Asked of the system itself: the runtime may not have
    // heard of them yet.
    let mut listener = listener.into_plain().ok();
    let mut gone = async |until: Instant| {
        loop {
            listener = listener
                .take()
                .filter(|listener| !take_waiting(|| listener.accept(), |came| hand_out(came, shared, crew)));
            let left = life.open() > 0 || listener.is_some();
            if !left || Instant::now() >= until || life.phase() == Phase::Stopped {
                return;
            }
            sleep(LOOK).await;
        }
    };
    gone(grace.min(start + shared.config.idle_grace)).await;
    life.advance(Phase::Closing);
    gone(grace).await;
    if life.phase() == Phase::Stopped {
        return End::Stopped;
    }
    let connections = life.open();
    life.advance(Phase::Stopped);
    if connections == 0 { End::Drained } else { End::Cut { connections } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_queue_ends_the_taking() {
        use ErrorKind::{ConnectionAborted, Interrupted, Other, WouldBlock};
        let mut answers = [
            Ok(1),
            Err(ConnectionAborted),
            Ok(2),
            Err(Interrupted),
            Ok(3),
            Err(Other),
            Ok(4),
            Err(WouldBlock),
        ]
        .into_iter();
        let mut taken = Vec::new();
        let mut none_left = || {
            take_waiting(
                || answers.next().unwrap().map_err(io::Error::from),
                |connection| taken.push(connection),
            )
        };
        assert_eq!((none_left(), none_left()), (false, true));
        assert_eq!(taken, [1, 2, 3, 4]);
    }
}
