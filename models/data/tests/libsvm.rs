//! libsvm files.

use crate::random::cells;
use tilewise_base::{Column, Field, Kind, Schema};
use tilewise_data::{ReadOptions, read_bytes, read_sparse, sparse_bytes};

fn message(text: &str) -> String {
    read_bytes(text.as_bytes(), "t.svm", &ReadOptions::default()).expect_err("there is a mistake").to_string()
}

#[test]
fn sparse_rows_become_dense() {
    let text = "# ranks\n2 qid:7 1:0.5 3:-1e3\n\n+1 qid:8 3:2 2:1 # unordered\n0\n";
    let table = read_bytes(text.as_bytes(), "t.svm", &ReadOptions::default()).unwrap();
    assert_eq!(table.names(), ["target", "qid", "f1", "f2", "f3"]);
    let column = |i: usize| (0..3).map(|r| table.columns()[i].cell(r)).collect::<Vec<_>>();
    assert_eq!(column(0), [2.0, 1.0, 0.0]);
    assert_eq!(column(1)[..2], [7.0, 8.0]);
    assert!(column(1)[2].is_nan());
    assert_eq!(
        (column(2), column(3), column(4)),
        (vec![0.5, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![-1e3, 2.0, 0.0])
    );

    let wanted = ReadOptions { columns_wanted: Some(vec!["f3".into()]), ..ReadOptions::default() };
    let some = read_bytes(text.as_bytes(), "t.svm", &wanted).unwrap();
    assert_eq!(some.columns(), [Column::F64(column(4).into())]);
    assert_eq!(cells(&some).len(), 3);

    // A model of five features reads a file that shows three of them.
    let schema = Schema { fields: vec![Field { name: "f5".into(), kind: Kind::Numeric }] };
    let options = ReadOptions { schema: Some(&schema), ..ReadOptions::default() };
    assert_eq!(read_bytes(text.as_bytes(), "t.svm", &options).unwrap().names().last().unwrap(), "f5");
}

#[test]
fn mistakes_name_their_line() {
    for (text, expected) in [
        ("1 1:2\nx 1:2\n", "t.svm, line 2: the label \"x\" is not a finite number"),
        ("1 1:2\n\n1 2\n", "t.svm, line 3: \"2\" is not index:value"),
        ("1 0:2\n", "t.svm, line 1: the index \"0\" is not one of 1 to 1048576"),
        ("1 4000000000:2\n", "t.svm, line 1: the index \"4000000000\" is not one of 1 to 1048576"),
        ("1 3:inf\n", "t.svm, line 1: the value \"inf\" is not a finite number"),
        ("1 3:1 3:2\n", "t.svm, line 1: the index 3 stands there twice"),
        ("# nothing\n", "t.svm: there are no rows; lines of label index:value ... are needed"),
    ] {
        assert_eq!(message(text), expected);
    }
    let wide = format!("1 1048576:1\n{}", "0\n".repeat(1024));
    assert!(message(&wide).contains("too many for a dense table"));
}

#[test]
fn wide_files_stay_sparse() {
    let text = "2 qid:7 1:0.5 3:-1e3\n\n+1 3:2 2:1 # unordered\n0\n";
    let table = sparse_bytes(text.as_bytes(), "t.svm", None).unwrap();
    assert_eq!((table.x.view().rows(), table.x.view().cols()), (3, 3));
    assert_eq!(table.target, [2.0, 1.0, 0.0]);
    assert_eq!(table.x.view().line(0), (&[0, 2][..], &[0.5, -1e3][..]));
    assert_eq!(table.x.view().line(1), (&[1, 2][..], &[1.0, 2.0][..]));
    assert_eq!(table.x.view().line(2), (&[][..], &[][..]));
    let group = table.group.unwrap();
    assert!(group[0] == 7.0 && group[1].is_nan());
    // Fewer inputs than the file has, and more.
    let narrow = sparse_bytes(text.as_bytes(), "t.svm", Some(2)).unwrap().x;
    assert_eq!(
        (narrow.view().line(0), narrow.view().line(1)),
        ((&[0][..], &[0.5][..]), (&[1][..], &[1.0][..]))
    );
    assert_eq!(sparse_bytes(text.as_bytes(), "t.svm", Some(9)).unwrap().x.view().cols(), 9);

    let folder = std::env::temp_dir().join(format!("tilewise-libsvm-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (small, wide) = (folder.join("small.svm"), folder.join("wide.svm"));
    std::fs::write(&small, text).unwrap();
    std::fs::write(&wide, "1 1048576:1\n0 3:1\n".repeat(100)).unwrap();
    let options = ReadOptions::default();
    assert!(read_sparse(&small, &options, None).unwrap().is_none());
    assert!(read_sparse("-", &options, None).unwrap().is_none());
    let table = read_sparse(&wide, &options, None).unwrap().unwrap();
    assert_eq!((table.x.view().stored(), table.x.view().cols()), (200, 1 << 20));
    assert_eq!(table.take(&[1, 0]).unwrap().target, [0.0, 1.0]);
    assert!(read_sparse(&wide, &options, Some(3)).unwrap().is_none());
    std::fs::remove_dir_all(&folder).unwrap();
}
