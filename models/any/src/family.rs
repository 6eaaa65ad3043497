//! The families of models: what they are called, what they accept, how they are trained and loaded.

use crate::{Setting, Settings, forest, gbdt, isolation, linear, tree};
use std::io::Read;
use std::path::Path;
use tilewise_base::pool;
use tilewise_base::{Column, Context, Dataset, Engine, Error, Model, ModelFile, Result, Roles, Task, roles};
use tilewise_forest::processes;
use tilewise_gbdt::{ForeignModel, foreign};

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
    /// Whether worker processes can train it.
    pub processes: bool,
    /// Groups of parameters it accepts.
    pub settings: &'static [&'static [Setting]],
    pub(crate) check: fn(&Settings) -> Result<()>,
    pub(crate) train: Train,
    /// How training goes on from a model's file, where it can.
    pub(crate) continued: Option<Continue>,
    pub(crate) load: Load,
}

/// All families, in the order of help texts.
pub static FAMILIES: &[&Family] = &[
    &linear::LINEAR,
    &linear::RIDGE,
    &linear::LOGISTIC,
    &tree::TREE,
    &forest::FOREST,
    &forest::EXTRA_TREES,
    &gbdt::GBDT,
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
    (family.train)(dataset, roles, settings, context)
}

/// Goes on with the training of the model in `file`, which is of the family called `name`. For forests: until there are as many
/// trees as the settings say. The model is the one that the same settings give at once.
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
    if file.kind() != name {
        return Err(
            file.error(format!("holds a model of kind {:?}, which {name} cannot continue", file.kind()))
        );
    }
    continued(file, dataset, roles, settings, context)
}

/// The family, if it accepts the settings, can be trained where it is to be, and there is something to learn.
fn checked(
    name: &str,
    dataset: &Dataset,
    roles: &Roles,
    settings: &Settings,
    context: &Context<'_>,
) -> Result<&'static Family> {
    let family = family(name)?;
    family.check(settings)?;
    if matches!(context.engine, Engine::Processes(_)) && !family.processes {
        let able: Vec<&str> = FAMILIES.iter().filter(|f| f.processes).map(|f| f.name).collect();
        let what = format!("for {name} only threads is; processes train {}", able.join(", "));
        return Err(Error::parameter("engine", "processes", what));
    }
    family.check_targets(roles)?;
    roles.inputs(dataset)?;
    if family.needs_target() {
        let classify = family.classifies(dataset, roles, settings)?;
        let weights = roles.weights(dataset)?;
        for target in roles.needed_targets()? {
            check_target(dataset, target, classify, weights.as_deref())?;
        }
    }
    Ok(family)
}

/// That a target has two values at least, in rows that count.
fn check_target(dataset: &Dataset, target: &str, classify: bool, weights: Option<&[f64]>) -> Result<()> {
    let (values, classes): (Vec<f64>, _) = if classify {
        let (codes, classes) = roles::classes(dataset, target)?;
        (codes.into_iter().map(f64::from).collect(), classes)
    } else {
        (roles::numbers(dataset, target)?, Vec::new())
    };
    let mut counted = values.iter().enumerate().filter(|(row, _)| weights.is_none_or(|w| w[*row] > 0.0));
    let Some((_, first)) = counted.next() else {
        return Err(Error::Fit("there are no rows to learn from".into()));
    };
    let (mut rows, mut varies) = (1, false);
    for (_, value) in counted {
        rows += 1;
        varies |= value != first;
    }
    if rows == 1 {
        return Err(Error::Fit("there is only one row to learn from; at least two are needed".into()));
    }
    if varies {
        return Ok(());
    }
    let value = classes.get(*first as usize).map_or_else(|| first.to_string(), |class| format!("{class:?}"));
    Err(Error::column(
        target,
        format!("is {value} in every row: there is nothing to learn; it needs two values"),
    ))
}

/// What a worker process does for whoever started it: pieces of training. Ends the process when that one has gone.
///
/// # Errors
/// As [`pool::serve`].
pub fn work() -> Result<()> {
    pool::serve(|start| match start.kind.as_str() {
        processes::KIND => processes::begin(start),
        kind => Err(Error::Worker(format!("this program knows no jobs of kind {kind:?}"))),
    })
}

/// The model in the file at `path`: one of ours, or one that LightGBM, XGBoost or CatBoost trained ([`foreign`]). What the file holds
/// decides, not its name.
///
/// # Errors
/// When it cannot be read, is damaged, or is of a family or version that is not known.
pub fn load(path: impl AsRef<Path>) -> Result<Box<dyn Model>> {
    let path = path.as_ref();
    let mut start = Vec::new();
    // A device or pipe may never end: it is refused below.
    if path.is_file() {
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        file.take(START).read_to_end(&mut start).map_err(|e| Error::io(path, e))?;
    }
    if foreign::is_foreign(&start) {
        return Ok(Box::new(ForeignModel::load(path)?));
    }
    open(&ModelFile::load(path)?)
}

/// Bytes that tell whose file it is.
const START: u64 = 64;

/// The model whose file has these bytes.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &[u8]) -> Result<Box<dyn Model>> {
    if foreign::is_foreign(bytes) {
        return Ok(Box::new(ForeignModel::parse(bytes, "the model")?));
    }
    open(&ModelFile::parse(bytes)?)
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
                Task::Regression | Task::Outputs { .. } | Task::Quantiles { .. } => Purpose::Regression,
                Task::Classification { .. } => Purpose::Classification,
                Task::Anomaly { .. } => Purpose::Anomaly,
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
mod tests {
    use super::*;
    use tilewise_base::model_file::Writer;
    use tilewise_base::predict_dataset;

    fn table() -> Dataset {
        let x = Column::F64((0..30).map(f64::from).collect());
        let y = Column::F64((0..30).map(|i| f64::from(3 * i) + f64::from(i % 3)).collect());
        let label = Column::Categorical {
            codes: (0..30).map(|i| u32::from(i % 10 > i / 3)).collect(),
            dictionary: vec!["no".into(), "yes".into()],
        };
        let w = Column::F64((0..30).map(|i| f64::from(u8::from(i == 7))).collect());
        let columns = [("x", x), ("y", y), ("label", label), ("w", w)];
        Dataset::new(columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect()).unwrap()
    }

    fn roles(purpose: Purpose) -> Roles {
        if purpose == Purpose::Anomaly {
            return Roles { ignore: vec!["w".into()], ..Roles::default() };
        }
        let (target, other) = if purpose == Purpose::Regression { ("y", "label") } else { ("label", "y") };
        Roles { ignore: vec![other.into(), "w".into()], ..Roles::target(target) }
    }

    #[test]
    fn every_family_comes_back_from_its_bytes() {
        let data = table();
        let purposes = [Purpose::Regression, Purpose::Classification, Purpose::Anomaly];
        let every = |purpose| FAMILIES.iter().filter(move |f| f.serves(purpose)).map(move |&f| (f, purpose));
        for (family, purpose) in purposes.into_iter().flat_map(every) {
            let roles = roles(purpose);
            let model = train(family.name, &data, &roles, &Settings::default(), &Context::default()).unwrap();
            assert_eq!(model.kind(), family.name);
            assert_eq!(*model.task() == Task::Regression, purpose == Purpose::Regression);
            let bytes = model.to_bytes().unwrap();
            let same = load_bytes(&bytes).unwrap();
            assert_eq!(same.to_bytes().unwrap(), bytes);
            assert_eq!(same.describe(), model.describe());
            let predict = |m: &dyn Model| predict_dataset(m, &data, None).unwrap();
            assert_eq!(predict(&*model), predict(&*same));
        }
    }

    #[test]
    fn declared_defaults_are_accepted_and_other_words_are_not() {
        for family in FAMILIES {
            let mut all = Settings::default();
            for setting in family.parameters() {
                all = all.with(setting.key, setting.default);
                let odd = Settings::default().with(setting.key, "odd");
                let message = family.check(&odd).unwrap_err().to_string();
                assert!(message.contains(setting.key) && message.contains(setting.accepted), "{message}");
            }
            family.check(&all).unwrap();
            let message = family.check(&Settings::default().with("colour", "red")).unwrap_err().to_string();
            let first = family.parameters().next().unwrap().key;
            assert!(message.contains("colour") && message.contains(first), "{message}");
        }
    }

    #[test]
    fn the_target_or_a_word_decides_what_either_predicts() {
        let data = table();
        let task = |target: &str, word: &str| {
            let roles = Roles { ignore: vec!["w".into()], ..Roles::target(target) };
            let settings = Settings::default().with("task", word);
            train("tree", &data, &roles, &settings, &Context::default()).map(|model| model.task().clone())
        };
        assert_eq!(task("y", "auto").unwrap(), Task::Regression);
        assert!(matches!(task("label", "auto").unwrap(), Task::Classification { .. }));
        assert!(
            matches!(task("y", "classification").unwrap(), Task::Classification { classes } if classes.len() > 2)
        );
        assert!(task("label", "regression").unwrap_err().to_string().contains("text"));
        assert!(task("y", "guess").unwrap_err().to_string().contains("auto, regression or classification"));
    }

    #[test]
    fn several_numbers_come_back_from_their_bytes_and_one_is_stored_as_ever() {
        let data = table();
        let roles = |names: &[&str]| {
            let others = ["y", "label", "w"].into_iter().filter(|name| !names.contains(name));
            let targets = names.iter().map(|name| name.to_string()).collect();
            Roles { targets, ignore: others.map(String::from).collect(), ..Roles::default() }
        };
        let fit = |family: &Family, names: &[&str], task: &str| {
            let settings = match family.purpose {
                Purpose::Either => Settings::default().with("task", task),
                _ => Settings::default(),
            };
            train(family.name, &data, &roles(names), &settings, &Context::default())
        };
        let told = |family, names: &[&str], task| fit(family, names, task).err().unwrap().to_string();
        for family in FAMILIES {
            if !family.several {
                let message = told(family, &["y", "w"], "auto");
                let all = ["\"w\"", "besides \"y\"", family.name, "tree, forest, extra-trees learn several"];
                assert!(all.iter().all(|part| message.contains(part)), "{message}");
                continue;
            }
            let model = fit(family, &["y", "w"], "auto").unwrap();
            assert_eq!(*model.task(), Task::Outputs { names: vec!["y".into(), "w".into()] });
            assert_eq!((model.target(), model.targets()), ("", vec!["y", "w"]));
            let bytes = model.to_bytes().unwrap();
            let same = load_bytes(&bytes).unwrap();
            assert_eq!((same.to_bytes().unwrap(), same.targets()), (bytes, vec!["y", "w"]));
            let predict = |m: &dyn Model| predict_dataset(m, &data, None).unwrap();
            let predictions = predict(&*model);
            assert!(predictions == predict(&*same) && predictions.len() == 60);
            // Classes are refused by name; as numbers true and false are accepted, text is not.
            assert!(told(family, &["y", "label"], "auto").contains("\"label\": holds classes"));
            assert!(told(family, &["y", "w"], "classification").contains("\"y\": holds classes"));
            assert!(told(family, &["y", "label"], "regression").contains("\"label\": is text"));
            let one = fit(family, &["y"], "auto").unwrap().to_bytes().unwrap();
            let file = ModelFile::parse(&one).unwrap();
            let (target, task): (String, serde_json::Value) =
                (file.metadata("target").unwrap(), file.metadata("task").unwrap());
            assert_eq!((target, task), ("y".into(), serde_json::json!({"task": "regression"})));
        }
        let constant = Dataset::new(vec![
            ("x".into(), Column::F64(vec![1.0, 2.0, 3.0])),
            ("a".into(), Column::F64(vec![1.0, 2.0, 3.0])),
            ("b".into(), Column::F64(vec![4.0; 3])),
        ]);
        let roles = Roles { targets: vec!["a".into(), "b".into()], ..Roles::default() };
        let fitted = train("tree", &constant.unwrap(), &roles, &Settings::default(), &Context::default());
        assert!(fitted.err().unwrap().to_string().contains("\"b\": is 4 in every row"));
    }

    #[test]
    fn quantiles_come_back_from_their_bytes() {
        let (data, roles) = (table(), roles(Purpose::Regression));
        let settings = Settings::default().with("quantiles", "0.1, 0.5,0.9").with("trees", 20);
        let model = train("forest", &data, &roles, &settings, &Context::default()).unwrap();
        assert_eq!(model.task().names(), ["quantile_0.1", "quantile_0.5", "quantile_0.9"]);
        let bytes = model.to_bytes().unwrap();
        let same = load_bytes(&bytes).unwrap();
        assert_eq!(same.to_bytes().unwrap(), bytes);
        let predict = |m: &dyn Model| predict_dataset(m, &data, None).unwrap();
        let predictions = predict(&*model);
        assert_eq!(predictions, predict(&*same));
        assert!(predictions.chunks(3).all(|row| row.is_sorted()) && predictions.len() == 90);
        for bad in ["0.5,0.1", "2", "0.5,", "half"] {
            let message =
                FAMILIES[4].check(&settings.clone().with("quantiles", bad)).unwrap_err().to_string();
            assert!(message.contains("quantiles") && message.contains("0.1,0.5,0.9"), "{message}");
        }
        let classes = settings.with("task", "classification");
        let refused =
            train("forest", &data, &roles, &classes, &Context::default()).err().unwrap().to_string();
        assert!(refused.contains("quantiles") && refused.contains("classes"), "{refused}");
    }

    #[test]
    fn training_goes_on_where_it_was() {
        let (data, roles) = (table(), roles(Purpose::Regression));
        let settings = |trees: usize| Settings::default().with("trees", trees).with("out_of_bag", true);
        let bytes = |trees| {
            train("forest", &data, &roles, &settings(trees), &Context::default()).unwrap().to_bytes().unwrap()
        };
        let few = bytes(5);
        let go_on = |name: &str, bytes: &[u8], data: &Dataset, settings: &Settings, seed: u64| {
            let context = Context { seed, ..Context::default() };
            let file = ModelFile::parse(bytes).unwrap();
            continue_training(name, &file, data, &roles, settings, &context)
        };
        let more = go_on("forest", &few, &data, &settings(12), 0).unwrap();
        assert_eq!(more.to_bytes().unwrap(), bytes(12));
        let refused = |name: &str, data: &Dataset, settings: &Settings, seed| {
            go_on(name, &few, data, settings, seed).err().map(|e| e.to_string()).unwrap_or_default()
        };
        for (message, part) in [
            (refused("forest", &data, &settings(12), 7), "seed"),
            (refused("forest", &data, &settings(3), 0), "trees"),
            (refused("forest", &data, &settings(12).with("max_depth", 3), 0), "max_depth"),
            (refused("forest", &data, &settings(12).with("max_bins", 9), 0), "max_bins"),
            (refused("forest", &data, &settings(12).with("max_features", 1), 0), "max_features"),
            (refused("forest", &data.take(&(0..29).collect::<Vec<_>>()), &settings(12), 0), "table"),
            (
                refused("tree", &data, &Settings::default(), 0),
                "cannot be continued; that of forest, extra-trees can",
            ),
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let tree = train("tree", &data, &roles, &Settings::default(), &Context::default()).unwrap();
        let message = go_on("forest", &tree.to_bytes().unwrap(), &data, &settings(9), 0).err().unwrap();
        assert!(message.to_string().contains("\"tree\""), "{message}");
    }

    #[test]
    fn nothing_to_learn_is_told() {
        let error = |data: &Dataset, roles: &Roles| {
            let fitted = train("linear", data, roles, &Settings::default(), &Context::default());
            fitted.err().map(|e| e.to_string()).unwrap_or_default()
        };
        let (data, plain) = (table(), roles(Purpose::Regression));
        assert!(error(&data.take(&[3]), &plain).contains("only one row"));
        assert!(error(&data.take(&[3, 3, 3]), &plain).contains("9 in every row"));
        // A class by its name, that of the first row that counts.
        let of_class = |target: Column| {
            let x = Column::F64(vec![1.0, 2.0, 3.0]);
            let w = Column::F64(vec![0.0, 1.0, 1.0]);
            let columns = [("x", x), ("t", target), ("w", w)].map(|(n, c)| (n.to_owned(), c));
            let roles = Roles { weight: Some("w".into()), ..Roles::target("t") };
            let data = Dataset::new(columns.into()).unwrap();
            let fitted = train("logistic", &data, &roles, &Settings::default(), &Context::default());
            fitted.err().map(|e| e.to_string()).unwrap_or_default()
        };
        let dictionary = vec!["no".into(), "yes".into()];
        let message = of_class(Column::Categorical { codes: vec![0, 1, 1], dictionary });
        assert!(message.contains("\"yes\" in every row"), "{message}");
        let message = of_class(Column::F64(vec![3.0, 7.0, 7.0]));
        assert!(message.contains("\"7\" in every row"), "{message}");
        let weighted = Roles { weight: Some("w".into()), ignore: vec!["label".into()], ..plain };
        assert!(error(&data, &weighted).contains("only one row"));
        assert!(family("forrest").err().unwrap().to_string().contains("linear, ridge, logistic"));
        let stranger = Writer::new("stranger", serde_json::json!({})).to_bytes().unwrap();
        assert!(load_bytes(&stranger).err().unwrap().to_string().contains("\"stranger\""));
    }
}
