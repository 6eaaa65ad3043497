//! Models in formats of others, and what LightGBM, XGBoost and ONNX Runtime make of the files (`golden/export.py`, `golden/network.py`).

use serde_json::Value;
use std::path::{Path, PathBuf};
use tilewise_base::model::UNSEEN;
use tilewise_base::{Field, Kind, Model, ModelFile, Task};
use tilewise_gbdt::{BoostedModel, ForeignModel};
use tilewise_kernels::{MatMut, MatRef};
use tilewise_models::{Format, export, load};

/// The folder that was written, with its cases.
fn cases() -> (PathBuf, Vec<Value>) {
    let folder = std::env::var_os("TILEWISE_EXPORTED").map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/export"));
    let cases = cases_in(&folder);
    assert!(cases.len() >= 10);
    (folder, cases)
}

fn cases_in(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("answers.json")).unwrap();
    let mut all: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(cases) = all["cases"].take() else { panic!("cases are a list") };
    cases
}

fn numbers(rows: &Value) -> Vec<f64> {
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap(),
    };
    rows.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap().iter().map(number)).collect()
}

/// Cells as a model reads them: the number of categories stands for one that the dictionary lacks.
fn cells(rows: &Value, inputs: &[Field]) -> Vec<f64> {
    let mut cells = numbers(rows);
    for row in cells.chunks_exact_mut(inputs.len()) {
        for (cell, field) in row.iter_mut().zip(inputs) {
            if let Kind::Categorical { dictionary } = &field.kind
                && *cell == dictionary.len() as f64
            {
                *cell = UNSEEN;
            }
        }
    }
    cells
}

/// A model with its file.
struct Ours {
    model: Box<dyn Model>,
    boosted: Option<BoostedModel>,
    /// By how much scores of f32 may be off, for each.
    bounds: Vec<f64>,
}

impl Ours {
    fn open(path: &Path) -> Self {
        let model = load(path).unwrap();
        let boosted = (model.kind() == "gbdt")
            .then(|| BoostedModel::from_file(&ModelFile::load(path).unwrap()).unwrap());
        let scores =
            boosted.as_ref().map_or(model.outputs(), |boosted| boosted.boosted().ensemble().scores());
        // Its trees are ours, one of one leaf for what scores start with.
        let text = export(path, Format::XgBoost).unwrap().bytes;
        let read = ForeignModel::parse(&text, "exported").unwrap();
        let bounds = (0..scores).map(|score| read.rounding_of_f32(score)).collect();
        Self { model, boosted, bounds }
    }

    fn matrix(
        &self,
        cells: &[f64],
        columns: usize,
        fill: impl Fn(MatRef<'_, f64>, MatMut<'_, f64>),
    ) -> Vec<f64> {
        let rows = cells.len() / self.model.inputs().len();
        let mut out = vec![0.0; rows * columns];
        fill(
            MatRef::new(cells, rows, self.model.inputs().len()).unwrap(),
            MatMut::new(&mut out, rows, columns).unwrap(),
        );
        out
    }

    /// Predictions of rows of cells, none of which the model refuses.
    fn predicted(&self, cells: &[f64]) -> Vec<f64> {
        self.matrix(cells, self.model.outputs(), |x, out| self.model.predict(x, None, out).unwrap())
    }

    /// Scores; of means these are the predictions.
    fn scores(&self, cells: &[f64]) -> Vec<f64> {
        match &self.boosted {
            None => self.predicted(cells),
            Some(boosted) => {
                let ensemble = boosted.boosted().ensemble();
                self.matrix(cells, ensemble.scores(), |x, out| ensemble.score(x, None, out).unwrap())
            }
        }
    }
}

/// What a library made of rows.
struct Theirs {
    cells: Vec<f64>,
    /// Rows x numbers.
    raw: Option<Vec<f64>>,
    predicted: Vec<f64>,
}

impl Theirs {
    /// Without rows that the model refuses, which no library does.
    fn read(told: &Value, model: &dyn Model) -> Self {
        let cells = cells(&told["x"], model.inputs());
        let width = model.inputs().len();
        let refused = |row: &[f64]| {
            let refuses = model.unseen() == tilewise_base::Unseen::Error;
            refuses
                && row.iter().zip(model.inputs()).enumerate().any(|(input, (cell, field))| {
                    let is_category = matches!(field.kind, Kind::Categorical { .. });
                    is_category && !cell.is_nan() && !(*cell >= 0.0 && model.saw(input, *cell as usize))
                })
        };
        let kept: Vec<bool> = cells.chunks(width).map(|row| !refused(row)).collect();
        let of_kept = |numbers: Vec<f64>| -> Vec<f64> {
            let rows = numbers.chunks(numbers.len() / kept.len()).zip(&kept);
            rows.filter(|(_, kept)| **kept).flat_map(|(row, _)| row.iter().copied()).collect()
        };
        let raw = told.get("raw").map(numbers).map(of_kept);
        let predicted = of_kept(numbers(&told["predicted"]));
        Self { cells: of_kept(cells), raw, predicted }
    }
}

/// Our predictions as a library tells them: of two classes of one score the second alone.
fn told_as(ours: Vec<f64>, theirs: &[f64]) -> Vec<f64> {
    if ours.len() == 2 * theirs.len() { ours.chunks(2).map(|row| row[1]).collect() } else { ours }
}

/// The largest difference, in units of the bound that is stated for it.
fn assert_near(name: &str, ours: &[f64], theirs: &[f64], bound: impl Fn(usize, f64) -> f64) -> f64 {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let mut most: f64 = 0.0;
    for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let bound = bound(at, *a);
        assert!((a - b).abs() <= bound, "{name}, number {at}: {a:e}, theirs {b:e}, up to {bound:e} apart");
        if bound > 0.0 {
            most = most.max((a - b).abs() / bound);
        }
    }
    most
}

#[test]
fn files_are_those_that_the_libraries_read() {
    let (folder, cases) = cases();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let model = folder.join(format!("{name}.safetensors"));
        for (format, ending) in [(Format::LightGbm, "txt"), (Format::XgBoost, "json"), (Format::Onnx, "onnx")]
        {
            let exported = export(&model, format).unwrap();
            let kept = std::fs::read(folder.join(format!("{name}.{ending}"))).unwrap();
            assert!(exported.bytes == kept, "{name} as {format}");
            let told = case["notes"][format.name()].as_str().unwrap();
            assert_eq!(told.lines().count(), exported.notes.len(), "{name}: {told}");
            assert!(
                exported.notes.iter().all(|note| told.contains(note.as_str())),
                "{name} as {format}: {told}"
            );
        }
    }
}

#[test]
fn lightgbm_gives_the_same_bits() {
    let (folder, cases) = cases();
    let mut most: f64 = 0.0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let ours = Ours::open(&folder.join(format!("{name}.safetensors")));
        let mut theirs = Theirs::read(&case["lightgbm"], &*ours.model);
        // Numbers that small are 0 there.
        const ZERO: f64 = 1e-35_f32 as f64;
        theirs.cells.iter_mut().filter(|cell| cell.abs() <= ZERO).for_each(|cell| *cell = 0.0);
        // What it calls raw scores of means are sums.
        if let Some(raw) = theirs.raw.filter(|_| ours.boosted.is_some()) {
            assert_near(name, &ours.scores(&theirs.cells), &raw, |_, _| 0.0);
        }
        let predicted = told_as(ours.predicted(&theirs.cells), &theirs.predicted);
        // Exponentials may differ in the last bit.
        let scale = if ours.boosted.is_some() { 1e-15 } else { 0.0 };
        most = most.max(assert_near(name, &predicted, &theirs.predicted, |_, a| scale * a.abs()));
    }
    println!("{} models, predictions at most {:e} of themselves apart", cases.len(), most * 1e-15);
}

/// What a link makes of scores that are so far apart, in f32.
fn through_link(name: &str, ours: &Ours, predicted: &[f64], theirs: &[f64]) -> f64 {
    use tilewise_gbdt::Link;
    let link = ours.boosted.as_ref().map_or(Link::Identity, BoostedModel::link);
    let worst = ours.bounds.iter().copied().fold(0.0, f64::max);
    // Six roundings of the link; a softmax divides two numbers that are off.
    const OF_LINK: f64 = 6.0 / (1 << 24) as f64;
    let scores = ours.bounds.len();
    assert_near(name, predicted, theirs, |at, a| match link {
        Link::Identity => ours.bounds[at % scores],
        Link::Exp => a * (worst.exp_m1() + OF_LINK),
        // ONNX Runtime takes small ones as 1 minus large ones.
        Link::Logistic => a * (1.0 - a) * worst * 1.01 + OF_LINK / 3.0,
        _ => a * (2.0 * worst + OF_LINK) + OF_LINK * 1e-3,
    })
}

#[test]
fn xgboost_differs_by_the_rounding_of_its_sums() {
    let (folder, cases) = cases();
    let mut most: [f64; 2] = [0.0; 2];
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let ours = Ours::open(&folder.join(format!("{name}.safetensors")));
        let theirs = Theirs::read(&case["xgboost"], &*ours.model);
        let (scores, raw) = (ours.scores(&theirs.cells), theirs.raw.unwrap());
        let apart = assert_near(name, &scores, &raw, |at, _| ours.bounds[at % ours.bounds.len()]);
        most[0] = most[0].max(apart);
        let predicted = told_as(ours.predicted(&theirs.cells), &theirs.predicted);
        most[1] = most[1].max(through_link(name, &ours, &predicted, &theirs.predicted));
    }
    println!(
        "{} models, scores {:.3} and predictions {:.3} of the bound apart",
        cases.len(),
        most[0],
        most[1]
    );
}

#[test]
fn onnx_runtime_differs_by_the_rounding_of_its_sums() {
    let (folder, cases) = cases();
    let mut most: f64 = 0.0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let ours = Ours::open(&folder.join(format!("{name}.safetensors")));
        let mut told = case["onnx"].clone();
        let theirs = Theirs::read(&told, &*ours.model);
        let predicted = ours.predicted(&theirs.cells);
        most = most.max(through_link(name, &ours, &predicted, &theirs.predicted));
        // Rows one by one: trees may be shared out among threads then.
        told["predicted"] = told["alone"].take();
        let alone = Theirs::read(&told, &*ours.model);
        through_link(name, &ours, &predicted, &alone.predicted);
        let Task::Classification { classes } = ours.model.task() else { continue };
        let labels: Vec<&str> =
            case["onnx"]["label"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect();
        let all = Theirs {
            cells: cells(&case["onnx"]["x"], ours.model.inputs()),
            raw: None,
            predicted: Vec::new(),
        };
        for (row, label) in labels.iter().enumerate() {
            // The class that ours finds, unless two are as probable but for rounding.
            let width = ours.model.inputs().len();
            let shares = ours.predicted(&all.cells[row * width..][..width]);
            let best = shares.iter().copied().fold(0.0, f64::max);
            let of_label = shares[classes.iter().position(|class| class == label).unwrap()];
            assert!(best - of_label < 1e-5, "{name}, row {row}: {label}, {shares:?}");
        }
    }
    println!("{} models, {most:.3} of the bound apart", cases.len());
}

/// Of an answer and 1 (of numbers: of a deviation of the target and their distance from its mean): three layers of up to 51 inputs in f32,
/// whose sums have other orders there.
const OF_LAYERS: f64 = 1e-5;

#[test]
fn networks_differ_in_onnx_runtime_by_the_rounding_of_f32() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/network");
    let cases = cases_in(&folder);
    assert_eq!(cases.len(), 8);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let path = folder.join(format!("{name}.safetensors"));
        let (model, exported) = (load(&path).unwrap(), export(&path, Format::Onnx).unwrap());
        assert!(exported.bytes == std::fs::read(folder.join(format!("{name}.onnx"))).unwrap(), "{name}");
        let told = case["notes"].as_str().unwrap();
        assert_eq!(told.lines().count(), exported.notes.len(), "{name}: {told}");
        assert!(exported.notes.iter().all(|note| told.contains(note.as_str())), "{name}: {told}");
        let theirs = Theirs::read(&case["onnx"], &*model);
        let (rows, outputs) = (theirs.cells.len() / model.inputs().len(), model.outputs());
        let mut ours = vec![0.0; rows * outputs];
        let cells = MatRef::new(&theirs.cells, rows, model.inputs().len()).unwrap();
        model.predict(cells, None, MatMut::new(&mut ours, rows, outputs).unwrap()).unwrap();
        // Numbers of the cases are about 1000, with deviations of some 50; a second target has some 0.01.
        let unit = |i: usize| match model.task() {
            Task::Regression => 50.0,
            Task::Outputs { .. } => [50.0, 0.01][i % outputs],
            _ => 1.0,
        };
        assert_near(name, &ours, &theirs.predicted, |i, a| OF_LAYERS * (unit(i) + a.abs()));
        // The file is read as the model, with its names.
        let back = load(folder.join(format!("{name}.onnx"))).unwrap();
        assert_eq!(
            (back.inputs(), back.task(), back.targets()),
            (model.inputs(), model.task(), model.targets())
        );
        let mut read = vec![0.0; rows * outputs];
        back.predict(cells, None, MatMut::new(&mut read, rows, outputs).unwrap()).unwrap();
        if name == "double" {
            assert_near(name, &read, &ours, |i, a| OF_LAYERS * (unit(i) + a.abs()));
        } else {
            assert!(read == ours, "{name}");
        }
        let Task::Classification { classes } = model.task() else { continue };
        for (shares, label) in ours.chunks(outputs).zip(case["onnx"]["label"].as_array().unwrap()) {
            let of_label = shares[classes.iter().position(|class| class == label).unwrap()];
            assert!(shares.iter().all(|share| share - of_label < 1e-5), "{name}: {label}, {shares:?}");
        }
        for format in [Format::LightGbm, Format::XgBoost] {
            let refused = export(&path, format).unwrap_err().to_string();
            assert!(refused.contains("onnx is"), "{refused}");
        }
    }
}
