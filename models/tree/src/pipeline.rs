//! From a table to a tree that is stored and served.

use crate::cuts::UNKNOWN;
use crate::table::{BinnedTable, Feature, MOST_BINS};
use crate::tree::{Input, Node, Test, Tree};
use crate::{Criterion, DecisionTree};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use tilewise_base::model_file::Writer;
use tilewise_base::{
    Column, Context, Dataset, Error, Field, Fit, FitReport, Kind, Model, ModelFile, Result, Roles, Task,
    predict_rows, roles,
};
use tilewise_kernels::{MatMut, MatRef, same};

/// A fitted tree with the columns it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeModel {
    params: DecisionTree,
    max_bins: usize,
    inputs: Vec<Field>,
    tree: Tree,
    target: String,
    task: Task,
    report: FitReport,
}

impl TreeModel {
    /// Fits a tree to the columns of `dataset`: classes if `classify`, else numbers.
    ///
    /// # Errors
    /// When a column or cell is not what its role needs (named), or a parameter is not accepted.
    pub fn fit(
        params: &DecisionTree,
        max_bins: usize,
        classify: bool,
        dataset: &Dataset,
        roles: &Roles,
        context: &Context<'_>,
    ) -> Result<Self> {
        if let Some(offset) = &roles.offset {
            return Err(Error::column(offset, "is an offset; a tree has no linear predictor to add it to"));
        }
        let names = roles.inputs(dataset)?;
        let columns = names.iter().map(|name| dataset.column(name)).collect::<Result<Vec<_>>>()?;
        let weights = roles.weights(dataset)?;
        let table = BinnedTable::from_columns(
            dataset.rows(),
            columns.len(),
            weights.as_deref(),
            max_bins,
            context.seed,
            |j, f| match columns[j] {
                Column::Categorical { codes, dictionary } => {
                    f(Feature::Categorical { codes, levels: dictionary.len() });
                }
                Column::F64(values) => f(Feature::Numeric(values)),
                column => {
                    let cells: Vec<f64> = (0..column.len()).map(|row| column.cell(row)).collect();
                    f(Feature::Numeric(&cells));
                }
            },
        )?;
        let (fit, task) = if classify {
            let (y, classes) = roles::classes(dataset, &roles.target)?;
            (params.fit_classes(&table, &y, classes.len(), context)?, Task::Classification { classes })
        } else {
            let y = roles::numbers(dataset, &roles.target)?;
            (params.fit_numbers(&table, &y, context)?, Task::Regression)
        };
        let Fit { model: tree, mut report } = fit;
        let inputs: Vec<Field> = names
            .iter()
            .zip(&columns)
            .map(|(name, c)| Field { name: name.clone(), kind: c.kind() })
            .collect();
        for (input, column) in inputs.iter().zip(&columns) {
            let missing = |row: usize| column.cell(row).is_nan();
            if (0..column.len()).all(missing) {
                report
                    .warnings
                    .push(format!("column {:?} has no value in any row and is not used", input.name));
            }
        }
        let (params, target) = (params.clone(), roles.target.clone());
        Ok(Self { params, max_bins, inputs, tree, target, task, report })
    }

    /// The tree behind the columns.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What it was fitted with.
    pub fn params(&self) -> &DecisionTree {
        &self.params
    }

    /// Reads a model from its file.
    ///
    /// # Errors
    /// When the file holds another kind of model, or parts that do not fit each other.
    pub fn from_file(file: &ModelFile<'_>) -> Result<Self> {
        let params: DecisionTree = file.metadata("params")?;
        params.check()?;
        let task: Task = file.metadata("task")?;
        let fields: Vec<Field> = file.metadata("inputs")?;
        let inputs: Vec<Input> = file.metadata("bins")?;
        let outputs = match &task {
            Task::Regression if matches!(params.criterion, Criterion::Auto | Criterion::Squared) => 1,
            Task::Classification { classes }
                if !classes.is_empty() && params.criterion != Criterion::Squared =>
            {
                classes.len()
            }
            _ => return Err(file.error("its task is not one that its criterion is made for")),
        };
        check_inputs(&fields, &inputs).map_err(|what| file.error(what))?;
        let count = file.shape("thresholds")?.first().copied().unwrap_or(0);
        let sets = file.shape("sets")?.first().copied().unwrap_or(0);
        let thresholds = file.tensor_f64("thresholds", &[count])?;
        let links = file.tensor_u32("nodes", &[count, LINKS])?;
        let (weights, gains) = (file.tensor_f64("weights", &[count])?, file.tensor_f64("gains", &[count])?);
        let sets = file.tensor_u32("sets", &[sets, SET])?;
        let values = file.tensor_f64("values", &[count, outputs])?;
        let nodes = links
            .chunks_exact(LINKS)
            .enumerate()
            .map(|(place, link)| node(place, link, thresholds[place], weights[place], gains[place], &sets))
            .collect::<Result<Vec<Node>, String>>()
            .and_then(|nodes| check_nodes(&nodes, &inputs).map(|()| nodes))
            .map_err(|what| file.error(what))?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(file.error("a value of a leaf is not finite"));
        }
        let tree = Tree { inputs, nodes, values, outputs };
        let (target, report) = (file.metadata("target")?, file.metadata("report")?);
        Ok(Self { params, max_bins: file.metadata("max_bins")?, inputs: fields, tree, target, task, report })
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
fn check_nodes(nodes: &[Node], inputs: &[Input]) -> Result<(), String> {
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
                let known = |bin: &u8| *bin == UNKNOWN || usize::from(*bin) < MOST_BINS;
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

impl Model for TreeModel {
    fn kind(&self) -> &str {
        "tree"
    }
    fn inputs(&self) -> &[Field] {
        &self.inputs
    }
    fn target(&self) -> &str {
        &self.target
    }
    fn task(&self) -> &Task {
        &self.task
    }
    fn report(&self) -> &FitReport {
        &self.report
    }

    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        same("columns of out", self.tree.outputs(), out.cols())?;
        if offset.is_some() {
            return Err(Error::Fit("a tree has no linear predictor to add an offset to".into()));
        }
        let numbers_of_a_node = size_of::<Node>() / size_of::<f64>();
        predict_rows(cells, out, numbers_of_a_node * (self.tree.depth() + 1), |_, row, out| {
            self.tree.predict_row(row, out);
            Ok(())
        })
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let metadata = serde_json::json!({
            "bins": self.tree.inputs,
            "inputs": self.inputs,
            "max_bins": self.max_bins,
            "params": self.params,
            "report": self.report,
            "target": self.target,
            "task": self.task,
        });
        let nodes = &self.tree.nodes;
        let (mut links, mut thresholds, mut sets) = (Vec::new(), Vec::new(), Vec::new());
        for node in nodes {
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
        let of = |f: fn(&Node) -> f64| nodes.iter().map(f).collect::<Vec<f64>>();
        Writer::new("tree", metadata)
            .tensor_f64("thresholds", &[nodes.len()], &thresholds)
            .tensor_u32("nodes", &[nodes.len(), LINKS], &links)
            .tensor_f64("weights", &[nodes.len()], &of(|node| node.weight))
            .tensor_f64("gains", &[nodes.len()], &of(|node| node.gain))
            .tensor_u32("sets", &[sets.len() / SET, SET], &sets)
            .tensor_f64("values", &[nodes.len(), self.tree.outputs], &self.tree.values)
            .to_bytes()
    }

    /// Importances, then the tree as text, its first 200 nodes.
    fn describe(&self) -> String {
        let tree = &self.tree;
        let mut text = format!("tree\n  {} leaves, depth {}\nimportance\n", tree.leaves(), tree.depth());
        let mut importances: Vec<(f64, &Field)> = tree.importances().into_iter().zip(&self.inputs).collect();
        importances.sort_by(|a, b| b.0.total_cmp(&a.0));
        let width = self.inputs.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
        for (importance, field) in importances {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {:width$}  {importance:.4}", field.name);
        }
        text += "splits\n";
        let mut lines = 0;
        if self.show(&mut text, &mut lines).is_break() {
            let _ = writeln!(text, "  and {} nodes more", tree.nodes.len().saturating_sub(lines));
        }
        text
    }
}

/// Nodes that a description shows at most.
const SHOWN: usize = 200;

impl TreeModel {
    fn show(&self, text: &mut String, lines: &mut usize) -> ControlFlow<()> {
        let mut next = vec![(0, 1)];
        while let Some((at, depth)) = next.pop() {
            if *lines == SHOWN {
                return ControlFlow::Break(());
            }
            *lines += 1;
            let node = &self.tree.nodes[at];
            let indent = "  ".repeat(depth);
            let what = match &node.test {
                None => self.prediction(at),
                Some(test) => format!(
                    "{}, missing {}",
                    self.test(node.feature as usize, test),
                    if node.missing_left { "left" } else { "right" }
                ),
            };
            let _ = writeln!(text, "{indent}{what} ({} rows)", node.rows);
            if node.test.is_some() {
                next.push((node.right as usize, depth + 1));
                next.push((node.left as usize, depth + 1));
            }
        }
        ControlFlow::Continue(())
    }

    fn prediction(&self, node: usize) -> String {
        let value = self.tree.value(node);
        match &self.task {
            Task::Regression => format!("{}", value[0]),
            Task::Classification { classes } => {
                let best = (0..value.len()).max_by(|&a, &b| value[a].total_cmp(&value[b]).then(b.cmp(&a)));
                let best = best.unwrap_or(0);
                format!("{:?} {:.3}", classes.get(best).map_or("", String::as_str), value[best])
            }
        }
    }

    fn test(&self, feature: usize, test: &Test) -> String {
        let field = &self.inputs[feature];
        match (test, &field.kind, &self.tree.inputs[feature]) {
            (Test::Bins(set), Kind::Categorical { dictionary }, Input::Category(bins)) => {
                let has = |bin: u8| bin != UNKNOWN && set[usize::from(bin / 64)] >> (bin % 64) & 1 == 1;
                let names: Vec<String> = dictionary
                    .iter()
                    .zip(bins)
                    .filter(|(_, bin)| has(**bin))
                    .map(|(name, _)| format!("{name:?}"))
                    .collect();
                format!("{} in {{{}}}", field.name, names.join(", "))
            }
            (Test::UpTo(threshold), ..) if *threshold == f64::INFINITY => format!("{} is there", field.name),
            (Test::UpTo(threshold), ..) => format!("{} <= {threshold}", field.name),
            (Test::Bins(_), ..) => field.name.clone(),
        }
    }
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
