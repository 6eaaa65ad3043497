//! ONNX: one operator of trees, which reads a tensor `cells` of f32, rows x inputs.
//!
//! `TreeEnsembleRegressor` writes `prediction`, rows x numbers, behind an `Exp` where the link is one. `TreeEnsembleClassifier` writes
//! `label`, the most probable class of each row (of several the first), and `probabilities`, rows x classes. Shares of classes are numbers
//! of a regressor, of which `ArgMax` finds the largest and `LabelEncoder` tells its name: two classes without a transform ONNX
//! Runtime labels by whether the second is above 0, or above 1/2 if all leaves are.
//!
//! Two classes get scores of s and -s, s being the one that there is or the second minus the first: what runtimes make of a classifier
//! with one score depends on whether all leaves are positive, and ONNX Runtime labels two classes by the sign of the second's. Scores start with a tree of one leaf: of two classes ONNX Runtime takes `base_values` for those of one
//! score, whatever the leaves say.

use super::sum::{Ask, Sum, places};
use super::{narrow, no_link};
use crate::Link;
use tilewise_base::Task;
use tilewise_base::onnx::{Attribute, COLUMNS, FLOAT, Graph, MODELS, Node, STRING, ValueInfo, Version, file};
use tilewise_kernels::f32_up_to;
use tilewise_tree::Tree;

/// Of the operators for models, those of ONNX 1.4; of the others those of ONNX 1.8.
const TREES: i64 = 2;
const OTHERS: i64 = 13;
const IR: i64 = 7;

pub(super) fn write(sum: &Sum<'_>, notes: &mut Vec<String>) -> Result<Vec<u8>, String> {
    let transform = match (sum.link, sum.task) {
        (Link::Identity | Link::Exp, _) => "NONE",
        (Link::Logistic, Task::Classification { .. }) => "LOGISTIC",
        (Link::Softmax, Task::Classification { classes }) if classes.len() == 2 => "LOGISTIC",
        (Link::Softmax, Task::Classification { .. }) => "SOFTMAX",
        (link, _) => return Err(no_link(link)),
    };
    let mut trees = Trees { of_two: transform == "LOGISTIC", ..Trees::default() };
    if sum.starts() {
        let starts: Vec<(usize, f64)> = match (trees.of_two, &sum.base[..]) {
            (true, [second]) => vec![(1, *second)],
            (true, [first, second]) => vec![(1, second - first)],
            (_, base) => base.iter().copied().enumerate().collect(),
        };
        trees.push_leaf(0, starts).map_err(|what| format!("its start: {what}"))?;
        trees.number += 1;
    }
    for (number, (tree, first)) in sum.trees.iter().enumerate() {
        trees.push(sum, tree, *first).map_err(|what| format!("tree {number}: {what}"))?;
    }
    let Trees { nodes, leaves, .. } = trees;
    let mut attributes = nodes.attributes();
    attributes.push(Attribute::string("post_transform", transform));
    const CELLS: &str = "cells";
    let (nodes, outputs) = if let Task::Classification { classes } = sum.task {
        let names = ["label", "probabilities"];
        let [label, probabilities] = names;
        let texts = classes.iter().map(String::as_str);
        let nodes = if sum.link == Link::Identity {
            // Shares need no more than the name of the largest.
            attributes.extend(leaves.attributes("target"));
            attributes.push(Attribute::int("n_targets", sum.scores() as i64));
            let largest = vec![Attribute::int("axis", 1), Attribute::int("keepdims", 0)];
            let keys = Attribute::ints("keys_int64s", (0..classes.len() as i64).collect());
            let names = vec![keys, Attribute::strings("values_strings", texts)];
            vec![
                Node::new("TreeEnsembleRegressor", MODELS, &[CELLS], &[probabilities], attributes),
                Node::new("ArgMax", "", &[probabilities], &["number"], largest),
                Node::new("LabelEncoder", MODELS, &["number"], &[label], names),
            ]
        } else {
            attributes.extend(leaves.attributes("class"));
            attributes.push(Attribute::strings("classlabels_strings", texts));
            vec![Node::new("TreeEnsembleClassifier", MODELS, &[CELLS], &names, attributes)]
        };
        let columns = Some(classes.len());
        (nodes, vec![ValueInfo::rows(label, STRING, None), ValueInfo::rows(probabilities, FLOAT, columns)])
    } else {
        attributes.extend(leaves.attributes("target"));
        attributes.push(Attribute::int("n_targets", sum.scores() as i64));
        let prediction = "prediction";
        let of_trees = if sum.link == Link::Exp { "score" } else { prediction };
        let mut nodes = vec![Node::new("TreeEnsembleRegressor", MODELS, &[CELLS], &[of_trees], attributes)];
        if sum.link == Link::Exp {
            nodes.push(Node::new("Exp", "", &[of_trees], &[prediction], Vec::new()));
        }
        (nodes, vec![ValueInfo::rows(prediction, FLOAT, Some(sum.scores()))])
    };
    let graph = Graph {
        node: nodes,
        name: "trees".to_owned(),
        input: vec![ValueInfo::rows(CELLS, FLOAT, Some(sum.inputs.len()))],
        output: outputs,
        ..Graph::default()
    };
    let version = Version { ir: IR, operators: &[(MODELS, TREES), ("", OTHERS)] };
    notes.push(COLUMNS.to_owned());
    file(graph, version, sum.inputs, &sum.targets).map_err(|e| e.to_string())
}

/// The nodes of all trees.
#[derive(Default)]
struct Trees {
    number: i64,
    /// Whether what is added to the score of one of two classes is taken off that of the other; one score is the second's.
    of_two: bool,
    nodes: Nodes,
    leaves: Leaves,
}

#[derive(Default)]
struct Nodes {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    features: Vec<i64>,
    values: Vec<f32>,
    modes: Vec<&'static str>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing_yes: Vec<i64>,
}

/// What leaves add, an item for each number.
#[derive(Default)]
struct Leaves {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    scores: Vec<i64>,
    values: Vec<f32>,
}

/// What a node does.
enum Does {
    Leaf,
    UpTo(f32),
    Is(f32),
}

impl Nodes {
    fn push(
        &mut self,
        tree: i64,
        node: i64,
        feature: u32,
        does: &Does,
        children: [i64; 2],
        missing_yes: bool,
    ) {
        let (mode, value) = match does {
            Does::Leaf => ("LEAF", 0.0),
            Does::UpTo(value) => ("BRANCH_LEQ", *value),
            Does::Is(value) => ("BRANCH_EQ", *value),
        };
        self.trees.push(tree);
        self.nodes.push(node);
        self.features.push(feature.into());
        self.values.push(value);
        self.modes.push(mode);
        self.yes.push(children[0]);
        self.no.push(children[1]);
        self.missing_yes.push(missing_yes.into());
    }

    fn attributes(self) -> Vec<Attribute> {
        vec![
            Attribute::ints("nodes_treeids", self.trees),
            Attribute::ints("nodes_nodeids", self.nodes),
            Attribute::ints("nodes_featureids", self.features),
            Attribute::floats("nodes_values", self.values),
            Attribute::strings("nodes_modes", self.modes),
            Attribute::ints("nodes_truenodeids", self.yes),
            Attribute::ints("nodes_falsenodeids", self.no),
            Attribute::ints("nodes_missing_value_tracks_true", self.missing_yes),
        ]
    }
}

impl Leaves {
    fn push(&mut self, tree: i64, node: i64, score: usize, value: f32) {
        self.trees.push(tree);
        self.nodes.push(node);
        self.scores.push(score as i64);
        self.values.push(value);
    }

    fn attributes(self, of: &str) -> [Attribute; 4] {
        [
            Attribute::ints(&format!("{of}_treeids"), self.trees),
            Attribute::ints(&format!("{of}_nodeids"), self.nodes),
            Attribute::ints(&format!("{of}_ids"), self.scores),
            Attribute::floats(&format!("{of}_weights"), self.values),
        ]
    }
}

impl Trees {
    fn push(&mut self, sum: &Sum<'_>, tree: &Tree, first: usize) -> Result<(), String> {
        let asks: Vec<Option<Question>> = tree
            .nodes()
            .map(|node| node.test.as_ref().map(|test| Question::new(sum.ask(tree, &node, test))))
            .collect();
        // A question about categories takes a node for each that has an answer of its own; the first has the question's number.
        let mut next = 0;
        let numbers: Vec<i64> = asks
            .iter()
            .map(|ask| {
                let number = next;
                next += ask.as_ref().map_or(1, Question::nodes);
                number
            })
            .collect();
        let id = self.number;
        // One score is the second's of two classes.
        let score = first + usize::from(sum.link == Link::Logistic);
        for (at, (node, ask)) in tree.nodes().zip(&asks).enumerate() {
            let here = numbers[at];
            let children = [numbers[node.left as usize], numbers[node.right as usize]];
            match ask {
                None => {
                    let numbers =
                        tree.numbers(at).enumerate().map(|(output, x)| (score + output, x / sum.over));
                    self.push_leaf(here, numbers)?;
                }
                Some(Question::UpTo(threshold)) => {
                    self.nodes.push(
                        id,
                        here,
                        node.feature,
                        &Does::UpTo(*threshold),
                        children,
                        node.missing_left,
                    );
                }
                Some(Question::OneOf { codes, left }) => {
                    let [yes, other] = if *left { children } else { [children[1], children[0]] };
                    for (number, code) in codes.iter().enumerate() {
                        let number = here + number as i64;
                        let last = number + 1 == here + codes.len() as i64;
                        let no = if last { other } else { number + 1 };
                        let missing_yes = node.missing_left == *left;
                        self.nodes.push(
                            id,
                            number,
                            node.feature,
                            &Does::Is(*code as f32),
                            [yes, no],
                            missing_yes,
                        );
                    }
                }
            }
        }
        self.number += 1;
        Ok(())
    }

    /// A leaf of the tree that is being written, by scores and what it adds to them.
    fn push_leaf(
        &mut self,
        node: i64,
        numbers: impl IntoIterator<Item = (usize, f64)>,
    ) -> Result<(), String> {
        self.nodes.push(self.number, node, 0, &Does::Leaf, [0, 0], false);
        for (score, value) in numbers {
            let value = narrow(value, "what a leaf adds")?;
            if self.of_two {
                self.leaves.push(self.number, node, 1 - score, -value);
            }
            self.leaves.push(self.number, node, score, value);
        }
        Ok(())
    }
}

/// What a split asks, in terms of ONNX.
enum Question {
    UpTo(f32),
    /// These go to one side, all others, and what the dictionary lacks, to the other.
    OneOf {
        codes: Vec<u32>,
        left: bool,
    },
}

impl Question {
    fn new(ask: Ask) -> Self {
        match ask {
            Ask::UpTo(threshold) => Self::UpTo(f32_up_to(threshold)),
            Ask::OneOf(categories) => {
                let left = categories.last() != Some(&true);
                let mut codes = places(&categories, left);
                if codes.is_empty() {
                    // Missing ones alone go there: a number that no category has.
                    codes.push(categories.len() as u32);
                }
                Self::OneOf { codes, left }
            }
        }
    }

    fn nodes(&self) -> i64 {
        match self {
            Self::UpTo(_) => 1,
            Self::OneOf { codes, .. } => codes.len() as i64,
        }
    }
}
