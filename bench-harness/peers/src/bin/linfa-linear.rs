//! linfa's linear models: linfa-linear, linfa-elasticnet and linfa-logistic, on one thread.

use linfa::DatasetBase;
use linfa::prelude::Fit;
use linfa_elasticnet::ElasticNet;
use linfa_linear::LinearRegression;
use linfa_logistic::{LogisticRegression, MultiLogisticRegression};
use ndarray::{Array1, Array2};
use std::io;
use tilewise_peers::linear::{Library, serve_linear};

struct Linfa;

/// Duality gap at which objectives agree to 1e-8.
const GAP: f64 = 1e-9;
/// Gradient of the sum of losses at which they do.
const GRADIENT: f64 = 1e-3;
/// Rounds enough for both.
const ROUNDS: u32 = 10_000;

impl Library for Linfa {
    type Data = (DatasetBase<Array2<f64>, Array1<f64>>, Array1<usize>);

    fn data(x: Vec<f64>, y: Vec<f64>, features: usize) -> Self::Data {
        let classes = y.iter().map(|&y| y as usize).collect();
        let x = Array2::from_shape_vec((y.len(), features), x).unwrap_or_default();
        (DatasetBase::new(x, Array1::from(y)), classes)
    }

    fn fit(kind: &str, (data, classes): &Self::Data) -> Result<Vec<f64>, String> {
        let x = data.records();
        let of_classes = DatasetBase::new(x.view(), classes.view());
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let joined = |b: &Array1<f64>, a: f64| b.iter().copied().chain([a]).collect::<Vec<f64>>();
        match kind {
            "least_squares" => {
                let fit = LinearRegression::default().fit(data).map_err(|e| text(&e))?;
                Ok(joined(fit.params(), fit.intercept()))
            }
            "ridge" | "lasso" => {
                let (penalty, share) =
                    if kind == "ridge" { (1.0 / x.nrows() as f64, 0.0) } else { (0.1, 1.0) };
                let params = ElasticNet::params().penalty(penalty).l1_ratio(share);
                let fit = params.tolerance(GAP).max_iterations(ROUNDS).fit(data).map_err(|e| text(&e))?;
                Ok(joined(fit.hyperplane(), fit.intercept()))
            }
            "logistic" => {
                let params = LogisticRegression::default().alpha(1.0).gradient_tolerance(GRADIENT);
                let fit = params.max_iterations(u64::from(ROUNDS)).fit(&of_classes).map_err(|e| text(&e))?;
                // Coefficients are those of the class that it calls positive.
                let side = if fit.labels().pos.class == 1 { 1.0 } else { -1.0 };
                Ok(joined(fit.params(), fit.intercept()).into_iter().map(|b| side * b).collect())
            }
            _ => {
                let params = MultiLogisticRegression::default().alpha(1.0).gradient_tolerance(GRADIENT);
                let fit = params.max_iterations(u64::from(ROUNDS)).fit(&of_classes).map_err(|e| text(&e))?;
                Ok(fit.params().t().iter().chain(fit.intercept()).copied().collect())
            }
        }
    }
}

fn main() -> io::Result<()> {
    serve_linear::<Linfa>("linfa-linear")
}
