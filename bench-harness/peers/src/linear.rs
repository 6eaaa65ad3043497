//! What the peers with linear models share: reading dense rows of f64, and keeping the last fit.

use std::io;
use tilewise_report::worker::{Job, Jobs, Problem, serve};

/// A library with linear models.
pub trait Library {
    /// The containers in which its users hold rows and targets.
    type Data;
    /// Rows that are stored one after another, `features` numbers each, and their targets.
    fn data(x: Vec<f64>, y: Vec<f64>, features: usize) -> Self::Data;
    /// The coefficients, those of a class one behind the other, and then the intercepts of a fit of this kind.
    ///
    /// # Errors
    /// What the library refuses or lacks, in words.
    fn fit(kind: &str, data: &Self::Data) -> Result<Vec<f64>, String>;
}

struct Fits<L: Library> {
    kind: String,
    data: L::Data,
    fitted: Vec<f64>,
}

impl<L: Library> Job for Fits<L> {
    fn run(&mut self, times: u64) -> Result<(), String> {
        for _ in 0..times {
            self.fitted = L::fit(&self.kind, &self.data)?;
        }
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        self.fitted.clone()
    }
}

/// Serves one library, `package` by name.
///
/// # Errors
/// When the streams break.
pub fn serve_linear<L: Library + 'static>(package: &str) -> io::Result<()> {
    let load = |problem: &Problem| -> Result<Box<dyn Job>, String> {
        let text = |error: io::Error| error.to_string();
        let &[rows, features] = &problem.shape[..2.min(problem.shape.len())] else {
            return Err("expected rows and features".into());
        };
        let (x, y) = (problem.doubles("x", rows * features), problem.doubles("y", rows));
        let data = L::data(x.map_err(text)?, y.map_err(text)?, features);
        Ok(Box::new(Fits::<L> { kind: problem.kind.clone(), data, fitted: Vec::new() }))
    };
    serve(
        &mut Jobs::new(crate::version(package), "one thread", load),
        io::stdin().lock(),
        io::stdout().lock(),
    )
}
