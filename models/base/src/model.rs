//! What every fitted model can do, whatever its family.

use crate::{Context, Dataset, Error, Field, FitReport, Kind, ModelFile, Outline, Result, SparseRef, Unseen};
use serde::{Deserialize, Serialize};
use std::any::Any;
use tilewise_kernels::{MatMut, MatRef};

/// What the outputs of a model mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "lowercase")]
pub enum Task {
    /// A number.
    Regression,
    /// A number for each of several targets.
    Outputs {
        /// The target columns, in the order of the outputs; two at least.
        names: Vec<String>,
    },
    /// Quantiles of a number.
    Quantiles {
        /// Which ones, from 0 to 1, in the order of the outputs.
        quantiles: Vec<f64>,
    },
    /// One probability per class.
    Classification {
        /// The classes in the order of the outputs.
        classes: Vec<String>,
    },
    /// A score by which the rows of a query are ranked, the highest first.
    Ranking {
        /// The column that tells which rows are of one query.
        group: String,
    },
    /// How likely an event is, against the likelihood in other rows, at any time at which it has come to neither.
    Survival {
        /// The column that tells whether the event came at the time that is the target; else it had not come until then.
        event: String,
    },
    /// How unusual a row is, from 0 to 1, learned without a target.
    Anomaly {
        /// A row whose score is this or more is called an anomaly; `None` where none is called so.
        threshold: Option<f64>,
    },
}

impl Task {
    /// Numbers per row.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Regression | Self::Anomaly { .. } | Self::Ranking { .. } | Self::Survival { .. } => 1,
            Self::Outputs { names } => names.len(),
            Self::Quantiles { quantiles } => quantiles.len(),
            Self::Classification { classes } => classes.len(),
        }
    }

    /// Names of several outputs ([`Task::Outputs`]), where they are two or more and each has its own.
    pub fn several(&self) -> Option<&[String]> {
        let Self::Outputs { names } = self else { return None };
        let is_first = |(i, name): (usize, &String)| !names[..i].contains(name);
        (names.len() > 1 && names.iter().enumerate().all(is_first)).then_some(names)
    }

    /// The column besides targets by which predictions are measured: that of queries or of events.
    pub fn measured_by(&self) -> Option<&str> {
        match self {
            Self::Ranking { group } => Some(group),
            Self::Survival { event } => Some(event),
            _ => None,
        }
    }

    /// What each of them is called: `prediction`, the target column where there are several, `quantile_0.1`, the class, `score`.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Regression | Self::Ranking { .. } | Self::Survival { .. } => vec!["prediction".into()],
            Self::Outputs { names } => names.clone(),
            Self::Quantiles { quantiles } => quantiles.iter().map(|q| format!("quantile_{q}")).collect(),
            Self::Classification { classes } => classes.clone(),
            Self::Anomaly { .. } => vec!["score".into()],
        }
    }
}

/// A fitted model. It sees rows of *cells*: `f64` numbers in the order of [`Model::inputs`], the value of a numeric
/// field, the dictionary index of a category, 0 or 1 of a boolean; NaN is missing and [`UNSEEN`] a category that the
/// dictionary lacks. Files, the command line and the server all come through here, so all give the same bits.
///
/// What only some families can tell is asked of their own types: a `&dyn Model` is a `&dyn Any` too.
pub trait Model: Any + Send + Sync {
    /// The family's name as in `--model`.
    fn kind(&self) -> &str;
    /// The columns it needs, in the order of cells.
    fn inputs(&self) -> &[Field];
    /// Name of the target column; empty where there is none ([`Task::Anomaly`]) or [`Task::Outputs`] names several.
    fn target(&self) -> &str;
    /// Names of the target columns: none, one or several.
    fn targets(&self) -> Vec<&str> {
        match self.task() {
            Task::Outputs { names } => names.iter().map(String::as_str).collect(),
            _ => Some(self.target()).into_iter().filter(|name| !name.is_empty()).collect(),
        }
    }
    /// Name of the column that was added to the linear predictor in training, if there was one: predictions without
    /// it are not those of this model.
    fn offset(&self) -> Option<&str> {
        None
    }
    /// Meaning of the outputs.
    fn task(&self) -> &Task;
    /// What its answers are held against: of a number's quantile the quantile, where [`Model::task`] says a number.
    fn judged_as(&self) -> Task {
        self.task().clone()
    }
    /// What it does with a category that training did not see, in predictions and whatever else reads cells.
    fn unseen(&self) -> Unseen {
        Unseen::Missing
    }
    /// Whether training saw a category of an input, by its number in the dictionary; false for numbers of none.
    fn saw(&self, input: usize, category: usize) -> bool {
        match self.inputs().get(input).map(|field| &field.kind) {
            Some(Kind::Categorical { dictionary }) => category < dictionary.len(),
            _ => false,
        }
    }
    /// How far a target is from a predicted mean, of models that were fitted by a deviance other than the square of the difference: 0 where
    /// they are equal, NaN where the target is none that the distribution has.
    fn deviance(&self, target: f64, mean: f64) -> Option<f64> {
        let (_, _) = (target, mean);
        None
    }
    /// How the fit went.
    fn report(&self) -> &FitReport;
    /// Predicts `cells` (rows x inputs) into `out` (rows x outputs): values, or a probability per class. Row-major,
    /// `offset` (one per row, or none) is added to the linear predictor. A row's answer does not depend on the others.
    ///
    /// # Errors
    /// When shapes do not fit, or a cell is one that the model's policies refuse (the error names row and column).
    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()>;
    /// Predicts rows whose cells that are not stored are 0, as [`predict`](Self::predict) does; the matrix lies by rows, its columns are
    /// the inputs. Answers are those of the same rows given densely, but for the rounding of sums.
    ///
    /// # Errors
    /// When shapes do not fit; in models that are not linear in numbers, the default.
    fn predict_sparse(
        &self,
        rows: SparseRef<'_, f64>,
        offset: Option<&[f64]>,
        out: MatMut<'_, f64>,
    ) -> Result<()> {
        let (_, _, _) = (rows, offset, out);
        refuse(self, "takes no sparse rows; linear models of numbers do")
    }
    /// The file's content: equal models give equal bytes.
    ///
    /// # Errors
    /// When the model cannot be stored.
    fn to_bytes(&self) -> Result<Vec<u8>>;
    /// What its file says beside numbers: a JSON object.
    ///
    /// # Errors
    /// When the model cannot be stored.
    fn metadata(&self) -> Result<serde_json::Value> {
        Ok(ModelFile::parse(&self.to_bytes()?)?.all_metadata())
    }
    /// The bytes of a file like that of [`to_bytes`](Self::to_bytes) that also has what its training goes on from: what an optimiser keeps,
    /// how many epochs are done. None where there is nothing of the kind, in all families but networks because their files have all.
    ///
    /// # Errors
    /// As there.
    fn checkpoint(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
    /// Makes ready what predictions need, if it is not; else the first prediction does. For those who predict from many threads
    /// and do not want one to wait for another.
    ///
    /// # Errors
    /// When predictions would fail for the same reason.
    fn prepare(&self) -> Result<()> {
        Ok(())
    }
    /// What `inspect` prints below schema and report: coefficients, importance ...
    fn describe(&self) -> String;
    /// The share of each input in what was learned, one per input; they sum to 1, or are zeros where nothing was learned.
    ///
    /// # Errors
    /// In families that have no such measure, the default.
    fn importances(&self) -> Result<Vec<f64>> {
        refuse(self, "tells no importances of its inputs")
    }
    /// What each input adds to the outputs of `cells` (rows x inputs), into `out`: rows x ((1 + inputs) x outputs). The first
    /// numbers of a row are the base, what is predicted when nothing is known; all that belong to an output sum to what is
    /// predicted for it, or in boosted trees to the score that the prediction is made of: log odds, the logarithm of a mean.
    ///
    /// # Errors
    /// When shapes do not fit; in families that cannot tell, the default.
    fn contributions(&self, cells: MatRef<'_, f64>, out: MatMut<'_, f64>) -> Result<()> {
        let (_, _) = (cells, out);
        refuse(self, "does not tell what each input adds to a prediction")
    }
    /// How much of what inputs of `cells` (rows x inputs) add two of them add together, into `out`: rows x (inputs x inputs x outputs).
    /// Each of two has half of it; on the diagonal stands what an input adds by itself, so that line i sums to what
    /// [`Model::contributions`] says of input i.
    ///
    /// # Errors
    /// When shapes do not fit; in families that cannot tell, the default.
    fn interactions(&self, cells: MatRef<'_, f64>, out: MatMut<'_, f64>) -> Result<()> {
        let (_, _) = (cells, out);
        refuse(self, "does not tell what inputs add together")
    }
    /// Tree number `tree`, from 0, as it is shown to people.
    ///
    /// # Errors
    /// When there is no such tree; in families without trees, the default.
    fn outline(&self, tree: usize) -> Result<Outline> {
        let _ = tree;
        refuse(self, "has no tree to show")
    }
    /// The nodes of [`Model::outline`] 0 that a row of cells comes through, from the root to its leaf.
    ///
    /// # Errors
    /// When the row has not a cell for each input; in all families but those of one tree, the default.
    fn path(&self, row: &[f64]) -> Result<Vec<usize>> {
        let _ = row;
        refuse(self, "does not decide by one path; a single tree does")
    }
    /// The model as it was after so many stages of training, for families that add stage to stage and keep those before.
    ///
    /// # Errors
    /// When it has fewer stages, or none are asked for; in families without stages, the default.
    fn first_stages(&self, stages: usize) -> Result<Box<dyn Model>> {
        let _ = stages;
        refuse(self, "has no stages; that of gbdt has")
    }
    /// The model with weights of 8 bits in place of 32, for products of bytes: smaller and faster, and a little less accurate. The rows of
    /// `calibration`, a table with its [`inputs`](Self::inputs), show which numbers come to each product. What is as long as the table lies
    /// in the storage of `context`, whose progress hears of rows that are gone through.
    ///
    /// # Errors
    /// When a column is missing or mistyped, or there are no rows; [`Error::Cancelled`] when `context` says so; in families whose predictions
    /// are no products of weights, the default.
    fn quantised(&self, calibration: &Dataset, context: &Context<'_>) -> Result<Box<dyn Model>> {
        let _ = (calibration, context);
        refuse(self, "has no weights to quantise; that of network has")
    }
    /// Columns of the output.
    fn outputs(&self) -> usize {
        self.task().outputs()
    }
}

/// What a family cannot do.
fn refuse<T>(model: &(impl Model + ?Sized), what: &str) -> Result<T> {
    Err(Error::Fit(format!("a model of family {:?} {what}", model.kind())))
}

/// The cell of a category that is not in the dictionary.
pub const UNSEEN: f64 = -1.0;
