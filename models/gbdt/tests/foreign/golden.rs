//! What the scripts in `tests/golden` wrote.

use serde_json::Value;
use std::path::PathBuf;
use tilewise_base::model::UNSEEN;
use tilewise_base::{Kind, Model};
use tilewise_gbdt::{ForeignModel, Link};
use tilewise_kernels::{MatMut, MatRef};

/// A model file with rows and the library's answers.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) model: ForeignModel,
    cells: Vec<f64>,
    told: Value,
    /// Rows x scores.
    pub(crate) raw: Vec<f64>,
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub(crate) fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap(),
    }
}

fn numbers(rows: &Value) -> Vec<f64> {
    rows.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap().iter().map(number)).collect()
}

/// All models of a library; `ending` is that of a file whose case tells none.
pub(crate) fn cases(library: &str, ending: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join(format!("{library}.json"))).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let case = |told: &Value| {
        let name = told["name"].as_str().unwrap();
        let file = told["file"].as_str().map_or_else(|| format!("{name}.{ending}"), str::to_owned);
        let model = ForeignModel::load(folder().join(library).join(&file)).unwrap();
        let kinds: Vec<&Kind> = model.inputs().iter().map(|field| &field.kind).collect();
        let cell = |(kind, value): (&&Kind, &Value)| match kind {
            Kind::Categorical { .. } if *value == "nan" => f64::NAN,
            Kind::Categorical { dictionary } => {
                dictionary.iter().position(|text| value == text).map_or(UNSEEN, |place| place as f64)
            }
            _ => number(value),
        };
        let rows = told["x"].as_array().unwrap();
        let cells = rows.iter().flat_map(|row| {
            let row = row.as_array().unwrap();
            assert_eq!(row.len(), kinds.len(), "{name}");
            kinds.iter().zip(row).map(cell)
        });
        let (name, cells, raw) = (format!("{library} {file}"), cells.collect(), numbers(&told["raw"]));
        Case { name, cells, raw, told: told.clone(), model }
    };
    all["cases"].as_array().unwrap().iter().map(case).collect()
}

/// Equal but for so much of 1 and of the size of both.
pub(crate) fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a.to_bits() == b.to_bits() || (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

impl Case {
    pub(crate) fn cells(&self) -> MatRef<'_, f64> {
        let width = self.model.inputs().len();
        MatRef::new(&self.cells, self.cells.len() / width, width).unwrap()
    }

    /// The cells of a row, for messages.
    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.cells[row * self.model.inputs().len()..][..self.model.inputs().len()]
    }

    pub(crate) fn model_scores(&self) -> usize {
        self.raw.len() / self.cells().rows()
    }

    pub(crate) fn scores(&self, model: &ForeignModel) -> Vec<f64> {
        let rows = self.cells().rows();
        let mut out = vec![0.0; self.raw.len()];
        model.scores(self.cells(), None, MatMut::new(&mut out, rows, self.model_scores()).unwrap()).unwrap();
        out
    }

    /// Checks that rows get the same bits alone and in a batch that is large enough for other engines.
    pub(crate) fn check_batches(&self) {
        let (inputs, scores) = (self.model.inputs().len(), self.model_scores());
        let alone = self.scores(&self.model);
        let many = self.cells.repeat(4);
        let rows = many.len() / inputs;
        let mut out = vec![0.0; rows * scores];
        let cells = MatRef::new(&many, rows, inputs).unwrap();
        self.model.scores(cells, None, MatMut::new(&mut out, rows, scores).unwrap()).unwrap();
        let bits = |scores: &[f64]| scores.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(
            rows >= 128 && out.chunks(alone.len()).all(|part| bits(part) == bits(&alone)),
            "{}",
            self.name
        );
        for (row, expected) in alone.chunks(scores).enumerate().take(10) {
            let mut out = vec![0.0; scores];
            let cells = MatRef::new(self.row(row), 1, inputs).unwrap();
            self.model.scores(cells, None, MatMut::new(&mut out, 1, scores).unwrap()).unwrap();
            assert_eq!(bits(&out), bits(expected), "{}", self.name);
        }
    }

    /// Compares predictions; of two classes libraries tell the second alone.
    pub(crate) fn compare_predictions(&self, tolerance: f64) {
        let (rows, outputs) = (self.cells().rows(), self.model.outputs());
        let mut ours = vec![0.0; rows * outputs];
        self.model.predict(self.cells(), None, MatMut::new(&mut ours, rows, outputs).unwrap()).unwrap();
        let theirs = numbers(&self.told["predicted"]);
        let two = matches!(self.model.link(), Link::Logistic | Link::Hinge) && theirs.len() == rows;
        let ours: Vec<f64> = if two {
            ours.chunks(2).map(|row| row[1]).collect()
        } else if self.model.link() == Link::Softmax && theirs.len() == rows {
            // Told as the class alone.
            let best = |row: &[f64]| (0..outputs).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as f64;
            ours.chunks(outputs).map(best).collect()
        } else {
            ours
        };
        assert_eq!(ours.len(), theirs.len(), "{}", self.name);
        for (at, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            assert!(close(*a, *b, tolerance), "{}, prediction {at}: {a:e}, the library {b:e}", self.name);
        }
    }

    /// Checks that what inputs add sums to the score, and compares it where the library told it: rows x scores x (inputs + 1), the base last.
    pub(crate) fn compare_contributions(&self, tolerance: f64) {
        self.check_sums();
        let Some(theirs) = self.told.get("contributions").map(numbers) else { return };
        let (inputs, outputs, scores) =
            (self.model.inputs().len(), self.model.outputs(), self.model_scores());
        let rows = theirs.len() / (scores * (inputs + 1));
        let cells = MatRef::new(&self.cells[..rows * inputs], rows, inputs).unwrap();
        let width = (1 + inputs) * outputs;
        let mut ours = vec![0.0; rows * width];
        self.model.contributions(cells, MatMut::new(&mut ours, rows, width).unwrap()).unwrap();
        for row in 0..rows {
            for score in 0..scores {
                for part in 0..=inputs {
                    let b = theirs[(row * scores + score) * (inputs + 1) + part];
                    // Of two classes the second has the signs of the score.
                    let output = if outputs == scores { score } else { 1 };
                    let a = ours[row * width + (part + 1) % (inputs + 1) * outputs + output];
                    assert!(
                        close(a, b, tolerance),
                        "{}, row {row}, score {score}, input {part}: {a:e}, the library {b:e}",
                        self.name
                    );
                }
            }
        }
    }

    fn check_sums(&self) {
        let (inputs, outputs, scores) =
            (self.model.inputs().len(), self.model.outputs(), self.model_scores());
        let (rows, width) = (self.cells().rows(), (1 + inputs) * outputs);
        let mut ours = vec![0.0; rows * width];
        self.model.contributions(self.cells(), MatMut::new(&mut ours, rows, width).unwrap()).unwrap();
        for (row, (ours, scored)) in
            ours.chunks(width).zip(self.scores(&self.model).chunks(scores)).enumerate()
        {
            let sum = |output: usize| ours.iter().skip(output).step_by(outputs).sum::<f64>();
            for (score, &b) in scored.iter().enumerate() {
                let output = if outputs == scores { score } else { 1 };
                assert!(
                    close(sum(output), b, 1e-12),
                    "{}, row {row}, score {score}: {:e} and {b:e}",
                    self.name,
                    sum(output)
                );
                assert!(outputs == scores || sum(0) == -sum(1));
            }
        }
        self.check_interactions(&ours);
    }

    /// Checks that what inputs of the first rows add together sums to what each adds.
    fn check_interactions(&self, contributions: &[f64]) {
        let (inputs, outputs) = (self.model.inputs().len(), self.model.outputs());
        let (rows, width) = (self.cells().rows().min(5), inputs * inputs * outputs);
        let cells = MatRef::new(&self.cells[..rows * inputs], rows, inputs).unwrap();
        let mut pairs = vec![0.0; rows * width];
        self.model.interactions(cells, MatMut::new(&mut pairs, rows, width).unwrap()).unwrap();
        let of_rows = contributions.chunks((1 + inputs) * outputs);
        for (row, (pairs, ours)) in pairs.chunks(width).zip(of_rows).enumerate() {
            for (at, &single) in ours[outputs..].iter().enumerate() {
                let (input, output) = (at / outputs, at % outputs);
                let line = pairs[input * inputs * outputs..][..inputs * outputs].iter();
                let sum: f64 = line.skip(output).step_by(outputs).sum();
                // Of what may cancel.
                let most = ours.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
                assert!(
                    (sum - single).abs() <= 1e-12 * most,
                    "{}, row {row}, input {input}: {sum:e} {single:e}",
                    self.name
                );
            }
        }
    }
}
