//! Trees whose values are added up.

use crate::Link;
use tilewise_base::{Error, Result, predict_rows};
use tilewise_kernels::{Float, MatMut, MatRef, parallel, same};
use tilewise_tree::{Compiled, Shap, Tree, WhenAsked};

/// Trees that add to scores: score k of a row is its base plus the leaves of the trees of k, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    base: Vec<f64>,
    /// For each score its trees.
    trees: Vec<Vec<Tree>>,
    compiled: Vec<WhenAsked>,
}

impl Ensemble {
    /// `trees[k]` are those of score k, each with one output, in the order in which they are added to `base[k]`. All have the same
    /// inputs.
    ///
    /// # Errors
    /// When there is no score, not a list of trees for each, a number of `base` is not finite, or a tree has several outputs.
    pub fn new(base: Vec<f64>, trees: Vec<Vec<Tree>>) -> Result<Self> {
        same("lists of trees against scores", base.len(), trees.len())?;
        if base.is_empty() || !base.iter().all(|base| base.is_finite()) {
            return Err(Error::Fit(format!(
                "{base:?} are not the bases of scores: finite numbers are, one or more"
            )));
        }
        for tree in trees.iter().flatten() {
            same("outputs of a tree", 1, tree.outputs())?;
        }
        let compiled = vec![WhenAsked::default(); base.len()];
        Ok(Self { base, trees, compiled })
    }

    /// What scores are without trees, one number for each score.
    pub fn base(&self) -> &[f64] {
        &self.base
    }

    /// The trees of a score.
    ///
    /// # Panics
    /// When there is no such score.
    pub fn trees(&self, score: usize) -> &[Tree] {
        &self.trees[score]
    }

    /// Scores of a row.
    pub fn scores(&self) -> usize {
        self.base.len()
    }

    /// Compiles the trees, if they are not.
    ///
    /// # Errors
    /// When they do not belong together, or there are too many nodes.
    pub fn prepare(&self) -> Result<()> {
        (0..self.scores()).try_for_each(|score| self.compiled(score).map(|_| ()))
    }

    fn compiled(&self, score: usize) -> Result<Option<&Compiled>> {
        let trees = &self.trees[score];
        if trees.is_empty() { Ok(None) } else { self.compiled[score].get(trees).map(Some) }
    }

    /// Writes the scores of rows of cells, read as [`Tree::leaf`] says: `out` is rows x scores. `start` is added before all trees,
    /// one number per row. Each row gets the same alone or among others, from any number of threads. O(trees x depth) per row.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn score<T: Float>(
        &self,
        cells: MatRef<'_, T>,
        start: Option<&[f64]>,
        mut out: MatMut<'_, f64>,
    ) -> Result<()> {
        let (rows, scores) = (cells.rows(), self.scores());
        same("rows of out", rows, out.rows())?;
        same("columns of out", scores, out.cols())?;
        if let Some(start) = start {
            same("starts", rows, start.len())?;
        }
        let started = |score: usize, row: usize| self.base[score] + start.map_or(0.0, |start| start[row]);
        if let [row] = [rows]
            && row == 1
        {
            for score in 0..scores {
                let mut one = [started(score, 0)];
                if let Some(trees) = self.compiled(score)? {
                    trees.add(cells, &mut one)?;
                }
                out.set(0, score, one[0]);
            }
            return Ok(());
        }
        let mut column = vec![0.0; rows];
        for score in 0..scores {
            column.iter_mut().enumerate().for_each(|(row, sum)| *sum = started(score, row));
            if let Some(trees) = self.compiled(score)? {
                trees.add(cells, &mut column)?;
            }
            column.iter().enumerate().for_each(|(row, &sum)| out.set(row, score, sum));
        }
        Ok(())
    }

    /// The first trees of each score: what it was after so many stages (after DART, of which later stages have changed earlier trees,
    /// what these are worth in the end).
    ///
    /// # Errors
    /// When a score has fewer trees.
    pub fn first(&self, stages: usize) -> Result<Self> {
        let of_score = |trees: &Vec<Tree>| trees.get(..stages).map(<[Tree]>::to_vec);
        match self.trees.iter().map(of_score).collect() {
            Some(trees) => Self::new(self.base.clone(), trees),
            None => {
                let most = self.trees.iter().map(Vec::len).min().unwrap_or(0);
                Err(Error::parameter("stages", stages, format!("there are {most}; up to so many are")))
            }
        }
    }

    /// Calls `see` with the number of stages and the scores after each, from 0: rows of cells x scores, as [`Ensemble::score`] of
    /// [`Ensemble::first`] has them, bit for bit. All stages together cost O(rows x trees x depth), as the last alone.
    ///
    /// # Errors
    /// When shapes do not fit, scores have different numbers of trees, or `see` fails.
    pub fn score_stages(
        &self,
        cells: MatRef<'_, f64>,
        start: Option<&[f64]>,
        mut see: impl FnMut(usize, MatRef<'_, f64>) -> Result<()>,
    ) -> Result<()> {
        /// Rows of a piece of parallel work: some 50 microseconds for a tree of 31 leaves.
        const ROWS: usize = 2 << 10;
        let (rows, scores, stages) = (cells.rows(), self.scores(), self.trees[0].len());
        self.trees.iter().try_for_each(|trees| same("trees of a score", stages, trees.len()))?;
        if let Some(start) = start {
            same("starts", rows, start.len())?;
        }
        let inputs = self.trees[0].first().map_or(cells.cols(), |tree| tree.inputs().len());
        same("cells per row", inputs, cells.cols())?;
        let started = |i: usize| self.base[i % scores] + start.map_or(0.0, |start| start[i / scores]);
        let mut sums: Vec<f64> = (0..rows * scores).map(started).collect();
        see(0, MatRef::new(&sums, rows, scores)?)?;
        for stage in 0..stages {
            parallel::for_each_chunk_mut(&mut sums, ROWS * scores, |piece, sums| {
                let mut row = vec![0.0; inputs];
                for (i, sums) in sums.chunks_exact_mut(scores).enumerate() {
                    row.iter_mut().enumerate().for_each(|(j, cell)| *cell = cells.get(piece * ROWS + i, j));
                    for (sum, trees) in sums.iter_mut().zip(&self.trees) {
                        let tree = &trees[stage];
                        *sum += tree.numbers(tree.leaf(&row)).next().unwrap_or(0.0);
                    }
                }
            });
            see(stage + 1, MatRef::new(&sums, rows, scores)?)?;
        }
        Ok(())
    }

    /// The scores of one row, by the definition: base, then tree after tree. [`Ensemble::score`] gives the same bits, sooner.
    ///
    /// # Panics
    /// When the row has fewer cells than the trees have inputs, or `out` is not as long as there are scores.
    pub fn score_row(&self, row: &[f64], out: &mut [f64]) {
        assert!(out.len() == self.scores(), "as many numbers as there are scores");
        for ((out, base), trees) in out.iter_mut().zip(&self.base).zip(&self.trees) {
            *out = *base;
            for tree in trees {
                *out += tree.numbers(tree.leaf(row)).next().unwrap_or(0.0);
            }
        }
    }

    /// As [`Ensemble::score`], with what `link` makes of the scores: `out` is rows x outputs of the link.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn predict<T: Float>(
        &self,
        cells: MatRef<'_, T>,
        start: Option<&[f64]>,
        link: Link,
        out: MatMut<'_, f64>,
    ) -> Result<()> {
        let scores = self.scores();
        same("columns of out", link.outputs(scores), out.cols())?;
        if link == Link::Identity {
            return self.score(cells, start, out);
        }
        let rows = cells.rows();
        let mut of_rows = vec![0.0; rows * scores];
        self.score(cells, start, MatMut::new(&mut of_rows, rows, scores)?)?;
        predict_rows(MatRef::new(&of_rows, rows, scores)?, out, 16 * scores, |_, scores, out| {
            link.predict(scores, out);
            Ok(())
        })
    }

    /// What each input adds to each score of `cells`: `out` is rows x ((1 + inputs) x scores), the bases of all scores first, then what
    /// the first input adds to each. All of a score sum to it (without `start`). See [`Shap`].
    ///
    /// # Errors
    /// When shapes do not fit, or a row would take more than 1 GiB.
    pub fn contributions(&self, cells: MatRef<'_, f64>, mut out: MatMut<'_, f64>) -> Result<()> {
        let (rows, scores) = (cells.rows(), self.scores());
        let columns = 1 + cells.cols();
        same("columns of out", columns * scores, out.cols())?;
        let mut of_score = vec![0.0; rows * columns];
        for score in 0..scores {
            of_score.fill(0.0);
            let trees = &self.trees[score];
            if !trees.is_empty() {
                // These are means over trees.
                Shap::new(trees)?.explain(cells, MatMut::new(&mut of_score, rows, columns)?)?;
            }
            for (row, of_row) in of_score.chunks_exact(columns).enumerate() {
                for (column, mean) in of_row.iter().enumerate() {
                    let base = if column == 0 { self.base[score] } else { 0.0 };
                    out.set(row, column * scores + score, base + mean * trees.len() as f64);
                }
            }
        }
        Ok(())
    }

    /// As [`Ensemble::contributions`], for each output of a link: where one score stands for two classes, what speaks for the second
    /// speaks against the first.
    ///
    /// # Errors
    /// As there.
    pub fn contributions_to(
        &self,
        link: Link,
        cells: MatRef<'_, f64>,
        mut out: MatMut<'_, f64>,
    ) -> Result<()> {
        if link != Link::Logistic {
            return self.contributions(cells, out);
        }
        let (rows, columns) = (cells.rows(), 1 + cells.cols());
        same("columns of out", 2 * columns, out.cols())?;
        let mut of_second = vec![0.0; rows * columns];
        self.contributions(cells, MatMut::new(&mut of_second, rows, columns)?)?;
        for (row, of_row) in of_second.chunks_exact(columns).enumerate() {
            for (column, &x) in of_row.iter().enumerate() {
                out.set(row, 2 * column, -x);
                out.set(row, 2 * column + 1, x);
            }
        }
        Ok(())
    }

    /// How much of what inputs of `cells` add to each score two of them add together: `out` is rows x (inputs x inputs x scores), and line
    /// i of it sums to what [`Ensemble::contributions`] says of input i. See [`Shap::interactions_row`].
    ///
    /// # Errors
    /// As there.
    pub fn interactions(&self, cells: MatRef<'_, f64>, mut out: MatMut<'_, f64>) -> Result<()> {
        let (rows, scores) = (cells.rows(), self.scores());
        let pairs = cells.cols() * cells.cols();
        same("columns of out", pairs * scores, out.cols())?;
        same("rows of out", rows, out.rows())?;
        let mut of_score = vec![0.0; rows * pairs];
        for (score, trees) in self.trees.iter().enumerate() {
            of_score.fill(0.0);
            if !trees.is_empty() {
                // These are means over trees.
                Shap::new(trees)?.interactions(cells, MatMut::new(&mut of_score, rows, pairs)?)?;
            }
            for (at, mean) in of_score.iter().enumerate() {
                out.set(at / pairs, at % pairs * scores + score, mean * trees.len() as f64);
            }
        }
        Ok(())
    }

    /// As [`Ensemble::interactions`], for each output of a link, as [`Ensemble::contributions_to`].
    ///
    /// # Errors
    /// As there.
    pub fn interactions_to(
        &self,
        link: Link,
        cells: MatRef<'_, f64>,
        mut out: MatMut<'_, f64>,
    ) -> Result<()> {
        if link != Link::Logistic {
            return self.interactions(cells, out);
        }
        let (rows, pairs) = (cells.rows(), cells.cols() * cells.cols());
        same("columns of out", 2 * pairs, out.cols())?;
        same("rows of out", rows, out.rows())?;
        let mut of_second = vec![0.0; rows * pairs];
        self.interactions(cells, MatMut::new(&mut of_second, rows, pairs)?)?;
        for (at, &x) in of_second.iter().enumerate() {
            out.set(at / pairs, 2 * (at % pairs), -x);
            out.set(at / pairs, 2 * (at % pairs) + 1, x);
        }
        Ok(())
    }

    /// The share of each of `inputs` in all that splits gained; zeros where nothing was gained.
    pub fn importances(&self, inputs: usize) -> Vec<f64> {
        let mut gains = vec![0.0; inputs];
        let nodes = || self.trees.iter().flatten().flat_map(Tree::nodes).filter(|node| node.test.is_some());
        // In units of the largest: sums of gains as they are may not be finite.
        let most = nodes().map(|node| node.gain).fold(0.0, f64::max);
        if most > 0.0 {
            nodes().for_each(|node| gains[node.feature as usize] += node.gain.max(0.0) / most);
            let all: f64 = gains.iter().sum();
            gains.iter_mut().for_each(|gain| *gain /= all);
        }
        gains
    }
}
