//! CatBoost's JSON: oblivious trees and others, of numbers and of categories that are compared with one (one-hot).
//!
//! In an oblivious tree split i says bit i of the number of a row's leaf: whether x, rounded to f32, is above the border, or the
//! category is the split's. Several scores lie side by side in each leaf. The file knows categories by a hash of their text, and the
//! texts themselves if it was saved with the table (`pool`): without them no text could be recognised.

use super::build::{Draft, DraftNode, DraftSplit, DraftTree, Feature, FeatureKind, GoesLeft};
use super::cells::up_to_f32;
use super::model::{Library, Scale};
use crate::Link;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use tilewise_base::Task;

#[derive(Deserialize)]
pub(super) struct File {
    features_info: Features,
    model_info: Option<Info>,
    oblivious_trees: Option<Vec<Oblivious>>,
    trees: Option<Vec<Branch>>,
    scale_and_bias: Option<(f64, OneOrMore<f64>)>,
}

#[derive(Deserialize)]
struct Features {
    float_features: Option<Vec<Float>>,
    categorical_features: Option<Vec<Category>>,
    text_features: Option<Vec<serde::de::IgnoredAny>>,
    embedding_features: Option<Vec<serde::de::IgnoredAny>>,
    cat_features_hash: Option<Vec<Hashed>>,
}

#[derive(Deserialize)]
struct Float {
    feature_id: Option<String>,
    feature_name: Option<String>,
    feature_index: usize,
    flat_feature_index: usize,
    #[serde(default)]
    nan_value_treatment: String,
}

#[derive(Deserialize)]
struct Category {
    feature_id: Option<String>,
    feature_name: Option<String>,
    feature_index: usize,
    flat_feature_index: usize,
}

#[derive(Deserialize)]
struct Hashed {
    hash: i64,
    value: String,
}

#[derive(Deserialize)]
struct Info {
    params: Option<Parameters>,
    class_params: Option<Classes>,
}

#[derive(Deserialize)]
struct Parameters {
    loss_function: Option<Loss>,
}

#[derive(Deserialize)]
struct Loss {
    #[serde(rename = "type")]
    name: String,
    #[serde(default)]
    params: HashMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Classes {
    #[serde(default)]
    class_names: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

#[derive(Deserialize)]
struct Oblivious {
    #[serde(default)]
    splits: Option<Vec<Split>>,
    leaf_values: Vec<f64>,
    #[serde(default)]
    leaf_weights: Vec<f64>,
}

#[derive(Deserialize)]
struct Split {
    split_type: String,
    float_feature_index: Option<usize>,
    border: Option<f32>,
    cat_feature_index: Option<usize>,
    value: Option<i64>,
}

/// A node of a tree that is not oblivious.
#[derive(Deserialize)]
struct Branch {
    split: Option<Split>,
    left: Option<Box<Branch>>,
    right: Option<Box<Branch>>,
    value: Option<OneOrMore<f64>>,
    #[serde(default)]
    weight: f64,
}

/// A test as trees of ours have it: its feature, what goes left, and whether missing values do.
type Read = (usize, Asks, bool);

enum Asks {
    Border(f32),
    /// The category with this number.
    Is(u32),
}

/// The features of a file by the numbers that its splits know.
struct Known {
    floats: HashMap<usize, (usize, bool)>,
    categories: HashMap<usize, (usize, HashMap<u32, u32>)>,
}

/// What the file says, in our terms.
pub(super) fn draft(file: File) -> Result<Draft, String> {
    let File { features_info, model_info, oblivious_trees, trees, scale_and_bias } = file;
    for (field, there) in [
        ("text_features", features_info.text_features.is_some_and(|list| !list.is_empty())),
        ("embedding_features", features_info.embedding_features.is_some_and(|list| !list.is_empty())),
    ] {
        if there {
            return Err(format!("features_info.{field} is not empty: such features are not read"));
        }
    }
    let (oblivious, branches) = (oblivious_trees.unwrap_or_default(), trees.unwrap_or_default());
    if !oblivious.is_empty() && !branches.is_empty() {
        return Err("has both oblivious_trees and trees".to_owned());
    }
    let (scale, bias) = scale_and_bias.unwrap_or((1.0, OneOrMore::One(0.0)));
    let bias = bias.as_slice();
    // Without a bias for each score the leaves tell how many there are.
    let in_leaf = match (oblivious.first(), branches.first()) {
        (Some(tree), _) => tree.leaf_values.len() >> tree.splits().len().min(63),
        (None, Some(tree)) => tree.width(),
        (None, None) => 0,
    };
    let scores = in_leaf.max(1);
    if bias.len() != scores && bias.len() > 1 {
        return Err(format!("scale_and_bias has {} biases for {scores} scores", bias.len()));
    }
    let mut of_scores = Scale::none(scores);
    of_scores.times = scale;
    for (score, plus) in of_scores.plus.iter_mut().enumerate() {
        *plus = bias.get(score).or(bias.first()).copied().unwrap_or(0.0);
    }
    // Which categories each feature is compared with.
    let mut asked: HashMap<usize, BTreeSet<u32>> = HashMap::new();
    let mut see = |split: &Split| {
        if let (Some(feature), Some(value)) = (split.cat_feature_index, split.value) {
            asked.entry(feature).or_default().insert(value as u32);
        }
    };
    oblivious.iter().flat_map(Oblivious::splits).for_each(&mut see);
    for tree in &branches {
        tree.each(&mut |branch| branch.split.iter().for_each(&mut see));
    }
    let Inputs { features, known } = inputs(
        features_info.float_features,
        features_info.categorical_features,
        features_info.cat_features_hash,
        &asked,
    )?;
    let mut drafts = Vec::new();
    for (number, tree) in oblivious.iter().enumerate() {
        tree.drafts(scores, &known, &mut drafts)
            .map_err(|what| format!("oblivious_trees[{number}]: {what}"))?;
    }
    for (number, tree) in branches.iter().enumerate() {
        tree.drafts(scores, &known, &mut drafts).map_err(|what| format!("trees[{number}]: {what}"))?;
    }
    let (link, task) = link(model_info, scores)?;
    let version = "JSON".to_owned();
    Ok(Draft {
        library: Library::CatBoost,
        version,
        features,
        trees: drafts,
        scale: of_scores,
        link,
        task,
        refuses_unseen: false,
    })
}

struct Inputs {
    features: Vec<Feature>,
    known: Known,
}

/// Features in the order of the table's columns; without categories that no split asks for, of which the file does not tell whether
/// they are text or numbers.
fn inputs(
    floats: Option<Vec<Float>>,
    categories: Option<Vec<Category>>,
    texts: Option<Vec<Hashed>>,
    asked: &HashMap<usize, BTreeSet<u32>>,
) -> Result<Inputs, String> {
    let name = |name: Option<String>, id: Option<String>, flat: usize| {
        name.or(id).filter(|name| !name.is_empty()).unwrap_or_else(|| flat.to_string())
    };
    let has_texts = texts.is_some();
    // Hashes have 32 bits; the file has them with a sign or without.
    let text_of: HashMap<u32, String> =
        texts.unwrap_or_default().into_iter().map(|text| (text.hash as u32, text.value)).collect();
    let mut features: Vec<(usize, Feature, Place)> = Vec::new();
    for float in floats.unwrap_or_default() {
        let missing_left = match float.nan_value_treatment.as_str() {
            "AsTrue" => false,
            "AsIs" | "AsFalse" | "" => true,
            other => {
                return Err(format!(
                    "nan_value_treatment is {other:?}; AsIs, AsFalse and AsTrue are accepted"
                ));
            }
        };
        let name = name(float.feature_name, float.feature_id, float.flat_feature_index);
        let feature = Feature { name, kind: FeatureKind::Number };
        features.push((float.flat_feature_index, feature, Place::Float(float.feature_index, missing_left)));
    }
    for category in categories.unwrap_or_default() {
        let name = name(category.feature_name, category.feature_id, category.flat_feature_index);
        let Some(hashes) = asked.get(&category.feature_index) else { continue };
        let mut list = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let what =
                if has_texts { "does not tell" } else { "was saved without the table, so it does not tell" };
            list.push(text_of.get(hash).cloned().ok_or_else(|| {
                format!("feature {name:?} is compared with hash {hash}, of which the file {what} the text; save_model(..., pool=...) writes it")
            })?);
        }
        let numbers: Option<Vec<f64>> = list.iter().map(|text| whole(text)).collect();
        let numbered = hashes.iter().copied().zip(0..).collect();
        let kind = numbers.map_or_else(|| FeatureKind::Texts(list), FeatureKind::Numbers);
        features.push((
            category.flat_feature_index,
            Feature { name, kind },
            Place::Category(category.feature_index, numbered),
        ));
    }
    features.sort_by_key(|(flat, _, _)| *flat);
    let mut known = Known { floats: HashMap::new(), categories: HashMap::new() };
    let mut in_order = Vec::with_capacity(features.len());
    for (at, (_, feature, place)) in features.into_iter().enumerate() {
        in_order.push(feature);
        match place {
            Place::Float(index, missing_left) => drop(known.floats.insert(index, (at, missing_left))),
            Place::Category(index, numbered) => drop(known.categories.insert(index, (at, numbered))),
        }
    }
    Ok(Inputs { features: in_order, known })
}

enum Place {
    Float(usize, bool),
    Category(usize, HashMap<u32, u32>),
}

/// A category that is a whole number: such columns are numbers.
fn whole(text: &str) -> Option<f64> {
    let number: i32 = text.parse().ok()?;
    (number.to_string() == text).then(|| number.into())
}

impl Known {
    fn read(&self, split: &Split) -> Result<Read, String> {
        match split.split_type.as_str() {
            "FloatFeature" => {
                let index = split.float_feature_index.ok_or("a split has no float_feature_index")?;
                let border = split.border.filter(|border| !border.is_nan()).ok_or("a split has no border")?;
                let (at, missing_left) = self
                    .floats
                    .get(&index)
                    .ok_or_else(|| format!("float_feature_index {index} is not one of float_features"))?;
                Ok((*at, Asks::Border(border), *missing_left))
            }
            "OneHotFeature" => {
                let index = split.cat_feature_index.ok_or("a split has no cat_feature_index")?;
                let value = split.value.ok_or("a split has no value")? as u32;
                let found = self
                    .categories
                    .get(&index)
                    .and_then(|(at, numbered)| Some((*at, *numbered.get(&value)?)));
                let (at, number) = found
                    .ok_or_else(|| format!("cat_feature_index {index} is not one of categorical_features"))?;
                Ok((at, Asks::Is(number), true))
            }
            other => Err(format!("split_type is {other:?}; FloatFeature and OneHotFeature are read")),
        }
    }
}

/// A split whose left side is that of 0.
fn split(read: &Read, left: usize, right: usize) -> DraftNode {
    let goes_left = match read.1 {
        Asks::Border(border) => GoesLeft::UpTo(up_to_f32(border)),
        Asks::Is(number) => GoesLeft::NotIn(vec![number]),
    };
    DraftNode::Split(DraftSplit { feature: read.0, goes_left, missing_left: read.2, left, right, gain: None })
}

fn leaf(value: f64, weight: f64) -> Result<DraftNode, String> {
    if !value.is_finite() {
        return Err(format!("a leaf is {value}; finite numbers are accepted"));
    }
    Ok(DraftNode::Leaf { value, weight: weight.max(0.0) })
}

impl Oblivious {
    fn splits(&self) -> &[Split] {
        self.splits.as_deref().unwrap_or_default()
    }

    /// A tree for each score: the last split is the root, node i has the children 2 i + 1 and 2 i + 2.
    fn drafts(&self, scores: usize, known: &Known, to: &mut Vec<DraftTree>) -> Result<(), String> {
        let depth = self.splits().len();
        let leaves =
            u32::try_from(depth).ok().and_then(|depth| 1usize.checked_shl(depth)).filter(|_| depth < 32);
        let leaves = leaves.filter(|leaves| leaves.checked_mul(scores) == Some(self.leaf_values.len()));
        let leaves = leaves.ok_or_else(|| {
            format!(
                "leaf_values has {} numbers for {depth} splits and {scores} scores",
                self.leaf_values.len()
            )
        })?;
        if !self.leaf_weights.is_empty() && self.leaf_weights.len() != leaves {
            return Err(format!("leaf_weights has {} numbers for {leaves} leaves", self.leaf_weights.len()));
        }
        let read: Vec<Read> =
            self.splits().iter().rev().map(|split| known.read(split)).collect::<Result<_, _>>()?;
        for score in 0..scores {
            let mut nodes = Vec::with_capacity(2 * leaves - 1);
            for (level, read) in read.iter().enumerate() {
                let first = (1 << level) - 1;
                nodes.extend((first..2 * first + 1).map(|at| split(read, 2 * at + 1, 2 * at + 2)));
            }
            for number in 0..leaves {
                let weight = self.leaf_weights.get(number).copied().unwrap_or(1.0);
                nodes.push(leaf(self.leaf_values[number * scores + score], weight)?);
            }
            to.push(DraftTree { score, nodes });
        }
        Ok(())
    }
}

impl Branch {
    /// All nodes, each before those below it. serde_json lets 128 levels be in each other, so this ends.
    fn each<'a>(&'a self, see: &mut impl FnMut(&'a Branch)) {
        let mut next = vec![self];
        while let Some(branch) = next.pop() {
            see(branch);
            next.extend(branch.right.as_deref());
            next.extend(branch.left.as_deref());
        }
    }

    /// Numbers of a leaf.
    fn width(&self) -> usize {
        let mut branch = self;
        while let Some(left) = &branch.left {
            branch = left;
        }
        branch.value.as_ref().map_or(0, |value| value.as_slice().len())
    }

    fn drafts(&self, scores: usize, known: &Known, to: &mut Vec<DraftTree>) -> Result<(), String> {
        let mut order = Vec::new();
        // Children, in the order in which they are met: left behind its parent.
        self.each(&mut |branch| order.push(branch));
        let place: HashMap<*const Branch, usize> =
            order.iter().enumerate().map(|(at, branch)| (std::ptr::from_ref(*branch), at)).collect();
        let at = |branch: &Branch| place.get(&std::ptr::from_ref(branch)).copied().unwrap_or_default();
        for score in 0..scores {
            let node = |branch: &&Branch| match (&branch.split, &branch.left, &branch.right, &branch.value) {
                (Some(test), Some(left), Some(right), _) => {
                    Ok(split(&known.read(test)?, at(left), at(right)))
                }
                (None, None, None, Some(value)) if value.as_slice().len() == scores => {
                    leaf(value.as_slice()[score], branch.weight)
                }
                (None, None, None, Some(value)) => {
                    Err(format!("a leaf has {} numbers for {scores} scores", value.as_slice().len()))
                }
                _ => Err("a node has neither split, left and right nor value".to_owned()),
            };
            to.push(DraftTree { score, nodes: order.iter().map(node).collect::<Result<_, _>>()? });
        }
        Ok(())
    }
}

/// How predictions are made of scores.
fn link(info: Option<Info>, scores: usize) -> Result<(Link, Task), String> {
    let numbers = || match scores {
        1 => Task::Regression,
        _ => Task::Outputs { names: (0..scores).map(|k| format!("score_{k}")).collect() },
    };
    let (loss, classes) = info.map_or((None, None), |info| {
        (info.params.and_then(|params| params.loss_function), info.class_params)
    });
    let Some(loss) = loss else { return Ok((Link::Identity, numbers())) };
    let of_classes = |count: usize| {
        let name =
            |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let names: Vec<String> = classes.iter().flat_map(|classes| &classes.class_names).map(name).collect();
        let names = if names.len() == count { names } else { (0..count).map(|k| k.to_string()).collect() };
        Task::Classification { classes: names }
    };
    Ok(match loss.name.as_str() {
        "RMSE"
        | "MAE"
        | "MAPE"
        | "Quantile"
        | "Expectile"
        | "Huber"
        | "Lq"
        | "LogCosh"
        | "MultiRMSE"
        | "MultiRMSEWithMissingValues"
        | "QueryRMSE"
        | "YetiRank"
        | "YetiRankPairwise"
        | "PairLogit"
        | "PairLogitPairwise"
        | "QuerySoftMax"
        | "StochasticRank"
        | "LambdaMart"
        | "GroupQuantile" => (Link::Identity, numbers()),
        "MultiQuantile" => {
            let alpha = loss.params.get("alpha").and_then(serde_json::Value::as_str).unwrap_or_default();
            let quantiles: Vec<f64> = alpha.split(',').filter_map(|word| word.trim().parse().ok()).collect();
            let fits = quantiles.len() == scores && quantiles.iter().all(|q| (0.0..=1.0).contains(q));
            let fits = fits && quantiles.is_sorted_by(|a, b| a < b);
            (Link::Identity, if fits { Task::Quantiles { quantiles } } else { numbers() })
        }
        "Poisson" | "Tweedie" | "LogLinQuantile" => (Link::Exp, numbers()),
        "Logloss" if scores == 1 => (Link::Logistic, of_classes(2)),
        "CrossEntropy" | "MultiLogloss" | "MultiCrossEntropy" => (Link::Sigmoid, numbers()),
        "MultiClass" if scores > 1 => (Link::Softmax, of_classes(scores)),
        "MultiClassOneVsAll" if scores > 1 => (Link::Sigmoid, of_classes(scores)),
        name => return Err(format!("model_info.params.loss_function.type is {name:?}, which is not read")),
    })
}
