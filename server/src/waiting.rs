//! The memory that large bodies may occupy, and large replies, whatever they answer, until they are read.

use crate::failure::{Failure, Result};
use hyper::StatusCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A share of the memory for large bodies; given back when dropped.
pub(crate) struct Waiting {
    used: Arc<AtomicUsize>,
    limit: usize,
    mine: usize,
}

impl Waiting {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit, mine: 0 }
    }

    /// A share of nothing yet.
    pub(crate) fn empty(&self) -> Self {
        Self { used: Arc::clone(&self.used), limit: self.limit, mine: 0 }
    }

    pub(crate) fn size(&self) -> usize {
        self.mine
    }

    /// Bytes in use by all.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A share of `size` bytes instead, of what is there already and can no longer be refused.
    pub(crate) fn of_size(mut self, size: usize) -> Self {
        self.used.fetch_add(size, Ordering::Relaxed);
        self.used.fetch_sub(self.mine, Ordering::Relaxed);
        self.mine = size;
        self
    }

    /// The same with room for an answer that may take `size` bytes.
    ///
    /// # Errors
    /// 413 where that is more than may be at all beside the body that is held, 503 where it is more than there is now.
    pub(crate) fn with_answer(mut self, size: usize) -> Result<Self> {
        // What this request holds itself is there whenever it is tried again.
        if self.mine.saturating_add(size) > self.limit {
            let beside = match self.mine {
                0 => String::new(),
                mine => format!(" beside the {mine} of the request"),
            };
            let message = format!(
                "the answer may take {size} bytes{beside}, and {} are accepted for large requests and answers (max_waiting); ask for \
                 fewer rows at a time",
                self.limit
            );
            return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        let before = self.used.fetch_add(size, Ordering::Relaxed);
        self.mine += size;
        if before + size <= self.limit {
            return Ok(self);
        }
        let message = format!(
            "{before} bytes of large requests and answers are in work, {} may be (max_waiting), and the answer may take {size} more; \
             try again",
            self.limit
        );
        Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message))
    }

    /// Makes the share `size` bytes.
    pub(crate) fn grow(&mut self, size: usize) -> Result<()> {
        let more = size.saturating_sub(self.mine);
        let before = self.used.fetch_add(more, Ordering::Relaxed);
        self.mine += more;
        if before + more <= self.limit {
            return Ok(());
        }
        let message =
            format!("{before} bytes of large requests are in work, {} may be; try again", self.limit);
        Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).closing())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.used.fetch_sub(self.mine, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can never fit is told so, and not to try again: the body that is held counts.
    #[test]
    fn an_answer_has_to_fit_beside_its_body() {
        let all = Waiting::new(100);
        let status = |body: usize, answer: usize| {
            let share = all.empty().of_size(body).with_answer(answer);
            share.map(|share| share.size()).map_err(|failure| failure.status)
        };
        assert_eq!(status(0, 100), Ok(100));
        assert_eq!(status(40, 60), Ok(100));
        assert_eq!(status(0, 101), Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(status(40, 61), Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(status(1, usize::MAX), Err(StatusCode::PAYLOAD_TOO_LARGE));
        let other = all.empty().of_size(1);
        assert_eq!(status(40, 60), Err(StatusCode::SERVICE_UNAVAILABLE));
        drop(other);
        assert_eq!((status(40, 60), all.used()), (Ok(100), 0));
    }
}
