//! The forest of rounds is that of the trainer in memory: over any chunks, through bytes, and when chunks forget.

use super::*;
use crate::MaxSamples;
use proptest::prelude::*;
use tilewise_base::{Context, rounds};
use tilewise_tree::rounds::{BinningTrainer, RawChunk};
use tilewise_tree::{Criterion, Feature, Growth, MaxFeatures, Splitter};

#[derive(Clone, Debug)]
struct Problem {
    numbers: Vec<f64>,
    codes: Vec<u32>,
    answers: Answers,
    weights: Option<Vec<f64>>,
}

impl Problem {
    fn features(&self) -> [Feature<'_>; 2] {
        [Feature::Numeric(&self.numbers), Feature::Categorical { codes: &self.codes, levels: 5 }]
    }

    fn part(&self, rows: Range<usize>) -> Self {
        Self {
            numbers: self.numbers[rows.clone()].to_vec(),
            codes: self.codes[rows.clone()].to_vec(),
            answers: match &self.answers {
                Answers::Classes { y, classes } => {
                    Answers::Classes { y: y[rows.clone()].to_vec(), classes: *classes }
                }
                Answers::Numbers(y) => Answers::Numbers(y[rows.clone()].to_vec()),
                Answers::Outputs(_) => panic!("one target"),
            },
            weights: self.weights.as_ref().map(|weights| weights[rows].to_vec()),
        }
    }

    fn in_memory(&self, params: &RandomForest, seed: u64) -> Result<Fit<Forest>> {
        let table = BinnedTable::new(&self.features(), self.weights.as_deref(), 255, seed)?;
        params.fit(&table, &self.answers, &Context { seed, ..Context::default() })
    }

    fn in_rounds(
        &self,
        params: &RandomForest,
        (seed, together): (u64, usize),
        ends: &[usize],
        forgets: &dyn Fn(usize, usize) -> bool,
    ) -> Result<(Fit<Forest>, usize)> {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let parts: Vec<Self> = starts.clone().zip(ends).map(|(start, &end)| self.part(start..end)).collect();
        let raw = starts
            .clone()
            .zip(&parts)
            .map(|(start, part)| RawChunk::new(&part.features(), part.weights.as_deref(), start as u64));
        let raw = raw.collect::<Result<Vec<_>>>()?;
        let mut cuts = BinningTrainer::new(255, seed)?;
        rounds::run_through_bytes(&mut cuts, &raw, &Context::default())?;
        let columns = cuts.finish()?;
        let tables = raw.iter().map(|raw| columns.table(raw)).collect::<Result<Vec<_>>>()?;
        let chunks = starts.zip(tables.iter().zip(&parts));
        let chunks =
            chunks.map(|(start, (table, part))| ForestChunk::new(table, &part.answers, start as u64));
        let chunks = chunks.collect::<Result<Vec<_>>>()?;
        let classes = if let Answers::Classes { classes, .. } = self.answers { Some(classes) } else { None };
        let mut trainer = ForestTrainer::new(params, &columns, classes, seed)?;
        trainer.together = together;
        let mut count = 0;
        while let Some(request) = rounds::request_bytes(&trainer)? {
            let mut partials = Vec::new();
            for (number, chunk) in chunks.iter().enumerate() {
                if forgets(count, number) {
                    chunk.forget();
                }
                partials.push(rounds::partial_bytes::<ForestTrainer>(&request, chunk)?);
            }
            rounds::advance_bytes(&mut trainer, &partials)?;
            count += 1;
        }
        Ok((trainer.finish()?, count))
    }
}

fn problem() -> impl Strategy<Value = Problem> {
    (1_usize..60, 0_u32..4).prop_flat_map(|(rows, classes)| {
        let number = prop_oneof![5 => (-6_i32..6).prop_map(f64::from), 1 => Just(f64::NAN)];
        let weight = prop_oneof![
            prop::sample::select(vec![vec![0.0, 1.0]]),
            prop::sample::select(vec![vec![1.0, 3.0, 2.0], vec![0.0, 0.3, 1.0], vec![0.0, 40.0, 1.0]]),
        ];
        let weights =
            weight.prop_flat_map(move |some| prop::collection::vec(prop::sample::select(some), rows));
        (
            prop::collection::vec(number, rows),
            prop::collection::vec(0_u32..6, rows),
            prop::collection::vec(0_u32..12, rows),
            prop::option::of(weights),
        )
            .prop_map(move |(numbers, codes, y, weights)| {
                let answers = if classes < 2 {
                    Answers::Numbers(y.iter().map(|&y| f64::from(y) * 0.7).collect())
                } else {
                    Answers::Classes { y: y.iter().map(|y| y % classes).collect(), classes: classes as usize }
                };
                let weights = weights.filter(|weights: &Vec<f64>| weights.iter().any(|&weight| weight > 0.0));
                Problem { numbers, codes, answers, weights }
            })
    })
}

proptest! {
    #[test]
    fn rounds_grow_the_forest_of_memory(
        problem in problem(),
        bootstrap: bool,
        (growth, max_depth, max_leaves) in prop::sample::select(vec![
            (Growth::LeafWise, None, None), (Growth::LeafWise, Some(3), None), (Growth::DepthWise, None, Some(5)),
        ]),
        (min_samples_leaf, min_weight_fraction_leaf) in prop::sample::select(vec![(1, 0.0), (2, 0.0), (3, 0.0), (1, 0.1)]),
        columns_by_tree in prop::sample::select(vec![1.0, 0.5]),
        max_features in prop::sample::select(vec![None, Some(MaxFeatures::All)]),
        max_samples in prop::sample::select(vec![MaxSamples::All, MaxSamples::Share(0.4), MaxSamples::Count(3)]),
        splitter in prop::sample::select(vec![Splitter::Best, Splitter::Random]),
        poisson: bool,
        together in prop::sample::select(vec![1_usize, 2, TREES]),
        count in prop::sample::select(vec![1_usize, 2, 3, 7]),
        small: bool,
        seed: u64,
    ) {
        let numbers = matches!(problem.answers, Answers::Numbers(_));
        let criterion = if numbers && poisson { Criterion::Poisson } else { Criterion::Auto };
        let tree = DecisionTree {
            criterion, growth, max_depth, max_leaves, min_samples_leaf, min_weight_fraction_leaf, columns_by_tree, splitter,
            ..DecisionTree::default()
        };
        let max_samples = if bootstrap { max_samples } else { MaxSamples::All };
        let params = RandomForest { trees: 3, bootstrap, max_samples, max_features, tree, ..RandomForest::default() };
        let rows = problem.codes.len();
        let mut ends: Vec<usize> = (1..=count).map(|i| i * rows / count).collect();
        if small {
            // One without rows, and one of one row.
            ends.insert(0, 0);
            ends.insert(1, 1.min(ends[1]));
        }
        let drawn = Philox::new(seed, 1);
        let forgets = |round: usize, chunk: usize| small && drawn.uniform((round * 16 + chunk) as u64) < 0.2;
        let ours = problem.in_rounds(&params, (seed, together), &ends, &forgets);
        match problem.in_memory(&params, seed) {
            Ok(expected) => {
                let (ours, _) = ours.unwrap();
                prop_assert_eq!(format!("{:?}", ours.report), format!("{:?}", expected.report));
                prop_assert_eq!(ours.model, expected.model);
            }
            // Counts that are all 0.
            Err(e) => prop_assert!(ours.is_err(), "{} is not refused", e),
        }
    }
}

fn large() -> Problem {
    let random = Philox::new(3, 5);
    let numbers: Vec<f64> = (0..2000).map(|row| random.normal(row)).collect();
    let codes: Vec<u32> = (0..2000).map(|row| (random.bits(row) % 6) as u32).collect();
    let y = (0..2000).map(|row| {
        u32::from(numbers[row] + random.normal(5000 + row as u64) + f64::from(codes[row] % 3) > 1.0)
    });
    Problem { answers: Answers::Classes { y: y.collect(), classes: 2 }, numbers, codes, weights: None }
}

#[test]
fn trees_share_rounds() {
    let problem = large();
    let tree = DecisionTree { max_depth: Some(6), ..DecisionTree::default() };
    let params = RandomForest { trees: 20, tree, ..RandomForest::default() };
    let expected = problem.in_memory(&params, 1).unwrap().model;
    let (ours, rounds) = problem.in_rounds(&params, (1, TREES), &[500, 2000], &|_, _| false).unwrap();
    assert_eq!(ours.model, expected);
    // What there is, the roots, and a round for each level.
    assert_eq!(rounds, 1 + 1 + 6);
    let (ours, rounds) = problem.in_rounds(&params, (1, 10), &[500, 2000], &|round, _| round == 4).unwrap();
    assert_eq!((ours.model, rounds), (expected, 1 + 2 * 7 + 1));
}

#[test]
fn what_is_no_sum_over_rows_is_refused_by_name() {
    let problem = large();
    let default = RandomForest::default;
    let numbers = Problem { answers: Answers::Numbers(vec![1.0; 2000]), ..problem.clone() };
    let absolute = DecisionTree { criterion: Criterion::Absolute, ..DecisionTree::default() };
    let oblivious = DecisionTree { growth: Growth::Oblivious, ..DecisionTree::default() };
    for (problem, params, told) in [
        (&problem, RandomForest { out_of_bag: true, ..default() }, "out_of_bag: true"),
        (&numbers, RandomForest { quantiles: vec![0.5], ..default() }, "quantiles: 0.5"),
        (&numbers, RandomForest { tree: absolute, ..default() }, "criterion: absolute"),
        (&problem, RandomForest { tree: oblivious, ..default() }, "growth: oblivious"),
    ] {
        let message = problem.in_rounds(&params, (0, 1), &[2000], &|_, _| false).err().map(|e| e.to_string());
        let message = message.unwrap_or_default();
        assert!(message.contains(told) && message.contains("in rounds"), "{told}: {message}");
    }
    let several = Answers::Outputs(vec![vec![0.0; 2000]; 2]);
    let table = BinnedTable::new(&problem.features(), None, 255, 0).unwrap();
    assert!(ForestChunk::new(&table, &several, 0).err().unwrap().to_string().contains("several"));
}
