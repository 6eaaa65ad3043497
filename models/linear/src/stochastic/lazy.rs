//! Coefficients that shrink at every step and are looked at only when a row has their column.
//!
//! A step of length e takes a coefficient u of a column that the row lacks to (|u| - e l1)+ / (1 + e l2), its sign kept. With
//! D_k = product of 1 / (1 + e l2) and C_k = sum of e l1 / D over the steps so far, one that was v at step i is
//! D_k (v / D_i + C_i - C_k) at step k, and zero for good once that is not above 0. Sums of D and of D C tell what it was on the way,
//! which its average needs. So a step costs what its row stores, whatever the penalty and the lengths of steps (the shrinking of L1 as in Duchi,
//! Singer, "Efficient online and batch learning using forward backward splitting", 2009; one factor for all of L2 as in Bottou, "Stochastic
//! gradient descent tricks", 2012).

/// Steps between two times that all columns are brought up to date, at least: as many as columns, so that a step has its share of one.
const PAST: usize = 1024;

/// The factor below which they are too: what is left of sums beside it is exact to machine epsilon over so much.
const SMALLEST: f64 = 1e-3;

/// What some steps did to a coefficient that no row had.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Past {
    /// D.
    shrink: f64,
    /// C.
    taken: f64,
    /// Sums of D and D C over the steps that count in the average.
    shrinks: f64,
    shrinks_taken: f64,
}

const NOTHING: Past = Past { shrink: 1.0, taken: 0.0, shrinks: 0.0, shrinks_taken: 0.0 };

/// A coefficient drawn towards zero by l1 |u| + l2 u^2 / 2.
#[inline]
pub(super) fn shrunk(u: f64, l1: f64, l2: f64) -> f64 {
    let left = (u.abs() - l1).max(0.0) / (1.0 + l2);
    if left > 0.0 { left.copysign(u) } else { 0.0 }
}

/// The coefficients, and the sums of those of the steps that count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lazy {
    l1: f64,
    l2: f64,
    u: Vec<f64>,
    sums: Vec<f64>,
    /// The step that each is at.
    at: Vec<usize>,
    /// By step, since all were up to date.
    past: Vec<Past>,
}

impl Lazy {
    /// Zeros.
    pub(super) fn new(columns: usize, l1: f64, l2: f64) -> Self {
        let (u, sums) = (vec![0.0; columns], vec![0.0; columns]);
        Self { l1, l2, u, sums, at: vec![0; columns], past: vec![NOTHING] }
    }

    /// The coefficient now, and the sum of those that count.
    pub(super) fn value_and_sum(&self, j: usize) -> (f64, f64) {
        let (u, now) = (self.u[j], self.past.len() - 1);
        if u == 0.0 || self.at[j] == now {
            return (u, self.sums[j]);
        }
        let (first, last) = (&self.past[self.at[j]], &self.past[now]);
        let size = u.abs() / first.shrink + first.taken;
        let left = size - last.taken;
        // The last step at which it was not zero.
        let end = if left > 0.0 {
            last
        } else {
            let since = &self.past[self.at[j]..];
            &since[since.partition_point(|past| past.taken < size).max(1) - 1]
        };
        let more = size * (end.shrinks - first.shrinks) - (end.shrinks_taken - first.shrinks_taken);
        let value = if left > 0.0 { last.shrink * left } else { 0.0 };
        (value.copysign(u), self.sums[j] + more.copysign(u))
    }

    /// The coefficient now, which is then up to date.
    pub(super) fn now(&mut self, j: usize) -> f64 {
        (self.u[j], self.sums[j]) = self.value_and_sum(j);
        self.at[j] = self.past.len() - 1;
        self.u[j]
    }

    /// A step of this length for all columns; then [`pull`](Self::pull) tells what the row does besides, and [`end`](Self::end) ends it.
    pub(super) fn begin(&mut self, length: f64, counts: bool) {
        let now = self.past[self.past.len() - 1];
        let taken = now.taken + length * self.l1 / now.shrink;
        let shrink = now.shrink / (1.0 + length * self.l2);
        let (more, more_taken) = if counts { (shrink, shrink * taken) } else { (0.0, 0.0) };
        let (shrinks, shrinks_taken) = (now.shrinks + more, now.shrinks_taken + more_taken);
        self.past.push(Past { shrink, taken, shrinks, shrinks_taken });
    }

    /// The coefficient, which was up to date before the step, goes by `move_by` before it shrinks.
    pub(super) fn pull(&mut self, j: usize, move_by: f64, length: f64, counts: bool) {
        self.u[j] = shrunk(self.u[j] + move_by, length * self.l1, length * self.l2);
        self.sums[j] += if counts { self.u[j] } else { 0.0 };
        self.at[j] = self.past.len() - 1;
    }

    /// The coefficients, for steps that are made elsewhere, where none was made here.
    pub(super) fn values_mut(&mut self) -> &mut [f64] {
        &mut self.u
    }

    /// Counts them so many times in their sums, likewise.
    pub(super) fn count(&mut self, times: f64) {
        self.sums.iter_mut().zip(&self.u).for_each(|(sum, u)| *sum += times * u);
    }

    /// The end of a step: now and then all columns are brought up to date.
    pub(super) fn end(&mut self) {
        let last = self.past[self.past.len() - 1];
        if self.past.len() > PAST.max(self.u.len()) || last.shrink < SMALLEST {
            (0..self.u.len()).for_each(|j| {
                self.now(j);
            });
            self.at.fill(0);
            self.past.truncate(0);
            self.past.push(NOTHING);
        }
    }
}
