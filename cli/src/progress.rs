//! How long work shows itself: a bar on a terminal, a plain line now and then when piped.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tilewise_base::{CoefficientPath, Progress};
use tilewise_picture::Losses;

/// Between plain lines.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Shown {
    /// Nothing but warnings.
    quiet: bool,
    /// Whether rounds are parts of equal work, of which all will be done, and not counted for people: the note tells how many.
    parts: bool,
    bar: Option<ProgressBar>,
    start: Instant,
    /// When the last plain line was written.
    last: Mutex<Option<Instant>>,
    /// What was told of losses, where they are wanted.
    losses: Option<Mutex<Vec<Losses>>>,
    /// The path of coefficients that was told, where it is wanted.
    path: Option<Mutex<Option<CoefficientPath>>>,
}

impl Shown {
    /// A bar when stderr is a terminal, unless `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        Self::with(quiet, false)
    }

    /// The same for work that is told in parts, not rounds.
    pub(crate) fn of_parts(quiet: bool) -> Self {
        Self::with(quiet, true)
    }

    fn with(quiet: bool, parts: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template is a constant that the tests draw; the plain style stands in should it be wrong.
            let style = ProgressStyle::with_template(if parts { OF_PARTS } else { TEMPLATE })
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            bar
        });
        Self { quiet, parts, bar, start: Instant::now(), last: Mutex::new(None), losses: None, path: None }
    }

    /// The same, which wants losses and keeps them.
    pub(crate) fn with_losses(self) -> Self {
        Self { losses: Some(Mutex::default()), ..self }
    }

    /// The same, which wants the path of coefficients and keeps it.
    pub(crate) fn with_path(self) -> Self {
        Self { path: Some(Mutex::default()), ..self }
    }

    /// The path of coefficients, if one was told.
    pub(crate) fn path(&self) -> Option<CoefficientPath> {
        self.path.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The losses that were told.
    pub(crate) fn losses(&self) -> Vec<Losses> {
        let kept = self.losses.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.map_or_else(Vec::new, |kept| kept.clone())
    }

    /// Takes the bar away so that results start on a clean line.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const TEMPLATE: &str = "{wide_bar} round {pos} of at most {len}, {msg}, {elapsed} gone, at most {eta} left";
const OF_PARTS: &str = "{wide_bar} {msg}, {elapsed} gone, about {eta} left";

impl Progress for Shown {
    fn round(&self, done: u64, total: u64, note: &str) {
        if let Some(bar) = &self.bar {
            if total > 0 {
                bar.set_length(total);
            }
            bar.set_message(note.to_owned());
            bar.set_position(done);
            return;
        }
        if self.quiet {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() >= EVERY) {
            *last = Some(Instant::now());
            let line = if self.parts { line_of_parts } else { line };
            crate::failure::note("progress", line(done, total, note, self.start.elapsed()));
        }
    }

    fn wants_losses(&self) -> bool {
        self.losses.is_some()
    }

    fn losses(&self, round: u64, training: f64, held_out: Option<f64>) {
        if let Some(kept) = &self.losses {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(Losses { round, training, held_out });
        }
    }

    fn wants_path(&self) -> bool {
        self.path.is_some()
    }

    fn path(&self, path: &CoefficientPath) {
        if let Some(kept) = &self.path {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.clone());
        }
    }

    fn warning(&self, text: &str) {
        let tell = || crate::failure::note("warning", text);
        match &self.bar {
            Some(bar) => bar.suspend(tell),
            None => tell(),
        }
    }
}

fn line(done: u64, total: u64, note: &str, gone: Duration) -> String {
    let gone = gone.as_secs_f64();
    if total == 0 || done == 0 {
        return format!("round {done}, {note}, {gone:.1} s gone");
    }
    let left = gone / done as f64 * total.saturating_sub(done) as f64;
    format!("round {done} of at most {total}, {note}, {gone:.1} s gone, at most {left:.1} s left")
}

fn line_of_parts(done: u64, total: u64, note: &str, gone: Duration) -> String {
    let gone = gone.as_secs_f64();
    let left = gone / done.max(1) as f64 * total.saturating_sub(done) as f64;
    format!("{note}, {gone:.1} s gone, about {left:.1} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_that_of_the_rounds_left() {
        let text = line(2, 10, "loss 0.5", Duration::from_secs(3));
        assert_eq!(text, "round 2 of at most 10, loss 0.5, 3.0 s gone, at most 12.0 s left");
        assert_eq!(line(2, 0, "loss 0.5", Duration::from_secs(3)), "round 2, loss 0.5, 3.0 s gone");
        let text = line_of_parts(250, 1000, "fit 2 of 5", Duration::from_secs(3));
        assert_eq!(text, "fit 2 of 5, 3.0 s gone, about 9.0 s left");
        for template in [TEMPLATE, OF_PARTS] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
