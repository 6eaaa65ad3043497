//! A case: one kernel or model, with everything needed to check it, time it and judge the time.

use crate::operand::Draw;
use std::error::Error;
use tilewise_kernels::Float;

/// What running a case gives: nothing, or why it could not run.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// What a run needs at least.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations of the definition; a multiplication and an addition are two.
    pub flops: f64,
    /// Bytes between memory and core when every operand is read once and every result written once.
    pub bytes: f64,
    /// How many of these bytes are written.
    pub written: f64,
}

/// A case with its operands, ready to run.
pub trait Work: Send {
    /// Runs what Tilewise has.
    ///
    /// # Errors
    /// When the kernel or the fit refuses.
    fn ours(&mut self) -> Outcome;

    /// Runs the plain version that reports time.
    ///
    /// # Errors
    /// When it refuses.
    fn naive(&mut self) -> Outcome;

    /// Runs the definition that results are checked against; mostly the same as [`Work::naive`].
    ///
    /// # Errors
    /// When it refuses.
    fn reference(&mut self) -> Outcome {
        self.naive()
    }

    /// Runs the same computation in the way that the case's [`Case::beside`] names.
    ///
    /// # Errors
    /// When it refuses.
    fn beside(&mut self) -> Outcome {
        self.ours()
    }

    /// Whether the naive version is worth its time beside this case: not where another case, which computes the same, tells it.
    fn is_timed_naive(&self) -> bool {
        true
    }

    /// Puts back what a run overwrites.
    fn reset(&mut self) {}

    /// What the last run wrote: exact, so that equal numbers mean equal bits.
    fn output(&self) -> Vec<f64>;

    /// How far each number of the output may be from the reference's.
    fn allowed(&self) -> Vec<f64>;

    /// What a run needs at least.
    fn cost(&self) -> Cost;
}

/// One kernel or model on one element type.
#[derive(Clone)]
pub struct Case {
    /// Name of the kernel or model.
    pub name: &'static str,
    /// `f32` or `f64`.
    pub element: &'static str,
    /// What it computes, in a formula.
    pub formula: &'static str,
    /// Names of the dimensions.
    pub dims: &'static [&'static str],
    /// Shapes that are timed.
    pub timed: &'static [&'static [usize]],
    /// A shape for trying things out quickly.
    pub quick: &'static [usize],
    /// Longest dimensions in checks, so that the reference stays affordable.
    pub largest: &'static [usize],
    /// Another way to compute the same that is timed beside ours on as many threads: what it lacks.
    pub beside: Option<&'static str>,
    /// Makes the operands for a shape.
    pub make: fn(&[usize], &mut Draw) -> Box<dyn Work>,
}

impl Case {
    /// Name and element type.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.element)
    }
}

/// A shape as text.
pub fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}

/// `f32` or `f64`.
pub fn element<T: Float>() -> &'static str {
    std::any::type_name::<T>()
}

/// Bytes of `n` elements.
pub fn bytes<T: Float>(n: usize) -> f64 {
    (n * size_of::<T>()) as f64
}

/// k u / (1 - k u): bounds the relative error of k roundings to elements of type `T`, however they are ordered (Higham,
/// Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1).
pub fn gamma<T: Float>(k: usize) -> f64 {
    let ku = k as f64 * T::EPSILON.to_f64() / 2.0;
    ku / (1.0 - ku)
}

/// Widens exactly.
pub fn widen<T: Float>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.to_f64()).collect()
}
