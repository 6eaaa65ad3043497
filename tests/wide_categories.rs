//! A category of very many levels: linear models learn from it without the zeros of its columns.

use crate::counting::peak;
use tilewise_base::{Column, Context, Dataset, Roles, predict_dataset};
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;
use tilewise_models::{Settings, train};

const ROWS: usize = 20_000;
const LEVELS: usize = 10_000;

/// Bytes of the encoded table with all its zeros: 1.6 GB.
const DENSE: usize = ROWS * (LEVELS + 2) * size_of::<f64>();

/// Bytes that a fit, or answers to all rows, may hold at most: 800 for each row and level, where dense rows take 80,000 for each row.
const FEW: usize = 800 * (ROWS + LEVELS);

/// Two numbers and a category, of which each level has two rows: its number's last digit is what it adds.
fn table() -> Dataset {
    let random = Philox::new(9, Philox::purpose("a category of very many levels"));
    let draw = |row: usize, i: u64| random.below(4 * row as u64 + i, 1 << 20) as f64 / (1 << 19) as f64 - 1.0;
    let level = |row: usize| (row * 7919 % LEVELS) as u32;
    let score = |row: usize| {
        2.0 * draw(row, 0) - draw(row, 1) + f64::from(level(row) % 10) / 3.0 - 1.5 + 0.1 * draw(row, 2)
    };
    let number = |f: &dyn Fn(usize) -> f64| Column::F64((0..ROWS).map(f).collect::<Vec<_>>().into());
    let dictionary = (0..LEVELS).map(|level| format!("{level:05}")).collect();
    let columns = [
        ("x", number(&|row| draw(row, 0))),
        ("z", number(&|row| draw(row, 1))),
        ("shop", Column::Categorical { codes: (0..ROWS).map(level).collect(), dictionary }),
        ("number", number(&score)),
        ("count", number(&|row| (0.5 * score(row)).exp().round())),
        ("yes", Column::Boolean((0..ROWS).map(|row| Some(score(row) > 0.0)).collect::<Vec<_>>().into())),
    ];
    Dataset::new(columns.into_iter().map(|(name, column)| (name.to_owned(), column)).collect()).unwrap()
}

/// On one thread: the counter is that of the thread.
#[test]
fn fits_and_answers_take_no_memory_for_zeros() {
    let data = table();
    let families: [(&str, &str, &[&str]); 6] = [
        ("linear", "number", &[]),
        ("ridge", "number", &["alpha=0.1"]),
        ("lasso", "number", &["alpha=0.00001"]),
        ("huber", "number", &["scale=1", "alpha=0.00001"]),
        ("poisson", "count", &["alpha=0.00003"]),
        ("logistic", "yes", &["C=10"]),
    ];
    for (family, target, settings) in families {
        let others = ["number", "count", "yes"].into_iter().filter(|name| *name != target);
        let roles = Roles { ignore: others.map(String::from).collect(), ..Roles::target(target) };
        let settings = Settings::parse(settings).unwrap();
        let (model, bytes) = parallel::with_threads(1, || {
            peak(|| train(family, &data, &roles, &settings, &Context::default()).unwrap())
        });
        assert!(model.report().converged, "{family}: {:?}", model.report());
        assert!(bytes < FEW && FEW < DENSE / 60, "{family}: {bytes} bytes of {DENSE}");
        let (answers, bytes) =
            parallel::with_threads(1, || peak(|| predict_dataset(&*model, &data, None).unwrap()));
        assert!(bytes < FEW / 4, "{family}: {bytes} bytes of {DENSE}");
        // What was learned is what the table was made of: the share of squares, or of rows, that is told.
        let truth: Vec<f64> = (0..ROWS).map(|row| data.column(target).unwrap().cell(row)).collect();
        let told = |row: usize| answers[(row + 1) * model.outputs() - 1];
        if target == "yes" {
            let right = (0..ROWS).filter(|&row| (told(row) > 0.5) == (truth[row] > 0.5)).count();
            assert!(right > ROWS * 9 / 10, "{family}: {right}");
        } else {
            let mean = truth.iter().sum::<f64>() / ROWS as f64;
            let around: f64 = truth.iter().map(|y| (y - mean).powi(2)).sum();
            let left: f64 = (0..ROWS).map(|row| (told(row) - truth[row]).powi(2)).sum();
            assert!(left < 0.3 * around, "{family}: {left} of {around}");
        }
    }
}
