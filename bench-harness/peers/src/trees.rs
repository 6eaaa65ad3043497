//! What the peers with decision trees share: reading rows, and keeping the last model.

use std::io;
use tilewise_report::worker::{Job, Jobs, Operation, Problem, Trees, serve};

/// A library with decision trees for classes.
pub trait Library {
    /// A fitted tree.
    type Model;
    /// The container in which its users hold rows.
    type Rows;
    /// The container in which its users hold classes.
    type Classes;
    /// Rows that are stored one after another, `features` numbers each.
    fn rows(x: Vec<f32>, features: usize) -> Self::Rows;
    /// Classes, one for each row.
    fn classes(y: Vec<u32>) -> Self::Classes;
    /// Trains.
    ///
    /// # Errors
    /// What the library refuses, in words.
    fn train(x: &Self::Rows, y: &Self::Classes, settings: &Trees) -> Result<Self::Model, String>;
    /// Probabilities, rows x classes; of a library that predicts classes only zeros and ones.
    ///
    /// # Errors
    /// What the library refuses, in words.
    fn predict(model: &Self::Model, x: &Self::Rows, classes: usize) -> Result<Vec<f64>, String>;
}

struct Grove<L: Library> {
    settings: Trees,
    classes: usize,
    x: L::Rows,
    y: L::Classes,
    tests: L::Rows,
    model: Option<L::Model>,
}

impl<L: Library> Job for Grove<L> {
    fn run(&mut self, times: u64) -> Result<(), String> {
        for _ in 0..times {
            self.model = None;
            self.model = Some(L::train(&self.x, &self.y, &self.settings)?);
        }
        Ok(())
    }

    fn result(&self) -> Vec<f64> {
        let predict = |model| L::predict(model, &self.tests, self.classes);
        self.model.as_ref().and_then(|model| predict(model).ok()).unwrap_or_default()
    }
}

/// Serves one library, `package` by name.
///
/// # Errors
/// When the streams break.
pub fn serve_trees<L: Library + 'static>(package: &str) -> io::Result<()> {
    let load = |problem: &Problem| -> Result<Box<dyn Job>, String> {
        let text = |error: io::Error| error.to_string();
        let &[rows, tests, features, classes] = problem.shape.as_slice() else {
            return Err("expected rows, tests, features and classes".into());
        };
        let settings = Trees::read(problem).map_err(text)?;
        if settings.trees != 1 || settings.operation != Operation::Train || classes == 0 {
            return Err("this peer is asked to train one tree for classes".into());
        }
        let read = |name, len| problem.elements::<f32>(name, len).map_err(text);
        Ok(Box::new(Grove::<L> {
            settings,
            classes,
            x: L::rows(read("x", rows * features)?, features),
            y: L::classes(read("y", rows)?.into_iter().map(|y| y as u32).collect()),
            tests: L::rows(read("t", tests * features)?, features),
            model: None,
        }))
    };
    serve(&mut Jobs::new(crate::version(package), "one thread", load), io::stdin().lock(), io::stdout().lock())
}
