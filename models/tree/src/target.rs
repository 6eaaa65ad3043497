//! What is learned, as integers: classes or numbers, their sums over rows, and how splits of these are valued.
//!
//! Whatever the criterion, a split gains worth(left) + worth(right) - worth(both), so a target only has to say what sums
//! are worth. Gains are compared in units of its own ([`Target::gain_unit`]).
//!
//! A target that is not a sum over rows (medians) has cells that are not added but *settled*: made from the rows of a node,
//! which come in an order of the target's own ([`Target::arrange`]).

mod absolute;
mod fenwick;
mod gradients;
mod many_classes;
mod numbers;
mod outputs;
mod scale;
mod two_classes;

pub(crate) use absolute::Absolute;
pub(crate) use gradients::Newton;
pub(crate) use many_classes::ManyClasses;
pub(crate) use numbers::Numbers;
pub(crate) use outputs::Outputs;
pub(crate) use two_classes::TwoClasses;

use crate::Criterion;
use crate::values::Values;
use crate::weights::Weights;
use fenwick::Fenwick;
use tilewise_base::{Error, Result};
use tilewise_kernels::tree::{
    Asked, Bin, Bins, Cell, NewtonRule, Pair, RowSplit, RowSums, Rows, Split, best_split, best_split_of_rows,
};
use tilewise_kernels::{ShapeError, log, same};

/// What a split must have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// The least weight of a side, in units of weights; 1 at least.
    pub(crate) min_weight: u64,
    /// Splits must gain more, in units of the target.
    pub(crate) min_gain: f64,
}

/// Candidates of one feature: its bins that hold rows, in the order in which they go left one after another.
#[derive(Clone, Copy)]
pub(crate) struct Candidates<'a, C, V> {
    /// `width` cells for each bin.
    pub(crate) cells: &'a [C],
    pub(crate) order: &'a [u16],
    /// The cells of missing values, where the node has any: they go to either side.
    pub(crate) missing: Option<&'a [C]>,
    /// The sums of the node.
    pub(crate) all: &'a [C],
    /// The rows, for targets that are not sums over them.
    pub(crate) groups: Option<Groups<'a, V>>,
}

/// What the rows of a node bring, by the bins of a feature.
#[derive(Clone, Copy)]
pub(crate) struct Groups<'a, V> {
    /// In the order of the rows.
    pub(crate) values: &'a [V],
    /// Places in `values`, those of a bin after those of the bin before.
    pub(crate) places: &'a [u32],
    /// Where the places of each bin begin and end.
    pub(crate) spans: &'a [[u32; 2]],
    /// Bins in the order in which they go left: as many as `first` with the first candidate, one with each other.
    pub(crate) order: &'a [u16],
    pub(crate) first: usize,
    /// The bin of missing values.
    pub(crate) missing: usize,
}

impl<V> Groups<'_, V> {
    /// The places of a bin.
    pub(crate) fn of(&self, bin: usize) -> &[u32] {
        let [start, end] = self.spans[bin];
        &self.places[start as usize..end as usize]
    }
}

/// The best of the candidates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The last of `order` that goes left.
    pub(crate) place: usize,
    pub(crate) missing_left: bool,
    pub(crate) gain: f64,
}

/// A target whose sums over rows (and what is settled beside them) are cells of integers, `width` of them for each bin.
pub(crate) trait Target: Sync {
    /// A count of a class, or a sum of numbers and of weights.
    type Cell: Cell;
    /// What one row brings.
    type Value: Copy + Default + Send + Sync;
    /// Cells of a bin.
    fn width(&self) -> usize;
    /// What a row brings.
    fn value(&self, row: u32) -> Self::Value;
    /// Adds it to the cells of one bin.
    fn put(&self, value: Self::Value, cells: &mut [Self::Cell]);
    /// Adds rows to the cells of their bins.
    fn histogram<B: Bin>(
        &self,
        bins: Bins<'_, B>,
        rows: &Rows<'_>,
        cells: &mut [Self::Cell],
    ) -> Result<(), ShapeError>;
    /// What sums are worth, one after another, `width` cells each. Of nothing it may be anything.
    fn worth(&self, sums: &[Self::Cell], out: &mut [f64]);
    /// Whether sums of rows say all. If not, nodes have no histograms, and the next three are used.
    fn is_sum(&self) -> bool {
        true
    }
    /// Puts the rows of a tree into the order that all of its nodes are to keep.
    fn arrange(&self, _rows: &mut [u32]) {}
    /// Completes the sums of rows that bring these values, in the order of rows.
    fn settle(&self, _values: &mut dyn Iterator<Item = Self::Value>, _sums: &mut [Self::Cell]) {}
    /// Completes the sums of both sides of each candidate, left and right in turn.
    fn settle_sides(
        &self,
        _groups: &Groups<'_, Self::Value>,
        _missing_left: bool,
        _sides: &mut [Self::Cell],
        _room: &mut Fenwick,
    ) {
    }
    /// The best split of the candidates; of equals the first, missing values on the right first.
    fn scan(
        &self,
        candidates: &Candidates<'_, Self::Cell, Self::Value>,
        rule: Rule,
        room: &mut Room<Self::Cell>,
    ) -> Option<Found> {
        room.scan(self, candidates, rule, |_, _, _| true)
    }
    /// As [`Target::scan`] over all bins of a histogram, of which some may hold nothing, if there is a shorter way; `all` are the sums of
    /// the node.
    fn scan_all(
        &self,
        _cells: &[Self::Cell],
        _missing: bool,
        _all: &[Self::Cell],
        _rule: Rule,
    ) -> Option<Option<Split>> {
        None
    }
    /// The best split of rows over features of numbers, whose bins are `asked` for; `None` if there is no short way.
    fn split_of_rows(
        &self,
        _node: &AskedRows<'_, Self>,
        _rule: Rule,
        _room: &mut Room<Self::Cell>,
    ) -> Option<Option<RowSplit>> {
        None
    }
    /// By what the categories of a node are put in order, given the sums of one and of the node.
    fn key(&self, cells: &[Self::Cell], node: &[Self::Cell]) -> f64;
    /// Whether a category with these sums may go left, of a node with those of so many rows; else it stays on the right with all that are
    /// not named.
    fn is_common(&self, _cells: &[Self::Cell], _node: &[Self::Cell], _rows: usize) -> bool {
        true
    }
    /// Whether that order alone divides categories; else each may also stand against all others.
    fn is_ordered(&self) -> bool {
        true
    }
    /// A number that rows have in common if they bring the same answer, and only then.
    fn answer(&self, value: Self::Value) -> i64;
    /// Whether rows with these sums, which bring these values, all have the same answer.
    fn is_pure(&self, sums: &[Self::Cell], values: &mut dyn Iterator<Item = Self::Value>) -> bool;
    /// Whether these cells can be sums over rows, where they came from elsewhere.
    fn accepts(&self, _cells: &[Self::Cell]) -> bool {
        true
    }
    /// Whether sums alone say that all rows have the same answer; false where they do not tell.
    fn is_pure_by_sums(&self, _sums: &[Self::Cell]) -> bool {
        false
    }
    /// Where the values of nodes are kept; `unit` is that of weights.
    fn values(&self, unit: f64) -> Values {
        let _ = unit;
        Values::numbers(self.outputs())
    }
    /// Puts down what a leaf with these sums predicts.
    fn keep(&self, sums: &[Self::Cell], unit: f64, values: &mut Values);
    /// The one number that monotone constraints are about, if there is one.
    fn level(&self, sums: &[Self::Cell]) -> f64;
    /// Numbers that a leaf predicts.
    fn outputs(&self) -> usize;
    /// The weight of these sums, in units of weights.
    fn weight(&self, sums: &[Self::Cell]) -> u64;
    /// Rows that have these sums at least.
    fn rows_at_least(&self, _sums: &[Self::Cell]) -> u64 {
        0
    }
    /// What a gain of 1 stands for, in units of weights.
    fn gain_unit(&self) -> f64;
}

/// Rows and the features that are asked about them.
pub(crate) struct AskedRows<'a, T: Target + ?Sized> {
    pub(crate) bins: &'a [u8],
    pub(crate) rows: &'a [u32],
    pub(crate) values: &'a [T::Value],
    pub(crate) sums: &'a [T::Cell],
    pub(crate) asked: &'a [Asked],
}

/// As [`Target::split_of_rows`] for sums that are worth what the rule says.
fn split_pairs<C: Cell + Into<Pair>, T: Target<Cell = C, Value = C>>(
    node: &AskedRows<'_, T>,
    rule: NewtonRule,
    room: &mut Room<C>,
) -> Option<RowSplit> {
    let AskedRows { bins, rows, values, sums, asked } = *node;
    // Rows and features of a table are there.
    best_split_of_rows(bins, rows, values, sums[0], asked, rule, &mut room.rows).ok()?
}

/// Memory for scans.
#[derive(Default)]
pub(crate) struct Room<C: Cell> {
    rows: RowSums<C>,
    sides: Vec<C>,
    worth: Vec<f64>,
    left: Vec<C>,
    fenwick: Fenwick,
}

impl<C: Cell> Room<C> {
    /// The best candidate for which `allowed(place, left, right)`.
    pub(crate) fn scan<T: Target<Cell = C> + ?Sized>(
        &mut self,
        target: &T,
        candidates: &Candidates<'_, C, T::Value>,
        rule: Rule,
        mut allowed: impl FnMut((usize, bool), &[C], &[C]) -> bool,
    ) -> Option<Found> {
        let Candidates { cells, order, missing, all, groups } = *candidates;
        let width = target.width();
        let Self { sides, worth, left, fenwick, .. } = self;
        let passes = 1 + usize::from(missing.is_some());
        // What is left of the last scan is written over.
        sides.resize((1 + 2 * passes * order.len()) * width, C::default());
        let (whole, of_candidates) = sides.split_at_mut(width);
        whole.copy_from_slice(all);
        let mut of_candidates = of_candidates.chunks_exact_mut(2 * width);
        for pass in 0..passes {
            left.clear();
            match missing {
                Some(missing) if pass == 1 => left.extend_from_slice(missing),
                _ => left.resize(width, C::default()),
            }
            for (&bin, sides) in order.iter().zip(&mut of_candidates) {
                let bin = &cells[usize::from(bin) * width..][..width];
                let (to_left, to_right) = sides.split_at_mut(width);
                add_to(left, bin);
                // Sums are short: a loop is faster than calls that copy.
                if width.is_multiple_of(LANES) {
                    let (all, left) = (all.as_chunks::<LANES>().0, left.as_chunks::<LANES>().0);
                    let to_right = to_right.as_chunks_mut::<LANES>().0;
                    for (i, to_left) in to_left.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                        *to_left = left[i];
                        to_right[i] = std::array::from_fn(|k| all[i][k].minus(left[i][k]));
                    }
                } else {
                    for i in 0..width {
                        to_left[i] = left[i];
                        to_right[i] = all[i].minus(left[i]);
                    }
                }
            }
        }
        if let Some(groups) = groups {
            for (pass, sides) in sides[width..].chunks_exact_mut(2 * width * order.len()).enumerate() {
                target.settle_sides(&groups, pass == 1, sides, fenwick);
            }
        }
        worth.resize(sides.len() / width, 0.0);
        target.worth(sides, worth);
        let whole = worth[0];
        let mut best: Option<Found> = None;
        for place in 0..order.len() {
            for pass in 0..passes {
                let at = pass * order.len() + place;
                let (left, right) = sides[width..][2 * width * at..][..2 * width].split_at(width);
                let least = target.weight(left).min(target.weight(right));
                let gain = worth[1 + 2 * at] + worth[2 + 2 * at] - whole;
                let better = best.map_or(gain > rule.min_gain, |best| gain > best.gain);
                if least >= rule.min_weight && better && allowed((place, pass == 1), left, right) {
                    best = Some(Found { place, missing_left: pass == 1, gain });
                }
            }
        }
        best
    }
}

/// Cells that are added at a time where a bin has a multiple of so many.
pub(crate) const LANES: usize = 4;

/// Adds cells to others.
#[inline(always)]
pub(crate) fn add_to<C: Cell>(sums: &mut [C], cells: &[C]) {
    if sums.len().is_multiple_of(LANES) {
        let cells = cells.as_chunks::<LANES>().0;
        for (sums, cells) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(cells) {
            *sums = std::array::from_fn(|k| sums[k].plus(cells[k]));
        }
    } else {
        sums.iter_mut().zip(cells).for_each(|(sum, &cell)| *sum = sum.plus(cell));
    }
}

/// As [`Target::scan`] for sums that are worth what the rule says.
fn scan_pairs<C: Cell + Into<Pair>, V: Copy>(
    candidates: &Candidates<'_, C, V>,
    rule: NewtonRule,
    room: &mut Room<C>,
) -> Option<Found> {
    /// Bins from which the kernel, which takes many at a time, is worth its call.
    const MANY: usize = 24;
    let Candidates { cells, order, missing, all, .. } = *candidates;
    let cells_of = |&bin: &u16| cells[usize::from(bin)];
    let listed = || order.iter().map(cells_of).chain(missing.map(|missing| missing[0]));
    // The kernel takes what is on the right from the sum of its cells: rare categories, which are not among the candidates, would be
    // on neither side.
    if order.len() >= MANY && listed().fold(C::default(), C::plus) == all[0] {
        room.sides.clear();
        room.sides.extend(listed());
        let split = scan_histogram(&room.sides, missing.is_some(), rule)?;
        let Split { bin: place, missing_left, gain, .. } = split;
        return Some(Found { place, missing_left, gain });
    }
    let (all, least): (Pair, _) = (all[0].into(), rule.min_hessian.max(1));
    let worth = |side: Pair| newton_score(side, rule);
    let whole = worth(all);
    let mut best: Option<Found> = None;
    let mut left = Pair::default();
    for (place, &bin) in order.iter().enumerate() {
        left = left.plus(cells[usize::from(bin)].into());
        let mut consider = |left: Pair, missing_left: bool| {
            let right = all.minus(left);
            if left.hessian >= least && right.hessian >= least {
                let gain = worth(left) + worth(right) - whole;
                if gain > best.map_or(rule.min_gain, |best| best.gain) {
                    best = Some(Found { place, missing_left, gain });
                }
            }
        };
        consider(left, false);
        if let Some(missing) = missing {
            consider(left.plus(missing[0].into()), true);
        }
    }
    best
}

/// The best split of a whole histogram whose sums are worth what the rule says.
fn scan_histogram<C: Cell + Into<Pair>>(cells: &[C], missing: bool, rule: NewtonRule) -> Option<Split> {
    best_split(cells, &[0, cells.len()], &[missing], rule).ok()?
}

/// The rule of sums that are worth G^2 / H.
fn newton(rule: Rule, unit: f64) -> NewtonRule {
    NewtonRule {
        gradient_unit: unit,
        hessian_unit: 1.0,
        l2: 0.0,
        min_hessian: i64::try_from(rule.min_weight).unwrap_or(i64::MAX),
        min_gain: rule.min_gain,
    }
}

/// G^2 / (H + l2), in the operations of the kernel.
fn newton_score(side: Pair, rule: NewtonRule) -> f64 {
    let g = side.gradient as f64 * rule.gradient_unit;
    g * g / (side.hessian as f64 * rule.hessian_unit + rule.l2)
}

/// G^2 / H, which is the same where there is no l2.
fn square_over(side: Pair, unit: f64) -> f64 {
    let g = side.gradient as f64 * unit;
    g * g / side.hessian as f64
}

/// x ln x for many x of 0 or more; 0 of 0.
fn times_log(x: &[f64], out: &mut [f64]) {
    // Both have the same length; a failure would leave zeros.
    let _ = log(x, out);
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = if x > 0.0 { x * *out } else { 0.0 });
}

/// Refuses a target that does not fit the table.
pub(crate) fn check(rows: usize, y: usize) -> Result<()> {
    Ok(same("targets against rows", rows, y)?)
}

/// Refuses a class that is not there.
pub(crate) fn check_classes(y: &[u32], classes: usize, weights: &Weights) -> Result<()> {
    if classes == 0 {
        return Err(Error::Fit("there are no classes to learn".into()));
    }
    // A row without a weight may have any class.
    match y.iter().enumerate().find(|(row, class)| **class as usize >= classes && weights.get(*row) > 0) {
        None => Ok(()),
        Some((row, class)) => {
            Err(Error::cell(row, "target", format!("class {class} is not one of {classes}")))
        }
    }
}

/// How impure classes are, if the criterion is one for classes.
fn entropy(criterion: Criterion) -> Result<bool> {
    match criterion {
        Criterion::Auto | Criterion::Gini => Ok(false),
        Criterion::Entropy => Ok(true),
        Criterion::Squared | Criterion::Absolute | Criterion::Poisson => {
            Err(Error::parameter("criterion", criterion, "for classes auto, gini and entropy are"))
        }
    }
}
