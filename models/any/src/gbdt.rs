//! Boosted trees: what `--set` accepts for them, and how they are trained.

use crate::family::{TASK, task};
use crate::pieces::{BOOSTING, Named};
use crate::{Family, Purpose, Setting, Settings, constraints, tree};
use tilewise_base::{Context, Dataset, Error, InBytes, Model, ModelFile, Result, Roles};
use tilewise_gbdt::{BoostedModel, Dart, EarlyStopping, Goss, GradientBoosting, Loss};
use tilewise_tree::rounds::pieces::PiecesTrainer;
use tilewise_tree::{MaxBins, Penalty};

const LOSS: Setting = Setting {
    key: "loss",
    default: "auto",
    accepted: Loss::ACCEPTED,
    doc: "what is made smaller; auto is squared for numbers, logistic for two classes and softmax for more",
};
const STAGES: Setting = Setting {
    key: "stages",
    default: "100",
    accepted: "a whole number above 0",
    doc: "stages: each grows a tree, or one for each of several classes",
};
const LEARNING_RATE: Setting = Setting {
    key: "learning_rate",
    default: "0.1",
    accepted: "a number above 0 and at most 1",
    doc: "the share of each step that is taken",
};
const SUBSAMPLE: Setting = Setting {
    key: "subsample",
    default: "1",
    accepted: "a share above 0 and at most 1",
    doc: "the share of rows that each stage grows on, drawn for it",
};
const GOSS: Setting = Setting {
    key: "goss",
    default: "none",
    accepted: "none or two shares above 0 that are at most 1 together, such as 0.2:0.1",
    doc: "each stage grows on this share of rows, those with the largest derivatives, and on this share drawn from the others",
};
const DROP_RATE: Setting = Setting {
    key: "drop_rate",
    default: "0",
    accepted: "a share of 0 to 1",
    doc: "DART: the share of earlier stages without which a stage is grown, drawn for it; 0 for none",
};
const SKIP_DROP: Setting = Setting {
    key: "skip_drop",
    default: "0.5",
    accepted: "a share of 0 or more and below 1",
    doc: "DART: the share of stages that are grown with all earlier ones",
};
const MAX_DROP: Setting = Setting {
    key: "max_drop",
    default: "50",
    accepted: "a whole number above 0",
    doc: "DART: stages that are dropped at a time, at most",
};
const L2: Setting = Setting {
    key: "l2",
    default: "1",
    accepted: "a number of 0 or more",
    doc: "added to the sums of second derivatives, so that leaves of few rows stay small",
};
const L1: Setting = Setting {
    key: "l1",
    default: "0",
    accepted: "a number of 0 or more",
    doc: "taken off the sums of first derivatives",
};
const MIN_CHILD_WEIGHT: Setting = Setting {
    key: "min_child_weight",
    default: "0.001",
    accepted: "a number of 0 or more",
    doc: "the least sum of second derivatives of a leaf",
};
const MIN_GAIN: Setting = Setting {
    key: "min_gain",
    default: "0",
    accepted: "a number of 0 or more",
    doc: "what a split must gain more than",
};
const CATEGORY_SMOOTHING: Setting = Setting {
    key: "category_smoothing",
    default: "10",
    accepted: "a number of 0 or more",
    doc: "draws the means by which categories are put in order to 0; those of fewer rows, by their second derivatives, stay on one side",
};
const PATH_SMOOTHING: Setting = Setting {
    key: "path_smoothing",
    default: "0",
    accepted: "a number of 0 or more",
    doc: "draws leaves to the nodes above them, those of few rows most",
};
const EARLY_STOPPING: Setting = Setting {
    key: "early_stopping",
    default: "none",
    accepted: "none or a whole number above 0",
    doc: "stop when the loss on rows held out has not become smaller for so many stages, and keep the best",
};
const VALIDATION: Setting = Setting {
    key: "validation",
    default: "0.1",
    accepted: "a share above 0 and below 1",
    doc: "the share of rows that are held out for early_stopping",
};
const MAX_FEATURES: Setting = Setting {
    key: "max_features",
    default: "all",
    accepted: "all, sqrt, log2, third, a whole number above 0 or a share below 1 such as 0.3",
    doc: "columns that each node looks at, drawn for it from those of its level",
};
const COLUMNS_BY_TREE: Setting = Setting {
    key: "columns_by_tree",
    default: "1",
    accepted: "a share above 0 and at most 1",
    doc: "the share of columns that a tree may use, drawn for it",
};
const COLUMNS_BY_LEVEL: Setting = Setting {
    key: "columns_by_level",
    default: "1",
    accepted: "a share above 0 and at most 1",
    doc: "the share of the columns of a tree that each of its levels may use, drawn for it",
};
const MAX_LEAVES: Setting = Setting { default: "31", ..tree::MAX_LEAVES };
const MIN_SAMPLES_LEAF: Setting = Setting {
    default: "20",
    doc: "rows of a leaf at least, whatever their weights",
    ..tree::MIN_SAMPLES_LEAF
};

pub(crate) static GBDT: Family = Family {
    name: "gbdt",
    summary: "gradient boosted trees; missing values and categories are taken as they are",
    purpose: Purpose::Either,
    several: false,
    processes: false,
    reads_rows: true,
    exact_pieces: true,
    checkpoints: true,
    survival: true,
    two_classes: false,
    holds_out: true,
    settings: &[&[
        LOSS,
        STAGES,
        LEARNING_RATE,
        EARLY_STOPPING,
        VALIDATION,
        tree::MAX_DEPTH,
        MAX_LEAVES,
        MIN_SAMPLES_LEAF,
        MIN_CHILD_WEIGHT,
        MIN_GAIN,
        L2,
        L1,
        SUBSAMPLE,
        GOSS,
        DROP_RATE,
        SKIP_DROP,
        MAX_DROP,
        COLUMNS_BY_TREE,
        COLUMNS_BY_LEVEL,
        MAX_FEATURES,
        CATEGORY_SMOOTHING,
        PATH_SMOOTHING,
        tree::CLASS_WEIGHT,
        tree::GROWTH,
        constraints::MONOTONE,
        constraints::INTERACTIONS,
        tree::MAX_BINS,
        tree::UNSEEN,
        TASK,
    ]],
    check: |settings| params(settings).and(task(settings)).map(|_| ()),
    train: fit,
    continued: Some(continued),
    load: |file| Ok(Box::new(BoostedModel::from_file(file)?)),
    pieces: Some(pieces),
    exported: Some(|file, format| BoostedModel::from_file(file)?.export(format)),
};

/// Parameters and the number of bins.
fn params(settings: &Settings) -> Result<(GradientBoosting, MaxBins)> {
    let features = tree::max_features(settings, &MAX_FEATURES)?.unwrap_or_default();
    let filled = settings.clone().or(&MAX_LEAVES).or(&MIN_SAMPLES_LEAF);
    let (mut tree, bins) = tree::growing(&filled, features)?;
    let least_0 = |x: f64| x >= 0.0 && x.is_finite();
    tree.min_impurity_decrease = settings.number(&MIN_GAIN, least_0)?;
    let is_share = |x: f64| x > 0.0 && x <= 1.0;
    tree.columns_by_tree = settings.number(&COLUMNS_BY_TREE, is_share)?;
    tree.columns_by_level = settings.number(&COLUMNS_BY_LEVEL, is_share)?;
    let whole = |x: f64| (1.0..16_777_216.0).contains(&x) && x.fract() == 0.0;
    let share = settings.number(&VALIDATION, |x| x > 0.0 && x < 1.0)?;
    let early_stopping = if settings.get::<String>(&EARLY_STOPPING)? == "none" {
        None
    } else {
        let patience = settings.number(&EARLY_STOPPING, whole)? as usize;
        Some(EarlyStopping { patience, share })
    };
    if early_stopping.is_none() && settings.changes(&VALIDATION) {
        return Err(Error::parameter("validation", share, "it is where early_stopping is given"));
    }
    let params = GradientBoosting {
        loss: settings.get::<String>(&LOSS)?.parse::<Loss>()?,
        stages: settings.number(&STAGES, whole)? as usize,
        learning_rate: settings.number(&LEARNING_RATE, is_share)?,
        subsample: settings.number(&SUBSAMPLE, is_share)?,
        goss: goss(settings)?,
        dart: dart(settings)?,
        penalty: Penalty {
            l2: settings.number(&L2, least_0)?,
            l1: settings.number(&L1, least_0)?,
            min_hessian: settings.number(&MIN_CHILD_WEIGHT, least_0)?,
            category_smoothing: settings.number(&CATEGORY_SMOOTHING, least_0)?,
        },
        path_smoothing: settings.number(&PATH_SMOOTHING, least_0)?,
        tree,
        early_stopping,
    };
    params.check()?;
    Ok((params, bins))
}

/// That whoever names rows to hold out stops early by them, and by no others.
fn check_held_out(params: &GradientBoosting, settings: &Settings, roles: &Roles) -> Result<()> {
    let Some(column) = &roles.held_out else { return Ok(()) };
    let Some(stop) = params.early_stopping else {
        let what = "tells which rows are held out, by which early stopping judges stages: early_stopping must be a number of stages";
        return Err(Error::column(column, what));
    };
    if settings.changes(&VALIDATION) {
        let accepted = format!("without {column:?}, which tells the rows that are held out, it is");
        return Err(Error::parameter(VALIDATION.key, stop.share, accepted));
    }
    Ok(())
}

fn dart(settings: &Settings) -> Result<Option<Dart>> {
    let rate = settings.number(&DROP_RATE, |x| (0.0..=1.0).contains(&x))?;
    let skip = settings.number(&SKIP_DROP, |x| (0.0..1.0).contains(&x))?;
    let most = settings.number(&MAX_DROP, |x| (1.0..1e9).contains(&x) && x.fract() == 0.0)?;
    let given = [&SKIP_DROP, &MAX_DROP].into_iter().find(|setting| settings.changes(setting));
    match given {
        Some(setting) if rate == 0.0 => {
            let value: String = settings.get(setting)?;
            Err(Error::parameter(setting.key, value, "it is where drop_rate is given"))
        }
        _ => Ok((rate > 0.0).then_some(Dart { rate, skip, most: most as usize })),
    }
}

fn goss(settings: &Settings) -> Result<Option<Goss>> {
    let text: String = settings.get(&GOSS)?;
    if text == "none" {
        return Ok(None);
    }
    let share = |word: &str| word.trim().parse::<f64>().ok();
    match text.split_once(':').and_then(|(top, other)| share(top).zip(share(other))) {
        Some((top, other)) if top > 0.0 && other > 0.0 && top + other <= 1.0 => Ok(Some(Goss { top, other })),
        _ => Err(Error::parameter(GOSS.key, text, format!("{} are", GOSS.accepted))),
    }
}

/// Parameters with the constraints of a table's columns, the number of bins, and whether classes are to be learned.
fn of_table(
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
) -> Result<(GradientBoosting, MaxBins, bool)> {
    let (mut params, bins) = params(settings)?;
    check_held_out(&params, settings, roles)?;
    constraints::resolve(settings, &roles.inputs(dataset)?, &mut params.tree)?;
    let classify = GBDT.classifies(dataset, roles, settings)?;
    Ok((params, bins, classify))
}

fn fit(
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let (params, bins, classify) = of_table(dataset, roles, settings)?;
    Ok(Box::new(BoostedModel::fit(&params, bins, classify, dataset, roles, context)?))
}

fn pieces(settings: &Settings, inputs: Vec<String>, roles: &Roles, seed: u64) -> Result<Box<dyn InBytes>> {
    let (mut params, bins) = params(settings)?;
    check_held_out(&params, settings, roles)?;
    constraints::resolve(settings, &inputs, &mut params.tree)?;
    let trainer = PiecesTrainer::new(params, bins, task(settings)?, inputs, roles, seed)?;
    Ok(Box::new(Named(BOOSTING, Box::new(trainer))))
}

fn continued(
    file: &ModelFile<'_>,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let (params, bins, classify) = of_table(dataset, roles, settings)?;
    let earlier = BoostedModel::from_file(file)?;
    Ok(Box::new(earlier.continued(&params, bins, classify, dataset, roles, context)?))
}
