//! LightGBM's text, version 4; `foreign/lightgbm.rs` tells what its lines mean.

use super::no_link;
use super::sum::{Ask, Sum, places};
use crate::{Link, Loss};
use std::fmt::{Display, LowerExp, Write};
use tilewise_base::{Field, Kind, Task};
use tilewise_tree::Tree;

/// Flags of `decision_type`.
const CATEGORY: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const NAN_IS_MISSING: u8 = 8;

pub(super) fn write(sum: &Sum<'_>, notes: &mut Vec<String>) -> Result<Vec<u8>, String> {
    let objective = objective(sum, notes)?;
    let is_space = |c: char| c.is_whitespace() || c.is_control();
    let names = sum.names(is_space, "spaces", notes)?;
    let mut blocks = Vec::new();
    if sum.starts() {
        // 0 + the start is the start, so the sums that follow are ours.
        sum.base.iter().for_each(|base| blocks.push(one_leaf(*base)));
    }
    for (tree, _) in &sum.trees {
        for output in 0..tree.outputs() {
            blocks.push(block(sum, tree, output)?);
        }
    }
    let blocks: Vec<String> =
        blocks.iter().enumerate().map(|(number, block)| format!("Tree={number}\n{block}\n\n")).collect();
    let sizes: Vec<usize> = blocks.iter().map(String::len).collect();
    let infos: Vec<String> = sum
        .inputs
        .iter()
        .map(|field| match &field.kind {
            Kind::Categorical { dictionary } => {
                joined(&(0..dictionary.len().max(1)).collect::<Vec<_>>(), ":")
            }
            _ => "[-inf:inf]".to_owned(),
        })
        .collect();
    let scores = sum.scores();
    let mut text = format!(
        "tree\nversion=v4\nnum_class={scores}\nnum_tree_per_iteration={scores}\nlabel_index=0\nmax_feature_idx={}\n",
        sum.inputs.len() - 1
    );
    if let Some(objective) = objective {
        text += &format!("objective={objective}\n");
    }
    if sum.over != 1.0 {
        text += "average_output\n";
    }
    text += &format!("feature_names={}\nfeature_infos={}\n", names.join(" "), infos.join(" "));
    text += &format!("tree_sizes={}\n\n", joined(&sizes, " "));
    text += &blocks.concat();
    text += "end of trees\n\nfeature_importances:\n\nparameters:\n";
    let dictionary = |(column, field): (usize, &Field)| match &field.kind {
        Kind::Categorical { dictionary } => Some((column, dictionary.clone())),
        _ => None,
    };
    let (columns, lists): (Vec<usize>, Vec<Vec<String>>) =
        sum.inputs.iter().enumerate().filter_map(dictionary).unzip();
    text += &format!("[categorical_feature: {}]\nend of parameters\n\n", joined(&columns, ","));
    let lists = if lists.is_empty() { "null".to_owned() } else { json(&lists)? };
    text += &format!("pandas_categorical:{lists}\n");
    Ok(text.into_bytes())
}

/// As ASCII, as LightGBM's package writes it: it looks for the line from the end of the file.
fn json(lists: &[Vec<String>]) -> Result<String, String> {
    let text = serde_json::to_string(lists).map_err(|e| e.to_string())?;
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii += &format!("\\u{unit:04x}"));
        }
    }
    Ok(ascii)
}

/// The objective's line; none where the scores are what is predicted and there are several.
fn objective(sum: &Sum<'_>, notes: &mut Vec<String>) -> Result<Option<String>, String> {
    let name = match (sum.link, sum.loss) {
        (Link::Identity, Some(Loss::Absolute)) => "regression_l1",
        (Link::Identity, Some(Loss::Huber { .. })) => "huber",
        (Link::Identity, Some(Loss::Quantile { .. })) => "quantile",
        (Link::Identity, Some(Loss::LambdaRank { .. })) => "lambdarank",
        (Link::Identity, _) if *sum.task == Task::Regression => "regression",
        (Link::Identity, _) => return Ok(None),
        (Link::Exp, Some(Loss::Gamma)) => "gamma",
        (Link::Exp, Some(Loss::Tweedie { .. })) => "tweedie",
        (Link::Exp, loss) => {
            if loss != Some(Loss::Poisson) {
                notes.push("the objective is called poisson, which predicts by the same link".to_owned());
            }
            "poisson"
        }
        (Link::Logistic, _) => "binary sigmoid:1",
        (Link::Softmax, _) => return Ok(Some(format!("multiclass num_class:{}", sum.scores()))),
        (link, _) => return Err(no_link(link)),
    };
    Ok(Some(name.to_owned()))
}

fn one_leaf(value: f64) -> String {
    format!(
        "num_leaves=1\nnum_cat=0\nsplit_feature=\nsplit_gain=\nthreshold=\ndecision_type=\nleft_child=\nright_child=\n\
         leaf_value={value:e}\nleaf_weight=\nleaf_count=0\ninternal_value=\ninternal_weight=\ninternal_count=\nis_linear=0\nshrinkage=1\n"
    )
}

/// The numbers of a tree, in the order of splits or leaves.
#[derive(Default)]
struct Lists {
    features: Vec<u32>,
    gains: Vec<f64>,
    thresholds: Vec<f64>,
    kinds: Vec<u8>,
    left: Vec<i64>,
    right: Vec<i64>,
    of_splits: Values,
    of_leaves: Values,
    /// Of sets, where the words of each end.
    ends: Vec<usize>,
    words: Vec<u32>,
}

#[derive(Default)]
struct Values {
    values: Vec<f64>,
    weights: Vec<f64>,
    rows: Vec<u32>,
}

/// A tree that has one number in its leaves.
fn block(sum: &Sum<'_>, tree: &Tree, output: usize) -> Result<String, String> {
    let value = |at: usize| tree.numbers(at).nth(output).unwrap_or(f64::NAN);
    if tree.len() == 1 {
        return Ok(one_leaf(value(0)));
    }
    // Splits and leaves are numbered apart; leaf k is child -1 - k.
    let (mut splits, mut leaves) = (0, 0);
    let numbers: Vec<i64> = tree
        .nodes()
        .map(|node| {
            let next = if node.test.is_some() { &mut splits } else { &mut leaves };
            *next += 1;
            if node.test.is_some() { *next - 1 } else { -*next }
        })
        .collect();
    let mut lists = Lists::default();
    for (at, node) in tree.nodes().enumerate() {
        let of_node = if node.test.is_some() { &mut lists.of_splits } else { &mut lists.of_leaves };
        of_node.values.push(value(at));
        of_node.weights.push(node.weight);
        of_node.rows.push(node.rows);
        let Some(test) = &node.test else { continue };
        let (mut left, mut right) = (numbers[node.left as usize], numbers[node.right as usize]);
        let (threshold, kind) = match sum.ask(tree, &node, test) {
            Ask::UpTo(threshold) => (threshold, if node.missing_left { DEFAULT_LEFT } else { 0 }),
            Ask::OneOf(categories) => {
                // Missing ones are in no set and go right.
                if node.missing_left {
                    std::mem::swap(&mut left, &mut right);
                }
                lists.push_set(&places(&categories, !node.missing_left));
                (lists.ends.len() as f64 - 1.0, CATEGORY)
            }
        };
        lists.features.push(node.feature);
        lists.gains.push(node.gain);
        lists.thresholds.push(threshold);
        lists.kinds.push(kind | NAN_IS_MISSING);
        lists.left.push(left);
        lists.right.push(right);
    }
    lists.text()
}

impl Lists {
    /// Adds a set as words of bits; an empty one has a word, too.
    fn push_set(&mut self, set: &[u32]) {
        let start = self.words.len();
        self.words.resize(start + 1 + set.last().map_or(0, |last| *last as usize / 32), 0);
        set.iter().for_each(|place| self.words[start + *place as usize / 32] |= 1 << (place % 32));
        self.ends.push(self.words.len());
    }

    fn text(&self) -> Result<String, String> {
        let Self { of_splits, of_leaves, .. } = self;
        let mut text = format!("num_leaves={}\nnum_cat={}\n", of_leaves.values.len(), self.ends.len());
        let mut line = |key: &str, list: String| writeln!(text, "{key}={list}").map_err(|e| e.to_string());
        line("split_feature", joined(&self.features, " "))?;
        line("split_gain", numbers(&self.gains))?;
        line("threshold", numbers(&self.thresholds))?;
        line("decision_type", joined(&self.kinds, " "))?;
        line("left_child", joined(&self.left, " "))?;
        line("right_child", joined(&self.right, " "))?;
        line("leaf_value", numbers(&of_leaves.values))?;
        line("leaf_weight", numbers(&of_leaves.weights))?;
        line("leaf_count", joined(&of_leaves.rows, " "))?;
        line("internal_value", numbers(&of_splits.values))?;
        line("internal_weight", numbers(&of_splits.weights))?;
        line("internal_count", joined(&of_splits.rows, " "))?;
        if !self.ends.is_empty() {
            line("cat_boundaries", joined(&[&[0], &self.ends[..]].concat(), " "))?;
            line("cat_threshold", joined(&self.words, " "))?;
        }
        line("is_linear", "0".to_owned())?;
        line("shrinkage", "1".to_owned())?;
        Ok(text)
    }
}

fn joined<T: Display>(list: &[T], between: &str) -> String {
    list.iter().map(T::to_string).collect::<Vec<_>>().join(between)
}

/// As the shortest texts that read back to the same bits.
fn numbers<T: LowerExp>(list: &[T]) -> String {
    list.iter().map(|x| format!("{x:e}")).collect::<Vec<_>>().join(" ")
}
