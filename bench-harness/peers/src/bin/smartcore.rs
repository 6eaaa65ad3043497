//! smartcore: one decision tree, on one thread.

use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::tree::decision_tree_classifier::{DecisionTreeClassifier, DecisionTreeClassifierParameters};
use std::io;
use tilewise_peers::trees::{Library, serve_trees};
use tilewise_report::worker::Trees;

struct Smartcore;

impl Library for Smartcore {
    type Model = DecisionTreeClassifier<f32, u32, DenseMatrix<f32>, Vec<u32>>;
    type Rows = DenseMatrix<f32>;
    type Classes = Vec<u32>;
    fn rows(x: Vec<f32>, features: usize) -> DenseMatrix<f32> {
        let rows = x.len() / features.max(1);
        // Its own layout is by columns, in which it reads them.
        let by_columns = (0..features).flat_map(|j| (0..rows).map(move |i| (i, j)));
        let values = by_columns.map(|(i, j)| x[i * features + j]).collect();
        DenseMatrix::new(rows, features, values, true).unwrap_or_else(|error| panic!("rows that fit: {error}"))
    }
    fn classes(y: Vec<u32>) -> Vec<u32> {
        y
    }
    fn train(x: &DenseMatrix<f32>, y: &Vec<u32>, settings: &Trees) -> Result<Self::Model, String> {
        let max_depth = u16::try_from(settings.depth).ok().filter(|&depth| depth > 0);
        let parameters = DecisionTreeClassifierParameters { max_depth, ..Default::default() };
        DecisionTreeClassifier::fit(x, y, parameters).map_err(|error| error.to_string())
    }
    fn predict(model: &Self::Model, x: &DenseMatrix<f32>, classes: usize) -> Result<Vec<f64>, String> {
        let shares = model.predict_proba(x).map_err(|error| error.to_string())?;
        let (rows, found) = shares.shape();
        // Rows for training may lack a class; those of a comparison have all.
        if found != classes {
            return Err(format!("{found} classes instead of {classes}"));
        }
        Ok((0..rows).flat_map(|i| (0..classes).map(move |k| (i, k))).map(|at| *shares.get(at)).collect())
    }
}

fn main() -> io::Result<()> {
    serve_trees::<Smartcore>("smartcore")
}
