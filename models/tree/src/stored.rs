//! Trees in a model file, as prediction reads them: a file that is mapped is used where it is.
//!
//! ```text
//! starts   trees + 1            the first node of each tree, and the end of the last
//! nodes    nodes x 2            `tilewise_kernels::tree::Node`, those of a tree breadth first, so that the two children of its n-th split are
//!                               its nodes 2 n + 1 and 2 n + 2
//! sets     sets x 4             the bins that go left at splits of categories; the highest bit says whether missing values do
//! leaves   values x outputs     what leaves predict, by the numbers in their nodes
//! rows     nodes                training rows; from here on each node stands before those below it, left before right
//! gains    splits
//! classes  nodes x classes      the weights of classes in units, where shares of classes are predicted
//! units    trees
//! values   splits x outputs     what splits would predict as leaves, and the weights of nodes, where numbers are
//! weights  nodes
//! ```

use crate::Criterion;
use crate::arena::Arena;
use crate::compiled::{laid_out, without_missing};
use crate::cuts::UNKNOWN;
use crate::kept::Kept;
use crate::max_bins::MOST_CATEGORIES;
use crate::tree::{Input, Test, Tree};
use crate::values::Values;
use std::sync::Arc;
use tilewise_base::model_file::Writer;
use tilewise_base::{Array, Field, Kind, ModelFile, Result, Task, Unseen};
use tilewise_kernels::parallel;
use tilewise_kernels::tree::{Node, Parts, Shared, Tests, Trees};

mod first;

/// The numbers a tree predicts for a task, if the criterion is one for it.
pub fn outputs(task: &Task, criterion: Criterion) -> Option<usize> {
    match task {
        Task::Regression if !matches!(criterion, Criterion::Gini | Criterion::Entropy) => Some(1),
        Task::Classification { classes }
            if !classes.is_empty()
                && matches!(criterion, Criterion::Auto | Criterion::Gini | Criterion::Entropy) =>
        {
            Some(classes.len())
        }
        Task::Outputs { .. } if matches!(criterion, Criterion::Auto | Criterion::Squared) => {
            task.several().map(<[String]>::len)
        }
        _ => None,
    }
}

/// The file of a model of trees with the same inputs. What the trees read is not written: `metadata` is to hold the bins.
///
/// # Errors
/// When there is no tree, there are 2^31 nodes or more, or the file cannot be made.
pub fn to_bytes(kind: &str, metadata: serde_json::Value, trees: &[Tree]) -> Result<Vec<u8>> {
    writer(kind, metadata, trees)?.to_bytes()
}

/// As [`to_bytes`], for files that hold more than trees.
///
/// # Errors
/// When there is no tree, or there are 2^31 nodes or more.
pub fn writer(kind: &str, metadata: serde_json::Value, trees: &[Tree]) -> Result<Writer> {
    // What is read of a mapped file to be written is not kept.
    let copies: Vec<Tree>;
    let trees = if trees.iter().any(|tree| tree.nodes.place().is_some()) {
        copies = trees.to_vec();
        &copies
    } else {
        trees
    };
    let laid = laid_out(trees)?;
    let arenas = || trees.iter().map(|tree| &*tree.nodes);
    let mut starts = vec![0];
    arenas().for_each(|arena| starts.push(starts[starts.len() - 1] + arena.len() as u32));
    let (count, outputs) = (laid.nodes().len(), laid.values().outputs());
    let rows: Vec<u32> = arenas().flat_map(|arena| arena.rows.iter()).collect();
    let gains: Vec<f64> = arenas().flat_map(|arena| arena.splits.iter()).map(|split| split.gain).collect();
    let mut writer = Writer::new(kind, metadata)
        .tensor_u32("starts", &[starts.len()], &starts)
        .records("nodes", laid.nodes())
        .records("sets", &laid.tests().sets)
        .tensor_f64("leaves", &[laid.values().len(), outputs], laid.values().numbers())
        .tensor_u32("rows", &[count], &rows)
        .tensor_f64("gains", &[gains.len()], &gains);
    let (mut of_classes, mut units, mut values, mut weights) = (vec![], vec![], vec![], vec![]);
    for arena in arenas() {
        match &arena.values {
            Values::Shares { weights, unit, .. } => {
                of_classes.extend(weights.iter());
                units.push(*unit);
            }
            Values::Numbers { numbers, weights: of_nodes, .. } => {
                let of_splits = numbers.chunks_exact(outputs).zip(arena.divided.iter());
                of_splits.filter(|(_, divided)| *divided).for_each(|(numbers, _)| values.extend(numbers));
                weights.extend_from_slice(of_nodes);
            }
        }
    }
    writer = if units.is_empty() {
        writer.tensor_f64("values", &[gains.len(), outputs], &values).tensor_f64(
            "weights",
            &[count],
            &weights,
        )
    } else {
        writer.tensor_u32("classes", &[count, outputs], &of_classes).tensor_f64(
            "units",
            &[units.len()],
            &units,
        )
    };
    Ok(writer)
}

/// The trees of a file, one at least, which read `fields` under a policy for unseen categories. Of a file that is mapped they stay there
/// until somebody asks for more than predictions.
///
/// # Errors
/// When a part is not there, or parts do not fit each other.
pub fn from_file(
    file: &ModelFile<'_>,
    fields: &[Field],
    unseen: Unseen,
    outputs: usize,
) -> Result<Vec<Tree>> {
    let inputs: Vec<Input> = file.metadata("bins")?;
    check_inputs(fields, &inputs).map_err(|what| file.error(what))?;
    let inputs = Input::all_with(&inputs, unseen);
    let tree = |nodes| Tree { inputs: Arc::clone(&inputs), nodes };
    if first::is_it(file) {
        return Ok(first::read(file, &inputs, outputs)?
            .into_iter()
            .map(|arena| tree(arena.into()))
            .collect());
    }
    let stored = StoredTrees::new(file, &inputs, outputs)?;
    let checked = parallel::map(stored.len(), |number| stored.check(number, &inputs));
    for (number, checked) in checked.into_iter().enumerate() {
        checked.map_err(|what| file.error(format!("tree {number}: {what}")))?;
    }
    if !file.is_mapped() {
        return Ok((0..stored.len()).map(|number| tree(stored.arena(number).into())).collect());
    }
    let stored = Arc::new(stored);
    Ok((0..stored.len()).map(|number| tree(Kept::stored(&stored, number))).collect())
}

/// Where the nodes of each tree begin, and where those of the last end, of `count` nodes.
fn starts(file: &ModelFile<'_>, count: usize) -> Result<Vec<u32>> {
    let starts = file.tensor_u32("starts", &[rows_of(file, "starts")?])?;
    let ends = starts.first().zip(starts.last()).map(|(first, last)| (*first, *last as usize));
    if starts.len() < 2 || ends != Some((0, count)) || !starts.is_sorted_by(|a, b| a < b) {
        return Err(file.error("its trees do not share its nodes out among them"));
    }
    Ok(starts)
}

/// The length of a tensor, or of its first side.
fn rows_of(file: &ModelFile<'_>, name: &str) -> Result<usize> {
    Ok(file.shape(name)?.first().copied().unwrap_or(0))
}

/// The trees of a file, where they lie.
#[derive(Debug)]
pub(crate) struct StoredTrees {
    pub(crate) trees: Trees<Node>,
    starts: Vec<u32>,
    rows: Array<u32>,
    gains: Array<f64>,
    values: StoredValues,
}

/// What nodes say beside what is in `leaves`.
#[derive(Debug)]
enum StoredValues {
    Shares { classes: Array<u32>, units: Vec<f64> },
    Numbers { of_splits: Array<f64>, weights: Array<f64> },
}

impl StoredTrees {
    fn new(file: &ModelFile<'_>, inputs: &[Input], outputs: usize) -> Result<Self> {
        let count = rows_of(file, "nodes")?;
        let starts = starts(file, count)?;
        let trees = starts.len() - 1;
        // Each tree has a leaf more than splits.
        let splits = count.saturating_sub(trees) / 2;
        let sets = Shared::new(file.records::<[u64; 4]>("sets", rows_of(file, "sets")?)?);
        let leaves = file.array_f64("leaves", &[rows_of(file, "leaves")?, outputs])?;
        // Each tree has some of its own, so what nodes take in memory is in proportion to the file.
        if leaves.len() < trees * outputs {
            return Err(file.error(format!("{trees} trees share {} values", leaves.len() / outputs.max(1))));
        }
        let nodes = Shared::new(file.records::<Node>("nodes", count)?);
        let values = tilewise_kernels::tree::Values::new(Shared::new(leaves), outputs)?;
        let tests = Tests { sets, bins: Input::bins(inputs) };
        let roots = starts[..trees].to_vec();
        let values_of_nodes = if file.tensors().any(|name| name == "classes") {
            StoredValues::Shares {
                classes: file.array_u32("classes", &[count, outputs])?,
                units: file.tensor_f64("units", &[trees])?,
            }
        } else {
            StoredValues::Numbers {
                of_splits: file.array_f64("values", &[splits, outputs])?,
                weights: file.array_f64("weights", &[count])?,
            }
        };
        Ok(Self {
            trees: Trees::new(nodes, roots, tests, inputs.len(), values)
                .map_err(|e| file.error(e.to_string()))?,
            starts,
            rows: file.array_u32("rows", &[count])?,
            gains: file.array_f64("gains", &[splits])?,
            values: values_of_nodes,
        })
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Nodes of a tree.
    pub(crate) fn nodes_of(&self, tree: usize) -> usize {
        (self.starts[tree + 1] - self.starts[tree]) as usize
    }

    /// Numbers that a tree predicts.
    pub(crate) fn outputs(&self) -> usize {
        self.trees.values().outputs()
    }

    /// Nodes of a tree, each before those below it, left before right: the place of its numbers, itself, and the node whose right child it
    /// is, if it is one. Nodes must stand breadth first.
    fn walk(&self, tree: usize) -> impl Iterator<Item = (usize, Parts, Option<u32>)> + '_ {
        let start = self.starts[tree] as usize;
        let (mut next, mut here) = (vec![(start, None)], 0);
        std::iter::from_fn(move || {
            let (at, parent) = next.pop()?;
            let node = self.trees.nodes()[at].parts();
            if let Parts::UpTo { left, .. } | Parts::InSet { left, .. } = node {
                next.extend([(left + 1, Some(here)), (left, None)]);
            }
            here += 1;
            Some((start + here as usize - 1, node, parent))
        })
    }

    /// Splits of all trees before one: each tree has a leaf more than splits.
    fn splits_before(&self, tree: usize) -> usize {
        (self.starts[tree] as usize - tree) / 2
    }

    /// What a leaf predicts.
    fn leaf(&self, value: usize) -> &[f64] {
        let values = self.trees.values();
        &values.numbers()[value * values.outputs()..][..values.outputs()]
    }

    /// That a tree is one whose tests fit the inputs, and whose numbers are some. O(its nodes) time, O(its depth) memory.
    ///
    /// # Errors
    /// When it is none.
    fn check(&self, tree: usize, inputs: &[Input]) -> Result<(), String> {
        let (start, end) = (self.starts[tree] as usize, self.starts[tree + 1] as usize);
        breadth_first(&self.trees.nodes()[start..end], start)?;
        let splits = self.splits_before(tree)..self.splits_before(tree + 1);
        if let Some(gain) = self.gains[splits.clone()].iter().find(|gain| !gain.is_finite()) {
            return Err(format!("the gain of a split is {gain}"));
        }
        let is_weight = |weight: f64| weight.is_finite() && weight >= 0.0;
        let of_outputs = splits.start * self.outputs()..splits.end * self.outputs();
        if let StoredValues::Numbers { of_splits, weights } = &self.values {
            if let Some(number) = of_splits[of_outputs].iter().find(|number| !number.is_finite()) {
                return Err(format!("a split predicts {number}, which is not finite"));
            }
            if let Some(weight) = weights[start..end].iter().find(|weight| !is_weight(**weight)) {
                return Err(format!("a node weighs {weight}"));
            }
        }
        for (place, node, _) in self.walk(tree) {
            let at = place - start;
            let fits = match node {
                Parts::UpTo { column, threshold, .. } => {
                    inputs[column] == Input::Number && !threshold.is_nan()
                }
                Parts::InSet { column, .. } => inputs[column] != Input::Number,
                Parts::Leaf { value } => self.leaf(value).iter().all(|number| number.is_finite()),
            };
            if !fits {
                return Err(format!(
                    "node {at} tests what its input has not, or predicts what is not finite"
                ));
            }
            let StoredValues::Shares { classes, units } = &self.values else { continue };
            let weights = &classes[place * self.outputs()..][..self.outputs()];
            let all = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>() as f64;
            if !(all > 0.0 && is_weight(all * units[tree])) {
                return Err(format!("the classes of node {at} weigh {all} times {}", units[tree]));
            }
            let Parts::Leaf { value } = node else { continue };
            let shares = weights.iter().map(|&weight| (f64::from(weight) / all).to_bits());
            if !shares.eq(self.leaf(value).iter().map(|number| number.to_bits())) {
                return Err(format!("node {at} does not predict the shares of its classes"));
            }
        }
        Ok(())
    }

    /// A tree, which was checked. O(its nodes).
    pub(crate) fn arena(&self, tree: usize) -> Arena {
        let (outputs, count) = (self.outputs(), self.nodes_of(tree));
        let values = match &self.values {
            StoredValues::Shares { units, .. } => Values::shares(outputs, units[tree]),
            StoredValues::Numbers { .. } => Values::numbers(outputs),
        };
        let mut arena = Arena::new(values, count);
        let mut split_of_file = self.splits_before(tree);
        for (place, node, parent) in self.walk(tree) {
            let (split, leaf) = match node {
                Parts::UpTo { column, threshold, missing_left, .. } => {
                    (Some((column, Test::UpTo(threshold), missing_left)), &[][..])
                }
                Parts::InSet { column, set, .. } => {
                    let (set, missing_left) = without_missing(self.trees.tests().sets[set]);
                    (Some((column, Test::Bins(set), missing_left)), &[][..])
                }
                Parts::Leaf { value } => (None, self.leaf(value)),
            };
            match &self.values {
                StoredValues::Shares { classes, .. } => {
                    arena.values.push_shares(classes[place * outputs..][..outputs].iter().copied());
                }
                StoredValues::Numbers { of_splits, weights } => {
                    let numbers =
                        if split.is_some() { &of_splits[split_of_file * outputs..][..outputs] } else { leaf };
                    arena.values.push_numbers(weights[place], numbers.iter().copied());
                }
            }
            let split = split.map(|(column, test, missing_left)| {
                split_of_file += 1;
                (column as u32, test, missing_left, self.gains[split_of_file - 1])
            });
            arena.push(parent, self.rows[place], split);
        }
        arena
    }
}

/// That the nodes of a tree, the first of which is number `start` of all, stand breadth first: then each but the root is the child of just
/// one, which stands before it.
fn breadth_first(nodes: &[Node], start: usize) -> Result<(), String> {
    let mut claimed = 1;
    for (at, node) in nodes.iter().enumerate() {
        let (Parts::UpTo { left, .. } | Parts::InSet { left, .. }) = node.parts() else { continue };
        if at >= claimed || left != start + claimed {
            return Err(format!("the children of its node {at} are not where they have to be"));
        }
        claimed += 2;
    }
    if claimed == nodes.len() {
        Ok(())
    } else {
        Err(format!("it has {} nodes, of which {claimed} are used", nodes.len()))
    }
}

fn check_inputs(fields: &[Field], inputs: &[Input]) -> Result<(), String> {
    if fields.is_empty() || fields.len() != inputs.len() {
        return Err(format!("there are bins of {} inputs and {} inputs", inputs.len(), fields.len()));
    }
    let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two inputs are called {:?}", pair[0]));
    }
    let known = |bin: &u8| *bin == UNKNOWN || usize::from(*bin) < MOST_CATEGORIES;
    for (field, input) in fields.iter().zip(inputs) {
        let fits = match (&field.kind, input) {
            (Kind::Numeric | Kind::Boolean, Input::Number) => true,
            // Numbers of categories, whose model reads them itself.
            (Kind::Numeric | Kind::Boolean, Input::Category(bins)) => bins.bins().iter().all(known),
            (Kind::Categorical { dictionary }, Input::Category(bins)) => {
                let bins = bins.bins();
                bins.len() == dictionary.len()
                    && dictionary.is_sorted_by(|a, b| a < b)
                    && bins.iter().all(known)
            }
            _ => false,
        };
        if !fits {
            return Err(format!("the bins of input {:?} do not fit its kind", field.name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
