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
use crate::compiled::laid_out;
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
    let bad = |number: usize, what: String| file.error(format!("tree {number}: {what}"));
    let read = |number: usize| stored.arena(number).and_then(|arena| arena.check(&inputs).map(|()| arena));
    if !file.is_mapped() {
        let trees = (0..stored.len()).map(|number| read(number).map_err(|what| bad(number, what)));
        return trees.map(|arena| arena.map(|arena| tree(arena.into()))).collect();
    }
    // Read once, to be checked, and not kept.
    let checked = parallel::map(stored.len(), |number| read(number).map(|_| ()));
    checked.into_iter().enumerate().try_for_each(|(number, read)| read.map_err(|what| bad(number, what)))?;
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

    /// A tree. O(its nodes).
    ///
    /// # Errors
    /// When its nodes do not stand where their parents say, a set is not there or a leaf predicts something else than its node says.
    pub(crate) fn arena(&self, tree: usize) -> Result<Arena, String> {
        let (start, end) = (self.starts[tree] as usize, self.starts[tree + 1] as usize);
        let nodes = &self.trees.nodes()[start..end];
        breadth_first(nodes, start)?;
        let outputs = self.outputs();
        let values = match &self.values {
            StoredValues::Shares { classes, units } => Values::Shares {
                classes: outputs,
                weights: classes[start * outputs..end * outputs].iter().copied().collect(),
                unit: units[tree],
            },
            StoredValues::Numbers { .. } => Values::numbers(outputs),
        };
        let mut arena = Arena::new(values.of_none(), nodes.len());
        let is_shares = matches!(values, Values::Shares { .. });
        if is_shares {
            arena.values = values;
        }
        // Each tree before this one has a leaf more than splits.
        let mut split_of_file = (start - tree) / 2;
        let mut next = vec![(0, None)];
        while let Some((at, parent)) = next.pop() {
            let place = start + arena.len();
            let rows = self.rows[place];
            let (column, test, missing_left, left) = match nodes[at].parts() {
                Parts::UpTo { column, threshold, missing_left, left } => {
                    (column, Test::UpTo(threshold), missing_left, left)
                }
                Parts::InSet { column, set, left } => {
                    let set = self.trees.tests().sets.get(set).ok_or("a split has no set")?;
                    let (set, missing_left) = crate::compiled::without_missing(*set);
                    (column, Test::Bins(set), missing_left, left)
                }
                Parts::Leaf { value } => {
                    let here = arena.push(parent, rows, None) as usize;
                    let numbers = &self.trees.values().numbers()[value * outputs..][..outputs];
                    match &self.values {
                        StoredValues::Numbers { weights, .. } => {
                            arena.values.push_numbers(weights[place], numbers.iter().copied());
                        }
                        StoredValues::Shares { .. } => {
                            let bits = arena.values.of(here).map(f64::to_bits);
                            if !bits.eq(numbers.iter().map(|number| number.to_bits())) {
                                return Err(format!(
                                    "leaf {here} does not predict the shares of its classes"
                                ));
                            }
                        }
                    }
                    continue;
                }
            };
            let split = (column as u32, test, missing_left, self.gains[split_of_file]);
            let here = arena.push(parent, rows, Some(split));
            if let StoredValues::Numbers { of_splits, weights } = &self.values {
                let numbers = &of_splits[split_of_file * outputs..][..outputs];
                arena.values.push_numbers(weights[place], numbers.iter().copied());
            }
            split_of_file += 1;
            next.push((left - start + 1, Some(here)));
            next.push((left - start, None));
        }
        Ok(arena)
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
