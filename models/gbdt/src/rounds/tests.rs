//! The model of rounds is that of the trainer in memory: over any chunks, through bytes, and when chunks forget.

use super::*;
use crate::{EarlyStopping, Goss, Lesson};
use proptest::prelude::*;
use std::ops::Range;
use tilewise_base::{Context, rounds};
use tilewise_kernels::random::Philox;
use tilewise_tree::rounds::{BinningTrainer, RawChunk};
use tilewise_tree::{DecisionTree, Feature, MaxFeatures, Penalty, Splitter};

/// Two columns of numbers with missing values and one of categories, what is learned, weights, offsets, queries, and rows that are
/// held out.
#[derive(Clone, Debug)]
struct Problem {
    numbers: [Vec<f64>; 2],
    codes: Vec<u32>,
    answers: Answers,
    weights: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
    queries: Option<Vec<Range<usize>>>,
    held_out: Option<Vec<bool>>,
}

fn part<T: Clone>(all: &Option<Vec<T>>, rows: &Range<usize>) -> Option<Vec<T>> {
    all.as_ref().map(|all| all[rows.clone()].to_vec())
}

impl Problem {
    fn rows(&self) -> usize {
        self.codes.len()
    }

    fn features(&self) -> [Feature<'_>; 3] {
        let [a, b] = &self.numbers;
        [Feature::Numeric(a), Feature::Categorical { codes: &self.codes, levels: 5 }, Feature::Numeric(b)]
    }

    fn part(&self, rows: Range<usize>) -> Self {
        Self {
            numbers: self.numbers.each_ref().map(|column| column[rows.clone()].to_vec()),
            codes: self.codes[rows.clone()].to_vec(),
            answers: match &self.answers {
                Answers::Classes { y, classes } => {
                    Answers::Classes { y: y[rows.clone()].to_vec(), classes: *classes }
                }
                Answers::Numbers(y) => Answers::Numbers(y[rows.clone()].to_vec()),
                Answers::Outputs(_) => panic!("boosting learns one target"),
            },
            weights: part(&self.weights, &rows),
            offset: part(&self.offset, &rows),
            queries: self.queries.as_ref().map(|queries| {
                let here = queries.iter().filter(|query| rows.start <= query.start && query.end <= rows.end);
                here.map(|query| query.start - rows.start..query.end - rows.start).collect()
            }),
            held_out: part(&self.held_out, &rows),
        }
    }

    fn classes(&self) -> Option<usize> {
        match &self.answers {
            Answers::Classes { classes, .. } => Some(*classes),
            _ => None,
        }
    }

    fn lesson(&self) -> Lesson<'_> {
        let (offset, groups) = (self.offset.as_deref(), self.queries.as_deref());
        let held_out = self.held_out.as_deref();
        Lesson { offset, groups, held_out, ..Lesson::new(&self.answers) }
    }

    fn in_memory(&self, params: &GradientBoosting, bins: usize, seed: u64) -> Result<Fit<Boosted>> {
        let table = BinnedTable::new(&self.features(), self.weights.as_deref(), bins, seed)?;
        params.fit(&table, &self.lesson(), &Context { seed, ..Context::default() })
    }

    /// As chunks that end at these rows; those that `forgets` names by round and chunk forget before it. Answers how many rounds there
    /// were, too, and how many bytes came.
    fn in_rounds(
        &self,
        params: &GradientBoosting,
        (bins, seed): (usize, u64),
        ends: &[usize],
        forgets: &dyn Fn(usize, usize) -> bool,
    ) -> Result<(Fit<Boosted>, usize, usize)> {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let parts: Vec<Self> = starts.clone().zip(ends).map(|(start, &end)| self.part(start..end)).collect();
        let raw = starts
            .clone()
            .zip(&parts)
            .map(|(start, part)| RawChunk::new(&part.features(), part.weights.as_deref(), start as u64));
        let raw = raw.collect::<Result<Vec<_>>>()?;
        let mut cuts = BinningTrainer::new(bins, seed)?;
        rounds::run_through_bytes(&mut cuts, &raw, &Context::default())?;
        let columns = cuts.finish()?;
        let tables = raw.iter().map(|raw| columns.table(raw)).collect::<Result<Vec<_>>>()?;
        let lessons: Vec<Lesson<'_>> = parts.iter().map(Self::lesson).collect();
        let chunks = starts.zip(tables.iter().zip(&lessons));
        let before = |row: usize| self.queries.iter().flatten().filter(|query| query.end <= row).count();
        let chunks = chunks.map(|(start, (table, lesson))| {
            BoostingChunk::new(table, lesson, [start as u64, before(start) as u64])
        });
        let chunks = chunks.collect::<Result<Vec<_>>>()?;
        let mut trainer = BoostingTrainer::new(params, &columns, self.classes(), seed)?;
        let (mut count, mut bytes) = (0, 0);
        while let Some(request) = rounds::request_bytes(&trainer)? {
            let mut partials = Vec::new();
            for (number, chunk) in chunks.iter().enumerate() {
                if forgets(count, number) {
                    chunk.forget();
                }
                partials.push(rounds::partial_bytes::<BoostingTrainer>(&request, chunk)?);
            }
            bytes += partials.iter().map(Vec::len).sum::<usize>();
            rounds::advance_bytes(&mut trainer, &partials)?;
            count += 1;
        }
        Ok((trainer.finish()?, count, bytes))
    }
}

fn problem() -> impl Strategy<Value = (Problem, Loss)> {
    let losses = prop::sample::select(vec![
        Loss::Squared,
        Loss::Auto,
        Loss::Logistic,
        Loss::Softmax,
        Loss::Poisson,
        Loss::Gamma,
        Loss::Tweedie { power: 1.3 },
    ]);
    (1_usize..70, losses, 2_u32..4).prop_flat_map(|(rows, loss, classes)| {
        let number = || prop_oneof![5 => (-4_i32..5).prop_map(f64::from), 1 => Just(f64::NAN)];
        let column = move || prop::collection::vec(number(), rows);
        let weight = prop_oneof![Just(0.0), Just(1.0), Just(3.0), Just(0.3)];
        let classes = if loss == Loss::Softmax { classes } else { 2 };
        (
            [column(), column()],
            prop::collection::vec(0_u32..6, rows),
            prop::collection::vec(0_u32..40, rows),
            prop::option::of(prop::collection::vec(weight, rows)),
            prop::option::of(prop::collection::vec(-1.0..1.0, rows)),
            prop::option::weighted(0.3, prop::collection::vec(prop::bool::weighted(0.3), rows)),
        )
            .prop_map(move |(numbers, codes, y, weights, offset, held_out)| {
                let of_numbers =
                    |f: &dyn Fn(f64) -> f64| Answers::Numbers(y.iter().map(|&y| f(f64::from(y))).collect());
                let answers = match loss {
                    Loss::Squared | Loss::Auto => of_numbers(&|y| 0.7 * y - 9.0),
                    Loss::Logistic | Loss::Softmax => Answers::Classes {
                        y: y.iter().map(|y| y % classes).collect(),
                        classes: classes as usize,
                    },
                    Loss::Gamma => of_numbers(&|y| y + 0.25),
                    _ => of_numbers(&|y| (y - 20.0).max(0.0)),
                };
                let weights = weights.filter(|weights| weights.iter().any(|&weight| weight > 0.0));
                (Problem { numbers, codes, answers, weights, offset, queries: None, held_out }, loss)
            })
    })
}

/// Fields of a report that NaN may be in.
fn told(fit: &Fit<Boosted>) -> String {
    format!("{:?}", fit.report)
}

proptest! {
    #[test]
    fn rounds_boost_the_model_of_memory(
        (mut problem, loss) in problem(),
        bins in prop::sample::select(vec![3, 255]),
        (growth, max_depth, max_leaves) in prop::sample::select(vec![
            (Growth::LeafWise, None, Some(6)), (Growth::LeafWise, Some(3), None), (Growth::DepthWise, None, Some(5)),
            (Growth::LeafWise, None, None), (Growth::LeafWise, Some(2), Some(31)), (Growth::LeafWise, Some(0), None),
        ]),
        min_samples_leaf in prop::sample::select(vec![1, 2, 5, 20]),
        subsample in prop::sample::select(vec![1.0, 1.0, 0.6, 0.02]),
        (columns_by_tree, columns_by_level) in prop::sample::select(vec![(1.0, 1.0), (0.7, 1.0), (1.0, 0.7)]),
        (max_features, splitter) in prop::sample::select(vec![
            (MaxFeatures::All, Splitter::Best), (MaxFeatures::Count(1), Splitter::Best), (MaxFeatures::All, Splitter::Random),
        ]),
        (l1, path_smoothing, min_impurity_decrease) in prop::sample::select(vec![(0.0, 0.0, 0.0), (0.5, 0.0, 0.3), (0.0, 2.0, 0.0)]),
        early_stopping in prop::sample::select(vec![None, None, Some((1, 0.5)), Some((5, 0.3))]),
        balanced: bool,
        sign in -1_i8..=1,
        count in prop::sample::select(vec![1_usize, 2, 3, 7]),
        small: bool,
        seed: u64,
    ) {
        let one_score = !matches!(loss, Loss::Softmax);
        let params = GradientBoosting {
            loss,
            stages: 3,
            early_stopping: early_stopping.map(|(patience, share)| EarlyStopping { patience, share }),
            subsample,
            penalty: Penalty { l1, ..Penalty::default() },
            path_smoothing,
            tree: DecisionTree {
                growth, max_depth, max_leaves, min_samples_leaf, columns_by_tree, columns_by_level, max_features, splitter,
                min_impurity_decrease,
                monotone: if one_score && sign != 0 { vec![sign, 0, 0] } else { Vec::new() },
                class_weights: if balanced && problem.classes().is_some() { ClassWeights::Balanced } else { ClassWeights::Rows },
                ..DecisionTree::default()
            },
            ..GradientBoosting::default()
        };
        if params.early_stopping.is_none() {
            problem.held_out = None;
        }
        let rows = problem.rows();
        let mut ends: Vec<usize> = (1..=count).map(|i| i * rows / count).collect();
        if small {
            // One without rows, and one of one row.
            ends.insert(0, 0);
            ends.insert(1, 1.min(ends[1]));
        }
        let drawn = Philox::new(seed, 1);
        let forgets = |round: usize, chunk: usize| small && drawn.uniform((round * 16 + chunk) as u64) < 0.2;
        let ours = problem.in_rounds(&params, (bins, seed), &ends, &forgets);
        match problem.in_memory(&params, bins, seed) {
            Ok(expected) => {
                let (ours, ..) = ours.unwrap();
                prop_assert_eq!(told(&ours), told(&expected));
                prop_assert_eq!(ours.model, expected.model);
            }
            Err(e) => {
                // Counts that are all 0: which row is named may differ.
                let ours = ours.err().map(|e| e.to_string());
                prop_assert!(ours.is_some(), "{} is not refused", e);
            }
        }
    }
}

/// Queries of up to six rows, each of one weight, some of which are held out.
fn ranked() -> impl Strategy<Value = Problem> {
    let query = (
        prop::collection::vec(([0_i32..5, -3..4], 0_u32..6, 0_u32..4), 1..7),
        prop::sample::select(vec![0.0, 1.0, 1.0, 0.3]),
        prop::bool::weighted(0.3),
    );
    let told = (prop::collection::vec(query, 1..30), any::<[bool; 2]>());
    let told = told.prop_filter("a row counts", |(queries, [weighted, _])| {
        queries.iter().any(|(rows, weight, _)| !rows.is_empty() && (!weighted || *weight > 0.0))
    });
    told.prop_map(|(queries, [weighted, held_out])| {
        let rows: Vec<_> = queries.iter().flat_map(|(rows, ..)| rows).collect();
        let of_rows = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
            queries.iter().enumerate().flat_map(|(i, (rows, ..))| vec![f(i); rows.len()]).collect()
        };
        let mut end = 0;
        let ranges = queries.iter().map(|(rows, ..)| {
            end += rows.len();
            end - rows.len()..end
        });
        Problem {
            queries: Some(ranges.collect()),
            numbers: [0, 1].map(|i| rows.iter().map(|(x, ..)| f64::from(x[i])).collect()),
            codes: rows.iter().map(|(_, code, _)| *code).collect(),
            answers: Answers::Numbers(rows.iter().map(|(.., y)| f64::from(*y)).collect()),
            weights: weighted.then(|| of_rows(&|i| queries[i].1)),
            offset: None,
            held_out: held_out
                .then(|| of_rows(&|i| f64::from(u8::from(queries[i].2))).iter().map(|&x| x == 1.0).collect()),
        }
    })
}

proptest! {
    #[test]
    fn rounds_rank_as_memory_does(
        problem in ranked(),
        truncation in prop::sample::select(vec![1_usize, 3, 30]),
        early_stopping in prop::sample::select(vec![None, Some((1, 0.5)), Some((5, 0.3))]),
        subsample in prop::sample::select(vec![1.0, 0.6]),
        count in 1_usize..5,
        forgets: bool,
        seed: u64,
    ) {
        let problem = Problem { held_out: problem.held_out.clone().filter(|_| early_stopping.is_some()), ..problem };
        let params = GradientBoosting {
            loss: Loss::LambdaRank { truncation },
            stages: 3,
            early_stopping: early_stopping.map(|(patience, share)| EarlyStopping { patience, share }),
            subsample,
            tree: DecisionTree { min_samples_leaf: 2, max_leaves: Some(5), ..DecisionTree::default() },
            ..GradientBoosting::default()
        };
        // Chunks end where queries do.
        let queries = problem.queries.clone().unwrap();
        let end = |i: usize| (i * queries.len() / count).checked_sub(1).map_or(0, |last| queries[last].end);
        let ends: Vec<usize> = (1..=count).map(end).collect();
        let ours = problem.in_rounds(&params, (255, seed), &ends, &|round, chunk| forgets && (round + chunk) % 3 == 0);
        match problem.in_memory(&params, 255, seed) {
            Ok(expected) => {
                let (ours, ..) = ours.unwrap();
                prop_assert_eq!(told(&ours), told(&expected));
                prop_assert_eq!(ours.model, expected.model);
            }
            Err(e) => prop_assert_eq!(ours.err().map(|e| e.to_string()), Some(e.to_string())),
        }
    }
}

#[test]
fn queries_and_rows_held_out_that_do_not_fit_are_refused_with_their_row() {
    let ranks = GradientBoosting {
        loss: Loss::LambdaRank { truncation: 30 },
        early_stopping: Some(EarlyStopping { patience: 2, share: 0.5 }),
        ..GradientBoosting::default()
    };
    let mut problem = large(60);
    problem.answers = Answers::Numbers((0..60).map(|row| f64::from(row % 3)).collect());
    let refused = |problem: &Problem, params: &GradientBoosting| {
        let ours = problem.in_rounds(params, (255, 0), &[20, 60], &|_, _| false).err().map(|e| e.to_string());
        let memory = problem.in_memory(params, 255, 0).err().map(|e| e.to_string());
        assert_eq!(ours, memory);
        ours.unwrap_or_default()
    };
    assert!(refused(&problem, &ranks).contains("a group column"));
    problem.queries = Some((0..6).map(|query| 10 * query..10 * query + 10).collect());
    problem.held_out = Some((0..60).map(|row| row >= 47).collect());
    // The message counts rows from 1.
    assert!(refused(&problem, &ranks).contains("row 48"), "{}", refused(&problem, &ranks));
    let never = GradientBoosting { early_stopping: None, ..ranks.clone() };
    assert!(refused(&problem, &never).contains("early_stopping"));
    problem.held_out = Some(vec![true; 60]);
    assert!(refused(&problem, &ranks).contains("too few rows"));
    problem.held_out = None;
    problem.weights = Some((0..60).map(|row| if row == 33 { 2.0 } else { 1.0 }).collect());
    let message = refused(&problem, &ranks);
    assert!(message.contains("row 34") && message.contains("that of row 31"), "{message}");
    // What is held out is judged by those rows: they are not learned from, whatever is in them.
    problem.weights = None;
    let out: Vec<bool> = (0..60).map(|row| row >= 40).collect();
    problem.held_out = Some(out);
    let one = problem.in_memory(&ranks, 255, 0).unwrap();
    assert_eq!(problem.in_rounds(&ranks, (255, 0), &[20, 60], &|_, _| false).unwrap().0.model, one.model);
    problem.answers =
        Answers::Numbers((0..60).map(|row| if row < 40 { f64::from(row % 3) } else { 0.0 }).collect());
    let other = problem.in_memory(&ranks, 255, 0).unwrap();
    assert_eq!(one.model.ensemble().trees(0)[0], other.model.ensemble().trees(0)[0]);
    // Without a relevant row no order is wrong.
    assert!(other.model.validation().iter().all(|&loss| loss == 0.0) && one.model.validation()[0] > 0.0);
}

/// Rows with noise, of which trees grow to their limits.
fn large(rows: usize) -> Problem {
    let random = Philox::new(7, 3);
    let number =
        |column: u64| (0..rows as u64).map(|row| random.normal(8 * row + column)).collect::<Vec<f64>>();
    let [a, b, noise] = [number(0), number(1), number(2)];
    let codes: Vec<u32> = (0..rows as u64).map(|row| (random.bits(8 * row + 6) % 6) as u32).collect();
    let y =
        (0..rows).map(|row| u32::from(a[row] * b[row] + 0.3 * noise[row] + f64::from(codes[row] % 3) > 1.0));
    let answers = Answers::Classes { y: y.collect(), classes: 2 };
    Problem { numbers: [a, b], codes, answers, weights: None, offset: None, queries: None, held_out: None }
}

#[test]
fn a_stage_costs_a_round_for_each_level_and_one_more() {
    let problem = large(3000);
    let tree = DecisionTree {
        max_depth: Some(4),
        max_leaves: None,
        min_samples_leaf: 20,
        ..DecisionTree::default()
    };
    let params = GradientBoosting { stages: 10, tree, ..GradientBoosting::default() };
    let expected = problem.in_memory(&params, 255, 1).unwrap();
    let (ours, rounds, _) = problem.in_rounds(&params, (255, 1), &[1000, 3000], &|_, _| false).unwrap();
    assert_eq!(ours.model, expected.model);
    // The start, a second look at the roots of the first stage, the loss; guesses of units that were wrong.
    let least = 10 * 5 + 3;
    assert!((least..=least + 5).contains(&rounds), "{rounds} rounds");
    // A chunk that forgets costs one round more, whenever that is.
    for forgotten in [1, 7, 23, rounds - 1] {
        let (ours, again, _) = problem
            .in_rounds(&params, (255, 1), &[1000, 3000], &|round, chunk| chunk == 1 && round == forgotten)
            .unwrap();
        assert_eq!(ours.model, expected.model);
        // The first question after the start is a replay in any case.
        assert_eq!(again, if forgotten == 1 { rounds } else { rounds + 1 });
    }
}

#[test]
fn sizes_that_chunks_do_not_share_are_asked_for() {
    // The answers of one chunk are a thousand times those of the other, so no exponent is known of both.
    let mut problem = large(400);
    let numbers = |row: usize| if row < 200 { (row % 7) as f64 } else { 1e6 * (row % 5) as f64 };
    problem.answers = Answers::Numbers((0..400).map(numbers).collect());
    let params = GradientBoosting { stages: 4, ..GradientBoosting::default() };
    let expected = problem.in_memory(&params, 255, 1).unwrap();
    // Scores start far from the answers of the first: sizes differ when these have come near.
    let (ours, ..) = problem.in_rounds(&params, (255, 1), &[200, 400], &|_, _| false).unwrap();
    assert_eq!((told(&ours), &ours.model), (told(&expected), &expected.model));
    let all = [0, 1].map(|chunk| {
        let gradient = if chunk == 0 { 1.0 } else { 1e6 };
        SizesOf::new(&[crate::loss::Derivatives { gradient, hessian: 1.0 }], &Candidates::Own, 0)
    });
    let [a, b] = all;
    let merged = a.clone().merge_with(b.clone());
    assert!(merged.units(2).is_none());
    let at = Candidates::At(vec![merged.exponents()]);
    let row = |gradient| SizesOf::new(&[crate::loss::Derivatives { gradient, hessian: 1.0 }], &at, 0);
    let both = row(1.0).merge_with(row(1e6));
    assert!(both.units(2).unwrap().is_ok());
}

#[test]
fn what_is_no_sum_over_rows_is_refused_by_name() {
    let problem = large(40);
    let numbers = Problem { answers: Answers::Numbers(vec![1.0; 40]), ..problem.clone() };
    let default = GradientBoosting::default;
    let oblivious = DecisionTree { growth: Growth::Oblivious, ..DecisionTree::default() };
    let dart = crate::Dart { rate: 0.1, skip: 0.5, most: 5 };
    for (problem, params, told) in [
        (&numbers, GradientBoosting { loss: Loss::Absolute, ..default() }, "loss: absolute"),
        (&numbers, GradientBoosting { loss: Loss::Huber { delta: 1.0 }, ..default() }, "loss: huber:1"),
        (
            &numbers,
            GradientBoosting { loss: Loss::Quantile { quantile: 0.3 }, ..default() },
            "loss: quantile:0.3",
        ),
        (&numbers, GradientBoosting { loss: Loss::Cox, ..default() }, "loss: cox"),
        (
            &problem,
            GradientBoosting { goss: Some(Goss { top: 0.2, other: 0.1 }), ..default() },
            "goss: 0.2:0.1",
        ),
        (&problem, GradientBoosting { dart: Some(dart), ..default() }, "drop_rate: 0.1"),
        (&problem, GradientBoosting { tree: oblivious, ..default() }, "growth: oblivious"),
    ] {
        let message = problem.in_rounds(&params, (255, 0), &[40], &|_, _| false).err().map(|e| e.to_string());
        let message = message.unwrap_or_default();
        assert!(message.contains(told) && message.contains("in rounds"), "{told}: {message}");
    }
}

#[test]
fn answers_that_are_none_are_refused_with_their_row() {
    let mut problem = large(60);
    let mut y: Vec<f64> = (0..60).map(f64::from).collect();
    y[47] = -3.0;
    problem.answers = Answers::Numbers(y);
    let params = GradientBoosting { loss: Loss::Poisson, ..GradientBoosting::default() };
    let refused = |problem: &Problem, params: &GradientBoosting| {
        problem
            .in_rounds(params, (255, 0), &[20, 60], &|_, _| false)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    let message = refused(&problem, &params);
    assert_eq!(message, problem.in_memory(&params, 255, 0).unwrap_err().to_string());
    assert!(message.contains("row 48") && message.contains("-3"), "{message}");
    problem.answers =
        Answers::Classes { y: (0..60).map(|row| u32::from(row == 50) * 7).collect(), classes: 2 };
    assert!(refused(&problem, &GradientBoosting::default()).contains("row 51"));
}

/// Figures: `cargo test --release -p tilewise-gbdt --lib rounds -- --ignored --nocapture`.
#[test]
#[ignore = "takes seconds and measures"]
fn figures_of_rounds() {
    const ROWS: usize = 100_000;
    const COLUMNS: usize = 28;
    let random = Philox::new(1, 1);
    let columns: Vec<Vec<f64>> = (0..COLUMNS as u64)
        .map(|column| {
            (0..ROWS as u64).map(|row| f64::from(random.normal((row << 5) + column) as f32)).collect()
        })
        .collect();
    let y = (0..ROWS).map(|row| {
        let signal = columns[0][row] * columns[1][row] + columns[2][row] + 0.5 * columns[3][row].powi(2);
        u32::from(signal + random.normal((1 << 40) + row as u64) > 0.5)
    });
    let answers = Answers::Classes { y: y.collect(), classes: 2 };
    let features: Vec<Feature<'_>> = columns.iter().map(|column| Feature::Numeric(column)).collect();
    let table = BinnedTable::new(&features, None, 255, 0).unwrap();
    for (name, tree) in [
        ("31 leaves", DecisionTree { max_leaves: Some(31), min_samples_leaf: 20, ..DecisionTree::default() }),
        ("depth 5", DecisionTree { max_depth: Some(5), min_samples_leaf: 20, ..DecisionTree::default() }),
    ] {
        let params = GradientBoosting { stages: 20, tree, ..GradientBoosting::default() };
        let start = std::time::Instant::now();
        let expected = params.fit(&table, &Lesson::new(&answers), &Context::default()).unwrap();
        let memory = start.elapsed();
        let cut = ROWS / 2;
        let Answers::Classes { y, classes } = &answers else { return };
        let halves = [0..cut, cut..ROWS].map(|rows| {
            let features: Vec<Vec<f64>> =
                columns.iter().map(|column| column[rows.clone()].to_vec()).collect();
            (features, Answers::Classes { y: y[rows.clone()].to_vec(), classes: *classes }, rows.start as u64)
        });
        let raw = halves.each_ref().map(|(columns, _, first)| {
            let features: Vec<Feature<'_>> = columns.iter().map(|column| Feature::Numeric(column)).collect();
            RawChunk::new(&features, None, *first).unwrap()
        });
        let start = std::time::Instant::now();
        let mut cuts = BinningTrainer::new(255, 0).unwrap();
        rounds::run_through_bytes(&mut cuts, &raw, &Context::default()).unwrap();
        let binned = cuts.finish().unwrap();
        let tables = raw.each_ref().map(|raw| binned.table(raw).unwrap());
        let binning = start.elapsed();
        let lessons = halves.each_ref().map(|(_, answers, _)| Lesson::new(answers));
        let chunks = [0, 1].map(|i| BoostingChunk::new(&tables[i], &lessons[i], [halves[i].2, 0]).unwrap());
        let mut trainer = BoostingTrainer::new(&params, &binned, Some(2), 0).unwrap();
        let (mut count, mut bytes, mut asked) = (0, 0, 0);
        let [mut of_chunks, mut of_trainer] = [std::time::Duration::ZERO; 2];
        let start = std::time::Instant::now();
        while let Some(request) = rounds::request_bytes(&trainer).unwrap() {
            asked += request.len();
            let before = std::time::Instant::now();
            let partials: Vec<_> = chunks
                .iter()
                .map(|chunk| rounds::partial_bytes::<BoostingTrainer>(&request, chunk).unwrap())
                .collect();
            of_chunks += before.elapsed();
            bytes += partials.iter().map(Vec::len).sum::<usize>();
            let before = std::time::Instant::now();
            rounds::advance_bytes(&mut trainer, &partials).unwrap();
            of_trainer += before.elapsed();
            count += 1;
        }
        let all = start.elapsed();
        let ours = trainer.finish().unwrap();
        println!(
            "{name}: memory {memory:?}; rounds {all:?} ({of_chunks:?} in chunks, {of_trainer:?} in the trainer), {count} rounds, \
             {} bytes a tree from both chunks, {} asked; binning in rounds {binning:?}",
            bytes / 20,
            asked / 20
        );
        assert_eq!(ours.model, expected.model);
    }
}
