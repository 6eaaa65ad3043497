//! What a penalty does to coefficients, and by what its weight was chosen: what is told to those who draw it.

/// Coefficients of a linear model over weights of its penalty, fitted to all rows that the model was fitted to.
#[derive(Clone, Debug, PartialEq)]
pub struct CoefficientPath {
    /// The columns of coefficients, `age` or `workclass=Private`.
    pub columns: Vec<String>,
    /// Whether numbers were scaled to deviation 1 before; else coefficients are those of a unit of each column.
    pub standardised: bool,
    /// Weights of the penalty, falling.
    pub alphas: Vec<f64>,
    /// alphas x columns.
    pub coefficients: Vec<f64>,
    /// The weight that the model has.
    pub alpha: f64,
    /// How it was chosen, unless it was given.
    pub compared: Option<Compared>,
}

/// Errors of weights on rows that were not learned from.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// What was compared, such as `mean squared error`; less is better.
    pub measure: &'static str,
    /// Parts of the rows that were left out in turn.
    pub folds: usize,
    /// Weights of the penalty, falling.
    pub alphas: Vec<f64>,
    /// The mean over the parts for each of them.
    pub errors: Vec<f64>,
    /// The standard error of each.
    pub standard_errors: Vec<f64>,
    /// The place of the least error.
    pub best: usize,
    /// The place of the largest weight whose error is at most one standard error above.
    pub one_standard_error: usize,
}

impl CoefficientPath {
    /// The coefficients of a column, one for each weight.
    pub fn of_column(&self, column: usize) -> impl DoubleEndedIterator<Item = f64> + '_ {
        let count = self.columns.len();
        (0..self.alphas.len()).map(move |k| self.coefficients[k * count + column])
    }
}
