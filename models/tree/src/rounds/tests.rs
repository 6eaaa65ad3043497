//! The tree of rounds is that of the trainer in memory: over any chunks, through bytes, in batches of any size, and when
//! chunks forget.

use super::division::*;
use super::*;
use crate::grow::{Choice, Left};
use crate::{Criterion, Feature, MaxFeatures, Splitter};
use proptest::prelude::*;
use tilewise_base::{Context, rounds};

/// Two columns of numbers with missing values and one of categories, answers and weights.
#[derive(Clone, Debug)]
struct Problem {
    numbers: [Vec<f64>; 2],
    codes: Vec<u32>,
    classes: Vec<u32>,
    y: Vec<f64>,
    weights: Option<Vec<f64>>,
}

fn problem() -> impl Strategy<Value = Problem> {
    (1_usize..60).prop_flat_map(|rows| {
        let number = || prop_oneof![5 => (-4_i32..5).prop_map(f64::from), 1 => Just(f64::NAN)];
        let column = move || prop::collection::vec(number(), rows);
        let weight = prop_oneof![Just(0.0), Just(1.0), Just(3.0), Just(0.3)];
        (
            [column(), column()],
            prop::collection::vec(0_u32..6, rows),
            prop::collection::vec(0_u32..3, rows),
            prop::collection::vec(-3_i32..4, rows),
            prop::option::of(prop::collection::vec(weight, rows)),
        )
            .prop_map(|(numbers, codes, classes, y, weights)| {
                let y = y.into_iter().map(|y| f64::from(y) * 0.7).collect();
                // Rows without a weight leave nothing to learn from.
                let weights = weights.filter(|weights| weights.iter().any(|&weight| weight > 0.0));
                Problem { numbers, codes, classes, y, weights }
            })
    })
}

/// What is learned of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Learns {
    Classes(u32),
    Numbers,
    Counts,
    Several,
}

impl Problem {
    fn table(&self, bins: usize) -> BinnedTable {
        let [a, b] = &self.numbers;
        let features = [
            Feature::Numeric(a),
            Feature::Categorical { codes: &self.codes, levels: 5 },
            Feature::Numeric(b),
        ];
        BinnedTable::new(&features, self.weights.as_deref(), bins, 0).unwrap()
    }

    fn answers(&self, learns: Learns) -> Answers {
        match learns {
            Learns::Classes(classes) => {
                let y = self.classes.iter().map(|class| class % classes).collect();
                Answers::Classes { y, classes: classes as usize }
            }
            Learns::Numbers => Answers::Numbers(self.y.clone()),
            Learns::Counts => Answers::Numbers(self.y.iter().map(|y| y.abs()).collect()),
            Learns::Several => {
                let classes = self.classes.iter().map(|&class| 3.0 * f64::from(class)).collect();
                Answers::Outputs(vec![self.y.clone(), classes])
            }
        }
    }
}

fn try_in_memory(params: &DecisionTree, table: &BinnedTable, answers: &Answers) -> Result<Tree> {
    let context = Context { seed: 9, ..Context::default() };
    let fit = match answers {
        Answers::Classes { y, classes } => params.fit_classes(table, y, *classes, &context),
        Answers::Numbers(y) => params.fit_numbers(table, y, &context),
        Answers::Outputs(y) => params.fit_outputs(table, y, &context),
    };
    fit.map(|fit| fit.model)
}

fn in_memory(params: &DecisionTree, table: &BinnedTable, answers: &Answers) -> Tree {
    try_in_memory(params, table, answers).unwrap()
}

/// As many chunks of nearly equal length.
fn chunks<'a>(table: &'a BinnedTable, learned: &'a Learned, count: usize) -> Vec<TreeChunk<'a>> {
    let end = |i: usize| i * table.rows() / count;
    (0..count).map(|i| TreeChunk::new(table, learned, end(i)..end(i + 1)).unwrap()).collect()
}

/// Rounds whose chunks are those that `chunks` gives for each; how many rounds.
fn run<'a>(trainer: &mut TreeTrainer<'_>, mut chunks: impl FnMut(usize) -> Vec<TreeChunk<'a>>) -> usize {
    let mut round = 0;
    while let Some(request) = trainer.request() {
        let partials = chunks(round).iter().map(|c| TreeTrainer::partial(&request, c).unwrap()).collect();
        let whole = tilewise_kernels::parallel::reduce(partials, TreeTrainer::merge).unwrap();
        trainer.advance(whole).unwrap();
        round += 1;
    }
    round
}

proptest! {
    #[test]
    fn rounds_grow_the_tree_of_memory(
        problem in problem(),
        learns in prop::sample::select(vec![
            Learns::Classes(2), Learns::Classes(3), Learns::Numbers, Learns::Counts, Learns::Several,
        ]),
        bins in prop::sample::select(vec![2, 5, 255]),
        (max_depth, max_leaves) in (prop::option::of(0_usize..4), prop::sample::select(vec![None, None, Some(1), Some(2), Some(5), Some(9)])),
        min_samples_split in 2_usize..6,
        (min_samples_leaf, min_weight_fraction_leaf) in prop::sample::select(vec![(1, 0.0), (1, 0.0), (3, 0.0), (1, 0.15), (2, 0.05)]),
        min_impurity_decrease in prop::sample::select(vec![0.0, 0.0, 0.02]),
        max_features in prop::sample::select(vec![MaxFeatures::All, MaxFeatures::Count(1)]),
        columns_by_tree in prop::sample::select(vec![1.0, 0.7]),
        columns_by_level in prop::sample::select(vec![1.0, 0.7]),
        splitter in prop::sample::select(vec![Splitter::Best, Splitter::Random]),
        growth in prop::sample::select(vec![Growth::LeafWise, Growth::DepthWise]),
        signs in prop::option::of((-1_i8..=1, -1_i8..=1)),
        interactions in prop::sample::select(vec![vec![], vec![vec![0, 1]], vec![vec![0, 2], vec![1, 2]]]),
        ccp_alpha in prop::sample::select(vec![0.0, 0.0, 0.02]),
        entropy: bool,
        batch in prop::sample::select(vec![1, 40, BATCH]),
        wide: bool,
    ) {
        let criterion = match learns {
            Learns::Classes(_) if entropy => Criterion::Entropy,
            Learns::Counts => Criterion::Poisson,
            _ => Criterion::Auto,
        };
        let signs = signs.filter(|_| !matches!(learns, Learns::Classes(3) | Learns::Several));
        let params = DecisionTree {
            criterion, max_depth, max_leaves, min_samples_leaf, min_samples_split, min_impurity_decrease, min_weight_fraction_leaf,
            max_features, columns_by_tree, columns_by_level, splitter, growth, monotone: signs.map_or(vec![], |(a, b)| vec![a, 0, b]),
            interactions, ccp_alpha, ..DecisionTree::default()
        };
        let (narrow, answers) = (problem.table(bins), problem.answers(learns));
        let table = if wide { narrow.widened() } else { narrow };
        let expected = match try_in_memory(&params, &table, &answers) {
            Ok(expected) => expected,
            // Counts that are all 0.
            Err(e) => {
                prop_assert_eq!(learns, Learns::Counts);
                let refused = Learned::new(&params, &table, &answers).err().map(|e| e.to_string());
                prop_assert_eq!(refused, Some(e.to_string()));
                return Ok(());
            }
        };
        let learned = Learned::new(&params, &table, &answers).unwrap();
        for count in [1, 2, 7] {
            let mut trainer = TreeTrainer::new(&params, &table, &learned, 9).unwrap();
            trainer.frontier.batch = batch;
            let chunks = chunks(&table, &learned, count);
            rounds::run_through_bytes(&mut trainer, &chunks, &Context::default()).unwrap();
            prop_assert_eq!(trainer.finish().unwrap(), expected.clone());
        }
        // Chunks that know nothing in any round.
        let mut trainer = TreeTrainer::new(&params, &table, &learned, 9).unwrap();
        trainer.frontier.batch = batch;
        run(&mut trainer, |_| chunks(&table, &learned, 3));
        prop_assert_eq!(trainer.finish().unwrap(), expected);
    }
}

/// 400 rows of which a tree of depth 6 and more is grown.
fn large() -> Problem {
    let number = |i: usize, k: usize| (i * i * k % 97) as f64;
    let numbers = [3, 5].map(|k| (0..400).map(|i| number(i, k)).collect());
    let codes = (0..400).map(|i| i as u32 * 7 % 6).collect();
    let classes = (0..400).map(|i| (number(i, 3) + 2.0 * number(i, 11)) as u32 % 3).collect();
    Problem { numbers, codes, classes, y: vec![0.0; 400], weights: None }
}

#[test]
fn a_chunk_that_forgets_costs_one_more_round() {
    let problem = large();
    let (params, table, answers) =
        (DecisionTree::default(), problem.table(255), problem.answers(Learns::Classes(3)));
    let learned = Learned::new(&params, &table, &answers).unwrap();
    let expected = in_memory(&params, &table, &answers);
    assert!(expected.depth() >= 6);
    let grow = |forgets: Option<usize>| {
        let mut trainer = TreeTrainer::new(&params, &table, &learned, 9).unwrap();
        let mut kept = chunks(&table, &learned, 2);
        let mut rounds = 0;
        while let Some(request) = trainer.request() {
            if forgets == Some(rounds) {
                kept.pop();
                kept.extend(chunks(&table, &learned, 2).pop());
            }
            let partials = kept.iter().map(|chunk| TreeTrainer::partial(&request, chunk).unwrap()).collect();
            // Asked again, a chunk answers again.
            assert!(TreeTrainer::partial(&request, &kept[0]).is_ok());
            trainer
                .advance(tilewise_kernels::parallel::reduce(partials, TreeTrainer::merge).unwrap())
                .unwrap();
            rounds += 1;
        }
        (trainer.finish().unwrap(), rounds)
    };
    let (tree, rounds) = grow(None);
    // Breadth first: a round for each level.
    assert_eq!((&tree, rounds), (&expected, expected.depth() + 1));
    assert_eq!(grow(Some(4)), (expected.clone(), rounds + 1));
    assert_eq!(grow(Some(0)), (expected, rounds));
}

/// As many rounds as levels, and few more: not one for each leaf.
#[test]
fn limited_leaves_take_about_a_round_for_each_level() {
    let problem = large();
    let (table, answers) = (problem.table(255), problem.answers(Learns::Classes(3)));
    for growth in [Growth::LeafWise, Growth::DepthWise] {
        for leaves in [2, 9, 25] {
            let params = DecisionTree { max_leaves: Some(leaves), growth, ..DecisionTree::default() };
            let expected = in_memory(&params, &table, &answers);
            let learned = Learned::new(&params, &table, &answers).unwrap();
            let mut trainer = TreeTrainer::new(&params, &table, &learned, 9).unwrap();
            let chunks = chunks(&table, &learned, 2);
            let mut count = 0;
            while let Some(request) = trainer.request() {
                let partials = chunks.iter().map(|c| TreeTrainer::partial(&request, c).unwrap()).collect();
                trainer
                    .advance(tilewise_kernels::parallel::reduce(partials, TreeTrainer::merge).unwrap())
                    .unwrap();
                count += 1;
            }
            assert_eq!(expected.leaves(), leaves);
            assert_eq!(trainer.finish().unwrap(), expected);
            assert!(count <= expected.depth() + 2, "{count} rounds for depth {}", expected.depth());
        }
    }
}

#[test]
fn a_chunk_serves_two_trees_at_a_time() {
    let problem = large();
    let (table, answers) = (problem.table(255), problem.answers(Learns::Classes(3)));
    let of = |max_depth| DecisionTree { max_depth: Some(max_depth), ..DecisionTree::default() };
    // The same chunk is asked about either tree by turns, and is in the state of the other each time.
    let learned = Learned::new(&of(5), &table, &answers).unwrap();
    let chunk = &chunks(&table, &learned, 1)[0];
    let drawn = DecisionTree { max_features: MaxFeatures::Count(1), ..of(5) };
    let trainer = |params: &DecisionTree| TreeTrainer::new(params, &table, &learned, 9).unwrap();
    let mut both = [trainer(&of(5)), trainer(&drawn)];
    while both.iter().any(|trainer| trainer.request().is_some()) {
        for trainer in &mut both {
            if let Some(request) = trainer.request() {
                trainer.advance(TreeTrainer::partial(&request, chunk).unwrap()).unwrap();
            }
        }
        // Who missed is asked until it is told what it needs.
        for trainer in &mut both {
            while let Some(request) = trainer.request().filter(|request| request.before.is_none()) {
                trainer.advance(TreeTrainer::partial(&request, chunk).unwrap()).unwrap();
            }
        }
    }
    let [a, b] = both.map(|trainer| trainer.finish().unwrap());
    assert_eq!(a, in_memory(&of(5), &table, &answers));
    assert_eq!(b, in_memory(&drawn, &table, &answers));
}

#[test]
fn a_tree_that_is_stopped_is_a_tree() {
    let problem = large();
    let (params, table, answers) =
        (DecisionTree::default(), problem.table(255), problem.answers(Learns::Classes(3)));
    let learned = Learned::new(&params, &table, &answers).unwrap();
    let chunk = &chunks(&table, &learned, 1)[0];
    for rounds in 0..5 {
        let mut trainer = TreeTrainer::new(&params, &table, &learned, 9).unwrap();
        for _ in 0..rounds {
            let request = trainer.request().unwrap();
            trainer.advance(TreeTrainer::partial(&request, chunk).unwrap()).unwrap();
        }
        let stopped = DecisionTree { max_depth: Some(rounds.max(1) - 1), ..params.clone() };
        match rounds {
            0 => assert!(matches!(trainer.finish(), Err(Error::Cancelled))),
            _ => assert_eq!(trainer.finish().unwrap(), in_memory(&stopped, &table, &answers)),
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let problem = large();
    let (params, table, answers) =
        (DecisionTree::default(), problem.table(255), problem.answers(Learns::Classes(3)));
    let learned = Learned::new(&params, &table, &answers).unwrap();
    let refused = |params: &DecisionTree, table: &BinnedTable, learned: &Learned| {
        TreeTrainer::new(params, table, learned, 0).err().unwrap().to_string()
    };
    let oblivious = DecisionTree { growth: Growth::Oblivious, ..DecisionTree::default() };
    let message = refused(&oblivious, &table, &learned);
    assert!(message.contains("growth: oblivious") && message.contains("depth_wise"), "{message}");
    let balanced = DecisionTree { class_weights: ClassWeights::Balanced, ..DecisionTree::default() };
    assert!(refused(&balanced, &table, &learned).contains("class_weight: balanced"));
    let monotone = DecisionTree { monotone: vec![1, 0, 0], ..DecisionTree::default() };
    assert!(refused(&monotone, &table, &learned).contains("3 classes"));
    let monotone = DecisionTree { monotone: vec![1, 0], ..DecisionTree::default() };
    let numbers = Learned::new(&monotone, &table, &problem.answers(Learns::Numbers)).unwrap();
    assert!(refused(&monotone, &table, &numbers).contains("monotone"));
    assert!(TreeChunk::new(&table, &learned, 399..401).is_err());
    assert!(Learned::new(&params, &table, &Answers::Numbers(vec![0.0; 3])).is_err());
    let chunk = &chunks(&table, &learned, 1)[0];
    let ask = |request: &Request| TreeTrainer::partial(request, chunk).unwrap_err().to_string();
    let choice = Choice { feature: 3, left: Left::UpTo(0), missing_left: None, gain: 0.0 };
    let divisions = vec![Division { node: 0, left: 1, right: 2, choice }];
    let request = Request { before: None, divisions, asked: vec![] };
    assert!(ask(&request).contains("column 3"));
    let asked = Asked { node: 5, cells: true, counts: false };
    let request = Request { divisions: vec![], asked: vec![asked], ..request };
    assert!(ask(&request).contains("node 5"));
    let mut trainer = TreeTrainer::new(&params, &table, &learned, 0).unwrap();
    let counted = |cells: Vec<i64>| {
        Partial(Answer::Counted(vec![Counted { rows: 1, value: None, differ: true, cells, counts: vec![] }]))
    };
    assert!(trainer.advance(counted(vec![1])).unwrap_err().to_string().contains("1 cells"));
    let all = table.cells() * of!(learned, target => target.width());
    let first = |rows: i64| [rows].into_iter().chain(std::iter::repeat(0)).take(all).collect::<Vec<_>>();
    for (cells, told) in [
        (vec![-1; all], "no sum"),
        (first(399), "chunks of weight 399 came"),
        // All rows in one bin of the first column and in none of the others.
        (first(400), "sums of its node"),
    ] {
        let mut trainer = TreeTrainer::new(&params, &table, &learned, 0).unwrap();
        let message = trainer.advance(counted(cells)).unwrap_err().to_string();
        assert!(message.contains(told), "{message}");
    }
    let mixed = TreeTrainer::merge(counted(vec![1]), counted(vec![1, 2]));
    let mut trainer = TreeTrainer::new(&params, &table, &learned, 0).unwrap();
    assert!(trainer.advance(mixed).unwrap_err().to_string().contains("different requests"));
}
