//! Cells of tables whose columns come in any order.

use super::*;
use crate::{FitReport, Task};

fn text(values: &[Option<&str>]) -> Column {
    let mut dictionary: Vec<String> = values.iter().flatten().map(|s| s.to_string()).collect();
    dictionary.sort();
    dictionary.dedup();
    let code = |v: &Option<&str>| {
        v.map_or(MISSING_CODE, |v| dictionary.binary_search_by(|d| d.as_str().cmp(v)).unwrap() as u32)
    };
    Column::Categorical { codes: values.iter().map(code).collect(), dictionary }
}

fn table(columns: Vec<(&str, Column)>) -> Dataset {
    Dataset::new(columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect()).unwrap()
}

fn inputs() -> Vec<Field> {
    let colours = Kind::Categorical { dictionary: vec!["blue".into(), "red".into()] };
    vec![
        Field { name: "age".into(), kind: Kind::Numeric },
        Field { name: "colour".into(), kind: colours },
        Field { name: "member".into(), kind: Kind::Boolean },
    ]
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
}

#[test]
fn columns_are_found_by_name_and_dictionaries_by_text() {
    let data = table(vec![
        ("extra", Column::F64(vec![9.0; 4].into())),
        ("member", Column::Boolean(vec![Some(true), None, Some(false), Some(true)].into())),
        ("colour", text(&[Some("red"), Some("azure"), None, Some("blue")])),
        ("age", Column::F32(vec![1.5, f32::NAN, 3.0, -0.0].into())),
    ]);
    let binder = Binder::new(&inputs(), &data.schema()).unwrap();
    let mut cells = vec![7.0; 9];
    binder.fill(&data, 1..4, &mut cells).unwrap();
    let nan = f64::NAN;
    assert!(same(&cells, &[nan, UNSEEN, nan, 3.0, nan, 0.0, -0.0, 0.0, 1.0]), "{cells:?}");
    assert!(binder.fill(&data, 1..4, &mut [0.0; 8]).is_err());
    assert!(binder.fill(&data, 3..5, &mut [0.0; 6]).is_err());
}

#[test]
fn a_missing_or_mistyped_column_is_named() {
    let error = |columns| Binder::new(&inputs(), &table(columns).schema()).unwrap_err().to_string();
    let age = || ("age", Column::F64(vec![1.0].into()));
    let member = || ("member", Column::Boolean(vec![None].into()));
    let message = error(vec![age(), member()]);
    assert!(message.contains("\"colour\"") && message.contains("missing"), "{message}");
    let message = error(vec![("age", text(&[Some("old")])), ("colour", text(&[Some("red")])), member()]);
    assert!(
        message.contains("\"age\"") && message.contains("\"old\"") && message.contains("numbers"),
        "{message}"
    );
    let message = error(vec![age(), ("colour", Column::F64(vec![1.0].into())), member()]);
    assert!(message.contains("\"colour\"") && message.contains("text is accepted"), "{message}");
    let message = error(vec![age(), ("colour", text(&[None])), ("member", text(&[Some("yes")]))]);
    assert!(message.contains("\"member\""), "{message}");
}

#[test]
fn numbers_stand_for_booleans_when_they_are_bits() {
    let field = [Field { name: "b".into(), kind: Kind::Boolean }];
    let data = table(vec![("b", Column::F64(vec![0.0, 1.0, f64::NAN, 2.0].into()))]);
    let binder = Binder::new(&field, &data.schema()).unwrap();
    let mut cells = [0.0; 3];
    binder.fill(&data, 0..3, &mut cells).unwrap();
    assert!(same(&cells, &[0.0, 1.0, f64::NAN]));
    let message = binder.fill(&data, 1..4, &mut cells).unwrap_err().to_string();
    assert!(message.contains("row 4") && message.contains("\"b\""), "{message}");
}

/// Twice its cell plus offset; refuses 13.
struct Double(Vec<Field>, FitReport);
impl Model for Double {
    fn kind(&self) -> &str {
        "double"
    }
    fn inputs(&self) -> &[Field] {
        &self.0
    }
    fn target(&self) -> &str {
        "y"
    }
    fn task(&self) -> &Task {
        &Task::Regression
    }
    fn report(&self) -> &FitReport {
        &self.1
    }
    fn predict(
        &self,
        cells: MatRef<'_, f64>,
        offset: Option<&[f64]>,
        mut out: MatMut<'_, f64>,
    ) -> Result<()> {
        for i in 0..cells.rows() {
            if cells.get(i, 0) == -13.0 {
                return Err(Error::cell(i, "x", "is unlucky"));
            }
            out.set(i, 0, 2.0 * cells.get(i, 0) + offset.map_or(0.0, |o| o[i]));
        }
        Ok(())
    }
    fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn describe(&self) -> String {
        String::new()
    }
}

#[test]
fn tables_are_predicted_in_blocks_and_rows_counted_from_the_top() {
    let model = Double(vec![Field { name: "x".into(), kind: Kind::Numeric }], FitReport::default());
    let rows = 3 * BLOCK_ROWS + 17;
    let mut x: Vec<f64> = (0..rows).map(|i| i as f64).collect();
    let offset: Vec<f64> = (0..rows).map(|i| 0.25 * i as f64).collect();
    let expected: Vec<f64> = (0..rows).map(|i| 2.25 * i as f64).collect();
    for threads in [1, 2, 3, 7] {
        let data = table(vec![("x", Column::F64(x.clone().into()))]);
        let got = parallel::with_threads(threads, || predict_dataset(&model, &data, Some(&offset)).unwrap());
        assert_eq!(got, expected);
    }
    x[2 * BLOCK_ROWS + 4] = -13.0;
    x[2 * BLOCK_ROWS + 900] = -13.0;
    x[3 * BLOCK_ROWS + 1] = -13.0;
    let data = table(vec![("x", Column::F64(x.into()))]);
    let message = predict_dataset(&model, &data, None).unwrap_err().to_string();
    assert!(message.contains(&format!("row {}", 2 * BLOCK_ROWS + 5)), "{message}");
    assert!(predict_dataset(&model, &data, Some(&offset[1..])).is_err());
}

/// Refuses categories but "red", which is all it has seen of its dictionary.
struct Strict(Double, Unseen);
impl Model for Strict {
    fn kind(&self) -> &str {
        "strict"
    }
    fn inputs(&self) -> &[Field] {
        self.0.inputs()
    }
    fn target(&self) -> &str {
        "y"
    }
    fn task(&self) -> &Task {
        self.0.task()
    }
    fn report(&self) -> &FitReport {
        self.0.report()
    }
    fn unseen(&self) -> Unseen {
        self.1
    }
    fn saw(&self, input: usize, category: usize) -> bool {
        (input, category) == (1, 1)
    }
    fn predict(&self, cells: MatRef<'_, f64>, offset: Option<&[f64]>, out: MatMut<'_, f64>) -> Result<()> {
        crate::unseen::check(self, cells)?;
        self.0.predict(cells, offset, out)
    }
    fn to_bytes(&self) -> Result<Vec<u8>> {
        self.0.to_bytes()
    }
    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[test]
fn categories_that_training_did_not_see_are_refused_by_row_and_text() {
    let strict = |unseen| Strict(Double(inputs(), FitReport::default()), unseen);
    let rows = BLOCK_ROWS + 9;
    let of_colours = |colour: &dyn Fn(usize) -> Option<&'static str>| {
        let column = text(&(0..rows).map(colour).collect::<Vec<_>>());
        table(vec![
            ("colour", column),
            ("age", Column::F64(vec![1.0; rows].into())),
            ("member", Column::F64(vec![1.0; rows].into())),
        ])
    };
    let seen = of_colours(&|row| (row % 5 > 0).then_some("red"));
    for unseen in [Unseen::Missing, Unseen::Majority, Unseen::Error] {
        assert!(predict_dataset(&strict(unseen), &seen, None).is_ok());
    }
    // One that the dictionary lacks, and one that it has.
    for stranger in ["azure", "blue"] {
        let data = of_colours(&|row| if row == BLOCK_ROWS + 4 { Some(stranger) } else { Some("red") });
        assert!(predict_dataset(&strict(Unseen::Missing), &data, None).is_ok());
        let told = predict_dataset(&strict(Unseen::Error), &data, None).unwrap_err().to_string();
        let expected = format!("row {}, column \"colour\": {stranger:?} is not a category", BLOCK_ROWS + 5);
        assert!(
            told.starts_with(&expected) && told.contains("accepted are \"red\" and missing values"),
            "{told}"
        );
    }
    // Rows of cells have no text but that of the dictionary.
    let mut out = [0.0; 2];
    let mut told = |colour: f64| {
        let cells = [1.0, f64::NAN, 0.0, 1.0, colour, 0.0];
        let out = MatMut::new(&mut out, 2, 1).unwrap();
        let done = strict(Unseen::Error).predict(MatRef::new(&cells, 2, 3).unwrap(), None, out);
        done.err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(told(1.0), "");
    assert!(told(0.0).contains("row 2, column \"colour\": \"blue\""));
    assert!(told(UNSEEN).contains("the category") && told(7.0).contains("the category"));
}
