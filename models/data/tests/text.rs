//! CSV: kinds, places of errors, agreement with the `csv` crate, round trips.

use crate::random::{TempFile, assert_same, categories, cells, table};
use proptest::prelude::*;
use tilewise_base::{Column, Dataset, Error, Field, Kind, Schema};
use tilewise_data::{Format, ReadOptions, chunks, read, read_bytes, write_csv};

fn parse(text: impl AsRef<[u8]>) -> Result<Dataset, Error> {
    read_bytes(text.as_ref(), "t.csv", &ReadOptions::default())
}

fn message(result: Result<Dataset, Error>) -> String {
    result.expect_err("this table has a mistake").to_string()
}

fn kinds(text: &str) -> String {
    let kinds = parse(text).unwrap().schema().fields;
    kinds.iter().map(|f| f.kind.name()).collect::<Vec<_>>().join(" ")
}

#[test]
fn kinds_are_inferred_over_the_whole_file() {
    assert_eq!(kinds("a,b,c,d\n1,true,x,\n-2.5e3,False,y,NA\n"), "numeric boolean categorical numeric");
    assert_eq!(kinds("a\n1\ntrue\n"), "categorical");
    assert_eq!(kinds("a\nNaN\n-nan\n+7\n.5\n5.\n"), "numeric");
    // Text that shows up only behind the rows looked at first.
    let late = format!("a,b\n{}{}", "1,true\n".repeat(500), "x,maybe\n".repeat(100));
    assert_eq!(kinds(&late), "categorical categorical");
    assert_eq!(parse(&late).unwrap().columns()[0].cell(0), 0.0, "dictionary is sorted: 1 before x");
}

#[test]
fn cells_are_trimmed_and_blank_lines_skipped() {
    let text = "\u{feff}name, size ,ok\r\n\r\n ann , 1.5 ,true\r\n\"b, \"\"c\"\"\" ,NA, false\r\n  \r\n , 2,\r\n\r\n";
    let expected = Dataset::new(vec![
        ("name".into(), categories(&[Some("ann"), Some("b, \"c\""), None])),
        ("size".into(), Column::F64(vec![1.5, f64::NAN, 2.0].into())),
        ("ok".into(), Column::Boolean(vec![Some(true), Some(false), None].into())),
    ]);
    assert_same(&parse(text).unwrap(), &expected.unwrap());
}

#[test]
fn delimiters_are_found() {
    for (delimiter, other) in [(",", ";"), (";", ","), ("\t", ","), ("|", ";")] {
        let text = ["a,b,c", "1;5,x,u", "2;5,y,v", "3;5,z,w"].join("\n");
        let text = text.replace(';', "\u{1}").replace(',', delimiter).replace('\u{1}', other);
        let names = parse(&text).unwrap().names().join(" ");
        assert_eq!(names, "a b c", "{delimiter:?}");
    }
    let options = ReadOptions { delimiter: Some(b':'), ..ReadOptions::default() };
    assert_eq!(read_bytes(b"a:b,c\n1:2\n", "x.txt", &options).unwrap().names(), ["a", "b,c"]);
    let options = ReadOptions { delimiter: Some(b'"'), ..ReadOptions::default() };
    assert!(message(read_bytes(b"a\n1\n", "x.txt", &options)).starts_with("parameter delimiter"));
}

#[test]
fn mistakes_name_their_place() {
    let nineteen = "1,2\n".repeat(19);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        ("".into(), "t.csv, line 1: the file is empty; a table is needed"),
        ("\n \n".into(), "t.csv, line 1: the file is empty; a table is needed"),
        ("a,b\n".into(), "t.csv, line 2: there are no rows below the names"),
        ("a,b\n1,2\n\n3\n".into(), "t.csv, line 4: expected 2 cells as in the first line, found 1"),
        ("a,b\n\"x\ny\",2\n3,4,5\n".into(), "t.csv, line 4: expected 2 cells as in the first line, found 3"),
        (
            "a,a\n1,2\n".into(),
            "t.csv, line 1, column \"a\": the name is used twice, for columns 1 and 2; if this line holds data, say \
             --no-header",
        ),
        ("a,b\n1,\"x\n".into(), "t.csv, line 2: a quote that opens here is never closed"),
        (
            "a,b\n1,\"x\"y\n".into(),
            "t.csv, line 2: text follows the closing quote of a cell; a quote inside a quoted cell is written twice",
        ),
        (
            b"a,b\n1,\xff\n".into(),
            "t.csv, line 2: the byte 0xff is not UTF-8 text; a file of text in UTF-8 is needed",
        ),
        (
            b"a,b\n1,\0\n".into(),
            "t.csv, line 2: the byte 0x00 is not UTF-8 text; a file of text in UTF-8 is needed",
        ),
        (b"PAR1\x15\x04\0".into(), "t.csv, line 1: this is a Parquet file; give --format parquet"),
        (
            format!("a,b\n{nineteen}1,x7\n").into(),
            "t.csv, line 21, column \"b\": \"x7\" is not a number, while 95 % of the column is; say --na \"x7\" if it \
             means missing, or --categorical \"b\" if the column holds categories",
        ),
        (
            "a\n1\n1e400\n2\n".into(),
            "t.csv, line 3, column \"a\": \"1e400\" is infinite; a finite number is needed (a missing cell is empty \
             or NA; --na TEXT adds another)",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(message(parse(&text)), expected, "{:?}", String::from_utf8_lossy(&text));
    }
    let missing = read("no/such.csv", &ReadOptions::default());
    assert!(message(missing).starts_with("no/such.csv: "));
    let unknown = read("table.xyz", &ReadOptions::default());
    assert!(message(unknown).contains("the extension \"xyz\" does not tell the format"));
}

#[test]
fn options_are_followed() {
    let columns = ["x", "y", "z"].map(String::from).to_vec();
    let options = ReadOptions {
        header: false,
        columns: Some(columns.clone()),
        na: vec!["?".into(), "-999".into()],
        categorical: vec!["z".into()],
        ..ReadOptions::default()
    };
    let text = "1,?,10\n-999,b,9\n";
    let read_with = |o: &ReadOptions<'_>| read_bytes(text.as_bytes(), "t.csv", o);
    let expected = Dataset::new(vec![
        ("x".into(), Column::F64(vec![1.0, f64::NAN].into())),
        ("y".into(), categories(&[None, Some("b")])),
        ("z".into(), categories(&[Some("10"), Some("9")])),
    ]);
    assert_same(&read_with(&options).unwrap(), &expected.unwrap());
    let some = ReadOptions { columns_wanted: Some(vec!["z".into(), "x".into()]), ..options.clone() };
    assert_eq!(read_with(&some).unwrap().names(), ["x", "z"]);
    let absent = ReadOptions { columns_wanted: Some(vec!["w".into()]), ..options.clone() };
    assert_eq!(
        message(read_with(&absent)),
        "t.csv, column \"w\": there is no such column; there are x, y, z"
    );
    let without = ReadOptions { columns_ignored: vec!["y".into()], ..options.clone() };
    assert_eq!(read_with(&without).unwrap().names(), ["x", "z"]);
    let without = ReadOptions { columns_ignored: vec!["w".into()], ..options.clone() };
    assert_eq!(message(read_with(&without)), message(read_with(&absent)));
    // A name that is used twice matters only where it is read.
    let twice: Vec<String> = ["x", "y", "y"].map(String::from).to_vec();
    let twice = ReadOptions { columns: Some(twice), categorical: vec![], ..options.clone() };
    assert!(message(read_with(&twice)).contains("used twice"));
    let once = ReadOptions { columns_wanted: Some(vec!["x".into()]), ..twice.clone() };
    assert_eq!(read_with(&once).unwrap().names(), ["x"]);
    let once = ReadOptions { columns_ignored: vec!["y".into()], ..twice };
    assert_eq!(read_with(&once).unwrap().names(), ["x"]);
    let two = ReadOptions { columns: Some(columns[..2].to_vec()), ..options.clone() };
    assert_eq!(message(read_with(&two)), "t.csv, line 1: 2 names are given for 3 cells");
    let unnamed = ReadOptions { columns: None, categorical: vec![], ..options };
    assert_eq!(read_with(&unnamed).unwrap().names(), ["c1", "c2", "c3"]);
}

#[test]
fn given_kinds_are_strict() {
    let field = |name: &str, kind| Field { name: name.into(), kind };
    let schema = Schema {
        fields: vec![field("n", Kind::Numeric), field("b", Kind::Boolean), field("absent", Kind::Boolean)],
    };
    let options = ReadOptions { schema: Some(&schema), ..ReadOptions::default() };
    let read_with = |text: &str| read_bytes(text.as_bytes(), "t.csv", &options);
    assert_eq!(
        read_with("b,n\n1,5\n0,\n").unwrap().columns()[0],
        Column::Boolean(vec![Some(true), Some(false)].into())
    );
    assert_eq!(
        message(read_with("n,b\n1,true\ntwo,true\n")),
        "t.csv, line 3, column \"n\": \"two\" is not a number (a missing cell is empty or NA; --na TEXT adds another)"
    );
    assert_eq!(
        message(read_with("n,b\n1,yes\n")),
        "t.csv, line 2, column \"b\": \"yes\" is not a boolean: true, false, 1 or 0"
    );
}

/// Beyond one block: kinds, dictionaries and lines go on over the cuts.
#[test]
fn blocks_are_put_together() {
    let rows = 300_000u32;
    let mut text = String::from("i,g\n");
    (0..rows).for_each(|i| text += &format!("{i},g{}\n", (i * 7919) % 1000));
    let table = parse(&text).unwrap();
    assert_eq!(table.columns()[0], Column::F64((0..rows).map(f64::from).collect()));
    let names: Vec<String> = (0..rows).map(|i| format!("g{}", (i * 7919) % 1000)).collect();
    let texts: Vec<Option<&str>> = names.iter().map(|t| Some(t.as_str())).collect();
    assert_eq!(table.columns()[1], categories(&texts));
    // The same in one block, which a quote forces.
    let quoted = parse(text.replacen("\n0,g0\n", "\n0,\"g0\"\n", 1)).unwrap();
    assert_same(&table, &quoted);
    let bad = text.replacen("\n250000,", "\nx250000,", 1);
    assert!(
        message(parse(&bad)).starts_with("t.csv, line 250002, column \"i\": \"x250000\" is not a number")
    );
    let ragged = text.replacen("\n250000,", "\n250000,5,", 1);
    assert!(message(parse(&ragged)).starts_with("t.csv, line 250002: expected 2 cells"));
}

proptest! {
    #[test]
    fn what_is_written_is_read(table in table()) {
        let mut text = Vec::new();
        write_csv(&table, &mut text).unwrap();
        let schema = table.schema();
        let options = ReadOptions { schema: Some(&schema), delimiter: Some(b','), ..ReadOptions::default() };
        assert_same(&read_bytes(&text, "t.csv", &options).unwrap(), &table);
    }

    #[test]
    fn chunks_are_the_whole(table in table(), rows in 1usize..12, long in 0usize..2) {
        let mut text = Vec::new();
        write_csv(&table, &mut text).unwrap();
        // A cell longer than what is read at a time.
        let huge = "ß".repeat(long * 1_500_000);
        let text = String::from_utf8(text).unwrap().replacen('\n', ",x\n", 1);
        let first = if table.columns().len() == 1 { "\"\"," } else { &",".repeat(table.columns().len()) };
        let text = text.replacen(",x\n", &format!(",x\n{first}{huge}\n"), 1);
        let text: String = one_more_cell(&text, table.columns().len());
        let mut schema = table.schema();
        schema.fields.push(Field { name: "x".into(), kind: Kind::Categorical { dictionary: vec![] } });
        let file = TempFile::new("data", text.as_bytes());
        let options = ReadOptions {
            format: Some(Format::Csv), delimiter: Some(b','), schema: Some(&schema), ..ReadOptions::default()
        };
        let whole = read(&file.0, &options).unwrap();
        let parts: Vec<Dataset> = chunks(&file.0, &schema, rows, &options).unwrap().map(Result::unwrap).collect();
        prop_assert!(parts[..parts.len() - 1].iter().all(|p| p.rows() == rows));
        prop_assert_eq!(parts.iter().flat_map(cells).collect::<Vec<_>>(), cells(&whole));
    }

    #[test]
    fn the_csv_crate_reads_the_same(
        records in prop::collection::vec(prop::collection::vec("[a-c\"\n,;ä ]{0,6}", 3), 1..20),
        always in any::<bool>(),
    ) {
        let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        records.iter().for_each(|r| writer.write_record(r).unwrap());
        let text = writer.into_inner().unwrap();
        let columns = ["a", "b", "c"].map(String::from).to_vec();
        let options = ReadOptions {
            header: false, delimiter: Some(b','), categorical: columns.clone(), columns: Some(columns),
            ..ReadOptions::default()
        };
        let ours = cells(&read_bytes(&text, "t.csv", &options).unwrap());
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&text[..]);
        for (ours, theirs) in ours.iter().zip(reader.records().map(Result::unwrap)) {
            for (ours, theirs) in ours.iter().zip(theirs.iter()) {
                // Spaces around a cell that is not in quotes are ours to trim.
                let expected = |t: &str| if t.is_empty() { "missing".into() } else { format!("text {t}") };
                prop_assert!(*ours == expected(theirs) || *ours == expected(theirs.trim_matches(' ')), "{}", ours);
                prop_assert!(!always || *ours == expected(theirs));
            }
        }
        prop_assert_eq!(ours.len(), records.len());
    }

    #[test]
    fn a_bad_cell_is_found_where_it_is(
        notes in prop::collection::vec("[a-c\n]{0,5}", 30..60), at in 0usize..30, chunk in 1usize..50,
    ) {
        let mut text = String::from("n,note\n");
        let mut line = 2;
        let mut expected = 0;
        for (row, note) in notes.iter().enumerate() {
            expected = if row == at { line } else { expected };
            text += &format!("{},\"{note}\"\n", if row == at { "oops".into() } else { row.to_string() });
            line += 1 + note.matches('\n').count();
        }
        let place = format!(", line {expected}, column \"n\": \"oops\" is not a number");
        prop_assert!(message(parse(&text)).contains(&place));
        let kinds = [("n", Kind::Numeric), ("note", Kind::Categorical { dictionary: vec![] })];
        let schema = Schema { fields: kinds.map(|(n, kind)| Field { name: n.into(), kind }).to_vec() };
        let file = TempFile::new("csv", text.as_bytes());
        let last = chunks(&file.0, &schema, chunk, &ReadOptions::default()).unwrap().last().unwrap();
        prop_assert!(message(last).contains(&place));
    }

    #[test]
    fn any_bytes_give_a_table_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[a0,\"\n\r ]{0,80}") {
        let _ = parse(&bytes);
        let _ = parse(text);
    }
}

/// Appends an empty cell to every record behind the second of a table that has `width` columns.
fn one_more_cell(text: &str, width: usize) -> String {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    for record in reader.records() {
        let record = record.unwrap();
        writer.write_record((0..=width).map(|i| record.get(i).unwrap_or_default())).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}
