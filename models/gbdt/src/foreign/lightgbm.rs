//! LightGBM's text, versions 2 to 4: lines `key=value`, a header, then a block for each tree.
//!
//! ```text
//! tree
//! version=v4
//! num_tree_per_iteration=1          scores; tree i adds to score i modulo it
//! objective=binary sigmoid:1
//! average_output                    there for random forests: scores are divided by the number of iterations
//! feature_names=a b c
//!
//! Tree=0
//! num_leaves=3
//! split_feature=0 2                 of splits
//! threshold=0.5 0                   numbers up to it go left; of categories the number of the set
//! decision_type=2 1                 1 categories, 2 missing goes left, 4 zero is missing, 8 NaN is missing
//! left_child=1 -1                   -1 is leaf 0, -2 leaf 1 ...
//! right_child=-2 -3
//! leaf_value=0.1 -0.1 0.2
//! cat_boundaries=0 1                set k has the words from boundary k to the next
//! cat_threshold=6                   words of 32 bits
//! ```

use super::build::{Draft, DraftNode, DraftSplit, DraftTree, Feature, FeatureKind, GoesLeft};
use super::cells::{LIGHTGBM_ZERO, Rounded};
use super::model::{Library, Scale};
use crate::Link;
use std::collections::HashMap;
use std::str::FromStr;
use tilewise_base::Task;

/// Flags of `decision_type`.
const CATEGORY: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Draft, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        format!("line {line} is not UTF-8")
    })?;
    let mut lines = Lines { lines: text.lines().enumerate().peekable() };
    let header = Block::read(&mut lines);
    let version = header.get("version")?.text.to_owned();
    if !["v2", "v3", "v4"].contains(&version.as_str()) {
        return Err(header.get("version")?.refuse("v2, v3 and v4 are"));
    }
    let scores: usize = header.get("num_tree_per_iteration")?.parse("a whole number above 0")?;
    let most: usize = header.get("max_feature_idx")?.parse("a whole number")?;
    let names: Vec<&str> = header.get("feature_names")?.text.split_ascii_whitespace().collect();
    if names.len() != most.saturating_add(1) {
        let told = format!("{} names; max_feature_idx is {most}", names.len());
        return Err(header.get("feature_names")?.at(&told));
    }
    let mut blocks = Vec::new();
    while lines.peek().is_some_and(|line| line.starts_with("Tree=")) {
        blocks.push(Block::read(&mut lines));
    }
    if lines.peek() != Some("end of trees") {
        let line =
            lines.lines.peek().map_or("the end of the file".to_owned(), |(at, _)| format!("line {}", at + 1));
        return Err(format!(
            "{line}: after {} trees \"Tree=\" or \"end of trees\" is expected",
            blocks.len()
        ));
    }
    if scores == 0 || blocks.len() % scores != 0 {
        let told = format!("{} trees are not a multiple of it", blocks.len());
        return Err(header.get("num_tree_per_iteration")?.at(&told));
    }
    let mut zeros = vec![Zeros::default(); names.len()];
    let mut is_category = vec![false; names.len()];
    let mut trees = Vec::with_capacity(blocks.len());
    for (number, block) in blocks.iter().enumerate() {
        let mut nodes = tree(block, names.len(), &mut zeros)?;
        for node in &mut nodes {
            if let DraftNode::Split(DraftSplit { feature, goes_left: GoesLeft::In(_), .. }) = node {
                is_category[*feature] = true;
            }
        }
        trees.push(DraftTree { score: number % scores, nodes });
    }
    let lists = pandas_categories(text, &header, names.len())?;
    let feature = |(at, (name, list)): (usize, (&&str, Option<FeatureKind>))| {
        let zero_is_missing = zeros[at].kind().map_err(|what| format!("feature {name:?} {what}"))?;
        let kind = match list {
            Some(list) => list,
            None if is_category[at] => FeatureKind::Codes(Rounded::TowardsZero),
            None if zero_is_missing => FeatureKind::ZeroIsMissing,
            None => FeatureKind::Number,
        };
        Ok(Feature { name: (*name).to_owned(), kind })
    };
    let features = names.iter().zip(lists).enumerate().map(feature).collect::<Result<Vec<_>, String>>()?;
    let mut scale = Scale::none(scores);
    if header.has("average_output") {
        scale.over = (blocks.len() / scores).max(1) as f64;
    }
    let (link, task) = objective(&header, scores, &mut scale)?;
    Ok(Draft {
        library: Library::LightGbm,
        version,
        features,
        trees,
        scale,
        link,
        task,
        refuses_unseen: false,
    })
}

/// Lines of which one can be looked at.
struct Lines<'a> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>,
}

impl<'a> Lines<'a> {
    fn peek(&mut self) -> Option<&'a str> {
        self.lines.peek().map(|(_, line)| *line)
    }
}

/// Lines up to the next tree or to the end of trees.
struct Block<'a> {
    /// The number of its first line, counted from 1.
    first: usize,
    values: HashMap<&'a str, Value<'a>>,
}

/// What stands behind a key.
#[derive(Clone, Copy)]
struct Value<'a> {
    key: &'a str,
    line: usize,
    text: &'a str,
}

impl<'a> Block<'a> {
    fn read(lines: &mut Lines<'a>) -> Self {
        let first = lines.lines.peek().map_or(0, |(at, _)| at + 1);
        let mut values = HashMap::new();
        let mut begun = false;
        while let Some(line) = lines.peek() {
            if line == "end of trees" || begun && line.starts_with("Tree=") {
                break;
            }
            begun = true;
            if let Some((at, line)) = lines.lines.next() {
                let (key, text) = line.split_once('=').unwrap_or((line, ""));
                values.insert(key, Value { key, line: at + 1, text });
            }
        }
        Self { first, values }
    }

    fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn get(&self, key: &str) -> Result<&Value<'a>, String> {
        self.values.get(key).ok_or_else(|| format!("line {}: there is no {key} in what follows", self.first))
    }

    /// A list of so many numbers.
    fn list<T: FromStr>(&self, key: &str, count: usize, accepted: &str) -> Result<Vec<T>, String> {
        let value = self.get(key)?;
        let list = value.list(accepted)?;
        if list.len() == count {
            Ok(list)
        } else {
            Err(value.at(&format!("{} numbers where {count} are needed", list.len())))
        }
    }

    /// As [`Block::list`], `default` where there is none.
    fn list_or<T: FromStr + Clone>(
        &self,
        key: &str,
        count: usize,
        default: T,
        accepted: &str,
    ) -> Result<Vec<T>, String> {
        // Files of one leaf have the keys and no numbers.
        match self.values.get(key) {
            Some(value) if !value.text.trim().is_empty() => self.list(key, count, accepted),
            _ => Ok(vec![default; count]),
        }
    }
}

impl Value<'_> {
    fn at(&self, what: &str) -> String {
        format!("line {}, {}: {what}", self.line, self.key)
    }

    fn refuse(&self, accepted: &str) -> String {
        // Lines may be long.
        let shown: String = self.text.chars().take(60).collect();
        self.at(&format!("{shown:?} is not accepted; {accepted}"))
    }

    fn parse<T: FromStr>(&self, accepted: &str) -> Result<T, String> {
        self.text.trim().parse().map_err(|_| self.refuse(&format!("{accepted} is")))
    }

    fn list<T: FromStr>(&self, accepted: &str) -> Result<Vec<T>, String> {
        let number = |word: &str| {
            let shown: String = word.chars().take(60).collect();
            word.parse().map_err(|_| self.at(&format!("{shown:?} is not accepted; {accepted} is")))
        };
        self.text.split_ascii_whitespace().map(number).collect()
    }

    fn finite(&self, numbers: &[f64]) -> Result<(), String> {
        match numbers.iter().find(|x| !x.is_finite()) {
            Some(x) => Err(self.at(&format!("{x} is not accepted; finite numbers are"))),
            None => Ok(()),
        }
    }
}

/// What splits of a feature say of zeros and NaN. A tree of ours knows one kind of missing, which is NaN or, if it must be, zeros too.
#[derive(Clone, Default)]
struct Zeros {
    /// A split sends zeros, which are missing, elsewhere than its threshold would.
    as_missing: bool,
    /// A split sends NaN, which is missing, elsewhere than zeros.
    apart: bool,
}

impl Zeros {
    fn kind(&self) -> Result<bool, String> {
        if self.as_missing && self.apart {
            return Err(
                "has splits for which zeros are missing and others for which they are not, which is not read"
                    .to_owned(),
            );
        }
        Ok(self.as_missing)
    }
}

/// Splits first, then leaves.
fn tree(block: &Block<'_>, features: usize, zeros: &mut [Zeros]) -> Result<Vec<DraftNode>, String> {
    const WHOLE: &str = "a whole number";
    const NUMBER: &str = "a number";
    if block.values.get("is_linear").is_some_and(|value| value.text.trim() != "0") {
        return Err(block.get("is_linear")?.at("trees with linear models in leaves are not read"));
    }
    let leaves: usize = block.get("num_leaves")?.parse("a whole number above 0")?;
    let Some(splits) = leaves.checked_sub(1) else {
        return Err(block.get("num_leaves")?.refuse("a whole number above 0 is"));
    };
    // All other lengths are checked against this one, which is that of what the file holds.
    let values: Vec<f64> = block.list("leaf_value", leaves, NUMBER)?;
    block.get("leaf_value")?.finite(&values)?;
    let counts: Vec<f64> = block.list_or("leaf_count", leaves, 1.0, NUMBER)?;
    if counts.iter().any(|x| !(x.is_finite() && *x >= 0.0)) {
        return Err(block.get("leaf_count")?.at("numbers of 0 or more are accepted"));
    }
    let of_splits = |key| block.list::<i32>(key, splits, WHOLE);
    let list = |key| if splits == 0 { Ok(Vec::new()) } else { of_splits(key) };
    let (tested, left, right) = (list("split_feature")?, list("left_child")?, list("right_child")?);
    let (mut kinds, mut thresholds): (Vec<u8>, Vec<f64>) = (Vec::new(), Vec::new());
    if splits > 0 {
        kinds = block.list("decision_type", splits, "a whole number up to 255")?;
        thresholds = block.list("threshold", splits, NUMBER)?;
    }
    let gains: Vec<f64> = block.list_or("split_gain", splits, 0.0, NUMBER)?;
    let mut sets = Sets::read(block)?;
    let child = |key: &str, place: i32| {
        // -1 is the first leaf.
        let node = if place < 0 { splits as i64 + i64::from(!place) } else { place.into() };
        if node < (splits + leaves) as i64 && (place < 0 || node < splits as i64) {
            Ok(node as usize)
        } else {
            let told = format!("{place} is not a node of a tree of {leaves} leaves");
            Err(block.get(key).map_or(told.clone(), |value| value.at(&told)))
        }
    };
    let mut nodes = Vec::with_capacity(splits + leaves);
    for i in 0..splits {
        let Some(feature) = usize::try_from(tested[i]).ok().filter(|&feature| feature < features) else {
            let told = format!("{} is not the number of one of {features} features", tested[i]);
            return Err(block.get("split_feature")?.at(&told));
        };
        let (goes_left, missing_left) = if kinds[i] & CATEGORY != 0 {
            // Missing, unseen, negative: right.
            (GoesLeft::In(sets.take(block, thresholds[i])?), false)
        } else {
            let threshold = thresholds[i];
            if threshold.is_nan() {
                return Err(block.get("threshold")?.at("NaN is not accepted; numbers are"));
            }
            number(kinds[i], threshold, &mut zeros[feature])
        };
        let (left, right) = (child("left_child", left[i])?, child("right_child", right[i])?);
        nodes.push(DraftNode::Split(DraftSplit {
            feature,
            goes_left,
            missing_left,
            left,
            right,
            gain: Some(gains[i]),
        }));
    }
    nodes.extend(values.iter().zip(counts).map(|(&value, weight)| DraftNode::Leaf { value, weight }));
    Ok(nodes)
}

/// The test of a number, and where NaN goes.
fn number(kind: u8, threshold: f64, zeros: &mut Zeros) -> (GoesLeft, bool) {
    let default_left = kind & DEFAULT_LEFT != 0;
    // Numbers up to 1e-35 are 0 before they are compared.
    let threshold = match threshold.abs() <= LIGHTGBM_ZERO {
        true if threshold >= 0.0 => LIGHTGBM_ZERO,
        true => (-LIGHTGBM_ZERO).next_down(),
        false => threshold,
    };
    let zero_left = 0.0 <= threshold;
    let missing_left = match kind >> 2 & 3 {
        // NaN is 0, which is not missing.
        0 => zero_left,
        // NaN is 0, which is missing.
        1 => {
            zeros.as_missing |= default_left != zero_left;
            default_left
        }
        // NaN is missing.
        _ => {
            zeros.apart |= default_left != zero_left;
            default_left
        }
    };
    (GoesLeft::UpTo(threshold), missing_left)
}

/// The sets of categories of a tree.
struct Sets {
    boundaries: Vec<usize>,
    words: Vec<u32>,
    /// Each set is that of one split: were they shared, a small file could hold more than memory does.
    taken: Vec<bool>,
}

/// Words of sets: their categories are below 2^31.
const MOST_WORDS: usize = 1 << 26;

impl Sets {
    fn read(block: &Block<'_>) -> Result<Self, String> {
        let count: usize = match block.values.get("num_cat") {
            Some(value) => value.parse("a whole number")?,
            None => 0,
        };
        if count == 0 {
            return Ok(Self { boundaries: vec![0], words: Vec::new(), taken: Vec::new() });
        }
        let words: Vec<u32> = block.get("cat_threshold")?.list("a whole number below 2^32")?;
        let boundaries: Vec<usize> =
            block.list("cat_boundaries", count.saturating_add(1), "a whole number")?;
        if words.len() > MOST_WORDS {
            return Err(block
                .get("cat_threshold")?
                .at(&format!("more than {MOST_WORDS} words are not read")));
        }
        if !boundaries.is_sorted() || boundaries.last() != Some(&words.len()) {
            return Err(block.get("cat_boundaries")?.at("they do not share the words of cat_threshold out"));
        }
        Ok(Self { taken: vec![false; count], boundaries, words })
    }

    /// The categories of set number `place`.
    fn take(&mut self, block: &Block<'_>, place: f64) -> Result<Vec<u32>, String> {
        let sets = self.boundaries.len() - 1;
        if !(place >= 0.0 && place < sets as f64) {
            let told = format!("{place} is not the number of one of {sets} sets of categories");
            return Err(block.get("threshold")?.at(&told));
        }
        if std::mem::replace(&mut self.taken[place as usize], true) {
            return Err(block
                .get("threshold")?
                .at(&format!("set {place} of categories is that of two splits")));
        }
        let ends = &self.boundaries[place as usize..][..2];
        let words = self.words[ends[0]..ends[1]].iter().enumerate();
        let set = words.flat_map(|(i, word)| {
            (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| 32 * i as u32 + bit)
        });
        Ok(set.collect())
    }
}

/// The link, what is predicted, and what scores are multiplied by before the link.
fn objective(header: &Block<'_>, scores: usize, scale: &mut Scale) -> Result<(Link, Task), String> {
    let classes =
        |count: usize| Task::Classification { classes: (0..count).map(|k| k.to_string()).collect() };
    let numbers = || match scores {
        1 => Task::Regression,
        _ => Task::Outputs { names: (0..scores).map(|k| format!("score_{k}")).collect() },
    };
    let Some(value) = header.values.get("objective") else { return Ok((Link::Identity, numbers())) };
    let mut words = value.text.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let mut is_root = false;
    for word in words {
        match word.split_once(':') {
            Some(("sigmoid", number)) => {
                scale.slope = number
                    .parse()
                    .ok()
                    .filter(|x: &f64| x.is_finite() && *x > 0.0)
                    .ok_or_else(|| value.refuse("a sigmoid is a number above 0"))?;
            }
            None if word == "sqrt" => is_root = true,
            // The number of classes is that of scores; what else there is shapes training alone.
            _ => {}
        }
    }
    let (link, task) = match name {
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" if is_root => {
            (Link::SignedSquare, numbers())
        }
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank"
        | "rank_xendcg" | "custom" | "none" => (Link::Identity, numbers()),
        "poisson" | "gamma" | "tweedie" => (Link::Exp, numbers()),
        "cross_entropy" => (Link::Sigmoid, numbers()),
        "cross_entropy_lambda" => (Link::Softplus, numbers()),
        "binary" => (Link::Logistic, classes(2)),
        "multiclass" => (Link::Softmax, classes(scores)),
        "multiclassova" => (Link::Sigmoid, classes(scores)),
        _ => return Err(value.refuse("the objectives of LightGBM 4.7 are")),
    };
    Ok((link, task))
}

/// The lists of categories that Python's package keeps behind the model, for the columns that have one.
fn pandas_categories(
    text: &str,
    header: &Block<'_>,
    features: usize,
) -> Result<Vec<Option<FeatureKind>>, String> {
    const KEY: &str = "pandas_categorical:";
    let mut of_features: Vec<Option<FeatureKind>> = (0..features).map(|_| None).collect();
    // It stands at the end, and in front of it what may be anything.
    let Some((at, line)) = text.lines().enumerate().filter(|(_, line)| line.starts_with(KEY)).last() else {
        return Ok(of_features);
    };
    let told = |what: String| format!("line {}, {}: {what}", at + 1, &KEY[..KEY.len() - 1]);
    let lists: Option<Vec<Vec<serde_json::Value>>> =
        serde_json::from_str(&line[KEY.len()..]).map_err(|e| told(e.to_string()))?;
    let lists = lists.unwrap_or_default();
    if lists.is_empty() {
        return Ok(of_features);
    }
    let columns = category_columns(text, header, lists.len(), features);
    let columns = columns.ok_or_else(|| {
        told(format!(
            "it holds {} lists of categories, and the file does not tell of which features they are",
            lists.len()
        ))
    })?;
    for (column, list) in columns.into_iter().zip(lists) {
        let kind = kind_of_list(&list).ok_or_else(|| {
            told(
                "a list holds categories of several kinds, or others than text, numbers and truths"
                    .to_owned(),
            )
        })?;
        of_features[column] = Some(kind);
    }
    Ok(of_features)
}

/// The features of so many lists: those that training was told of, or whose values are listed in the header.
fn category_columns(text: &str, header: &Block<'_>, count: usize, features: usize) -> Option<Vec<usize>> {
    let trained =
        text.lines().rev().find_map(|line| line.strip_prefix("[categorical_feature: ")?.strip_suffix(']'));
    let mut told: Vec<usize> = trained?.split(',').filter_map(|word| word.trim().parse().ok()).collect();
    told.sort_unstable();
    told.dedup();
    if told.len() == count && told.iter().all(|&column| column < features) {
        return Some(told);
    }
    let infos = header.values.get("feature_infos")?.text.split_ascii_whitespace().enumerate();
    let listed: Vec<usize> =
        infos.filter(|(_, info)| *info != "none" && !info.starts_with('[')).map(|(at, _)| at).collect();
    (listed.len() == count && listed.iter().all(|&column| column < features)).then_some(listed)
}

/// The kind of the cells of a column with such categories.
fn kind_of_list(list: &[serde_json::Value]) -> Option<FeatureKind> {
    if let Some(texts) = list.iter().map(|value| value.as_str().map(str::to_owned)).collect() {
        return Some(FeatureKind::Texts(texts));
    }
    if let Some(truths) = list.iter().map(serde_json::Value::as_bool).collect() {
        return Some(FeatureKind::Truths(truths));
    }
    list.iter().map(serde_json::Value::as_f64).collect::<Option<_>>().map(FeatureKind::Numbers)
}
