//! The plainest trainer: stages, then nodes, columns and thresholds, each tried by going through all rows of the node.
//!
//! From the fast trainer it takes nothing but units of fixed point. It knows no bins but where values are cut: half way between
//! neighbours, for columns of no more than 255 different values.

use crate::loss::{Derivatives, LeafRule, Objective, Truth};
use crate::{EarlyStopping, GradientBoosting};
use std::ops::{ControlFlow, Range};
use tilewise_kernels::naive::tree as definitions;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::{FixedPoint, Packed, fixed_point};
use tilewise_tree::{Growth, Node, Test, draw, key_below};

mod cells;
mod penalty;

use cells::Cells;
pub(crate) use cells::Column;
use penalty::{cut, step};

/// A table and what is to be learned.
pub(crate) struct Problem<'a> {
    pub(crate) columns: &'a [Column],
    pub(crate) y: &'a [f64],
    pub(crate) weights: Option<&'a [f64]>,
    pub(crate) offset: Option<&'a [f64]>,
    pub(crate) groups: Option<&'a [Range<usize>]>,
}

/// Trees for each score as lists of nodes (parents first, left before right) with what each predicts, and losses of rows held out.
pub(crate) struct Stages {
    pub(crate) base: Vec<f64>,
    pub(crate) trees: Vec<Vec<Vec<(Node, f64)>>>,
    pub(crate) losses: Vec<f64>,
}

/// What the way to a node leaves it.
#[derive(Clone)]
struct Way {
    depth: usize,
    key: u64,
    features: Vec<usize>,
    low: f64,
    high: f64,
}

#[derive(Clone, Debug)]
enum Left {
    /// Values up to this one.
    UpTo(usize),
    /// These values; the last is what training did not see.
    Values(Vec<bool>),
}

#[derive(Clone, Debug)]
struct Split {
    feature: usize,
    left: Left,
    /// Where missing values go, if the node has any.
    missing_left: Option<bool>,
    gain: f64,
}

struct Plain {
    rows: Vec<u32>,
    way: Way,
    /// Once it is divided, with its children.
    split: Option<(Split, [usize; 2])>,
}

/// What a tree is grown on.
struct Grower<'a> {
    params: &'a GradientBoosting,
    cells: &'a [Cells],
    fixed: &'a [Packed],
    units: FixedPoint,
    /// Groups of columns that may meet, with one for each column of none.
    groups: Vec<Vec<u32>>,
}

impl Grower<'_> {
    fn sum(&self, rows: &[u32]) -> Packed {
        rows.iter().fold(Packed::default(), |sum, &row| sum + self.fixed[row as usize])
    }

    fn weight(&self, rows: &[u32]) -> i32 {
        self.sum(rows).hessian()
    }

    fn numbers(&self, rows: &[u32]) -> (f64, f64) {
        let sum = self.sum(rows);
        let FixedPoint { gradient_unit, hessian_unit, .. } = self.units;
        (f64::from(sum.gradient()) * gradient_unit, f64::from(sum.hessian()) * hessian_unit)
    }

    /// What rows would predict.
    fn level(&self, rows: &[u32]) -> f64 {
        let (g, h) = self.numbers(rows);
        step(&self.params.penalty, g, h)
    }

    fn worth(&self, rows: &[u32]) -> f64 {
        let (g, h) = self.numbers(rows);
        let g = cut(&self.params.penalty, g);
        g * g / (h + self.params.penalty.l2)
    }

    /// Whether nothing about the node alone speaks against a division.
    fn may_divide(&self, node: &Plain) -> bool {
        let tree = &self.params.tree;
        let rows = node.rows.len();
        tree.max_depth.is_none_or(|most| node.way.depth < most)
            && rows >= tree.min_samples_split.max(2).max(2 * tree.min_samples_leaf)
            && i64::from(self.weight(&node.rows)) >= self.least_weight().saturating_mul(2)
    }

    fn least_weight(&self) -> i64 {
        (self.params.penalty.min_hessian / self.units.hessian_unit).ceil().max(1.0) as i64
    }

    fn may_use(&self, way: &Way, feature: usize) -> bool {
        let all: Vec<u32> = way.features.iter().chain([&feature]).map(|&feature| feature as u32).collect();
        self.groups.is_empty()
            || self.groups.iter().any(|group| all.iter().all(|feature| group.contains(feature)))
    }

    fn sign(&self, feature: usize) -> i8 {
        self.params.tree.monotone.get(feature).copied().unwrap_or(0)
    }

    /// Both sides of the rows of a node, and what that gains, if it is allowed.
    fn sides(&self, node: &Plain, split: &Split) -> Option<(f64, [Vec<u32>; 2])> {
        let (left, right): (Vec<u32>, Vec<u32>) =
            node.rows.iter().partition(|&&row| self.goes_left(split, row as usize));
        let enough = |rows: &[u32]| {
            rows.len() >= self.params.tree.min_samples_leaf
                && i64::from(self.weight(rows)) >= self.least_weight()
        };
        if !enough(&left) || !enough(&right) || !self.may_use(&node.way, split.feature) {
            return None;
        }
        if self.params.tree.monotone.iter().any(|&sign| sign != 0) {
            let levels = [self.level(&left), self.level(&right)];
            let within = levels.iter().all(|level| (node.way.low..=node.way.high).contains(level));
            let rises = (levels[1] - levels[0]) * f64::from(self.sign(split.feature));
            if !within || rises < 0.0 {
                return None;
            }
        }
        let gain = self.worth(&left) + self.worth(&right) - self.worth(&node.rows);
        gain.is_finite().then_some((gain, [left, right]))
    }

    fn goes_left(&self, split: &Split, row: usize) -> bool {
        let Cells { of_rows, values, .. } = &self.cells[split.feature];
        match &split.left {
            _ if of_rows[row] == *values => split.missing_left.unwrap_or(false),
            Left::UpTo(last) => of_rows[row] <= *last,
            Left::Values(left) => left[of_rows[row]],
        }
    }

    /// All splits of a column, of which the first of equals is taken, as `rows` (those of a node or a level) suggest them.
    fn candidates(&self, rows: &[u32], feature: usize) -> Vec<Split> {
        let Cells { of_rows, values, cuts } = &self.cells[feature];
        let with = |value: usize| -> Vec<u32> {
            rows.iter().copied().filter(|&row| of_rows[row as usize] == value).collect()
        };
        let missing = with(*values);
        let sides = if missing.is_empty() { vec![None] } else { vec![Some(false), Some(true)] };
        let lefts: Vec<(Left, Option<bool>)> = if cuts.is_some() {
            (0..*values).flat_map(|last| sides.iter().map(move |&side| (Left::UpTo(last), side))).collect()
        } else {
            let mut here: Vec<usize> = (0..*values).filter(|&value| !with(value).is_empty()).collect();
            let smoothing = self.params.penalty.category_smoothing / self.units.hessian_unit;
            let mean = |value: &usize| {
                let sum = self.sum(&with(*value));
                f64::from(sum.gradient()) / (f64::from(sum.hessian()) + smoothing)
            };
            let rare: Vec<usize>;
            let whole = f64::from(self.sum(rows).hessian()) * self.params.penalty.category_smoothing;
            let of_rows = |value| f64::from(self.sum(&with(value)).hessian()) * rows.len() as f64;
            (here, rare) = here.into_iter().partition(|&value| of_rows(value) >= whole);
            here.sort_by(|a, b| mean(a).total_cmp(&mean(b)));
            let mut all = Vec::new();
            for count in 1..=here.len() {
                for &side in &sides {
                    let lefts = &here[..count];
                    let weight = lefts.iter().map(|&value| i64::from(self.weight(&with(value)))).sum::<i64>();
                    let of_missing = if side == Some(true) { i64::from(self.weight(&missing)) } else { 0 };
                    // What no row tells goes where more of them go.
                    let others = 2 * (weight + of_missing) > i64::from(self.weight(rows));
                    let is_left = |value| {
                        if here.contains(&value) {
                            lefts.contains(&value)
                        } else {
                            others && !rare.contains(&value)
                        }
                    };
                    all.push((Left::Values((0..=*values).map(is_left).collect()), side));
                }
            }
            all
        };
        lefts
            .into_iter()
            .map(|(left, missing_left)| Split { feature, left, missing_left, gain: 0.0 })
            .collect()
    }

    /// The best split of a node.
    fn best(&self, node: &Plain) -> Option<Split> {
        if !self.may_divide(node) {
            return None;
        }
        let all = self.cells.len();
        let looked_at = self.params.tree.max_features.of(all);
        let mut order: Vec<usize> = (0..all).collect();
        if looked_at < all {
            order.clear();
            let mut features: Vec<u32> = (0..all as u32).collect();
            draw(node.way.key, &mut features, &mut Vec::new(), |_, feature| {
                order.push(feature);
                ControlFlow::Continue(())
            });
        }
        let mut best: Option<Split> = None;
        for (seen, feature) in order.into_iter().enumerate() {
            if seen >= looked_at && best.is_some() {
                break;
            }
            for split in self.candidates(&node.rows, feature) {
                let Some((gain, _)) = self.sides(node, &split) else { continue };
                let first = |best: &Split| gain > best.gain || gain == best.gain && feature < best.feature;
                if gain > self.params.tree.min_impurity_decrease && best.as_ref().is_none_or(first) {
                    best = Some(Split { gain, ..split });
                }
            }
        }
        best.map(|split| self.centred(node, split))
    }

    /// The middle one of the thresholds that divide the rows of a node as this does, the last where all values are on the left.
    fn centred(&self, node: &Plain, split: Split) -> Split {
        let Left::UpTo(last) = split.left else { return split };
        let Cells { of_rows, values, .. } = &self.cells[split.feature];
        let up_to = |last: usize| node.rows.iter().filter(|&&row| of_rows[row as usize] <= last).count();
        let same: Vec<usize> = (last..*values).filter(|&other| up_to(other) == up_to(last)).collect();
        let last = match up_to(last) {
            0 => last,
            all if all == up_to(values - 1) => values - 1,
            _ => same[(same.len() - 1) / 2],
        };
        Split { left: Left::UpTo(last), ..split }
    }

    /// Divides a node.
    fn divide(&self, nodes: &mut Vec<Plain>, at: usize, mut split: Split, sides: [Vec<u32>; 2]) {
        let [left, right] = &sides;
        split.missing_left.get_or_insert(self.weight(left) > self.weight(right));
        let Way { depth, key, mut features, low, high } = nodes[at].way.clone();
        features.push(split.feature);
        let middle = self.level(left) / 2.0 + self.level(right) / 2.0;
        let [of_left, of_right] = match self.sign(split.feature) {
            0 => [(low, high); 2],
            1.. => [(low, middle), (middle, high)],
            _ => [(middle, high), (low, middle)],
        };
        let first = nodes.len();
        for (rows, ((low, high), is_right)) in sides.into_iter().zip([(of_left, false), (of_right, true)]) {
            let way = Way {
                depth: depth + 1,
                key: key_below(key, is_right),
                features: features.clone(),
                low,
                high,
            };
            nodes.push(Plain { rows, way, split: None });
        }
        nodes[at].split = Some((split, [first, first + 1]));
    }

    fn grow(&self, rows: Vec<u32>, key: u64) -> Vec<Plain> {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut nodes =
            vec![Plain { rows, way: Way { depth: 0, key, features: vec![], low, high }, split: None }];
        let most = self.params.tree.max_leaves.unwrap_or(usize::MAX);
        if self.params.tree.growth == Growth::Oblivious {
            self.levels(&mut nodes, most);
            return nodes;
        }
        let mut open: Vec<(usize, Split)> =
            self.best(&nodes[0]).map(|split| (0, split)).into_iter().collect();
        for _ in 1..most {
            // The largest gain (nearest to the root, where that comes first); of equals the first node.
            let level = |at: usize| {
                if self.params.tree.growth == Growth::DepthWise { nodes[at].way.depth } else { 0 }
            };
            let next = (0..open.len()).min_by(|&a, &b| {
                let ((a, of_a), (b, of_b)) = (&open[a], &open[b]);
                level(*a).cmp(&level(*b)).then(of_b.gain.total_cmp(&of_a.gain)).then(a.cmp(b))
            });
            let Some((at, split)) = next.map(|next| open.remove(next)) else { break };
            let Some((_, sides)) = self.sides(&nodes[at], &split) else { break };
            self.divide(&mut nodes, at, split, sides);
            for child in [nodes.len() - 2, nodes.len() - 1] {
                open.extend(self.best(&nodes[child]).map(|split| (child, split)));
            }
        }
        nodes
    }

    /// All nodes of a level by the same test.
    fn levels(&self, nodes: &mut Vec<Plain>, most: usize) {
        let (mut level, mut leaves) = (vec![0], 1);
        loop {
            level.retain(|&at: &usize| self.may_divide(&nodes[at]));
            let mut best: Option<Split> = None;
            for feature in 0..self.cells.len() {
                let here =
                    || level.iter().map(|&at| &nodes[at]).filter(|node| self.may_use(&node.way, feature));
                let rows: Vec<u32> = here().flat_map(|node| node.rows.clone()).collect();
                for split in self.candidates(&rows, feature) {
                    let gains: Vec<f64> =
                        here().filter_map(|node| Some(self.sides(node, &split)?.0)).collect();
                    let gain = gains.iter().fold(0.0, |sum, gain| sum + gain);
                    let least =
                        best.as_ref().map_or(self.params.tree.min_impurity_decrease, |best| best.gain);
                    if !gains.is_empty() && gain > least {
                        best = Some(Split { gain, ..split });
                    }
                }
            }
            let Some(mut split) = best else { return };
            let divided: Vec<_> =
                level.iter().filter_map(|&at| Some((at, self.sides(&nodes[at], &split)?))).collect();
            leaves += divided.len();
            if leaves > most {
                return;
            }
            let weight = |side: usize| -> i64 {
                divided.iter().map(|(_, (_, sides))| i64::from(self.weight(&sides[side]))).sum()
            };
            split.missing_left.get_or_insert(weight(0) > weight(1));
            level.clear();
            for (at, (gain, sides)) in divided {
                level.extend([nodes.len(), nodes.len() + 1]);
                self.divide(nodes, at, Split { gain, ..split.clone() }, sides);
            }
        }
    }
}

/// Fits all stages. O(stages x nodes x columns x thresholds x rows).
pub(crate) fn fit(
    params: &GradientBoosting,
    objective: &dyn Objective,
    problem: &Problem<'_>,
    seed: u64,
) -> Stages {
    let Problem { columns, y, weights, offset, groups } = *problem;
    let rows = y.len();
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let counted: Vec<u32> = (0..rows as u32).filter(|&row| weight(row as usize) > 0.0).collect();
    let cells: Vec<Cells> = columns.iter().map(|column| Cells::new(column, &counted)).collect();
    let query = |row: usize| match groups {
        Some(groups) => groups.iter().position(|group| group.contains(&row)).unwrap_or(usize::MAX),
        None => row,
    };
    let random = |purpose: &str| Philox::new(seed, Philox::purpose(purpose));
    let is_out = |row: usize| match params.early_stopping {
        Some(EarlyStopping { share, .. }) => {
            random("rows that boosting holds out").uniform(query(row) as u64) < share
        }
        None => false,
    };
    let (out, used): (Vec<u32>, Vec<u32>) = counted.iter().partition(|&&row| is_out(row as usize));
    // Rows that are held out have no weight for training.
    let used_weights: Vec<f64> =
        (0..rows).map(|row| if used.contains(&(row as u32)) { weight(row) } else { 0.0 }).collect();
    let all_ones = used_weights.iter().all(|&weight| weight == 1.0);
    let truth = Truth { y, weights: (!all_ones).then_some(&used_weights[..]), groups, events: None };
    let base = objective.start(&truth);
    let mut scores: Vec<f64> = Vec::new();
    for (k, base) in base.iter().enumerate() {
        scores.extend(
            (0..rows).map(|row| base + if k == 0 { offset.map_or(0.0, |offset| offset[row]) } else { 0.0 }),
        );
    }
    let mut stages = Stages { trees: vec![Vec::new(); base.len()], base, losses: Vec::new() };
    for stage in 0..params.stages {
        let mut derivatives = vec![Derivatives::default(); scores.len()];
        objective.derivatives(&truth, &scores, &mut derivatives);
        let before = scores.clone();
        for (k, trees) in stages.trees.iter_mut().enumerate() {
            let number = (stage * objective.scores() + k) as u64;
            let of_score = &derivatives[k * rows..][..rows];
            let key = random("rounding of derivatives").bits(number);
            let rounding = Philox::new(key, Philox::purpose("rounding of derivatives"));
            let units = fixed_point(of_score, rounding, &mut vec![Packed::default(); rows]).unwrap();
            let steps = [1.0 / units.gradient_unit, 1.0 / units.hessian_unit];
            let fixed = definitions::fixed_point(of_score, steps, rounding);
            let mut alone: Vec<Vec<u32>> = (0..columns.len() as u32).map(|feature| vec![feature]).collect();
            let mut meeting = params.tree.interactions.clone();
            if !meeting.is_empty() {
                alone.retain(|feature| !meeting.iter().any(|group| group.contains(&feature[0])));
                meeting.extend(alone);
            }
            let grower = Grower { params, cells: &cells, fixed: &fixed, units, groups: meeting };
            let drawn = drawn(params, &used, seed, stage);
            let nodes = grower.grow(drawn, random("trees of boosting").bits(number));
            let residual = |row: &u32| {
                let row = *row as usize;
                (y[row] - before[k * rows + row], truth.weight(row))
            };
            let value = |of_leaf: &[u32]| match objective.leaves() {
                LeafRule::Newton => {
                    let sum = |unit: f64, part: fn(&Derivatives) -> f32| {
                        let steps = f64::from(1 << 24) / unit;
                        let whole = |&row: &u32| (f64::from(part(&of_score[row as usize])) * steps) as i64;
                        of_leaf.iter().map(whole).sum::<i64>() as f64 / steps
                    };
                    let g = sum(units.gradient_unit, |row| row.gradient);
                    step(&params.penalty, g, sum(units.hessian_unit, |row| row.hessian))
                }
                rule => rule.value(&mut of_leaf.iter().map(residual).collect::<Vec<_>>()).unwrap(),
            };
            let is_newton = objective.leaves() == LeafRule::Newton;
            let tree = Finished { nodes: &nodes, grower: &grower, weight: &weight, value: &value, is_newton };
            let list = tree.list();
            for row in 0..rows {
                scores[k * rows + row] += list[tree.place(row)].1;
            }
            trees.push(list);
        }
        if let Some(stop) = params.early_stopping {
            stages.losses.push(loss_of(objective, problem, &out, &scores));
            let least = stages.losses.iter().copied().fold(f64::INFINITY, f64::min);
            let best = 1 + stages.losses.iter().position(|&loss| loss == least).unwrap();
            let last = stage + 1 == params.stages;
            if last || stage + 1 - best >= stop.patience {
                stages.trees.iter_mut().for_each(|trees| trees.truncate(best));
                break;
            }
        }
    }
    stages
}

/// The rows of a stage.
fn drawn(params: &GradientBoosting, used: &[u32], seed: u64, stage: usize) -> Vec<u32> {
    let purpose = Philox::purpose("rows of a stage of boosting");
    let stream = Philox::new(Philox::new(seed, purpose).bits(stage as u64), purpose);
    let is_drawn = |row: &u32| params.subsample == 1.0 || stream.uniform((*row).into()) < params.subsample;
    let drawn: Vec<u32> = used.iter().copied().filter(is_drawn).collect();
    if drawn.is_empty() { used[..1].to_vec() } else { drawn }
}

/// The loss of some rows, as if they were a table.
fn loss_of(objective: &dyn Objective, problem: &Problem<'_>, out: &[u32], scores: &[f64]) -> f64 {
    let of = |list: &[f64]| out.iter().map(|&row| list[row as usize]).collect::<Vec<f64>>();
    let weights = problem.weights.map(of);
    let mut groups = Vec::new();
    for group in problem.groups.into_iter().flatten() {
        let start = groups.last().map_or(0, |group: &Range<usize>| group.end);
        let rows = out.iter().filter(|&&row| group.contains(&(row as usize))).count();
        groups.push(start..start + rows);
    }
    let truth = Truth {
        y: &of(problem.y),
        weights: weights.as_deref(),
        groups: problem.groups.is_some().then_some(&groups[..]),
        events: None,
    };
    let scores: Vec<f64> = scores.chunks(problem.y.len()).flat_map(of).collect();
    objective.loss(&truth, &scores)
}

/// A tree that is grown.
struct Finished<'a> {
    nodes: &'a [Plain],
    grower: &'a Grower<'a>,
    weight: &'a dyn Fn(usize) -> f64,
    /// What rows predict as a leaf.
    value: &'a dyn Fn(&[u32]) -> f64,
    is_newton: bool,
}

impl Finished<'_> {
    /// Its nodes as a finished tree lists them, and what each predicts.
    fn list(&self) -> Vec<(Node, f64)> {
        let mut list = Vec::new();
        self.push(0, &mut list, (f64::NEG_INFINITY, f64::INFINITY));
        list
    }

    /// What a node predicts where the sides of a split are compared: Newton's step, or the mean of its leaves.
    fn level(&self, at: usize) -> f64 {
        if self.is_newton { self.grower.level(&self.nodes[at].rows) } else { self.mean(at).0 }
    }

    /// The mean of the values of the leaves below a node, before any is moved, and the weight of its rows.
    fn mean(&self, at: usize) -> (f64, f64) {
        let node = &self.nodes[at];
        match &node.split {
            None => ((self.value)(&node.rows), self.weight_of(&node.rows)),
            Some((_, children)) => mean(children.map(|child| self.mean(child))),
        }
    }

    fn weight_of(&self, rows: &[u32]) -> f64 {
        rows.iter().map(|&row| (self.weight)(row as usize)).sum()
    }

    /// Adds a node and all below it, whose leaves are between `bounds`; answers what it predicts and weighs.
    fn push(&self, at: usize, list: &mut Vec<(Node, f64)>, bounds: (f64, f64)) -> (f64, f64) {
        let node = &self.nodes[at];
        let place = list.len();
        list.push((Node::leaf(place as u32, node.rows.len() as u32), 0.0));
        let Some((split, children)) = &node.split else {
            let value = (self.value)(&node.rows).max(bounds.0).min(bounds.1);
            let (value, weight) = (self.grower.params.learning_rate * value, self.weight_of(&node.rows));
            (list[place].0.weight, list[place].1) = (weight, value);
            return (value, weight);
        };
        let middle = self.level(children[0]) / 2.0 + self.level(children[1]) / 2.0;
        let middle = middle.max(bounds.0).min(bounds.1);
        let [of_left, of_right] = match self.grower.sign(split.feature) {
            0 => [bounds; 2],
            1.. => [(bounds.0, middle), (middle, bounds.1)],
            _ => [(middle, bounds.1), (bounds.0, middle)],
        };
        let left = self.push(children[0], list, of_left);
        let right_place = list.len();
        let right = self.push(children[1], list, of_right);
        let (value, weight) = mean([left, right]);
        let cells = &self.grower.cells[split.feature];
        let test = match &split.left {
            Left::UpTo(last) => {
                let cuts = cells.cuts.as_ref().unwrap();
                Test::UpTo(cuts.get(*last).copied().unwrap_or(f64::INFINITY))
            }
            Left::Values(left) => {
                let mut set = [0; 4];
                for (value, _) in left.iter().enumerate().filter(|(_, is_left)| **is_left) {
                    set[value / 64] |= 1 << (value % 64);
                }
                Test::Bins(set)
            }
        };
        let node = Node {
            feature: split.feature as u32,
            test: Some(test),
            missing_left: split.missing_left.unwrap(),
            left: place as u32 + 1,
            right: right_place as u32,
            rows: node.rows.len() as u32,
            weight,
            gain: split.gain,
        };
        list[place] = (node, value);
        (value, weight)
    }

    /// Where in the list the leaf of a row stands.
    fn place(&self, row: usize) -> usize {
        let (mut at, mut place) = (0, 0);
        while let Some((split, [left, right])) = &self.nodes[at].split {
            if self.grower.goes_left(split, row) {
                (at, place) = (*left, place + 1);
            } else {
                (at, place) = (*right, place + 1 + self.size(*left));
            }
        }
        place
    }

    fn size(&self, at: usize) -> usize {
        match &self.nodes[at].split {
            None => 1,
            Some((_, [left, right])) => 1 + self.size(*left) + self.size(*right),
        }
    }
}

/// The weighted mean of two numbers, and the sum of their weights.
fn mean([(left, of_left), (right, of_right)]: [(f64, f64); 2]) -> (f64, f64) {
    let weight = of_left + of_right;
    let share = if weight > 0.0 { of_left / weight } else { 0.5 };
    (share * left + (1.0 - share) * right, weight)
}

#[cfg(test)]
mod tests;
