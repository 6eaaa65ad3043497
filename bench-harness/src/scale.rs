//! Scaling: every case on 1..N threads, next to the machine's own peaks at the same thread counts in the same run.

use crate::case::{Case, Cost, Outcome, Work, shape_text};
use crate::operand::Draw;
use crate::roofline::{Effort, PROBES, Probes, Roof};
use std::io;
use tilewise_kernels::parallel::{on_every_thread, with_threads};
use tilewise_report::{
    Chart, Csv, Entrant, LineChart, Measured, Series, Settings, Table, measure, median, percent, ratio,
    seconds, significant,
};

/// Fewer thread counts than this make no curve: two points fit any law.
pub const CURVE_POINTS: usize = 4;

/// Seconds that a naive run may take, estimated at [`NAIVE_RATE`]; longer ones are left out. One that takes longer after all is timed
/// once.
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
        let effort = Effort { seconds: 2e-3, bytes: 32 << 20 };
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
    /// How many of them are written.
    pub written: f64,
    /// Thread counts with their samples, measured in turn.
    pub runs: Vec<(usize, Measured)>,
    /// What the machine did at the same thread counts in the same rounds.
    pub roofs: Vec<Roof>,
    /// The way to compute the same that is timed beside, where there is one, in the order of the thread counts.
    pub beside: Vec<Measured>,
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

    /// Median of the ratios of the first thread count over that of run `i`, both the other way.
    pub fn speed_up_beside(&self, i: usize) -> Option<f64> {
        Some(self.beside.first()?.ratio(self.beside.get(i)?))
    }

    /// Median of the ratios of run `i` over the other way at as many threads.
    pub fn over_beside(&self, i: usize) -> Option<f64> {
        Some(self.runs[i].1.ratio(self.beside.get(i)?))
    }

    /// Share of the multiply-add peak of run `i`: the median over its rounds.
    pub fn share_of_flops(&self, i: usize) -> f64 {
        self.over_rounds(i, |round, seconds| self.flops / seconds / self.roofs[i].flops[round])
    }

    /// Share of the bandwidth of run `i`, that of reads or of additions, whichever is larger.
    pub fn share_of_bandwidth(&self, i: usize) -> f64 {
        let roof = &self.roofs[i];
        self.over_rounds(i, |round, seconds| self.bytes / seconds / roof.add[round].max(roof.read[round]))
    }

    /// Speed-up of run `i` over that of the peak which is nearer to the first run: multiply-adds or memory. Memory is
    /// that of additions for what writes as much of its bytes as they do (a third), else that of reads.
    pub fn speed_up_of_limit(&self, i: usize) -> f64 {
        let limit = if self.share_of_flops(0) >= self.share_of_bandwidth(0) {
            |roof: &Roof, round: usize| roof.flops[round]
        } else if 3.0 * self.written >= self.bytes {
            |roof: &Roof, round: usize| roof.add[round]
        } else {
            |roof: &Roof, round: usize| roof.read[round]
        };
        self.over_rounds(i, |round, seconds| {
            let speed_up = self.runs[0].1.seconds[round] / seconds;
            speed_up * limit(&self.roofs[0], round) / limit(&self.roofs[i], round)
        })
    }

    fn over_rounds(&self, i: usize, value: impl Fn(usize, f64) -> f64) -> f64 {
        let seconds = self.runs[i].1.seconds.iter().enumerate();
        median(&seconds.map(|(round, &seconds)| value(round, seconds)).collect::<Vec<_>>())
    }
}

/// All cases.
#[derive(Clone, Debug)]
pub struct Scaling {
    /// Thread counts.
    pub threads: Vec<usize>,
    /// The cases.
    pub scaled: Vec<Scaled>,
}

/// Measures all `cases`, and in turn with each what the machine can do; `keep` is told what there is after each but the last.
///
/// # Errors
/// When a case refuses to run, or `keep` does.
pub fn scale(
    cases: &[Case],
    options: &Options,
    mut hear: impl FnMut(&str),
    mut keep: impl FnMut(&Scaling) -> io::Result<()>,
) -> io::Result<Scaling> {
    let probes = Probes::new(options.effort);
    let mut scaling = Scaling { threads: options.threads.clone(), scaled: Vec::new() };
    for case in cases {
        if !scaling.scaled.is_empty() {
            keep(&scaling)?;
        }
        let quick = [case.quick];
        for shape in if options.quick { &quick[..] } else { case.timed } {
            hear(&format!("{} {}", case.title(), shape_text(shape)));
            scaling.scaled.push(one(case, shape, &probes, options)?);
        }
    }
    Ok(scaling)
}

/// Seconds beyond which a run is not preceded by an untimed one: caches and buffers matter little then.
const LONG: f64 = 0.25;

fn one(case: &Case, shape: &[usize], probes: &Probes, options: &Options) -> io::Result<Scaled> {
    let work = std::cell::RefCell::new((case.make)(shape, &mut Draw::packed(options.seed)));
    let (cost, is_timed_naive) = (work.borrow().cost(), work.borrow().is_timed_naive());
    let mut entrants: Vec<Entrant<'_>> = Vec::new();
    let sample = |threads: usize, run: fn(&mut dyn Work) -> Outcome| {
        let work = &work;
        let mut last = 0.0;
        move |repetitions: u64| {
            let mut work = work.borrow_mut();
            let work = work.as_mut();
            let seconds = with_threads(threads, || {
                on_every_thread(|_| probes.warm_up());
                // The threads are new and own no buffers yet, and what else was timed has filled the caches.
                if last < LONG {
                    run(work)?;
                }
                let start = std::time::Instant::now();
                (0..repetitions).try_for_each(|_| run(work))?;
                Ok(start.elapsed().as_secs_f64())
            })
            .map_err(|error: Box<dyn std::error::Error + Send + Sync>| io::Error::other(error.to_string()))?;
            last = seconds / repetitions as f64;
            Ok(seconds)
        }
    };
    for &threads in &options.threads {
        entrants.extend(probes.entrants(case.element, threads));
        let name = format!("{} at {threads} threads", case.title());
        if let Some(beside) = case.beside {
            entrants.push(Entrant::timed(format!("{name}, {beside}"), sample(threads, |work| work.beside())));
        }
        entrants.push(Entrant::timed(name, sample(threads, |work| work.ours())));
    }
    if is_timed_naive && cost.flops.max(cost.bytes) / NAIVE_RATE < NAIVE_SECONDS {
        let naive = Entrant::timed(format!("naive {}", case.title()), sample(1, |work| work.naive()));
        entrants.push(naive.at_most(NAIVE_SECONDS));
    }
    let mut measured = measure(&options.settings, &mut entrants)?.into_iter();
    let (mut runs, mut roofs, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for &threads in &options.threads {
        let mut next = || measured.next().unwrap_or_default();
        let seconds: [Measured; PROBES] = std::array::from_fn(|_| next());
        beside.extend(case.beside.map(|_| next()));
        runs.push((threads, next()));
        roofs.push(probes.roof(case.element, threads, seconds.each_ref().map(|m| &m.seconds[..])));
    }
    let (title, element, shape, naive) = (case.title(), case.element, shape.to_vec(), measured.next());
    let Cost { flops, bytes, written } = cost;
    Ok(Scaled { title, element, shape, flops, bytes, written, runs, roofs, beside, naive })
}

impl Scaling {
    /// The machine's peaks as a table: medians over the rounds of all cases.
    pub fn roof_table(&self) -> Table {
        let columns =
            ["threads", "FMA f32", "FMA f64", "memory read", "memory add", "read scaling", "add scaling"];
        let mut table = Table::new("Machine peaks in this run", &columns);
        for (i, threads) in self.threads.iter().enumerate() {
            let rate = |i: usize, element: &str, of: fn(&Roof) -> &[f64]| {
                let cases = self.scaled.iter().filter(|scaled| scaled.element.contains(element));
                median(&cases.flat_map(|scaled| of(&scaled.roofs[i])).copied().collect::<Vec<_>>())
            };
            let giga = |x: f64, unit: &str| match x.is_finite() {
                true => format!("{} {unit}", significant(x / 1e9, 3)),
                false => "-".into(),
            };
            let (read, add) = (|i| rate(i, "", |roof| &roof.read), |i| rate(i, "", |roof| &roof.add));
            table.push([
                threads.to_string(),
                giga(rate(i, "f32", |roof| &roof.flops), "Gflop/s"),
                giga(rate(i, "f64", |roof| &roof.flops), "Gflop/s"),
                giga(read(i), "GB/s"),
                giga(add(i), "GB/s"),
                ratio(read(i) / read(0)),
                ratio(add(i) / add(0)),
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
            "of limit's",
            "Gflop/s",
            "of FMA peak",
            "GB/s",
            "of bandwidth",
            "naive / ours",
            "ours / beside",
        ];
        let mut table = Table::new("", &columns);
        self.each(|scaled, i| {
            let time = scaled.seconds(i);
            let naive = if i == 0 { scaled.over_naive().map_or("-".into(), ratio) } else { String::new() };
            table.push([
                scaled.title.clone(),
                shape_text(&scaled.shape),
                scaled.runs[i].0.to_string(),
                seconds(time),
                ratio(scaled.speed_up(i)),
                percent(scaled.speed_up(i) * scaled.runs[0].0 as f64 / scaled.runs[i].0 as f64),
                ratio(scaled.speed_up_of_limit(i)),
                significant(scaled.flops / time / 1e9, 3),
                percent(scaled.share_of_flops(i)),
                significant(scaled.bytes / time / 1e9, 3),
                percent(scaled.share_of_bandwidth(i)),
                naive,
                scaled.over_beside(i).map_or(String::new(), ratio),
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
            "speed_up_over_that_of_limit",
            "flops_per_second",
            "share_of_fma_peak",
            "bytes_per_second",
            "share_of_bandwidth",
            "naive_seconds",
            "naive_over_ours",
            "ours_over_beside",
        ]);
        self.each(|scaled, i| {
            let (time, threads) = (scaled.seconds(i), scaled.runs[i].0);
            let optional = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
            csv.push(&[
                scaled.title.clone(),
                shape_text(&scaled.shape),
                threads.to_string(),
                time.to_string(),
                scaled.speed_up(i).to_string(),
                (scaled.speed_up(i) * scaled.runs[0].0 as f64 / threads as f64).to_string(),
                scaled.speed_up_of_limit(i).to_string(),
                (scaled.flops / time).to_string(),
                scaled.share_of_flops(i).to_string(),
                (scaled.bytes / time).to_string(),
                scaled.share_of_bandwidth(i).to_string(),
                optional(scaled.naive.as_ref().map(Measured::median)),
                optional(scaled.over_naive()),
                optional(scaled.over_beside(i)),
            ]);
        });
        csv
    }

    fn each(&self, mut see: impl FnMut(&Scaled, usize)) {
        for scaled in &self.scaled {
            (0..scaled.runs.len()).for_each(|i| see(scaled, i));
        }
    }

    /// Speed-up curves, a chart for every case name; none for fewer than [`CURVE_POINTS`] thread counts.
    pub fn curves(&self) -> Vec<Chart> {
        if self.threads.len() < CURVE_POINTS {
            return Vec::new();
        }
        let threads: Vec<f64> = self.threads.iter().map(|&threads| threads as f64).collect();
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
        let cases = crate::cases::matching(&["dot f32"]);
        let scaling = |threads: Vec<usize>| {
            let options = Options { threads, ..Options::quick() };
            scale(&cases, &options, |_| (), |_| Ok(())).unwrap()
        };
        let two = scaling(vec![1, 2]);
        assert_eq!(two.scaled.len(), 1);
        assert_eq!((two.scaled[0].speed_up(0), two.scaled[0].speed_up_of_limit(0)), (1.0, 1.0));
        assert!(two.scaled[0].over_naive().unwrap() > 0.0);
        assert_eq!((two.table().rows().len(), two.csv().text().lines().count()), (2, 3));
        assert!(two.curves().is_empty());
        assert_eq!(scaling(vec![1, 2, 3, 4]).curves().len(), 1);
    }
}
