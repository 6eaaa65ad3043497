//! From a body to the answer: reading cells, predicting, writing the reply.

use crate::compute::{Times, Told};
use crate::failure::Result;
use crate::reply;
use crate::rows::{self, Rows};
use crate::served::Served;
use crate::tensors::{self, Tensors};
use crate::waiting::Waiting;
use bytes::Bytes;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Scratch beyond this many bytes is given back after a request.
const KEPT_SCRATCH: usize = 1024 * 1024;

/// Buffers that a thread uses for one request after another.
#[derive(Default)]
struct Scratch {
    cells: Vec<f64>,
    gathered: Vec<f64>,
    answers: Vec<f64>,
    reply: Vec<u8>,
}

impl Scratch {
    /// Frees what a large request has left, whether it was answered or refused.
    fn give_back(&mut self) {
        let numbers = [&self.cells, &self.gathered, &self.answers].map(|numbers| numbers.capacity());
        let bytes = numbers.map(|capacity| capacity * size_of::<f64>());
        if bytes.into_iter().chain([self.reply.capacity()]).any(|bytes| bytes > KEPT_SCRATCH) {
            *self = Self::default();
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What the body of a prediction is.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Rows,
    /// An inference request, with the number of bytes that are JSON if it says so.
    Tensors(Option<usize>),
}

/// What a body asked for, besides its cells.
pub(crate) enum Asked {
    Rows(Rows),
    Tensors(Tensors),
}

impl Asked {
    fn read(
        body: &[u8],
        form: Form,
        served: &Served,
        cells: &mut Vec<f64>,
        gathered: &mut Vec<f64>,
    ) -> Result<Self> {
        Ok(match form {
            Form::Tensors(json) => Self::Tensors(tensors::read(body, json, served, cells, gathered)?),
            Form::Rows => Self::Rows(rows::read(body, served, cells)?),
        })
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.count,
            Self::Tensors(tensors) => tensors.rows,
        }
    }

    /// Within what time the answer is wanted.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self {
            Self::Rows(_) => None,
            Self::Tensors(tensors) => tensors.timeout,
        }
    }

    /// The most bytes that the reply can have.
    fn most(&self, served: &Served) -> usize {
        match self {
            Self::Rows(rows) => reply::most_of_rows(served, rows.count),
            Self::Tensors(tensors) => reply::most_of_tensors(served, tensors),
        }
    }

    /// A share of memory for the answer, if it may be a large one, besides what `held` is for.
    fn room(
        &self,
        served: &Served,
        Room { waiting, uncounted }: Room<'_>,
        held: Option<Waiting>,
    ) -> Result<Option<Waiting>> {
        let text = self.most(served);
        let numbers = self.rows().saturating_mul(served.outputs).saturating_mul(size_of::<f64>());
        match (text.saturating_add(numbers), held) {
            (size, None) if size <= uncounted => Ok(None),
            (size, held) => held.unwrap_or_else(|| waiting.empty()).with_answer(size).map(Some),
        }
    }

    /// The reply for these answers, in memory of its own size: what the buffer has to spare is not kept by a client that reads slowly.
    /// Of the share that was taken for it remains that size.
    fn write(&self, served: &Served, answers: &[f64], share: Option<Waiting>, reply: &mut Vec<u8>) -> Done {
        reply.clear();
        let json = match self {
            Self::Rows(rows) => {
                reply::rows(reply, served, *rows, answers);
                None
            }
            Self::Tensors(tensors) => reply::tensors(reply, served, tensors, answers),
        };
        debug_assert!(
            reply.len() <= self.most(served),
            "{} bytes, {} at most",
            reply.len(),
            self.most(served)
        );
        let reply = whole(reply);
        let share = share.map(|share| share.of_size(reply.len()));
        Done { rows: self.rows(), reply, json, share }
    }
}

/// What a buffer holds, in memory of its own. A large one's is given away, a small one's kept for the next reply.
fn whole(buffer: &mut Vec<u8>) -> Bytes {
    match buffer.len() > KEPT_SCRATCH {
        true => Bytes::from(std::mem::take(buffer).into_boxed_slice()),
        false => Bytes::copy_from_slice(buffer),
    }
}

/// A prediction that was made.
pub(crate) struct Done {
    pub(crate) rows: usize,
    pub(crate) reply: Bytes,
    /// Bytes of the reply that are JSON, where binary data follows.
    pub(crate) json: Option<usize>,
    /// The memory that a large request occupies, until its reply is read.
    pub(crate) share: Option<Waiting>,
}

/// What became of a small request.
pub(crate) enum Small {
    Done(Done),
    /// It was read, and is to be predicted by another thread.
    Read(Read),
}

/// A request that was read.
pub(crate) struct Read {
    pub(crate) asked: Asked,
    pub(crate) cells: Vec<f64>,
    /// For its answer, if that may be a large one.
    share: Option<Waiting>,
}

impl Read {
    /// Takes memory for the answer, once it is its turn, if that may be a large one.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn make_room(&mut self, served: &Served, room: Room<'_>) -> Result<()> {
        self.share = self.asked.room(served, room, None)?;
        Ok(())
    }
}

/// Where memory for large answers is counted, and how many bytes of one are not.
#[derive(Clone, Copy)]
pub(crate) struct Room<'r> {
    pub(crate) waiting: &'r Waiting,
    pub(crate) uncounted: usize,
}

/// Reads a small request and predicts it here, unless it has more cells or rows than that is good for.
pub(crate) fn small(
    served: &Served,
    form: Form,
    body: &[u8],
    (most_cells, most_rows): (usize, usize),
    room: Room<'_>,
    times: Times,
    told: &Told,
) -> Result<Small> {
    with_scratch(|Scratch { cells, gathered, answers, reply }| {
        let asked = Asked::read(body, form, served, cells, gathered)?;
        if cells.len() > most_cells || asked.rows() > most_rows {
            return Ok(Small::Read(Read { asked, cells: std::mem::take(cells), share: None }));
        }
        let start = Instant::now();
        if times.within(asked.timeout()).is_over(start) {
            return Err(told.late());
        }
        let share = asked.room(served, room, None)?;
        let predicted = served.predict(cells, asked.rows(), answers, false);
        // What fails takes time too.
        served.cost.predicted_here(asked.rows(), start.elapsed());
        predicted?;
        Ok(Small::Done(asked.write(served, answers, share, reply)))
    })
}

/// Reads and answers a large request, its rows divided over all cores; refused when its time is over once it is read, or there is no
/// room for the answer.
pub(crate) fn large(
    served: &Served,
    form: Form,
    (body, share): (&[u8], Option<Waiting>),
    room: Room<'_>,
    times: Times,
    told: &Told,
) -> Result<Done> {
    with_scratch(|Scratch { cells, gathered, answers, reply }| {
        let asked = Asked::read(body, form, served, cells, gathered)?;
        if times.within(asked.timeout()).is_over(Instant::now()) {
            return Err(told.late());
        }
        let share = asked.room(served, room, share)?;
        served.predict(cells, asked.rows(), answers, true)?;
        Ok(asked.write(served, answers, share, reply))
    })
}

/// Answers requests that were read, all with one prediction; if that is refused, or fails, each with one of its own, so
/// that what is wrong with one is told to that one alone.
pub(crate) fn batch(served: &Served, requests: &mut [Read]) -> Vec<Result<Done>> {
    with_scratch(|Scratch { cells, answers, reply, .. }| {
        let alone = |Read { asked, cells, share }: &mut Read, answers: &mut Vec<f64>, reply: &mut Vec<u8>| {
            served.predict(cells, asked.rows(), answers, false)?;
            Ok(asked.write(served, answers, share.take(), reply))
        };
        if let [one] = requests {
            return vec![alone(one, answers, reply)];
        }
        cells.clear();
        requests.iter().for_each(|request| cells.extend_from_slice(&request.cells));
        let rows = requests.iter().map(|request| request.asked.rows()).sum();
        if served.predict(cells, rows, answers, false).is_err() {
            return requests.iter_mut().map(|one| alone(one, answers, reply)).collect();
        }
        let mut left = &answers[..];
        let mut write = |Read { asked, share, .. }: &mut Read| {
            let (mine, behind) = left.split_at(asked.rows() * served.outputs);
            left = behind;
            Ok(asked.write(served, mine, share.take(), reply))
        };
        requests.iter_mut().map(&mut write).collect()
    })
}

fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let done = work(scratch);
        scratch.give_back();
        done
    })
}

#[cfg(test)]
mod tests {
    use super::{KEPT_SCRATCH, Scratch, whole};

    /// Nothing else lies in the memory that a reply holds as long as its client has not read it.
    #[test]
    fn a_reply_holds_no_more_than_its_bytes() {
        for size in [0, 100, KEPT_SCRATCH, KEPT_SCRATCH + 1, 3 * KEPT_SCRATCH] {
            let mut buffer = Vec::with_capacity(4 * KEPT_SCRATCH);
            buffer.resize(size, 7);
            let reply = whole(&mut buffer);
            assert!(reply.len() == size && reply.iter().all(|&b| b == 7));
            // Shared memory would be copied, which leaves nothing to spare; so that is asked first.
            assert!(reply.is_empty() || reply.is_unique());
            assert_eq!(Vec::from(reply).capacity(), size);
        }
    }

    #[test]
    fn large_scratch_of_any_kind_is_given_back() {
        let numbers = || Vec::with_capacity(KEPT_SCRATCH / 8 + 1);
        for mut scratch in [
            Scratch { cells: numbers(), ..Scratch::default() },
            Scratch { gathered: numbers(), ..Scratch::default() },
            Scratch { answers: numbers(), ..Scratch::default() },
            Scratch { reply: Vec::with_capacity(KEPT_SCRATCH + 1), ..Scratch::default() },
        ] {
            scratch.give_back();
            let kept = [&scratch.cells, &scratch.gathered, &scratch.answers].map(Vec::capacity);
            assert_eq!((kept, scratch.reply.capacity()), ([0; 3], 0));
        }
        let mut small = Scratch { cells: Vec::with_capacity(KEPT_SCRATCH / 8), ..Scratch::default() };
        small.give_back();
        assert!(small.cells.capacity() > 0);
    }
}
