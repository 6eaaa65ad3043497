//! A table whose numbers lie row by row gives the model of the table of their columns, byte for byte, in every family.

use tilewise_base::by_rows::{ByRows, Numbers};
use tilewise_base::{Column, Context, Dataset, Roles};
use tilewise_kernels::random::Philox;
use tilewise_models::{FAMILIES, Family, Purpose, Settings, train};

const ROWS: usize = 500;
const WIDTH: usize = 5;

/// What a family is tried with: its defaults, but a small model.
fn settings(family: &Family) -> Vec<Settings> {
    let small = |settings: Settings| match family.name {
        "forest" | "extra-trees" | "isolation-forest" => settings.with("trees", "5"),
        "gbdt" => settings.with("stages", "5"),
        "network" => settings.with("hidden", "4").with("epochs", "3"),
        _ => settings,
    };
    let mut tried = vec![small(Settings::default())];
    let has = |key: &str| family.parameters().any(|setting| setting.key == key);
    if has("impute") && family.reads_rows {
        let plain = Settings::default().with("standardise", "false");
        let as_they_are = plain.clone().with("impute", "false");
        let solvers = ["gradient-descent", "sgd"].map(|solver| as_they_are.clone().with("solver", solver));
        tried.extend(solvers.into_iter().filter(|settings| family.check(settings).is_ok()));
        tried.extend([as_they_are, plain]);
    }
    tried
}

/// Rows of numbers, missing ones among them where `missing` says so, and the columns beside them that a purpose needs.
fn table(purpose: Purpose, single: bool, missing: bool) -> ([Dataset; 2], Roles) {
    let random = Philox::new(7, 0);
    let cell = |at: usize| match random.below(at as u64, 1000) {
        0..50 if missing => f64::NAN,
        drawn => f64::from(drawn as u32) / 64.0 - 7.0,
    };
    let cells: Vec<f64> = (0..ROWS * WIDTH).map(cell).collect();
    let target = |row: usize| {
        let number = cells[row * WIDTH..][..2].iter().filter(|x| !x.is_nan()).sum::<f64>();
        if purpose == Purpose::Classification { f64::from(number > 0.0) } else { number.abs() + 1.0 }
    };
    let goal = Column::F64((0..ROWS).map(target).collect());
    let weight = Column::F64((0..ROWS).map(|row| 1.0 + (row % 3) as f64).collect());
    let others = || {
        let weight = ("weight".to_owned(), weight.clone());
        if purpose == Purpose::Anomaly { vec![] } else { vec![("goal".to_owned(), goal.clone()), weight] }
    };
    let names: Vec<String> = (0..WIDTH).map(|j| format!("x{j}")).collect();
    let numbers = if single {
        Numbers::F32(cells.iter().map(|x| *x as f32).collect())
    } else {
        Numbers::F64(cells.clone().into())
    };
    let column = |j: usize| {
        let cells = cells.iter().skip(j).step_by(WIDTH);
        if single {
            Column::F32(cells.map(|x| *x as f32).collect())
        } else {
            Column::F64(cells.copied().collect())
        }
    };
    let columns = names.iter().cloned().zip((0..WIDTH).map(column)).chain(others()).collect();
    let rows = ByRows::new(numbers, WIDTH).unwrap();
    let tables = [Dataset::by_rows(names, rows, others()).unwrap(), Dataset::new(columns).unwrap()];
    let roles = match purpose {
        Purpose::Anomaly => Roles::default(),
        _ => Roles { weight: Some("weight".into()), ..Roles::target("goal") },
    };
    (tables, roles)
}

#[test]
fn every_family_learns_the_same_from_rows_and_columns() {
    for family in FAMILIES {
        for settings in settings(family) {
            for (single, missing) in [(false, false), (true, false), (false, true), (true, true)] {
                let (tables, roles) = table(family.purpose, single, missing);
                let [by_rows, by_columns] = tables.map(|table| {
                    train(family.name, &table, &roles, &settings, &Context::default())
                        .map(|model| model.to_bytes().unwrap())
                        .map_err(|error| error.to_string())
                });
                let what = format!("{} of {settings:?}, single {single}, missing {missing}", family.name);
                assert_eq!(by_rows, by_columns, "{what}");
                // Only linear models that do not impute refuse missing numbers, by row and column.
                match by_rows {
                    Ok(_) => {}
                    Err(error) => assert!(missing && error.contains("column \"x"), "{what}: {error}"),
                }
            }
        }
    }
}
