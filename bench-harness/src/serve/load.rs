//! Load: requests in a closed loop, or at the times of a Poisson process, whatever the server does.
//!
//! One thread and one epoll instance, as in wrk: with a runtime in between, the generator would be what is measured.
//! In the closed loop each connection sends its next request when its reply has come. In the open one arrivals are
//! drawn beforehand, and a latency counts from the intended arrival: a request that found all connections taken has
//! waited since then (Tene, "How NOT to Measure Latency", on coordinated omission).

use super::connection::{Connection, Progress, Reply, Sent};
use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use std::collections::VecDeque;
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tilewise_kernels::random::Philox;
use tilewise_report::quantile;

/// The number of the timer among the connections.
const TIMER: u64 = u64::MAX;

/// A wait is never longer, so that the end is not missed.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// How long the last requests of an open loop may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// When requests are sent.
#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// When a connection has its reply.
    Closed,
    /// At random times, so many a second on average.
    Poisson(f64),
}

/// What a server did under load.
#[derive(Clone, Default)]
pub(super) struct Load {
    /// How long was measured, in seconds.
    pub(super) seconds: f64,
    /// Requests that were to be sent.
    pub(super) asked: usize,
    /// Seconds to each reply with status 200, ascending.
    pub(super) answered: Vec<f64>,
    /// Seconds to each refusal, a 503 with Retry-After, ascending.
    pub(super) refused: Vec<f64>,
    /// Requests that were sent again, since the server closed the connection on which they were under way and which had
    /// carried replies before, as it may with one that was idle. They count from their first sending.
    pub(super) resent: usize,
    /// Replies that were neither, lost connections, and requests without a reply.
    pub(super) failed: usize,
}

impl Load {
    /// Answers in a second.
    pub(super) fn per_second(&self) -> f64 {
        self.answered.len() as f64 / self.seconds
    }

    /// The time within which this share of the answers came.
    pub(super) fn within(&self, share: f64) -> f64 {
        if self.answered.is_empty() { f64::NAN } else { quantile(&self.answered, share) }
    }

    /// Answers in a second that came within `limit` seconds.
    pub(super) fn goodput(&self, limit: f64) -> f64 {
        self.answered.partition_point(|&t| t <= limit) as f64 / self.seconds
    }
}

/// What is sent where.
pub(super) struct Plan<'r> {
    pub(super) address: SocketAddr,
    pub(super) request: &'r [u8],
    pub(super) connections: usize,
    pub(super) pace: Pace,
    pub(super) warm: Duration,
    pub(super) time: Duration,
}

/// Gaps between the arrivals of a Poisson process.
struct Arrivals {
    random: Philox,
    drawn: u64,
    mean: f64,
}

impl Arrivals {
    fn new(per_second: f64) -> Self {
        Self { random: Philox::new(1, Philox::purpose("arrivals")), drawn: 0, mean: per_second.recip() }
    }

    fn gap(&mut self) -> Duration {
        let uniform = self.random.uniform(self.drawn);
        self.drawn += 1;
        Duration::from_secs_f64(-(1.0 - uniform).ln() * self.mean)
    }
}

/// Wakes the epoll at a time; epoll itself counts in milliseconds.
struct Timer(OwnedFd);

impl Timer {
    fn new(epoll: &OwnedFd) -> Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // Each expiry is one event, which does not have to be read away.
        epoll::add(
            epoll,
            &timer,
            epoll::EventData::new_u64(TIMER),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        Ok(Self(timer))
    }

    fn set(&self, after: Duration) -> Result<()> {
        let value = Timespec { tv_sec: 0, tv_nsec: after.min(LONGEST_WAIT).as_nanos().max(1) as _ };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(
            &self.0,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: never, it_value: value },
        )?;
        Ok(())
    }
}

/// Puts a load on a server.
///
/// # Errors
/// When connections cannot be opened, or the server closes one without a reply.
pub(super) fn load(plan: &Plan<'_>) -> Result<Load> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    // Opened when they are needed: a server that takes one connection at a time would wait for an idle one.
    let mut connections: Vec<Option<Connection>> = (0..plan.connections).map(|_| None).collect();
    let mut idle: Vec<usize> = (0..plan.connections).rev().collect();
    let begin = Instant::now() + plan.warm;
    let end = begin + plan.time;
    let mut measured = Load { seconds: plan.time.as_secs_f64(), ..Load::default() };
    let (mut arrivals, timer) = match plan.pace {
        Pace::Closed => (None, None),
        Pace::Poisson(per_second) => (Some(Arrivals::new(per_second)), Some(Timer::new(&epoll)?)),
    };
    let mut next = Instant::now();
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    let mut events = Vec::with_capacity(plan.connections + 1);
    loop {
        let now = Instant::now();
        match &mut arrivals {
            None if now >= end => break,
            // Whatever is idle is sent at once.
            None => waiting.extend(idle.iter().map(|_| now)),
            Some(arrivals) => {
                while next <= now && next < end {
                    waiting.push_back(next);
                    next += arrivals.gap();
                }
                let all_came = waiting.is_empty() && idle.len() == plan.connections;
                if now >= end && (all_came || now >= end + PATIENCE) {
                    break;
                }
            }
        }
        while !waiting.is_empty()
            && let Some(number) = idle.pop()
            && let Some(intended) = waiting.pop_front()
        {
            measured.asked += usize::from(intended >= begin);
            let sent = match &mut connections[number] {
                Some(connection) => connection.send(plan.request, intended)?,
                None => Sent::Nothing,
            };
            if sent != Sent::Begun {
                measured.resent += usize::from(sent == Sent::InVain && intended >= begin);
                let connection = connections[number].insert(Connection::open(plan.address, &epoll, number)?);
                connection.send(plan.request, intended)?;
            }
        }
        if let Some(timer) = &timer {
            timer.set(next.saturating_duration_since(Instant::now()))?;
        }
        let wait = Timespec { tv_sec: 0, tv_nsec: LONGEST_WAIT.as_nanos() as _ };
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        for event in &events {
            let number = event.data.u64();
            if number == TIMER {
                continue;
            }
            let number = number as usize;
            let Some(connection) = &mut connections[number] else { continue };
            let replied = match connection.progress(plan.request)? {
                Progress::Waiting => continue,
                Progress::Replied(reply) => Some(reply),
                Progress::Lost => None,
            };
            let intended = replied.as_ref().map(|reply| reply.intended).or(connection.pending());
            let Some(intended) = intended else { continue };
            // Closed for having been idle while the request was on its way: that is no failure, it is sent again.
            let again = replied.is_none() && connection.used();
            if again {
                measured.resent += usize::from(intended >= begin);
                *connection = Connection::open(plan.address, &epoll, number)?;
                connection.send(plan.request, intended)?;
                continue;
            }
            if replied.as_ref().is_none_or(|reply| reply.closes) {
                connections[number] = None;
            }
            if intended >= begin {
                let took = intended.elapsed().as_secs_f64();
                match replied {
                    Some(Reply { status: 200, .. }) => measured.answered.push(took),
                    Some(Reply { status: 503, retry: true, .. }) => measured.refused.push(took),
                    _ => measured.failed += 1,
                }
            }
            idle.push(number);
        }
    }
    if arrivals.is_some() {
        measured.asked += waiting.iter().filter(|&&intended| intended >= begin).count();
        let pending = connections.iter().flatten().filter_map(Connection::pending).chain(waiting);
        measured.failed += pending.filter(|&intended| intended >= begin).count();
    }
    if measured.answered.is_empty() && measured.refused.is_empty() {
        return Err(Error::other("it answered nothing"));
    }
    measured.answered.sort_by(f64::total_cmp);
    measured.refused.sort_by(f64::total_cmp);
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn arrivals_are_those_of_a_poisson_process() {
        let mut arrivals = Arrivals::new(1000.0);
        let gaps: Vec<f64> = (0..100_000).map(|_| arrivals.gap().as_secs_f64() * 1000.0).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / gaps.len() as f64;
        let beyond = gaps.iter().filter(|&&gap| gap > 2.0).count() as f64 / gaps.len() as f64;
        // An exponential of mean 1 has variance 1, and is beyond 2 with probability 1/e^2.
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert!((beyond - (-2.0_f64).exp()).abs() < 0.005, "{beyond}");
    }

    /// A server that closes each connection on its second request, without a word: that request is sent again, and told.
    #[test]
    fn what_is_sent_again_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (request, reply) = (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut buffer) = (stream.unwrap(), [0; 18]);
                if stream.read_exact(&mut buffer).is_ok() {
                    stream.write_all(reply).unwrap();
                    // All of it, so that the close is no reset.
                    let _ = stream.read_exact(&mut buffer);
                }
            }
        });
        let (warm, time) = (Duration::ZERO, Duration::from_millis(100));
        let load = load(&Plan { address, request, connections: 1, pace: Pace::Closed, warm, time }).unwrap();
        assert_eq!(load.failed, 0);
        // The first request is sent once; each of the others once in vain, one of them perhaps after the end.
        let answered = load.answered.len();
        assert!(
            answered > 5 && (answered - 1..=answered).contains(&load.resent),
            "{answered} {}",
            load.resent
        );
    }

    #[test]
    fn goodput_counts_what_came_in_time() {
        let load = Load { seconds: 2.0, answered: vec![0.1, 0.2, 0.3, 0.4], ..Load::default() };
        assert_eq!((load.per_second(), load.goodput(0.3), load.goodput(0.05)), (2.0, 1.5, 0.0));
    }
}
