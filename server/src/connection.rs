//! One connection from its hand-over to its end.

use crate::life::Phase;
use crate::listener::Plain;
use crate::routes;
use crate::server::Shared;
use crate::stream::{Link, Stream};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An accepted connection on its way to a worker. It counts as open until dropped.
pub(crate) struct Accepted {
    pub(crate) stream: Plain,
    pub(crate) open: Open,
}

/// Counts a connection as open.
pub(crate) struct Open(Arc<Link>);

impl Open {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        link.shared.life.opened();
        link.shared.places[link.worker].open.fetch_add(1, Ordering::Relaxed);
        Self(link)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shared.places[self.0.worker].open.fetch_sub(1, Ordering::Relaxed);
        self.0.shared.life.closed();
    }
}

/// How hyper reads heads. It has no timer: [`Stream`] keeps the time.
pub(crate) fn builder(shared: &Shared) -> http1::Builder {
    /// hyper reads this many headers without allocating.
    const UNALLOCATED: usize = 100;
    let mut builder = http1::Builder::new();
    // A client that closes, its half or all of it (which look alike), is taken to have left: what waits is dropped. To
    // what is answered at once it makes no difference.
    builder.half_close(false).max_buf_size(shared.config.max_head).writev(false);
    if shared.config.max_headers != UNALLOCATED {
        builder.max_headers(shared.config.max_headers);
    }
    builder
}

/// Answers the requests of a connection until it ends.
pub(crate) async fn serve(accepted: Accepted, builder: http1::Builder) {
    let Accepted { stream, open } = accepted;
    let link = Arc::clone(&open.0);
    let Ok(stream) = stream.into_socket() else { return };
    link.shared.counters[link.worker].connection();
    let service = service_fn(|request| {
        let reply = routes::answer(Arc::clone(&link), request);
        async { Ok::<_, Infallible>(reply.await) }
    });
    let mut connection = pin!(builder.serve_connection(Stream::new(stream, Arc::clone(&link)), service));
    let life = &link.shared.life;
    let mut changed = pin!(life.changed());
    let mut seen = None;
    // How a connection ended interests nobody: the client was told what could be told.
    let _ = poll_fn(|cx| {
        // Registered before it looks again, so that no change falls between.
        while seen != Some(link.phase()) {
            seen = Some(link.phase());
            changed.set(life.changed());
            let _ = changed.as_mut().poll(cx);
            if seen >= Some(Phase::Closing) {
                connection.as_mut().graceful_shutdown();
            }
        }
        connection.as_mut().poll(cx)
    })
    .await;
}
