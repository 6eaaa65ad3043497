//! A fitted model as an object of Python. It is frozen: threads may ask it at the same time.

use crate::cells::{Finite, Source, answer};
use crate::failure::{exception, guarded};
use crate::table::{Matrix, Table};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::any::Any;
use std::path::PathBuf;
use std::slice;
use tilewise_base::outline::{Node, Question, Split};
use tilewise_base::{Dataset, Error, Field, Kind, ModelFile, Outline, Result, Task, replace};
use tilewise_forest::ForestModel;
use tilewise_gbdt::BoostedModel;
use tilewise_kernels::{MatMut, MatRef};
use tilewise_linear::pipeline::Pipeline;
use tilewise_linear::{LinearModel, Link};
use tilewise_tree::{Tree, TreeModel};

/// Rows to answer for: a table, which is used up, or numbers in C order.
#[derive(FromPyObject)]
pub(crate) enum Rows<'py> {
    Array(Matrix<'py>),
    Table(PyRefMut<'py, Table>),
}

/// Rows to answer for, whether their cells may be missing, and the threads to do it with.
#[derive(FromPyObject)]
pub(crate) struct Asked<'py>(Rows<'py>, bool, usize);

/// A fitted model of any family. What Python makes of it once is kept as long as it is there: so it can be referred to weakly.
#[pyclass(frozen, weakref, module = "tilewise._native")]
pub(crate) struct Model {
    model: Box<dyn tilewise_base::Model>,
}

/// What trees are to call inputs and classes, in place of the model's names.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Names {
    features: Option<Vec<String>>,
    classes: Option<Vec<String>>,
}

type Numbers<'py> = Bound<'py, PyArray2<f64>>;

impl Model {
    pub(crate) fn new(model: Box<dyn tilewise_base::Model>) -> Self {
        Self { model }
    }

    /// A tree with other names of inputs and classes, where some are given.
    fn named(&self, tree: usize, names: Names) -> PyResult<Outline> {
        let mut outline = self.model.outline(tree).map_err(exception)?;
        let count = |what: &str, given: usize, there: usize| match given == there {
            true => Ok(()),
            false => Err(PyValueError::new_err(format!("{what} has {given} names, and the model {there}"))),
        };
        if let Some(features) = names.features {
            count("feature_names", features.len(), outline.inputs.len())?;
            outline.inputs.iter_mut().zip(features).for_each(|(input, name)| input.name = name);
        }
        match (names.classes, &mut outline.task) {
            (Some(given), Task::Classification { classes }) => {
                count("class_names", given.len(), classes.len())?;
                *classes = given;
            }
            (Some(_), _) => return Err(PyValueError::new_err("class_names is for models of classes")),
            (None, _) => {}
        }
        Ok(outline)
    }

    /// A tree and the title of its picture.
    fn drawn(&self, tree: usize, names: Names) -> PyResult<(Outline, String)> {
        let outline = self.named(tree, names)?;
        let title = tilewise_picture::title(&*self.model, &outline, tree);
        Ok((outline, title))
    }

    /// The model as one of this type: what only some families can tell.
    fn of<M: tilewise_base::Model>(&self) -> Option<&M> {
        let model: &dyn Any = &*self.model;
        model.downcast_ref()
    }

    /// The trees of a forest, or the one of a single tree.
    fn trees(&self) -> Option<&[Tree]> {
        let one = self.of::<TreeModel>().map(|model| slice::from_ref(model.tree()));
        one.or_else(|| self.of::<ForestModel>().map(|model| model.forest().trees()))
    }

    /// The tree of a single one.
    fn single(&self) -> PyResult<&TreeModel> {
        self.of().ok_or_else(|| PyValueError::new_err("the model is no single tree"))
    }

    /// Asks for `numbers` answers about each row, without the interpreter's lock.
    fn ask<'py>(
        &self,
        py: Python<'py>,
        Asked(mut rows, missing, threads): Asked<'_>,
        numbers: usize,
        f: impl Fn(MatRef<'_, f64>, MatMut<'_, f64>) -> Result<()> + Sync + Send,
    ) -> PyResult<Numbers<'py>> {
        let model = &*self.model;
        let finite = Finite::of(missing);
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

/// What the encoder's columns of each input add to each predictor: rows x (inputs x predictors).
fn linear_parts(pipeline: &Pipeline, cells: MatRef<'_, f64>, mut out: MatMut<'_, f64>) -> Result<()> {
    let encoder = pipeline.encoder();
    let LinearModel { coefficients, intercepts, .. } = pipeline.linear();
    let (width, predictors) = (encoder.width(), intercepts.len());
    // A column of each category, of others one.
    let columns = |field: &Field| match &field.kind {
        Kind::Categorical { dictionary } => dictionary.len(),
        _ => 1,
    };
    let mut row = vec![0.0; width];
    for i in 0..cells.rows() {
        encoder.encode_cells(cells.row_range(i..i + 1), &mut row)?;
        let mut start = 0;
        for (j, field) in encoder.inputs().iter().enumerate() {
            let own = start..start + columns(field);
            for k in 0..predictors {
                let w = &coefficients[k * width..(k + 1) * width][own.clone()];
                out.set(i, j * predictors + k, w.iter().zip(&row[own.clone()]).map(|(w, x)| w * x).sum());
            }
            start = own.end;
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

    /// The model in a file, which is mapped where `mapped` says so.
    #[staticmethod]
    #[pyo3(signature = (path, mapped=false))]
    fn load(py: Python<'_>, path: PathBuf, mapped: bool) -> PyResult<Self> {
        let read = || if mapped { tilewise_models::map(&path) } else { tilewise_models::load(&path) };
        let model = py.detach(|| guarded(|| ready(read()?)));
        model.map(Self::new).map_err(exception)
    }

    /// The bytes of its file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| guarded(|| self.model.to_bytes())).map_err(exception)?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The bytes of its checkpoint, from which its training goes on; None where it has none.
    fn checkpoint<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let bytes = py.detach(|| guarded(|| self.model.checkpoint())).map_err(exception)?;
        Ok(bytes.map(|bytes| PyBytes::new(py, &bytes)))
    }

    /// Writes its file, whole or not at all.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| guarded(|| replace::write(&path, &self.model.to_bytes()?))).map_err(exception)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let bytes = match self.checkpoint(py)? {
            Some(bytes) => bytes,
            None => self.to_bytes(py)?,
        };
        Ok((py.get_type::<Self>().getattr("from_bytes")?, (bytes,)))
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

    /// The categories of an input; none where it has none.
    fn categories(&self, input: usize) -> Vec<String> {
        match self.model.inputs().get(input).map(|field| &field.kind) {
            Some(Kind::Categorical { dictionary }) => dictionary.clone(),
            _ => Vec::new(),
        }
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
        let all = self.model.metadata().map_err(exception)?;
        Ok(all.get(key).map(ToString::to_string))
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
    fn predict<'py>(&self, py: Python<'py>, asked: Asked<'_>) -> PyResult<Numbers<'py>> {
        self.ask(py, asked, self.model.outputs(), |cells, out| self.model.predict(cells, None, out))
    }

    /// The place of the largest output of each row, of equals the first: of a classifier its likeliest class.
    fn likeliest<'py>(&self, py: Python<'py>, asked: Asked<'_>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let outputs = self.model.outputs();
        let places = self.ask(py, asked, 1, |cells, mut out| {
            let mut shares = vec![0.0; cells.rows() * outputs];
            self.model.predict(cells, None, MatMut::new(&mut shares, cells.rows(), outputs)?)?;
            for (i, shares) in shares.chunks_exact(outputs).enumerate() {
                let first = |best, at| if shares[at] > shares[best] { at } else { best };
                out.set(i, 0, (0..outputs).fold(0, first) as f64);
            }
            Ok(())
        })?;
        let places = places.readonly();
        Ok(PyArray1::from_iter(py, places.as_array().iter().map(|&place| place as i64)))
    }

    /// Rows x scores: what predictions are made of, before the link. One score for two classes, else one for each.
    fn scores<'py>(&self, py: Python<'py>, asked: Asked<'_>) -> PyResult<Numbers<'py>> {
        if let Some(pipeline) = self.of::<Pipeline>() {
            let scores = pipeline.linear().intercepts.len();
            return self.ask(py, asked, scores, |x, out| linear_scores(pipeline, x, out));
        }
        if let Some(model) = self.of::<BoostedModel>() {
            let ensemble = model.boosted().ensemble();
            return self.ask(py, asked, ensemble.scores(), |x, out| ensemble.score(x, None, out));
        }
        Err(exception(Error::Fit(format!(
            "a model of family {:?} has no scores besides its predictions",
            self.model.kind()
        ))))
    }

    /// What each input adds: rows x ((1 + inputs) x outputs), the base first.
    fn contributions<'py>(&self, py: Python<'py>, asked: Asked<'_>) -> PyResult<Numbers<'py>> {
        let numbers = (1 + self.model.inputs().len()) * self.model.outputs();
        self.ask(py, asked, numbers, |cells, out| self.model.contributions(cells, out))
    }

    /// The share of each input in what was learned.
    fn importances<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(PyArray1::from_vec(py, self.model.importances().map_err(exception)?))
    }

    /// A tree as indented text.
    fn outline(&self, tree: usize, depth: Option<usize>, lines: usize, names: Names) -> PyResult<String> {
        Ok(self.named(tree, names)?.text(depth, lines))
    }

    /// A tree as an SVG document, down to `depth` questions; None is all of them, as of the next.
    fn picture(&self, tree: usize, depth: Option<usize>, names: Names) -> PyResult<String> {
        let (outline, title) = self.drawn(tree, names)?;
        Ok(tilewise_picture::svg(&outline, title, depth.unwrap_or(usize::MAX)))
    }

    /// A tree in the language of Graphviz, down to `depth` questions.
    fn graphviz(&self, tree: usize, depth: Option<usize>, names: Names) -> PyResult<String> {
        let (outline, title) = self.drawn(tree, names)?;
        Ok(tilewise_picture::dot(&outline, &title, depth.unwrap_or(usize::MAX)))
    }

    /// The number of the leaf that each row comes to in each tree of a forest, or in a single tree: rows x trees. Nodes have the numbers of
    /// those of their tree's outline, the root 0.
    fn leaves<'py>(&self, py: Python<'py>, asked: Asked<'_>) -> PyResult<Numbers<'py>> {
        let trees =
            self.trees().ok_or_else(|| PyValueError::new_err("the model is no tree and no forest"))?;
        self.ask(py, asked, trees.len(), |cells, mut out| {
            tilewise_base::unseen::check(&*self.model, cells)?;
            let mut row = vec![0.0; cells.cols()];
            for i in 0..cells.rows() {
                row.iter_mut().enumerate().for_each(|(j, x)| *x = cells.get(i, j));
                trees.iter().enumerate().for_each(|(k, tree)| out.set(i, k, tree.leaf(&row) as f64));
            }
            Ok(())
        })
    }

    /// A tree as arrays of a number for each node, which have scikit-learn's names; `value` is nodes x outputs. Where categories are asked
    /// about the threshold is NaN.
    fn nodes<'py>(&self, py: Python<'py>, tree: usize) -> PyResult<Bound<'py, PyDict>> {
        let nodes = py.detach(|| guarded(|| self.model.outline(tree))).map_err(exception)?.nodes;
        let splits = || nodes.iter().map(|node| node.split.as_ref());
        let places = |leaf: i64, place: fn(&Split) -> usize| {
            PyArray1::from_iter(py, splits().map(|split| split.map_or(leaf, |split| place(split) as i64)))
        };
        let threshold = |split: Option<&Split>| match split.map(|split| &split.question) {
            None => -2.0,
            Some(Question::UpTo(threshold)) => *threshold,
            Some(Question::OneOf(_)) => f64::NAN,
        };
        let missing_left = |split: Option<&Split>| split.map_or(0, |split| u8::from(split.missing_left));
        let values: Vec<f64> = nodes.iter().flat_map(|node| node.values.iter().copied()).collect();
        let shape = [nodes.len(), values.len() / nodes.len().max(1)];
        let weight = |node: &Node| node.weight;
        let told = PyDict::new(py);
        told.set_item("children_left", places(-1, |split| split.left))?;
        told.set_item("children_right", places(-1, |split| split.right))?;
        told.set_item("feature", places(-2, |split| split.feature))?;
        told.set_item("threshold", PyArray1::from_iter(py, splits().map(threshold)))?;
        told.set_item("missing_go_to_left", PyArray1::from_iter(py, splits().map(missing_left)))?;
        told.set_item("n_node_samples", PyArray1::from_iter(py, nodes.iter().map(|node| node.rows as i64)))?;
        told.set_item("weighted_n_node_samples", PyArray1::from_iter(py, nodes.iter().map(weight)))?;
        told.set_item("value", PyArray1::from_vec(py, values).reshape(shape)?)?;
        Ok(told)
    }

    /// Tree number `number` of a forest, from 0, as a model of its own.
    fn tree(&self, number: usize) -> PyResult<Self> {
        let tree = self.of::<ForestModel>().and_then(|forest| forest.tree(number));
        let found =
            tree.ok_or_else(|| PyIndexError::new_err("the model is no forest with a tree of that number"))?;
        Ok(Self::new(Box::new(found)))
    }

    /// Of a single tree: how many columns each node looks at.
    fn max_features(&self) -> PyResult<usize> {
        let tree = self.single()?;
        Ok(tree.params().max_features.of(tree.tree().inputs().len()))
    }

    /// Of a single tree: the prices of a leaf at which more of it is pruned, ascending from 0, and what pruning has then added to the impurity
    /// of its leaves.
    #[expect(clippy::type_complexity, reason = "two lists that belong together, named above")]
    fn pruning_path<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>)> {
        let path = self.single()?.tree().pruning_path();
        let alphas = PyArray1::from_iter(py, path.iter().map(|step| step.alpha));
        Ok((alphas, PyArray1::from_iter(py, path.iter().map(|step| step.increase))))
    }

    /// Coefficients (predictors x columns), intercepts, and the names of the columns; None where it is not linear.
    #[expect(clippy::type_complexity, reason = "three things that belong together, named above")]
    fn linear<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(Numbers<'py>, Bound<'py, PyArray1<f64>>, Vec<String>)>> {
        let Some(pipeline) = self.of::<Pipeline>() else { return Ok(None) };
        let LinearModel { coefficients, intercepts, .. } = pipeline.linear().clone();
        let (predictors, names) = (intercepts.len(), pipeline.encoder().names());
        let coefficients = PyArray1::from_vec(py, coefficients).reshape([predictors, names.len()])?;
        Ok(Some((coefficients, PyArray1::from_vec(py, intercepts), names)))
    }

    /// What each input adds to each predictor of a linear model, where an input of zeros adds nothing: rows x (inputs x predictors).
    fn parts<'py>(&self, py: Python<'py>, asked: Asked<'_>) -> PyResult<Numbers<'py>> {
        let Some(pipeline) = self.of::<Pipeline>() else {
            return Err(PyValueError::new_err("the model is not linear"));
        };
        let numbers = pipeline.encoder().inputs().len() * pipeline.linear().intercepts.len();
        self.ask(py, asked, numbers, |cells, out| linear_parts(pipeline, cells, out))
    }

    /// Stages of boosting; None where there are none.
    #[getter]
    fn stages(&self) -> Option<usize> {
        self.of::<BoostedModel>().map(|model| model.boosted().stages())
    }

    /// The loss on rows held out, after each stage.
    #[getter]
    fn validation(&self) -> Vec<f64> {
        self.of::<BoostedModel>().map_or_else(Vec::new, |model| model.boosted().validation().to_vec())
    }

    /// The model as it was after so many stages.
    fn first_stages(&self, py: Python<'_>, stages: usize) -> PyResult<Self> {
        let model = py.detach(|| guarded(|| self.model.first_stages(stages)));
        model.map(Self::new).map_err(exception)
    }
}
