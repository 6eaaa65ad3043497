//! Leaves drawn to the nodes above them (LightGBM's `path_smooth`).

use std::ops::Range;
use tilewise_kernels::parallel;
use tilewise_tree::Tree;

/// What leaves predict, from left to right: each node of a path what it would by itself, times n / (n + s), and what the node above it
/// predicts, times s / (n + s), where n is its weight and s the smoothing. `leaves` has the rows of each leaf, `sums` what they sum to;
/// `of_node` answers what a node predicts by itself and its weight. O(nodes) calls of `of_node`.
pub(crate) fn smoothed(
    tree: &Tree,
    leaves: &[Range<usize>],
    sums: &[[f64; 2]],
    smoothing: f64,
    of_node: impl Fn(Range<usize>, [f64; 2]) -> (f64, f64) + Sync,
) -> Vec<f64> {
    let nodes = tree.len();
    let mut all = vec![(0..0, [0.0; 2]); nodes];
    let mut leaf = leaves.len();
    // Children stand behind their parents, and right ones behind left ones.
    for at in (0..nodes).rev() {
        let node = tree.node(at);
        all[at] = if node.test.is_none() {
            leaf -= 1;
            (leaves[leaf].clone(), sums[leaf])
        } else {
            let ((left, a), (right, b)) = (&all[node.left as usize], &all[node.right as usize]);
            (left.start..right.end, [a[0] + b[0], a[1] + b[1]])
        };
    }
    let alone = parallel::map(nodes, |at| of_node(all[at].0.clone(), all[at].1));
    let mut values: Vec<f64> = alone.iter().map(|(value, _)| *value).collect();
    for at in 0..nodes {
        let node = tree.node(at);
        if node.test.is_none() {
            continue;
        }
        for child in [node.left as usize, node.right as usize] {
            let (value, weight) = alone[child];
            let share = weight / (weight + smoothing);
            values[child] = share * value + (1.0 - share) * values[at];
        }
    }
    (0..nodes).filter(|&at| tree.node(at).test.is_none()).map(|at| values[at]).collect()
}
