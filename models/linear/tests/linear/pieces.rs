//! Tables in pieces, each in a file, against the same table whole.

use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use tilewise_base::encoder::Options;
use tilewise_base::{Column, Context, Dataset, InBytes, MISSING_CODE, Model, ModelFile, Roles, StoredTable};
use tilewise_kernels::random::Philox;
use tilewise_linear::pipeline::rounds::{PipelineTrainer, partial};
use tilewise_linear::pipeline::{Estimator, Pipeline};
use tilewise_linear::{ClassWeights, Distribution, ElasticNet, Generalised, Huber, LeastSquares, Logistic};

/// Sums are merged at other places: rounding, relative to the largest number of a model.
const CHUNKING: f64 = 1e-9;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name =
            format!("tilewise-pieces-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Numbers with gaps, a boolean, a category of which "rare" is in few rows, and targets of each kind.
fn table(rows: usize, seed: u64) -> Dataset {
    let random = Philox::new(seed, Philox::purpose("pieces"));
    let normal = |j: u64| (0..rows as u64).map(move |i| random.normal(i * 8 + j)).collect::<Vec<f64>>();
    let (a, b, noise) = (normal(0), normal(1), normal(2));
    let codes: Vec<u32> = (0..rows)
        .map(|i| {
            if i % 97 == 5 {
                1
            } else if i % 13 == 4 {
                MISSING_CODE
            } else {
                (i % 2 * 2) as u32
            }
        })
        .collect();
    let flag: Vec<Option<bool>> = (0..rows).map(|i| (i % 17 != 3).then_some(i % 3 == 0)).collect();
    let score: Vec<f64> =
        (0..rows).map(|i| a[i] - 0.5 * b[i] + f64::from(u8::from(codes[i] == 2)) + 0.5 * noise[i]).collect();
    let gaps = b.iter().enumerate().map(|(i, &b)| if i % 11 == 7 { f64::NAN } else { 1e3 + 5.0 * b });
    let species = score.iter().map(|s| u32::from(*s > 0.0) + u32::from(*s > 1.0));
    let words = |words: [&str; 3]| words.map(String::from).to_vec();
    let columns = vec![
        ("a", Column::F32(a.iter().map(|&a| a as f32).collect())),
        ("b", Column::F64(gaps.collect())),
        ("c", Column::Categorical { codes: codes.into(), dictionary: words(["often", "rare", "too"]) }),
        ("d", Column::Boolean(flag.into())),
        ("score", Column::F64(score.iter().copied().collect())),
        ("grade", Column::F64(score.iter().map(|s| if *s > 0.3 { 10.0 } else { 9.0 }).collect())),
        ("species", Column::Categorical { codes: species.collect(), dictionary: words(["x", "y", "z"]) }),
        ("count", Column::F64(score.iter().map(|s| s.abs().round()).collect())),
        ("weight", Column::F64((0..rows).map(|i| (i % 4) as f64).collect())),
        ("offset", Column::F64(noise.iter().map(|n| 0.1 * n).collect())),
    ];
    Dataset::new(columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect()).unwrap()
}

/// Only the values that occur are in the dictionaries, as where a piece is read by itself.
fn read_alone(piece: &Dataset) -> Dataset {
    let narrowed = |column: &Column| match column {
        Column::Categorical { codes, dictionary } => {
            let used: Vec<u32> = (0..dictionary.len() as u32).filter(|c| codes.contains(c)).collect();
            let code = |c: &u32| used.binary_search(c).map_or(MISSING_CODE, |at| at as u32);
            Column::Categorical {
                codes: codes.iter().map(code).collect(),
                dictionary: used.iter().map(|&c| dictionary[c as usize].clone()).collect(),
            }
        }
        column => column.clone(),
    };
    Dataset::new(piece.names().iter().cloned().zip(piece.columns().iter().map(narrowed)).collect()).unwrap()
}

fn roles(target: &str) -> Roles {
    Roles { weight: Some("weight".into()), ..Roles::target(target) }
}

fn inputs() -> Vec<String> {
    ["a", "b", "c", "d"].map(String::from).to_vec()
}

/// Every round through bytes, of the tables that are stored; nothing of a worker is left from one round to the next.
fn train(estimator: &Estimator, roles: &Roles, pieces: &[Dataset]) -> tilewise_base::Result<Vec<u8>> {
    let folder = Folder::new();
    let path = |i: usize| folder.0.join(format!("{i}.part"));
    for (i, piece) in pieces.iter().enumerate() {
        StoredTable::create(&path(i), piece)?;
    }
    let trainer = PipelineTrainer::new("a kind", estimator, Options::default(), inputs(), roles)?;
    let mut trainer: Box<dyn InBytes> = Box::new(trainer);
    while let Some(request) = trainer.request()? {
        let answers = (0..pieces.len()).map(|i| partial(&request, &StoredTable::open(&path(i))?));
        trainer.advance(&answers.collect::<tilewise_base::Result<Vec<_>>>()?)?;
    }
    trainer.finish()?.to_bytes()
}

fn whole(estimator: &Estimator, roles: &Roles, table: &Dataset) -> tilewise_base::Result<Vec<u8>> {
    let others = table.names().iter().filter(|name| {
        !inputs().contains(name)
            && !roles.targets.contains(name)
            && ![&roles.weight, &roles.offset].contains(&&Some(name.to_string()))
    });
    let roles = Roles { ignore: others.cloned().collect(), ..roles.clone() };
    Pipeline::fit("a kind", estimator, Options::default(), table, &roles, &Context::default())?.to_bytes()
}

fn cut(table: &Dataset, at: &[usize]) -> Vec<Dataset> {
    let ends = at.iter().copied().chain([table.rows()]);
    let starts = [0].into_iter().chain(at.iter().copied());
    starts.zip(ends).map(|(start, end)| read_alone(&table.take(&(start..end).collect::<Vec<_>>()))).collect()
}

fn estimators() -> Vec<(Estimator, Roles)> {
    let logistic = |class_weights| {
        Estimator::Logistic(Logistic { class_weights, tolerance: 1e-10, ..Logistic::default() })
    };
    let poisson = Generalised { distribution: Distribution::Poisson, alpha: 1e-3, ..Generalised::default() };
    let huber = Huber { threshold: 1.35, joint_scale: true, tolerance: 1e-10, ..Huber::default() };
    vec![
        (Estimator::Huber(huber), roles("score")),
        (Estimator::LeastSquares(LeastSquares::default()), roles("score")),
        (
            Estimator::LeastSquares(LeastSquares { l2: 2.0, intercept: false, ..Default::default() }),
            Roles::target("score"),
        ),
        (Estimator::LeastSquares(LeastSquares { lower: Some(0.0), ..Default::default() }), roles("score")),
        (logistic(ClassWeights::Ones), roles("grade")),
        (logistic(ClassWeights::Balanced), roles("species")),
        (Estimator::Generalised(poisson), Roles { offset: Some("offset".into()), ..roles("count") }),
    ]
}

/// The numbers of both files agree and everything else is the same.
fn assert_close(ours: &[u8], theirs: &[u8]) {
    let (ours, theirs) = (
        Pipeline::from_file(&ModelFile::parse(ours).unwrap()).unwrap(),
        Pipeline::from_file(&ModelFile::parse(theirs).unwrap()).unwrap(),
    );
    assert_eq!(
        (ours.inputs(), ours.task(), ours.target()),
        (theirs.inputs(), theirs.task(), theirs.target())
    );
    assert_eq!((ours.estimator(), ours.offset()), (theirs.estimator(), theirs.offset()));
    assert_eq!(ours.report().warnings, theirs.report().warnings);
    let close = |a: &[f64], b: &[f64]| {
        let scale = b.iter().fold(1.0f64, |m, x| m.max(x.abs()));
        assert!(
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= CHUNKING * scale),
            "{a:?} {b:?}"
        );
    };
    close(&ours.linear().coefficients, &theirs.linear().coefficients);
    close(&ours.linear().intercepts, &theirs.linear().intercepts);
    let row = |model: &Pipeline, cell: f64| {
        let mut row = vec![0.0; model.encoder().width()];
        model.encoder().encode_row(&[cell; 4], &mut row);
        row
    };
    // Missing cells and a number tell all of an encoder.
    close(&row(&ours, f64::NAN), &row(&theirs, f64::NAN));
    close(&row(&ours, 1.0), &row(&theirs, 1.0));
}

#[test]
fn pieces_give_the_model_of_the_whole() {
    let table = table(700, 1);
    for (estimator, roles) in estimators() {
        let expected = whole(&estimator, &roles, &table).unwrap();
        assert_eq!(train(&estimator, &roles, &cut(&table, &[])).unwrap(), expected, "one piece has its bits");
        // The first piece has one row, and others lack a level; so few have a level "rare".
        for at in [&[1, 5, 100][..], &[100, 200, 300, 400, 500, 600]] {
            let pieces = cut(&table, at);
            let found = train(&estimator, &roles, &pieces).unwrap();
            assert_close(&found, &expected);
            assert_eq!(train(&estimator, &roles, &pieces).unwrap(), found);
        }
    }
}

#[test]
fn what_is_wrong_is_told_as_of_the_whole() {
    let data = table(60, 2);
    let least = Estimator::LeastSquares(LeastSquares::default());
    let logistic = Estimator::Logistic(Logistic::default());
    let told = |estimator: &Estimator, roles: &Roles, pieces: &[Dataset]| {
        train(estimator, roles, pieces).unwrap_err().to_string()
    };
    let changed = |name: &str, column: Column| {
        let columns = data.names().iter().cloned().zip(data.columns().iter().cloned());
        let columns = columns.map(|(n, c)| if n == name { (n, column.clone()) } else { (n, c) });
        Dataset::new(columns.collect()).unwrap()
    };
    let mut score: Vec<f64> = vec![1.0; 60];
    score[33] = f64::NAN;
    let message = told(&least, &roles("score"), &cut(&changed("score", Column::F64(score.into())), &[30]));
    assert!(
        message.contains("row 4") && message.contains("\"score\"") && message.contains("missing"),
        "{message}"
    );
    let same = changed("score", Column::F64(vec![2.5; 60].into()));
    let message = told(&least, &roles("score"), &cut(&same, &[30]));
    assert!(message.contains("2.5 in every row"), "{message}");
    let text = told(&least, &Roles::target("species"), &cut(&data, &[30]));
    assert!(text.contains("\"species\"") && text.contains("number"), "{text}");
    let grades = changed("grade", Column::F64(vec![7.0; 60].into()));
    assert!(told(&logistic, &roles("grade"), &cut(&grades, &[30])).contains("\"7\" in every row"));
    // Of a piece nothing has weight, which is well; of all pieces nothing.
    let half = changed("weight", Column::F64((0..60).map(|i| f64::from(u8::from(i < 30))).collect()));
    assert_close(
        &train(&least, &roles("score"), &cut(&half, &[30])).unwrap(),
        &whole(&least, &roles("score"), &half).unwrap(),
    );
    let none = changed("weight", Column::F64(vec![0.0; 60].into()));
    assert!(told(&least, &roles("score"), &cut(&none, &[30])).contains("all weights are 0"));
    let other = changed("b", data.column("d").unwrap().clone());
    let mixed = [data.clone(), other].map(|d| read_alone(&d));
    assert!(told(&least, &roles("score"), &mixed).contains("numeric in one piece of the table and boolean"));
    let infinite =
        changed("b", Column::F64((0..60).map(|i| if i == 31 { f64::INFINITY } else { i as f64 }).collect()));
    assert!(told(&least, &roles("score"), &cut(&infinite, &[30])).contains("row 2, column \"b\""));
    assert!(told(&least, &roles("score"), &[]).contains("no rows"));
    let lasso = Estimator::ElasticNet { params: ElasticNet::default(), search: None };
    assert!(told(&lasso, &roles("score"), &cut(&data, &[30])).contains("one memory"));
    let folder = Folder::new();
    let stored = StoredTable::create(&folder.0.join("x.part"), &data).unwrap();
    assert!(partial(b"what", &stored).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Wherever a table is cut.
    #[test]
    fn any_cuts_give_the_model_of_the_whole(rows in 80usize..200, seed in 0u64..1000, cuts in prop::collection::btree_set(1usize..80, 0..5)) {
        let table = read_alone(&table(rows, seed));
        let at: Vec<usize> = cuts.into_iter().collect();
        for (estimator, roles) in &estimators()[..3] {
            let found = train(estimator, roles, &cut(&table, &at)).unwrap();
            assert_close(&found, &whole(estimator, roles, &table).unwrap());
        }
    }
}
