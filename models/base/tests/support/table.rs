//! A table for tests of worker processes.

use tilewise_base::{Column, Dataset};
use tilewise_kernels::random::Philox;

/// Numbers, some missing, categories, weights, classes and a number.
pub(crate) fn table(rows: usize) -> Dataset {
    let random = Philox::new(2, Philox::purpose("table of processes"));
    let normal = |column: usize, row: usize| random.normal((column * rows + row) as u64);
    let x: Vec<f64> = (0..rows).map(|i| normal(0, i)).collect();
    let z: Vec<f64> = (0..rows).map(|i| if i % 11 == 4 { f64::NAN } else { normal(1, i) }).collect();
    let codes: Vec<u32> = (0..rows).map(|i| (i * i % 7) as u32).collect();
    let y: Vec<f64> =
        (0..rows).map(|i| 9.0 + x[i] + f64::from(codes[i]) * 0.3 + 0.5 * normal(2, i)).collect();
    let class = y.iter().map(|y| u32::from(*y > 9.5) + u32::from(*y > 10.5)).collect();
    let names = |count: usize| (0..count).map(|i| format!("level {i}")).collect();
    let columns = [
        ("x", Column::F64(x.into())),
        ("z", Column::F64(z.into())),
        ("c", Column::Categorical { codes: codes.into(), dictionary: names(7) }),
        ("w", Column::F64((0..rows).map(|i| (i % 3) as f64).collect())),
        ("class", Column::Categorical { codes: class, dictionary: names(3) }),
        ("y", Column::F64(y.into())),
    ];
    Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap()
}
