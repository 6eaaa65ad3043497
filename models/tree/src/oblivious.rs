//! Growing a tree level by level, all nodes of a level by the same test.
//!
//! A test is worth what it gains in all nodes of its level together. A node in which it would leave a side without what a
//! side must have is not divided and ends there, so no node is ever empty. Categories are divided in the order of their sums
//! over the level alone. (Kohavi, "Bottom-up induction of oblivious
//! read-once decision graphs", ECML 1994; the form of CatBoost's trees.)
//!
//! Nodes are summed feature by feature and one after another, in the same cells: a level needs no more memory than a node has
//! bins. Histograms, whose cells could be subtracted, are not kept: a level has as many rows as the first.

use crate::codes::{Code, Marks};
use crate::constraints::State;
use crate::grow::{Choice, Left, Splitter};
use crate::nodes::Nodes;
use crate::search::{Search, draw, drawn_bin};
use crate::table::Binning;
use crate::target::{Target, add_to};
use std::ops::{ControlFlow, Range};
use tilewise_base::Result;
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::{Cell, partition};

/// A node of a level.
struct Part {
    node: usize,
    rows: Range<usize>,
    state: State,
}

/// What one feature has to offer to a level.
struct Offer {
    gain: f64,
    feature: usize,
    left: Left,
    missing_left: bool,
    any_missing: bool,
}

/// Adds the levels below the root, which is the only node of `nodes` and has all rows.
pub(crate) fn grow<T: Target, B: Code>(
    search: &Search<'_, T, B>,
    rows: &mut [u32],
    key: u64,
    nodes: &mut Nodes<T::Cell>,
) -> Result<()> {
    let limits = search.limits;
    let mut level = vec![Part { node: 0, rows: 0..rows.len(), state: limits.root(key) }];
    let mut leaves = 1;
    for depth in 0.. {
        level.retain(|part| {
            let (sums, rows) = (nodes.sums(part.node), &rows[part.rows.clone()]);
            search.may_divide(rows.len(), sums, &part.state)
                && !search.target.is_pure(sums, &mut rows.iter().map(|&row| search.target.value(row)))
        });
        if level.is_empty() {
            break;
        }
        let Some(mut offer) = best(search, rows, &level, nodes, level_key(key, depth)) else { break };
        let divided = divide(search, rows, level, nodes, &offer)?;
        if !offer.any_missing {
            // What no row of the level tells goes where more of the level goes: the same test in all nodes.
            let weight = |sums: &[T::Cell]| search.target.weight(sums);
            let lefts: u64 = divided.iter().map(|divided| weight(&divided.left)).sum();
            let all: u64 = divided.iter().map(|divided| weight(nodes.sums(divided.part.node))).sum();
            (offer.any_missing, offer.missing_left) = (true, 2 * lefts > all);
        }
        leaves += divided.len();
        // A level is divided as a whole or not at all.
        if leaves > limits.max_leaves {
            break;
        }
        level = commit(search, divided, nodes, &offer);
    }
    Ok(())
}

/// The key of the random numbers of a level.
fn level_key(key: u64, depth: u64) -> u64 {
    const LEVEL: u64 = Philox::purpose("level of an oblivious tree");
    Philox::new(key, LEVEL).bits(depth)
}

/// The test that gains most in all nodes together; of equals that of the first feature.
fn best<T: Target, B: Code>(
    search: &Search<'_, T, B>,
    rows: &[u32],
    level: &[Part],
    nodes: &Nodes<T::Cell>,
    key: u64,
) -> Option<Offer> {
    // All nodes of a level may use the same.
    let columns = level.first().and_then(|part| part.state.columns.as_deref());
    let mut all: Vec<u32> = match columns {
        Some(columns) => columns.to_vec(),
        None => (0..search.table.features() as u32).collect(),
    };
    let features = all.len();
    let mut order: Vec<usize> = all.iter().map(|&feature| feature as usize).collect();
    if search.limits.features < features {
        let mut drawn = Vec::new();
        draw(key, &mut all, &mut Vec::new(), |_, feature| {
            drawn.push(feature);
            ControlFlow::Continue(())
        });
        order = drawn;
    }
    let of = |features: &[usize]| {
        let found =
            parallel::map(features.len(), |i| of_feature(search, rows, level, nodes, features[i], key));
        found.into_iter().flatten().reduce(|a, b| {
            let first = b.gain > a.gain || b.gain == a.gain && b.feature < a.feature;
            if first { b } else { a }
        })
    };
    let (few, others) = order.split_at(search.limits.features.min(features));
    of(few).or_else(|| others.iter().find_map(|&feature| of(&[feature])))
}

/// The best test of one feature.
fn of_feature<T: Target, B: Code>(
    search: &Search<'_, T, B>,
    rows: &[u32],
    level: &[Part],
    nodes: &Nodes<T::Cell>,
    feature: usize,
    key: u64,
) -> Option<Offer> {
    let Search { table, codes, target, limits, .. } = *search;
    let (width, columns) = (target.width(), codes.columns());
    let count = table.count(feature);
    let values = count - usize::from(table.missing[feature]);
    let column = &columns.data()[feature * columns.rows()..][..columns.rows()];
    let level: Vec<&Part> =
        level.iter().filter(|part| limits.constraints.may_use(&part.state, feature)).collect();
    let bin_of = |row: u32| -> usize { column[row as usize].into() };
    let rows_of = |part: &Part| &rows[part.rows.clone()];
    let mut holds = vec![false; count];
    level.iter().flat_map(|part| rows_of(part)).for_each(|&row| holds[bin_of(row)] = true);
    let here: Vec<usize> = (0..values).filter(|&bin| holds[bin]).collect();
    let any_missing = table.missing[feature] && holds[count - 1];
    let (&first, &last) = here.first().zip(here.last())?;
    let numeric = matches!(table.binnings[feature], Binning::Numeric { .. });
    let mut order = here;
    // Of categories the sums of each over all nodes, and of all.
    let mut all = vec![T::Cell::default(); if numeric { 0 } else { (count + 1) * width }];
    if !numeric {
        let (of_bins, whole) = all.split_at_mut(count * width);
        for &row in level.iter().flat_map(|part| rows_of(part)) {
            target.put(target.value(row), &mut of_bins[bin_of(row) * width..][..width]);
        }
        of_bins.chunks_exact(width).for_each(|bin| add_to(whole, bin));
    }
    let of_all = |bin: usize| &all[bin * width..][..width];
    if !numeric {
        let rows = level.iter().map(|part| part.rows.len()).sum();
        order.retain(|&bin| target.is_common(of_all(bin), of_all(count), rows));
        if order.is_empty() {
            return None;
        }
        let key = |bin: &usize| target.key(of_all(*bin), of_all(count));
        order.sort_by(|a, b| key(a).total_cmp(&key(b)));
    }
    // How many of `order` go left, and of which bin that is the last.
    let mut lefts: Vec<(usize, usize)> =
        order.iter().enumerate().map(|(place, &bin)| (place + 1, bin)).collect();
    if limits.splitter == Splitter::Random {
        let drawn = if numeric {
            drawn_bin(key, feature, first, last)
        } else {
            drawn_bin(key, feature, 0, order.len() - 1)
        };
        let place = if numeric { order.partition_point(|&bin| bin <= drawn) } else { drawn + 1 };
        lefts = vec![(place, drawn)];
    } else if numeric && any_missing && first != 0 {
        lefts.insert(0, (0, 0));
    }
    let sides = if any_missing { 2 } else { 1 };
    let mut gains = vec![0.0; lefts.len() * sides];
    let mut divides = vec![false; gains.len()];
    // The first candidate that sends a bin to the left.
    let mut first_of = vec![lefts.len(); count];
    for (place, &bin) in order.iter().enumerate() {
        first_of[bin] = lefts.partition_point(|&(upto, _)| upto <= place);
    }
    // Cells and rows of the bins of a node, nothing between nodes; which they are, in the order of `order`.
    let mut cells = vec![T::Cell::default(); count * width];
    let (mut counts, mut marks, mut present) = (vec![0_usize; count], B::Marks::default(), Vec::new());
    let (mut sums, mut worth) = (vec![T::Cell::default(); 3 * width], [0.0; 3]);
    for part in &level {
        for &row in rows_of(part) {
            let bin = bin_of(row);
            counts[bin] += 1;
            target.put(target.value(row), &mut cells[bin * width..][..width]);
        }
        if part.rows.len() < count {
            rows_of(part).iter().for_each(|&row| marks.set(bin_of(row)));
        } else {
            counts.iter().enumerate().for_each(|(bin, &rows)| marks.set_if(bin, rows > 0));
        }
        present.clear();
        marks.each(|bin| present.push(bin));
        marks.clear();
        let missing = present.pop_if(|bin| *bin >= values);
        if !numeric {
            present.sort_by_key(|&bin| first_of[bin]);
        }
        let all = nodes.sums(part.node);
        for side in 0..sides {
            let (mut left, mut left_rows) = (vec![T::Cell::default(); width], 0);
            if side == 1
                && let Some(bin) = missing
            {
                left.copy_from_slice(&cells[bin * width..][..width]);
                left_rows = counts[bin];
            }
            // Candidates between two bins of the node divide it in the same way.
            let mut from = 0;
            let mut add_gain = |left: &[T::Cell], left_rows: usize, to: usize| {
                for i in 0..width {
                    (sums[i], sums[width + i], sums[2 * width + i]) =
                        (left[i], all[i].minus(left[i]), all[i]);
                }
                let (left_sums, right_sums) = (&sums[..width], &sums[width..2 * width]);
                let on_sides = [left_rows, part.rows.len() - left_rows];
                if from < to && allows(search, &part.state, feature, [left_sums, right_sums], on_sides) {
                    target.worth(&sums, &mut worth);
                    let gain = worth[0] + worth[1] - worth[2];
                    // A side that is worth minus infinity ends this node, not the level.
                    if gain.is_finite() {
                        for candidate in from..to {
                            gains[sides * candidate + side] += gain;
                            divides[sides * candidate + side] = true;
                        }
                    }
                }
                from = to;
            };
            for &bin in &present {
                add_gain(&left, left_rows, first_of[bin]);
                add_to(&mut left, &cells[bin * width..][..width]);
                left_rows += counts[bin];
            }
            add_gain(&left, left_rows, lefts.len());
        }
        for &bin in present.iter().chain(&missing) {
            cells[bin * width..][..width].fill(T::Cell::default());
            counts[bin] = 0;
        }
    }
    let mut best: Option<(usize, f64)> = None;
    let least = limits.min_gain / target.gain_unit();
    for (at, &gain) in gains.iter().enumerate() {
        if divides[at] && gain > best.map_or(least, |(_, gain)| gain) {
            best = Some((at, gain));
        }
    }
    let (at, gain) = best?;
    let (upto, bin) = lefts[at / sides];
    let missing_left = at % sides == 1;
    let left = if numeric {
        Left::UpTo(bin)
    } else {
        let mut set = [0_u64; 4];
        let mut put = |bin: usize| set[bin / 64] |= 1 << (bin % 64);
        let mut weight = 0;
        let missing = (any_missing && missing_left).then_some(count - 1);
        for &bin in order[..upto].iter().chain(&missing) {
            put(bin);
            weight += target.weight(of_all(bin));
        }
        // Categories that the level does not have go where more of it goes, and those that no node has, in the bin behind all
        // others.
        if 2 * weight > target.weight(of_all(count)) {
            (0..values).filter(|&bin| !holds[bin]).chain([count]).for_each(put);
        }
        Left::Set(set)
    };
    Some(Offer { gain, feature, left, missing_left, any_missing })
}

/// Whether a node may be divided into sides with these sums and numbers of rows.
fn allows<T: Target, B: Code>(
    search: &Search<'_, T, B>,
    state: &State,
    feature: usize,
    sums: [&[T::Cell]; 2],
    rows: [usize; 2],
) -> bool {
    let (limits, target) = (search.limits, search.target);
    let levels = || (target.level(sums[0]), target.level(sums[1]));
    sums.iter().all(|sums| target.weight(sums) >= limits.min_weight.max(1))
        && rows.iter().all(|&rows| rows >= limits.min_rows)
        && limits.constraints.may_use(state, feature)
        && limits.constraints.allow(state, feature, levels)
}

/// A node that the test of its level divides, and the sums of its left side.
struct Divided<C> {
    part: Part,
    middle: usize,
    left: Vec<C>,
    gain: f64,
}

/// Puts the rows of each node of a level that go left before the others.
fn divide<T: Target, B: Code>(
    search: &Search<'_, T, B>,
    rows: &mut [u32],
    level: Vec<Part>,
    nodes: &Nodes<T::Cell>,
    offer: &Offer,
) -> Result<Vec<Divided<T::Cell>>> {
    let (target, feature) = (search.target, offer.feature);
    let choice = offer.choice(0.0);
    let mut divided = Vec::new();
    for part in level {
        let of_part = &mut rows[part.rows.clone()];
        let bins = choice.bins(search.table.missing[feature]);
        let lefts = partition(search.codes.columns(), feature, of_part, bins)?;
        let mut left = vec![T::Cell::default(); target.width()];
        of_part[..lefts].iter().for_each(|&row| target.put(target.value(row), &mut left));
        let all = nodes.sums(part.node);
        let right: Vec<T::Cell> = all.iter().zip(&left).map(|(all, &left)| all.minus(left)).collect();
        if allows(search, &part.state, feature, [&left, &right], [lefts, of_part.len() - lefts]) {
            let mut worth = [0.0; 3];
            target.worth(&[&left[..], &right, all].concat(), &mut worth);
            let (middle, gain) = (part.rows.start + lefts, worth[0] + worth[1] - worth[2]);
            if gain.is_finite() {
                divided.push(Divided { part, middle, left, gain });
            }
        }
    }
    Ok(divided)
}

/// Adds the children of a level.
fn commit<T: Target, B: Code>(
    search: &Search<'_, T, B>,
    divided: Vec<Divided<T::Cell>>,
    nodes: &mut Nodes<T::Cell>,
    offer: &Offer,
) -> Vec<Part> {
    let mut below = Vec::new();
    for Divided { part: Part { node, rows, state }, middle, left, gain } in divided {
        let counts = [middle - rows.start, rows.end - middle];
        let children = nodes.push_children(node, counts, &left, true);
        let states = search.divided(nodes, node, children, offer.choice(gain), &state);
        let rows = [rows.start..middle, middle..rows.end];
        let parts = children.into_iter().zip(rows).zip(states);
        below.extend(parts.map(|((node, rows), state)| Part { node, rows, state }));
    }
    below
}

impl Offer {
    /// The split of a node that gains so much.
    fn choice(&self, gain: f64) -> Choice {
        let missing_left = self.any_missing.then_some(self.missing_left);
        Choice { feature: self.feature, left: self.left, missing_left, gain }
    }
}

#[cfg(test)]
pub(crate) mod tests;
