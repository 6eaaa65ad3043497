//! Values of leaves that are not Newton's steps.

use super::{LeafRule, Truth};
use tilewise_base::ExactSum;
use tilewise_base::metric::{quantile_rank, weighted_quantiles};

impl LeafRule {
    /// What a leaf adds to the scores of its `rows`: pairs of answer minus score, and weight, which it reorders. `None` for
    /// [`LeafRule::Newton`], whose leaves are not made from these; 0 where nothing has a weight.
    ///
    /// A quantile is the smallest residual such that the weight of all up to it reaches the quantile's share of the whole
    /// ([`weighted_quantiles`]): always a residual that is there, of the two in the middle of an even number the lower, so
    /// that a row of weight 3 is three rows. Peers differ: LightGBM and XGBoost interpolate. Huber's is the
    /// median, plus the weighted mean of the differences from it, cut off at delta. No order of rows changes a bit. O(rows) where all
    /// weights are equal, else O(rows log rows).
    ///
    /// ```
    /// use tilewise_gbdt::loss::LeafRule;
    /// let mut rows = [(9.0, 1.0), (1.0, 1.0), (4.0, 1.0), (2.0, 1.0)];
    /// assert_eq!(LeafRule::Quantile(0.5).value(&mut rows), Some(2.0));
    /// // 2 + (-1 + 0 + 2 + 3) / 4
    /// assert_eq!(LeafRule::Huber(3.0).value(&mut rows), Some(3.0));
    /// ```
    pub fn value(self, rows: &mut [(f64, f64)]) -> Option<f64> {
        match self {
            Self::Newton => None,
            Self::Quantile(quantile) => Some(quantile_of(rows, quantile)),
            Self::Huber(delta) => {
                let median = quantile_of(rows, 0.5);
                let (mut sum, mut all) = (ExactSum::default(), ExactSum::default());
                for &(residual, weight) in rows.iter().filter(|row| row.1 != 0.0) {
                    sum.add_product(weight, (residual - median).clamp(-delta, delta));
                    all.add(weight);
                }
                let all = all.value();
                Some(if all > 0.0 { median + sum.value() / all } else { 0.0 })
            }
        }
    }

    /// The value of a leaf of all rows at scores of 0; 0 for Newton's.
    pub(super) fn of_answers(self, truth: &Truth<'_>) -> f64 {
        let mut rows: Vec<(f64, f64)> =
            truth.counted().map(|row| (truth.y[row], truth.weight(row))).collect();
        self.value(&mut rows).unwrap_or(0.0)
    }
}

fn quantile_of(rows: &mut [(f64, f64)], quantile: f64) -> f64 {
    let Some(&(_, weight)) = rows.first() else { return 0.0 };
    if weight != 0.0 && rows.iter().all(|row| row.1 == weight) {
        let rank = quantile_rank(rows.len(), quantile);
        return rows.select_nth_unstable_by(rank, |a, b| a.0.total_cmp(&b.0)).1.0;
    }
    // By weight too, so that sums of weights are in an order of their own.
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut out = [0.0];
    weighted_quantiles(rows.iter().copied(), &[quantile], &mut out);
    if out[0].is_nan() { 0.0 } else { out[0] }
}
