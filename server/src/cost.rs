//! What predictions of a model cost, as measured: whether a request is small enough for the thread that read it, and how
//! long those that wait will take.
//!
//! Averages that forget (each measurement counts an eighth), of rows alone and in batches: a batch of trees costs a
//! fraction per row, and would make single rows look cheaper than they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An average in nanoseconds; 0 until something is known.
#[derive(Default)]
struct Average(AtomicU64);

impl Average {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Two threads at once may lose one of two measurements, which does no harm.
    fn add(&self, ns: u64) {
        let old = self.get();
        let new = if old == 0 { ns } else { old - old / 8 + ns / 8 };
        self.0.store(new.max(1), Ordering::Relaxed);
    }
}

/// What predictions of a model cost.
#[derive(Default)]
pub(crate) struct Cost {
    /// Of a row, of requests that were predicted alone.
    alone: Average,
    /// Of a row, of whatever waited for a thread.
    queued: Average,
    /// Of a byte of a large request, reading included.
    byte: Average,
    /// The measurement before.
    before: AtomicU64,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Cost {
    /// Rows from which a request costs more than this, alone.
    pub(crate) fn rows_within(&self, time: Duration) -> usize {
        let row = self.alone.get();
        nanoseconds(time).checked_div(row).map_or(usize::MAX, |rows| rows as usize)
    }

    /// A request was predicted by the thread that read it.
    ///
    /// Of two measurements in a row the smaller counts: a thread that the system stopped in between tells nothing about
    /// the model. While all is fast nothing is written that other threads read.
    pub(crate) fn predicted_here(&self, rows: usize, took: Duration) {
        const FAST: u64 = 20_000;
        let took = nanoseconds(took) / (rows as u64).max(1);
        if took < FAST && self.alone.get() < FAST {
            return;
        }
        let before = self.before.swap(took, Ordering::Relaxed);
        if before > 0 {
            self.alone.add(took.min(before));
        }
    }

    /// Requests that waited were predicted together.
    pub(crate) fn predicted_together(&self, requests: usize, rows: usize, took: Duration) {
        let row = nanoseconds(took) / (rows as u64).max(1);
        self.queued.add(row);
        if requests == 1 {
            self.alone.add(row);
        }
    }

    /// A large request was answered.
    pub(crate) fn answered_large(&self, bytes: usize, took: Duration) {
        self.byte.add(nanoseconds(took) / (bytes as u64).max(1));
    }

    /// Nanoseconds that rows will take among others.
    pub(crate) fn of_rows(&self, rows: usize) -> u64 {
        let row = match self.queued.get() {
            0 => self.alone.get(),
            row => row,
        };
        row.saturating_mul(rows as u64)
    }

    /// Nanoseconds that a large request will take.
    pub(crate) fn of_bytes(&self, bytes: usize) -> u64 {
        self.byte.get().saturating_mul(bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    #[test]
    fn one_slow_prediction_is_not_the_model() {
        let cost = Cost::default();
        for took in [3, 3, 5000, 3, 3] {
            cost.predicted_here(1, took * MICRO);
        }
        assert_eq!(cost.rows_within(150 * MICRO), usize::MAX);
        for _ in 0..2 {
            cost.predicted_here(1, 300 * MICRO);
        }
        assert!(cost.rows_within(150 * MICRO) < 1);
        // What has become fast is noticed again, by those that waited.
        for _ in 0..40 {
            cost.predicted_together(1, 1, 3 * MICRO);
        }
        assert!(cost.rows_within(150 * MICRO) > 10);
    }

    #[test]
    fn rows_of_batches_do_not_make_single_ones_cheaper() {
        let cost = Cost::default();
        cost.predicted_together(1, 1, 400 * MICRO);
        for _ in 0..100 {
            cost.predicted_together(50, 50, 500 * MICRO);
        }
        assert!(cost.rows_within(150 * MICRO) < 1);
        assert!((9_000..12_000).contains(&cost.of_rows(1)), "{}", cost.of_rows(1));
    }
}
