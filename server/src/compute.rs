//! Requests that wait for a thread: large ones, and those of models that take long.
//!
//! 1. Each model has a queue of its own, bounded in rows and in bytes. Models take turns, so that one with a full queue
//!    does not stand in front of another.
//! 2. A request is refused at once, with the time after which to try again, where what waits before it would take
//!    longer than may be or than its own deadline allows: whoever is refused early can go elsewhere, and the threads
//!    work for those who still wait.
//! 3. A free thread takes what waits, without a delay in which more might come: its share among the threads, as far as
//!    it takes about a millisecond. A row's answer does not depend on the rows beside it ([`tilewise_base::Model`]).
//! 4. A request whose client has left, or whose deadline has passed, is skipped.
//!
//! These are threads of their own rather than the pool behind `kernels::parallel`: a job may wait for that pool, and a
//! pool whose threads wait for each other's jobs lets one request delay another. The rows of a large request are divided
//! by `kernels::parallel`.

use crate::body::Body;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::predict::{self, Done, Form, Read, Room};
use crate::served::Served;
use crate::waiting::Waiting;
use hyper::StatusCode;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a thread takes at a time, in nanoseconds: a request that could have been answered does not wait longer for
/// those beside it.
const BATCH: u64 = 1_000_000;

/// When a request came, and until when its answer is of use.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) start: Instant,
    pub(crate) deadline: Option<Instant>,
}

impl Times {
    /// The same with a timeout that the body holds.
    pub(crate) fn within(self, timeout: Option<Duration>) -> Self {
        let own = timeout.and_then(|timeout| self.start.checked_add(timeout));
        Self { deadline: self.deadline.into_iter().chain(own).min(), ..self }
    }

    pub(crate) fn is_over(self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

struct Job {
    served: Arc<Served>,
    work: Work,
    times: Times,
    rows: usize,
    bytes: usize,
    /// Expected, in nanoseconds.
    cost: u64,
    reply: oneshot::Sender<Result<Done>>,
}

enum Work {
    Read(Read),
    Whole(Body, Form),
}

/// What waits for a model.
#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    rows: usize,
    bytes: usize,
    /// Nanoseconds that it is expected to take.
    cost: u64,
}

#[derive(Default)]
struct State {
    /// By the models' names, while something waits.
    queues: BTreeMap<String, Queue>,
    /// Whose turn it is next.
    turns: VecDeque<String>,
    /// Nanoseconds that what runs is expected to take in all.
    running: u64,
    closed: bool,
}

impl State {
    /// How long a request for a model would wait: for what runs, for what waits for the model, and for as much of others,
    /// with which it takes turns.
    fn wait(&self, name: &str, threads: usize) -> Duration {
        let own = self.queues.get(name).map_or(0, |queue| queue.cost);
        let all: u64 = self.queues.values().map(|queue| queue.cost).sum();
        let before = all.min(own.saturating_mul(self.queues.len() as u64)).saturating_add(self.running);
        Duration::from_nanos(before / threads as u64)
    }
}

/// How often something happened to what was to wait.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) batches: AtomicU64,
    pub(crate) batched: AtomicU64,
    /// Refused because of rows, bytes or time.
    pub(crate) refused: AtomicU64,
    /// Deadline passed, wherever that was noticed.
    pub(crate) late: AtomicU64,
    /// Client left.
    pub(crate) left: AtomicU64,
}

impl Told {
    /// The answer to a request whose time is over.
    #[cold]
    pub(crate) fn late(&self) -> Failure {
        self.late.fetch_add(1, Ordering::Relaxed);
        Failure::late()
    }
}

struct Inner {
    state: Mutex<State>,
    wake: Condvar,
    threads: usize,
    rows: usize,
    bytes: usize,
    time: Duration,
    told: Told,
    /// Memory for large answers, and bytes of one that are not counted.
    waiting: Waiting,
    uncounted: usize,
}

/// The queues of all models, and the way to the threads that take from them.
#[derive(Clone)]
pub(crate) struct Compute(Arc<Inner>);

impl Compute {
    pub(crate) fn new(config: &Config, waiting: &Waiting) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            wake: Condvar::new(),
            threads: config.threads_for_large(),
            rows: config.queue_rows,
            bytes: config.queue_bytes,
            time: config.queue_time,
            told: Told::default(),
            waiting: waiting.empty(),
            uncounted: config.inline_bytes,
        }))
    }

    /// Starts the threads.
    pub(crate) fn start(&self) -> std::io::Result<Vec<JoinHandle<()>>> {
        (0..self.0.threads)
            .map(|i| {
                let compute = self.clone();
                std::thread::Builder::new().name(format!("tilewise-compute-{i}")).spawn(move || {
                    while let Some(jobs) = compute.next() {
                        // Predictions catch the panics of models; another one must not take the thread with it.
                        let run = std::panic::AssertUnwindSafe(|| compute.run(jobs));
                        let _ = std::panic::catch_unwind(run);
                    }
                })
            })
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn told(&self) -> &Told {
        &self.0.told
    }

    /// Rows that wait, of all models.
    pub(crate) fn rows(&self) -> usize {
        self.state().queues.values().map(|queue| queue.rows).sum()
    }

    /// Threads end when the queues are empty.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.0.wake.notify_all();
    }

    /// Whether a request that costs `cost` nanoseconds may wait for its turn.
    pub(crate) fn admit(&self, served: &Served, times: Times, cost: u64) -> Result<()> {
        let wait = self.state().wait(&served.name, self.0.threads);
        self.admit_after(wait, served, times, cost)
    }

    /// Whoever finds nothing before him may, whatever was measured: else a wrong measurement would never be put right.
    fn admit_after(&self, wait: Duration, served: &Served, times: Times, cost: u64) -> Result<()> {
        if wait.is_zero() {
            return Ok(());
        }
        let left = times.deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Half of it: what waits is known by its average only, and an answer that comes too late helps nobody.
            left.saturating_sub(Duration::from_nanos(cost)) / 2
        });
        let (most, whose) = match left {
            Some(left) if left < self.0.time => (left, "its time allows"),
            _ => (self.0.time, "may be (queue_time)"),
        };
        if wait <= most {
            return Ok(());
        }
        let wait_ms = wait.as_secs_f64() * 1e3;
        let message = format!(
            "a request for model {:?} would wait about {wait_ms:.0} ms, longer than {whose}; try again",
            served.name
        );
        Err(self.refuse(message, wait))
    }

    #[cold]
    fn refuse(&self, message: String, wait: Duration) -> Failure {
        self.0.told.refused.fetch_add(1, Ordering::Relaxed);
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(wait)
    }

    /// Answers a request that was read.
    pub(crate) async fn read(&self, served: &Arc<Served>, read: Read, times: Times) -> Result<Done> {
        let (rows, bytes) = (read.asked.rows(), size_of_val(&read.cells[..]));
        let cost = served.cost.of_rows(rows);
        self.wait(served, Work::Read(read), times, rows, bytes, cost).await
    }

    /// Reads and answers a request.
    pub(crate) async fn whole(
        &self,
        served: &Arc<Served>,
        (body, form): (Body, Form),
        times: Times,
    ) -> Result<Done> {
        let bytes = body.bytes.len();
        let cost = served.cost.of_bytes(bytes);
        self.wait(served, Work::Whole(body, form), times, 0, bytes, cost).await
    }

    async fn wait(
        &self,
        served: &Arc<Served>,
        work: Work,
        times: Times,
        rows: usize,
        bytes: usize,
        cost: u64,
    ) -> Result<Done> {
        let (reply, answer) = oneshot::channel();
        let served = Arc::clone(served);
        self.push(Job { served, work, times, rows, bytes, cost, reply })?;
        answer.await.unwrap_or_else(|_| {
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the computation ended without an answer"))
        })
    }

    fn push(&self, job: Job) -> Result<()> {
        let mut state = self.state();
        let wait = state.wait(&job.served.name, self.0.threads);
        self.admit_after(wait, &job.served, job.times, job.cost)?;
        if !state.queues.contains_key(&job.served.name) {
            state.queues.insert(job.served.name.clone(), Queue::default());
            state.turns.push_back(job.served.name.clone());
        }
        let Some(queue) = state.queues.get_mut(&job.served.name) else { return Ok(()) };
        // One alone is never too much: the limits of bodies have let it pass.
        let full = match queue.jobs.is_empty() {
            true => None,
            false if queue.rows + job.rows > self.0.rows => {
                Some((queue.rows, "rows", self.0.rows, "queue_rows"))
            }
            false if queue.bytes + job.bytes > self.0.bytes => {
                Some((queue.bytes, "bytes", self.0.bytes, "queue_bytes"))
            }
            false => None,
        };
        if let Some((waiting, what, most, setting)) = full {
            drop(state);
            let name = &job.served.name;
            let message =
                format!("{waiting} {what} wait for model {name:?}, {most} may ({setting}); try again");
            return Err(self.refuse(message, wait));
        }
        queue.rows += job.rows;
        queue.bytes += job.bytes;
        queue.cost += job.cost;
        queue.jobs.push_back(job);
        drop(state);
        self.0.wake.notify_one();
        Ok(())
    }

    /// Waits for something to do.
    fn next(&self) -> Option<Vec<Job>> {
        let mut state = self.state();
        loop {
            if let Some(name) = state.turns.pop_front() {
                let Some(queue) = state.queues.get_mut(&name) else { continue };
                let jobs = queue.take(self.0.threads);
                if queue.jobs.is_empty() {
                    state.queues.remove(&name);
                } else {
                    state.turns.push_back(name);
                }
                state.running += jobs.iter().map(|job| job.cost).sum::<u64>();
                return Some(jobs);
            }
            if state.closed {
                return None;
            }
            state = self.0.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, jobs: Vec<Job>) {
        let ran = Ran { compute: self, cost: jobs.iter().map(|job| job.cost).sum() };
        let Some(served) = jobs.first().map(|job| Arc::clone(&job.served)) else { return };
        let room = Room { waiting: &self.0.waiting, uncounted: self.0.uncounted };
        let (mut requests, mut replies, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for Job { work, times, reply, bytes, .. } in jobs {
            let start = Instant::now();
            if reply.is_closed() {
                self.0.told.left.fetch_add(1, Ordering::Relaxed);
            } else if times.is_over(start) {
                done.push((reply, Err(self.0.told.late())));
            } else {
                match work {
                    Work::Read(mut read) => match read.make_room(&served, room) {
                        Ok(()) => {
                            requests.push(read);
                            replies.push(reply);
                        }
                        Err(failure) => done.push((reply, Err(failure))),
                    },
                    Work::Whole(Body { bytes: body, share }, form) => {
                        // The body's share of memory is held until the answer is there, which needs one too.
                        let answer = predict::large(&served, form, (&body, share), room, times, &self.0.told);
                        if answer.is_ok() {
                            served.cost.answered_large(bytes, start.elapsed());
                        }
                        done.push((reply, answer));
                    }
                }
            }
        }
        if !requests.is_empty() {
            self.0.told.batches.fetch_add(1, Ordering::Relaxed);
            self.0.told.batched.fetch_add(requests.len() as u64, Ordering::Relaxed);
            let start = Instant::now();
            let rows: Vec<usize> = requests.iter().map(|request: &Read| request.asked.rows()).collect();
            let answers = predict::batch(&served, &mut requests);
            served.cost.predicted_together(&rows, start.elapsed());
            done.extend(replies.into_iter().zip(answers));
        }
        // Before the answers go out: whoever has his may ask again at once, and must not find himself in his way.
        drop(ran);
        for (reply, answer) in done {
            // Fails when the client has left meanwhile.
            let _ = reply.send(answer);
        }
    }
}

impl Queue {
    /// The next job, and those behind it that can be predicted together with it.
    fn take(&mut self, threads: usize) -> Vec<Job> {
        let share = self.rows.div_ceil(threads);
        let (mut jobs, mut rows, mut cost) = (Vec::new(), 0, 0);
        while let Some(job) = self.jobs.front() {
            let together = match jobs.first() {
                None => true,
                Some(Job { served, work: Work::Read(_), .. }) => {
                    matches!(job.work, Work::Read(_))
                        && Arc::ptr_eq(served, &job.served)
                        && rows + job.rows <= share
                        && cost + job.cost <= BATCH
                }
                Some(_) => false,
            };
            if !together {
                break;
            }
            rows += job.rows;
            cost += job.cost;
            self.rows -= job.rows;
            self.bytes -= job.bytes;
            self.cost -= job.cost;
            jobs.extend(self.jobs.pop_front());
        }
        jobs
    }
}

/// What has run is running no more, however it ended.
struct Ran<'c> {
    compute: &'c Compute,
    cost: u64,
}

impl Drop for Ran<'_> {
    fn drop(&mut self) {
        self.compute.state().running -= self.cost;
    }
}
