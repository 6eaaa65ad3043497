//! Random tables, and what it means that two are the same.

use proptest::prelude::*;
use proptest::sample::select;
use std::path::PathBuf;
use tilewise_base::{Column, Dataset, MISSING_CODE};

/// Categories that a reader could stumble over.
const CATEGORIES: [&str; 12] = [
    "red",
    "green",
    "a,b",
    "x;y",
    "tab\there",
    "say \"hi\"",
    "two\nlines",
    "\"",
    "Größe",
    " led",
    "7",
    "line\r\nend",
];

/// A categorical column of `texts`, its dictionary sorted and without unused entries.
pub(crate) fn categories(texts: &[Option<&str>]) -> Column {
    let mut dictionary: Vec<String> = texts.iter().flatten().map(|t| (*t).to_owned()).collect();
    dictionary.sort();
    dictionary.dedup();
    let code = |t: &str| dictionary.binary_search(&t.to_owned()).unwrap() as u32;
    Column::Categorical { codes: texts.iter().map(|t| t.map_or(MISSING_CODE, code)).collect(), dictionary }
}

fn column(rows: usize) -> impl Strategy<Value = Column> {
    let number = prop_oneof![
        4 => proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
        4 => (-1000i32..1000).prop_map(f64::from),
        1 => Just(f64::NAN),
    ];
    let boolean = select(vec![None, Some(true), Some(false)]);
    let text = prop::option::weighted(0.9, select(CATEGORIES.to_vec()));
    prop_oneof![
        prop::collection::vec(number, rows).prop_map(|x| Column::F64(x.into())),
        prop::collection::vec(boolean, rows).prop_map(|x| Column::Boolean(x.into())),
        prop::collection::vec(text, rows).prop_map(|texts| categories(&texts)),
    ]
}

/// Tables of 1 to 5 columns and 1 to 40 rows.
pub(crate) fn table() -> impl Strategy<Value = Dataset> {
    (1usize..40, 1usize..5).prop_flat_map(|(rows, width)| {
        prop::collection::vec(column(rows), width).prop_map(|columns| {
            let named = columns.into_iter().enumerate().map(|(i, c)| (format!("column {i}"), c));
            Dataset::new(named.collect()).unwrap()
        })
    })
}

/// Every cell as exact text: bits of numbers, text of categories.
pub(crate) fn cells(table: &Dataset) -> Vec<Vec<String>> {
    let cell = |column: &Column, row: usize| match column {
        Column::Categorical { codes, dictionary } => {
            dictionary.get(codes[row] as usize).map_or("missing".into(), |t| format!("text {t}"))
        }
        Column::Boolean(x) => format!("{:?}", x.get(row)),
        Column::F32(x) if !x[row].is_nan() => format!("f32 {:x}", x[row].to_bits()),
        Column::F64(x) if !x[row].is_nan() => format!("f64 {:x}", x[row].to_bits()),
        Column::F32(_) | Column::F64(_) => "NaN".into(),
    };
    (0..table.rows()).map(|row| table.columns().iter().map(|c| cell(c, row)).collect()).collect()
}

/// Asserts same names, kinds (dictionaries too) and cells, bit by bit.
pub(crate) fn assert_same(a: &Dataset, b: &Dataset) {
    assert_eq!(a.schema(), b.schema());
    assert_eq!(cells(a), cells(b));
}

/// A file of its own that is removed in the end.
pub(crate) struct TempFile(pub(crate) PathBuf);

impl TempFile {
    pub(crate) fn new(extension: &str, bytes: &[u8]) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("tilewise-data-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name).with_extension(extension);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
