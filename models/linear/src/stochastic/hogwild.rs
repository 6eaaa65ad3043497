//! Passes in which all threads take sparse rows at once and change the same coefficients without locks: rows that share no column do not
//! disturb each other, and where they do a change may be lost (Niu, Recht, Re, Wright, "Hogwild!: a lock-free approach to parallelizing stochastic
//! gradient descent", 2011).
//!
//! A step touches the columns of its row alone, and so does its part of the penalty: a column that c of n rows have shrinks n / c times as
//! far with each of them, which in a pass is its share (there, section 3). Its length follows from the row's place in the order of the pass,
//! which the seed draws and of which threads take block after block. As many steps as threads may be under way from the same point, so
//! each goes at most 1 / threads of the way to its row's own minimum, and all together not past it. On one thread that is the
//! algorithm of `stochastic.rs`, without penalty to the last bit.
//!
//! Seen on two processors (`examples/hogwild.rs`, a pass with its look at the objective, as often as the serial algorithm's in the same
//! time): of 200,000 x 100,000 rows of 100 cells 2.2 to 2.7 times as many on two threads, 1.4 to 1.6 on one, where the penalty of columns
//! that rows lack costs nothing; of 2,000,000 x 20 rows of 10 cells, which all share, 2.1 and 1.2. Objectives after six passes were the serial
//! ones to 1e-5. Changes by compare-and-exchange, of which none is lost, took 3 to 17 % longer on one thread, were no faster on two, and
//! reached no other objective; so they are plain reads and writes. Two processors only were there to see: where many write to few
//! columns they may wait for each other's cache lines.

use super::StochasticDescent;
use super::lazy::shrunk;
use crate::Element;
use crate::sparse::problem::Problem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tilewise_base::SparseRef;
use tilewise_kernels::parallel;

/// Stored cells of a block of rows, some ten microseconds of steps: threads ask for the next one that often.
const CELLS: usize = 4096;

/// A number that any thread reads and writes: sums of several threads may lose some of their terms.
struct Shared(AtomicU64);

impl Shared {
    fn new(value: f64) -> Self {
        Self(AtomicU64::new(value.to_bits()))
    }

    #[inline]
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    #[inline]
    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// What passes over the same rows share.
pub(super) struct Hogwild {
    /// Of each column rows over rows that have it.
    rarity: Vec<f64>,
    /// Rows of a block, and blocks of a pass.
    block: usize,
    blocks: usize,
}

impl Hogwild {
    /// Of rows, of which there is at least one.
    pub(super) fn new<T: Element>(x: SparseRef<'_, T>) -> Self {
        let rows = x.rows();
        let mut counts = vec![0u64; x.cols()];
        (0..rows).for_each(|i| x.line(i).0.iter().for_each(|&j| counts[j as usize] += 1));
        let rarity = counts.into_iter().map(|count| rows as f64 / count.max(1) as f64).collect();
        let block = (CELLS * rows / x.stored().max(1)).clamp(1, rows);
        Self { rarity, block, blocks: rows.div_ceil(block) }
    }

    /// Threads that take part.
    fn threads(&self) -> usize {
        parallel::threads().min(self.blocks)
    }

    /// What is to be known of an answer that other threads had a part in.
    pub(super) fn warning(&self) -> Option<String> {
        let threads = self.threads();
        let what = "another run gives other digits; one thread gives the same";
        (threads > 1).then(|| format!("not reproducible: hogwild on {threads} threads, {what}"))
    }

    /// A step for each row in this order, so many steps being over, from the point of these coefficients and this intercept.
    pub(super) fn pass<T: Element>(
        &self,
        params: &StochasticDescent,
        x: SparseRef<'_, T>,
        problem: &Problem<'_>,
        (order, steps): (&[usize], u64),
        (coefficients, intercept): (&mut [f64], &mut f64),
    ) {
        let (count, share) = (x.rows() as f64, 1.0 / self.threads() as f64);
        let (l1, l2, of_intercept) = (problem.l1, problem.l2, if params.intercept { 1.0 } else { 0.0 });
        let shared: Vec<Shared> = coefficients.iter().map(|b| Shared::new(*b)).collect();
        let (of_all, next) = (Shared::new(*intercept), AtomicUsize::new(0));
        // Whoever is free takes the next block, whatever its task is called: rows go in their order, nearly.
        parallel::for_each(self.blocks, |_| {
            let first = next.fetch_add(1, Relaxed) * self.block;
            for (place, &i) in order.iter().enumerate().skip(first).take(self.block) {
                let length = params.schedule.length(params.alpha, steps + 1 + place as u64);
                let (columns, values) = x.line(i);
                let (mut z, mut square) = (of_all.get() + problem.offset(i), of_intercept);
                for (&j, x) in columns.iter().zip(values) {
                    let x = x.to_f64();
                    z += shared[j as usize].get() * x;
                    square += x * x;
                }
                let row = [z, problem.answers.y[i], count * problem.answers.shares[i], square];
                let move_by = params.move_by(row, length, share);
                for (&j, x) in columns.iter().zip(values) {
                    let (b, often) = (&shared[j as usize], length * self.rarity[j as usize]);
                    b.set(shrunk(b.get() + move_by * x.to_f64(), often * l1, often * l2));
                }
                if params.intercept {
                    of_all.set(of_all.get() + move_by);
                }
            }
        });
        coefficients.iter_mut().zip(&shared).for_each(|(b, shared)| *b = shared.get());
        *intercept = of_all.get();
    }
}
