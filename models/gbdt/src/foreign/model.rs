//! A model of another library, as one of ours.

use super::cells::{Reading, read};
use crate::export::{Exported, Format, Sum};
use crate::{Ensemble, Link};
use serde::{Deserialize, Serialize};
use tilewise_base::{
    Error, Field, FitReport, Kind, Model, Outline, Result, Task, Unseen, predict_rows, unseen,
};
use tilewise_kernels::{MatMut, MatRef, same};
use tilewise_tree::{Tree, outline, show_importances};

/// The kind of the files in which we keep such models.
pub const KIND: &str = "boosted-import";

/// Who trained a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    /// LightGBM.
    LightGbm,
    /// XGBoost.
    XgBoost,
    /// CatBoost.
    CatBoost,
}

impl Library {
    /// As it writes itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::LightGbm => "LightGBM",
            Self::XgBoost => "XGBoost",
            Self::CatBoost => "CatBoost",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::LightGbm => "lightgbm",
            Self::XgBoost => "xgboost",
            Self::CatBoost => "catboost",
        }
    }
}

/// What becomes of the sum of leaves: times `times`, divided by `over`, plus one of `plus` for each score; and `slope` times that
/// goes into the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scale {
    pub(super) times: f64,
    pub(super) over: f64,
    pub(super) plus: Vec<f64>,
    pub(super) slope: f64,
}

impl Scale {
    /// Sums as they are: -0 + x is x for both zeros.
    pub(super) fn none(scores: usize) -> Self {
        Self { times: 1.0, over: 1.0, plus: vec![-0.0; scores], slope: 1.0 }
    }

    fn score(&self, score: usize, sum: f64) -> f64 {
        self.of_parts(sum) + self.plus[score]
    }

    fn of_parts(&self, sum: f64) -> f64 {
        sum * self.times / self.over
    }
}

/// Boosted trees that another library trained: predicted, explained and stored as ours are.
///
/// Contributions and outlines are those of scores: what is predicted before the link. Where two classes are told by one score, the
/// contributions to the first class are those to the second with the other sign.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignModel {
    pub(super) library: Library,
    pub(super) inputs: Vec<Field>,
    pub(super) readings: Vec<Reading>,
    pub(super) ensemble: Ensemble,
    /// The score of each tree, in the order of the file.
    pub(super) order: Vec<u32>,
    pub(super) scale: Scale,
    pub(super) link: Link,
    pub(super) task: Task,
    pub(super) refuses_unseen: bool,
    pub(super) report: FitReport,
}

impl ForeignModel {
    /// Who trained it.
    pub fn library(&self) -> Library {
        self.library
    }

    /// What makes predictions of scores.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Number of trees; of several scores those of all.
    pub fn trees(&self) -> usize {
        self.order.len()
    }

    /// How far a score may be off from that of XGBoost, which sums in f32: (trees + 2) x 2^-24 x (|base| + sum over trees of the
    /// largest |leaf|). O(nodes).
    ///
    /// # Panics
    /// When there is no such score.
    pub fn rounding_of_f32(&self, score: usize) -> f64 {
        let trees = self.ensemble.trees(score);
        let largest = |tree: &Tree| {
            let leaves = tree.nodes().enumerate().filter(|(_, node)| node.test.is_none());
            leaves.flat_map(|(at, _)| tree.numbers(at)).fold(0.0, |most: f64, x| most.max(x.abs()))
        };
        let all: f64 = self.scale.plus[score].abs() + trees.iter().map(largest).sum::<f64>();
        (trees.len() + 2) as f64 * all / (1 << 24) as f64
    }

    /// That parts fit each other.
    pub(super) fn check(&self) -> Result<(), String> {
        let Scale { times, over, plus, slope } = &self.scale;
        let scores = self.ensemble.scores();
        if plus.len() != scores
            || ![times, over, slope].into_iter().chain(plus).all(|x| x.is_finite())
            || *over == 0.0
        {
            return Err("the scale of its scores is not one".to_owned());
        }
        let one = !matches!(self.link, Link::Logistic | Link::Hinge) || scores == 1;
        if !one || self.link.outputs(scores) != self.task.outputs() {
            let outputs = self.task.outputs();
            return Err(format!("{scores} scores do not make {outputs} outputs by the link {:?}", self.link));
        }
        if self.readings.len() != self.inputs.len() {
            return Err(format!("it reads {} inputs of {}", self.readings.len(), self.inputs.len()));
        }
        Ok(())
    }

    /// The model in another format, where cells are read as they are and predictions are made of scores as they are.
    ///
    /// # Errors
    /// When they are not, trees do not add to scores in turn, or the format cannot hold the model; says what.
    pub fn export(&self, format: Format) -> Result<Exported> {
        let refused =
            |what: String| Error::Fit(format!("{} cannot be exported: {what}", self.library.name()));
        let mut read = self.inputs.iter().zip(&self.readings);
        if let Some((input, _)) = read.find(|(_, reading)| **reading != Reading::AsIs) {
            let what = "is read by rules of the library (categories by number, zeros as missing)";
            return Err(refused(format!("column {:?} {what}", input.name)));
        }
        let Scale { times, over, plus, slope } = &self.scale;
        if *times != 1.0 || *slope != 1.0 {
            return Err(refused(format!("its scores are multiplied, by {times} or {slope}")));
        }
        Sum {
            inputs: &self.inputs,
            task: &self.task,
            targets: Vec::new(),
            offset: None,
            unseen: self.unseen(),
            trees: self.in_order().zip(&self.order).map(|(tree, &score)| (tree, score as usize)).collect(),
            base: plus.clone(),
            over: *over,
            link: self.link,
            loss: None,
        }
        .export(format)
    }

    /// Tree number `tree` of the file.
    fn tree(&self, tree: usize) -> Option<&Tree> {
        let score = *self.order.get(tree)?;
        let before = self.order[..tree].iter().filter(|&&other| other == score).count();
        self.ensemble.trees(score as usize).get(before)
    }

    /// All trees in the order of the file.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Tree> {
        let mut next = vec![0; self.ensemble.scores()];
        self.order.iter().map(move |&score| {
            let place = &mut next[score as usize];
            *place += 1;
            &self.ensemble.trees(score as usize)[*place - 1]
        })
    }

    /// Writes the scores of rows of cells, which the libraries call raw scores or margins: `out` is rows x scores. `offset` is added
    /// to all scores of its row.
    ///
    /// # Errors
    /// When shapes do not fit, or a category is one that the model refuses.
    pub fn scores(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        if let Some(offset) = offset {
            same("offsets", cells.rows(), offset.len())?;
        }
        let copy = self.read(cells)?;
        let cells = match &copy {
            Some(copy) => MatRef::new(copy, cells.rows(), cells.cols())?,
            None => cells,
        };
        let (rows, scores) = (cells.rows(), self.ensemble.scores());
        let mut sums = vec![0.0; rows * scores];
        self.ensemble.score(cells, None, MatMut::new(&mut sums, rows, scores)?)?;
        let mut out = out;
        same("rows of out", rows, out.rows())?;
        same("columns of out", scores, out.cols())?;
        for (row, sums) in sums.chunks_exact(scores).enumerate() {
            for (score, &sum) in sums.iter().enumerate() {
                let scaled = self.scale.score(score, sum);
                out.set(row, score, offset.map_or(scaled, |offset| scaled + offset[row]));
            }
        }
        Ok(())
    }

    /// The cells as trees test them; `None` where that is as they are.
    fn read(&self, cells: MatRef<'_, f64>) -> Result<Option<Vec<f64>>> {
        unseen::check(self, cells)?;
        let copy = read(&self.readings, cells);
        if let Some(copy) = copy.as_deref().filter(|_| self.refuses_unseen) {
            let is_place = |reading: &Reading| matches!(reading, Reading::Places { .. });
            for (at, cell) in copy.iter().enumerate().filter(|(_, cell)| **cell < 0.0) {
                let (row, input) = (at / self.inputs.len(), at % self.inputs.len());
                if *cell == tilewise_base::model::UNSEEN && is_place(&self.readings[input]) {
                    let what = format!(
                        "{} is not a category that training saw, and the model refuses others",
                        cells.get(row, input)
                    );
                    return Err(Error::cell(row, &self.inputs[input].name, what));
                }
            }
        }
        Ok(copy)
    }
}

impl Model for ForeignModel {
    fn kind(&self) -> &str {
        self.library.kind()
    }
    fn inputs(&self) -> &[Field] {
        &self.inputs
    }
    /// Their files do not tell what it was called.
    fn target(&self) -> &str {
        ""
    }
    fn task(&self) -> &Task {
        &self.task
    }
    fn report(&self) -> &FitReport {
        &self.report
    }
    fn unseen(&self) -> Unseen {
        if self.refuses_unseen { Unseen::Error } else { Unseen::Missing }
    }

    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        if self.link == Link::Identity {
            return self.scores(cells, offset, out);
        }
        let (rows, scores) = (cells.rows(), self.ensemble.scores());
        same("columns of out", self.task.outputs(), out.cols())?;
        let mut of_rows = vec![0.0; rows * scores];
        self.scores(cells, offset, MatMut::new(&mut of_rows, rows, scores)?)?;
        of_rows.iter_mut().for_each(|score| *score *= self.scale.slope);
        predict_rows(MatRef::new(&of_rows, rows, scores)?, out, 16 * scores, |_, scores, out| {
            self.link.predict(scores, out);
            Ok(())
        })
    }

    fn prepare(&self) -> Result<()> {
        self.ensemble.prepare()
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        self.store()
    }

    fn metadata(&self) -> Result<serde_json::Value> {
        Ok(self.told())
    }

    fn describe(&self) -> String {
        let trees = || self.in_order();
        let (leaves, depth) =
            (trees().map(Tree::leaves).sum::<usize>(), trees().map(Tree::depth).max().unwrap_or(0));
        let mut text = format!(
            "trees of {}\n  {} trees, {leaves} leaves, depth up to {depth}\n",
            self.library.name(),
            self.trees()
        );
        let scores = self.ensemble.scores();
        if scores > 1 {
            text += &format!("  {scores} scores\n");
        }
        if self.link != Link::Identity {
            text += &format!("  predictions are made of scores by: {}\n", self.link.describe());
        }
        text + &show_importances(&self.inputs, &self.ensemble.importances(self.inputs.len()))
    }

    fn importances(&self) -> Result<Vec<f64>> {
        Ok(self.ensemble.importances(self.inputs.len()))
    }

    fn contributions(&self, cells: MatRef<'_, f64>, mut out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        let (rows, scores, outputs) = (cells.rows(), self.ensemble.scores(), self.task.outputs());
        let parts = 1 + self.inputs.len();
        same("columns of out", parts * outputs, out.cols())?;
        same("rows of out", rows, out.rows())?;
        let copy = self.read(cells)?;
        let cells = match &copy {
            Some(copy) => MatRef::new(copy, rows, cells.cols())?,
            None => cells,
        };
        let mut sums = vec![0.0; rows * parts * scores];
        self.ensemble.contributions(cells, MatMut::new(&mut sums, rows, parts * scores)?)?;
        for (at, &sum) in sums.iter().enumerate() {
            let (row, part, score) = (at / (parts * scores), at / scores % parts, at % scores);
            let value = if part == 0 { self.scale.score(score, sum) } else { self.scale.of_parts(sum) };
            if outputs == scores {
                out.set(row, part * outputs + score, value);
            } else {
                out.set(row, part * outputs, -value);
                out.set(row, part * outputs + 1, value);
            }
        }
        Ok(())
    }

    fn interactions(&self, cells: MatRef<'_, f64>, mut out: MatMut<'_, f64>) -> Result<()> {
        same("cells per row", self.inputs.len(), cells.cols())?;
        let (rows, scores, outputs) = (cells.rows(), self.ensemble.scores(), self.task.outputs());
        let pairs = self.inputs.len() * self.inputs.len();
        same("columns of out", pairs * outputs, out.cols())?;
        same("rows of out", rows, out.rows())?;
        let copy = self.read(cells)?;
        let cells = match &copy {
            Some(copy) => MatRef::new(copy, rows, cells.cols())?,
            None => cells,
        };
        let mut sums = vec![0.0; rows * pairs * scores];
        self.ensemble.interactions(cells, MatMut::new(&mut sums, rows, pairs * scores)?)?;
        for (at, &sum) in sums.iter().enumerate() {
            let (row, pair, score) = (at / (pairs * scores), at / scores % pairs, at % scores);
            let value = self.scale.of_parts(sum);
            if outputs == scores {
                out.set(row, pair * outputs + score, value);
            } else {
                out.set(row, pair * outputs, -value);
                out.set(row, pair * outputs + 1, value);
            }
        }
        Ok(())
    }

    /// What a node adds to its score.
    fn outline(&self, tree: usize) -> Result<Outline> {
        let Some(found) = self.tree(tree) else {
            return Err(Error::Fit(format!("has {} trees; there is none of that number", self.trees())));
        };
        let mut inputs = self.inputs.clone();
        for (field, reading) in inputs.iter_mut().zip(&self.readings) {
            if let Reading::Places { of, .. } = reading {
                field.kind = Kind::Categorical { dictionary: of.iter().map(f64::to_string).collect() };
            }
        }
        outline(std::slice::from_ref(found), 0, &inputs, &Task::Regression)
    }
}
