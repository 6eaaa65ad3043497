//! XGBoost's JSON as version 2.1 writes it, which 3.x reads too; `foreign/xgboost.rs` tells what its fields mean.
//!
//! Cells of infinity, which XGBoost's tables refuse, may go elsewhere where a split asks whether a number is there.
//!
//! `base_score` is told in other ways by 3.1 and later, and goes through the link in f32, where a start near a probability of 1 would
//! lose most of its digits. So here it is the one of score 0, and scores start with trees of one leaf.

use super::sum::{Ask, Sum, places};
use super::{narrow, no_link};
use crate::{Link, Loss};
use serde::Serialize;
use serde_json::{Value, json};
use tilewise_base::{Field, Kind, Task};
use tilewise_kernels::f32_above;
use tilewise_tree::Tree;

/// The parent of a root.
const NONE: u32 = i32::MAX as u32;

/// A model of 2.1.
const VERSION: [u32; 3] = [2, 1, 4];

pub(super) fn write(sum: &Sum<'_>, notes: &mut Vec<String>) -> Result<Vec<u8>, String> {
    let (objective, base_score) = objective(sum, notes)?;
    let names = sum.names(|c| matches!(c, '[' | ']' | '<'), "[, ] and <", notes)?;
    let (mut trees, mut scores) = (Vec::new(), Vec::new());
    if sum.starts() {
        for (score, base) in sum.base.iter().enumerate() {
            trees.push(TreeText::leaf(narrow(*base, "what a score starts with")?));
            scores.push(score);
        }
    }
    for (tree, first) in &sum.trees {
        for output in 0..tree.outputs() {
            let number = trees.len();
            trees.push(TreeText::new(sum, tree, output).map_err(|what| format!("tree {number}: {what}"))?);
            scores.push(first + output);
        }
    }
    for (id, tree) in trees.iter_mut().enumerate() {
        tree.id = id;
        tree.tree_param = json!({
            "num_deleted": "0",
            "num_feature": sum.inputs.len().to_string(),
            "num_nodes": tree.left_children.len().to_string(),
            "size_leaf_vector": "1",
        });
    }
    let classes = if sum.link == Link::Softmax { sum.scores() } else { 0 };
    let targets = if sum.link == Link::Softmax { 1 } else { sum.scores() };
    let kind = |field: &Field| if is_category(field) { "c" } else { "float" };
    let indptr: Vec<usize> = (0..=trees.len()).step_by(sum.scores()).collect();
    let file = File {
        learner: Learner {
            attributes: json!({}),
            feature_names: names,
            feature_types: sum.inputs.iter().map(kind).collect(),
            gradient_booster: Booster {
                model: Model {
                    cats: cats(sum.inputs),
                    gbtree_model_param: json!({ "num_parallel_tree": "1", "num_trees": trees.len().to_string() }),
                    iteration_indptr: indptr,
                    tree_info: scores,
                    trees,
                },
                name: "gbtree",
            },
            learner_model_param: json!({
                "base_score": base_score,
                "boost_from_average": "0",
                "num_class": classes.to_string(),
                "num_feature": sum.inputs.len().to_string(),
                "num_target": targets.to_string(),
            }),
            objective,
        },
        version: VERSION,
    };
    serde_json::to_vec(&file).map_err(|e| e.to_string())
}

fn is_category(field: &Field) -> bool {
    matches!(field.kind, Kind::Categorical { .. })
}

/// The objective with its parameters, and the base score that is a score of 0.
fn objective(sum: &Sum<'_>, notes: &mut Vec<String>) -> Result<(Value, &'static str), String> {
    let plain = |name: &str| json!({ "name": name, "reg_loss_param": { "scale_pos_weight": "1" } });
    Ok(match (sum.link, sum.loss) {
        (Link::Identity, Some(Loss::Absolute)) => (plain("reg:absoluteerror"), "0E0"),
        (Link::Identity, Some(Loss::Huber { delta })) => {
            notes.push("the objective is called reg:pseudohubererror: XGBoost has no Huber loss with a corner".to_owned());
            (json!({ "name": "reg:pseudohubererror", "pseudo_huber_param": { "huber_slope": text(delta) } }), "0E0")
        }
        (Link::Identity, Some(Loss::Quantile { quantile })) => {
            let param = json!({ "quantile_alpha": format!("[{}]", text(quantile)) });
            (json!({ "name": "reg:quantileerror", "quantile_loss_param": param }), "0E0")
        }
        (Link::Identity, Some(Loss::LambdaRank { truncation })) => {
            let param = json!({
                "lambdarank_bias_norm": "1",
                "lambdarank_normalization": "1",
                "lambdarank_num_pair_per_sample": truncation.to_string(),
                "lambdarank_pair_method": "topk",
                "lambdarank_unbiased": "0",
                "ndcg_exp_gain": "1",
            });
            (json!({ "name": "rank:ndcg", "lambdarank_param": param }), "0E0")
        }
        (Link::Identity, _) => (plain("reg:squarederror"), "0E0"),
        (Link::Exp, Some(Loss::Gamma)) => (plain("reg:gamma"), "1E0"),
        (Link::Exp, Some(Loss::Tweedie { power })) => {
            let param = json!({ "tweedie_variance_power": text(power) });
            (json!({ "name": "reg:tweedie", "tweedie_regression_param": param }), "1E0")
        }
        (Link::Exp, Some(Loss::Cox)) => (json!({ "name": "survival:cox" }), "1E0"),
        (Link::Exp, _) => {
            let param = json!({ "max_delta_step": "0.699999988" });
            (json!({ "name": "count:poisson", "poisson_regression_param": param }), "1E0")
        }
        (Link::Logistic, _) => (plain("binary:logistic"), "5E-1"),
        (Link::Softmax, _) => {
            let param = json!({ "num_class": sum.scores().to_string() });
            (json!({ "name": "multi:softprob", "softmax_multiclass_param": param }), "0E0")
        }
        (link, _) => return Err(no_link(link)),
    })
    .inspect(|_| {
        if matches!(sum.task, Task::Classification { .. }) && sum.link == Link::Identity {
            notes.push("probabilities are told as numbers, one for each class".to_owned());
        }
    })
}

fn text(x: f64) -> String {
    (x as f32).to_string()
}

/// The categories of columns: their texts, one behind the other as bytes with signs, and their places in the order of texts.
fn cats(inputs: &[Field]) -> Value {
    let (mut lists, mut segments, mut sorted) = (Vec::new(), vec![0], Vec::new());
    if !inputs.iter().any(is_category) {
        return json!({ "enc": [], "feature_segments": [], "sorted_idx": [] });
    }
    for field in inputs {
        let texts = if let Kind::Categorical { dictionary } = &field.kind { &dictionary[..] } else { &[] };
        let bytes: Vec<i8> = texts.iter().flat_map(|text| text.bytes()).map(|byte| byte as i8).collect();
        let mut offsets = if texts.is_empty() { Vec::new() } else { vec![0] };
        for text in texts {
            offsets.push(offsets.last().unwrap_or(&0) + text.len());
        }
        lists.push(json!({ "offsets": offsets, "values": bytes }));
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|place| &texts[*place]);
        sorted.extend(order);
        segments.push(sorted.len());
    }
    json!({ "enc": lists, "feature_segments": segments, "sorted_idx": sorted })
}

#[derive(Serialize)]
struct File {
    learner: Learner,
    version: [u32; 3],
}

#[derive(Serialize)]
struct Learner {
    attributes: Value,
    feature_names: Vec<String>,
    feature_types: Vec<&'static str>,
    gradient_booster: Booster,
    learner_model_param: Value,
    objective: Value,
}

#[derive(Serialize)]
struct Booster {
    model: Model,
    name: &'static str,
}

#[derive(Serialize)]
struct Model {
    cats: Value,
    gbtree_model_param: Value,
    iteration_indptr: Vec<usize>,
    tree_info: Vec<usize>,
    trees: Vec<TreeText>,
}

/// A tree, in the order of its nodes.
#[derive(Default, Serialize)]
struct TreeText {
    base_weights: Vec<f32>,
    categories: Vec<u32>,
    categories_nodes: Vec<usize>,
    categories_segments: Vec<usize>,
    categories_sizes: Vec<usize>,
    default_left: Vec<u8>,
    id: usize,
    left_children: Vec<i64>,
    loss_changes: Vec<f32>,
    parents: Vec<u32>,
    right_children: Vec<i64>,
    split_conditions: Vec<f32>,
    split_indices: Vec<u32>,
    split_type: Vec<u8>,
    sum_hessian: Vec<f32>,
    tree_param: Value,
}

impl TreeText {
    fn leaf(value: f32) -> Self {
        let mut tree = Self { parents: vec![NONE], ..Self::default() };
        tree.push(-1, 0, false, value);
        (tree.base_weights, tree.loss_changes, tree.sum_hessian) = (vec![value], vec![0.0], vec![0.0]);
        tree
    }

    /// A tree that has one number in its leaves. Level by level: XGBoost takes it that a right child stands behind its left one.
    fn new(sum: &Sum<'_>, tree: &Tree, output: usize) -> Result<Self, String> {
        let mut text = Self { parents: vec![NONE], ..Self::default() };
        // What is only shown may be cut off at what f32 holds.
        let shown = |x: f64| (x as f32).clamp(f32::MIN, f32::MAX);
        // Nodes of the tree by their numbers in the text.
        let mut order = vec![0];
        let mut here = 0;
        while let Some(&at) = order.get(here) {
            let node = tree.node(at);
            let value = tree.numbers(at).nth(output).unwrap_or(f64::NAN) / sum.over;
            text.base_weights.push(shown(value));
            text.loss_changes.push(shown(node.gain));
            text.sum_hessian.push(shown(node.weight));
            match &node.test {
                None => text.push(-1, 0, false, narrow(value, &format!("leaf {at}"))?),
                Some(test) => {
                    let (condition, changed) = text.question(sum.ask(tree, &node, test), here);
                    let (left, right) = (node.left as usize, node.right as usize);
                    text.push(order.len() as i64, node.feature, node.missing_left != changed, condition);
                    order.extend(if changed { [right, left] } else { [left, right] });
                    text.parents.extend([here as u32; 2]);
                }
            }
            here += 1;
        }
        Ok(text)
    }

    /// Writes what node `here` asks, all but its condition, which is the answer, with whether sides are changed.
    fn question(&mut self, ask: Ask, here: usize) -> (f32, bool) {
        let categories = match ask {
            Ask::UpTo(threshold) => {
                let limit = f32_above(threshold);
                // JSON has no infinity. No finite number is below the least one.
                return if limit.is_finite() { (limit, false) } else { (f32::MIN, true) };
            }
            Ask::OneOf(categories) => categories,
        };
        // What is in no set goes left, and so do numbers of no category: where those go that the dictionary lacks.
        let lacking_left = categories.last() == Some(&true);
        let mut set = places(&categories, !lacking_left);
        if set.is_empty() {
            // It must have one: the number behind all.
            set.push(categories.len() as u32);
        }
        self.categories_nodes.push(here);
        self.categories_segments.push(self.categories.len());
        self.categories_sizes.push(set.len());
        self.categories.extend(set);
        (0.0, !lacking_left)
    }

    /// Adds a node; `left` is -1 in leaves.
    fn push(&mut self, left: i64, feature: u32, default_left: bool, condition: f32) {
        let here = self.left_children.len();
        self.left_children.push(left);
        self.right_children.push(if left < 0 { left } else { left + 1 });
        self.split_indices.push(feature);
        self.default_left.push(default_left.into());
        self.split_conditions.push(condition);
        self.split_type.push((self.categories_nodes.last() == Some(&here)).into());
    }
}
