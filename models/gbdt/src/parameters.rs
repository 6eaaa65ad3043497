//! What boosting is fitted with.

use crate::{Dart, Goss, Loss};
use serde::{Deserialize, Serialize};
use tilewise_base::{Error, Result};
use tilewise_tree::{Criterion, DecisionTree, Penalty};

/// Gradient boosted trees (Friedman, "Greedy function approximation: a gradient boosting machine", *Annals of Statistics* 29, 2001),
/// by Newton steps on histograms (Chen and Guestrin, *XGBoost*, KDD 2016; Ke et al., *LightGBM*, NeurIPS 2017).
///
/// ```
/// use tilewise_base::Context;
/// use tilewise_gbdt::{GradientBoosting, Lesson};
/// use tilewise_kernels::MatRef;
/// use tilewise_tree::{Answers, BinnedTable};
/// let x: Vec<f64> = (0..200).map(f64::from).collect();
/// let y = Answers::Numbers(x.iter().map(|x| if *x < 100.0 { 1.0 } else { 3.0 }).collect());
/// let table = BinnedTable::of_matrix(MatRef::new(&x, 200, 1)?, None, 255, 0)?;
/// let fit = GradientBoosting::default().fit(&table, &Lesson::new(&y), &Context::default())?;
/// let mut score = [0.0];
/// fit.model.ensemble().score_row(&[150.0], &mut score);
/// assert!((score[0] - 3.0).abs() < 0.01);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientBoosting {
    /// What is made smaller.
    pub loss: Loss,
    /// Stages: trees for each score.
    pub stages: usize,
    /// The share of each Newton step that is taken, above 0 and at most 1.
    pub learning_rate: f64,
    /// The share of rows that each stage grows on, drawn for it, above 0 and at most 1.
    pub subsample: f64,
    /// Each stage grows on the rows with the largest derivatives and on some of the others, drawn for it, but for the first
    /// 1 / `learning_rate` stages, which grow on all; not with `subsample`. `None` for no difference.
    #[serde(default)]
    pub goss: Option<Goss>,
    /// Stages are dropped while others are grown; not with `early_stopping`, since stages change after they were judged. `None` for no
    /// dropping.
    #[serde(default)]
    pub dart: Option<Dart>,
    /// What large leaves and small sums cost.
    pub penalty: Penalty,
    /// How much leaves are drawn to the nodes above them, 0 or more: a node of weight n has n / (n + this) of its own step and the rest
    /// of that of the node above it, which is made in the same way (LightGBM's `path_smooth`, of leaves alone: it plays no part in
    /// the choice of splits). Monotone constraints hold all the same.
    #[serde(default)]
    pub path_smoothing: f64,
    /// How trees grow; `min_impurity_decrease` is the gain that a split must exceed ([`DecisionTree::grow_newton`]). With balanced
    /// classes the weights of rows are multiplied as [`ClassWeights`](tilewise_tree::ClassWeights) says; weights of leaves are of rows
    /// as they were. Criterion and pruning are not those of boosting and must be the default.
    pub tree: DecisionTree,
    /// Rows are held out and training stops when their loss has not become smaller for so many stages; the model ends with the best
    /// stage. `None` for all stages.
    pub early_stopping: Option<EarlyStopping>,
}

/// When to stop early.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// Stages without a smaller loss.
    pub patience: usize,
    /// The share of rows that is held out.
    pub share: f64,
}

impl Default for GradientBoosting {
    fn default() -> Self {
        Self {
            loss: Loss::Auto,
            stages: 100,
            learning_rate: 0.1,
            subsample: 1.0,
            goss: None,
            dart: None,
            penalty: Penalty::default(),
            path_smoothing: 0.0,
            tree: DecisionTree { max_leaves: Some(31), min_samples_leaf: 20, ..DecisionTree::default() },
            early_stopping: None,
        }
    }
}

impl GradientBoosting {
    /// Whether stages grow on some of the rows only.
    pub(crate) fn draws_rows(&self) -> bool {
        self.subsample < 1.0 || self.goss.is_some()
    }

    /// Checks parameters that do not depend on data.
    ///
    /// # Errors
    /// Naming the first that is not accepted, and what would be.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, value: &dyn std::fmt::Display, accepted: &str| {
            Err(Error::parameter(name, value, format!("{accepted} is")))
        };
        self.loss.check()?;
        let is_share = |x: f64| x > 0.0 && x <= 1.0;
        if self.stages == 0 || self.stages >= 1 << 24 {
            return refuse("stages", &self.stages, "a whole number from 1 to 16,777,215");
        }
        if !is_share(self.learning_rate) {
            return refuse("learning_rate", &self.learning_rate, "a number above 0 and at most 1");
        }
        if !is_share(self.subsample) {
            return refuse("subsample", &self.subsample, "a share above 0 and at most 1");
        }
        if let Some(Goss { top, other }) = self.goss {
            if !(top > 0.0 && other > 0.0 && top + other <= 1.0) {
                let accepted = "two shares above 0 that are at most 1 together, such as 0.2:0.1,";
                return refuse("goss", &format!("{top}:{other}"), accepted);
            }
            if self.subsample < 1.0 {
                return refuse("subsample", &self.subsample, "with goss, which draws rows itself, only 1");
            }
        }
        if let Some(Dart { rate, skip, most }) = self.dart {
            if !is_share(rate) {
                return refuse("drop_rate", &rate, "a share above 0 and at most 1");
            }
            if !(0.0..1.0).contains(&skip) {
                return refuse("skip_drop", &skip, "a share of 0 or more and below 1");
            }
            if most == 0 {
                return refuse("max_drop", &most, "a number of stages above 0");
            }
            if self.early_stopping.is_some() {
                let accepted = "with drop_rate none is: stages change after they were judged; only none";
                return refuse("early_stopping", &"a number of stages", accepted);
            }
        }
        for (name, value) in [
            ("l2", self.penalty.l2),
            ("l1", self.penalty.l1),
            ("min_child_weight", self.penalty.min_hessian),
            ("category_smoothing", self.penalty.category_smoothing),
            ("path_smoothing", self.path_smoothing),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(name, &value, "a number of 0 or more");
            }
        }
        if let Some(EarlyStopping { patience, share }) = self.early_stopping {
            if patience == 0 {
                return refuse("early_stopping", &patience, "a number of stages above 0");
            }
            if !(share > 0.0 && share < 1.0) {
                return refuse("validation", &share, "a share above 0 and below 1");
            }
        }
        if self.tree.criterion != Criterion::Auto {
            return refuse("criterion", &self.tree.criterion, "boosting has losses; only auto");
        }
        if self.tree.ccp_alpha != 0.0 {
            return refuse("ccp_alpha", &self.tree.ccp_alpha, "only 0");
        }
        if self.tree.min_weight_fraction_leaf != 0.0 {
            let accepted = "boosting limits second derivatives (min_hessian); only 0";
            return refuse("min_weight_fraction_leaf", &self.tree.min_weight_fraction_leaf, accepted);
        }
        self.tree.check()
    }
}
