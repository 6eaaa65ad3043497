//! A fitted model as an object of Python. It is frozen: threads may ask it at the same time.

use crate::cells::{Finite, Source, answer};
use crate::failure::{exception, guarded};
use crate::table::{Matrix, Table};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::PathBuf;
use std::sync::OnceLock;
use tilewise_base::{Dataset, Error, ModelFile, Outline, Result, Task, replace};
use tilewise_gbdt::BoostedModel;
use tilewise_kernels::{MatMut, MatRef};
use tilewise_linear::pipeline::Pipeline;
use tilewise_linear::{LinearModel, Link};

/// Rows to answer for: a table, which is used up, or numbers in C order.
#[derive(FromPyObject)]
pub(crate) enum Rows<'py> {
    Array(Matrix<'py>),
    Table(PyRefMut<'py, Table>),
}

/// What is asked beyond the trait of models: the model by its family.
enum Inside {
    Linear(Box<Pipeline>),
    Boosted(Box<BoostedModel>),
    Other,
}

/// A fitted model of any family.
#[pyclass(frozen, module = "tilewise._native")]
pub(crate) struct Model {
    model: Box<dyn tilewise_base::Model>,
    /// Made when it is first asked for.
    inside: OnceLock<Inside>,
}

type Numbers<'py> = Bound<'py, PyArray2<f64>>;

impl Model {
    pub(crate) fn new(model: Box<dyn tilewise_base::Model>) -> Self {
        Self { model, inside: OnceLock::new() }
    }

    /// A tree and the title of its picture.
    fn drawn(&self, tree: usize) -> PyResult<(Outline, String)> {
        let outline = self.model.outline(tree).map_err(exception)?;
        let title = tilewise_picture::title(&*self.model, &outline, tree);
        Ok((outline, title))
    }

    fn inside(&self) -> Result<&Inside> {
        if let Some(inside) = self.inside.get() {
            return Ok(inside);
        }
        let bytes = self.model.to_bytes()?;
        let file = ModelFile::parse(&bytes)?;
        let inside = match self.model.kind() {
            "gbdt" => Inside::Boosted(Box::new(BoostedModel::from_file(&file)?)),
            "linear" | "ridge" | "logistic" | "lasso" | "elastic-net" | "poisson" | "gamma" | "tweedie"
            | "huber" | "quantile" => Inside::Linear(Box::new(Pipeline::from_file(&file)?)),
            _ => Inside::Other,
        };
        Ok(self.inside.get_or_init(|| inside))
    }

    /// Asks for `numbers` answers about each row, without the interpreter's lock.
    fn ask<'py>(
        &self,
        py: Python<'py>,
        mut rows: Rows<'_>,
        missing: bool,
        numbers: usize,
        threads: usize,
        f: impl Fn(MatRef<'_, f64>, MatMut<'_, f64>) -> Result<()> + Sync + Send,
    ) -> PyResult<Numbers<'py>> {
        let model = &*self.model;
        let finite = if missing { Finite::MissingAllowed } else { Finite::All };
        let dataset: Dataset;
        let source = match &mut rows {
            Rows::Table(table) => {
                dataset = table.take()?;
                Source::table(model, &dataset).map_err(exception)?
            }
            Rows::Array(array) => {
                let columns = match array {
                    Matrix::Single(x) => x.shape()[1],
                    Matrix::Double(x) => x.shape()[1],
                };
                Source::check_array(model, columns).map_err(exception)?;
                let source = match array {
                    Matrix::Single(x) => x.as_slice().map(|x| Source::Single(x, columns)),
                    Matrix::Double(x) => x.as_slice().map(|x| Source::Double(x, columns)),
                };
                source.map_err(|_| PyValueError::new_err("an array in C order is accepted"))?
            }
        };
        let (answers, rows) = py
            .detach(|| guarded(|| answer(model, &source, finite, numbers, threads, f)))
            .map_err(exception)?;
        PyArray1::from_vec(py, answers).reshape([rows, numbers])
    }
}

/// Rows of an encoder's columns into scores: the predictor before the link.
fn linear_scores(pipeline: &Pipeline, cells: MatRef<'_, f64>, mut out: MatMut<'_, f64>) -> Result<()> {
    let encoder = pipeline.encoder();
    let LinearModel { coefficients, intercepts, .. } = pipeline.linear();
    let mut row = vec![0.0; encoder.width()];
    // A predictor at a time, as only that is defined for every number of them.
    let predictors: Vec<LinearModel> = coefficients
        .chunks(encoder.width())
        .zip(intercepts)
        .map(|(w, b)| LinearModel { coefficients: w.to_vec(), intercepts: vec![*b], link: Link::Identity })
        .collect();
    for i in 0..cells.rows() {
        encoder.encode_cells(cells.row_range(i..i + 1), &mut row)?;
        for (j, predictor) in predictors.iter().enumerate() {
            let mut score = [0.0];
            predictor.predict_row(&row, 0.0, &mut score)?;
            out.set(i, j, score[0]);
        }
    }
    Ok(())
}

/// A model with all that predictions need: made before a server forks, its workers share it.
fn ready(model: Box<dyn tilewise_base::Model>) -> Result<Box<dyn tilewise_base::Model>> {
    model.prepare().map(|()| model)
}

#[pymethods]
impl Model {
    /// The model whose file has these bytes.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let model = py.detach(|| guarded(|| ready(tilewise_models::load_bytes(bytes)?)));
        model.map(Self::new).map_err(exception)
    }

    /// The model in a file.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let model = py.detach(|| guarded(|| ready(tilewise_models::load(path)?)));
        model.map(Self::new).map_err(exception)
    }

    /// The bytes of its file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| guarded(|| self.model.to_bytes())).map_err(exception)?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Writes its file, whole or not at all.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| guarded(|| replace::write(&path, &self.model.to_bytes()?))).map_err(exception)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        Ok((py.get_type::<Self>().getattr("from_bytes")?, (self.to_bytes(py)?,)))
    }

    #[getter]
    fn kind(&self) -> &str {
        self.model.kind()
    }

    /// `regression`, `outputs`, `quantiles`, `classification`, `ranking`, `survival` or `anomaly`.
    #[getter]
    fn task(&self) -> &'static str {
        match self.model.task() {
            Task::Regression => "regression",
            Task::Outputs { .. } => "outputs",
            Task::Quantiles { .. } => "quantiles",
            Task::Classification { .. } => "classification",
            Task::Ranking { .. } => "ranking",
            Task::Survival { .. } => "survival",
            Task::Anomaly { .. } => "anomaly",
        }
    }

    /// Names of the outputs: of classes where it classifies.
    #[getter]
    fn outputs(&self) -> Vec<String> {
        self.model.task().names()
    }

    /// The score from which on rows are called anomalies.
    #[getter]
    fn threshold(&self) -> Option<f64> {
        match self.model.task() {
            Task::Anomaly { threshold } => *threshold,
            _ => None,
        }
    }

    /// Names and kinds of the inputs.
    #[getter]
    fn inputs(&self) -> Vec<(String, &'static str)> {
        self.model.inputs().iter().map(|field| (field.name.clone(), field.kind.name())).collect()
    }

    /// How the fit went.
    #[getter]
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (report, told) = (self.model.report(), PyDict::new(py));
        told.set_item("converged", report.converged)?;
        told.set_item("stopped", &report.stopped)?;
        told.set_item("objective", report.objective)?;
        told.set_item("optimality", report.optimality)?;
        told.set_item("rounds", report.rounds)?;
        told.set_item("warnings", &report.warnings)?;
        Ok(told)
    }

    /// What its file has under a key, as JSON; None where it has none.
    fn metadata(&self, key: &str) -> PyResult<Option<String>> {
        let bytes = self.model.to_bytes().map_err(exception)?;
        Ok(ModelFile::parse(&bytes).map_err(exception)?.metadata_text(key))
    }

    /// Names and numbers of the tensors of floats, or of signed bytes, in its file: the weights of a network.
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let bytes = self.model.to_bytes().map_err(exception)?;
        let file = ModelFile::parse(&bytes).map_err(exception)?;
        let mut found = Vec::new();
        for name in file.tensors() {
            let shape = file.shape(name).map_err(exception)?;
            let numbers = if let Ok(numbers) = file.tensor_f32(name, shape) {
                PyArray1::from_vec(py, numbers).reshape(shape.to_vec())?.into_any()
            } else if let Ok(numbers) = file.tensor_f64(name, shape) {
                PyArray1::from_vec(py, numbers).reshape(shape.to_vec())?.into_any()
            } else if let Ok(numbers) = file.tensor_i8(name, shape) {
                PyArray1::from_vec(py, numbers).reshape(shape.to_vec())?.into_any()
            } else {
                continue;
            };
            found.push((name.to_owned(), numbers));
        }
        Ok(found)
    }

    /// What `tilewise inspect` prints of it.
    fn describe(&self) -> String {
        self.model.describe()
    }

    /// Rows x outputs.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        rows: Rows<'_>,
        missing: bool,
        threads: usize,
    ) -> PyResult<Numbers<'py>> {
        let predict = |cells: MatRef<'_, f64>, out: MatMut<'_, f64>| self.model.predict(cells, None, out);
        self.ask(py, rows, missing, self.model.outputs(), threads, predict)
    }

    /// Rows x scores: what predictions are made of, before the link. One score for two classes, else one for each.
    fn scores<'py>(
        &self,
        py: Python<'py>,
        rows: Rows<'_>,
        missing: bool,
        threads: usize,
    ) -> PyResult<Numbers<'py>> {
        match py.detach(|| guarded(|| self.inside())).map_err(exception)? {
            Inside::Linear(pipeline) => {
                let scores = pipeline.linear().intercepts.len();
                self.ask(py, rows, missing, scores, threads, |x, out| linear_scores(pipeline, x, out))
            }
            Inside::Boosted(boosted) => {
                let ensemble = boosted.boosted().ensemble();
                self.ask(py, rows, missing, ensemble.scores(), threads, |x, out| ensemble.score(x, None, out))
            }
            Inside::Other => Err(exception(Error::Fit(format!(
                "a model of family {:?} has no scores besides its predictions",
                self.model.kind()
            )))),
        }
    }

    /// What each input adds: rows x ((1 + inputs) x outputs), the base first.
    fn contributions<'py>(&self, py: Python<'py>, rows: Rows<'_>, threads: usize) -> PyResult<Numbers<'py>> {
        let numbers = (1 + self.model.inputs().len()) * self.model.outputs();
        self.ask(py, rows, true, numbers, threads, |cells, out| self.model.contributions(cells, out))
    }

    /// The share of each input in what was learned.
    fn importances<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(PyArray1::from_vec(py, self.model.importances().map_err(exception)?))
    }

    /// A tree as indented text.
    fn outline(&self, tree: usize, depth: Option<usize>, lines: usize) -> PyResult<String> {
        Ok(self.model.outline(tree).map_err(exception)?.text(depth, lines))
    }

    /// A tree as an SVG document, down to `depth` questions.
    fn picture(&self, tree: usize, depth: Option<usize>) -> PyResult<String> {
        let (outline, title) = self.drawn(tree)?;
        Ok(tilewise_picture::svg(&outline, title, depth.unwrap_or(tilewise_picture::DEPTH)))
    }

    /// A tree in the language of Graphviz, down to `depth` questions.
    fn graphviz(&self, tree: usize, depth: Option<usize>) -> PyResult<String> {
        let (outline, title) = self.drawn(tree)?;
        Ok(tilewise_picture::dot(&outline, &title, depth.unwrap_or(usize::MAX)))
    }

    /// Questions from the root of a tree to its deepest leaf, and its leaves.
    fn size(&self, tree: usize) -> PyResult<(usize, usize)> {
        let nodes = self.model.outline(tree).map_err(exception)?.nodes;
        let (mut levels, mut leaves) = (vec![0; nodes.len()], 0);
        for (at, node) in nodes.iter().enumerate() {
            // A node comes before those below it.
            match &node.split {
                Some(split) => {
                    (levels[split.left], levels[split.right]) = (levels[at] + 1, levels[at] + 1);
                }
                None => leaves += 1,
            }
        }
        Ok((levels.into_iter().max().unwrap_or(0), leaves))
    }

    /// Coefficients (predictors x columns), intercepts, and the names of the columns; None where it is not linear.
    #[expect(clippy::type_complexity, reason = "three things that belong together, named above")]
    fn linear<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(Numbers<'py>, Bound<'py, PyArray1<f64>>, Vec<String>)>> {
        let Inside::Linear(pipeline) = self.inside().map_err(exception)? else { return Ok(None) };
        let LinearModel { coefficients, intercepts, .. } = pipeline.linear().clone();
        let (predictors, names) = (intercepts.len(), pipeline.encoder().names());
        let coefficients = PyArray1::from_vec(py, coefficients).reshape([predictors, names.len()])?;
        Ok(Some((coefficients, PyArray1::from_vec(py, intercepts), names)))
    }

    /// Stages of boosting; None where there are none.
    #[getter]
    fn stages(&self) -> PyResult<Option<usize>> {
        match self.inside().map_err(exception)? {
            Inside::Boosted(boosted) => Ok(Some(boosted.boosted().stages())),
            _ => Ok(None),
        }
    }

    /// The loss on rows held out, after each stage.
    #[getter]
    fn validation(&self) -> PyResult<Vec<f64>> {
        match self.inside().map_err(exception)? {
            Inside::Boosted(boosted) => Ok(boosted.boosted().validation().to_vec()),
            _ => Ok(Vec::new()),
        }
    }

    /// The model as it was after so many stages.
    fn first_stages(&self, py: Python<'_>, stages: usize) -> PyResult<Self> {
        let model = py.detach(|| guarded(|| self.model.first_stages(stages)));
        model.map(Self::new).map_err(exception)
    }
}
