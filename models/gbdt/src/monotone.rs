//! Leaves that keep to monotone constraints.
//!
//! A tree divides where Newton's steps on derivatives in fixed point keep to what is asked. Its leaves then get their values from the
//! derivatives as they were, which are other numbers in the last bits, or from residuals, which are quite others. So each is
//! moved to the nearest value between its bounds: below a monotone split all of one side lies up to the middle of what both
//! sides predict, and all of the other from there on.

use tilewise_tree::Tree;

/// Moves `values`, those of leaves from left to right, to where `signs` (one per input, or none) allow them. `tree` says what the
/// sides of splits predict.
pub(crate) fn keep(tree: &Tree, signs: &[i8], values: &mut [f64]) {
    if signs.iter().all(|&sign| sign == 0) {
        return;
    }
    let level = |node: u32| tree.numbers(node as usize).next().unwrap_or(0.0);
    let mut bounds = vec![(f64::NEG_INFINITY, f64::INFINITY); tree.len()];
    let mut values = values.iter_mut();
    // Parents stand before their children, and leaves from left to right.
    for (at, node) in tree.nodes().enumerate() {
        let (low, high) = bounds[at];
        if node.test.is_none() {
            if let Some(value) = values.next() {
                *value = value.max(low).min(high);
            }
            continue;
        }
        let [mut left, mut right] = [(low, high); 2];
        let middle = (level(node.left) / 2.0 + level(node.right) / 2.0).max(low).min(high);
        match signs.get(node.feature as usize) {
            None | Some(0) => {}
            Some(1..) => (left.1, right.0) = (middle, middle),
            _ => (left.0, right.1) = (middle, middle),
        }
        (bounds[node.left as usize], bounds[node.right as usize]) = (left, right);
    }
}
