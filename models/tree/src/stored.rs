//! Trees in a model file.

use crate::Criterion;
use crate::cuts::UNKNOWN;
use crate::max_bins::MOST_CATEGORIES;
use crate::tree::{Input, Node, Test, Tree};
use std::sync::Arc;
use tilewise_base::model_file::Writer;
use tilewise_base::{Error, Field, Kind, ModelFile, Result, Task};
use tilewise_kernels::same;

/// The numbers a tree predicts for a task, if the criterion is one for it.
pub fn outputs(task: &Task, criterion: Criterion) -> Option<usize> {
    match task {
        Task::Regression if !matches!(criterion, Criterion::Gini | Criterion::Entropy) => Some(1),
        Task::Classification { classes }
            if !classes.is_empty() && !matches!(criterion, Criterion::Squared | Criterion::Poisson) =>
        {
            Some(classes.len())
        }
        _ => None,
    }
}

/// The file of a model of trees with the same inputs. What the trees read is not written: `metadata` is to hold the bins.
///
/// # Errors
/// When there are 2^32 nodes or more, or the file cannot be made.
pub fn to_bytes(kind: &str, metadata: serde_json::Value, trees: &[Tree]) -> Result<Vec<u8>> {
    writer(kind, metadata, trees)?.to_bytes()
}

/// As [`to_bytes`], for files that hold more than trees.
///
/// # Errors
/// When there are 2^32 nodes or more.
pub fn writer(kind: &str, metadata: serde_json::Value, trees: &[Tree]) -> Result<Writer> {
    let count: usize = trees.iter().map(|tree| tree.nodes.len()).sum();
    if u32::try_from(count).is_err() {
        return Err(Error::Fit(format!("{count} nodes are too many for a file: it holds up to 2^32 - 1")));
    }
    let (mut starts, mut links, mut sets) = (vec![0], Vec::with_capacity(count * LINKS), Vec::new());
    let (mut thresholds, mut values) = (Vec::with_capacity(count), Vec::new());
    for tree in trees {
        for node in &tree.nodes {
            let missing = if node.missing_left { MISSING_LEFT } else { 0 };
            let (flags, threshold, set) = match &node.test {
                None => (0, 0.0, 0),
                Some(Test::UpTo(threshold)) => (NUMBER, *threshold, 0),
                Some(Test::Bins(words)) => {
                    sets.extend(words.iter().flat_map(|word| [*word as u32, (word >> 32) as u32]));
                    (CATEGORY, 0.0, sets.len() / SET - 1)
                }
            };
            links.extend([node.feature, flags | missing, node.left, node.right, set as u32, node.rows]);
            thresholds.push(threshold);
        }
        values.extend_from_slice(&tree.values);
        starts.push(thresholds.len() as u32);
    }
    let of =
        |f: fn(&Node) -> f64| trees.iter().flat_map(|tree| tree.nodes.iter().map(f)).collect::<Vec<f64>>();
    let outputs = trees.first().map_or(0, |tree| tree.outputs);
    Ok(Writer::new(kind, metadata)
        .tensor_u32("starts", &[starts.len()], &starts)
        .tensor_f64("thresholds", &[count], &thresholds)
        .tensor_u32("nodes", &[count, LINKS], &links)
        .tensor_f64("weights", &[count], &of(|node| node.weight))
        .tensor_f64("gains", &[count], &of(|node| node.gain))
        .tensor_u32("sets", &[sets.len() / SET, SET], &sets)
        .tensor_f64("values", &[count, outputs], &values))
}

/// The trees of a file, one at least, which read `fields` in the way `inputs` says.
///
/// # Errors
/// When a part is not there, or parts do not fit each other.
pub fn from_file(
    file: &ModelFile<'_>,
    fields: &[Field],
    inputs: Vec<Input>,
    outputs: usize,
) -> Result<Vec<Tree>> {
    check_inputs(fields, &inputs).map_err(|what| file.error(what))?;
    let rows_of = |name: &str| Ok::<_, Error>(file.shape(name)?.first().copied().unwrap_or(0));
    let (count, sets, starts) = (rows_of("thresholds")?, rows_of("sets")?, rows_of("starts")?);
    let starts = file.tensor_u32("starts", &[starts])?;
    let ends = starts.first().zip(starts.last()).map(|(first, last)| (*first, *last as usize));
    if starts.len() < 2 || ends != Some((0, count)) || !starts.is_sorted() {
        return Err(file.error("its trees do not share its nodes out among them"));
    }
    let thresholds = file.tensor_f64("thresholds", &[count])?;
    let links = file.tensor_u32("nodes", &[count, LINKS])?;
    let (weights, gains) = (file.tensor_f64("weights", &[count])?, file.tensor_f64("gains", &[count])?);
    let sets = file.tensor_u32("sets", &[sets, SET])?;
    let values = file.tensor_f64("values", &[count, outputs])?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(file.error("a value of a leaf is not finite"));
    }
    let inputs: Arc<[Input]> = inputs.into();
    let tree = |(number, ends): (usize, &[u32])| {
        let places = ends[0] as usize..ends[1] as usize;
        let nodes = places
            .clone()
            .map(|at| node(at, &links[at * LINKS..][..LINKS], thresholds[at], weights[at], gains[at], &sets))
            .collect::<Result<Vec<Node>, String>>()
            .and_then(|nodes| check_nodes(&nodes, &inputs).map(|()| nodes))
            .map_err(|what| file.error(format!("tree {number}: {what}")))?;
        let values = values[places.start * outputs..places.end * outputs].to_vec();
        Ok(Tree { inputs: Arc::clone(&inputs), nodes, values, outputs })
    };
    starts.windows(2).enumerate().map(tree).collect()
}

impl Tree {
    /// A tree of nodes that were made elsewhere, which read `inputs`; `values` is nodes x `outputs`, what each node would predict as
    /// a leaf. O(nodes).
    ///
    /// # Errors
    /// When the nodes are not a tree with its root in front and every node behind its parent, a test does not fit its input, or
    /// there are not as many values as nodes and outputs.
    pub fn from_nodes(
        inputs: Arc<[Input]>,
        nodes: Vec<Node>,
        values: Vec<f64>,
        outputs: usize,
    ) -> Result<Self> {
        check_nodes(&nodes, &inputs).map_err(Error::Fit)?;
        same("values of nodes", nodes.len() * outputs, values.len())?;
        Ok(Self { inputs, nodes, values, outputs })
    }
}

/// Numbers of a node in a file: feature, flags, left, right, set, rows.
const LINKS: usize = 6;
/// Numbers of a set in a file.
const SET: usize = 8;
const MISSING_LEFT: u32 = 1;
const NUMBER: u32 = 2;
const CATEGORY: u32 = 4;

fn node(
    place: usize,
    link: &[u32],
    threshold: f64,
    weight: f64,
    gain: f64,
    sets: &[u32],
) -> Result<Node, String> {
    let test = match link[1] & !MISSING_LEFT {
        0 => None,
        NUMBER if !threshold.is_nan() => Some(Test::UpTo(threshold)),
        CATEGORY => {
            let words = sets.chunks_exact(SET).nth(link[4] as usize);
            let words = words.ok_or_else(|| format!("node {place} has a set that is not there"))?;
            let word = |i: usize| u64::from(words[2 * i]) | u64::from(words[2 * i + 1]) << 32;
            Some(Test::Bins(std::array::from_fn(word)))
        }
        _ => return Err(format!("node {place} has no valid test")),
    };
    if !(weight.is_finite() && weight >= 0.0 && gain.is_finite()) {
        return Err(format!("the weight or gain of node {place} is not a finite number"));
    }
    let missing_left = link[1] & MISSING_LEFT != 0;
    Ok(Node {
        feature: link[0],
        test,
        missing_left,
        left: link[2],
        right: link[3],
        rows: link[5],
        weight,
        gain,
    })
}

/// That nodes are a tree with its root in front, whose tests fit the inputs.
pub(crate) fn check_nodes(nodes: &[Node], inputs: &[Input]) -> Result<(), String> {
    if nodes.is_empty() || nodes.len() > u32::MAX as usize {
        return Err("a tree has at least one node".into());
    }
    let mut parents = vec![0; nodes.len()];
    for (place, node) in nodes.iter().enumerate() {
        let (left, right) = (node.left as usize, node.right as usize);
        let fits = match (&node.test, inputs.get(node.feature as usize)) {
            (None, Some(_)) => (left, right) == (place, place),
            (Some(Test::UpTo(_)), Some(Input::Number)) | (Some(Test::Bins(_)), Some(Input::Category(_))) => {
                place < left.min(right) && left.max(right) < nodes.len()
            }
            _ => false,
        };
        if !fits {
            return Err(format!("node {place} does not fit its inputs or children"));
        }
        if node.test.is_some() {
            parents[left] += 1;
            parents[right] += 1;
        }
    }
    match (1..nodes.len()).find(|&place| parents[place] != 1) {
        Some(place) => Err(format!("node {place} is the child of {} nodes", parents[place])),
        None => Ok(()),
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
    for (field, input) in fields.iter().zip(inputs) {
        let fits = match (&field.kind, input) {
            (Kind::Numeric | Kind::Boolean, Input::Number) => true,
            (Kind::Categorical { dictionary }, Input::Category(bins)) => {
                let known = |bin: &u8| *bin == UNKNOWN || usize::from(*bin) < MOST_CATEGORIES;
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
mod tests {
    use super::*;

    #[test]
    fn only_trees_whose_tests_fit_their_inputs_are_accepted() {
        let leaf = |at: u32| Node {
            feature: 0,
            test: None,
            missing_left: false,
            left: at,
            right: at,
            rows: 1,
            weight: 1.0,
            gain: 0.0,
        };
        let root = Node { test: Some(Test::UpTo(0.5)), left: 1, right: 2, ..leaf(0) };
        let inputs = [Input::Number, Input::Category(vec![0, 1])];
        let check = |nodes: &[Node]| check_nodes(nodes, &inputs);
        assert_eq!(check(&[root, leaf(1), leaf(2)]), Ok(()));
        assert_eq!(check(&[leaf(0)]), Ok(()));
        for nodes in [
            vec![],
            // A child that is not there, a circle, two parents or none, a leaf with children.
            vec![root, leaf(1)],
            vec![Node { left: 0, ..root }, leaf(1), leaf(2)],
            vec![Node { right: 1, ..root }, leaf(1), leaf(2)],
            vec![leaf(0), leaf(1)],
            vec![Node { test: None, ..root }, leaf(1), leaf(2)],
            // An input that is not there or of another kind.
            vec![Node { feature: 2, ..root }, leaf(1), leaf(2)],
            vec![Node { feature: 1, ..root }, leaf(1), leaf(2)],
            vec![Node { test: Some(Test::Bins([1; 4])), ..root }, leaf(1), leaf(2)],
        ] {
            assert!(check(&nodes).is_err(), "{nodes:?}");
        }
        let link = |flags: u32, set: u32| [0, flags, 1, 2, set, 1];
        let sets = [1; SET];
        assert!(node(0, &link(NUMBER, 0), 0.5, 1.0, 0.0, &sets).is_ok());
        assert!(node(0, &link(CATEGORY | MISSING_LEFT, 0), 0.0, 1.0, 0.0, &sets).is_ok());
        for (flags, set, threshold, weight, gain) in [
            (NUMBER, 0, f64::NAN, 1.0, 0.0),
            (CATEGORY, 1, 0.0, 1.0, 0.0),
            (NUMBER | CATEGORY, 0, 0.0, 1.0, 0.0),
            (8, 0, 0.0, 1.0, 0.0),
            (NUMBER, 0, 0.0, -1.0, 0.0),
            (NUMBER, 0, 0.0, 1.0, f64::INFINITY),
        ] {
            assert!(node(0, &link(flags, set), threshold, weight, gain, &sets).is_err(), "{flags} {set}");
        }
    }
}
