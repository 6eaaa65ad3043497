//! From what a file says to trees.

use super::cells::{Reading, Rounded};
use super::model::{ForeignModel, Library, Scale};
use crate::{Ensemble, Link};
use std::collections::HashMap;
use std::sync::Arc;
use tilewise_base::{Field, FitReport, Kind, Task, Unseen};
use tilewise_kernels::tree::{Categories, MISSING};
use tilewise_tree::{Input, MOST_CATEGORIES, Node, Test, Tree};

/// A model as its file tells it, in terms that all libraries share.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) library: Library,
    /// The version that the file tells.
    pub(super) version: String,
    pub(super) features: Vec<Feature>,
    pub(super) trees: Vec<DraftTree>,
    pub(super) scale: Scale,
    pub(super) link: Link,
    pub(super) task: Task,
    /// Whether categories that are not in lists are refused.
    pub(super) refuses_unseen: bool,
}

/// An input.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) kind: FeatureKind,
}

#[derive(Debug)]
pub(super) enum FeatureKind {
    Number,
    /// Cells of 0 are missing.
    ZeroIsMissing,
    /// Cells are numbers of categories.
    Codes(Rounded),
    /// Cells are numbers, truths or text; the number of a category is its place here.
    Numbers(Vec<f64>),
    Truths(Vec<bool>),
    Texts(Vec<String>),
}

/// A tree that adds to a score. The root is node 0.
#[derive(Debug)]
pub(super) struct DraftTree {
    pub(super) score: usize,
    pub(super) nodes: Vec<DraftNode>,
}

#[derive(Debug)]
pub(super) enum DraftNode {
    Leaf { value: f64, weight: f64 },
    Split(DraftSplit),
}

#[derive(Debug)]
pub(super) struct DraftSplit {
    pub(super) feature: usize,
    pub(super) goes_left: GoesLeft,
    pub(super) missing_left: bool,
    pub(super) left: usize,
    pub(super) right: usize,
    /// `None` where the file does not tell: what it takes off the squared differences of leaves from their mean.
    pub(super) gain: Option<f64>,
}

/// Which cells that are not missing go left.
#[derive(Debug)]
pub(super) enum GoesLeft {
    UpTo(f64),
    Nothing,
    /// These categories.
    In(Vec<u32>),
    /// All others.
    NotIn(Vec<u32>),
}

impl DraftTree {
    fn splits(&self) -> impl Iterator<Item = &DraftSplit> {
        self.nodes.iter().filter_map(|node| match node {
            DraftNode::Split(split) => Some(split),
            DraftNode::Leaf { .. } => None,
        })
    }
}

impl Draft {
    pub(super) fn build(self) -> Result<ForeignModel, String> {
        if self.trees.is_empty() {
            return Err("has no trees".to_owned());
        }
        let mut names: Vec<&str> = self.features.iter().map(|feature| feature.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two features are called {:?}", pair[0]));
        }
        let mut sets: Vec<Vec<&[u32]>> = vec![Vec::new(); self.features.len()];
        for (number, tree) in self.trees.iter().enumerate() {
            for split in tree.splits() {
                let in_tree = |what: String| format!("tree {number}: {what}");
                let count = self.features.len();
                let feature = self.features.get(split.feature).ok_or_else(|| {
                    in_tree(format!("tests feature {}, of which there are {count}", split.feature))
                })?;
                let is_number = matches!(feature.kind, FeatureKind::Number | FeatureKind::ZeroIsMissing);
                match &split.goes_left {
                    GoesLeft::UpTo(_) | GoesLeft::Nothing if is_number => {}
                    GoesLeft::In(set) | GoesLeft::NotIn(set) if !is_number => sets[split.feature].push(set),
                    _ => {
                        let what = "is tested both as a number and as a category, which is not read";
                        return Err(in_tree(format!("feature {:?} {what}", feature.name)));
                    }
                }
            }
        }
        let inputs: Vec<Built> = self
            .features
            .iter()
            .zip(&sets)
            .map(|(feature, sets)| Built::new(feature, sets))
            .collect::<Result<_, _>>()?;
        let read: Vec<Input> = inputs.iter().map(|input| input.input.clone()).collect();
        let read = Input::all_with(&read, Unseen::Majority);
        let mut of_scores = vec![Vec::new(); self.scale.plus.len()];
        let mut order = Vec::with_capacity(self.trees.len());
        for (number, tree) in self.trees.iter().enumerate() {
            let in_tree = |what: String| format!("tree {number}: {what}");
            let scores = of_scores.len();
            let of_score = of_scores.get_mut(tree.score).ok_or_else(|| {
                in_tree(format!("adds to score {}, of which there are {scores}", tree.score))
            })?;
            of_score.push(finished(tree, &inputs, &read).map_err(in_tree)?);
            order.push(tree.score as u32);
        }
        let zeros = vec![0.0; self.scale.plus.len()];
        let ensemble = Ensemble::new(zeros, of_scores).map_err(|e| e.to_string())?;
        let report = FitReport {
            converged: true,
            stopped: format!("trained by {} (model format {})", self.library.name(), self.version),
            objective: f64::NAN,
            optimality: 0.0,
            rounds: 0,
            warnings: Vec::new(),
        };
        let (fields, readings) = inputs.into_iter().map(|input| (input.field, input.reading)).unzip();
        let model = ForeignModel {
            library: self.library,
            inputs: fields,
            readings,
            ensemble,
            order,
            scale: self.scale,
            link: self.link,
            task: self.task,
            refuses_unseen: self.refuses_unseen,
            report,
        };
        model.check().map(|()| model)
    }
}

/// An input as trees and tables know it.
struct Built {
    field: Field,
    reading: Reading,
    input: Input,
    /// The place of a category by its number, where that is another one.
    places: Option<HashMap<u32, u32>>,
}

impl Built {
    fn new(feature: &Feature, sets: &[&[u32]]) -> Result<Self, String> {
        let name = &feature.name;
        let codes = |count: usize| {
            u32::try_from(count).map_err(|_| format!("feature {name:?} has too many categories"))
        };
        // The kind of the column, how it is read, and how many categories there are, with their places by number.
        let (kind, reading, places): (Kind, Reading, Vec<u32>) = match &feature.kind {
            FeatureKind::Number | FeatureKind::ZeroIsMissing => {
                let zero = matches!(feature.kind, FeatureKind::ZeroIsMissing);
                let reading = if zero { Reading::ZeroIsMissing } else { Reading::AsIs };
                let field = Field { name: name.clone(), kind: Kind::Numeric };
                return Ok(Self { field, reading, input: Input::Number, places: None });
            }
            FeatureKind::Codes(rounded) => {
                let mut used: Vec<u32> = sets.iter().copied().flatten().copied().collect();
                used.sort_unstable();
                used.dedup();
                let of = used.iter().map(|&code| f64::from(code)).collect();
                let places = used.iter().enumerate().map(|(place, &code)| (code, place as u32)).collect();
                let reading = Reading::Places { of, rounded: *rounded };
                return Self::with(name, Kind::Numeric, reading, used.len(), places, sets);
            }
            FeatureKind::Numbers(numbers) => {
                let (of, places) = ranked(numbers, |a, b| a.total_cmp(b));
                // Both zeros are one number to whoever looks for it.
                let of: Vec<f64> = of.into_iter().map(|x| x + 0.0).collect();
                if !of.is_sorted_by(|a, b| a < b) {
                    return Err(format!(
                        "the list of the categories of {name:?} has one twice, or one that is no number"
                    ));
                }
                (Kind::Numeric, Reading::Places { of, rounded: Rounded::Not }, places)
            }
            FeatureKind::Truths(truths) => {
                let numbers: Vec<f64> = truths.iter().map(|&truth| f64::from(u8::from(truth))).collect();
                let (of, places) = ranked(&numbers, |a, b| a.total_cmp(b));
                if !of.is_sorted_by(|a, b| a < b) {
                    return Err(format!("the list of the categories of {name:?} has one twice"));
                }
                (Kind::Boolean, Reading::Places { of, rounded: Rounded::Not }, places)
            }
            FeatureKind::Texts(texts) => {
                let (dictionary, places) = ranked(texts, |a, b| a.cmp(b));
                if !dictionary.is_sorted_by(|a, b| a < b) {
                    return Err(format!("the list of the categories of {name:?} has one twice"));
                }
                (Kind::Categorical { dictionary }, Reading::AsIs, places)
            }
        };
        let count = codes(places.len())?;
        let by_code = (0..count).zip(places).collect();
        Self::with(name, kind, reading, count as usize, by_code, sets)
    }

    /// Categories that no set tells apart share a bin; those of no set have none.
    fn with(
        name: &str,
        kind: Kind,
        reading: Reading,
        count: usize,
        places: HashMap<u32, u32>,
        sets: &[&[u32]],
    ) -> Result<Self, String> {
        // Classes are divided by one set after the other: what of a class is in the set becomes a new one.
        let mut class = vec![0; count];
        let mut classes = 1;
        for set in sets {
            let mut divided: HashMap<u32, u32> = HashMap::new();
            let mut seen: Vec<u32> = set.iter().filter_map(|code| places.get(code).copied()).collect();
            seen.sort_unstable();
            seen.dedup();
            for place in seen {
                let class = &mut class[place as usize];
                *class = *divided.entry(*class).or_insert_with(|| {
                    classes += 1;
                    classes - 1
                });
            }
        }
        // In the order in which categories have them. Class 0 is in no set.
        let mut bins: HashMap<u32, u8> = HashMap::new();
        let mut bin_of = vec![MISSING; count];
        for (bin, class) in bin_of.iter_mut().zip(&class).filter(|(_, class)| **class != 0) {
            let next = bins.len();
            if next >= MOST_CATEGORIES && !bins.contains_key(class) {
                return Err(format!(
                    "feature {name:?} has more than {MOST_CATEGORIES} groups of categories that its splits tell apart; so many are read"
                ));
            }
            *bin = *bins.entry(*class).or_insert(next as u8);
        }
        let field = Field { name: name.to_owned(), kind };
        Ok(Self { field, reading, input: Input::Category(Categories::from(bin_of)), places: Some(places) })
    }

    /// The bins of a set of categories; the others, with that of categories that no set has, if it is turned round.
    fn bins(&self, set: &[u32], others: bool) -> [u64; 4] {
        let (Input::Category(categories), Some(places)) = (&self.input, &self.places) else { return [0; 4] };
        let bins = categories.bins();
        let mut words = [0; 4];
        for place in set.iter().filter_map(|code| places.get(code)) {
            let bin = usize::from(bins[*place as usize]);
            words[bin / 64] |= 1 << (bin % 64);
        }
        if others {
            let behind =
                bins.iter().filter(|&&bin| bin != MISSING).max().map_or(0, |&bin| usize::from(bin) + 1);
            for bin in 0..=behind {
                words[bin / 64] ^= 1 << (bin % 64);
            }
        }
        words
    }
}

/// The values in order, and for each its place there.
fn ranked<T: Clone>(values: &[T], by: impl Fn(&T, &T) -> std::cmp::Ordering) -> (Vec<T>, Vec<u32>) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| by(&values[a], &values[b]));
    let mut places = vec![0; values.len()];
    order.iter().enumerate().for_each(|(place, &code)| places[code] = place as u32);
    (order.into_iter().map(|code| values[code].clone()).collect(), places)
}

/// The tree, if its nodes are one: each before those below it, left before right.
fn finished(draft: &DraftTree, inputs: &[Built], read: &Arc<[Input]>) -> Result<Tree, String> {
    let (mut nodes, mut values) = (Vec::with_capacity(draft.nodes.len()), Vec::new());
    let mut seen = vec![false; draft.nodes.len()];
    let mut next: Vec<(usize, Option<usize>)> = vec![(0, None)];
    while let Some((at, parent)) = next.pop() {
        let here = nodes.len() as u32;
        let Some(node) = draft.nodes.get(at) else {
            return Err(format!("a child is node {at}, of which there are {}", draft.nodes.len()));
        };
        if std::mem::replace(&mut seen[at], true) {
            return Err(format!("node {at} has two parents, or is above itself"));
        }
        if let Some(parent) = parent {
            let parent: &mut Node = &mut nodes[parent];
            parent.right = here;
        }
        let leaf = Node::leaf(here, 0);
        match node {
            DraftNode::Leaf { value, weight } => {
                nodes.push(Node { weight: *weight, ..leaf });
                values.push(*value);
            }
            DraftNode::Split(split) => {
                let DraftSplit { feature, goes_left, missing_left, left, right, gain } = split;
                let (test, turned) = match goes_left {
                    GoesLeft::UpTo(threshold) => (Test::UpTo(*threshold), false),
                    // All that is there goes to the other side.
                    GoesLeft::Nothing => (Test::UpTo(f64::INFINITY), true),
                    GoesLeft::In(set) => (Test::Bins(inputs[*feature].bins(set, false)), false),
                    GoesLeft::NotIn(set) => (Test::Bins(inputs[*feature].bins(set, true)), false),
                };
                let (left, right) = if turned { (*right, *left) } else { (*left, *right) };
                nodes.push(Node {
                    feature: *feature as u32,
                    test: Some(test),
                    missing_left: *missing_left != turned,
                    left: here + 1,
                    gain: gain.unwrap_or(f64::NAN),
                    ..leaf
                });
                values.push(0.0);
                next.push((right, Some(here as usize)));
                next.push((left, None));
            }
        }
    }
    // Weights, means and gains by what is below.
    let draft_gains = draft.splits().all(|split| split.gain.is_some());
    for at in (0..nodes.len()).rev() {
        if nodes[at].test.is_none() {
            continue;
        }
        let (left, right) = (at + 1, nodes[at].right as usize);
        let (a, b) = (nodes[left].weight, nodes[right].weight);
        nodes[at].weight = a + b;
        let share = if a + b > 0.0 { a / (a + b) } else { 0.5 };
        values[at] = share * values[left] + (1.0 - share) * values[right];
        let told = match draft_gains {
            true => nodes[at].gain,
            false => (a + b) * share * (1.0 - share) * (values[left] - values[right]).powi(2),
        };
        nodes[at].gain = if told.is_nan() { 0.0 } else { told.clamp(f64::MIN, f64::MAX) };
    }
    for node in &mut nodes {
        node.rows = node.weight.round() as u32;
    }
    Tree::from_nodes(Arc::clone(read), &nodes, values, 1).map_err(|e| e.to_string())
}
