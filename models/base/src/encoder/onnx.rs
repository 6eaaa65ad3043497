//! An encoder as nodes of ONNX.

use super::{Encoder, Step};
use crate::onnx::{Attribute, DOUBLE, FLOAT, Graph, Tensor};

/// Columns of cells, and where their numbers go in the design matrix.
#[derive(Default)]
struct Places {
    cells: Vec<usize>,
    design: Vec<usize>,
}

impl Places {
    fn push(&mut self, cell: usize, design: usize) {
        self.cells.push(cell);
        self.design.push(design);
    }
}

impl Encoder {
    /// Adds nodes that make the design matrix (`f32`, rows x [`width`](Self::width)) of the tensor `cells` (`f32`, rows x
    /// [`inputs`](Self::inputs)), and gives the name of their result. Cells are those of a model, but for a category that the dictionary lacks,
    /// which is any other number than those of categories, such as their count. Numbers are imputed and standardised in `f64`: the result
    /// has the bits of [`encode_cells`](Self::encode_cells), rounded to `f32`, where cells are `f32`. Without imputing a missing
    /// number stays NaN; numbers of categories are passed on as they are.
    pub fn onnx(&self, graph: &mut Graph, cells: &str) -> String {
        let (mut numbers, mut hot, mut codes) = (Places::default(), Places::default(), Places::default());
        let (mut instead, mut means, mut scales, mut levels_of) = (vec![], vec![], vec![], vec![]);
        let mut at = 0;
        for (cell, step) in self.steps.iter().enumerate() {
            match *step {
                Step::Number { missing, mean, scale, .. } => {
                    numbers.push(cell, at);
                    instead.push(missing);
                    means.push(mean);
                    scales.push(scale);
                }
                Step::Code { .. } => codes.push(cell, at),
                Step::OneHot { levels } => {
                    for level in 0..levels {
                        hot.push(cell, at + level);
                        levels_of.push(level as f32);
                    }
                }
            }
            at += step.width();
        }
        let mut parts = Vec::new();
        if !numbers.cells.is_empty() {
            let x = self.gathered(graph, cells, "encoder.numbers", &numbers.cells);
            let mut x = graph.add("Cast", &[&x], None, vec![Attribute::int("to", DOUBLE.into())]);
            let mut row = |name: &str, data: &[f64]| graph.hold(Tensor::f64(name, &[1, data.len()], data));
            let instead = row("encoder.missing", &instead);
            let (means, scales) = (row("encoder.mean", &means), row("encoder.scale", &scales));
            if self.impute {
                let gone = graph.add("IsNaN", &[&x], None, vec![]);
                x = graph.add("Where", &[&gone, &instead, &x], None, vec![]);
            }
            x = graph.add("Sub", &[&x, &means], None, vec![]);
            x = graph.add("Div", &[&x, &scales], None, vec![]);
            parts.push(graph.add("Cast", &[&x], None, vec![Attribute::int("to", FLOAT.into())]));
        }
        if !hot.cells.is_empty() {
            // A column for each category: the cell, once more for each, is its number or is not.
            let x = self.gathered(graph, cells, "encoder.categories", &hot.cells);
            let codes = graph.hold(Tensor::f32("encoder.codes", &[1, levels_of.len()], &levels_of));
            let same = graph.add("Equal", &[&x, &codes], None, vec![]);
            parts.push(graph.add("Cast", &[&same], None, vec![Attribute::int("to", FLOAT.into())]));
        }
        if !codes.cells.is_empty() {
            parts.push(self.gathered(graph, cells, "encoder.numbered", &codes.cells));
        }
        let whole = match &parts[..] {
            [only] => only.clone(),
            _ => {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                graph.add("Concat", &parts, None, vec![Attribute::int("axis", 1)])
            }
        };
        let mut from = vec![0; self.width];
        let designs = [numbers.design, hot.design, codes.design].concat();
        designs.into_iter().enumerate().for_each(|(have, design)| from[design] = have);
        if from.is_sorted() {
            return whole;
        }
        let order = graph.hold(Tensor::whole("encoder.order", &from));
        graph.add("Gather", &[&whole, &order], None, vec![Attribute::int("axis", 1)])
    }

    /// Columns of `cells`, unless they are all of them as they are.
    fn gathered(&self, graph: &mut Graph, cells: &str, name: &str, columns: &[usize]) -> String {
        if columns.iter().copied().eq(0..self.inputs.len()) {
            return cells.to_owned();
        }
        let columns = graph.hold(Tensor::whole(name, columns));
        graph.add("Gather", &[cells, &columns], None, vec![Attribute::int("axis", 1)])
    }
}
