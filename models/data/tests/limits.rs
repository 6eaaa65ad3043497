//! What lies beyond the memory limit, and what cannot.

use crate::random::{assert_same, cells};
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use std::path::PathBuf;
use std::sync::Arc;
use tilewise_base::{Column, Dataset, Error, Field, Kind, Schema, Storage};
use tilewise_data::{ReadOptions, read_bytes};

/// A folder of one test's own.
fn folder(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tilewise-limits-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A file without room for anything, in a folder that is gone.
fn gone(test: &str) -> (PathBuf, ReadOptions<'static>) {
    let folder = folder(test);
    let storage = Storage::limited(0, &folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    (folder, ReadOptions { storage, ..ReadOptions::default() })
}

fn rows(cell: impl Fn(usize) -> String) -> String {
    (0..20_000).fold("x\n".to_owned(), |text, row| text + &cell(row) + "\n")
}

#[test]
fn a_folder_that_fails_is_not_the_fault_of_a_cell() {
    let (folder, options) = gone("gone");
    let schema = |kind| Schema { fields: vec![Field { name: "x".into(), kind }] };
    let numbers = schema(Kind::Numeric);
    let booleans = schema(Kind::Boolean);
    for (text, schema) in [
        (rows(|row| row.to_string()), None),
        (rows(|row| row.to_string()), Some(&numbers)),
        (rows(|row| (row % 2 == 0).to_string()), Some(&booleans)),
        (rows(|row| format!("t{}", row % 10)), None),
    ] {
        let options = ReadOptions { schema, ..options.clone() };
        let error = read_bytes(text.as_bytes(), "t.csv", &options).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if *path == folder), "{error:?}");
        let told = error.to_string();
        assert!(told.contains("memory limit") && !told.contains("line"), "{told}");
    }
}

#[test]
fn booleans_lie_in_files() {
    let text = rows(|row| ["true", "FALSE", ""][row % 3].to_owned());
    let cell = |row: usize| [Some(true), Some(false), None][row % 3];
    let array = BooleanArray::from_iter((0..20_000).map(cell));
    let batch = RecordBatch::try_from_iter_with_nullable([("x", Arc::new(array) as ArrayRef, true)]).unwrap();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let arrow = writer.into_inner().unwrap();
    let given = Schema { fields: vec![Field { name: "x".into(), kind: Kind::Boolean }] };
    // Its one column is missing where a line is empty; quotes make that a row.
    let text = text.replace("\n\n", "\n\"\"\n");
    for (bytes, name, schema) in [
        (text.as_bytes(), "t.csv", None),
        (text.as_bytes(), "t.csv", Some(&given)),
        (&arrow[..], "t.arrow", None),
    ] {
        let read =
            |storage| read_bytes(bytes, name, &ReadOptions { schema, storage, ..ReadOptions::default() });
        let table: Dataset = read(Storage::limited(0, std::env::temp_dir()).unwrap()).unwrap();
        let Column::Boolean(flags) = &table.columns()[0] else { panic!("{name} {schema:?}") };
        assert!(flags.is_in_file() && flags.iter().eq((0..20_000).map(cell)), "{name} {schema:?}");
        assert_same(&table, &read(Storage::default()).unwrap());
        let table = read(Storage::limited(1 << 30, std::env::temp_dir()).unwrap()).unwrap();
        let Column::Boolean(flags) = &table.columns()[0] else { panic!("{name} {schema:?}") };
        assert!(!flags.is_in_file());
    }
}

/// Texts are in memory, so a limit is their limit too, and what is beyond it is told by column.
#[test]
fn texts_are_bounded() {
    let text = rows(|row| format!("a rather long text, number {row}"));
    let read = |bytes: u64| {
        let storage = Storage::limited(bytes, std::env::temp_dir()).unwrap();
        read_bytes(
            text.as_bytes(),
            "t.csv",
            &ReadOptions { delimiter: Some(b';'), storage, ..ReadOptions::default() },
        )
    };
    let told = read(1).unwrap_err().to_string();
    assert!(
        told.contains("t.csv, line ") && told.contains("column \"x\"") && told.contains("memory limit"),
        "{told}"
    );
    // 20,000 texts of some 32 bytes and 64 more each are not 4 MiB; half the limit is theirs.
    let table = read(8 << 20).unwrap();
    assert_eq!(cells(&table).len(), 20_000);
    // Many columns count together.
    let wide = (0..20_000).fold("a,b,c,d,e\n".to_owned(), |text, row| {
        let cells: Vec<String> = (0..5).map(|column| format!("t{column}{row}")).collect();
        text + &cells.join(",") + "\n"
    });
    let options = |bytes: u64| ReadOptions {
        storage: Storage::limited(bytes, std::env::temp_dir()).unwrap(),
        ..ReadOptions::default()
    };
    assert!(
        read_bytes(wide.as_bytes(), "t.csv", &options(8 << 20))
            .unwrap_err()
            .to_string()
            .contains("memory limit")
    );
    assert!(read_bytes(wide.as_bytes(), "t.csv", &options(32 << 20)).is_ok());
}
