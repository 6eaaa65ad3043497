//! XGBoost's JSON and UBJSON, of versions 1.3 to 3.4 (both have the same fields).
//!
//! Of a node that is split `split_conditions` is the threshold, of a leaf what it adds; numbers below a threshold go left, categories
//! of a set right. `base_score` is what is predicted without trees, before 3.1 one number, since then a list.

use super::build::{Draft, DraftNode, DraftSplit, DraftTree, Feature, FeatureKind, GoesLeft};
use super::cells::{Rounded, up_to_f32};
use super::model::{Library, Scale};
use crate::Link;
use crate::link::LEAST_STEP;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::borrow::Cow;
use std::collections::HashMap;
use tilewise_base::Task;

/// Features that a file without their names may have: some 200 bytes each, which a line of the file claims.
const MOST_UNNAMED: usize = 1 << 16;
/// Categories are numbers below this one.
const MOST_CATEGORY: u32 = 1 << 24;

#[derive(Deserialize)]
pub(super) struct File {
    learner: Learner,
    #[serde(default)]
    version: Vec<u32>,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    feature_types: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: ModelParameters,
    objective: Objective,
}

#[derive(Deserialize)]
struct ModelParameters {
    base_score: String,
    num_class: Option<String>,
    num_feature: String,
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
    quantile_loss_param: Option<Quantiles>,
    expectile_loss_param: Option<Expectiles>,
}

#[derive(Deserialize)]
struct Quantiles {
    quantile_alpha: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    model: Option<Trees>,
    /// Of dart, before 3.3.
    gbtree: Option<Box<Booster>>,
    weight_drop: Option<Vec<Real>>,
}

#[derive(Deserialize)]
struct Trees {
    trees: Vec<Tree>,
    tree_info: Vec<usize>,
    /// Of dart, since 3.3.
    weight_drop: Option<Vec<Real>>,
    cats: Option<Categories>,
}

#[derive(Deserialize)]
struct Categories {
    enc: Vec<Encoding>,
}

/// The categories of a feature: text one behind the other in bytes, or numbers.
#[derive(Deserialize)]
struct Encoding {
    offsets: Option<Vec<i64>>,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Tree {
    tree_param: TreeParameters,
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<u32>,
    split_conditions: Vec<Real>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<i64>,
    #[serde(default)]
    categories_nodes: Vec<usize>,
    #[serde(default)]
    categories_segments: Vec<usize>,
    #[serde(default)]
    categories_sizes: Vec<usize>,
    #[serde(default)]
    loss_changes: Vec<Real>,
    #[serde(default)]
    sum_hessian: Vec<Real>,
    #[serde(default)]
    base_weights: Vec<Real>,
    leaf_weights: Option<Vec<Real>>,
}

#[derive(Deserialize)]
struct TreeParameters {
    size_leaf_vector: Option<String>,
}

/// An f32, of which XGBoost writes those that are none where nothing is compared with them.
#[derive(Clone, Copy)]
struct Real(f32);

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(from)?.unwrap_or(f32::NAN)))
    }
}

/// JSON has no NaN, which XGBoost writes all the same: null in its place.
pub(super) fn without_nan(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.windows(3).any(|three| three == b"NaN") {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + text.len() / 3);
    let (mut rest, mut in_text) = (text, false);
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'N' if !in_text && rest.starts_with(b"NaN") => {
                out.extend(b"null");
                rest = &rest[3..];
                continue;
            }
            b'\\' if in_text && !after.is_empty() => {
                out.extend(&rest[..2]);
                rest = &rest[2..];
                continue;
            }
            b'"' => in_text = !in_text,
            _ => {}
        }
        out.push(byte);
        rest = after;
    }
    Cow::Owned(out)
}

/// True, or any number but 0.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Truth(bool),
            Number(i64),
        }
        Ok(Self(
            match Either::deserialize(from)
                .map_err(|_| D::Error::custom("neither a truth nor a whole number"))?
            {
                Either::Truth(truth) => truth,
                Either::Number(number) => number != 0,
            },
        ))
    }
}

#[derive(Deserialize)]
struct Expectiles {
    expectile_alpha: String,
}

/// A number that the file has as text.
fn whole(text: &str, field: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{field} is {text:?}; a whole number is accepted"))
}

/// A list such as `[5E-1,1E0]`, or one number.
fn list(text: &str, field: &str) -> Result<Vec<f32>, String> {
    let inner = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let number = |word: &str| {
        let number = word.trim().parse().ok().filter(|x: &f32| x.is_finite());
        number.ok_or_else(|| format!("{field} holds {word:?}; finite numbers are accepted"))
    };
    inner.split(',').map(number).collect()
}

/// What the file says, in our terms.
pub(super) fn draft(file: File) -> Result<Draft, String> {
    let File { learner, version } = file;
    let Learner { feature_names, feature_types, gradient_booster, learner_model_param: params, objective } =
        learner;
    let name = gradient_booster.name.clone();
    let (trees, weights) = match gradient_booster {
        Booster { gbtree: Some(inner), weight_drop, .. } => (inner.model, weight_drop),
        Booster { model, weight_drop, .. } => (model, weight_drop),
    };
    let trees = trees.filter(|_| ["gbtree", "dart"].contains(&name.as_str())).ok_or_else(|| {
        format!("learner.gradient_booster.name is {name:?}; gbtree and dart with their trees are accepted")
    })?;
    let weights = weights.or_else(|| trees.weight_drop.clone());
    if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != trees.trees.len()) {
        return Err(format!("weight_drop has {} numbers for {} trees", weights.len(), trees.trees.len()));
    }
    if trees.tree_info.len() != trees.trees.len() {
        return Err(format!(
            "tree_info has {} numbers for {} trees",
            trees.tree_info.len(),
            trees.trees.len()
        ));
    }
    let count = |text: &Option<String>, field: &str| text.as_ref().map_or(Ok(0), |text| whole(text, field));
    let classes = count(&params.num_class, "learner_model_param.num_class")?;
    let targets = count(&params.num_target, "learner_model_param.num_target")?;
    let scores = classes.max(targets).max(1);
    // No more than there are trees or values of a leaf.
    let most: usize = trees.trees.iter().map(|tree| 1 + tree.base_weights.len()).sum();
    if scores > most {
        return Err(format!("learner_model_param tells of {scores} scores, more than the trees can have"));
    }
    let features = features(&params.num_feature, feature_names, &feature_types, &trees)?;
    let mut drafts = Vec::new();
    for (number, tree) in trees.trees.iter().enumerate() {
        let weight = weights.as_ref().map_or(1.0, |weights| weights[number].0);
        let told = |what: String| format!("trees[{number}].{what}");
        tree.drafts(trees.tree_info[number], scores, weight.into(), features.len(), &mut drafts)
            .map_err(told)?;
    }
    let (link, task) = link(&objective, classes, scores)?;
    let mut scale = Scale::none(scores);
    let base = list(&params.base_score, "learner_model_param.base_score")?;
    if base.len() != 1 && base.len() != scores {
        return Err(format!("learner_model_param.base_score has {} numbers for {scores} scores", base.len()));
    }
    for (score, plus) in scale.plus.iter_mut().enumerate() {
        let of_score = |score: usize| base[score.min(base.len() - 1)];
        // Of a step the base is what makes it, of which XGBoost leaves as much as of the least step.
        let told = match link {
            Link::Steps if score > 0 => {
                let least = LEAST_STEP as f32;
                (of_score(score) - of_score(score - 1) - least).max(least).exp_m1().ln()
            }
            _ => margin(of_score(score), &objective.name, link)?,
        };
        *plus = told.into();
    }
    let refuses_unseen =
        features.iter().any(|f| matches!(f.kind, FeatureKind::Numbers(_) | FeatureKind::Texts(_)));
    let version = version.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
    Ok(Draft {
        library: Library::XgBoost,
        version,
        features,
        trees: drafts,
        scale,
        link,
        task,
        refuses_unseen,
    })
}

/// The score of a prediction.
fn margin(base: f32, objective: &str, link: Link) -> Result<f32, String> {
    let score = match link {
        Link::Exp => base.ln(),
        Link::Sigmoid | Link::Logistic => -(1.0 / base - 1.0).ln(),
        _ => base,
    };
    if score.is_finite() {
        Ok(score)
    } else {
        Err(format!("learner_model_param.base_score is {base}, which {objective} cannot predict"))
    }
}

/// How predictions are made of scores.
fn link(objective: &Objective, classes: usize, scores: usize) -> Result<(Link, Task), String> {
    let numbers = || match scores {
        1 => Task::Regression,
        _ => Task::Outputs { names: (0..scores).map(|k| format!("score_{k}")).collect() },
    };
    let of_classes =
        |count: usize| Task::Classification { classes: (0..count).map(|k| k.to_string()).collect() };
    Ok(match objective.name.as_str() {
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map"
        | "binary:logitraw" => (Link::Identity, numbers()),
        "reg:quantileerror" => {
            let told = objective
                .quantile_loss_param
                .as_ref()
                .map(|param| list(&param.quantile_alpha, "quantile_alpha"));
            // As text: 0.1 is to be 0.1.
            let quantiles: Vec<f64> = told
                .transpose()?
                .unwrap_or_default()
                .iter()
                .filter_map(|q| q.to_string().parse().ok())
                .collect();
            let fits = quantiles.len() == scores && scores > 1 && quantiles.is_sorted_by(|a, b| a < b);
            match fits && quantiles.iter().all(|q| (0.0..=1.0).contains(q)) {
                true => (Link::Identity, Task::Quantiles { quantiles }),
                false => (Link::Identity, numbers()),
            }
        }
        // Several do not cross.
        "reg:expectileerror" if scores > 1 => {
            let told = objective.expectile_loss_param.as_ref();
            let levels = told
                .map(|param| list(&param.expectile_alpha, "expectile_alpha"))
                .transpose()?
                .unwrap_or_default();
            let name = |k: usize| {
                levels.get(k).map_or_else(|| format!("score_{k}"), |level| format!("expectile_{level}"))
            };
            (Link::Steps, Task::Outputs { names: (0..scores).map(name).collect() })
        }
        "reg:expectileerror" => (Link::Identity, numbers()),
        "reg:gamma" | "reg:tweedie" | "count:poisson" | "survival:cox" | "survival:aft" => {
            (Link::Exp, numbers())
        }
        "reg:logistic" => (Link::Sigmoid, numbers()),
        // Of several columns each is a chance of its own.
        "binary:logistic" if scores > 1 => (Link::Sigmoid, numbers()),
        "binary:logistic" => (Link::Logistic, of_classes(2)),
        "binary:hinge" => (Link::Hinge, of_classes(2)),
        "multi:softmax" | "multi:softprob" if classes > 1 => (Link::Softmax, of_classes(classes)),
        name => return Err(format!("learner.objective.name is {name:?}, which is not read")),
    })
}

/// The inputs, by names and types and by what splits and lists of categories say.
fn features(
    count: &str,
    names: Vec<String>,
    types: &[String],
    trees: &Trees,
) -> Result<Vec<Feature>, String> {
    const FIELD: &str = "learner_model_param.num_feature";
    let count = whole(count, FIELD)?;
    if names.is_empty() && count > MOST_UNNAMED {
        return Err(format!("{FIELD} is {count}; up to {MOST_UNNAMED} features without names are read"));
    }
    if !names.is_empty() && names.len() != count {
        return Err(format!("learner.feature_names has {} names; {FIELD} is {count}", names.len()));
    }
    let names = if names.is_empty() { (0..count).map(|i| format!("f{i}")).collect() } else { names };
    let mut is_category: Vec<bool> =
        (0..count).map(|i| types.get(i).is_some_and(|kind| kind == "c")).collect();
    for tree in &trees.trees {
        for (feature, _) in tree.split_indices.iter().zip(&tree.split_type).filter(|(_, kind)| **kind == 1) {
            if let Some(is_category) = is_category.get_mut(*feature as usize) {
                *is_category = true;
            }
        }
    }
    let mut lists: Vec<Option<FeatureKind>> = (0..count).map(|_| None).collect();
    for (feature, encoding) in trees.cats.iter().flat_map(|cats| &cats.enc).enumerate() {
        let told = |what: String| format!("gradient_booster.model.cats.enc[{feature}]: {what}");
        let list = encoding.list().map_err(told)?;
        match lists.get_mut(feature) {
            Some(place) => *place = list,
            None => return Err(told(format!("{FIELD} is {count}"))),
        }
    }
    let feature = |(i, (name, list)): (usize, (String, Option<FeatureKind>))| {
        let kind = match list {
            Some(list) if is_category[i] => list,
            _ if is_category[i] => FeatureKind::Codes(Rounded::F32TowardsZero),
            _ => FeatureKind::Number,
        };
        Feature { name, kind }
    };
    Ok(names.into_iter().zip(lists).enumerate().map(feature).collect())
}

impl Encoding {
    /// The categories in the order of their numbers; `None` where there are none.
    fn list(&self) -> Result<Option<FeatureKind>, String> {
        if self.values.is_empty() && self.offsets.as_ref().is_none_or(|offsets| offsets.len() < 2) {
            return Ok(None);
        }
        let Some(offsets) = &self.offsets else { return Ok(Some(FeatureKind::Numbers(self.values.clone()))) };
        // Bytes are told with a sign.
        let bytes: Vec<u8> = self.values.iter().map(|&byte| byte as i64 as u8).collect();
        let text = |ends: &[i64]| {
            let ends = usize::try_from(ends[0]).ok().zip(usize::try_from(ends[1]).ok());
            let bytes = ends
                .and_then(|(start, end)| bytes.get(start..end))
                .ok_or("offsets are not those of its values")?;
            String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string())
        };
        offsets.windows(2).map(text).collect::<Result<_, _>>().map(|texts| Some(FeatureKind::Texts(texts)))
    }
}

impl Tree {
    /// A tree for each number of its leaves.
    fn drafts(
        &self,
        score: usize,
        scores: usize,
        weight: f64,
        features: usize,
        to: &mut Vec<DraftTree>,
    ) -> Result<(), String> {
        let count = self.left_children.len();
        let of_nodes = [
            ("right_children", self.right_children.len()),
            ("split_indices", self.split_indices.len()),
            ("split_conditions", self.split_conditions.len()),
            ("default_left", self.default_left.len()),
        ];
        if let Some((field, len)) = of_nodes.into_iter().find(|(_, len)| *len != count) {
            return Err(format!("{field} has {len} items; left_children has {count}"));
        }
        for (field, len) in [
            ("split_type", self.split_type.len()),
            ("loss_changes", self.loss_changes.len()),
            ("sum_hessian", self.sum_hessian.len()),
        ] {
            if len != 0 && len != count {
                return Err(format!("{field} has {len} items; left_children has {count}"));
            }
        }
        let size = self
            .tree_param
            .size_leaf_vector
            .as_ref()
            .map_or(Ok(1), |text| whole(text, "tree_param.size_leaf_vector"))?;
        let sets = self.sets()?;
        if size <= 1 {
            let nodes = (0..count).map(|node| {
                self.node(node, &sets, features, |node| {
                    let value = self.split_conditions[node];
                    Ok(f64::from(value.0) * weight)
                })
            });
            to.push(DraftTree { score, nodes: nodes.collect::<Result<_, _>>()? });
            return Ok(());
        }
        if size != scores {
            return Err(format!("tree_param.size_leaf_vector is {size}; there are {scores} scores"));
        }
        // Sets would be copied for each target.
        if !sets.is_empty() {
            return Err(
                "tree_param.size_leaf_vector: leaves of vectors are not read where a tree tests categories"
                    .to_owned(),
            );
        }
        for target in 0..size {
            let value = |node: usize| {
                // Leaves are counted in place of their right child; before, all nodes had a vector.
                let (field, values, place) = match &self.leaf_weights {
                    Some(values) => ("leaf_weights", values, self.right_children[node]),
                    None => ("base_weights", &self.base_weights, node as i64),
                };
                let value = usize::try_from(place)
                    .ok()
                    .and_then(|place| values.get(place.checked_mul(size)?.checked_add(target)?));
                value
                    .map(|x| f64::from(x.0) * weight)
                    .ok_or_else(|| format!("{field} has no vector number {place} for leaf {node}"))
            };
            let nodes =
                (0..count).map(|node| self.node(node, &sets, features, value)).collect::<Result<_, _>>()?;
            to.push(DraftTree { score: target, nodes });
        }
        Ok(())
    }

    /// For nodes that test categories, which ones go right.
    fn sets(&self) -> Result<HashMap<usize, Vec<u32>>, String> {
        let (nodes, segments, sizes) =
            (&self.categories_nodes, &self.categories_segments, &self.categories_sizes);
        if segments.len() != nodes.len() || sizes.len() != nodes.len() {
            return Err(
                "categories_segments, categories_sizes and categories_nodes differ in length".to_owned()
            );
        }
        // Segments that overlap would make much of little.
        if sizes.iter().fold(0, |sum: usize, size| sum.saturating_add(*size)) > self.categories.len() {
            return Err(format!(
                "categories_sizes tells of more than the {} categories",
                self.categories.len()
            ));
        }
        let set = |((&node, &start), &size): ((&usize, &usize), &usize)| {
            let set = start.checked_add(size).and_then(|end| self.categories.get(start..end));
            let set = set.ok_or_else(|| format!("categories has no items {start} to {start} + {size}"))?;
            let number = |&number: &i64| {
                let fits = u32::try_from(number).ok().filter(|number| *number < MOST_CATEGORY);
                fits.ok_or_else(|| {
                    format!("categories holds {number}; whole numbers below {MOST_CATEGORY} are accepted")
                })
            };
            Ok((node, set.iter().map(number).collect::<Result<_, String>>()?))
        };
        nodes.iter().zip(segments).zip(sizes).map(set).collect()
    }

    fn node(
        &self,
        node: usize,
        sets: &HashMap<usize, Vec<u32>>,
        features: usize,
        value: impl Fn(usize) -> Result<f64, String>,
    ) -> Result<DraftNode, String> {
        let weight = self.sum_hessian.get(node).map_or(1.0, |x| f64::from(x.0).max(0.0));
        let (left, right) = (self.left_children[node], self.right_children[node]);
        if left == -1 {
            let value = value(node)?;
            if !value.is_finite() {
                return Err(format!(
                    "split_conditions[{node}] is the leaf {value}; finite numbers are accepted"
                ));
            }
            return Ok(DraftNode::Leaf { value, weight });
        }
        let child = |field: &str, place: i64| {
            let count = self.left_children.len();
            usize::try_from(place)
                .ok()
                .filter(|place| *place < count)
                .ok_or_else(|| format!("{field}[{node}] is {place}; there are {count} nodes"))
        };
        let (left, right) = (child("left_children", left)?, child("right_children", right)?);
        let feature = self.split_indices[node] as usize;
        if feature >= features {
            return Err(format!("split_indices[{node}] is {feature}; there are {features} features"));
        }
        let goes_left = if self.split_type.get(node) == Some(&1) {
            let set = sets
                .get(&node)
                .ok_or_else(|| format!("categories_nodes lacks node {node}, which tests categories"))?;
            GoesLeft::NotIn(set.clone())
        } else {
            let threshold = self.split_conditions[node].0;
            if threshold.is_nan() {
                return Err(format!("split_conditions[{node}] is NaN; numbers are accepted"));
            }
            match threshold {
                f32::NEG_INFINITY => GoesLeft::Nothing,
                threshold => GoesLeft::UpTo(up_to_f32(threshold.next_down())),
            }
        };
        let gain = Some(self.loss_changes.get(node).map_or(0.0, |x| x.0.into()));
        Ok(DraftNode::Split(DraftSplit {
            feature,
            goes_left,
            missing_left: self.default_left[node].0,
            left,
            right,
            gain,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_null_but_in_text() {
        let text = br#"{"a NaN":[NaN,1,NaN],"b\"NaN":"\\","c":NaN}"#;
        let told = br#"{"a NaN":[null,1,null],"b\"NaN":"\\","c":null}"#;
        assert_eq!(*without_nan(text), told[..]);
        assert!(matches!(without_nan(b"[1]"), Cow::Borrowed(_)));
        assert_eq!(*without_nan(br#"["NaN\"#), br#"["NaN\"#[..]);
    }
}
