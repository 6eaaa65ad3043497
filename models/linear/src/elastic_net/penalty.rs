//! The elastic net's penalty, and how far a point can be from the minimum at most: the duality gap.
//!
//! For P(b) = |y - X b|^2 / 2 + l1 |b|_1 + l2 |b|^2 / 2 any dual point gives a lower bound of the minimum. Two are taken
//! from the residual r = y - X b, and the better bound counts:
//! - with sqrt(l2) I below X and zeros below y the problem is a lasso, whose dual points are those with
//!   |X^T theta - l2 ...| <= l1 in every column: the residual, shrunk until it is one, by the best factor that is short
//!   enough (Kim, Koh, Lustig, Boyd, Gorinevsky, "An interior-point method for large-scale l1-regularized least squares",
//!   2007; Massias, Gramfort, Salmon, "Celer", 2018);
//!   Where coefficients cannot be negative x_j theta <= l1 is enough.
//! - with l2 > 0 every point is a dual one, so the residual as it is: sum of ((|x_j r| - l1)+)^2 / (2 l2) is taken off.

/// l1 |b|_1 + l2 |b|^2 / 2, and infinity below zero where coefficients are to be `positive` (0 or more).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Penalty {
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) positive: bool,
}

/// What is known about the best answer at a point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certificate {
    /// P at the point.
    pub(crate) objective: f64,
    /// The objective is at most this far above its minimum.
    pub(crate) gap: f64,
    /// What the residual is multiplied by to be a dual point of the lasso, and how far the best one is from it at most.
    pub(crate) shrink: f64,
    pub(crate) radius: f64,
}

impl Penalty {
    /// The minimum over one coefficient of curvature / 2 b^2 - pull b + penalty.
    pub(crate) fn minimum(self, pull: f64, curvature: f64) -> f64 {
        let beyond = self.strength(pull) - self.l1;
        if beyond > 0.0 { beyond.copysign(pull) / (curvature + self.l2) } else { 0.0 }
    }

    /// How hard a pull at a coefficient of zero is: one below zero is none where it cannot follow.
    pub(crate) fn strength(self, pull: f64) -> f64 {
        if self.positive { pull } else { pull.abs() }
    }

    /// At coefficients b with X^T r for each of them, |r|^2 and r y.
    pub(crate) fn certificate(
        self,
        coefficients: &[f64],
        correlations: &[f64],
        residual_square: f64,
        residual_target: f64,
    ) -> Certificate {
        let Self { l1, l2, positive } = self;
        let (mut sum, mut square, mut largest, mut beyond) = (0.0, 0.0, 0.0f64, 0.0);
        for (b, g) in coefficients.iter().zip(correlations) {
            sum += b.abs();
            square += b * b;
            largest = largest.max(self.strength(g - l2 * b));
            let over = (self.strength(*g) - l1).max(0.0);
            beyond += over * over;
        }
        let objective = 0.5 * residual_square + l1 * sum + 0.5 * l2 * square;
        let stacked = residual_square + l2 * square;
        let longest = if largest > l1 { l1 / largest } else { 1.0 };
        // Of all multiples of the residual this is the best one; beyond 1 none of the others gains.
        let shrink = if stacked > 0.0 {
            (residual_target / stacked).clamp(if positive { 0.0 } else { -longest }, longest)
        } else {
            longest
        };
        let mut bound = shrink * (residual_target - 0.5 * shrink * stacked);
        // The dual is curved by 1.
        let radius = (2.0 * (objective - bound).max(0.0)).sqrt();
        if l2 > 0.0 {
            bound = bound.max(residual_target - 0.5 * residual_square - 0.5 * beyond / l2);
        }
        Certificate { objective, gap: objective - bound, shrink, radius }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One column x = 1, one row y = 3: b = (3 - l1) / (1 + l2), and the gap vanishes there only.
    #[test]
    fn the_gap_closes_at_the_minimum() {
        for (l1, l2, positive) in
            [(1.0, 0.0, false), (0.5, 2.0, false), (0.0, 1.0, false), (1.0, 0.0, true), (0.5, 2.0, true)]
        {
            let penalty = Penalty { l1, l2, positive };
            let best = penalty.minimum(3.0, 1.0);
            assert_eq!(best, (3.0 - penalty.l1) / (1.0 + penalty.l2));
            let at = |b: f64| penalty.certificate(&[b], &[3.0 - b], (3.0 - b).powi(2), 3.0 * (3.0 - b));
            assert!(at(best).gap.abs() < 1e-14, "{penalty:?}: {:?}", at(best));
            for off in [-0.3, 1e-3, 0.5] {
                let (far, near) = (at(best + off), at(best));
                assert!(far.gap >= far.objective - near.objective - 1e-14, "{penalty:?}: {far:?}");
                assert!(far.gap > 0.0);
            }
        }
    }
}
