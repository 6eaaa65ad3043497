//! Rankings: LambdaRank (Burges, "From RankNet to LambdaRank to LambdaMART: an overview", 2010).
//!
//! For each pair of rows of a query that differ in relevance, one of them among the first `truncation`, the logistic loss of the
//! difference of their scores (sigma 1), times what exchanging the two would change in the query's NDCG. Two further steps are
//! LightGBM's `lambdarank_norm`, which is its default: a pair's change is divided by 0.01 plus the distance of its scores, unless all scores of
//! the query are equal; and with S the sum of the sizes of all gradients that pairs gave, all derivatives of a query are
//! multiplied by log2(1 + S) / S, so that queries with many pairs do not outweigh others.
//!
//! Rows are ranked by falling score, those of equal score in the order of the table. Gains are 2^relevance - 1, discounts
//! 1 / log2(1 + rank). A query counts by the one weight of its rows; those of weight 0 are not in it. Sums of a query run over
//! pairs in the order of ranks. O(truncation x rows of the query), and its sorting.

use super::{Derivatives, Objective, Truth, by_row};
use std::ops::Range;
use tilewise_base::metric::{ndcg, ndcg_sums, rank_discounts};
use tilewise_base::{ExactSum, Result};
use tilewise_kernels::{Elementary, parallel};

pub(super) struct LambdaRank {
    pub(super) truncation: usize,
    pub(super) name: String,
}

/// Rows of a task: a row meets up to `truncation` others.
const TASK: usize = 1024;

/// Keeps the change of a pair finite where its scores are equal.
const NEAR: f64 = 0.01;

impl Objective for LambdaRank {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        truth.check_relevance()
    }

    /// 0: no score of all rows is better than another.
    fn start(&self, _: &Truth<'_>) -> Vec<f64> {
        vec![0.0]
    }

    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        let groups = truth.groups.unwrap_or_default();
        let discounts = rank_discounts(groups.iter().map(Range::len).max().unwrap_or(0));
        // Whole queries of about as many rows for each task.
        let mut tasks: Vec<(&[Range<usize>], &mut [Derivatives])> = Vec::new();
        let (mut left, mut first, mut rows) = (out, 0, 0);
        for (i, group) in groups.iter().enumerate() {
            rows += group.len();
            if rows >= TASK || i + 1 == groups.len() {
                let (of_task, others) = std::mem::take(&mut left).split_at_mut(rows);
                tasks.push((&groups[first..=i], of_task));
                (left, first, rows) = (others, i + 1, 0);
            }
        }
        parallel::for_each_chunk_mut(&mut tasks, 1, |_, task| {
            for (groups, out) in task {
                let offset = groups.first().map_or(0, |group| group.start);
                let mut query = Query::default();
                for group in *groups {
                    let out = &mut out[group.start - offset..group.end - offset];
                    query.derivatives(self.truncation, truth, scores, group.clone(), &discounts, out);
                }
            }
        });
    }

    /// 1 minus the mean over queries of NDCG at the truncation ([`ndcg`]): as there, a query without a relevant row counts 1, since no order of it is wrong.
    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        let groups = truth.groups.unwrap_or_default();
        ndcg(truth.y, scores, groups, Some(self.truncation), truth.weights)
            .map_or(f64::NAN, |ndcg| 1.0 - ndcg)
    }

    /// That of NDCG: queries are whole wherever they are.
    fn loss_sum(&self, truth: &Truth<'_>, scores: &[f64]) -> Option<ExactSum> {
        let groups = truth.groups.unwrap_or_default();
        let sums = ndcg_sums(truth.y, scores, groups, Some(self.truncation), truth.weights);
        Some(sums.map_or_else(|_| [f64::NAN].into_iter().collect(), |[sum, _]| sum))
    }

    fn loss_weight(&self, truth: &Truth<'_>) -> Option<ExactSum> {
        let of_query = |rows: &Range<usize>| rows.clone().map(|row| truth.weight(row)).fold(0.0, f64::max);
        Some(truth.groups.unwrap_or_default().iter().map(of_query).collect())
    }

    fn loss_of(&self, mean: f64) -> f64 {
        1.0 - mean
    }

    fn start_sums(&self, _: &Truth<'_>) -> Option<Vec<ExactSum>> {
        Some(Vec::new())
    }

    fn start_of(&self, _: &[f64]) -> Vec<f64> {
        vec![0.0]
    }
}

/// The lists of a query, kept for the next.
#[derive(Default)]
struct Query {
    /// Rows by rank, and their scores and gains.
    order: Vec<usize>,
    scores: Vec<f64>,
    gains: Vec<f64>,
    /// Derivatives by rank.
    gradients: Vec<f64>,
    hessians: Vec<f64>,
    /// Of the pairs of a row with those of later ranks: the probability that they are the other way round.
    wrong: Vec<f64>,
}

impl Query {
    fn derivatives(
        &mut self,
        truncation: usize,
        truth: &Truth<'_>,
        scores: &[f64],
        rows: Range<usize>,
        discounts: &[f64],
        out: &mut [Derivatives],
    ) {
        out.fill(Derivatives::default());
        self.order.clear();
        self.order.extend(rows.clone().filter(|&row| truth.weight(row) != 0.0));
        self.order.sort_by(|&a, &b| (scores[b] + 0.0).total_cmp(&(scores[a] + 0.0)));
        let n = self.order.len();
        refill(&mut self.scores, self.order.iter().map(|&row| scores[row]));
        // Whole numbers: exact.
        refill(&mut self.gains, self.order.iter().map(|&row| ((1_u64 << truth.y[row] as u32) - 1) as f64));
        let most = best(&mut self.wrong, &self.gains, truncation, discounts);
        if most == 0.0 {
            return;
        }
        refill(&mut self.gradients, (0..n).map(|_| 0.0));
        refill(&mut self.hessians, (0..n).map(|_| 0.0));
        let differ = self.scores[0] != self.scores[n - 1];
        let mut sizes = 0.0;
        for i in 0..truncation.min(n) {
            refill(&mut self.wrong, self.scores[i + 1..].iter().map(|score| score - self.scores[i]));
            Elementary::Sigmoid.in_place(&mut self.wrong);
            for j in i + 1..n {
                if self.gains[i] == self.gains[j] {
                    continue;
                }
                let q = self.wrong[j - i - 1];
                let mut change = (self.gains[i] - self.gains[j]).abs() * (discounts[i] - discounts[j]) / most;
                if differ {
                    change /= NEAR + (self.scores[i] - self.scores[j]);
                }
                // How much rank i should go down: up where it is the more relevant.
                let down = if self.gains[i] > self.gains[j] { -q } else { 1.0 - q } * change;
                let hessian = q * (1.0 - q) * change;
                self.gradients[i] += down;
                self.gradients[j] -= down;
                self.hessians[i] += hessian;
                self.hessians[j] += hessian;
                sizes += 2.0 * down.abs();
            }
        }
        let share = if sizes > 0.0 { by_row::ln(1.0 + sizes) / std::f64::consts::LN_2 / sizes } else { 1.0 };
        for (rank, &row) in self.order.iter().enumerate() {
            let scale = share * truth.weight(row);
            out[row - rows.start] =
                Derivatives::of(self.gradients[rank] * scale, self.hessians[rank] * scale);
        }
    }
}

fn refill(list: &mut Vec<f64>, with: impl Iterator<Item = f64>) {
    list.clear();
    list.extend(with);
}

/// The DCG of the best order, up to the truncation.
fn best(space: &mut Vec<f64>, gains: &[f64], truncation: usize, discounts: &[f64]) -> f64 {
    refill(space, gains.iter().copied());
    space.sort_unstable_by(|a, b| b.total_cmp(a));
    space.iter().zip(discounts).take(truncation).map(|(gain, discount)| gain * discount).sum()
}
