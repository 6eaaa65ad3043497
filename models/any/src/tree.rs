//! Decision trees: what `--set` accepts for them, and how they are trained.

use crate::family::{TASK, task};
use crate::pieces::{FOREST, Named};
use crate::{Family, Purpose, Setting, Settings, constraints, export};
use tilewise_base::{Context, Dataset, Error, InBytes, Model, ModelFile, Result, Roles, Unseen};
use tilewise_forest::rounds::OneTree;
use tilewise_tree::rounds::pieces::PiecesTrainer;
use tilewise_tree::{
    ClassWeights, Criterion, DecisionTree, Growth, MaxBins, MaxFeatures, Splitter, TreeModel,
};

const CRITERION: Setting = Setting {
    key: "criterion",
    default: "auto",
    accepted: "auto, gini or entropy for classes, auto, squared, absolute or poisson for numbers",
    doc: "what splits make smaller; auto is gini for classes and squared for numbers; leaves of absolute predict medians",
};
pub(crate) const MAX_DEPTH: Setting = Setting {
    key: "max_depth",
    default: "none",
    accepted: "none or a whole number",
    doc: "splits from the root to a leaf at most",
};
pub(crate) const MAX_LEAVES: Setting = Setting {
    key: "max_leaves",
    default: "none",
    accepted: "none or a whole number above 0",
    doc: "leaves at most; growth says which come first",
};
pub(crate) const MIN_SAMPLES_LEAF: Setting = Setting {
    key: "min_samples_leaf",
    default: "1",
    accepted: "a whole number above 0",
    doc: "rows of a leaf at least, whatever their weights; where a forest draws rows each counts as often as drawn",
};
const MIN_SAMPLES_SPLIT: Setting = Setting {
    key: "min_samples_split",
    default: "2",
    accepted: "a whole number of 2 or more",
    doc: "rows of a node that is divided at least",
};
const MIN_WEIGHT_FRACTION_LEAF: Setting = Setting {
    key: "min_weight_fraction_leaf",
    default: "0",
    accepted: "a share from 0 to 0.5",
    doc: "share of the weight of all rows, class weights counted, that a leaf has at least",
};
const MIN_IMPURITY_DECREASE: Setting = Setting {
    key: "min_impurity_decrease",
    default: "0",
    accepted: "a number of 0 or more",
    doc: "what a split must gain more than, per unit of the weight of all rows",
};
const CCP_ALPHA: Setting = Setting {
    key: "ccp_alpha",
    default: "0",
    accepted: "a number of 0 or more",
    doc: "price of a leaf by which the grown tree is pruned, per unit of the weight of all rows; 0 for no pruning",
};
pub(crate) const MAX_BINS: Setting = Setting {
    key: "max_bins",
    default: "255",
    accepted: "exact or a whole number from 2 to 65535",
    doc: "bins of a column at most, not counting that of missing values (categories: 254 at most); exact for one per value",
};

pub(crate) const SPLITTER: Setting = Setting {
    key: "splitter",
    default: "best",
    accepted: "best or random",
    doc: "whether each column is divided where that gains most or at a drawn place, as in extra trees",
};
pub(crate) const CLASS_WEIGHT: Setting = Setting {
    key: "class_weight",
    default: "none",
    accepted: "none or, for classes, balanced",
    doc: "balanced lets all classes count the same",
};
pub(crate) const GROWTH: Setting = Setting {
    key: "growth",
    default: "leaf-wise",
    accepted: "leaf-wise, depth-wise or oblivious",
    doc: "where leaves are limited, divide the node that gains most, or level by level; or all of a level by one test",
};

/// What becomes of categories that training did not see.
pub(crate) const UNSEEN: Setting = Setting {
    key: "unseen",
    default: "missing",
    accepted: "missing, majority or error",
    doc: "whether a category that training did not see counts as missing, goes with the majority at each split, or is refused",
};

/// The policy that is set.
pub(crate) fn unseen(settings: &Settings) -> Result<Unseen> {
    let words = [("missing", Unseen::Missing), ("majority", Unseen::Majority), ("error", Unseen::Error)];
    settings.word(&UNSEEN, &words)
}

const MAX_FEATURES: Setting = Setting {
    key: "max_features",
    default: "all",
    accepted: "all, sqrt, log2, third, a whole number above 0 or a share below 1 such as 0.3",
    doc: "columns that each node looks at, drawn for it",
};

/// What trees are grown with, alone or in a forest.
pub(crate) const GROWING: &[Setting] = &[
    CRITERION,
    MAX_DEPTH,
    MAX_LEAVES,
    MIN_SAMPLES_LEAF,
    MIN_SAMPLES_SPLIT,
    MIN_WEIGHT_FRACTION_LEAF,
    MIN_IMPURITY_DECREASE,
    CLASS_WEIGHT,
    GROWTH,
    constraints::MONOTONE,
    constraints::INTERACTIONS,
    CCP_ALPHA,
    MAX_BINS,
    UNSEEN,
    TASK,
];

pub(crate) static TREE: Family = Family {
    name: "tree",
    summary: "a decision tree; missing values and categories are taken as they are",
    purpose: Purpose::Either,
    several: true,
    processes: false,
    reads_rows: true,
    exact_pieces: true,
    checkpoints: false,
    survival: false,
    two_classes: false,
    holds_out: false,
    settings: &[&[MAX_FEATURES, SPLITTER], GROWING],
    check: |settings| {
        growing(settings, MaxFeatures::All)
            .and(max_features(settings, &MAX_FEATURES))
            .and(task(settings))
            .map(|_| ())
    },
    train: fit,
    continued: None,
    load,
    pieces: Some(pieces),
    exported: Some(|file, format| export::of_tree(&TreeModel::from_file(file)?, format)),
};

/// The number of columns that such a setting says; `None` for `auto`.
pub(crate) fn max_features(settings: &Settings, setting: &Setting) -> Result<Option<MaxFeatures>> {
    let word: String = settings.get(setting)?;
    let number = |word: &str| match (word.parse::<usize>(), word.parse::<f64>()) {
        (Ok(count), _) if count > 0 => Some(MaxFeatures::Count(count)),
        (Err(_), Ok(share)) if share > 0.0 && share < 1.0 => Some(MaxFeatures::Share(share)),
        _ => None,
    };
    Ok(Some(match word.as_str() {
        "auto" if setting.default == "auto" => return Ok(None),
        "all" => MaxFeatures::All,
        "sqrt" => MaxFeatures::Sqrt,
        "log2" => MaxFeatures::Log2,
        "third" => MaxFeatures::Third,
        word => number(word)
            .ok_or_else(|| Error::parameter(setting.key, word, format!("{} is", setting.accepted)))?,
    }))
}

/// What trees are grown with, and the number of bins.
pub(crate) fn growing(settings: &Settings, max_features: MaxFeatures) -> Result<(DecisionTree, MaxBins)> {
    let criteria = [
        ("auto", Criterion::Auto),
        ("gini", Criterion::Gini),
        ("entropy", Criterion::Entropy),
        ("squared", Criterion::Squared),
        ("absolute", Criterion::Absolute),
        ("poisson", Criterion::Poisson),
    ];
    let limit = |setting: &Setting, least: usize| {
        if settings.get::<String>(setting)? == "none" {
            return Ok(None);
        }
        match settings.get::<usize>(setting)? {
            number if number >= least => Ok(Some(number)),
            number => Err(Error::parameter(setting.key, number, format!("{} is", setting.accepted))),
        }
    };
    let whole = |setting: &Setting, least: f64, most: f64| {
        settings.number(setting, |x| (least..=most).contains(&x) && x.fract() == 0.0).map(|x| x as usize)
    };
    let params = DecisionTree {
        criterion: settings.word(&CRITERION, &criteria)?,
        max_depth: limit(&MAX_DEPTH, 0)?,
        max_leaves: limit(&MAX_LEAVES, 1)?,
        min_samples_leaf: whole(&MIN_SAMPLES_LEAF, 1.0, 1e15)?,
        min_samples_split: whole(&MIN_SAMPLES_SPLIT, 2.0, 1e15)?,
        min_weight_fraction_leaf: settings.number(&MIN_WEIGHT_FRACTION_LEAF, |x| (0.0..=0.5).contains(&x))?,
        min_impurity_decrease: settings.number(&MIN_IMPURITY_DECREASE, |x| x >= 0.0 && x.is_finite())?,
        max_features,
        splitter: settings.word(&SPLITTER, &[("best", Splitter::Best), ("random", Splitter::Random)])?,
        growth: settings.word(
            &GROWTH,
            &[
                ("leaf-wise", Growth::LeafWise),
                ("depth-wise", Growth::DepthWise),
                ("oblivious", Growth::Oblivious),
            ],
        )?,
        class_weights: settings
            .word(&CLASS_WEIGHT, &[("none", ClassWeights::Rows), ("balanced", ClassWeights::Balanced)])?,
        ccp_alpha: settings.number(&CCP_ALPHA, |x| x >= 0.0 && x.is_finite())?,
        unseen: unseen(settings)?,
        ..DecisionTree::default()
    };
    params.check()?;
    constraints::check(settings)?;
    let max_bins = match settings.get::<String>(&MAX_BINS)?.as_str() {
        "exact" => MaxBins::Exact,
        word => {
            let refused = || Error::parameter(MAX_BINS.key, word, format!("{} is", MAX_BINS.accepted));
            MaxBins::AtMost(word.parse().map_err(|_| refused())?)
        }
    };
    max_bins.check()?;
    Ok((params, max_bins))
}

fn fit(
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let features = max_features(settings, &MAX_FEATURES)?.unwrap_or_default();
    let (mut params, bins) = growing(settings, features)?;
    constraints::resolve(settings, &roles.inputs(dataset)?, &mut params)?;
    let classify = TREE.classifies(dataset, roles, settings)?;
    Ok(Box::new(TreeModel::fit(&params, bins, classify, dataset, roles, context)?))
}

fn pieces(settings: &Settings, inputs: Vec<String>, roles: &Roles, seed: u64) -> Result<Box<dyn InBytes>> {
    let features = max_features(settings, &MAX_FEATURES)?.unwrap_or_default();
    let (mut params, bins) = growing(settings, features)?;
    constraints::resolve(settings, &inputs, &mut params)?;
    let trainer = PiecesTrainer::new(OneTree(params), bins, task(settings)?, inputs, roles, seed)?;
    Ok(Box::new(Named(FOREST, Box::new(trainer))))
}

fn load(file: &ModelFile<'_>) -> Result<Box<dyn Model>> {
    Ok(Box::new(TreeModel::from_file(file)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_a_number_or_exact() {
        let bins = |word: &str| {
            let settings = Settings::default().with("max_bins", word);
            growing(&settings, MaxFeatures::All).map(|(_, bins)| bins).map_err(|e| e.to_string())
        };
        assert_eq!(growing(&Settings::default(), MaxFeatures::All).unwrap().1, MaxBins::default());
        assert_eq!(bins("exact"), Ok(MaxBins::Exact));
        assert_eq!([bins("2"), bins("65535")], [Ok(MaxBins::AtMost(2)), Ok(MaxBins::AtMost(65_535))]);
        for word in ["1", "65536", "all", "-3", "2.5"] {
            let told = bins(word).unwrap_err();
            assert!(
                told.contains(word) && told.contains("exact or a whole number from 2 to 65535"),
                "{told}"
            );
        }
    }
}
