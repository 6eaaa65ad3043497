//! Measuring several pieces of work side by side.
//!
//! Method: every entrant is warmed up and given as many repetitions per sample as fill [`Settings::sample_seconds`];
//! then all take one sample each per round, in turn, the order rotating by one from round to round. Clock changes and
//! busy neighbours last longer than one round, so they strike all entrants alike: *ratios* are taken within a round and
//! their median reported, never the quotient of two medians taken at different times.

use std::io;
use std::time::Instant;

/// How long and how often to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Samples of every entrant. Ratios worth printing want 7 or more, the default.
    pub rounds: usize,
    /// A sample repeats short work until it lasts about this long; the clock and a call cost well below 1 % of 1 ms.
    pub sample_seconds: f64,
    /// Most repetitions in a sample.
    pub max_repetitions: u64,
    /// Seconds after which an entrant whose samples took longer in all takes no further turn; it takes one at least, which is the
    /// first call where that alone took longer. Ratios are then those of the rounds that both took part in.
    pub longest: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rounds: 7, sample_seconds: 2e-3, max_repetitions: 1 << 24, longest: f64::INFINITY }
    }
}

type Sample<'a> = Box<dyn FnMut(u64) -> io::Result<f64> + 'a>;

/// Something that takes time, with the name it has in tables.
pub struct Entrant<'a> {
    name: String,
    sample: Sample<'a>,
    known: f64,
    longest: f64,
}

impl<'a> Entrant<'a> {
    /// Work in this process.
    pub fn work(name: impl Into<String>, mut work: impl FnMut() + 'a) -> Self {
        let sample = move |repetitions| {
            let start = Instant::now();
            (0..repetitions).for_each(|_| work());
            Ok(start.elapsed().as_secs_f64())
        };
        Self::timed(name, sample)
    }

    /// Work that somebody else times: `sample(repetitions)` answers the seconds that all repetitions took together.
    pub fn timed(name: impl Into<String>, sample: impl FnMut(u64) -> io::Result<f64> + 'a) -> Self {
        Self { name: name.into(), sample: Box::new(sample), known: 0.0, longest: f64::INFINITY }
    }

    /// The same, of which one repetition is known to have taken so many seconds just now: if that is long it needs no
    /// warming up.
    #[must_use]
    pub fn known(self, seconds: f64) -> Self {
        Self { known: seconds, ..self }
    }

    /// The same, which takes no further turn after so many seconds of samples, see [`Settings::longest`].
    #[must_use]
    pub fn at_most(self, seconds: f64) -> Self {
        Self { longest: seconds, ..self }
    }

    /// The name it has in tables.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The samples of one entrant, in the order of the rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The entrant's name.
    pub name: String,
    /// Seconds per repetition, one for every round that it took part in: all, or the first ones, see
    /// [`Settings::longest`].
    pub seconds: Vec<f64>,
    /// Repetitions in a sample.
    pub repetitions: u64,
}

impl Measured {
    /// Median seconds per repetition.
    pub fn median(&self) -> f64 {
        median(&self.seconds)
    }

    /// How many times as long as `other` this takes: the median of the ratios of the rounds.
    pub fn ratio(&self, other: &Measured) -> f64 {
        median(&self.seconds.iter().zip(&other.seconds).map(|(a, b)| a / b).collect::<Vec<_>>())
    }
}

/// Measures all entrants in turn.
///
/// # Errors
/// The first that an entrant reports, with its name.
pub fn measure(settings: &Settings, entrants: &mut [Entrant<'_>]) -> io::Result<Vec<Measured>> {
    let mut measured = Vec::with_capacity(entrants.len());
    let mut spent = vec![0.0; entrants.len()];
    let longest: Vec<f64> = entrants.iter().map(|entrant| entrant.longest.min(settings.longest)).collect();
    for (i, entrant) in entrants.iter_mut().enumerate() {
        let (repetitions, last) = warm_up(settings, entrant)?;
        let mut seconds = Vec::new();
        if last > longest[i] {
            (spent[i], seconds) = (last, vec![last / repetitions as f64]);
        }
        measured.push(Measured { name: entrant.name.clone(), seconds, repetitions });
    }
    for round in 0..settings.rounds {
        for turn in 0..entrants.len() {
            let i = (round + turn) % entrants.len();
            if !measured[i].seconds.is_empty() && spent[i] > longest[i] {
                continue;
            }
            let repetitions = measured[i].repetitions;
            let seconds = sample(&mut entrants[i], repetitions)?;
            spent[i] += seconds;
            measured[i].seconds.push(seconds / repetitions as f64);
        }
    }
    Ok(measured)
}

fn sample(entrant: &mut Entrant<'_>, repetitions: u64) -> io::Result<f64> {
    let seconds = (entrant.sample)(repetitions);
    seconds.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", entrant.name)))
}

/// Samples that a repetition must last for it to count as long: it would still be long in a better moment.
const KNOWN: f64 = 20.0;

/// Runs the entrant with growing repetitions until a sample is long enough; answers how many that takes, and the seconds of the last
/// sample.
fn warm_up(settings: &Settings, entrant: &mut Entrant<'_>) -> io::Result<(u64, f64)> {
    let (most, enough) = (settings.max_repetitions.max(1), settings.sample_seconds);
    if entrant.known >= KNOWN * enough {
        return Ok((1, 0.0));
    }
    let mut repetitions = 1;
    loop {
        let mut seconds = sample(entrant, repetitions)?;
        // A pool that starts its threads, or a neighbour, makes one sample long; then all would be too short.
        if (enough..10.0 * enough).contains(&seconds) {
            seconds = seconds.min(2.0 * sample(entrant, repetitions)?);
        }
        if seconds >= enough || repetitions == most {
            return Ok((repetitions, seconds));
        }
        // The first calls are slow (page faults, cold caches): grow at most tenfold and look again.
        let wanted = settings.sample_seconds / seconds.max(1e-9) * 1.2 * repetitions as f64;
        repetitions = (wanted as u64).clamp(repetitions + 1, repetitions.saturating_mul(10)).min(most);
    }
}

/// The median; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The `q`-quantile by linear interpolation between order statistics (Hyndman and Fan's type 7); NaN of nothing.
///
/// ```
/// use tilewise_report::quantile;
/// assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
/// assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 1.0), 4.0);
/// ```
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, q)
}

fn quantile_of_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Equal neighbours first: infinite ones would subtract to NaN.
    if below == above { below } else { below + (above - below) * place.fract() }
}

/// Latencies, or anything else of which the tail matters, in a few numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many values.
    pub count: usize,
    /// Smallest.
    pub min: f64,
    /// Median.
    pub p50: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// Largest.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
}

impl Summary {
    /// Summarises `values`; `None` of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        let (p50, p99) = (quantile_of_sorted(&sorted, 0.5), quantile_of_sorted(&sorted, 0.99));
        Some(Self { count: sorted.len(), min, p50, p99, max, mean })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A clock of our own: entrant i takes `costs[i]` seconds per repetition, times a machine that slows down.
    fn run(costs: &[f64], rounds: usize) -> (Vec<Measured>, Vec<usize>) {
        let order = RefCell::new(Vec::new());
        let settings = Settings { rounds, sample_seconds: 1e-3, ..Settings::default() };
        let mut entrants: Vec<_> = (0..costs.len())
            .map(|i| {
                let order = &order;
                Entrant::timed(format!("e{i}"), move |repetitions| {
                    order.borrow_mut().push(i);
                    let slowness = 1.0 + order.borrow().len() as f64;
                    Ok(costs[i] * slowness * repetitions as f64)
                })
            })
            .collect();
        let measured = measure(&settings, &mut entrants).unwrap();
        drop(entrants);
        (measured, order.into_inner())
    }

    #[test]
    fn rounds_rotate_and_short_work_is_repeated() {
        let (measured, order) = run(&[1.0, 1e-6, 2.0], 4);
        assert_eq!(order[order.len() - 12..], [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2]);
        assert_eq!((measured[0].repetitions, measured[2].repetitions), (1, 1));
        assert!((100..=1000).contains(&measured[1].repetitions), "{}", measured[1].repetitions);
        assert!(measured.iter().all(|m| m.seconds.len() == 4));
    }

    #[test]
    fn who_takes_too_long_takes_fewer_turns() {
        let turns = RefCell::new(vec![0; 5]);
        let entrant = |i: usize, seconds: f64| {
            let turns = &turns;
            Entrant::timed("e", move |repetitions| {
                turns.borrow_mut()[i] += 1;
                Ok(seconds * repetitions as f64)
            })
        };
        let settings = Settings { rounds: 5, sample_seconds: 1e-3, longest: 4.0, ..Settings::default() };
        let mut entrants = [
            entrant(0, 0.5),
            entrant(1, 3.0),
            entrant(2, 100.0).known(90.0),
            entrant(3, 100.0),
            entrant(4, 3.0).at_most(2.0),
        ];
        let measured = measure(&settings, &mut entrants).unwrap();
        drop(entrants);
        // One more turn than rounds is for warming up, which what is known to be long does without; the first call counts where it took
        // longer than all may.
        assert_eq!(turns.into_inner(), [6, 3, 1, 1, 1]);
        assert_eq!((&measured[1].seconds[..], &measured[4].seconds[..]), (&[3.0; 2][..], &[3.0][..]));
        assert_eq!(measured[2].ratio(&measured[0]), 200.0);
    }

    #[test]
    fn a_slow_start_does_not_shorten_samples() {
        let calls = RefCell::new(0);
        let entrant = Entrant::timed("e", |repetitions| {
            *calls.borrow_mut() += 1;
            Ok(if *calls.borrow() == 1 { 5e-3 } else { 1e-6 * repetitions as f64 })
        });
        let settings = Settings { sample_seconds: 1e-3, ..Settings::default() };
        let measured = measure(&settings, &mut [entrant]).unwrap();
        assert!(measured[0].repetitions >= 1000, "{}", measured[0].repetitions);
    }

    #[test]
    fn the_ratio_is_the_median_of_ratios() {
        let of =
            |seconds: &[f64]| Measured { name: String::new(), seconds: seconds.to_vec(), repetitions: 1 };
        // The machine runs at half speed in two rounds of five; the ratio of medians would be 4 / 1.
        let (a, b) = (of(&[2.0, 4.0, 4.0, 2.0, 4.2]), of(&[1.0, 2.0, 2.0, 1.0, 1.0]));
        assert_eq!(a.ratio(&b), 2.0);
        assert_eq!(a.median(), 4.0);
    }

    #[test]
    fn quantiles() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let summary = Summary::of(&values).unwrap();
        assert_eq!((summary.min, summary.p50, summary.p99, summary.max), (0.0, 50.0, 99.0, 100.0));
        assert_eq!((summary.count, summary.mean), (101, 50.0));
        assert!(median(&[]).is_nan() && Summary::of(&[]).is_none());
        assert_eq!(quantile(&[f64::INFINITY; 3], 0.3), f64::INFINITY);
    }

    #[test]
    fn errors_name_the_entrant() {
        let mut entrants = [Entrant::timed("openblas", |_| Err(io::Error::other("gone")))];
        assert_eq!(measure(&Settings::default(), &mut entrants).unwrap_err().to_string(), "openblas: gone");
    }
}
