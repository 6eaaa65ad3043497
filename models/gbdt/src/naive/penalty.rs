//! What a leaf of these sums is.

use tilewise_tree::Penalty;

/// What is left of a gradient when l1 is taken off.
pub(super) fn cut(penalty: &Penalty, g: f64) -> f64 {
    if g > penalty.l1 {
        g - penalty.l1
    } else if g < -penalty.l1 {
        g + penalty.l1
    } else {
        0.0
    }
}

pub(super) fn step(penalty: &Penalty, g: f64, h: f64) -> f64 {
    if h + penalty.l2 == 0.0 { 0.0 } else { -cut(penalty, g) / (h + penalty.l2) }
}
