//! From a body to the answer: reading cells, predicting, writing the reply.

use crate::compute::{Times, Told};
use crate::failure::Result;
use crate::reply;
use crate::rows::{self, Rows};
use crate::served::Served;
use crate::tensors::{self, Tensors};
use crate::waiting::Waiting;
use bytes::{Bytes, BytesMut};
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
    reply: BytesMut,
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

    /// The reply for these answers.
    fn write(&self, served: &Served, answers: &[f64], reply: &mut BytesMut) -> Done {
        reply.clear();
        let json = match self {
            Self::Rows(rows) => {
                reply::rows(reply, served, *rows, answers);
                None
            }
            Self::Tensors(tensors) => reply::tensors(reply, served, tensors, answers),
        };
        Done { rows: self.rows(), reply: reply.split().freeze(), json, share: None }
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
    Read(Asked, Vec<f64>),
}

/// Reads a small request and predicts it here, unless it has more cells or rows than that is good for.
pub(crate) fn small(
    served: &Served,
    form: Form,
    body: &[u8],
    (most_cells, most_rows): (usize, usize),
    times: Times,
    told: &Told,
) -> Result<Small> {
    with_scratch(|Scratch { cells, gathered, answers, reply }| {
        let asked = Asked::read(body, form, served, cells, gathered)?;
        if cells.len() > most_cells || asked.rows() > most_rows {
            return Ok(Small::Read(asked, std::mem::take(cells)));
        }
        let start = Instant::now();
        if times.within(asked.timeout()).is_over(start) {
            return Err(told.late());
        }
        let predicted = served.predict(cells, asked.rows(), answers, false);
        // What fails takes time too.
        served.cost.predicted_here(asked.rows(), start.elapsed());
        predicted?;
        Ok(Small::Done(asked.write(served, answers, reply)))
    })
}

/// Reads and answers a large request, its rows divided over all cores; refused when its time is over once it is read.
pub(crate) fn large(served: &Served, form: Form, body: &[u8], times: Times, told: &Told) -> Result<Done> {
    with_scratch(|Scratch { cells, gathered, answers, reply }| {
        let asked = Asked::read(body, form, served, cells, gathered)?;
        if times.within(asked.timeout()).is_over(Instant::now()) {
            return Err(told.late());
        }
        served.predict(cells, asked.rows(), answers, true)?;
        Ok(asked.write(served, answers, reply))
    })
}

/// Answers requests that were read, all with one prediction; if that is refused, or fails, each with one of its own, so
/// that what is wrong with one is told to that one alone.
pub(crate) fn batch(served: &Served, requests: &[(Asked, Vec<f64>)]) -> Vec<Result<Done>> {
    with_scratch(|Scratch { cells, answers, reply, .. }| {
        let alone = |(asked, cells): &(Asked, Vec<f64>), answers: &mut Vec<f64>, reply: &mut BytesMut| {
            served.predict(cells, asked.rows(), answers, false)?;
            Ok(asked.write(served, answers, reply))
        };
        if let [one] = requests {
            return vec![alone(one, answers, reply)];
        }
        cells.clear();
        requests.iter().for_each(|(_, more)| cells.extend_from_slice(more));
        let rows = requests.iter().map(|(asked, _)| asked.rows()).sum();
        if served.predict(cells, rows, answers, false).is_err() {
            return requests.iter().map(|one| alone(one, answers, reply)).collect();
        }
        let mut left = &answers[..];
        let mut write = |(asked, _): &(Asked, Vec<f64>)| {
            let (mine, behind) = left.split_at(asked.rows() * served.outputs);
            left = behind;
            Ok(asked.write(served, mine, reply))
        };
        requests.iter().map(&mut write).collect()
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
    use super::{KEPT_SCRATCH, Scratch};

    #[test]
    fn large_scratch_of_any_kind_is_given_back() {
        let numbers = || Vec::with_capacity(KEPT_SCRATCH / 8 + 1);
        for mut scratch in [
            Scratch { cells: numbers(), ..Scratch::default() },
            Scratch { gathered: numbers(), ..Scratch::default() },
            Scratch { answers: numbers(), ..Scratch::default() },
            Scratch { reply: bytes::BytesMut::with_capacity(KEPT_SCRATCH + 1), ..Scratch::default() },
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
