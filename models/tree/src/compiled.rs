//! Trees compiled for prediction.
//!
//! [`Compiled`] holds trees in the forms that prediction reads fastest; [`Tree::leaf`] stays the definition, and every engine
//! gives its bits, for f64 and f32 cells (which are widened: exact), in any batch, on any number of threads. Nothing is
//! allocated per call but by the first batches of a thread, which keeps up to 1 MiB of codes, and for outputs whose rows do not
//! follow each other.
//!
//! Which engine serves a batch follows from its shape: [`Engine::Nodes`] fewer than 128 rows, and trees too small to pay for
//! codes (fewer than three steps per feature); else [`Engine::Masks`] if no tree has more than 256 leaves and there are no
//! categories, else [`Engine::Codes`]. Rows of a batch are shared by threads where they last long enough; a single row is not.
//!
//! Nanoseconds per row and tree by engine, and per row once for codes: 28 features, two classes, one thread of a machine that
//! others used too (AMD Zen 5; the least of 40 turns of 6,400 rows):
//!
//! | leaves of a tree | mean way | nodes | codes | masks | codes of a row |
//! |---|---|---|---|---|---|
//! | 64 | 5.4 | 10.7 | 4.5 | 1.1 | 63 to 76 |
//! | 1,000 | 12.4 | 25 | 12.4 | - | 187 |
//! | 13,700 (fully grown) | 20 | 130 | 25 | - | 181 |
//!
//! The 25 is from another run, since the nodes of the next tree are asked for while one is walked; it was 46 before
//! (`kernels/src/tree/codes.rs`). The 1.1 is from another run too, of 100 boosted trees, the addition of values included; of trees of
//! 100 to 256 leaves masks took 0.5 to 0.8 of the time of codes. All others are from before.
//!
//! One row of 100 trees of 64 leaves takes 1.7 microseconds by nodes, where walks one after the other take 9 and more.

use crate::tree::{Input, Test, Tree};
use distinct::Distinct;
use std::sync::{Arc, OnceLock};
use tilewise_base::Result;
use tilewise_kernels::tree::{
    CodeNode, CodedTrees, Coder, Coding, MISSING, MaskTest, MaskedTrees, Node, Tests, Trees, Values, predict,
    predict_coded, predict_masked,
};
use tilewise_kernels::{Float, MatMut, MatRef, ShapeError, parallel, same};

mod distinct;

/// A way to find the leaves of rows. All give equal bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Nodes of 16 bytes that compare numbers: eight rows of a tree at a time, or eight trees of a row.
    Nodes,
    /// Nodes of 8 bytes that compare codes, which are made of a block of rows once for all trees.
    Codes,
    /// Every test on the codes of all rows of a block, for trees of at most 256 leaves without categories.
    Masks,
}

/// Trees that predict together, laid out for it: immutable, shared by any number of threads.
///
/// ```
/// use tilewise_base::Context;
/// use tilewise_kernels::{MatMut, MatRef};
/// use tilewise_tree::{BinnedTable, Compiled, DecisionTree};
/// let x: Vec<f64> = (0..100).map(f64::from).collect();
/// let table = BinnedTable::of_matrix(MatRef::new(&x, 100, 1)?, None, 255, 0)?;
/// let grow = |y: &[f64]| DecisionTree::default().fit_numbers(&table, y, &Context::default());
/// let double: Vec<f64> = x.iter().map(|x| 2.0 * x).collect();
/// let trees = Compiled::new(&[grow(&x)?.model, grow(&double)?.model])?;
/// let mut out = [0.0; 2];
/// trees.mean(MatRef::new(&[10.0f32, 20.0], 2, 1)?, MatMut::new(&mut out, 2, 1)?)?;
/// assert_eq!(out, [15.0, 30.0]);
/// # Ok::<(), tilewise_base::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    trees: usize,
    outputs: usize,
    /// For few rows.
    nodes: Trees<Node>,
    many: Option<Many>,
    /// Rows from which it does.
    many_from: usize,
}

/// What serves many rows.
#[derive(Clone, Debug, PartialEq)]
enum Many {
    Codes(CodedTrees),
    Masks(MaskedTrees),
}

/// Rows from which their codes pay: half a block.
const MANY: usize = 128;
/// Steps of a row per feature from which codes pay: a code costs some 6 ns, and saves half of a step and more.
const STEPS_PER_FEATURE: usize = 3;
/// Leaves of a tree up to which masks pay: as far as they go.
const MASKS_TO: usize = 256;

impl Compiled {
    /// Compiles trees over the same inputs with as many outputs each, for the engines that suit their shape. O(nodes). Trees of a file
    /// that is mapped are read where they are, by [`Engine::Nodes`]: the others need tables of their own.
    ///
    /// # Errors
    /// When there is no tree, trees differ in their inputs or outputs, or there are 2^31 nodes or more.
    pub fn new(trees: &[Tree]) -> Result<Self> {
        if let Some(nodes) = stored(trees)? {
            let (many, outputs) = (None, nodes.values().outputs());
            return Ok(Self { trees: trees.len(), outputs, nodes, many, many_from: MANY });
        }
        let plans = Plans::new(trees);
        let nodes = nodes(trees, &plans)?;
        let leaves = trees.iter().map(Tree::leaves);
        let most = leaves.clone().max().unwrap_or(0);
        let steps: usize = leaves.map(|leaves| leaves.max(1).ilog2() as usize).sum();
        let many = if steps < STEPS_PER_FEATURE * trees[0].inputs.len() {
            None
        } else if most <= MASKS_TO {
            masks(trees, &plans).or_else(|| codes(trees, &plans))
        } else {
            codes(trees, &plans)
        };
        Ok(Self { trees: trees.len(), outputs: trees[0].outputs(), nodes, many, many_from: MANY })
    }

    /// The same with one engine for any number of rows: to compare them. `None` where an engine cannot hold such trees:
    /// masks, see [`Engine`]; codes, more than 65,534 thresholds of a feature, 32,767 columns of codes or 65,535 sets.
    ///
    /// # Errors
    /// As [`Compiled::new`].
    pub fn with_engine(trees: &[Tree], engine: Engine) -> Result<Option<Self>> {
        let plans = Plans::new(trees);
        let nodes = nodes(trees, &plans)?;
        let many = match engine {
            Engine::Nodes => None,
            Engine::Codes => codes(trees, &plans),
            Engine::Masks => masks(trees, &plans),
        };
        let there = many.is_some() || engine == Engine::Nodes;
        Ok(there.then(|| Self { trees: trees.len(), outputs: trees[0].outputs(), nodes, many, many_from: 0 }))
    }

    /// Numbers predicted for a row.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of trees.
    pub fn trees(&self) -> usize {
        self.trees
    }

    /// What predicts a batch of so many rows.
    pub fn engine(&self, rows: usize) -> Engine {
        match &self.many {
            Some(Many::Codes(_)) if rows >= self.many_from => Engine::Codes,
            Some(Many::Masks(_)) if rows >= self.many_from => Engine::Masks,
            _ => Engine::Nodes,
        }
    }

    /// Adds to each row of `out` (rows x outputs) the values of the leaves that the row of `x` reaches, tree after tree.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn add<T: Float>(&self, x: MatRef<'_, T>, out: &mut [f64]) -> Result<(), ShapeError> {
        match &self.many {
            Some(Many::Codes(trees)) if x.rows() >= self.many_from => predict_coded(trees, x, out),
            Some(Many::Masks(trees)) if x.rows() >= self.many_from => predict_masked(trees, x, out),
            _ => predict(&self.nodes, x, out),
        }
    }

    /// The sum over trees, from zero: (0 + first) + second ...
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn sum<T: Float>(&self, x: MatRef<'_, T>, out: MatMut<'_, f64>) -> Result<(), ShapeError> {
        // Of one tree the value itself: -0 + x is x for both zeros.
        self.write(if self.trees == 1 { -0.0 } else { 0.0 }, 1.0, x, out)
    }

    /// The mean over trees: the sum divided by their number.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn mean<T: Float>(&self, x: MatRef<'_, T>, out: MatMut<'_, f64>) -> Result<(), ShapeError> {
        self.write(0.0, self.trees as f64, x, out)
    }

    fn write<T: Float>(
        &self,
        start: f64,
        divisor: f64,
        x: MatRef<'_, T>,
        out: MatMut<'_, f64>,
    ) -> Result<(), ShapeError> {
        same("columns of out", self.outputs, out.cols())?;
        same("rows of out", x.rows(), out.rows())?;
        let fill = |out: &mut [f64]| {
            out.fill(start);
            self.add(x, out)?;
            out.iter_mut().for_each(|out| *out /= divisor);
            Ok(())
        };
        match out.into_slice() {
            Ok(out) => fill(out),
            Err(mut out) => {
                let mut sums = vec![0.0; x.rows() * self.outputs];
                fill(&mut sums)?;
                for (i, sums) in sums.chunks_exact(self.outputs).enumerate() {
                    sums.iter().enumerate().for_each(|(j, &sum)| out.set(i, j, sum));
                }
                Ok(())
            }
        }
    }
}

/// Trees that are compiled when they are first asked: whoever looks at a model or stores it again does not wait for it.
#[derive(Clone, Debug, Default)]
pub struct WhenAsked(OnceLock<Result<Compiled, String>>);

impl WhenAsked {
    /// The compiled form of `trees`, which must be the same in every call.
    ///
    /// # Errors
    /// As [`Compiled::new`].
    pub fn get(&self, trees: &[Tree]) -> Result<&Compiled> {
        // Not in `get_or_init`: threads work on it together, and one that waits for its share may take up work that asks, too.
        let compiled = match self.0.get() {
            Some(compiled) => compiled,
            None => {
                let new = Compiled::new(trees).map_err(|e| e.to_string());
                self.0.get_or_init(|| new)
            }
        };
        compiled.as_ref().map_err(|e| tilewise_base::Error::Fit(e.clone()))
    }
}

impl PartialEq for WhenAsked {
    /// It follows from what stands beside it.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Where the nodes of a tree go: breadth first, children side by side. The upper levels, through which most rows go, share few
/// cache lines.
struct Plan {
    /// Nodes of the tree in the order they are laid out.
    order: Vec<u32>,
    /// For each node of the tree the place of its left child; of a leaf the number of its value.
    next: Vec<u32>,
    /// The different values of its leaves, one after the other.
    values: Vec<f64>,
}

impl Plan {
    fn new(tree: &Tree) -> Self {
        let (mut order, mut next) = (Vec::with_capacity(tree.len()), vec![0; tree.len()]);
        let mut values = Distinct::new(tree.outputs(), tree.leaves());
        order.push(0);
        let mut done = 0;
        while let Some(&at) = order.get(done) {
            next[at as usize] = if let Some(split) = tree.nodes.split(at as usize) {
                order.extend([at + 1, split.right]);
                order.len() as u32 - 2
            } else {
                values.number(tree.numbers(at as usize)) as u32
            };
            done += 1;
        }
        Self { order, next, values: values.into_numbers() }
    }
}

/// Plans of all trees, and where the nodes, sets and values of each begin.
struct Plans {
    of: Vec<Plan>,
    starts: Vec<[usize; 3]>,
}

impl Plans {
    fn new(trees: &[Tree]) -> Self {
        let of = parallel::map(trees.len(), |tree| Plan::new(&trees[tree]));
        let mut end = [0; 3];
        let starts = trees.iter().zip(&of).map(|(tree, plan)| {
            let start = end;
            end = [
                end[0] + tree.len(),
                end[1] + tree.nodes.sets.len(),
                end[2] + plan.values.len() / tree.outputs().max(1),
            ];
            start
        });
        Self { starts: starts.collect(), of }
    }

    fn values(&self, outputs: usize) -> Result<Values, ShapeError> {
        let numbers: Vec<f64> = self.of.iter().flat_map(|plan| &plan.values).copied().collect();
        Values::new(numbers, outputs)
    }
}

/// The bit of missing values in the last word of a set.
const LAST: u64 = 1 << (MISSING % 64);

/// The set with what is said of missing values.
fn with_missing(mut set: [u64; 4], missing_left: bool) -> [u64; 4] {
    set[3] = set[3] & !LAST | if missing_left { LAST } else { 0 };
    set
}

/// The set without that, and what it says.
pub(crate) fn without_missing(mut set: [u64; 4]) -> ([u64; 4], bool) {
    let missing_left = set[3] & LAST != 0;
    set[3] &= !LAST;
    (set, missing_left)
}

/// Trees as prediction reads them, and as a file holds them.
pub(crate) fn laid_out(trees: &[Tree]) -> Result<Trees<Node>> {
    nodes(trees, &Plans::new(trees))
}

/// Trees that lie in one file, where they are.
fn stored(trees: &[Tree]) -> Result<Option<Trees<Node>>> {
    let Some((file, _)) = trees.first().and_then(|tree| tree.nodes.place()) else { return Ok(None) };
    let number =
        |tree: &Tree| tree.nodes.place().filter(|(of, _)| Arc::ptr_eq(of, file)).map(|(_, number)| number);
    let Some(numbers) = trees.iter().map(number).collect::<Option<Vec<_>>>() else { return Ok(None) };
    Ok(Some(file.trees.some(numbers)?))
}

/// What all forms share.
fn inputs(trees: &[Tree]) -> Result<&[Input]> {
    let first =
        trees.first().ok_or_else(|| tilewise_base::Error::Fit("there is no tree to compile".into()))?;
    for tree in trees {
        same("outputs of a tree", first.outputs(), tree.outputs())?;
        // Trees of a model share them.
        let equal = Arc::ptr_eq(&first.inputs, &tree.inputs) || first.inputs == tree.inputs;
        same("trees with the same inputs", 1, usize::from(equal))?;
    }
    Ok(&first.inputs)
}

/// Trees as arrays of nodes: nodes, roots, sets, values.
type Laid<N> = (Vec<N>, Vec<u32>, Vec<[u64; 4]>, Values);

/// Lays trees out, one after the other. `split` makes a node of a test: of a node, the number of its set if it tests one, and
/// the place of its left child.
fn lay_out<N: Clone + Send>(
    trees: &[Tree],
    plans: &Plans,
    leaf: fn(usize) -> Result<N, ShapeError>,
    split: impl Fn(&crate::Node, usize, usize) -> Result<N, ShapeError> + Sync,
) -> Result<Laid<N>, ShapeError> {
    let of_tree = |number: usize| {
        let (tree, plan) = (&trees[number], &plans.of[number]);
        let [first, first_set, first_value] = plans.starts[number];
        let (mut nodes, mut sets) = (Vec::with_capacity(tree.len()), Vec::new());
        for &at in &plan.order {
            let (at, next) = (at as usize, plan.next[at as usize] as usize);
            nodes.push(if tree.nodes.split(at).is_none() {
                leaf(first_value + next)?
            } else {
                let node = tree.node(at);
                if let Some(Test::Bins(set)) = node.test {
                    sets.push(with_missing(set, node.missing_left));
                }
                split(&node, first_set + sets.len().saturating_sub(1), first + next)?
            });
        }
        Ok((nodes, sets))
    };
    let laid = parallel::map(trees.len(), of_tree).into_iter().collect::<Result<Vec<_>, ShapeError>>()?;
    let (nodes, sets): (Vec<Vec<N>>, Vec<Vec<[u64; 4]>>) = laid.into_iter().unzip();
    // One that is too large is refused with its node.
    let roots = plans.starts.iter().map(|start| u32::try_from(start[0]).unwrap_or(u32::MAX)).collect();
    Ok((nodes.concat(), roots, sets.concat(), plans.values(trees.first().map_or(1, Tree::outputs))?))
}

fn nodes(trees: &[Tree], plans: &Plans) -> Result<Trees<Node>> {
    let inputs = inputs(trees)?;
    let split = |node: &crate::Node, set: usize, left: usize| match node.test {
        Some(Test::UpTo(threshold)) => Node::up_to(node.feature as usize, threshold, node.missing_left, left),
        _ => Node::in_set(node.feature as usize, set, left),
    };
    let (nodes, roots, sets, values) = lay_out(trees, plans, Node::leaf, split)?;
    let tests = Tests { sets: sets.into(), bins: Input::bins(inputs) };
    Ok(Trees::new(nodes.into(), roots, tests, inputs.len(), values)?)
}

/// The thresholds of all trees, by feature, in ascending order, and how cells become codes; `None` where they cannot.
fn coder(trees: &[Tree]) -> Option<(Vec<Vec<f64>>, Coder)> {
    let inputs = inputs(trees).ok()?;
    let mut cuts = vec![Vec::new(); inputs.len()];
    let mut used = vec![false; inputs.len()];
    // Most thresholds come again and again: a small table of those seen last saves most of the sorting.
    let mut seen = vec![[None; 256]; inputs.len()];
    for (tree, split) in
        trees.iter().flat_map(|tree| tree.nodes.splits.iter().map(move |split| (tree, split)))
    {
        let feature = split.feature();
        match (tree.nodes.test(split), &inputs[feature]) {
            (Test::UpTo(threshold), Input::Number) => {
                let seen = &mut seen[feature][distinct::slot(threshold.to_bits(), 8)];
                if *seen != Some(threshold) {
                    *seen = Some(threshold);
                    cuts[feature].push(threshold);
                }
            }
            (Test::Bins(_), Input::Category(_)) => used[feature] = true,
            // Not a test of bins, so codes do not know the answer.
            _ => return None,
        }
    }
    for cuts in &mut cuts {
        cuts.sort_unstable_by(f64::total_cmp);
        cuts.dedup();
    }
    let coding = |(feature, input): (usize, &Input)| match input {
        Input::Category(bins) if used[feature] => Coding::Bins(bins.clone()),
        Input::Number if !cuts[feature].is_empty() => Coding::Cuts(cuts[feature].clone()),
        _ => Coding::Unused,
    };
    let coder = Coder::new(inputs.iter().enumerate().map(coding).collect()).ok()?;
    Some((cuts, coder))
}

/// The number of the largest code that goes left.
fn code(cuts: &[f64], threshold: f64) -> usize {
    cuts.partition_point(|cut| *cut < threshold)
}

fn codes(trees: &[Tree], plans: &Plans) -> Option<Many> {
    let (cuts, coder) = coder(trees)?;
    let split = |node: &crate::Node, set: usize, left: usize| {
        let feature = node.feature as usize;
        // Every feature that is tested has one.
        let column = coder.column(feature, node.missing_left).unwrap_or(usize::MAX);
        match node.test {
            Some(Test::UpTo(threshold)) => CodeNode::up_to(column, code(&cuts[feature], threshold), left),
            _ => CodeNode::in_set(column, set, left),
        }
    };
    let (nodes, roots, sets, values) = lay_out(trees, plans, CodeNode::leaf, split).ok()?;
    let tests = Tests { sets: sets.into(), ..Tests::default() };
    CodedTrees::new(nodes, roots, tests, coder, values).ok().map(Many::Codes)
}

fn masks(trees: &[Tree], plans: &Plans) -> Option<Many> {
    let (cuts, coder) = coder(trees)?;
    let mut masked = Vec::with_capacity(trees.len());
    for (tree, (plan, start)) in trees.iter().zip(plans.of.iter().zip(&plans.starts)) {
        if tree.leaves() > MASKS_TO {
            return None;
        }
        // Leaves are numbered when they are met, left before right; a node's left leaves are known when its right child is.
        let (mut tests, mut leaves): (Vec<MaskTest>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut next: Vec<(usize, Option<(usize, usize)>)> = vec![(0, None)];
        while let Some((at, parent)) = next.pop() {
            let node = tree.node(at);
            if let Some((test, first)) = parent {
                let test: &mut MaskTest = &mut tests[test];
                test.lefts = (leaves.len() - first) as u16;
            }
            match node.test {
                None => leaves.push(u32::try_from(start[2]).ok()? + plan.next[at]),
                Some(Test::Bins(_)) => return None,
                Some(Test::UpTo(threshold)) => {
                    let feature = node.feature as usize;
                    let column = coder.column(feature, node.missing_left)? as u32;
                    let code = u16::try_from(code(&cuts[feature], threshold)).ok()?;
                    tests.push(MaskTest { column, code, lefts: 0 });
                    next.push((node.right as usize, Some((tests.len() - 1, leaves.len()))));
                    next.push((node.left as usize, None));
                }
            }
        }
        masked.push((tests, leaves));
    }
    MaskedTrees::new(masked, coder, plans.values(trees[0].outputs()).ok()?).ok().map(Many::Masks)
}
