//! Parquet and Arrow: round trips, types that are refused, damaged files.

use crate::random::{TempFile, assert_same, categories, cells, table};
use arrow_array::types::Int8Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float32Array, Float64Array, Int64Array,
    ListArray, NullArray, RecordBatch, StringArray, StringViewArray, UInt8Array,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use std::sync::Arc;
use tilewise_base::{Column, Dataset, Field, Kind, MISSING_CODE, Schema};
use tilewise_data::{ReadOptions, chunks, read, read_bytes};

fn array(column: &Column) -> ArrayRef {
    match column {
        Column::F32(x) => Arc::new(Float32Array::from_iter(x.iter().map(|x| (!x.is_nan()).then_some(*x)))),
        Column::F64(x) => Arc::new(Float64Array::from_iter(x.iter().map(|x| (!x.is_nan()).then_some(*x)))),
        Column::Boolean(x) => Arc::new(BooleanArray::from_iter(x.iter())),
        Column::Categorical { codes, dictionary } => {
            let text = |&c: &u32| (c != MISSING_CODE).then(|| dictionary[c as usize].as_str());
            Arc::new(StringArray::from_iter(codes.iter().map(text)))
        }
    }
}

/// In two batches, where there are rows for two.
pub(crate) fn batches(table: &Dataset) -> Vec<RecordBatch> {
    let columns = table.names().iter().zip(table.columns()).map(|(n, c)| (n, array(c), true));
    let all = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let cut = all.num_rows() / 3;
    vec![all.slice(0, cut), all.slice(cut, all.num_rows() - cut)]
}

pub(crate) fn parquet(batches: &[RecordBatch], compression: Compression) -> Vec<u8> {
    let options =
        WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(7)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(options)).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.into_inner().unwrap()
}

pub(crate) fn arrow(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.into_inner().unwrap()
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.into_inner().unwrap()
}

/// Every form a table can take, with a name of the right extension.
fn forms(batches: &[RecordBatch]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("t.parquet", parquet(batches, Compression::SNAPPY)),
        ("t.parquet", parquet(batches, Compression::ZSTD(ZstdLevel::default()))),
        ("t.arrow", arrow(batches)),
        ("t.ipc", stream(batches)),
    ]
}

fn one(array: impl Array + 'static) -> Vec<RecordBatch> {
    vec![RecordBatch::try_from_iter_with_nullable([("x", Arc::new(array) as ArrayRef, true)]).unwrap()]
}

proptest! {
    #[test]
    fn what_is_written_is_read(table in table()) {
        for (name, bytes) in forms(&batches(&table)) {
            assert_same(&read_bytes(&bytes, name, &ReadOptions::default()).unwrap(), &table);
        }
    }

    #[test]
    fn chunks_are_the_whole(table in table(), rows in 1usize..12) {
        for (name, bytes) in forms(&batches(&table)) {
            let file = TempFile::new(name.split_once('.').unwrap().1, &bytes);
            assert_same(&read(&file.0, &ReadOptions::default()).unwrap(), &table);
            let parts = chunks(&file.0, &table.schema(), rows, &ReadOptions::default()).unwrap();
            let parts: Vec<Dataset> = parts.map(Result::unwrap).collect();
            prop_assert!(parts[..parts.len() - 1].iter().all(|p| p.rows() == rows));
            prop_assert_eq!(parts.iter().flat_map(cells).collect::<Vec<_>>(), cells(&table));
        }
    }

    /// A damaged file is a table or an error, never a panic.
    #[test]
    fn flipped_bytes_do_not_panic(table in table(), flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4)) {
        for (name, mut bytes) in forms(&batches(&table)) {
            for (at, mask) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            let _ = read_bytes(&bytes, name, &ReadOptions::default());
        }
    }
}

#[test]
fn cut_files_are_errors() {
    let table = Dataset::new(vec![("x".into(), Column::F64((0..50).map(f64::from).collect()))]).unwrap();
    for (name, bytes) in forms(&batches(&table)).into_iter().take(3) {
        for length in 0..bytes.len() {
            assert!(read_bytes(&bytes[..length], name, &ReadOptions::default()).is_err(), "{name} {length}");
        }
    }
}

#[test]
fn types_become_kinds() {
    let cases: Vec<(Vec<RecordBatch>, Column)> = vec![
        (one(UInt8Array::from(vec![Some(3), None])), Column::F64(vec![3.0, f64::NAN].into())),
        (
            one(Int64Array::from(vec![1 << 53, -(1 << 53)])),
            Column::F64(vec![9007199254740992.0, -9007199254740992.0].into()),
        ),
        (one(Float32Array::from(vec![Some(0.1), None])), Column::F32(vec![0.1, f32::NAN].into())),
        (
            one(StringViewArray::from(vec![Some("b"), None, Some("a")])),
            categories(&[Some("b"), None, Some("a")]),
        ),
        (one(NullArray::new(2)), Column::F64(vec![f64::NAN; 2].into())),
        (
            one(DictionaryArray::<Int8Type>::from_iter([Some("z"), None, Some("y"), Some("z")])),
            categories(&[Some("z"), None, Some("y"), Some("z")]),
        ),
    ];
    for (batches, column) in cases {
        let expected = Dataset::new(vec![("x".into(), column)]).unwrap();
        for (name, bytes) in forms(&batches) {
            assert_same(&read_bytes(&bytes, name, &ReadOptions::default()).unwrap(), &expected);
        }
    }
    let categorical = ReadOptions { categorical: vec!["x".into()], ..ReadOptions::default() };
    let bytes = arrow(&one(Int64Array::from(vec![Some(10), None, Some(9)])));
    let expected = Dataset::new(vec![("x".into(), categories(&[Some("10"), None, Some("9")]))]).unwrap();
    assert_same(&read_bytes(&bytes, "t.arrow", &categorical).unwrap(), &expected);
}

#[test]
fn what_cannot_be_read_is_named() {
    let accepted = "integers, floats, booleans, text and dictionaries of these are read; convert it first";
    let list = ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([Some([Some(1)])]);
    let mut large = vec![0i64; 10];
    large[8] = (1 << 53) + 1;
    for (batches, expected) in [
        (one(Date32Array::from(vec![1])), format!("its type Date32 is not read; {accepted}")),
        (one(list), format!("its type List(Int32) is not read; {accepted}")),
        (
            one(Int64Array::from(large)),
            "row 9: the integer 9007199254740993 is beyond 2^53; a number that f64 holds exactly is needed"
                .into(),
        ),
        (
            one(Float64Array::from(vec![1.0, f64::INFINITY])),
            "row 2: inf is infinite; a finite number is needed".into(),
        ),
    ] {
        for (name, bytes) in forms(&batches) {
            let e = read_bytes(&bytes, name, &ReadOptions::default()).unwrap_err().to_string();
            assert_eq!(e, format!("{name}, column \"x\": {expected}"));
        }
    }
    let text = one(StringArray::from(vec!["5"]));
    let schema = Schema { fields: vec![Field { name: "x".into(), kind: Kind::Numeric }] };
    let options = ReadOptions { schema: Some(&schema), ..ReadOptions::default() };
    let e = read_bytes(&arrow(&text), "t.arrow", &options).unwrap_err().to_string();
    assert_eq!(e, "t.arrow, column \"x\": it is Utf8 in the file where numbers are needed");
    let empty = [text[0].slice(0, 0)];
    for (name, bytes) in forms(&empty) {
        let e = read_bytes(&bytes, name, &ReadOptions::default()).unwrap_err().to_string();
        assert_eq!(e, format!("{name}: there are no rows"));
    }
}
