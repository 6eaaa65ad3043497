//! The thread that owns the listener: it accepts, hands out, and leads the server through its drain.

use crate::access_log::AccessLog;
use crate::connection::{Accepted, Open};
use crate::life::{Life, Phase};
use crate::repository::Order;
use crate::server::{End, Shared};
use crate::stream::{Link, whole_reply};
use crate::supervised::notify;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, timeout};

/// After an error that will not pass at once (no descriptors left), so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a drain looks whether the last connection has gone.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Connections beyond the limit that are told so at a time; more are closed without a word.
const REFUSALS: usize = 256;

/// Accepts until the server drains, then drains it; returns how it ended, and when its grace is over. Signals are listened to
/// where there is a `hangup`.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    workers: Vec<UnboundedSender<Accepted>>,
    hangup: Option<[Signal; 2]>,
) -> (End, Instant) {
    if let Some(hangup) = hangup {
        tokio::spawn(signals(Arc::downgrade(&shared), Arc::clone(&shared.life), hangup));
    }
    accept(&listener, &shared, &workers).await;
    let _ = notify(shared.config.notify.as_deref(), "STOPPING=1");
    let grace = Instant::now() + shared.config.grace;
    (drain(listener, &shared, &workers, grace).await, grace)
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

/// Accepts while the server runs.
async fn accept(listener: &TcpListener, shared: &Arc<Shared>, workers: &[UnboundedSender<Accepted>]) {
    let mut draining = pin!(shared.life.reached(Phase::Draining));
    loop {
        let accepted = poll_fn(|cx| {
            if draining.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            listener.poll_accept(cx).map(Some)
        })
        .await;
        match accepted {
            None => return,
            Some(Ok((stream, peer))) => {
                // To the worker's runtime it must come without ties to this one.
                if let Ok(stream) = stream.into_std() {
                    hand_out(stream, peer, shared, workers);
                }
            }
            // The client has gone again.
            Some(Err(e)) if e.kind() == ErrorKind::ConnectionAborted => {}
            Some(Err(_)) => sleep(PAUSE).await,
        }
    }
}

/// Gives a connection to the worker that has the fewest.
fn hand_out(
    stream: std::net::TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    workers: &[UnboundedSender<Accepted>],
) {
    if stream.set_nonblocking(true).is_err() {
        return;
    }
    if shared.life.open() >= shared.config.max_connections {
        return refuse(stream, shared);
    }
    let loads = shared.loads.iter().map(|load| load.0.load(Ordering::Relaxed)).enumerate();
    let worker = loads.min_by_key(|&(_, load)| load).map_or(0, |(worker, _)| worker);
    let open = Open::new(Link::new(Arc::clone(shared), peer.ip(), worker));
    // A worker lives as long as the acceptor.
    let _ = workers[worker].send(Accepted { stream, open });
}

/// Tells a client that there is no room for its connection.
fn refuse(stream: std::net::TcpStream, shared: &Arc<Shared>) {
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

async fn tell(stream: std::net::TcpStream, message: &str) -> io::Result<()> {
    let stream = tokio::net::TcpStream::from_std(stream)?;
    let reply = whole_reply("503 Service Unavailable", "retry-after: 1\r\n", message);
    stream.writable().await?;
    // An empty socket buffer takes a few hundred bytes at once.
    stream.try_write(&reply)?;
    let stream = stream.into_std()?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let stream = tokio::net::TcpStream::from_std(stream)?;
    // Unread bytes would turn the close into a reset that may destroy the reply.
    let mut scratch = [0; 1024];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut scratch) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

/// SIGTERM and SIGINT: the first drains, the second stops. SIGHUP reloads models, SIGUSR1 opens the access log anew.
/// It listens until the process ends, and must not keep what the threads share from being freed.
async fn signals(shared: Weak<Shared>, life: Arc<Life>, [mut hup, mut usr1]: [Signal; 2]) {
    let [Ok(mut term), Ok(mut int)] = [SignalKind::terminate(), SignalKind::interrupt()].map(signal) else {
        return;
    };
    let mut drains = false;
    loop {
        let came = poll_fn(|cx| {
            if term.poll_recv(cx).is_ready() || int.poll_recv(cx).is_ready() {
                return Poll::Ready(SignalKind::terminate());
            }
            if usr1.poll_recv(cx).is_ready() {
                return Poll::Ready(SignalKind::user_defined1());
            }
            hup.poll_recv(cx).map(|_| SignalKind::hangup())
        })
        .await;
        if came == SignalKind::hangup() {
            // The thread that loads is there as long as the server.
            let _ = shared.upgrade().map(|shared| shared.orders.sender.send(Order::Reload));
            continue;
        }
        if came == SignalKind::user_defined1() {
            shared.upgrade().iter().flat_map(|shared| &shared.access_log).for_each(AccessLog::reopen);
            continue;
        }
        if drains {
            life.hurry();
        }
        life.advance(Phase::Draining);
        drains = true;
    }
}

/// Waits for what is in flight, within the grace.
async fn drain(
    listener: TcpListener,
    shared: &Arc<Shared>,
    workers: &[UnboundedSender<Accepted>],
    grace: Instant,
) -> End {
    let life = &shared.life;
    let start = Instant::now();
    // Whoever the system has already connected is served too. Asked of the system itself: the runtime may not have
    // heard of them yet.
    let mut listener = listener.into_std().ok();
    let mut gone = async |until: Instant| {
        loop {
            listener = listener.take().filter(|listener| {
                !take_waiting(|| listener.accept(), |(stream, peer)| hand_out(stream, peer, shared, workers))
            });
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
