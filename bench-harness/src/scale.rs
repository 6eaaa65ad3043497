//! Scaling: every case on 1..N threads, next to the machine's own peaks at the same thread counts in the same run.

use crate::case::{Case, shape_text};
use crate::operand::Draw;
use crate::roofline::{Effort, Roofline};
use std::io;
use tilewise_kernels::parallel::with_threads;
use tilewise_report::{
    Chart, Csv, Entrant, LineChart, Measured, Series, Settings, Table, measure, percent, ratio, seconds,
    significant,
};

/// Fewer thread counts than this make no curve: two points fit any law.
pub const CURVE_POINTS: usize = 4;

/// Seconds that a naive run may take, estimated at [`NAIVE_RATE`]; longer ones are left out.
const NAIVE_SECONDS: f64 = 2.0;
/// Operations per second that a naive loop is reckoned to make.
const NAIVE_RATE: f64 = 5e8;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Thread counts, ascending.
    pub threads: Vec<usize>,
    /// Rounds and sample lengths.
    pub settings: Settings,
    /// How carefully the machine's peaks are measured.
    pub effort: Effort,
    /// Only the quick shape of every case.
    pub quick: bool,
    /// Key of the operands.
    pub seed: u64,
}

impl Options {
    /// Full measurements on up to all cores.
    pub fn full() -> Self {
        let (settings, effort) = (Settings::default(), Effort::default());
        Self { threads: thread_counts(cores()), settings, effort, quick: false, seed: 1 }
    }

    /// A try-out: small shapes, few samples.
    pub fn quick() -> Self {
        let settings = Settings { rounds: 3, sample_seconds: 5e-4, ..Settings::default() };
        let effort = Effort { samples: 3, seconds: 5e-3, bytes: 32 << 20 };
        Self { settings, effort, quick: true, ..Self::full() }
    }
}

/// Logical cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// 1, 2, 3, 4, 6, 8, 12, 16 ... up to and with `most`.
pub fn thread_counts(most: usize) -> Vec<usize> {
    let steps = (0..usize::BITS - 2).flat_map(|power| [1 << power, 3 << power]);
    let mut counts: Vec<usize> = steps.filter(|&n| n < most).chain([most.max(1)]).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// A case on a shape at several thread counts.
#[derive(Clone, Debug)]
pub struct Scaled {
    /// The case.
    pub title: String,
    /// `f32` or `f64`.
    pub element: &'static str,
    /// Shape of the operands.
    pub shape: Vec<usize>,
    /// Operations of a run.
    pub flops: f64,
    /// Bytes of a run.
    pub bytes: f64,
    /// Thread counts with their samples, measured in turn.
    pub runs: Vec<(usize, Measured)>,
    /// The naive version on one thread, where it is not too slow to wait for.
    pub naive: Option<Measured>,
}

impl Scaled {
    /// Median of the ratios of the first thread count over run `i`.
    pub fn speed_up(&self, i: usize) -> f64 {
        self.runs[0].1.ratio(&self.runs[i].1)
    }

    /// Median seconds of run `i`.
    pub fn seconds(&self, i: usize) -> f64 {
        self.runs[i].1.median()
    }

    /// Median of the ratios of naive over the first thread count.
    pub fn over_naive(&self) -> Option<f64> {
        self.naive.as_ref().map(|naive| naive.ratio(&self.runs[0].1))
    }
}

/// Peaks and cases.
#[derive(Clone, Debug)]
pub struct Scaling {
    /// The machine's peaks, one for every thread count.
    pub roofs: Vec<Roofline>,
    /// The cases.
    pub scaled: Vec<Scaled>,
}

/// Measures all `cases`, and the peaks before and after them.
///
/// # Errors
/// When a case refuses to run.
pub fn scale(cases: &[Case], options: &Options, mut hear: impl FnMut(&str)) -> io::Result<Scaling> {
    hear("machine peaks");
    let roofs: Vec<Roofline> =
        options.threads.iter().map(|&t| Roofline::measure(t, &options.effort)).collect();
    let mut scaled = Vec::new();
    for case in cases {
        let quick = [case.quick];
        for shape in if options.quick { &quick[..] } else { case.timed } {
            hear(&format!("{} {}", case.title(), shape_text(shape)));
            scaled.push(one(case, shape, options)?);
        }
    }
    Ok(Scaling { roofs, scaled })
}

fn one(case: &Case, shape: &[usize], options: &Options) -> io::Result<Scaled> {
    let work = std::cell::RefCell::new((case.make)(shape, &mut Draw::packed(options.seed)));
    let cost = work.borrow().cost();
    let mut entrants: Vec<Entrant<'_>> = Vec::new();
    for &threads in &options.threads {
        let work = &work;
        let sample = move |repetitions: u64| {
            let mut work = work.borrow_mut();
            let work = work.as_mut();
            with_threads(threads, || {
                let start = std::time::Instant::now();
                (0..repetitions).try_for_each(|_| work.ours())?;
                Ok(start.elapsed().as_secs_f64())
            })
            .map_err(|error: Box<dyn std::error::Error + Send + Sync>| io::Error::other(error.to_string()))
        };
        entrants.push(Entrant::timed(format!("{} at {threads} threads", case.title()), sample));
    }
    if cost.flops.max(cost.bytes) / NAIVE_RATE < NAIVE_SECONDS {
        let sample = |repetitions: u64| {
            let mut work = work.borrow_mut();
            let start = std::time::Instant::now();
            let ran = (0..repetitions).try_for_each(|_| work.naive());
            ran.map_err(|error| io::Error::other(error.to_string()))?;
            Ok(start.elapsed().as_secs_f64())
        };
        entrants.push(Entrant::timed(format!("naive {}", case.title()), sample));
    }
    let mut measured = measure(&options.settings, &mut entrants)?;
    let naive = if measured.len() > options.threads.len() { measured.pop() } else { None };
    let runs = options.threads.iter().copied().zip(measured).collect();
    let (title, element, shape) = (case.title(), case.element, shape.to_vec());
    Ok(Scaled { title, element, shape, flops: cost.flops, bytes: cost.bytes, runs, naive })
}

impl Scaling {
    /// The machine's peaks as a table.
    pub fn roof_table(&self) -> Table {
        let columns =
            ["threads", "FMA f32", "FMA f64", "memory read", "memory add", "FMA f32 scaling", "add scaling"];
        let mut table = Table::new("Machine peaks in this run", &columns);
        for roof in &self.roofs {
            let giga = |x: f64| significant(x / 1e9, 3);
            table.push([
                roof.threads.to_string(),
                format!("{} Gflop/s", giga(roof.flops_f32)),
                format!("{} Gflop/s", giga(roof.flops_f64)),
                format!("{} GB/s", giga(roof.read)),
                format!("{} GB/s", giga(roof.add)),
                ratio(roof.flops_f32 / self.roofs[0].flops_f32),
                ratio(roof.add / self.roofs[0].add),
            ]);
        }
        table
    }

    /// Every case, shape and thread count as a table.
    pub fn table(&self) -> Table {
        let columns = [
            "<case",
            "<shape",
            "threads",
            "time",
            "speed-up",
            "efficiency",
            "Gflop/s",
            "of FMA peak",
            "GB/s",
            "of bandwidth",
            "naive / ours",
        ];
        let mut table = Table::new("", &columns);
        self.each(|scaled, roof, i| {
            let time = scaled.seconds(i);
            let naive = if i == 0 { scaled.over_naive().map_or("-".into(), ratio) } else { String::new() };
            table.push([
                scaled.title.clone(),
                shape_text(&scaled.shape),
                scaled.runs[i].0.to_string(),
                seconds(time),
                ratio(scaled.speed_up(i)),
                percent(scaled.speed_up(i) * scaled.runs[0].0 as f64 / scaled.runs[i].0 as f64),
                significant(scaled.flops / time / 1e9, 3),
                percent(scaled.flops / time / roof.flops(scaled.element)),
                significant(scaled.bytes / time / 1e9, 3),
                percent(scaled.bytes / time / roof.add.max(roof.read)),
                naive,
            ]);
        });
        table
    }

    /// The same in full precision.
    pub fn csv(&self) -> Csv {
        let mut csv = Csv::new(&[
            "case",
            "shape",
            "threads",
            "seconds",
            "speed_up",
            "efficiency",
            "flops_per_second",
            "share_of_fma_peak",
            "bytes_per_second",
            "share_of_bandwidth",
            "naive_seconds",
            "naive_over_ours",
        ]);
        self.each(|scaled, roof, i| {
            let (time, threads) = (scaled.seconds(i), scaled.runs[i].0);
            let optional = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
            csv.push(&[
                scaled.title.clone(),
                shape_text(&scaled.shape),
                threads.to_string(),
                time.to_string(),
                scaled.speed_up(i).to_string(),
                (scaled.speed_up(i) * scaled.runs[0].0 as f64 / threads as f64).to_string(),
                (scaled.flops / time).to_string(),
                (scaled.flops / time / roof.flops(scaled.element)).to_string(),
                (scaled.bytes / time).to_string(),
                (scaled.bytes / time / roof.add.max(roof.read)).to_string(),
                optional(scaled.naive.as_ref().map(Measured::median)),
                optional(scaled.over_naive()),
            ]);
        });
        csv
    }

    fn each(&self, mut see: impl FnMut(&Scaled, &Roofline, usize)) {
        for scaled in &self.scaled {
            for (i, roof) in self.roofs.iter().enumerate() {
                see(scaled, roof, i);
            }
        }
    }

    /// Speed-up curves, a chart for every case name; none for fewer than [`CURVE_POINTS`] thread counts.
    pub fn curves(&self) -> Vec<Chart> {
        if self.roofs.len() < CURVE_POINTS {
            return Vec::new();
        }
        let threads: Vec<f64> = self.roofs.iter().map(|roof| roof.threads as f64).collect();
        let mut titles: Vec<&str> = self.scaled.iter().map(|scaled| scaled.title.as_str()).collect();
        titles.dedup();
        let chart = |title: &&str| {
            let of_title = self.scaled.iter().filter(|scaled| scaled.title == *title);
            let series = of_title.map(|scaled| Series {
                name: shape_text(&scaled.shape),
                points: threads.iter().enumerate().map(|(i, &t)| (t, scaled.speed_up(i))).collect(),
            });
            Chart::Line(LineChart::speed_up(*title, &threads, series.collect()))
        };
        titles.iter().map(chart).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_grow_to_the_last() {
        assert_eq!(thread_counts(1), [1]);
        assert_eq!(thread_counts(2), [1, 2]);
        assert_eq!(thread_counts(5), [1, 2, 3, 4, 5]);
        assert_eq!(thread_counts(16), [1, 2, 3, 4, 6, 8, 12, 16]);
    }

    #[test]
    fn a_quick_scaling_has_every_number() {
        let cases = crate::cases::matching("dot f32");
        let scaling = |threads: Vec<usize>| {
            let options = Options { threads, ..Options::quick() };
            scale(&cases, &options, |_| ()).unwrap()
        };
        let two = scaling(vec![1, 2]);
        assert_eq!(two.scaled.len(), 1);
        assert_eq!(two.scaled[0].speed_up(0), 1.0);
        assert!(two.scaled[0].over_naive().unwrap() > 0.0);
        assert_eq!((two.table().rows().len(), two.csv().text().lines().count()), (2, 3));
        assert!(two.curves().is_empty());
        assert_eq!(scaling(vec![1, 2, 3, 4]).curves().len(), 1);
    }
}
