//! One thread against all, on a problem large enough to share; the model must have the same bytes either way.

use std::sync::atomic::{AtomicBool, Ordering};
use tilewise_base::{Column, Context, Dataset, Error, Result, Roles};
use tilewise_kernels::parallel::{map, on_every_thread, threads, with_threads};
use tilewise_kernels::random::Philox;
use tilewise_kernels::roofline::fma_chain;
use tilewise_models::{FAMILIES, Family, Purpose, Settings};
use tilewise_report::{Entrant, Settings as Timing, Table, measure as side_by_side};

const ROWS: usize = 200_000;
const FEATURES: usize = 50;
/// Steps of bare multiply-adds, about 10 milliseconds.
const CHAIN: u64 = 2_000_000;

pub(crate) struct Speed {
    pub(crate) family: &'static str,
    pub(crate) threads: usize,
    /// Median seconds on one thread and on all.
    pub(crate) seconds: [f64; 2],
    /// Median over rounds of one thread's time over that of all.
    pub(crate) ratio: f64,
    /// The same of bare multiply-adds, as many on each thread: what the machine had to give in these rounds.
    pub(crate) machine: f64,
    /// Whether both trained the same bytes.
    pub(crate) same: bool,
}

/// Normal features; a noisy linear target, moved so that all of it is positive, and the sign that it had as the class.
fn problem() -> Result<Dataset> {
    let normal = Philox::new(1, Philox::purpose("demo problem"));
    let at = |row: usize, column: usize| (row * (FEATURES + 1) + column) as u64;
    let mut columns: Vec<(String, Column)> = map(FEATURES, |j| {
        (format!("x{j}"), Column::F64((0..ROWS).map(|i| normal.normal(at(i, j))).collect()))
    });
    let mut target: Vec<f64> = (0..ROWS).map(|i| 2.0 * normal.normal(at(i, FEATURES))).collect();
    for (j, (_, column)) in columns.iter().enumerate() {
        if let Column::F64(x) = column {
            let slope = (j as f64 - 24.5) / 50.0;
            target.iter_mut().zip(x).for_each(|(y, x)| *y += slope * x);
        }
    }
    let class = target.iter().map(|y| Some(*y > 0.0)).collect();
    columns.push(("class".into(), Column::Boolean(class)));
    // Families of counts and amounts take positive numbers.
    let least = target.iter().copied().fold(f64::INFINITY, f64::min);
    target.iter_mut().for_each(|y| *y += 1.0 - least);
    columns.push(("value".into(), Column::F64(target.into())));
    Dataset::new(columns)
}

/// Every family, side by side in one run.
pub(crate) fn measure(cancel: &AtomicBool) -> Result<Vec<Speed>> {
    let table = problem()?;
    let all = threads();
    let mut speeds = Vec::new();
    for family in FAMILIES.iter().take_while(|_| !cancel.load(Ordering::Relaxed)) {
        let train = |threads| with_threads(threads, || train(family, &table));
        let same = train(1)? == train(all)?;
        // Each training succeeded above on the same table.
        let entrant =
            |name: &str, threads| Entrant::work(name, move || drop(std::hint::black_box(train(threads))));
        let bare = |name: &str, threads| {
            Entrant::work(name, move || {
                let chain = |_| std::hint::black_box(fma_chain::<f64>(CHAIN));
                with_threads(threads, || drop(on_every_thread(chain)));
            })
        };
        let mut entrants =
            [entrant("one", 1), entrant("all", all), bare("bare one", 1), bare("bare all", all)];
        let timing = Timing { rounds: 7, sample_seconds: 1e-3, ..Timing::default() };
        let measured = side_by_side(&timing, &mut entrants)
            .map_err(|e| Error::Fit(format!("the measurement failed: {e}")))?;
        speeds.push(Speed {
            family: family.name,
            threads: all,
            seconds: [measured[0].median(), measured[1].median()],
            ratio: measured[0].ratio(&measured[1]),
            machine: all as f64 * measured[2].ratio(&measured[3]),
            same,
        });
    }
    Ok(speeds)
}

fn train(family: &Family, table: &Dataset) -> Result<Vec<u8>> {
    let (target, other) = match family.purpose {
        Purpose::Regression => (Some("value"), vec!["class".to_owned()]),
        Purpose::Classification | Purpose::Either => (Some("class"), vec!["value".to_owned()]),
        Purpose::Anomaly => (None, vec!["class".to_owned(), "value".to_owned()]),
    };
    let roles =
        Roles { targets: target.map(String::from).into_iter().collect(), ignore: other, ..Roles::default() };
    // Forests of 100 trees would make the demo take minutes.
    let has_trees = family.parameters().any(|setting| setting.key == "trees");
    let settings = if has_trees { Settings::default().with("trees", 4) } else { Settings::default() };
    tilewise_models::train(family.name, table, &roles, &settings, &Context::default())?.to_bytes()
}

pub(crate) fn table(speeds: &[Speed]) -> Table {
    // What decides comes first: a narrow screen shows the left columns.
    let columns = [
        "<family",
        "threads",
        "speed-up",
        "machine's own",
        "<same bytes",
        "one thread",
        "all threads",
        "rows x features",
    ];
    let mut table = Table::new("Training on one thread and on all", &columns);
    for speed in speeds {
        table.push([
            speed.family.to_owned(),
            speed.threads.to_string(),
            format!("{:.2}", speed.ratio),
            format!("{:.2}", speed.machine),
            if speed.same { "yes" } else { "NO" }.to_owned(),
            tilewise_report::seconds(speed.seconds[0]),
            tilewise_report::seconds(speed.seconds[1]),
            format!("{ROWS} x {FEATURES}"),
        ]);
    }
    table
}
