//! The families of models: what they are called, what they accept, how they are trained and loaded.

use crate::pieces::Pieces;
use crate::pieces::processes::{self as pieces, train as in_processes};
use crate::{
    Setting, Settings, elastic_net, forest, gbdt, generalised, group_lasso, isolation, linear, network,
    robust, tree,
};
use std::io::Read;
use std::path::Path;
use tilewise_base::pool;
use tilewise_base::target::SeenTarget;
use tilewise_base::{Column, Context, Dataset, Engine, Error, Model, ModelFile, Result, Roles, Task};
use tilewise_forest::processes;
use tilewise_gbdt::export::{Exported, Format};
use tilewise_gbdt::{ForeignModel, foreign};
use tilewise_network::pipeline::{Pipeline, is_onnx};

/// Whether to predict classes, if the parameter `task` says.
pub(crate) fn task(settings: &Settings) -> Result<Option<bool>> {
    settings.word(&TASK, &[("auto", None), ("regression", Some(false)), ("classification", Some(true))])
}

/// What a family can predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Numbers.
    Regression,
    /// Classes.
    Classification,
    /// Either: what the target holds, unless the parameter `task` says.
    Either,
    /// How unusual rows are; it needs no target.
    Anomaly,
}

/// The parameter of families that predict either.
pub(crate) const TASK: Setting = Setting {
    key: "task",
    default: "auto",
    accepted: "auto, regression or classification",
    doc: "auto is classification for text and booleans, regression for numbers",
};

pub(crate) type Train = fn(&Dataset, &Roles, &Settings, &Context<'_>) -> Result<Box<dyn Model>>;
pub(crate) type Continue =
    fn(&ModelFile<'_>, &Dataset, &Roles, &Settings, &Context<'_>) -> Result<Box<dyn Model>>;
pub(crate) type Load = fn(&ModelFile<'_>) -> Result<Box<dyn Model>>;
pub(crate) type Exporting = fn(&ModelFile<'_>, Format) -> Result<Exported>;

/// A family of models.
pub struct Family {
    /// The name, as in `--model`.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// What it predicts.
    pub purpose: Purpose,
    /// Whether it learns several columns of numbers at once.
    pub several: bool,
    /// Whether worker processes can train its trees; those that are trained on pieces they can too.
    pub processes: bool,
    /// Whether it learns from rows where a table has them ([`Dataset::by_rows`]); else it has columns made of them first.
    pub reads_rows: bool,
    /// Whether its model is the same however the table is cut into pieces, to the last bit.
    pub exact_pieces: bool,
    /// Whether it tells of models on the way ([`Context::checkpoint`]).
    pub checkpoints: bool,
    /// Whether it learns when an event comes.
    pub survival: bool,
    /// Whether the classes that it predicts are two, no more.
    pub two_classes: bool,
    /// Whether it holds rows out that a column tells.
    pub holds_out: bool,
    /// Groups of parameters it accepts.
    pub settings: &'static [&'static [Setting]],
    pub(crate) check: fn(&Settings) -> Result<()>,
    pub(crate) train: Train,
    /// How training goes on from a model's file, where it can.
    pub(crate) continued: Option<Continue>,
    pub(crate) load: Load,
    /// How it is trained on a table in pieces, where it can be.
    pub(crate) pieces: Option<Pieces>,
    /// How its models are written in formats of others, where they can be.
    pub(crate) exported: Option<Exporting>,
}

/// All families, in the order of help texts.
pub static FAMILIES: &[&Family] = &[
    &linear::LINEAR,
    &linear::RIDGE,
    &linear::LOGISTIC,
    &elastic_net::LASSO,
    &elastic_net::ELASTIC_NET,
    &group_lasso::GROUP_LASSO,
    &generalised::POISSON,
    &generalised::GAMMA,
    &generalised::TWEEDIE,
    &robust::HUBER,
    &robust::QUANTILE,
    &tree::TREE,
    &forest::FOREST,
    &forest::EXTRA_TREES,
    &gbdt::GBDT,
    &network::NETWORK,
    &isolation::ISOLATION_FOREST,
];

impl Family {
    /// Whether the target column is one of classes; several are numbers.
    ///
    /// # Errors
    /// When there is no target, one is not there, there are several and the family learns one, or one of several holds classes; when
    /// the parameter `task`, where the family has it, is not one of its words.
    pub fn classifies(&self, dataset: &Dataset, roles: &Roles, settings: &Settings) -> Result<bool> {
        let asked = if self.purpose == Purpose::Either { task(settings)? } else { None };
        let is_of_classes = |name: &str| {
            let column = dataset.column(name)?;
            Ok::<_, Error>(match self.purpose {
                Purpose::Either => asked.unwrap_or(!matches!(column, Column::F32(_) | Column::F64(_))),
                purpose => purpose == Purpose::Classification,
            })
        };
        self.check_targets(roles)?;
        let targets = roles.needed_targets()?;
        if let [target] = targets {
            return is_of_classes(target);
        }
        for target in targets {
            if is_of_classes(target)? {
                let what = "holds classes and is one of several targets, which are to be numbers; task=regression takes true and \
                            false as 1 and 0";
                return Err(Error::column(target, what));
            }
        }
        Ok(false)
    }

    /// Checks that it learns as many target columns as there are.
    ///
    /// # Errors
    /// When there are several and it learns one; names the second, and the families that can.
    pub fn check_targets(&self, roles: &Roles) -> Result<()> {
        match &roles.targets[..] {
            [first, second, ..] if !self.several => {
                let able: Vec<&str> = FAMILIES.iter().filter(|f| f.several).map(|f| f.name).collect();
                let able = able.join(", ");
                Err(Error::column(
                    second,
                    format!(
                        "is a second target, besides {first:?}; {} takes one, {able} learn several",
                        self.name
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Checks that there is no event column, if it does not learn when an event comes.
    ///
    /// # Errors
    /// When there is; names it, and the families that do.
    pub fn check_event(&self, roles: &Roles) -> Result<()> {
        match &roles.event {
            Some(event) if !self.survival => {
                let able: Vec<&str> = FAMILIES.iter().filter(|f| f.survival).map(|f| f.name).collect();
                let what = format!(
                    "is an event column, of which {} does not learn; {} can",
                    self.name,
                    able.join(", ")
                );
                Err(Error::column(event, what))
            }
            _ => Ok(()),
        }
    }

    /// Checks that there is no column of rows to hold out, if it has no use for them.
    ///
    /// # Errors
    /// When there is; names it, and the families that do.
    pub fn check_held_out(&self, roles: &Roles) -> Result<()> {
        match &roles.held_out {
            Some(column) if !self.holds_out => {
                let able: Vec<&str> = FAMILIES.iter().filter(|f| f.holds_out).map(|f| f.name).collect();
                let (name, able) = (self.name, able.join(", "));
                let what = format!(
                    "tells which rows are held out, for which {name} has no use; {able} stops early by them"
                );
                Err(Error::column(column, what))
            }
            _ => Ok(()),
        }
    }

    /// Checks that it tells of models on the way.
    ///
    /// # Errors
    /// When it does not; names the families that do.
    pub fn check_checkpoints(&self) -> Result<()> {
        if self.checkpoints {
            return Ok(());
        }
        let able: Vec<&str> = FAMILIES.iter().filter(|f| f.checkpoints).map(|f| f.name).collect();
        let what = format!("it has no model before the end; checkpoints are for {}", able.join(", "));
        Err(Error::parameter("model", self.name, what))
    }

    /// Checks that there is something to learn, where it learns from targets.
    fn check_values(&self, dataset: &Dataset, roles: &Roles, settings: &Settings) -> Result<()> {
        if self.needs_target() {
            let classify = self.classifies(dataset, roles, settings)?;
            let weights = roles.weights(dataset)?;
            for target in roles.needed_targets()? {
                check_target(dataset, target, classify, weights.as_deref())?;
            }
        }
        Ok(())
    }

    /// Whether it can predict numbers (or classes, or find anomalies).
    pub fn serves(&self, purpose: Purpose) -> bool {
        self.purpose == purpose || self.purpose == Purpose::Either && purpose != Purpose::Anomaly
    }

    /// Whether it learns from a target.
    pub fn needs_target(&self) -> bool {
        self.purpose != Purpose::Anomaly
    }

    /// Checks that it has every parameter given, and that values are accepted.
    ///
    /// # Errors
    /// Naming the first parameter that is not, and what would be accepted.
    pub fn check(&self, settings: &Settings) -> Result<()> {
        settings.check(self.name, self.settings)?;
        (self.check)(settings)
    }

    /// Every parameter it accepts.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Setting> {
        self.settings.iter().copied().flatten()
    }
}

/// The family called `name`.
///
/// # Errors
/// Naming all families when there is none.
pub fn family(name: &str) -> Result<&'static Family> {
    FAMILIES.iter().copied().find(|f| f.name == name).ok_or_else(|| {
        let names = FAMILIES.iter().map(|f| f.name).collect::<Vec<_>>().join(", ");
        Error::parameter("model", name, format!("one of {names} is"))
    })
}

/// Trains a model of the family called `name` on all rows of `dataset`.
///
/// # Errors
/// When a name, a parameter, a role or a cell is not what is accepted (each is named), or there is nothing to learn:
/// fewer than two rows, or a target (any of several) that is the same in every row that has weight.
pub fn train(
    name: &str,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let family = checked(name, dataset, roles, settings, context)?;
    if !network::tells_classes(settings) {
        family.check_values(dataset, roles, settings)?;
    }
    if let (Engine::Processes(workers), false) = (&context.engine, family.processes) {
        return in_processes(family, dataset, roles, settings, workers, context);
    }
    if !family.reads_rows {
        // Before threads that all need them would each make them.
        dataset.columns();
    }
    (family.train)(dataset, roles, settings, context)
}

/// Goes on with the training of the model in `file`, which is of the family called `name`. Until there are as many trees,
/// or stages, as the settings say. The model is the one that the same settings give at once. A network does so where the file is a
/// checkpoint ([`Model::checkpoint`]), until there are as many epochs; else it begins with the weights of the file, and is trained for as many
/// epochs more by an optimiser that begins anew. Its rows may be others.
///
/// # Errors
/// As [`train`], or when the family cannot, the file holds another one, or it was trained with other settings, on another table
/// or with another seed (it names which).
pub fn continue_training(
    name: &str,
    file: &ModelFile<'_>,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<Box<dyn Model>> {
    let family = checked(name, dataset, roles, settings, context)?;
    let Some(continued) = family.continued else {
        let able: Vec<&str> = FAMILIES.iter().filter(|f| f.continued.is_some()).map(|f| f.name).collect();
        let what = format!("its training cannot be continued; that of {} can", able.join(", "));
        return Err(Error::parameter("model", name, what));
    };
    if matches!(context.engine, Engine::Processes(_)) && !family.processes {
        return Err(Error::parameter("engine", "processes", "to go on with a model only threads is"));
    }
    if file.kind() != name {
        return Err(
            file.error(format!("holds a model of kind {:?}, which {name} cannot continue", file.kind()))
        );
    }
    continued(file, dataset, roles, settings, context)
}

/// The family, if it accepts the settings, and can be trained where it is to be.
fn checked(
    name: &str,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<&'static Family> {
    let family = family(name)?;
    family.check(settings)?;
    if matches!(context.engine, Engine::Processes(_)) && !family.processes && family.pieces.is_none() {
        let is_able = |family: &&&Family| family.processes || family.pieces.is_some();
        let able: Vec<&str> = FAMILIES.iter().filter(is_able).map(|f| f.name).collect();
        let what = format!("for {name} only threads is; processes train {}", able.join(", "));
        return Err(Error::parameter("engine", "processes", what));
    }
    if context.checkpoint.is_some() {
        family.check_checkpoints()?;
    }
    family.check_targets(roles)?;
    family.check_event(roles)?;
    family.check_held_out(roles)?;
    roles.inputs(dataset)?;
    Ok(family)
}

/// That a target has two values at least, in rows that count.
pub(crate) fn check_target(
    dataset: &Dataset,
    target: &str,
    classify: bool,
    weights: Option<&[f64]>,
) -> Result<()> {
    SeenTarget::of(dataset, target, Some(classify), weights)?.check(target, None)
}

/// What a worker process does for whoever started it: pieces of training. Ends the process when that one has gone.
///
/// # Errors
/// As [`pool::serve`].
pub fn work() -> Result<()> {
    pool::serve(begin)
}

/// Makes a worker process ready, for [`pool::serve`].
///
/// # Errors
/// When it is started for jobs that are not known, or with what these do not accept.
pub fn begin(start: pool::Start) -> Result<pool::Work> {
    match start.kind.as_str() {
        processes::KIND => processes::begin(start),
        pieces::KIND => pieces::begin(start),
        kind => Err(Error::Worker(format!("this program knows no jobs of kind {kind:?}"))),
    }
}

/// The model in the file at `path`: one of ours, one that LightGBM, XGBoost or CatBoost trained ([`foreign`]), or a network as ONNX
/// ([`Pipeline::from_onnx`]). What the file holds decides, not its name.
///
/// # Errors
/// When it cannot be read, is damaged, or is of a family or version that is not known.
pub fn load(path: impl AsRef<Path>) -> Result<Box<dyn Model>> {
    let path = path.as_ref();
    match owner(path)? {
        Owner::Boosting => Ok(Box::new(ForeignModel::load(path)?)),
        Owner::Onnx => Ok(Box::new(network_at(path)?)),
        Owner::Tilewise => open(&ModelFile::load(path)?),
    }
}

/// Whose model a file is.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Tilewise,
    /// Another library for boosted trees.
    Boosting,
    Onnx,
}

impl Owner {
    fn of(start: &[u8]) -> Self {
        match () {
            () if foreign::is_foreign(start) => Self::Boosting,
            () if is_onnx(start) => Self::Onnx,
            () => Self::Tilewise,
        }
    }
}

/// Whose model a file is, by its beginning.
fn owner(path: &Path) -> Result<Owner> {
    let mut start = Vec::new();
    // A device or pipe may never end: reading our files refuses it.
    if path.is_file() {
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        file.take(START).read_to_end(&mut start).map_err(|e| Error::io(path, e))?;
    }
    Ok(Owner::of(&start))
}

/// The network in a file of ONNX.
fn network_at(path: &Path) -> Result<Pipeline> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    Pipeline::from_onnx(&bytes, &path.display().to_string())
}

/// The model in the file at `path` in a format of others: trees, forests, extra-trees and gbdt, and what another library trained, where
/// its cells are read as they are; networks as ONNX.
///
/// # Errors
/// As [`load`], or when the format cannot hold the model (says what), or the family is written in none.
pub fn export(path: impl AsRef<Path>, format: Format) -> Result<Exported> {
    let path = path.as_ref();
    match owner(path)? {
        Owner::Boosting => return ForeignModel::load(path)?.export(format),
        Owner::Onnx => return network::exported(&network_at(path)?, format),
        Owner::Tilewise => {}
    }
    let file = ModelFile::load(path)?;
    if file.kind() == foreign::KIND {
        return ForeignModel::from_file(&file)?.export(format);
    }
    // That it is one of ours, and may be used.
    open(&file)?;
    let exported =
        FAMILIES.iter().find(|family| family.name == file.kind()).and_then(|family| family.exported);
    let Some(exported) = exported else {
        let able: Vec<&str> = FAMILIES.iter().filter(|f| f.exported.is_some()).map(|f| f.name).collect();
        let what = format!(
            "holds a model of kind {:?}; formats of others are written of {}",
            file.kind(),
            able.join(", ")
        );
        return Err(file.error(what));
    };
    exported(&file, format)
}

/// The model in the file at `path`, which stays there: the trees of ensembles are read where the file is mapped, in pages that all
/// processes share that map it. What is small beside these is read, and so are networks, whose weights are packed again for their products, forests that predict
/// quantiles, and isolation forests. A file that is mapped is replaced by `rename`, never written to in place, which nothing keeps root from: a
/// process that has mapped it would read what nobody checked, or end. Batches take the way of single rows: see [`Engine`](tilewise_tree::Engine).
///
/// # Errors
/// As [`load`], when somebody may write to the file (`chmod a-w`), when it belongs to neither this user nor root, or is not one of ours.
pub fn map(path: impl AsRef<Path>) -> Result<Box<dyn Model>> {
    let path = path.as_ref();
    if owner(path)? != Owner::Tilewise {
        let what = "is another library's; model files of Tilewise are mapped".into();
        return Err(Error::ModelFile { file: path.display().to_string(), what });
    }
    open(&ModelFile::map(path)?)
}

/// Bytes that tell whose file it is.
const START: u64 = 64;

/// The model whose file has these bytes.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &[u8]) -> Result<Box<dyn Model>> {
    match Owner::of(bytes) {
        Owner::Boosting => Ok(Box::new(ForeignModel::parse(bytes, "the model")?)),
        Owner::Onnx => Ok(Box::new(Pipeline::from_onnx(bytes, "the model")?)),
        Owner::Tilewise => open(&ModelFile::parse(bytes)?),
    }
}

fn open(file: &ModelFile<'_>) -> Result<Box<dyn Model>> {
    // No family: nothing here trains such models.
    if file.kind() == foreign::KIND {
        return Ok(Box::new(ForeignModel::from_file(file)?));
    }
    match FAMILIES.iter().find(|f| f.name == file.kind()) {
        Some(family) => {
            let model = (family.load)(file)?;
            let purpose = match model.task() {
                Task::Classification { .. } => Purpose::Classification,
                Task::Anomaly { .. } => Purpose::Anomaly,
                _ => Purpose::Regression,
            };
            if family.serves(purpose) && (family.several || model.targets().len() < 2) {
                return Ok(model);
            }
            Err(file.error(format!("its task is not one of family {:?}", family.name)))
        }
        None => {
            let names = FAMILIES.iter().map(|f| f.name).collect::<Vec<_>>().join(", ");
            Err(file.error(format!("holds a model of kind {:?}; known are {names}", file.kind())))
        }
    }
}

#[cfg(test)]
mod tests;
