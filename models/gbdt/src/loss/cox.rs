//! Survival: the partial likelihood of proportional hazards (Cox, "Regression models and life-tables", 1972), with Breslow's
//! way with times that are equal ("Covariance analysis of censored survival data", 1974).
//!
//! The score is the logarithm of a row's hazard against others. With R(t) the sum of w e^s over the rows *at risk* at t, whose
//! times are t or later, the loss is the sum over events of w (ln R(t) - s). By the score of row k it is
//! w_k e^(s_k) A(t_k) - w_k [k is an event], where A(t) sums w / R over the events up to t.
//!
//! For the second derivative stands its first part, w_k e^(s_k) A(t_k). The whole one subtracts the square of the row's own shares,
//! which is not additive: a row of weight 2 would differ from two rows. The part is at least the curvature in any direction, so it
//! makes steps shorter, by a share of about one over the rows at risk.
//!
//! All sums run over rows in the order of time, score, event and weight: rows that are equal in all of these can change places
//! without a trace, so results depend on no order of the table. O(rows log rows).

use super::{Derivatives, Objective, Truth};
use crate::Link;
use tilewise_base::Result;
use tilewise_kernels::Elementary;

pub(super) struct Cox;

/// Scores are taken to be no further below the largest: e^-600 leaves room for the smallest weights.
const FAR: f64 = 600.0;

/// A row with a weight.
struct Row {
    row: usize,
    time: f64,
    score: f64,
    event: bool,
    weight: f64,
}

/// Rows with a weight from the last time to the first, with w e^(s - shift) and the sum of these over all rows at risk.
struct Risks {
    rows: Vec<Row>,
    hazards: Vec<f64>,
    at_risk: Vec<f64>,
    shift: f64,
}

impl Risks {
    fn new(truth: &Truth<'_>, scores: &[f64]) -> Self {
        let event = |row: usize| truth.events.is_some_and(|events| events[row]);
        let of = |row: usize| Row {
            row,
            time: truth.y[row],
            score: scores[row],
            event: event(row),
            weight: truth.weight(row),
        };
        let mut rows: Vec<Row> = truth.counted().map(of).collect();
        rows.sort_unstable_by(|a, b| {
            let by_score = b.time.total_cmp(&a.time).then_with(|| a.score.total_cmp(&b.score));
            by_score.then_with(|| a.event.cmp(&b.event)).then_with(|| a.weight.total_cmp(&b.weight))
        });
        let shift = rows.iter().fold(f64::NEG_INFINITY, |most, row| most.max(row.score));
        let mut hazards: Vec<f64> = rows.iter().map(|row| (row.score - shift).max(-FAR)).collect();
        Elementary::Exp.in_place(&mut hazards);
        hazards.iter_mut().zip(&rows).for_each(|(hazard, row)| *hazard *= row.weight);
        let mut at_risk = vec![0.0; rows.len()];
        let (mut sum, mut first) = (0.0, 0);
        while first < rows.len() {
            let end = first + same_time(&rows[first..]);
            sum += hazards[first..end].iter().sum::<f64>();
            at_risk[first..end].fill(sum);
            first = end;
        }
        Self { rows, hazards, at_risk, shift }
    }
}

/// How many rows from the first on have its time.
fn same_time(rows: &[Row]) -> usize {
    rows.iter().take_while(|row| row.time == rows[0].time).count()
}

impl Objective for Cox {
    fn name(&self) -> String {
        "cox".into()
    }

    fn check(&self, truth: &Truth<'_>) -> Result<()> {
        truth.check_times()
    }

    /// 0: a score that all rows have changes nothing.
    fn start(&self, _: &Truth<'_>) -> Vec<f64> {
        vec![0.0]
    }

    fn derivatives(&self, truth: &Truth<'_>, scores: &[f64], out: &mut [Derivatives]) {
        out.fill(Derivatives::default());
        let risks = Risks::new(truth, scores);
        // From the first time on, which is the last row.
        let mut events = 0.0;
        let mut end = risks.rows.len();
        while end > 0 {
            let time = risks.rows[end - 1].time;
            let first = risks.rows[..end].iter().rposition(|row| row.time != time).map_or(0, |row| row + 1);
            let same = first..end;
            let of_event = |i: usize| if risks.rows[i].event { risks.rows[i].weight } else { 0.0 };
            events += same.clone().map(of_event).sum::<f64>() / risks.at_risk[first];
            for i in same {
                let expected = risks.hazards[i] * events;
                out[risks.rows[i].row] = Derivatives::of(expected - of_event(i), expected);
            }
            end = first;
        }
    }

    /// The sum over events, divided by the weight of all rows.
    fn loss(&self, truth: &Truth<'_>, scores: &[f64]) -> f64 {
        let risks = Risks::new(truth, scores);
        let mut logarithms = risks.at_risk;
        Elementary::Log.in_place(&mut logarithms);
        let of_row = |(row, ln): (&Row, f64)| row.weight * (ln + risks.shift - row.score);
        let events = risks.rows.iter().zip(logarithms).filter(|(row, _)| row.event);
        events.map(of_row).sum::<f64>() / truth.total_weight()
    }

    /// Hazards against others.
    fn link(&self) -> Link {
        Link::Exp
    }
}
