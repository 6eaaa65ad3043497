//! Several files, or a folder of them, as one table.

use crate::columnar::{arrow, batches, parquet};
use crate::random::{assert_same, categories};
use ::parquet::basic::Compression;
use arrow_array::{ArrayRef, BooleanArray, Float32Array, Float64Array, NullArray, RecordBatch, StringArray};
use std::path::PathBuf;
use std::sync::Arc;
use tilewise_base::{Column, Dataset, Error, Storage};
use tilewise_data::{ReadOptions, files, read, read_bytes, read_files};

/// A folder of one test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tilewise-several-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn read(&self) -> Result<Dataset, Error> {
        read(&self.0, &ReadOptions::default())
    }

    fn told(&self) -> String {
        self.read().expect_err("these files are no table").to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn parse(text: &str) -> Dataset {
    read_bytes(text.as_bytes(), "t.csv", &ReadOptions::default()).unwrap()
}

#[test]
fn files_of_a_folder_are_read_in_the_order_of_their_names() {
    let folder = Folder::new("order");
    folder.write("b.csv", "y,x\nred,3\n,4\n");
    folder.write("a.csv", "\u{feff}x;y\n1;blue\nNA;red\n");
    folder.write("c.csv", "x,y\n");
    // What others leave in such folders.
    folder.write("_SUCCESS", "");
    folder.write(".a.csv.crc", [0, 1, 2]);
    let names: Vec<_> = files(&folder.0).unwrap();
    assert_eq!(names, ["a.csv", "b.csv", "c.csv"].map(|name| folder.0.join(name)));
    let expected = parse("x,y\n1,blue\nNA,red\n3,red\n4,\n");
    assert_same(&folder.read().unwrap(), &expected);
    // Named one by one, in the order given; of these the first tells the order of columns.
    let turned = read_files(&[&names[1], &names[0]], &ReadOptions::default()).unwrap();
    assert_same(&turned, &parse("y,x\nred,3\n,4\nblue,1\nred,NA\n"));
    let limited =
        ReadOptions { storage: Storage::limited(0, std::env::temp_dir()).unwrap(), ..ReadOptions::default() };
    assert_same(&read_files(&[&folder.0], &limited).unwrap(), &expected);
}

#[test]
fn kinds_are_inferred_over_all_files() {
    let folder = Folder::new("kinds");
    // Numbers at first, of all kinds later: read again, as a column of one file would be.
    folder.write("a.csv", "a,b,c\n1,1,\n2,1,\n");
    folder.write("b.csv", "a,b,c\n3,2,x\nlate,4,y\n");
    assert_same(&folder.read().unwrap(), &parse("a,b,c\n1,1,\n2,1,\n3,2,x\nlate,4,y\n"));
    // Whatever their order, where a file has both: as one file it would be categories.
    let texts = ["1\n2", "3\nx", "y\n"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let folder = Folder::new("order-of-kinds");
        for (place, text) in order.iter().enumerate() {
            folder.write(&format!("{place}.csv"), format!("a\n{}\n", texts[*text]));
        }
        let one = order.iter().fold("a\n".to_owned(), |all, text| all + texts[*text].trim_end() + "\n");
        assert_same(&folder.read().unwrap(), &parse(&one));
    }
    // A mistake among numbers is told with its own file and line.
    let numbers = (0..50).fold("a,b,c\n".to_owned(), |text, row| text + &format!("{row},1,x\n"));
    folder.write("a.csv", &numbers);
    folder.write("b.csv", "a,b,c\n3,2,x\n\nlate,4,y\n");
    let told = folder.told();
    assert!(told.contains("b.csv, line 4, column \"a\"") && told.contains("\"late\""), "{told}");
    // So is a record of another length.
    folder.write("b.csv", "a,b,c\n3,2,x\n4,5\n");
    assert!(folder.told().contains("b.csv, line 3"), "{}", folder.told());
}

#[test]
fn columns_that_differ_are_named_with_their_file() {
    let folder = Folder::new("differ");
    folder.write("a.csv", "x,y\n1,a\n2,b\n");
    for (text, parts) in [
        ("x\n3\n", ["column \"y\"", "is missing"]),
        ("x,y,z\n3,a,1\n", ["column \"z\"", "is not in"]),
        ("x,y\nc,b\nd,a\n", ["column \"x\"", "holds text where"]),
        ("x,y\n3,1\n4,2\n", ["column \"y\"", "holds numbers where"]),
    ] {
        folder.write("b.csv", text);
        let told = folder.told();
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        assert!(told.starts_with(&folder.0.join("b.csv").display().to_string()), "{told}");
        assert!(told.contains(&folder.0.join("a.csv").display().to_string()), "{told}");
    }
    // Said to be categories they are, and columns that are not wanted may be anything.
    folder.write("b.csv", "x,y,z\n3,1,7\n");
    let options = ReadOptions {
        categorical: vec!["y".into()],
        columns_wanted: Some(vec!["x".into(), "y".into()]),
        ..ReadOptions::default()
    };
    let table = read(&folder.0, &options).unwrap();
    assert_eq!(table.columns()[1], categories(&[Some("a"), Some("b"), Some("1")]));
}

#[test]
fn columnar_files_are_joined() {
    let first = parse("x,flag,t\n1,true,a\n2,,b\n");
    let second = parse("flag,t,x\nfalse,c,3\ntrue,,\n");
    let expected = parse("x,flag,t\n1,true,a\n2,,b\n3,false,c\n,true,\n");
    type Form = fn(&Dataset) -> Vec<u8>;
    let forms: [(&str, Form); 2] = [
        ("parquet", |table| parquet(&batches(table), Compression::SNAPPY)),
        ("arrow", |table| arrow(&batches(table))),
    ];
    for (extension, bytes) in forms {
        let folder = Folder::new(extension);
        folder.write(&format!("0.{extension}"), bytes(&first));
        let later = format!("1.{extension}");
        folder.write(&later, bytes(&second));
        assert_same(&folder.read().unwrap(), &expected);
        for (table, parts) in [
            (parse("x,flag\n1,true\n"), ["column \"t\"", "is missing"]),
            (parse("x,flag,t,u\n1,true,a,1\n"), ["column \"u\"", "is not in"]),
            (parse("x,flag,t\nno,true,a\n"), ["column \"x\"", "is Utf8 where"]),
            (parse("x,flag,t\n1,2,a\n"), ["column \"flag\"", "is Float64 where"]),
        ] {
            folder.write(&later, bytes(&table));
            let told = folder.told();
            assert!(parts.iter().all(|part| told.contains(part)), "{told}");
            assert!(told.starts_with(&folder.0.join(&later).display().to_string()), "{told}");
        }
        // Single and double precision are two types.
        let column = Column::F32(vec![1.0].into());
        let table = parse("flag,t\ntrue,a\n");
        let columns = table.names().iter().cloned().zip(table.columns().iter().cloned());
        let narrow = Dataset::new([("x".to_owned(), column)].into_iter().chain(columns).collect()).unwrap();
        folder.write(&later, bytes(&narrow));
        assert!(folder.told().contains("column \"x\": is Float32 where"), "{}", folder.told());
    }
}

/// A column without any value has no type in such files: that of the next file is the column's.
#[test]
fn a_column_of_nulls_takes_the_type_of_a_later_file() {
    let record = |columns: [ArrayRef; 4]| {
        let named =
            ["x", "f", "flag", "t"].into_iter().zip(columns).map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(named).unwrap()
    };
    let nulls = record([(); 4].map(|()| Arc::new(NullArray::new(3)) as ArrayRef));
    let typed = record([
        Arc::new(Float64Array::from(vec![Some(1.5), None])),
        Arc::new(Float32Array::from(vec![2.5, 3.5])),
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(StringArray::from(vec!["a", "b"])),
    ]);
    let form = |extension: &str, batch: &RecordBatch| match extension {
        "parquet" => parquet(std::slice::from_ref(batch), Compression::SNAPPY),
        _ => arrow(std::slice::from_ref(batch)),
    };
    for extension in ["parquet", "arrow"] {
        let folder = Folder::new(&format!("nulls-{extension}"));
        let [empty, full] =
            [("a", &nulls), ("b", &typed)].map(|(name, batch)| folder.write(name, form(extension, batch)));
        let options = ReadOptions { format: Some(extension.parse().unwrap()), ..ReadOptions::default() };
        let first = read_files(&[&empty, &empty, &full, &empty], &options).unwrap();
        let kinds: Vec<_> = first.columns().iter().map(std::mem::discriminant).collect();
        let later = read_files(&[&full, &empty], &options).unwrap();
        assert_eq!(kinds, later.columns().iter().map(std::mem::discriminant).collect::<Vec<_>>());
        assert_eq!(first.rows(), 11);
        let Column::F64(x) = &first.columns()[0] else { panic!("no numbers") };
        assert!(x[6] == 1.5 && x.iter().enumerate().all(|(i, x)| x.is_nan() == (i != 6)));
        let missing = [None; 6].into_iter().chain([Some("a"), Some("b"), None, None, None]);
        assert_eq!(first.columns()[3], categories(&missing.collect::<Vec<_>>()));
        // Where a third file has another type, the one that told the type is named.
        let other = parse("x,f,flag,t\nno,1,true,a\n");
        let other = folder.write("c", form(extension, &batches(&other)[0]));
        let told = read_files(&[&empty, &full, &other], &options).unwrap_err().to_string();
        assert!(told.contains(&format!("is Utf8 where {} has Float64", full.display())), "{told}");
    }
}

#[test]
fn what_is_no_table_is_told() {
    let folder = Folder::new("refused");
    assert!(folder.told().contains("there is no file in the folder"));
    let a = folder.write("a.csv", "x\n");
    let b = folder.write("b.csv", "x\n");
    assert!(folder.told().contains("there are no rows"));
    folder.write("c.txt.gz", "x\n1\n");
    assert!(folder.told().contains("c.txt.gz"));
    std::fs::remove_file(folder.0.join("c.txt.gz")).unwrap();
    folder.write("c.svm", "1 1:2\n");
    assert!(folder.told().contains("c.svm") && folder.told().contains("another format"));
    std::fs::remove_file(folder.0.join("c.svm")).unwrap();
    std::fs::create_dir(folder.0.join("year=2024")).unwrap();
    assert!(folder.told().contains("year=2024") && folder.told().contains("folder in a folder"));
    std::fs::remove_dir(folder.0.join("year=2024")).unwrap();
    let stdin = read_files(&[&a, &PathBuf::from("-")], &ReadOptions::default()).unwrap_err().to_string();
    assert!(stdin.contains("stdin"), "{stdin}");
    let nowhere = folder.0.join("z.csv");
    let told = read_files(&[&a, &b, &nowhere], &ReadOptions::default()).unwrap_err();
    assert!(matches!(&told, Error::Io { path, .. } if *path == nowhere), "{told:?}");
    std::fs::remove_file(&a).unwrap();
    std::fs::remove_file(&b).unwrap();
    folder.write("a.svm", "1 1:2\n");
    assert_eq!(folder.read().unwrap().rows(), 1);
    folder.write("b.svm", "0 1:3\n");
    assert!(folder.told().contains("b.svm") && folder.told().contains("libsvm"));
}
