//! Checking: every case against its reference over sampled shapes and layouts, on every instruction set of the CPU, at
//! several thread counts.
//!
//! As in property-based testing, shapes are drawn at random with a liking for the sizes where kernels go wrong (around
//! lane counts, and empty), and one that fails is made smaller for as long as it still fails. Draws depend on the seed
//! alone, so that a failure can be repeated.

use crate::case::{Case, Work, shape_text};
use crate::operand::Draw;
use tilewise_kernels::parallel::with_threads;
use tilewise_kernels::random::Philox;
use tilewise_kernels::simd::{Isa, with_isa};
use tilewise_report::{Table, significant};

/// What to sample.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shapes of every case.
    pub samples: usize,
    /// Key of the draws.
    pub seed: u64,
    /// Thread counts that must give the same bits.
    pub threads: Vec<usize>,
    /// Instruction sets.
    pub sets: Vec<Isa>,
}

impl Default for Options {
    fn default() -> Self {
        Self { samples: 40, seed: 1, threads: vec![1, 2, 3, 7], sets: Isa::available().collect() }
    }
}

/// How a case did.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The case.
    pub title: String,
    /// Runs that were compared.
    pub comparisons: usize,
    /// Largest error over the error allowed.
    pub worst: f64,
    /// The smallest failure found.
    pub failure: Option<Failure>,
}

/// A run that differed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Shape of the operands.
    pub shape: Vec<usize>,
    /// Key that draws the same operands again.
    pub seed: u64,
    /// What differed.
    pub what: String,
}

/// Checks one case.
pub fn check(case: &Case, options: &Options) -> Checked {
    let mut checked = Checked { title: case.title(), comparisons: 0, worst: 0.0, failure: None };
    let stream = Philox::new(options.seed, Philox::purpose(&checked.title));
    for sample in 0..options.samples as u64 {
        let shape: Vec<usize> =
            (0..).zip(case.largest).map(|(d, &most)| size(&stream, sample * 16 + 3 * d, most)).collect();
        let seed = options.seed.wrapping_add(sample);
        match run(case, &shape, seed, options) {
            Ok((comparisons, worst)) => {
                checked.comparisons += comparisons;
                checked.worst = checked.worst.max(worst);
            }
            Err(what) => {
                checked.failure = Some(shrink(case, Failure { shape, seed, what }, options));
                return checked;
            }
        }
    }
    checked
}

/// A length up to `most`: half the time next to a power of two of at most 64, else of any magnitude.
fn size(stream: &Philox, index: u64, most: usize) -> usize {
    if stream.below(index, 2) == 0 {
        let power = 1usize << stream.below(index + 1, 7);
        (power + stream.below(index + 2, 3) as usize - 1).min(most)
    } else {
        ((most as f64 + 1.0).powf(stream.uniform(index + 1)) as usize).min(most)
    }
}

/// Runs one shape everywhere; answers how many comparisons were made and the largest error over the allowed.
fn run(case: &Case, shape: &[usize], seed: u64, options: &Options) -> Result<(usize, f64), String> {
    let mut work = (case.make)(shape, &mut Draw::varied(seed));
    let allowed = work.allowed();
    work.reset();
    work.reference().map_err(|error| format!("the reference refuses: {error}"))?;
    let expected = work.output();
    let (mut comparisons, mut worst) = (0, 0f64);
    if let Some(way) = case.beside {
        work.reset();
        work.beside().map_err(|error| format!("{way}: {error}"))?;
        worst = compare(&work.output(), &expected, &allowed).map_err(|what| format!("{way}: {what}"))?;
    }
    for &set in &options.sets {
        let mut first: Option<Vec<f64>> = None;
        for &threads in &options.threads {
            let place = format!("{}, {threads} threads", set.name());
            let found = with_isa(set, || with_threads(threads, || ours(work.as_mut())))
                .map_err(|error| format!("{place}: {error}"))?;
            match &first {
                None => {
                    worst = worst.max(
                        compare(&found, &expected, &allowed).map_err(|what| format!("{place}: {what}"))?,
                    );
                    first = Some(found);
                }
                Some(first) => same_bits(&found, first).map_err(|what| format!("{place}: {what}"))?,
            }
            comparisons += 1;
        }
    }
    Ok((comparisons, worst))
}

fn ours(work: &mut dyn Work) -> Result<Vec<f64>, String> {
    work.reset();
    work.ours().map_err(|error| error.to_string())?;
    Ok(work.output())
}

/// The largest error over the allowed, or where it is above 1.
pub(crate) fn compare(found: &[f64], expected: &[f64], allowed: &[f64]) -> Result<f64, String> {
    if found.len() != expected.len() || found.len() != allowed.len() {
        return Err(format!("{} numbers instead of {}", found.len(), expected.len()));
    }
    let mut worst = 0f64;
    for (i, ((&x, &y), &bound)) in found.iter().zip(expected).zip(allowed).enumerate() {
        let error = (x - y).abs();
        if x.to_bits() == y.to_bits() || error == 0.0 {
            continue;
        }
        if error.is_nan() || error > bound {
            return Err(format!(
                "number {i} is {x:e} instead of {y:e}: off by {error:.3e}, allowed {bound:.3e}"
            ));
        }
        worst = worst.max(error / bound);
    }
    Ok(worst)
}

fn same_bits(found: &[f64], first: &[f64]) -> Result<(), String> {
    let differs = found.iter().zip(first).position(|(x, y)| x.to_bits() != y.to_bits());
    differs.map_or(Ok(()), |i| {
        Err(format!(
            "number {i} is {:e} but {:e} at the first thread count: not the same bits",
            found[i], first[i]
        ))
    })
}

/// Halves and decrements dimensions for as long as the case still fails.
fn shrink(case: &Case, mut failure: Failure, options: &Options) -> Failure {
    loop {
        let smaller = (0..failure.shape.len()).flat_map(|d| {
            let n = failure.shape[d];
            [n / 2, n.saturating_sub(1)].into_iter().filter(move |&m| m < n).map(move |m| (d, m))
        });
        let found = smaller.into_iter().find_map(|(d, m)| {
            let mut shape = failure.shape.clone();
            shape[d] = m;
            let what = run(case, &shape, failure.seed, options).err()?;
            Some(Failure { shape, seed: failure.seed, what })
        });
        match found {
            Some(smaller) => failure = smaller,
            None => return failure,
        }
    }
}

/// What was checked, as a table.
pub fn table(checked: &[Checked]) -> Table {
    let mut table = Table::new("", &["<case", "comparisons", "largest error / allowed", "<result"]);
    for one in checked {
        let result = match &one.failure {
            None => "agrees".into(),
            Some(f) => format!("shape {} (seed {}): {}", shape_text(&f.shape), f.seed, f.what),
        };
        let tiny = one.worst > 0.0 && one.worst < 1e-3;
        let worst = if tiny { format!("{:.0e}", one.worst) } else { significant(one.worst, 2) };
        table.push([one.title.clone(), one.comparisons.to_string(), worst, result]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Cost, Outcome};

    fn few() -> Options {
        Options { samples: 6, ..Options::default() }
    }

    #[test]
    fn every_case_agrees_with_its_reference() {
        for case in crate::cases::all() {
            let checked = check(&case, &few());
            assert!(checked.failure.is_none(), "{}: {:?}", checked.title, checked.failure);
            assert_eq!(checked.comparisons, 6 * 4 * Isa::available().count());
        }
    }

    /// Wrong from the ninth element on.
    struct Wrong(usize, Vec<f64>);
    impl Work for Wrong {
        fn ours(&mut self) -> Outcome {
            self.1 = (0..self.0).map(|i| if i < 8 { 1.0 } else { 1.5 }).collect();
            Ok(())
        }
        fn naive(&mut self) -> Outcome {
            self.1 = vec![1.0; self.0];
            Ok(())
        }
        fn output(&self) -> Vec<f64> {
            self.1.clone()
        }
        fn allowed(&self) -> Vec<f64> {
            vec![0.25; self.0]
        }
        fn cost(&self) -> Cost {
            Cost::default()
        }
    }

    #[test]
    fn a_wrong_kernel_is_found_and_its_shape_made_small() {
        let case = Case {
            name: "wrong",
            element: "f64",
            formula: "",
            dims: &["n"],
            timed: &[],
            quick: &[1],
            largest: &[5000],
            beside: None,
            make: |shape, _| Box::new(Wrong(shape[0], Vec::new())),
        };
        let failure = check(&case, &Options::default()).failure.unwrap();
        assert_eq!(failure.shape, [9]);
        assert!(failure.what.contains("number 8 is 1.5e0 instead of 1e0"), "{}", failure.what);
    }

    #[test]
    fn comparing_sees_nan_and_length() {
        assert!(compare(&[f64::NAN], &[1.0], &[1.0]).is_err());
        assert!(compare(&[1.0], &[1.0, 2.0], &[1.0, 1.0]).is_err());
        assert_eq!(compare(&[1.0, 3.0], &[1.0, 2.0], &[0.0, 4.0]), Ok(0.25));
        assert!(same_bits(&[0.0], &[-0.0]).is_err());
    }

    #[test]
    fn sizes_cover_edges_and_magnitudes() {
        let stream = Philox::new(3, 4);
        let sizes: Vec<usize> = (0..400).map(|i| size(&stream, i * 3, 1000)).collect();
        assert!([0, 1, 7, 8, 9, 63, 64, 65].iter().all(|n| sizes.contains(n)));
        assert!(sizes.iter().any(|&n| n > 500) && sizes.iter().all(|&n| n <= 1000));
    }
}
