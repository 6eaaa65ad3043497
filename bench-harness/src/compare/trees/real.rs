//! Trees, forests and boosting on real data: beside others' at equal settings, and on categories and missing values as they are
//! beside what other libraries need made of them.

use super::BOOSTING;
use super::ours::{self, Inputs, Model};
use super::paired::{DIGITS, Paired, mean_text};
use crate::compare::peers::{BOOSTERS, Peer, Place, SCIKIT_LEARN};
use crate::compare::system::System;
use crate::scale::cores;
use std::io;
use std::path::{Path, PathBuf};
use tilewise_base::{Column, Dataset, MISSING_CODE, metric, roles, split};
use tilewise_data::{ReadOptions, read};
use tilewise_kernels::parallel::Scheme;
use tilewise_report::Table;
use tilewise_report::worker::{Layout, Operation, Problem, Trees};
use tilewise_tree::Answers;

/// Beside whom trees and forests are judged.
const TREES: &[Peer] = &[SCIKIT_LEARN];

/// Rows that are kept for the test.
const TEST: f64 = 0.25;

/// The folder of data sets that are not part of the project.
pub struct RealData(PathBuf);

impl RealData {
    /// This folder, or that of `TILEWISE_DATA`, or `shared/data` beside the checkout.
    pub fn new(folder: Option<PathBuf>) -> Self {
        let told = || std::env::var_os("TILEWISE_DATA").map(PathBuf::from);
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        Self(folder.or_else(told).unwrap_or_else(beside))
    }
}

/// A table and what is learned from it.
struct Set {
    name: &'static str,
    /// Below the folder of [`RealData`], or of the sets in the command line's binary.
    file: &'static str,
    embedded: bool,
    /// Names of the columns where the file has none.
    columns: &'static [&'static str],
    target: &'static str,
    classify: bool,
}

const fn embedded(name: &'static str, file: &'static str, target: &'static str, classify: bool) -> Set {
    Set { name, file, embedded: true, columns: &[], target, classify }
}

const ADULT: Set = Set {
    name: "adult",
    file: "adult.csv",
    embedded: false,
    columns: &[
        "age",
        "workclass",
        "fnlwgt",
        "education",
        "education-num",
        "marital-status",
        "occupation",
        "relationship",
        "race",
        "sex",
        "capital-gain",
        "capital-loss",
        "hours-per-week",
        "native-country",
        "income",
    ],
    target: "income",
    classify: true,
};

/// Higgs has its label first and no names.
const HIGGS: &[&str] = &[
    "label", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
    "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28",
];

const SETS: [Set; 7] = [
    embedded("iris", "iris.csv", "species", true),
    embedded("breast cancer", "breast_cancer.csv", "diagnosis", true),
    embedded("digits", "digits.csv", "digit", true),
    embedded("diabetes", "diabetes.csv", "progression", false),
    ADULT,
    Set {
        name: "california housing",
        file: "california_housing.csv",
        embedded: false,
        columns: &[],
        target: "median_house_value",
        classify: false,
    },
    Set {
        name: "higgs 7k",
        file: "higgs_7k.train.tsv",
        embedded: false,
        columns: HIGGS,
        target: "label",
        classify: true,
    },
];

impl Set {
    fn path(&self, data: &RealData) -> PathBuf {
        match self.embedded {
            true => Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/data").join(self.file),
            false => data.0.join(self.file),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Real> {
        let columns =
            (!self.columns.is_empty()).then(|| self.columns.iter().map(|&name| name.into()).collect());
        // A number that names a class is one.
        let categorical = if self.classify { vec![self.target.into()] } else { Vec::new() };
        let na = vec!["?".into()];
        let options =
            ReadOptions { header: columns.is_none(), columns, na, categorical, ..ReadOptions::default() };
        let table = read(path, &options).map_err(io::Error::other)?;
        let (answers, strata) = if self.classify {
            let (y, classes) = roles::classes(&table, self.target).map_err(io::Error::other)?;
            (Answers::Classes { y: y.clone(), classes: classes.len() }, Some(y))
        } else {
            (Answers::Numbers(roles::numbers(&table, self.target).map_err(io::Error::other)?), None)
        };
        let inputs = table.names().iter().zip(table.columns()).filter(|(name, _)| *name != self.target);
        let inputs = Dataset::new(inputs.map(|(name, column)| (name.clone(), column.clone())).collect());
        Ok(Real { inputs: inputs.map_err(io::Error::other)?, answers, strata })
    }
}

/// A table that was read.
struct Real {
    inputs: Dataset,
    answers: Answers,
    strata: Option<Vec<u32>>,
}

/// Training and test rows of a table.
struct Parts {
    train: Vec<usize>,
    test: Vec<usize>,
    y: Answers,
    truth: Answers,
}

fn take(answers: &Answers, rows: &[usize]) -> Answers {
    match answers {
        Answers::Classes { y, classes } => {
            Answers::Classes { y: rows.iter().map(|&row| y[row]).collect(), classes: *classes }
        }
        Answers::Numbers(y) => Answers::Numbers(rows.iter().map(|&row| y[row]).collect()),
        Answers::Outputs(y) => {
            Answers::Outputs(y.iter().map(|y| rows.iter().map(|&row| y[row]).collect()).collect())
        }
    }
}

impl Real {
    fn divide(&self, seed: u64) -> io::Result<Parts> {
        let (train, test) =
            split(self.inputs.rows(), TEST, seed, self.strata.as_deref()).map_err(io::Error::other)?;
        let (y, truth) = (take(&self.answers, &train), take(&self.answers, &test));
        Ok(Parts { train, test, y, truth })
    }

    /// The inputs as numbers, as libraries want them that have no categories or missing values: a column of zeros and ones for
    /// each category and for missing ones, and the mean of the training rows for missing numbers. Columns, each with all rows.
    fn encoded(&self, train: &[usize]) -> Vec<Vec<f64>> {
        let mut columns = Vec::new();
        for column in self.inputs.columns() {
            if let Column::Categorical { codes, dictionary } = column {
                let missing = codes.contains(&MISSING_CODE).then_some(MISSING_CODE);
                for level in (0..dictionary.len() as u32).chain(missing) {
                    columns.push(codes.iter().map(|&code| f64::from(u8::from(code == level))).collect());
                }
                continue;
            }
            let present = train.iter().map(|&row| column.cell(row)).filter(|x| !x.is_nan());
            let (sum, count) = present.fold((0.0, 0.0), |(sum, count), x| (sum + x, count + 1.0));
            let mean = if count > 0.0 { sum / count } else { 0.0 };
            let cell = |row| Some(column.cell(row)).filter(|x| !x.is_nan()).unwrap_or(mean);
            columns.push((0..self.inputs.rows()).map(cell).collect());
        }
        columns
    }
}

/// `columns` at `rows`, row by row.
fn rows_of(columns: &[Vec<f64>], rows: &[usize]) -> Vec<f64> {
    rows.iter().flat_map(|&row| columns.iter().map(move |column| column[row])).collect()
}

/// A metric of which more is better, and the digits after its point that tell something.
type Metric = (&'static str, usize);

/// What predictions are judged by: classes by the accuracy, those of boosting, whose probabilities are calibrated, by the log loss
/// too; numbers by the RMSE.
fn metrics(classify: bool, boosting: bool) -> &'static [Metric] {
    match (classify, boosting) {
        (true, true) => &[("accuracy", DIGITS), ("- log loss", DIGITS)],
        (true, false) => &[("accuracy", DIGITS)],
        (false, _) => &[("- RMSE", 2)],
    }
}

/// The metrics of predictions, in the order of [`metrics`]; the log loss is told whether asked for or not.
fn score(truth: &Answers, predicted: &[f64]) -> io::Result<Vec<f64>> {
    let values = || match truth {
        Answers::Classes { y, classes } => Ok(vec![
            metric::accuracy(y, &metric::most_probable(predicted, *classes), None)?,
            -metric::log_loss(y, predicted, *classes, None)?,
        ]),
        Answers::Numbers(y) => Ok(vec![-metric::rmse(y, predicted, None)?]),
        Answers::Outputs(_) => Err(tilewise_base::Error::Fit("several numbers have no score here".into())),
    };
    values().map_err(io::Error::other)
}

/// What is grown: a tree of limited depth, a forest without limits, boosted trees of 31 leaves.
fn settings(
    name: &str,
    seed: u64,
    features: usize,
    classify: bool,
    quick: bool,
) -> [(&'static str, Trees); 3] {
    let (operation, data) = (Operation::Train, name.to_string());
    let candidates = if classify { features.isqrt() } else { features / 3 }.max(1);
    let (categories, boosting) = (0, None);
    let tree =
        Trees { operation, data, seed, categories, trees: 1, depth: 8, leaves: 0, features: 0, boosting };
    let trees = if quick { 10 } else { 100 };
    let forest = Trees { trees, depth: 0, features: candidates, ..tree.clone() };
    let boosted = Trees { trees, depth: 0, leaves: 31, boosting: Some(BOOSTING), ..tree.clone() };
    [("tree of depth 8", tree), ("forest", forest), ("boosting", boosted)]
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

/// Where models are trained for other systems, and the systems that train them.
struct Beside<'a> {
    folder: PathBuf,
    systems: Vec<System<'a>>,
}

impl<'a> Beside<'a> {
    fn new(place: &'a Place, peers: &'a [Peer]) -> io::Result<Self> {
        // Rows of its own: a comparison may be going on beside.
        let folder = place.folder.join("real");
        std::fs::create_dir_all(&folder)?;
        let systems = peers.iter().map(|peer| System::new(peer, cores(), place, false)).collect();
        Ok(Self { folder, systems })
    }
}

/// What a model reached: for every division the metrics.
#[derive(Default)]
struct Reached {
    ours: Vec<Vec<f64>>,
    /// With categories and missing values as they are, where that was asked.
    as_they_are: Vec<Vec<f64>>,
    /// Of each system beside.
    theirs: Vec<Vec<Vec<f64>>>,
}

/// A metric over divisions.
fn over(divisions: &[Vec<f64>], metric: usize) -> Vec<f64> {
    divisions.iter().map(|values| values[metric]).collect()
}

fn paired(a: &[f64], b: &[f64]) -> Paired {
    Paired::of(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// Both tables: beside other systems, and categories and missing values as they are beside encoded ones. Sets whose file is not
/// there are named in the first.
///
/// # Errors
/// When a file cannot be read, a system cannot be prepared, or training fails.
pub fn quality(
    data: &RealData,
    seeds: u64,
    quick: bool,
    target: &Path,
    mut hear: impl FnMut(&str),
) -> io::Result<Vec<Table>> {
    let mut missing = Vec::new();
    let places = [("trees", TREES), ("gbdt", BOOSTERS)]
        .map(|(name, peers)| Place::prepare(name, peers, target, &mut missing, &mut hear));
    let [trees, boosted] = places;
    let (trees, boosted) = (trees?, boosted?);
    if let Some(what) = missing.first() {
        return Err(io::Error::other(what.clone()));
    }
    let (mut trees, mut boosted) = (Beside::new(&trees, TREES)?, Beside::new(&boosted, BOOSTERS)?);
    let title = format!(
        "Real data over {seeds} divisions, equal settings and equal numbers: ours less theirs (standard error)"
    );
    let columns = [
        "<data",
        "rows",
        "features",
        "<model",
        "<metric",
        "ours",
        "<beside",
        "theirs",
        "<ours less theirs",
        "<no worse",
    ];
    let mut beside = Table::new(title, &columns);
    let title =
        "Categories and missing values as they are beside zeros, ones and means, both ours (standard error)";
    let columns = ["<data", "<model", "<metric", "as they are", "encoded", "<difference", "<better"];
    let mut native = Table::new(title, &columns);
    for set in &SETS {
        let path = set.path(data);
        if !path.exists() {
            hear(&format!("left out: {} is not there", path.display()));
            let mut cells = vec![set.name.to_string()];
            cells.resize(10, "-".into());
            beside.push(cells);
            continue;
        }
        let real = set.read(&path)?;
        let mut reached: [Reached; 3] = Default::default();
        let mut features = 0;
        for seed in 1..=seeds {
            hear(&format!("{}, division {seed} of {seeds}", set.name));
            let parts = real.divide(seed)?;
            let encoded = real.encoded(&parts.train);
            features = encoded.len();
            let (x, t) = (rows_of(&encoded, &parts.train), rows_of(&encoded, &parts.test));
            let models = settings(set.name, seed, features, set.classify, quick);
            for (reached, (_, settings)) in reached.iter_mut().zip(&models) {
                let ours = numbers(&x, &t, features, &parts.y, settings)?;
                reached.ours.push(score(&parts.truth, &ours)?);
                if set.name == ADULT.name {
                    let natively = as_they_are(&real, &parts, settings)?;
                    reached.as_they_are.push(score(&parts.truth, &natively)?);
                }
                let others = if settings.boosting.is_some() { &mut boosted } else { &mut trees };
                let problem = give(&others.folder, &x, &t, &parts, features, settings)?;
                reached.theirs.resize(others.systems.len(), Vec::new());
                for (system, theirs) in others.systems.iter_mut().zip(&mut reached.theirs) {
                    theirs.push(score(&parts.truth, &system.solve(&problem)?)?);
                }
            }
        }
        let models = settings(set.name, 0, features, set.classify, quick);
        for (reached, (model, settings)) in reached.iter().zip(&models) {
            let boosting = settings.boosting.is_some();
            let peers = if boosting { BOOSTERS } else { TREES };
            for (k, &(metric, digits)) in metrics(set.classify, boosting).iter().enumerate() {
                let ours = over(&reached.ours, k);
                for (peer, theirs) in peers.iter().zip(&reached.theirs) {
                    let theirs = over(theirs, k);
                    let difference = paired(&ours, &theirs);
                    beside.push([
                        set.name.to_string(),
                        real.inputs.rows().to_string(),
                        features.to_string(),
                        model.to_string(),
                        metric.into(),
                        mean_text(&ours, digits),
                        peer.name.into(),
                        mean_text(&theirs, digits),
                        difference.text(digits),
                        difference.verdict(),
                    ]);
                }
                if !reached.as_they_are.is_empty() {
                    let natively = over(&reached.as_they_are, k);
                    let difference = paired(&natively, &ours);
                    native.push([
                        set.name.to_string(),
                        model.to_string(),
                        metric.into(),
                        mean_text(&natively, digits),
                        mean_text(&ours, digits),
                        difference.text(digits),
                        difference.better().into(),
                    ]);
                }
            }
        }
    }
    Ok([beside, native].into_iter().filter(|table| !table.rows().is_empty()).collect())
}

fn numbers(x: &[f64], t: &[f64], features: usize, y: &Answers, settings: &Trees) -> io::Result<Vec<f64>> {
    let inputs = Inputs::Numbers(narrow(x), features);
    let model = Model::train(&inputs, y, settings, Scheme::Auto).map_err(io::Error::other)?;
    model.predict(&narrow(t), features).map_err(io::Error::other)
}

/// With the share of features at a split that the encoded columns have, which are more.
fn as_they_are(real: &Real, parts: &Parts, settings: &Trees) -> io::Result<Vec<f64>> {
    let (train, test) = (real.inputs.take(&parts.train), real.inputs.take(&parts.test));
    let column = |column: &Column| match column {
        Column::Categorical { codes, dictionary } => ours::Column::Codes(codes.to_vec(), dictionary.len()),
        _ => ours::Column::Numbers((0..train.rows()).map(|row| column.cell(row)).collect()),
    };
    let inputs = Inputs::Columns(train.columns().iter().map(column).collect());
    let features = train.columns().len();
    let candidates = if settings.features > 0 { features.isqrt() } else { 0 };
    let settings = Trees { features: candidates, ..settings.clone() };
    let model = Model::train(&inputs, &parts.y, &settings, Scheme::Auto).map_err(io::Error::other)?;
    let cells: Vec<f64> =
        (0..test.rows()).flat_map(|row| test.columns().iter().map(move |column| column.cell(row))).collect();
    model.predict(&cells, features).map_err(io::Error::other)
}

/// Writes the numbers for other systems.
fn give(
    folder: &Path,
    x: &[f64],
    t: &[f64],
    parts: &Parts,
    features: usize,
    settings: &Trees,
) -> io::Result<Problem> {
    let (classes, y): (usize, Vec<f64>) = match &parts.y {
        Answers::Classes { y, classes } => (*classes, y.iter().map(|&y| f64::from(y)).collect()),
        Answers::Numbers(y) => (0, y.clone()),
        Answers::Outputs(_) => return Err(io::Error::other("several numbers are not compared here")),
    };
    let problem = Problem {
        kind: "real".into(),
        element: "f32".into(),
        shape: vec![parts.train.len(), parts.test.len(), features, classes],
        layout: Layout::default(),
        folder: folder.into(),
    };
    problem.write("x", x)?;
    problem.write("t", t)?;
    problem.write("y", &y)?;
    settings.write(&problem)?;
    Ok(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_sets_are_learned() {
        let nowhere = RealData("nowhere".into());
        for set in SETS.iter().filter(|set| set.embedded) {
            let real = set.read(&set.path(&nowhere)).unwrap();
            let parts = real.divide(1).unwrap();
            let encoded = real.encoded(&parts.train);
            let (x, t) = (rows_of(&encoded, &parts.train), rows_of(&encoded, &parts.test));
            let [_, (_, forest), (_, boosted)] = settings(set.name, 1, encoded.len(), set.classify, true);
            for settings in [forest, boosted] {
                let predicted = numbers(&x, &t, encoded.len(), &parts.y, &settings).unwrap();
                let reached = score(&parts.truth, &predicted).unwrap()[0];
                // Diabetes has a standard deviation of 77; the largest of the others has 10 classes.
                let least = if set.classify { 0.85 } else { -70.0 };
                assert!(reached > least, "{}: {reached}", set.name);
            }
        }
    }

    #[test]
    fn categories_become_zeros_and_ones_and_missing_numbers_means() {
        let codes = vec![0, 1, MISSING_CODE, 0];
        let dictionary = vec!["a".to_string(), "b".to_string()];
        let columns = vec![
            ("n".to_string(), Column::F64(vec![1.0, f64::NAN, 3.0, 100.0].into())),
            ("c".to_string(), Column::Categorical { codes: codes.into(), dictionary }),
        ];
        let real = Real {
            inputs: Dataset::new(columns).unwrap(),
            answers: Answers::Numbers(vec![0.0; 4]),
            strata: None,
        };
        let encoded = real.encoded(&[0, 1, 2]);
        let expected =
            [[1.0, 2.0, 3.0, 100.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        assert_eq!(encoded, expected);
        assert_eq!(rows_of(&encoded, &[3, 1]), [100.0, 1.0, 0.0, 0.0, 2.0, 0.0, 1.0, 0.0]);
    }
}
