//! The problems of comparisons, their operands, and when results count as the same.

use super::histogram::GATHERED;
use super::linear;
use super::networks;
use super::one_hot;
use super::precise::Precise;
use super::sparse;
use super::trees::{self, Scores};
use crate::case::shape_text;
use crate::operand::Draw;
use std::io;
use tilewise_report::worker::{Layout, Problem};

/// Errors of a product of random numbers that are let pass, in units of k u: one standard deviation of the rounding
/// error is about 0.24 of it, and the largest of some million elements five times that.
const PRODUCT_ERROR: f64 = 8.0;

/// How much more than the best objective a fit may reach, relatively. Looser solvers would be timed for less work.
const OBJECTIVE_GAP: f64 = 1e-8;

/// The objective that coefficients and intercept reach.
pub(super) type Objective = Box<dyn Fn(&[f64]) -> f64>;

/// A problem and the heading it stands under.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    pub(super) element: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) layout: Layout,
}

impl Listed {
    /// Floating-point operations of a product or a network; 0 where they are not what counts.
    pub(super) fn flops(&self) -> f64 {
        if [PRODUCT, PLANNED].contains(&self.kind) {
            2.0 * self.shape.iter().map(|&n| n as f64).product::<f64>()
        } else if networks::has(self.kind) {
            networks::flops(self.kind, &self.shape)
        } else {
            0.0
        }
    }

    /// Bytes that a pass over vectors moves.
    pub(super) fn bytes(&self, vectors: f64) -> f64 {
        let element = if self.element == "f32" { 4.0 } else { 8.0 };
        vectors * element * self.shape.iter().map(|&n| n as f64).product::<f64>()
    }

    /// Vectors that the problem moves; 0 where that is not what counts.
    pub(super) fn moves(&self) -> f64 {
        let pass = PASSES.iter().find(|(kind, _)| *kind == self.kind && self.shape.len() == 1);
        pass.map_or(0.0, |(_, vectors)| *vectors)
    }

    /// Whether it is solved on so many threads: short vectors are no work for several.
    pub(super) fn suits(&self, threads: usize) -> bool {
        threads == 1
            || trees::has(self.kind) && trees::suits_threads(self.kind)
            || networks::has(self.kind) && networks::suits_threads(&self.shape)
            || self.kind != PLANNED && !networks::has(self.kind) && self.shape.len() > 1
            || self.shape.iter().all(|&n| n >= SHARED)
    }

    /// Whether it is judged by what several threads bring.
    pub(super) fn scales(&self) -> bool {
        self.flops() > 0.0 || trees::has(self.kind)
    }

    /// Dimensions and layout, or rows.
    pub(super) fn shape_text(&self) -> String {
        if trees::has(self.kind) {
            return trees::shape_text(self);
        }
        if networks::has(self.kind) {
            return networks::shape_text(self.kind, &self.shape);
        }
        shape_text(&self.shape) + &self.layout.words()
    }

    /// What is computed on what.
    pub(super) fn describe(&self) -> String {
        format!("{} {} {}", self.kind, self.element, self.shape_text())
    }
}

/// Elements of a vector from which several threads share it.
const SHARED: usize = 1 << 16;

/// A product by one call.
const PRODUCT: &str = "gemm";

/// A small product of a shape that is known long before.
const PLANNED: &str = "gemm_planned";

/// Heading of square products.
pub(super) const CUBES: &str = "cubes";

const CUBE_SIZES: [usize; 21] =
    [4, 8, 16, 17, 32, 48, 64, 96, 100, 128, 192, 255, 256, 384, 512, 777, 1000, 1024, 1536, 2048, 3072];

/// m x n x k.
const THIN: [[usize; 3]; 20] = [
    [1, 1024, 1024],
    [2, 1024, 1024],
    [4, 1024, 1024],
    [7, 1024, 1024],
    [8, 1024, 1024],
    [16, 1024, 1024],
    [64, 1024, 1024],
    [4096, 1, 1024],
    [4096, 4, 1024],
    [4096, 8, 1024],
    [4096, 16, 1024],
    [4096, 64, 1024],
    [4096, 64, 64],
    [2048, 2048, 1],
    [2048, 2048, 4],
    [2048, 2048, 16],
    [2048, 2048, 32],
    [16, 16, 100_000],
    [128, 4096, 128],
    [32, 784, 128],
];

pub(super) fn gemm(quick: bool) -> Vec<Listed> {
    let packed = Layout::default();
    let (a, b) = (Layout { a_transposed: true, ..packed }, Layout { b_transposed: true, ..packed });
    let both = Layout { b_transposed: true, ..a };
    let leading = |leading| Layout { leading, ..packed };
    // At 1024 cubed a leading dimension of 1024 is the packed cube.
    let (sizes, thin, n, layouts): (&[usize], &[[usize; 3]], _, _) = if quick {
        (&[32, 200], &[[8, 256, 256]], 100, [a, b, both, leading(101), leading(104)])
    } else {
        (&CUBE_SIZES, &THIN, 1024, [a, b, both, leading(1025), leading(1040)])
    };
    let mut all = Vec::new();
    for element in ["f32", "f64"] {
        let mut push =
            |group, shape, layout| all.push(Listed { group, kind: PRODUCT, element, shape, layout });
        sizes.iter().for_each(|&n| push(CUBES, vec![n; 3], packed));
        thin.iter().for_each(|&shape| push("thin and small", shape.into(), packed));
        layouts.iter().for_each(|&layout| push("layouts", vec![n; 3], layout));
    }
    all
}

pub(super) fn plan(quick: bool) -> Vec<Listed> {
    let sizes: &[usize] = if quick { &[4, 16] } else { &[2, 3, 4, 6, 8, 12, 16, 17, 24, 32, 48, 64] };
    let shapes: Vec<Vec<usize>> = sizes.iter().map(|&n| vec![n; 3]).collect();
    every(&[PLANNED], &["f32", "f64"], &shapes)
}

pub(super) fn add(quick: bool) -> Vec<Listed> {
    let shapes =
        if quick { vec![vec![256, 256]] } else { vec![vec![128, 128], vec![1024, 1024], vec![4096, 4096]] };
    every(&["add"], &["f32", "f64"], &shapes)
}

/// Functions that are compared and the largest arguments they get, where something happens; `log` gets absolute values.
const FUNCTIONS: [(&str, f64); 5] =
    [("exp", 20.0), ("log", 20.0), ("sigmoid", 20.0), ("tanh", 5.0), ("erf", 4.0)];

pub(super) fn vecmath(quick: bool) -> Vec<Listed> {
    let shapes = if quick { vec![vec![4096]] } else { vec![vec![4096], vec![1 << 22]] };
    every(&FUNCTIONS.map(|(kind, _)| kind), &["f32", "f64"], &shapes)
}

/// Passes over vectors, and how many vectors each moves.
const PASSES: [(&str, f64); 6] =
    [("add", 3.0), ("axpy", 3.0), ("scale", 2.0), ("dot", 2.0), ("sum", 1.0), ("norm1", 1.0)];

pub(super) fn vector(quick: bool) -> Vec<Listed> {
    let shapes = if quick { vec![vec![4096], vec![1 << 22]] } else { vec![vec![4096], vec![1 << 24]] };
    every(&PASSES.map(|(kind, _)| kind), &["f32", "f64"], &shapes)
}

/// Rows x features x bins of each.
pub(super) fn histogram(quick: bool) -> Vec<Listed> {
    let (rows, features) = if quick { (50_000, 28) } else { (500_000, 28) };
    let shapes = [2, 4, 8, 64, 256].map(|bins| vec![rows, features, bins]);
    every(&["histogram", GATHERED], &["u8"], &shapes)
}

pub(super) fn every(kinds: &[&'static str], elements: &[&'static str], shapes: &[Vec<usize>]) -> Vec<Listed> {
    let mut all = Vec::new();
    for &kind in kinds {
        for &element in elements {
            let listed = |shape: &Vec<usize>| Listed {
                group: "",
                kind,
                element,
                shape: shape.clone(),
                layout: Layout::default(),
            };
            all.extend(shapes.iter().map(listed));
        }
    }
    all
}

/// When results count as the same.
pub(super) enum Agreement {
    /// Every element within this of the first system's.
    Elements(f64),
    /// The objective within [`OBJECTIVE_GAP`] of the best.
    Objective(Objective),
    /// No more than [`UNITS`] from each of these, at every so manyth element, of this type.
    Units(Vec<Precise>, usize, &'static str),
    /// Nearly as good at predicting these classes, of so many, as the best.
    Predictions(Vec<u32>, usize),
}

/// How good a result is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quality {
    /// The objective that a fit reached.
    Objective(f64),
    /// The largest error among the elements that were looked at, in units in the last place.
    Units(f64),
    /// How good predictions are for rows that training did not see.
    Predictions(Scores),
}

/// Elements of a vector of values that are looked at.
const LOOKED_AT: usize = 4096;
/// Units in the last place that let a result pass: MKL promises 4 in its mode of low accuracy.
const UNITS: f64 = 8.0;

/// Writes the operands of a problem for all systems to read.
pub(super) fn write(problem: &Problem) -> io::Result<Agreement> {
    let mut draw = Draw::packed(1);
    let epsilon = if problem.element == "f32" { f64::from(f32::EPSILON) } else { f64::EPSILON };
    match (problem.kind.as_str(), problem.shape.as_slice()) {
        (PRODUCT | PLANNED, &[m, n, k]) => {
            problem.write("a", draw.vector::<f64>(m * k, 1.0).get())?;
            problem.write("b", draw.vector::<f64>(k * n, 1.0).get())?;
            Ok(Agreement::Elements(PRODUCT_ERROR * k as f64 * epsilon / 2.0))
        }
        (kind, _) if trees::has(kind) => trees::write(problem, None),
        (kind, _) if networks::has(kind) => networks::write(problem),
        // Workers draw the rows themselves. Sums of integers are exact in f64.
        ("histogram" | GATHERED, _) => Ok(Agreement::Elements(0.0)),
        ("add", &[m, n]) => {
            problem.write("a", draw.vector::<f64>(m * n, 1.0).get())?;
            problem.write("b", draw.vector::<f64>(m * n, 1.0).get())?;
            Ok(Agreement::Elements(0.0))
        }
        (kind, &[n]) if PASSES.iter().any(|(name, _)| *name == kind) => {
            let (x, y) = (draw.vector::<f64>(n, 1.0), draw.vector::<f64>(n, 1.0));
            problem.write("x", x.get())?;
            problem.write("y", y.get())?;
            Ok(Agreement::Elements(match kind {
                "add" | "scale" => 0.0,
                "axpy" => 2.0 * epsilon,
                // Terms of at most 1, added up in any order: rounding errors of both signs (Higham and Mary, 2019).
                _ => (n as f64).sqrt() * n as f64 * epsilon,
            }))
        }
        (kind, &[n]) if FUNCTIONS.iter().any(|(name, _)| *name == kind) => {
            let largest =
                FUNCTIONS.iter().find(|(name, _)| *name == kind).map_or(1.0, |(_, largest)| *largest);
            let element = if problem.element == "f32" { "f32" } else { "f64" };
            let rounded = |x: f64| if element == "f32" { f64::from(x as f32) } else { x };
            let at = |x: &f64| rounded(if kind == "log" { x.abs().max(epsilon) } else { *x });
            let x: Vec<f64> = draw.vector::<f64>(n, largest).get().iter().map(at).collect();
            problem.write("x", &x)?;
            let step = (n / LOOKED_AT).max(1);
            let expected = x.iter().step_by(step).filter_map(|&x| Precise::of(kind, x)).collect();
            Ok(Agreement::Units(expected, step, element))
        }
        (kind, &[rows, features]) if sparse::KINDS.contains(&kind) => {
            sparse::write(problem, rows, features, &mut draw).map(Agreement::Objective)
        }
        (one_hot::KIND, &[rows, one_hot::COLUMNS]) => {
            one_hot::write(problem, rows, &mut draw).map(Agreement::Objective)
        }
        (kind, &[rows, features] | &[rows, features, _]) if linear::KINDS.contains(&kind) => {
            linear::write(problem, rows, features, &mut draw).map(Agreement::Objective)
        }
        (kind, shape) => Err(io::Error::other(format!("{kind} with shape {shape:?} is not known"))),
    }
}

impl Agreement {
    /// For every result how good it is, if that is more than agreeing, or how it differs.
    pub(super) fn judge(&self, results: &[&[f64]]) -> Vec<Result<Option<Quality>, String>> {
        match self {
            Self::Elements(allowed) => {
                let Some(first) = results.first() else { return Vec::new() };
                let allowed = vec![*allowed; first.len()];
                results
                    .iter()
                    .map(|result| crate::check::compare(result, first, &allowed).map(|_| None))
                    .collect()
            }
            Self::Objective(objective) => {
                let reached: Vec<f64> = results.iter().map(|result| objective(result)).collect();
                let best = reached.iter().copied().fold(f64::INFINITY, f64::min);
                let judge = |&one: &f64| {
                    let gap = (one - best) / best;
                    if gap <= OBJECTIVE_GAP {
                        return Ok(Some(Quality::Objective(one)));
                    }
                    Err(format!("reaches an objective of {one:.12}, {gap:.1e} above the best"))
                };
                reached.iter().map(judge).collect()
            }
            Self::Predictions(truth, classes) => trees::judge(truth, *classes, results),
            Self::Units(expected, step, element) => {
                let judge = |result: &&[f64]| {
                    let found = result.iter().step_by(*step);
                    if found.len() != expected.len() {
                        return Err(format!("gives {} values", result.len()));
                    }
                    if let Some(i) = result.iter().position(|y| !y.is_finite()) {
                        return Err(format!("gives {} at {i}", result[i]));
                    }
                    let worst = expected.iter().zip(found).map(|(e, &y)| e.units(y, element));
                    let worst = worst.fold(0.0, f64::max);
                    if worst <= UNITS {
                        return Ok(Some(Quality::Units(worst)));
                    }
                    Err(format!("is {worst:.1} units in the last place off"))
                };
                results.iter().map(judge).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disagreement_is_seen() {
        let elements = Agreement::Elements(0.1).judge(&[&[1.0, 2.0], &[1.05, 2.0], &[1.0, 2.2], &[1.0]]);
        assert_eq!(elements.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, false]);
        let fits = Agreement::Objective(Box::new(|fitted| fitted[0])).judge(&[
            &[2.0],
            &[2.0 + 1e-9],
            &[2.1],
            &[f64::NAN],
        ]);
        assert_eq!(fits.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, false]);
    }
}
