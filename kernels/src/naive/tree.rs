//! Kernels of trees: the definitions.

use crate::random::Philox;
use crate::tree::{
    Asked, Bin, Bins, ClassBins, ClassWeight, Derivatives, LeftBins, MISSING, NewtonRule, Node, Packed, Pair,
    Parts, RowSplit, Rows, Split, Tests, Values,
};
use crate::{Float, MatRef};

/// Derivatives in steps of 1 / `steps`, rounded at random: of 64 rows the one at place r has word r / 16 of counter 16 b + r mod 16,
/// where b is the number of such groups before.
pub fn fixed_point(derivatives: &[Derivatives], steps: [f64; 2], random: Philox) -> Vec<Packed> {
    let round = |(i, row): (usize, &Derivatives)| {
        let counter = (i / 64 * 16 + i % 16) as u64;
        let word = random.words(counter)[i % 64 / 16];
        let up = |size: f32, steps: f64, bits: u32| {
            let size = size * steps as f32;
            size.floor() as i32 + i32::from(size.fract() + bits as f32 / 65_536.0 >= 1.0)
        };
        let size = up(row.gradient.abs(), steps[0], word >> 16);
        let gradient = if row.gradient < 0.0 { -size } else { size };
        Packed::new(gradient, up(row.hessian, steps[1], word & 0xffff).max(1))
    };
    derivatives.iter().enumerate().map(round).collect()
}

/// Adds each row's pair to the cells of its bins.
///
/// # Panics
/// When the shapes do not fit.
pub fn histogram<B: Bin>(bins: Bins<'_, B>, rows: &Rows<'_>, values: &[Pair], out: &mut [Pair]) {
    for place in 0..rows.len() {
        let row = rows.get(place);
        for (feature, &offset) in bins.offsets().iter().take(bins.features()).enumerate() {
            let cell = &mut out[offset + bins.get(row, feature).into()];
            *cell = *cell + values[row];
        }
    }
}

/// As [`histogram`], from packed gradients.
///
/// # Panics
/// When the shapes do not fit.
pub fn histogram_packed<B: Bin>(bins: Bins<'_, B>, rows: &Rows<'_>, values: &[Packed], out: &mut [Pair]) {
    let values: Vec<Pair> = values.iter().map(|&v| v.into()).collect();
    histogram(bins, rows, &values, out);
}

/// Adds each row's weight to the count of its class in the cells of its bins.
///
/// # Panics
/// When the shapes do not fit.
pub fn class_histogram<B: Bin>(
    bins: Bins<'_, B>,
    rows: &Rows<'_>,
    labels: &[ClassWeight],
    classes: usize,
    out: &mut [u32],
) {
    for place in 0..rows.len() {
        let row = rows.get(place);
        for (feature, &offset) in bins.offsets().iter().take(bins.features()).enumerate() {
            let bin = bins.get(row, feature).into();
            out[(offset + bin) * classes + labels[row].class as usize] += labels[row].weight;
        }
    }
}

/// The best split: every candidate summed from nothing.
///
/// # Panics
/// When the shapes do not fit.
pub fn best_split(cells: &[Pair], offsets: &[usize], missing: &[bool], rule: NewtonRule) -> Option<Split> {
    let gain = |feature: usize, is_left: &dyn Fn(usize) -> bool| {
        let mut sides = [Pair::default(); 2];
        for bin in offsets[feature]..offsets[feature + 1] {
            let side = &mut sides[usize::from(!is_left(bin - offsets[feature]))];
            *side = *side + cells[bin];
        }
        let score = |side: Pair| {
            let g = side.gradient as f64 * rule.gradient_unit;
            g * g / (side.hessian as f64 * rule.hessian_unit + rule.l2)
        };
        let allowed = sides.iter().all(|side| side.hessian >= rule.min_hessian.max(1));
        let gain = score(sides[0]) + score(sides[1]) - score(sides[0] + sides[1]);
        (allowed && gain > rule.min_gain).then_some(gain)
    };
    // The first of equals.
    let mut best: Option<Split> = None;
    for (feature, &missing) in missing.iter().enumerate() {
        let bins = offsets[feature + 1] - offsets[feature];
        let numeric = if missing { bins.saturating_sub(1) } else { bins };
        for bin in 0..numeric {
            for missing_left in [false, true] {
                let is_left = |b: usize| if b < numeric { b <= bin } else { missing_left };
                let Some(gain) = gain(feature, &is_left) else { continue };
                if best.is_none_or(|best| gain > best.gain) {
                    best = Some(Split { feature, bin, missing_left, gain });
                }
            }
        }
    }
    best
}

/// The best split by Gini's impurity: every candidate summed from nothing.
///
/// # Panics
/// When the shapes do not fit.
pub fn best_gini_split(bins: ClassBins<'_>, min_weight: u64, min_gain: f64) -> Option<Split> {
    let ClassBins { cells, order, missing, all } = bins;
    let (classes, count) = (all.len(), cells.len() / all.len());
    let order: Vec<usize> = match order {
        Some(order) => order.iter().map(|&bin| bin.into()).collect(),
        None => (0..count).collect(),
    };
    let worth = |side: &[u32]| {
        let squares: u64 = side.iter().map(|&n| u64::from(n).pow(2)).sum();
        squares as f64 / f64::from(side.iter().sum::<u32>())
    };
    let mut best: Option<Split> = None;
    for bin in 0..order.len() {
        for missing_left in [false, true].into_iter().filter(|left| !left || missing.is_some()) {
            let mut left = vec![0; classes];
            let none = vec![0; classes];
            let with = if missing_left { missing.unwrap_or(&none) } else { &none };
            let lefts = order[..=bin].iter().map(|bin| &cells[bin * classes..][..classes]).chain([with]);
            lefts.for_each(|cells| left.iter_mut().zip(cells).for_each(|(sum, n)| *sum += n));
            let right: Vec<u32> = all.iter().zip(&left).map(|(all, left)| all - left).collect();
            let least = left.iter().sum::<u32>().min(right.iter().sum());
            if u64::from(least) < min_weight.max(1) {
                continue;
            }
            let gain = worth(&left) + worth(&right) - worth(all);
            if gain > best.map_or(min_gain, |best| best.gain) {
                best = Some(Split { feature: 0, bin, missing_left, gain });
            }
        }
    }
    best
}

/// The best split of rows: that of the histogram of each feature, the one of the lowest number first.
///
/// # Panics
/// When the shapes do not fit.
pub fn best_split_of_rows(
    bins: &[u8],
    rows: &[u32],
    values: &[Pair],
    asked: &[Asked],
    rule: NewtonRule,
) -> Option<RowSplit> {
    let mut asked = asked.to_vec();
    asked.sort_by_key(|asked| asked.feature);
    let mut best: Option<RowSplit> = None;
    for Asked { feature, place, bins: count, missing } in asked {
        let mut cells = vec![Pair::default(); count];
        let mut here = vec![false; count];
        for (&row, &value) in rows.iter().zip(values) {
            let bin = usize::from(bins[place + row as usize]);
            cells[bin] = cells[bin] + value;
            here[bin] = true;
        }
        let split = best_split(&cells, &[0, count], &[missing], rule);
        if let Some(split) = split.filter(|split| best.is_none_or(|best| split.gain > best.split.gain)) {
            let of_values = count - usize::from(missing);
            let next = (split.bin + 1..of_values).find(|&bin| here[bin]).unwrap_or(of_values);
            best = Some(RowSplit {
                split: Split { feature, ..split },
                any_missing: missing && here[count - 1],
                next: here[..=split.bin].contains(&true).then_some(next),
            });
        }
    }
    best
}

/// The number of cuts below x; `missing` for NaN.
pub fn bin_value<T: Float>(x: T, cuts: &[T], missing: usize) -> usize {
    if x.is_nan() { missing } else { cuts.iter().filter(|&&cut| cut < x).count() }
}

/// The rows that go left, then the others; answers how many go left.
///
/// # Panics
/// When there is no such feature or row.
pub fn partition<B: Bin>(
    bins: Bins<'_, B>,
    feature: usize,
    rows: &Rows<'_>,
    left: LeftBins<'_>,
) -> (Vec<u32>, usize) {
    let goes_left = |&row: &u32| left.has(bins.get(row as usize, feature).into(), bins.count(feature));
    let rows = (0..rows.len()).map(|place| rows.get(place) as u32);
    let (mut out, right): (Vec<u32>, Vec<u32>) = rows.partition(goes_left);
    let lefts = out.len();
    out.extend(right);
    (out, lefts)
}

/// Adds the values of the leaves that each row reaches, tree after tree.
///
/// # Panics
/// When a node, value or feature does not exist.
pub fn predict<T: Float>(
    nodes: &[Node],
    roots: &[u32],
    tests: &Tests,
    values: &Values,
    x: MatRef<'_, T>,
    out: &mut [f64],
) {
    for (row, out) in out.chunks_exact_mut(values.outputs()).enumerate() {
        let cell = |column: usize| x.get(row, column).to_f64();
        for &root in roots {
            let mut at = root as usize;
            let value = loop {
                let (left, child) = match nodes[at].parts() {
                    Parts::Leaf { value } => break value,
                    Parts::UpTo { column, threshold, missing_left, left } => {
                        let x = cell(column);
                        (if x.is_nan() { missing_left } else { x <= threshold }, left)
                    }
                    Parts::InSet { column, set, left } => {
                        let (x, bins) = (cell(column), tests.bins[column].as_ref());
                        let same = |i: &usize| x >= 0.0 && x.trunc() == *i as f64;
                        let number = bins.and_then(|bins| (0..bins.bins().len()).find(same));
                        let bin = match (bins, number) {
                            (Some(bins), Some(i)) if bins.bins()[i] != MISSING => bins.bins()[i],
                            (Some(bins), _) if !x.is_nan() => bins.unknown(),
                            _ => MISSING,
                        };
                        (tests.sets[set][usize::from(bin / 64)] & 1 << (bin % 64) != 0, left)
                    }
                };
                at = if left { child } else { child + 1 };
            };
            for (j, out) in out.iter_mut().enumerate() {
                *out += values.numbers()[value * values.outputs() + j];
            }
        }
    }
}
