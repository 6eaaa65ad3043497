//! What signals do to a server, as gunicorn's users know it.

use crate::access_log::AccessLog;
use crate::crew::Change;
use crate::life::{Life, Phase};
use crate::repository::Order;
use crate::server::Shared;
use rustix::process::Signal as Number;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Weak};
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Drain,
    Stop,
    Reload,
    Reopen,
    Change(Change),
}

/// Signals that are listened to.
pub(crate) struct Signals(Vec<(Signal, Wish)>);

impl Signals {
    /// Those that are of no use before the server is, and yet must not end or stop the process: within a runtime.
    pub(crate) fn early() -> io::Result<Self> {
        let mut signals = Self(Vec::new());
        for (number, wish) in [
            (Number::HUP, Wish::Reload),
            (Number::USR1, Wish::Reopen),
            (Number::USR2, Wish::Change(Change::Successor)),
            (Number::TTIN, Wish::Change(Change::More)),
            (Number::TTOU, Wish::Change(Change::Fewer)),
        ] {
            signals.add(number, wish)?;
        }
        Ok(signals)
    }

    fn add(&mut self, number: Number, wish: Wish) -> io::Result<()> {
        self.0.push((signal(SignalKind::from_raw(number.as_raw()))?, wish));
        Ok(())
    }

    async fn next(&mut self) -> Wish {
        poll_fn(|cx| {
            let mut came = self.0.iter_mut().filter_map(|(signal, wish)| match signal.poll_recv(cx) {
                Poll::Ready(_) => Some(*wish),
                Poll::Pending => None,
            });
            came.next().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Obeys them until the process ends; it must not keep what the threads share from being freed.
    ///
    /// SIGTERM and SIGINT: the first drains, the second stops. SIGQUIT stops. SIGHUP reloads models, SIGUSR1 opens the
    /// access log anew. SIGTTIN and SIGTTOU start and retire a worker, SIGUSR2 starts a successor.
    pub(crate) async fn obey(mut self, shared: Weak<Shared>, life: Arc<Life>) {
        for (number, wish) in
            [(Number::TERM, Wish::Drain), (Number::INT, Wish::Drain), (Number::QUIT, Wish::Stop)]
        {
            if self.add(number, wish).is_err() {
                return;
            }
        }
        let mut drains = false;
        loop {
            let (wish, shared) = (self.next().await, shared.upgrade());
            match wish {
                Wish::Stop => life.hurry(),
                Wish::Drain if drains => life.hurry(),
                Wish::Drain => {
                    drains = true;
                    life.advance(Phase::Draining);
                }
                // The threads that hear of these are there as long as the server.
                Wish::Reload => drop(shared.map(|shared| shared.orders.sender.send(Order::Reload))),
                Wish::Reopen => {
                    shared.iter().flat_map(|shared| &shared.access_log).for_each(AccessLog::reopen);
                }
                Wish::Change(change) => drop(shared.map(|shared| shared.changes.send(change))),
            }
        }
    }
}
