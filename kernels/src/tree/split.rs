//! The best split of a node, found on its histogram.
//!
//! A split of a feature sends bins up to a threshold to the left, others to the right. The last bin may be that of
//! missing values, which go to the right or to the left, whichever is better. **Ties** go to the lowest bin, then to
//! missing values on the right; between features to the first. Sums are integers, gains unfused f64: the same bits
//! everywhere.
//!
//! Gains with gradients and hessians, and the learned direction of missing values: Chen and Guestrin, *XGBoost*, KDD
//! 2016.

use super::{Cell, Pair};
use crate::ShapeError;
use crate::matrix::{below, same};
use crate::simd::{Lanes, LanesOfEverySet, Task};

/// A split of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Which feature.
    pub feature: usize,
    /// The last bin that goes to the left.
    pub bin: usize,
    /// Whether missing values go to the left.
    pub missing_left: bool,
    /// What it gains.
    pub gain: f64,
}

/// How splits are valued: G_l^2 / (H_l + l2) + G_r^2 / (H_r + l2) - G^2 / (H + l2), for sums G of gradients and H of
/// hessians on the left, on the right and of the node. For squared errors G is the sum of residuals and H their number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewtonRule {
    /// What 1 in a gradient stands for.
    pub gradient_unit: f64,
    /// What 1 in a hessian stands for.
    pub hessian_unit: f64,
    /// Regularisation, at least 0.
    pub l2: f64,
    /// The least hessian, as an integer, on each side. Where hessians count rows, this is the least number of them.
    /// Below 1 it is 1.
    pub min_hessian: i64,
    /// Splits must gain more.
    pub min_gain: f64,
}

/// The best split of a node over the features whose cells `offsets` names, as in [`super::Bins`]; `missing`\[f\] says
/// whether the last bin of feature f is that of missing values. `None` when none is allowed or gains more than the
/// rule's minimum. Three passes over the cells; on the calling thread.
///
/// ```
/// use tilewise_kernels::tree::{NewtonRule, Pair, best_split};
/// let cell = |gradient, hessian| Pair { gradient, hessian };
/// let cells = [cell(4, 4), cell(-4, 4), cell(1, 1)];
/// let rule = NewtonRule { gradient_unit: 1.0, hessian_unit: 1.0, l2: 0.0, min_hessian: 1, min_gain: 0.0 };
/// // The third bin holds missing values: they are like the first.
/// let split = best_split(&cells, &[0, 3], &[true], rule).unwrap().unwrap();
/// assert_eq!((split.bin, split.missing_left), (0, true));
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn best_split<C: Cell + Into<Pair>>(
    cells: &[C],
    offsets: &[usize],
    missing: &[bool],
    rule: NewtonRule,
) -> Result<Option<Split>, ShapeError> {
    same("offsets against features plus 1", missing.len() + 1, offsets.len())?;
    same("cells against the last offset", offsets.last().copied().unwrap_or(0), cells.len())?;
    for pair in offsets.windows(2) {
        below("an offset of bins against the next plus 1", pair[1].saturating_add(1), pair[0])?;
    }
    let mut best = None;
    for (feature, (pair, &missing)) in offsets.windows(2).zip(missing).enumerate() {
        f64::dispatch(Scan { cells: &cells[pair[0]..pair[1]], missing, rule, feature, best: &mut best });
    }
    Ok(best)
}

/// Candidates whose gains are computed at once.
const TOGETHER: usize = 64;

struct Scan<'a, C> {
    cells: &'a [C],
    missing: bool,
    rule: NewtonRule,
    feature: usize,
    best: &'a mut Option<Split>,
}

impl<C: Cell + Into<Pair>> Task<f64> for Scan<'_, C> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<f64>>(self, _: S) {
        let Self { cells, missing, rule, feature, best } = self;
        let all = cells.iter().fold(Pair::default(), |sum, &cell| sum.plus(cell.into()));
        let (values, last) = match cells.split_last() {
            Some((&last, values)) if missing => (values, last.into()),
            _ => (cells, Pair::default()),
        };
        let score = |side: Pair| score(side, rule);
        let whole = if all.hessian > 0 { score(all) } else { 0.0 };
        let least = rule.min_hessian.max(1);
        let sides = [Some(Pair::default()), (last != Pair::default()).then_some(last)];
        let mut gains = [[0.0; TOGETHER]; 2];
        let mut left = Pair::default();
        for (block, cells) in values.chunks(TOGETHER).enumerate() {
            let mut lefts = [Pair::default(); TOGETHER];
            for (at, &cell) in lefts.iter_mut().zip(cells) {
                left = left.plus(cell.into());
                *at = left;
            }
            for (side, gains) in sides.iter().zip(&mut gains) {
                let Some(side) = *side else { continue };
                for (gain, &left) in gains.iter_mut().zip(&lefts[..cells.len()]) {
                    let left = left.plus(side);
                    let right = all.minus(left);
                    let gain_here = score(left) + score(right) - whole;
                    let allowed = (left.hessian >= least) & (right.hessian >= least);
                    *gain = if allowed { gain_here } else { f64::NEG_INFINITY };
                }
            }
            let most = largest(&gains[0][..cells.len()]);
            let most = if sides[1].is_some() { most.max(largest(&gains[1][..cells.len()])) } else { most };
            if most > best.map_or(rule.min_gain, |best| best.gain) {
                let first =
                    |gains: &[f64; TOGETHER]| gains[..cells.len()].iter().position(|&gain| gain == most);
                let of_left = sides[1].and_then(|_| first(&gains[1]));
                let (bin, missing_left) = match (first(&gains[0]), of_left) {
                    (Some(right), Some(left)) if left < right => (left, true),
                    (Some(right), _) => (right, false),
                    (None, left) => (left.unwrap_or(0), true),
                };
                *best = Some(Split { feature, bin: block * TOGETHER + bin, missing_left, gain: most });
            }
        }
    }
}

/// What a side is worth.
#[inline(always)]
pub(super) fn score(side: Pair, rule: NewtonRule) -> f64 {
    let g = side.gradient as f64 * rule.gradient_unit;
    g * g / (side.hessian as f64 * rule.hessian_unit + rule.l2)
}

/// The largest of numbers of which none is NaN; minus infinity of none. In lanes, as one maximum after another would wait.
#[inline(always)]
pub(super) fn largest(gains: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [f64::NEG_INFINITY; LANES];
    let (chunks, rest) = gains.as_chunks::<LANES>();
    for chunk in chunks.iter() {
        for (lane, &gain) in lanes.iter_mut().zip(chunk) {
            *lane = if gain > *lane { gain } else { *lane };
        }
    }
    rest.iter().chain(&lanes).fold(f64::NEG_INFINITY, |most, &gain| if gain > most { gain } else { most })
}
