//! Random forests and extra trees: what `--set` accepts for them, and how they are trained.

use crate::family::task;
use crate::pieces::{self, Named};
use crate::{Family, Purpose, Setting, Settings, constraints, export, tree};
use tilewise_base::metric::check_quantiles;
use tilewise_base::{Context, Dataset, Error, InBytes, Model, ModelFile, Result, Roles};
use tilewise_forest::{ForestModel, MaxSamples, RandomForest};
use tilewise_tree::rounds::pieces::PiecesTrainer;
use tilewise_tree::{DecisionTree, MaxBins, MaxFeatures, Splitter};

const TREES: Setting =
    Setting { key: "trees", default: "100", accepted: "a whole number above 0", doc: "trees of the forest" };
const BOOTSTRAP: Setting = Setting {
    key: "bootstrap",
    default: "true",
    accepted: "true or false",
    doc: "whether each tree gets rows that are drawn with replacement; else all",
};
const MAX_SAMPLES: Setting = Setting {
    key: "max_samples",
    default: "all",
    accepted: "all, a whole number above 0 or a share above 0 and at most 1.0 such as 0.5",
    doc: "rows drawn for each tree, with bootstrap; all is as many as there are",
};
const OUT_OF_BAG: Setting = Setting {
    key: "out_of_bag",
    default: "false",
    accepted: "true or false",
    doc: "whether to judge the forest by what trees say of rows they were grown without",
};
const MAX_FEATURES: Setting = Setting {
    key: "max_features",
    default: "auto",
    accepted: "auto, all, sqrt, log2, third, a whole number above 0 or a share below 1 such as 0.3",
    doc: "columns that each node looks at, drawn for it; auto is sqrt for classes and third for numbers",
};

const QUANTILES: Setting = Setting {
    key: "quantiles",
    default: "none",
    accepted: "none or ascending numbers from 0 to 1 apart by commas, such as 0.1,0.5,0.9",
    doc: "quantiles of a number to predict in place of its mean, each a column of its own",
};

pub(crate) static FOREST: Family = Family {
    name: "forest",
    summary: "a random forest; missing values and categories are taken as they are",
    purpose: Purpose::Either,
    several: true,
    processes: true,
    reads_rows: true,
    exact_pieces: true,
    checkpoints: false,
    survival: false,
    two_classes: false,
    holds_out: false,
    settings: &[&[TREES, BOOTSTRAP, MAX_SAMPLES, OUT_OF_BAG, MAX_FEATURES, QUANTILES], tree::GROWING],
    check: |settings| params(settings, Splitter::Best).and(task(settings)).map(|_| ()),
    train: |dataset, roles, settings, context| fit(Splitter::Best, dataset, roles, settings, context),
    continued: Some(|file, dataset, roles, settings, context| {
        continued(Splitter::Best, file, dataset, roles, settings, context)
    }),
    load,
    pieces: Some(|settings, inputs, roles, seed| pieces(Splitter::Best, settings, inputs, roles, seed)),
    exported: Some(|file, format| export::of_forest(&ForestModel::from_file(file)?, format)),
};

/// Each tree sees all rows, as its authors have it.
const BOOTSTRAP_OF_EXTRA_TREES: Setting = Setting { default: "false", ..BOOTSTRAP };

pub(crate) static EXTRA_TREES: Family = Family {
    name: "extra-trees",
    summary: "a forest of trees that divide columns at drawn places (extremely randomised trees)",
    settings: &[
        &[TREES, BOOTSTRAP_OF_EXTRA_TREES, MAX_SAMPLES, OUT_OF_BAG, MAX_FEATURES, QUANTILES],
        tree::GROWING,
    ],
    check: |settings| params(settings, Splitter::Random).and(task(settings)).map(|_| ()),
    train: |dataset, roles, settings, context| fit(Splitter::Random, dataset, roles, settings, context),
    continued: Some(|file, dataset, roles, settings, context| {
        continued(Splitter::Random, file, dataset, roles, settings, context)
    }),
    pieces: Some(|settings, inputs, roles, seed| pieces(Splitter::Random, settings, inputs, roles, seed)),
    ..FOREST
};

fn load(file: &ModelFile<'_>) -> Result<Box<dyn Model>> {
    Ok(Box::new(ForestModel::from_file(file)?))
}

/// Parameters and the number of bins.
fn params(settings: &Settings, splitter: Splitter) -> Result<(RandomForest, MaxBins)> {
    let truth = |setting: &Setting| settings.word(setting, &[("true", true), ("false", false)]);
    let (tree, bins) = tree::growing(settings, MaxFeatures::All)?;
    let tree = DecisionTree { splitter, ..tree };
    let bootstrap = if splitter == Splitter::Best { BOOTSTRAP } else { BOOTSTRAP_OF_EXTRA_TREES };
    let trees = settings.number(&TREES, |x| (1.0..1e9).contains(&x) && x.fract() == 0.0)?;
    let params = RandomForest {
        trees: trees as usize,
        bootstrap: truth(&bootstrap)?,
        max_samples: max_samples(settings)?,
        max_features: tree::max_features(settings, &MAX_FEATURES)?,
        out_of_bag: truth(&OUT_OF_BAG)?,
        quantiles: quantiles(settings)?,
        tree,
    };
    params.check()?;
    Ok((params, bins))
}

fn max_samples(settings: &Settings) -> Result<MaxSamples> {
    let word: String = settings.get(&MAX_SAMPLES)?;
    match (word.parse::<u64>(), word.parse::<f64>()) {
        _ if word == "all" => Ok(MaxSamples::All),
        (Ok(count), _) if count > 0 => Ok(MaxSamples::Count(count)),
        (Err(_), Ok(share)) if share > 0.0 && share <= 1.0 => Ok(MaxSamples::Share(share)),
        _ => Err(Error::parameter(MAX_SAMPLES.key, word, format!("{} is", MAX_SAMPLES.accepted))),
    }
}

fn quantiles(settings: &Settings) -> Result<Vec<f64>> {
    let text: String = settings.get(&QUANTILES)?;
    if text == "none" {
        return Ok(Vec::new());
    }
    let quantiles = text.split(',').map(|q| q.trim().parse::<f64>()).collect::<Result<Vec<f64>, _>>();
    quantiles
        .ok()
        .filter(|quantiles| check_quantiles(quantiles).is_ok())
        .ok_or_else(|| Error::parameter(QUANTILES.key, text, format!("{} is", QUANTILES.accepted)))
}

/// Parameters with the constraints of a table's columns, the number of bins, and whether classes are to be learned.
fn of_table(
    splitter: Splitter,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
) -> Result<(RandomForest, MaxBins, bool)> {
    let (mut params, bins) = params(settings, splitter)?;
    constraints::resolve(settings, &roles.inputs(dataset)?, &mut params.tree)?;
    let classify = FOREST.classifies(dataset, roles, settings)?;
    Ok((params, bins, classify))
}

fn fit(
    splitter: Splitter,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let (params, bins, classify) = of_table(splitter, dataset, roles, settings)?;
    Ok(Box::new(ForestModel::fit(&params, bins, classify, dataset, roles, context)?))
}

fn pieces(
    splitter: Splitter,
    settings: &Settings,
    inputs: Vec<String>,
    roles: &Roles,
    seed: u64,
) -> Result<Box<dyn InBytes>> {
    let (mut params, bins) = params(settings, splitter)?;
    constraints::resolve(settings, &inputs, &mut params.tree)?;
    let trainer = PiecesTrainer::new(params, bins, task(settings)?, inputs, roles, seed)?;
    Ok(Box::new(Named(pieces::FOREST, Box::new(trainer))))
}

fn continued(
    splitter: Splitter,
    file: &ModelFile<'_>,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let (params, bins, classify) = of_table(splitter, dataset, roles, settings)?;
    let earlier = ForestModel::from_file(file)?;
    Ok(Box::new(earlier.continued(&params, bins, classify, dataset, roles, context)?))
}
