//! What fits report of their optimality, for every solver, loss and penalty, against plain loops over the rows: shapes, weights, offsets and
//! columns of 1e-6 to 1e6, dense and sparse, double and single precision, at the end of fits and where they were stopped on their way.
//!
//! A report is one number, the largest of what is asked of each coefficient. Each has a bound of its rounding in units of its own column
//! (`loops.rs`), so the report must lie between the largest lower and the largest upper end. Tests also count how often a report of nothing,
//! or of twice as much, would have failed.

mod gaps;
mod loops;
mod robust;
mod smooth;
mod stopped;

use crate::support::normal;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::Cell;
use tilewise_base::{FitReport, Sparse};
use tilewise_kernels::MatRef;
use tilewise_linear::Rows;

/// Cases of a test: some seconds of all tests together.
const CASES: u32 = 30;

/// How the rows lie.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Double,
    Single,
    Turned,
    Rows,
    Columns,
    SingleRows,
    SingleColumns,
}

const DENSE: [Form; 3] = [Form::Double, Form::Single, Form::Turned];
const SPARSE: [Form; 4] = [Form::Rows, Form::Columns, Form::SingleRows, Form::SingleColumns];

/// What is drawn of a problem.
#[derive(Clone, Debug)]
struct Case {
    /// Rows and columns.
    shape: (usize, usize),
    seed: u64,
    dense: Form,
    sparse: Form,
    /// Columns are of 1e-6 to 1e6.
    spread: bool,
    weighted: bool,
    offset: bool,
    intercept: bool,
    /// The penalty, as a share of what a column pulls at zero.
    share: f64,
    l1_ratio: f64,
    /// After which a fit is stopped on its way.
    rounds: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let shape =
        prop_oneof![(30usize..90, Just(1usize)), (14usize..20, 21usize..32), (40usize..110, 2usize..9)];
    let l1_ratio = prop_oneof![Just(0.0), Just(1.0), 0.1f64..0.9];
    let kinds = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let forms = (prop::sample::select(&DENSE[..]), prop::sample::select(&SPARSE[..]));
    (shape, 0u64..10_000, forms, kinds, 0.005f64..0.6, l1_ratio, 1u64..6).prop_map(
        |(shape, seed, (dense, sparse), (spread, weighted, offset, intercept), share, l1_ratio, rounds)| {
            Case { shape, seed, dense, sparse, spread, weighted, offset, intercept, share, l1_ratio, rounds }
        },
    )
}

/// How often reports were compared, and how often one of nothing, and of twice as much, would have failed; and how many fits converged.
#[derive(Default)]
struct Tally {
    compared: Cell<u32>,
    telling: Cell<u32>,
    converged: Cell<u32>,
}

impl Tally {
    /// That these shares of the reports, in percent, were above rounding and of fits that converged.
    fn asserts(&self, telling: u32, converged: u32) {
        let (all, told, ended) = (self.compared.get(), self.telling.get(), self.converged.get());
        eprintln!("{told} of {all} reports are above rounding, {ended} converged");
        assert!(100 * told >= telling * all, "only {told} of {all} reports are above rounding");
        assert!(100 * ended >= converged * all, "only {ended} of {all} fits converged");
    }
}

/// The same cases at every run.
fn each_case(check: impl Fn(&Case, &Tally) -> Result<(), TestCaseError>) -> Tally {
    let tally = Tally::default();
    let config =
        Config { cases: CASES, failure_persistence: None, max_shrink_iters: 50, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&cases(), |case| check(&case, &tally)).unwrap_or_else(|e| panic!("{e}"));
    tally
}

/// What loops say of a model.
#[derive(Clone, Debug, Default)]
struct Told {
    objective: f64,
    /// Rounding of it.
    doubt: f64,
    /// What is asked of the coefficient of which most is asked, at least and at most.
    least: f64,
    most: f64,
    /// The least of columns about their means, of deviation 1.
    norm: f64,
}

impl Told {
    fn entry(&mut self, far: f64, doubt: f64) {
        self.least = self.least.max(far - doubt);
        self.most = self.most.max(far + doubt);
    }

    fn compare(&self, report: &FitReport, tally: &Tally) -> Result<(), TestCaseError> {
        let count = |cell: &Cell<u32>, by: bool| cell.set(cell.get() + u32::from(by));
        prop_assert!((report.objective - self.objective).abs() <= self.doubt, "{:?} {:?}", report, self);
        let told = report.optimality;
        prop_assert!(self.least <= told && told <= self.most, "{:?} {:?}", report, self);
        count(&tally.compared, true);
        count(&tally.telling, self.least > 0.0 && self.most < 2.0 * self.least);
        count(&tally.converged, report.converged);
        prop_assert_eq!(report.converged, !report.warnings.iter().any(|w| w.contains("did not converge")));
        Ok(())
    }

    /// As [`compare`](Self::compare), of a fit that has converged where no entry is above this.
    fn compare_within(&self, report: &FitReport, tolerance: f64, tally: &Tally) -> Result<(), TestCaseError> {
        self.compare(report, tally)?;
        prop_assert!(!report.converged || self.norm <= tolerance, "{:?} {:?}", report, self);
        Ok(())
    }
}

/// Rows of numbers that single precision has.
struct Data {
    rows: usize,
    cols: usize,
    x: Vec<f64>,
    single: Vec<f32>,
    /// Column after column.
    turned: Vec<f64>,
    /// What targets are made of.
    score: Vec<f64>,
    weights: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
}

impl Data {
    fn new(case: &Case) -> Self {
        let ((rows, cols), seed) = (case.shape, 7 * case.seed);
        let scale = |j: usize| match case.spread {
            // The first two are the ends.
            true => 10f64.powi([6, -6, 0, 3, -3, 5, -5, 1, -1][(j + case.seed as usize % 2) % 9]),
            false => 1.0,
        };
        let chosen = normal(rows, cols, seed + 1);
        let cell = |(at, x): (usize, f64)| {
            let kept = chosen[at].abs() > 0.3;
            if kept { (scale(at % cols) * (x + 0.5)) as f32 } else { 0.0 }
        };
        let single: Vec<f32> = normal(rows, cols, seed).into_iter().enumerate().map(cell).collect();
        let x: Vec<f64> = single.iter().map(|x| f64::from(*x)).collect();
        let noise = normal(rows, 1, seed + 2);
        let signal = |i: usize| -> f64 {
            let of = |j: usize| x[i * cols + j] / scale(j) * if j.is_multiple_of(2) { 0.7 } else { -0.5 };
            (0..cols.min(5)).map(of).sum()
        };
        let score = (0..rows).map(|i| signal(i) + noise[i]).collect();
        let turned = (0..cols).flat_map(|j| x.iter().skip(j).step_by(cols).copied()).collect();
        // Some rows count for nothing; of each class one counts.
        let weight = |(i, w): (usize, f64)| if i % 5 == 4 { 0.0 } else { w.abs() + 0.05 };
        let weights = normal(rows, 1, seed + 3).into_iter().enumerate().map(weight).collect();
        let offset = normal(rows, 1, seed + 4).into_iter().map(|o| 0.4 * o).collect();
        let (weights, offset) = (case.weighted.then_some(weights), case.offset.then_some(offset));
        Self { rows, cols, x, single, turned, score, weights, offset }
    }

    /// What rows carry besides.
    fn extra(&self) -> Rows<'_> {
        Rows { weights: self.weights.as_deref(), offset: self.offset.as_deref() }
    }
    fn double(&self) -> MatRef<'_, f64> {
        MatRef::new(&self.x, self.rows, self.cols).unwrap()
    }
    fn single(&self) -> MatRef<'_, f32> {
        MatRef::new(&self.single, self.rows, self.cols).unwrap()
    }
    fn turned(&self) -> MatRef<'_, f64> {
        MatRef::new(&self.turned, self.cols, self.rows).unwrap().transpose()
    }
    fn by_rows(&self) -> Sparse<f64> {
        Sparse::of_dense(self.double()).unwrap()
    }
    fn single_by_rows(&self) -> Sparse<f32> {
        Sparse::of_dense(self.single()).unwrap()
    }

    fn weight(&self, i: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |w| w[i])
    }
    fn offset(&self, i: usize) -> f64 {
        self.offset.as_ref().map_or(0.0, |o| o[i])
    }
    /// Each row's share of the weight.
    fn shares(&self, weights: Option<&[f64]>) -> Vec<f64> {
        let own: Vec<f64> = (0..self.rows).map(|i| weights.map_or(self.weight(i), |w| w[i])).collect();
        let total: f64 = own.iter().sum();
        own.into_iter().map(|w| w / total).collect()
    }

    /// What a column pulls of these at zero, without their mean where there is an intercept: penalties are shares of one that is drawn.
    fn pull(&self, case: &Case, y: &[f64]) -> f64 {
        let shares = self.shares(None);
        let mean = |of: &dyn Fn(usize) -> f64| (0..self.rows).map(|i| shares[i] * of(i)).sum::<f64>();
        let middle = if case.intercept { mean(&|i| y[i] - self.offset(i)) } else { 0.0 };
        // Where rows are few, next to no penalty would leave next to no minimum: a column of 1 or 1e3.
        let j = if self.cols > self.rows { 2 } else { case.seed as usize / 2 % self.cols };
        let (cell, pull) = (|i: usize| self.x[i * self.cols + j], |i: usize| y[i] - self.offset(i) - middle);
        mean(&|i| cell(i) * pull(i)).abs().max(1e-3 * mean(&|i| cell(i).abs()))
    }

    fn numbers(&self) -> Vec<f64> {
        self.score.iter().map(|s| 2.0 * s + 3.0).collect()
    }
    fn labels(&self, classes: u32) -> Vec<u32> {
        let label = |(i, s): (usize, &f64)| match i as u32 {
            i if i < classes => i,
            _ => ((s + 1.0).max(0.0) as u32).min(classes - 1),
        };
        self.score.iter().enumerate().map(label).collect()
    }
    /// Above 0 or, `with_zeros`, some of them 0.
    fn amounts(&self, with_zeros: bool) -> Vec<f64> {
        let amount = |s: &f64| if with_zeros && *s < -0.5 { 0.0 } else { (0.4 * s.clamp(-4.0, 4.0)).exp() };
        self.score.iter().map(amount).collect()
    }
}

/// A fit of dense rows, as they lie.
macro_rules! dense {
    ($params:expr, $form:expr, $data:expr, $y:expr) => {
        $crate::certificate::dense!($params, fit, $form, $data, $y, &tilewise_base::Context::default())
    };
    ($params:expr, $method:ident, $form:expr, $data:expr, $y:expr, $context:expr) => {
        match $form {
            $crate::certificate::Form::Single => {
                $params.$method($data.single(), $y, $data.extra(), $context).unwrap()
            }
            $crate::certificate::Form::Turned => {
                $params.$method($data.turned(), $y, $data.extra(), $context).unwrap()
            }
            _ => $params.$method($data.double(), $y, $data.extra(), $context).unwrap(),
        }
    };
}

/// And of sparse ones.
macro_rules! sparse {
    ($params:expr, $form:expr, $data:expr, $y:expr) => {
        $crate::certificate::sparse!($params, $form, $data, $y, &tilewise_base::Context::default())
    };
    ($params:expr, $form:expr, $data:expr, $y:expr, $context:expr) => {{
        use $crate::certificate::Form;
        let (double, single) = ($data.by_rows(), $data.single_by_rows());
        match $form {
            Form::Columns => {
                $params.fit_sparse(double.view().turned().view(), $y, $data.extra(), $context).unwrap()
            }
            Form::SingleRows => $params.fit_sparse(single.view(), $y, $data.extra(), $context).unwrap(),
            Form::SingleColumns => {
                $params.fit_sparse(single.view().turned().view(), $y, $data.extra(), $context).unwrap()
            }
            _ => $params.fit_sparse(double.view(), $y, $data.extra(), $context).unwrap(),
        }
    }};
}

use {dense, sparse};
