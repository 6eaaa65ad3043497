//! Rows down finished trees by every way there is, against walks one by one: all give equal bits.

use crate::inputs::{LAYOUTS, Layout, strides, view};
use crate::on_every_isa;
use proptest::prelude::*;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::*;
use tilewise_kernels::{Float, MatRef, ShapeError, naive, parallel};

const CATEGORIES: usize = 7;

/// Random trees. The last column holds categories where there are sets.
struct Grown {
    parts: Vec<Parts>,
    roots: Vec<u32>,
    tests: Tests,
    columns: usize,
    values: Values,
    /// Thresholds of each column, ascending.
    cuts: Vec<Vec<f64>>,
}

impl Grown {
    fn new(trees: usize, most_leaves: usize, columns: usize, outputs: usize, sets: bool, seed: u64) -> Self {
        let stream = Philox::new(seed, Philox::purpose("kernel tests: grown"));
        let mut at = 0;
        let mut below = |n: usize| {
            at += 1;
            stream.below(at, n as u64) as usize
        };
        let mut tests = Tests { bins: vec![None; columns], ..Tests::default() };
        let mut all_sets = vec![];
        if sets {
            // Two categories share a bin, one is not known: missing, or a bin of its own.
            let bins = Categories::from(vec![0, 1, 2, 2, MISSING, 3, 254]);
            tests.bins[columns - 1] = Some(if below(2) == 1 { bins.with_unknown(253) } else { bins });
        }
        let (mut parts, mut roots, mut values) = (vec![], vec![], 0);
        let mut cuts = vec![vec![]; columns];
        for _ in 0..trees {
            roots.push(parts.len() as u32);
            let leaves = 1 + below(most_leaves);
            let (mut place, mut end, mut open) = (parts.len(), parts.len() + 1, leaves - 1);
            while place < end {
                // One-sided trees too: a node waits for the last one that is open.
                let split = open > 0 && (place + 1 == end || below(3) > 0);
                parts.push(if split {
                    (open, end) = (open - 1, end + 2);
                    let (column, left) = (below(columns), end - 2);
                    if sets && column == columns - 1 {
                        let set = [below(16) as u64, 0, 0, (below(8) as u64) << 61];
                        all_sets.push(set);
                        Parts::InSet { column, set: all_sets.len() - 1, left }
                    } else {
                        let threshold = [f64::INFINITY, (below(25) as f64 - 12.0) / 3.0][below(9).min(1)];
                        cuts[column].push(threshold);
                        Parts::UpTo { column, threshold, missing_left: below(2) == 1, left }
                    }
                } else {
                    values += 1;
                    Parts::Leaf { value: values - 1 }
                });
                place += 1;
            }
        }
        for cuts in &mut cuts {
            cuts.sort_by(f64::total_cmp);
            cuts.dedup();
        }
        tests.sets = all_sets.into();
        let numbers = (0..values.max(1) * outputs).map(|_| (below(2001) as f64 - 1000.0) / 7.0);
        let values = Values::new(numbers.collect::<Vec<_>>(), outputs).unwrap();
        Self { parts, roots, tests, columns, values, cuts }
    }

    fn nodes(&self) -> Vec<Node> {
        let node = |part: &Parts| match *part {
            Parts::Leaf { value } => Node::leaf(value),
            Parts::InSet { column, set, left } => Node::in_set(column, set, left),
            Parts::UpTo { column, threshold, missing_left, left } => {
                Node::up_to(column, threshold, missing_left, left)
            }
        };
        self.parts.iter().map(|part| node(part).unwrap()).collect()
    }

    fn plain(&self) -> Trees<Node> {
        let (tests, values) = (self.tests.clone(), self.values.clone());
        Trees::new(self.nodes().into(), self.roots.clone(), tests, self.columns, values).unwrap()
    }

    /// `more` cuts that no test needs make codes longer.
    fn coder(&self, more: usize) -> (Vec<Vec<f64>>, Coder) {
        let mut cuts = self.cuts.clone();
        if let Some(cuts) = cuts.first_mut().filter(|_| self.tests.bins[0].is_none()) {
            cuts.extend((0..more).map(|i| i as f64 / 100.0 + 0.001));
            cuts.sort_by(f64::total_cmp);
        }
        let coding = |(cuts, bins): (&Vec<f64>, &Option<Categories>)| match bins {
            Some(bins) => Coding::Bins(bins.clone()),
            None if cuts.is_empty() => Coding::Unused,
            None => Coding::Cuts(cuts.clone()),
        };
        let coder = Coder::new(cuts.iter().zip(&self.tests.bins).map(coding).collect()).unwrap();
        (cuts, coder)
    }

    fn coded(&self, more: usize) -> CodedTrees {
        let (cuts, coder) = self.coder(more);
        let node = |part: &Parts| match *part {
            Parts::Leaf { value } => CodeNode::leaf(value),
            Parts::InSet { column, set, left } => {
                CodeNode::in_set(coder.column(column, false).unwrap(), set, left)
            }
            Parts::UpTo { column, threshold, missing_left, left } => {
                let code = cuts[column].iter().filter(|cut| **cut < threshold).count();
                CodeNode::up_to(coder.column(column, missing_left).unwrap(), code, left)
            }
        };
        let nodes = self.parts.iter().map(|part| node(part).unwrap()).collect();
        let (tests, values) = (self.tests.clone(), self.values.clone());
        CodedTrees::new(nodes, self.roots.clone(), tests, coder, values).unwrap()
    }

    fn masked(&self, more: usize) -> MaskedTrees {
        /// The leaves below a node, whose tests are added.
        fn below(
            parts: &[Parts],
            at: usize,
            code: &impl Fn(usize, f64, bool) -> (u32, u16),
            tests: &mut Vec<MaskTest>,
            leaves: &mut Vec<u32>,
        ) {
            match parts[at] {
                Parts::Leaf { value } => leaves.push(value as u32),
                Parts::UpTo { column, threshold, missing_left, left } => {
                    let (first, test) = (leaves.len(), tests.len());
                    let (column, code_left) = code(column, threshold, missing_left);
                    tests.push(MaskTest { column, code: code_left, lefts: 0 });
                    below(parts, left, code, tests, leaves);
                    tests[test].lefts = (leaves.len() - first) as u16;
                    below(parts, left + 1, code, tests, leaves);
                }
                Parts::InSet { .. } => panic!("masks know no sets"),
            }
        }
        let (cuts, coder) = self.coder(more);
        let code = |column: usize, threshold: f64, missing_left| {
            let code = cuts[column].iter().filter(|cut| **cut < threshold).count();
            (coder.column(column, missing_left).unwrap() as u32, code as u16)
        };
        let tree = |root: &u32| {
            let (mut tests, mut leaves) = (vec![], vec![]);
            below(&self.parts, *root as usize, &code, &mut tests, &mut leaves);
            (tests, leaves)
        };
        let trees: Vec<_> = self.roots.iter().map(tree).collect();
        MaskedTrees::new(trees, coder.clone(), self.values.clone()).unwrap()
    }

    /// Cells on thresholds and one step to either side, missing, infinite, of known and unknown categories.
    fn cells<T: Float>(&self, len: usize, seed: u64, step: fn(T, bool) -> T) -> Vec<T> {
        let stream = Philox::new(seed, Philox::purpose("kernel tests: cells"));
        let cell = |i: usize| {
            let below = |k: u64, n: usize| stream.below(4 * i as u64 + k, n as u64) as usize;
            // Any layout: what a column reads may be of either kind.
            let category = below(0, CATEGORIES + 2) as f64 - 1.0;
            let number = (below(1, 25) as f64 - 12.0) / 3.0;
            match below(2, 12) {
                0 => T::from_f64(f64::NAN),
                1 => T::from_f64(f64::INFINITY),
                2 => T::from_f64(f64::NEG_INFINITY),
                3..=5 => T::from_f64(category),
                6..=7 => T::from_f64(number),
                8..=9 => step(T::from_f64(number), true),
                _ => step(T::from_f64(number), false),
            }
        };
        (0..len).map(cell).collect()
    }

    fn all_agree<T: Float>(&self, x: MatRef<'_, T>, more: usize) {
        let before: Vec<f64> = (0..x.rows() * self.values.outputs()).map(|i| i as f64 / 3.0).collect();
        let mut expected = before.clone();
        naive::tree::predict(&self.nodes(), &self.roots, &self.tests, &self.values, x, &mut expected);
        let agrees = |name: &str, f: &dyn Fn(&mut [f64]) -> Result<(), ShapeError>| {
            let mut out = before.clone();
            f(&mut out).unwrap();
            assert!(out == expected, "{name}, {} x {}", x.rows(), x.cols());
        };
        let plain = self.plain();
        agrees("nodes", &|out| predict(&plain, x, out));
        let last: Vec<usize> = (0..self.roots.len()).rev().step_by(2).collect();
        let roots: Vec<u32> = last.iter().map(|&tree| self.roots[tree]).collect();
        let [mut some, mut of_roots] = [(); 2].map(|()| before.clone());
        predict(&plain.some(last).unwrap(), x, &mut some).unwrap();
        naive::tree::predict(&self.nodes(), &roots, &self.tests, &self.values, x, &mut of_roots);
        assert!(some == of_roots, "some trees, {} x {}", x.rows(), x.cols());
        let coded = self.coded(more);
        agrees("codes", &|out| predict_coded(&coded, x, out));
        if self.tests.sets.is_empty() {
            let masked = self.masked(more);
            agrees("masks", &|out| predict_masked(&masked, x, out));
        }
    }
}

fn step64(x: f64, up: bool) -> f64 {
    if up { x.next_up() } else { x.next_down() }
}

fn step32(x: f32, up: bool) -> f32 {
    if up { x.next_up() } else { x.next_down() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_way_leads_to_the_same_leaves(
        rows in prop_oneof![0usize..40, 200usize..600],
        columns in 1usize..6,
        trees in 0usize..20,
        most_leaves in prop_oneof![1usize..9, 1usize..64],
        outputs in 1usize..4,
        more in prop_oneof![Just(0usize), Just(220), Just(300), Just(5000)],
        layout in proptest::sample::select(&LAYOUTS[..]),
        sets: bool,
        seed in 0u64..1000,
    ) {
        let grown = Grown::new(trees, most_leaves, columns, outputs, sets, seed);
        let (.., len) = strides(layout, rows, columns);
        let x = grown.cells(len, seed, step64);
        grown.all_agree(view(&x, layout, rows, columns), more);
        let x = grown.cells(len, seed, step32);
        grown.all_agree(view(&x, layout, rows, columns), more);
    }
}

#[test]
fn every_set_and_number_of_threads_gives_the_same_leaves() {
    // Large enough for several tasks, and for trees that fill caches.
    let grown = [
        (Grown::new(30, 64, 4, 2, false, 1), 5000),
        (Grown::new(40, 3000, 6, 1, true, 2), 3000),
        (Grown::new(100, 16, 4, 3, false, 3), 1),
    ];
    on_every_isa(|_| {
        for (grown, rows) in &grown {
            let x = grown.cells(rows * grown.columns, 4, step64);
            let x = view(&x, Layout::RowMajor, *rows, grown.columns);
            let mut expected = vec![0.0; rows * grown.values.outputs()];
            naive::tree::predict(&grown.nodes(), &grown.roots, &grown.tests, &grown.values, x, &mut expected);
            let (plain, coded) = (grown.plain(), grown.coded(0));
            let masked = grown.tests.sets.is_empty().then(|| grown.masked(0));
            for threads in [1, 2, 3, 7] {
                parallel::with_threads(threads, || {
                    let mut out = vec![0.0; expected.len()];
                    predict(&plain, x, &mut out).unwrap();
                    assert!(out == expected, "nodes, {threads} threads");
                    out.fill(0.0);
                    predict_coded(&coded, x, &mut out).unwrap();
                    assert!(out == expected, "codes, {threads} threads");
                    if let Some(masked) = &masked {
                        out.fill(0.0);
                        predict_masked(masked, x, &mut out).unwrap();
                        assert!(out == expected, "masks, {threads} threads");
                    }
                });
            }
        }
    });
}

#[test]
fn what_is_not_a_tree_is_refused() {
    let values = Values::new(vec![0.5; 6], 2).unwrap();
    let split = |column, left| Node::up_to(column, 0.0, false, left).unwrap();
    let leaf = |value| Node::leaf(value).unwrap();
    let new = |nodes: &[Node], roots: &[u32]| {
        Trees::new(nodes.to_vec().into(), roots.to_vec(), Tests::default(), 2, values.clone())
    };
    assert!(new(&[split(1, 1), leaf(0), leaf(2)], &[0, 2]).is_ok() && new(&[], &[]).is_ok());
    for (nodes, root) in [
        // A root, column, value, child or set that is not there; a child that does not stand behind.
        (vec![leaf(0)], 1),
        (vec![split(2, 1), leaf(0), leaf(0)], 0),
        (vec![split(0, 1), leaf(0), leaf(3)], 0),
        (vec![split(0, 1), leaf(0)], 0),
        (vec![split(0, 0), leaf(0), leaf(0)], 0),
        (vec![Node::in_set(0, 0, 1).unwrap(), leaf(0), leaf(0)], 0),
    ] {
        assert!(new(&nodes, &[root]).is_err(), "{nodes:?}");
    }
    assert!(Values::new(vec![0.0; 3], 2).is_err() && Values::new(vec![], 0).is_err());
    assert!(Node::up_to(1 << 30, 0.0, false, 1).is_err() && Node::up_to(0, 0.0, false, 1 << 31).is_err());
    assert!(Node::leaf(1 << 31).is_err() && CodeNode::leaf(1 << 31).is_err());
    assert!(CodeNode::up_to(1 << 15, 0, 1).is_err() && CodeNode::up_to(0, 65_535, 1).is_err());
    assert!(CodeNode::in_set(0, 65_535, 1).is_err());

    for cuts in [vec![1.0, 0.5], vec![f64::NAN], vec![0.0; 65_535]] {
        assert!(Coder::new(vec![Coding::Cuts(cuts)]).is_err());
    }
    assert!(Coder::new(vec![Coding::Bins(vec![0].into()); 1 << 15]).is_err());
    let coder =
        Coder::new(vec![Coding::Unused, Coding::Cuts(vec![1.0]), Coding::Bins(vec![].into())]).unwrap();
    assert_eq!([0, 1, 2].map(|feature| coder.column(feature, true)), [None, Some(1), Some(2)]);

    let test = |column, lefts| MaskTest { column, code: 0, lefts };
    let masked = |tests: Vec<MaskTest>, leaves: Vec<u32>| {
        MaskedTrees::new([(tests, leaves)], coder.clone(), values.clone())
    };
    assert!(masked(vec![test(0, 1)], vec![0, 1]).is_ok() && masked(vec![], vec![2]).is_ok());
    assert!(masked(vec![], vec![]).is_err() && masked(vec![], vec![3]).is_err());
    assert!(masked(vec![], vec![0; 2]).is_err() && masked(vec![test(3, 1)], vec![0, 1]).is_err());
    let ones = |count| vec![test(0, 1); count];
    assert!(masked(ones(255), vec![0; 256]).is_ok() && masked(ones(256), vec![0; 257]).is_err());
    for lefts in [[0, 1], [3, 1], [1, 2]] {
        assert!(masked(lefts.map(|lefts| test(0, lefts)).to_vec(), vec![0; 3]).is_err(), "{lefts:?}");
    }
    assert!(masked(vec![test(0, 2), test(0, 1)], vec![0; 3]).is_ok());

    let trees = new(&[split(1, 1), leaf(0), leaf(2)], &[0]).unwrap();
    assert!(trees.some([0, 0]).is_ok() && trees.some([1]).is_err());
    assert!(trees.nodes().iter().all(|node| Node::of_words(node.words()) == *node));
    let x = |len| MatRef::new(&[0.0; 4][..len], 2, len / 2).unwrap();
    assert!(predict(&trees, x(4), &mut [0.0; 4]).is_ok() && predict(&trees, x(4), &mut [0.0; 2]).is_err());
    assert!(predict(&trees, x(2), &mut [0.0; 4]).is_err());
}
