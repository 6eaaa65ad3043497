//! linfa-trees: one decision tree, on one thread; it predicts classes, not probabilities.

use linfa::prelude::{DatasetBase, Fit, Predict};
use linfa_trees::DecisionTree;
use ndarray::{Array1, Array2};
use std::io;
use tilewise_peers::trees::{Library, serve_trees};
use tilewise_report::worker::Trees;

struct Linfa;

impl Library for Linfa {
    type Model = DecisionTree<f32, usize>;
    type Rows = Array2<f32>;
    type Classes = Array1<usize>;
    fn rows(x: Vec<f32>, features: usize) -> Array2<f32> {
        let rows = x.len() / features.max(1);
        Array2::from_shape_vec((rows, features), x).unwrap_or_default()
    }
    fn classes(y: Vec<u32>) -> Array1<usize> {
        y.into_iter().map(|y| y as usize).collect()
    }
    fn train(x: &Array2<f32>, y: &Array1<usize>, settings: &Trees) -> Result<Self::Model, String> {
        let depth = (settings.depth > 0).then_some(settings.depth);
        let tree = DecisionTree::params().max_depth(depth).min_weight_split(2.0).min_weight_leaf(1.0);
        tree.fit(&DatasetBase::new(x.view(), y.view())).map_err(|error| error.to_string())
    }
    fn predict(model: &Self::Model, x: &Array2<f32>, classes: usize) -> Result<Vec<f64>, String> {
        let predicted: Array1<usize> = model.predict(x);
        Ok(predicted.iter().flat_map(|&y| (0..classes).map(move |k| f64::from(u8::from(k == y)))).collect())
    }
}

fn main() -> io::Result<()> {
    serve_trees::<Linfa>("linfa-trees")
}
