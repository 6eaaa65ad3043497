//! What predictions of a model cost, as measured: whether a request is small enough for the thread that read it, and how
//! long those that wait will take.
//!
//! Averages that forget (each measurement counts an eighth), of rows alone and in batches: a batch of trees costs a
//! fraction per row, and would make single rows look cheaper than they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An average in 256ths of a nanosecond, since a byte takes few; 0 until something is known.
#[derive(Default)]
struct Average(AtomicU64);

/// Parts of a nanosecond.
const FINE: u64 = 256;

impl Average {
    /// In nanoseconds.
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed).div_ceil(FINE)
    }

    /// Nanoseconds of so many.
    fn of(&self, count: usize) -> u64 {
        (u128::from(self.0.load(Ordering::Relaxed)) * count as u128 / u128::from(FINE))
            .try_into()
            .unwrap_or(u64::MAX)
    }

    /// Two threads at once may lose one of two measurements, which does no harm.
    fn add(&self, ns: u64, of: usize) {
        let old = self.0.load(Ordering::Relaxed);
        let one = ns.saturating_mul(FINE) / (of as u64).max(1);
        let new = if old == 0 { one } else { old - old / 8 + one / 8 };
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

/// Nanoseconds of a row up to which nothing is measured.
const FAST: u64 = 20_000;

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
        let took = nanoseconds(took) / (rows as u64).max(1);
        if took < FAST && self.alone.get() < FAST {
            // Two slow ones with a fast one between them are not in a row.
            if self.before.load(Ordering::Relaxed) != 0 {
                self.before.store(0, Ordering::Relaxed);
            }
            return;
        }
        let before = self.before.swap(took, Ordering::Relaxed);
        if before > 0 {
            self.alone.add(took.min(before), 1);
        }
    }

    /// The first prediction of a model took so long, which nobody asked for: twice, since the first of anything is slow.
    pub(crate) fn warmed_up(&self, took: Duration) {
        let took = nanoseconds(took);
        if took >= FAST {
            self.alone.add(took, 1);
        }
    }

    /// Requests that waited, each of so many rows, were predicted together.
    ///
    /// What several take is no measure of one alone, but none of them would have taken longer alone. Where that is less
    /// than what is believed, the belief is wrong, and must not wait for a moment in which one request comes alone: under
    /// load there is none, and a model that has become fast would be handed to other threads for good.
    pub(crate) fn predicted_together(&self, rows: &[usize], took: Duration) {
        let took = nanoseconds(took);
        self.queued.add(took, rows.iter().sum());
        let most = rows.iter().copied().max().unwrap_or(0).max(1);
        if rows.len() == 1 || took / (most as u64) < self.alone.get() {
            self.alone.add(took, most);
        }
    }

    /// A large request was answered.
    pub(crate) fn answered_large(&self, bytes: usize, took: Duration) {
        self.byte.add(nanoseconds(took), bytes);
    }

    /// Nanoseconds that rows will take among others.
    pub(crate) fn of_rows(&self, rows: usize) -> u64 {
        let row = if self.queued.get() == 0 { &self.alone } else { &self.queued };
        row.of(rows)
    }

    /// Nanoseconds that a large request will take.
    pub(crate) fn of_bytes(&self, bytes: usize) -> u64 {
        self.byte.of(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    #[test]
    fn one_slow_prediction_is_not_the_model() {
        let cost = Cost::default();
        for took in [3, 3, 5000, 3, 3, 4000, 3] {
            cost.predicted_here(1, took * MICRO);
        }
        assert_eq!(cost.rows_within(150 * MICRO), usize::MAX);
        for _ in 0..2 {
            cost.predicted_here(1, 300 * MICRO);
        }
        assert!(cost.rows_within(150 * MICRO) < 1);
        // What has become fast is noticed again, by those that waited.
        for _ in 0..40 {
            cost.predicted_together(&[1], 3 * MICRO);
        }
        assert!(cost.rows_within(150 * MICRO) > 10);
    }

    #[test]
    fn bytes_take_parts_of_nanoseconds() {
        let cost = Cost::default();
        cost.answered_large(1 << 16, Duration::from_nanos(1));
        for _ in 0..100 {
            cost.answered_large(1000, Duration::from_nanos(2500));
        }
        assert!((2300..2600).contains(&cost.of_bytes(1000)), "{}", cost.of_bytes(1000));
    }

    #[test]
    fn a_slow_model_is_known_before_the_first_request() {
        let cost = Cost::default();
        cost.warmed_up(2000 * MICRO);
        assert!(cost.rows_within(150 * MICRO) < 1);
    }

    /// Under load no request is ever predicted alone.
    #[test]
    fn what_was_taken_for_slow_is_found_fast_by_batches() {
        let cost = Cost::default();
        cost.warmed_up(2000 * MICRO);
        for _ in 0..80 {
            // None of the three takes more than 60 us alone, the largest no more than 20 us a row.
            cost.predicted_together(&[1, 3, 2], 60 * MICRO);
        }
        assert!((6..=8).contains(&cost.rows_within(150 * MICRO)), "{}", cost.rows_within(150 * MICRO));
    }

    #[test]
    fn rows_of_batches_do_not_make_single_ones_cheaper() {
        let cost = Cost::default();
        cost.predicted_together(&[1], 400 * MICRO);
        for _ in 0..100 {
            cost.predicted_together(&[1; 50], 500 * MICRO);
        }
        assert!(cost.rows_within(150 * MICRO) < 1);
        assert!((9_000..12_000).contains(&cost.of_rows(1)), "{}", cost.of_rows(1));
    }
}
