//! smartcore's linear models, on one thread.

use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::linear_regression::{LinearRegression, LinearRegressionParameters};
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};
use smartcore::linear::ridge_regression::{RidgeRegression, RidgeRegressionParameters};
use std::io;
use tilewise_peers::linear::{Library, serve_linear};

struct Smartcore;

type Matrix = DenseMatrix<f64>;

impl Library for Smartcore {
    type Data = (Matrix, Vec<f64>, Vec<i32>);

    fn data(x: Vec<f64>, y: Vec<f64>, features: usize) -> Self::Data {
        let classes = y.iter().map(|&y| y as i32).collect();
        // Columns one behind the other, as its own constructors make them.
        let rows: Vec<Vec<f64>> = x.chunks_exact(features).map(<[f64]>::to_vec).collect();
        let x = DenseMatrix::from_2d_vec(&rows).unwrap_or_else(|_| unreachable!("rows are as long"));
        (x, y, classes)
    }

    fn fit(kind: &str, (x, y, classes): &Self::Data) -> Result<Vec<f64>, String> {
        let of = |matrix: &Matrix| matrix.iterator(0).copied().collect::<Vec<f64>>();
        match kind {
            "least_squares" => {
                let params = LinearRegressionParameters::default();
                let fit = LinearRegression::fit(x, y, params).map_err(|e| e.to_string())?;
                Ok([of(fit.coefficients()), vec![*fit.intercept()]].concat())
            }
            "ridge" => {
                let params = RidgeRegressionParameters::default().with_alpha(1.0).with_normalize(false);
                let fit = RidgeRegression::fit(x, y, params).map_err(|e| e.to_string())?;
                Ok([of(fit.coefficients()), vec![*fit.intercept()]].concat())
            }
            "logistic" => {
                let params = LogisticRegressionParameters::default().with_alpha(1.0);
                let fit = LogisticRegression::fit(x, classes, params).map_err(|e| e.to_string())?;
                Ok([of(fit.coefficients()), of(fit.intercept())].concat())
            }
            _ => Err("it is not asked for this".into()),
        }
    }
}

fn main() -> io::Result<()> {
    serve_linear::<Smartcore>("smartcore")
}
