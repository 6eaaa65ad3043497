//! The best split of a node, found on its histogram.
//!
//! A split of a feature sends bins up to a threshold to the left, others to the right. The last bin may be that of
//! missing values, which go to the right or to the left, whichever is better. **Ties** go to the lowest bin, then to
//! missing values on the right; between features to the first. Sums are integers, gains unfused f64: the same bits
//! everywhere.
//!
//! Gains with gradients and hessians, and the learned direction of missing values: Chen and Guestrin, *XGBoost*, KDD
//! 2016. Impurities: Breiman et al., *Classification and Regression Trees*, 1984.

use super::{Cell, Pair};
use crate::matrix::{below, same};
use crate::simd::{Lanes, LanesOfEverySet, Task};
use crate::{ShapeError, log};
use std::ops::Range;

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
    best(cells.len(), 1, offsets, missing, |feature, bins, missing, best| {
        f64::dispatch(Scan { cells: &cells[bins], missing, rule, feature, best });
    })
}

/// Goes through the features.
fn best(
    cells: usize,
    width: usize,
    offsets: &[usize],
    missing: &[bool],
    mut scan: impl FnMut(usize, Range<usize>, bool, &mut Option<Split>),
) -> Result<Option<Split>, ShapeError> {
    same("offsets against features plus 1", missing.len() + 1, offsets.len())?;
    let end = offsets.last().map_or(0, |end| end.saturating_mul(width));
    same("cells against the last offset", end, cells)?;
    for pair in offsets.windows(2) {
        below("an offset of bins against the next plus 1", pair[1].saturating_add(1), pair[0])?;
    }
    let mut best = None;
    for (feature, (pair, &missing)) in offsets.windows(2).zip(missing).enumerate() {
        scan(feature, pair[0] * width..pair[1] * width, missing, &mut best);
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

/// How mixed the classes of a node are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impurity {
    /// 1 - sum of p_c^2.
    Gini,
    /// - sum of p_c ln p_c, in nats.
    Entropy,
}

/// How splits of class counts are valued: n impurity - n_l impurity_l - n_r impurity_r, for n weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassRule {
    /// Which impurity.
    pub impurity: Impurity,
    /// The least weight on each side. Below 1 it is 1.
    pub min_weight: u64,
    /// Splits must gain more.
    pub min_gain: f64,
}

/// As [`best_split`], on the counts of [`super::class_histogram`].
///
/// ```
/// use tilewise_kernels::tree::{ClassRule, Impurity, best_class_split};
/// let rule = ClassRule { impurity: Impurity::Gini, min_weight: 1, min_gain: 0.0 };
/// // Three bins, two classes.
/// let split = best_class_split(&[3, 0, 2, 0, 0, 5], 2, &[0, 3], &[false], rule).unwrap().unwrap();
/// assert_eq!((split.bin, split.gain), (1, 5.0));
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn best_class_split(
    counts: &[u32],
    classes: usize,
    offsets: &[usize],
    missing: &[bool],
    rule: ClassRule,
) -> Result<Option<Split>, ShapeError> {
    let (mut sums, mut scratch) = (Vec::new(), Vec::new());
    best(counts.len(), classes, offsets, missing, |feature, places, missing, best| {
        scan_classes(&counts[places], classes, missing, rule, feature, best, (&mut sums, &mut scratch));
    })
}

fn scan_classes(
    counts: &[u32],
    classes: usize,
    missing: bool,
    rule: ClassRule,
    feature: usize,
    best: &mut Option<Split>,
    (sides, logs): (&mut Vec<f64>, &mut Vec<f64>),
) {
    if classes == 0 || counts.is_empty() {
        return;
    }
    let bins = counts.len() / classes;
    let add = |sum: &mut [u64], from: &[u32]| sum.iter_mut().zip(from).for_each(|(a, &b)| *a += u64::from(b));
    let mut all = vec![0; classes];
    counts.chunks_exact(classes).for_each(|bin| add(&mut all, bin));
    let numeric = if missing { bins - 1 } else { bins };
    let last = &counts[numeric * classes..];
    // Of each candidate: left counts and their sum, right counts and their sum. The whole node is one in front.
    sides.clear();
    let mut push = |side: &[u64]| {
        sides.extend(side.iter().map(|&n| n as f64));
        let sum = side.iter().sum::<u64>();
        sides.push(sum as f64);
        sum
    };
    push(&all);
    let least = rule.min_weight.max(1);
    let mut candidates = Vec::new();
    let mut values = vec![0; classes];
    for bin in 0..numeric {
        add(&mut values, &counts[bin * classes..][..classes]);
        for missing_left in [false, true] {
            if missing_left && last.iter().all(|&n| n == 0) {
                continue;
            }
            let mut left = values.clone();
            if missing_left {
                add(&mut left, last);
            }
            let right: Vec<u64> = all.iter().zip(&left).map(|(&all, &left)| all - left).collect();
            let (l, r) = (push(&left), push(&right));
            candidates.push((bin, missing_left, l.min(r) >= least));
        }
    }
    if rule.impurity == Impurity::Entropy {
        logs.resize(sides.len(), 0.0);
        // Both have the same length; a failure would leave zeros.
        let _ = log(sides, logs);
    }
    // What counts and their sum say of a side, larger where it is purer.
    let purity = |side: usize| {
        let (counts, sum) = sides[side * (classes + 1)..][..=classes].split_at(classes);
        match rule.impurity {
            Impurity::Gini => counts.iter().map(|n| n * n).sum::<f64>() / sum[0],
            Impurity::Entropy => {
                let logs = &logs[side * (classes + 1)..][..=classes];
                let term = |(&n, &log): (&f64, &f64)| if n > 0.0 { n * log } else { 0.0 };
                counts.iter().zip(logs).map(term).sum::<f64>() - term((&sum[0], &logs[classes]))
            }
        }
    };
    let whole = purity(0);
    for (i, (bin, missing_left, allowed)) in candidates.into_iter().enumerate() {
        let gain = purity(1 + 2 * i) + purity(2 + 2 * i) - whole;
        if allowed && gain > best.map_or(rule.min_gain, |best| best.gain) {
            *best = Some(Split { feature, bin, missing_left, gain });
        }
    }
}
