//! Isolation forests: what `--set` accepts for them, and how they are trained.

use crate::{Family, Purpose, Setting, Settings, tree};
use tilewise_base::{Context, Dataset, Model, ModelFile, Result, Roles};
use tilewise_forest::{IsolationForest, IsolationModel};

const TREES: Setting =
    Setting { key: "trees", default: "100", accepted: "a whole number above 0", doc: "trees of the forest" };
const SUBSAMPLE: Setting = Setting {
    key: "subsample",
    default: "256",
    accepted: "a whole number of 2 or more",
    doc: "rows that each tree sees, drawn without repetition",
};
const CONTAMINATION: Setting = Setting {
    key: "contamination",
    default: "none",
    accepted: "none or a number above 0 and at most 0.5",
    doc: "share of the training rows to call anomalies; none gives scores alone",
};

pub(crate) static ISOLATION_FOREST: Family = Family {
    name: "isolation-forest",
    summary: "scores unusual rows from 0 to 1; needs no target, and is measured by one of true and false",
    purpose: Purpose::Anomaly,
    several: false,
    processes: false,
    reads_rows: false,
    exact_pieces: false,
    checkpoints: false,
    survival: false,
    two_classes: false,
    holds_out: false,
    settings: &[&[TREES, SUBSAMPLE, CONTAMINATION, tree::UNSEEN]],
    check: |settings| params(settings).map(|_| ()),
    train: fit,
    continued: None,
    load: |file: &ModelFile<'_>| Ok(Box::new(IsolationModel::from_file(file)?)),
    pieces: None,
    exported: None,
};

fn params(settings: &Settings) -> Result<IsolationForest> {
    let whole = |setting: &Setting, least: f64| {
        settings.number(setting, |x| (least..1e9).contains(&x) && x.fract() == 0.0).map(|x| x as usize)
    };
    let contamination = match settings.get::<String>(&CONTAMINATION)?.as_str() {
        "none" => None,
        _ => Some(settings.number(&CONTAMINATION, |x| x > 0.0 && x <= 0.5)?),
    };
    let params = IsolationForest {
        trees: whole(&TREES, 1.0)?,
        subsample: whole(&SUBSAMPLE, 2.0)?,
        contamination,
        unseen: tree::unseen(settings)?,
    };
    params.check()?;
    Ok(params)
}

fn fit(
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    Ok(Box::new(IsolationModel::fit(&params(settings)?, dataset, roles, context)?))
}
