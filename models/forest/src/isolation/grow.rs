//! Growing one tree of an isolation forest.

use super::{Cells, mean_path};
use std::ops::ControlFlow;
use std::sync::Arc;
use tilewise_base::Result;
use tilewise_kernels::random::Philox;
use tilewise_tree::{Input, Node, Test, Tree, draw, key_below};

/// A node that is to be made, and the parent that does not know its place yet, for a right child.
struct Open {
    rows: Vec<u32>,
    depth: u32,
    key: u64,
    parent: Option<usize>,
}

/// A split, and whether missing values go left.
type Split = (usize, Test, bool);

/// The tree on `rows`, in which a row may be named several times. Nodes are divided as deep as the binary logarithm of the number
/// of rows, rounded up: a path that is longer than the mean tells nothing more (section 3 of the paper).
pub(super) fn tree(inputs: &Arc<[Input]>, cells: Cells<'_>, rows: Vec<u32>, key: u64) -> Result<Tree> {
    let deepest = rows.len().next_power_of_two().ilog2();
    let (mut nodes, mut values): (Vec<Node>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = vec![Open { rows, depth: 0, key, parent: None }];
    while let Some(Open { rows, depth, key, parent }) = next.pop() {
        let place = nodes.len();
        if let Some(parent) = parent {
            let parent: &mut Node = &mut nodes[parent];
            parent.right = place as u32;
        }
        values.push(f64::from(depth) + mean_path(rows.len() as u64));
        let count = rows.len() as u32;
        let leaf = Node::leaf(place as u32, count);
        let split = if depth < deepest { split(inputs, cells, &rows, key) } else { None };
        let Some((feature, test, missing_left)) = split else {
            nodes.push(leaf);
            continue;
        };
        let goes_left = |row: &u32| {
            let x = (cells.cell)(*row as usize, feature);
            test.passes(&inputs[feature], x).unwrap_or(missing_left)
        };
        let (left, right): (Vec<u32>, Vec<u32>) = rows.into_iter().partition(goes_left);
        let test = test.with_unseen(&inputs[feature], left.len() > right.len());
        nodes.push(Node {
            feature: feature as u32,
            test: Some(test),
            missing_left,
            left: place as u32 + 1,
            ..leaf
        });
        let depth = depth + 1;
        next.push(Open { rows: right, depth, key: key_below(key, true), parent: Some(place) });
        next.push(Open { rows: left, depth, key: key_below(key, false), parent: None });
    }
    Tree::from_nodes(Arc::clone(inputs), &nodes, values, 1)
}

/// A split of the first column, in a random order, that differs in `rows`; both sides get some of them.
fn split(inputs: &[Input], cells: Cells<'_>, rows: &[u32], key: u64) -> Option<Split> {
    const SPLIT: u64 = Philox::purpose("split of an isolation tree");
    if rows.len() < 2 {
        return None;
    }
    let random = Philox::new(key, SPLIT);
    let mut features: Vec<u32> = (0..inputs.len() as u32).collect();
    let mut found = None;
    draw(key, &mut features, &mut Vec::new(), |_, feature| {
        let values = rows.iter().map(|&row| (cells.cell)(row as usize, feature));
        let split = match &inputs[feature] {
            Input::Number => number(values, random),
            category => self::category(values.map(|x| category.bin(x)), random),
        };
        found = split.map(|(test, missing_left)| (feature, test, missing_left));
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}

/// A threshold between the least and the largest number; where there is one number only, whether it is there.
fn number(values: impl Iterator<Item = f64>, random: Philox) -> Option<(Test, bool)> {
    let (mut least, mut largest, mut missing) = (f64::INFINITY, f64::NEG_INFINITY, false);
    let mut any = false;
    for x in values {
        if x.is_nan() {
            missing = true;
        } else {
            any = true;
            least = least.min(x);
            largest = largest.max(x);
        }
    }
    if !any || least == largest {
        return (any && missing).then_some((Test::UpTo(f64::INFINITY), false));
    }
    let u = random.uniform(0);
    // Between infinities as between the largest numbers.
    let (low, high) = (least.max(f64::MIN), largest.min(f64::MAX));
    let threshold = low * (1.0 - u) + high * u;
    // The least goes left and the largest right whatever rounding does.
    let threshold = if threshold >= least && threshold < largest { threshold } else { least };
    Some((Test::UpTo(threshold), random.bits(1) & 1 == 1))
}

/// Categories for the left side, those that are not here too; where there is one only, whether it is there.
fn category(bins: impl Iterator<Item = Option<u8>>, random: Philox) -> Option<(Test, bool)> {
    let (mut here, mut missing) = ([0_u64; 4], false);
    for bin in bins {
        match bin {
            Some(bin) => here[usize::from(bin / 64)] |= 1 << (bin % 64),
            None => missing = true,
        }
    }
    let count: u32 = here.iter().map(|word| word.count_ones()).sum();
    let set = |draw: u64| -> [u64; 4] { std::array::from_fn(|word| random.bits(1 + 4 * draw + word as u64)) };
    let left = |set: &[u64; 4]| set.iter().zip(&here).map(|(a, b)| (a & b).count_ones()).sum::<u32>();
    match (count, missing) {
        (0, _) | (1, false) => None,
        (1, true) => {
            let set = set(0);
            Some((Test::Bins(set), left(&set) == 0))
        }
        _ => {
            // One draw in two is good, or more.
            let good = (0..).map(set).find(|set| (1..count).contains(&left(set)))?;
            Some((Test::Bins(good), random.bits(0) & 1 == 1))
        }
    }
}
