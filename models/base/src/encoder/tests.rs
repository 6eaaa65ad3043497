//! Design rows against ones computed by hand.

use super::*;
use crate::{Column, MISSING_CODE};
use tilewise_kernels::parallel;

fn table(columns: Vec<(&str, Column)>) -> Dataset {
    Dataset::new(columns.into_iter().map(|(n, c)| (n.to_owned(), c)).collect()).unwrap()
}

fn names(dataset: &Dataset) -> Vec<String> {
    dataset.names().to_vec()
}

fn sample() -> Dataset {
    let dictionary = vec!["blue".to_owned(), "green".to_owned(), "red".to_owned()];
    table(vec![
        ("x", Column::F64(vec![1.0, f64::NAN, 4.0, 10.0].into())),
        ("colour", Column::Categorical { codes: vec![2, MISSING_CODE, 0, 2].into(), dictionary }),
        ("b", Column::Boolean(vec![Some(true), Some(false), Some(true), None].into())),
        ("constant", Column::F32(vec![0.1; 4].into())),
    ])
}

/// By hand: x has mean 5 and, imputed, squares 16 + 0 + 1 + 25 over 4 rows; b has mean 2/3 and squares 6/9 over 4.
#[test]
fn impute_then_standardise_then_one_hot() {
    let data = sample();
    let encoder = Encoder::fit(&data, &names(&data), None, Options::default()).unwrap();
    assert_eq!(encoder.names(), ["x", "colour=blue", "colour=green", "colour=red", "b", "constant"]);
    assert_eq!(encoder.width(), 6);
    let got = encoder.encode(&data).unwrap();
    let (sx, sb) = (10.5f64.sqrt(), (1.0f64 / 6.0).sqrt());
    let expected = [
        [-4.0 / sx, 0.0, 0.0, 1.0, (1.0 / 3.0) / sb, 0.0],
        [0.0, 0.0, 0.0, 0.0, (-2.0 / 3.0) / sb, 0.0],
        [-1.0 / sx, 1.0, 0.0, 0.0, (1.0 / 3.0) / sb, 0.0],
        [5.0 / sx, 0.0, 0.0, 1.0, 0.0, 0.0],
    ];
    for (a, b) in got.iter().zip(expected.as_flattened()) {
        assert!((a - b).abs() < 1e-15, "{got:?}");
    }
    let mut row = [9.0; 6];
    encoder.encode_row(&[5.0, crate::model::UNSEEN, 0.0, f64::from(0.1f32)], &mut row);
    assert_eq!(row[..4], [0.0; 4]);
}

#[test]
fn numbers_of_categories_take_one_column() {
    let data = sample();
    let options = |numbered| Options { numbered: Some(numbered), ..Options::default() };
    let encoder = Encoder::fit(&data, &names(&data), None, options(3)).unwrap();
    assert_eq!(encoder.names(), ["x", "colour", "b", "constant"]);
    assert_eq!((encoder.width(), encoder.numbered()), (4, vec![(1, 3)]));
    let codes: Vec<f64> = encoder.encode(&data).unwrap().chunks(4).map(|row| row[1]).collect();
    assert_eq!(codes, [2.0, 3.0, 0.0, 2.0]);
    let mut row = [9.0; 4];
    encoder.encode_row(&[5.0, crate::model::UNSEEN, 0.0, 0.1], &mut row);
    assert_eq!(row[1], 3.0);
    let json = serde_json::to_string(&encoder).unwrap();
    assert_eq!(serde_json::from_str::<Encoder>(&json).unwrap(), encoder);
    assert!(serde_json::from_str::<Encoder>(&json.replacen("\"levels\":3", "\"levels\":4", 1)).is_err());
    // Fewer categories are one-hot.
    let wide = Encoder::fit(&data, &names(&data), None, options(4)).unwrap();
    assert_eq!(wide, Encoder::fit(&data, &names(&data), None, Options::default()).unwrap());
}

#[test]
fn means_and_scales_can_be_given() {
    let data = sample();
    let plain = Options { standardise: false, ..Options::default() };
    let encoder = Encoder::fit(&data, &names(&data), None, plain).unwrap();
    let by = [(1.0, 2.0), (9.0, 9.0), (9.0, 9.0), (9.0, 9.0), (0.5, 0.5), (0.0, 1.0)];
    let encoder = encoder.standardised_by(&by).unwrap();
    let mut row = [9.0; 6];
    encoder.encode_row(&[4.0, 2.0, 1.0, 3.0], &mut row);
    assert_eq!(row, [1.5, 0.0, 0.0, 1.0, 1.0, 3.0]);
    // A missing number is still the mean of those that are there, 5.
    encoder.encode_row(&[f64::NAN, 0.0, 0.0, 0.0], &mut row);
    assert_eq!(row[..2], [2.0, 1.0]);
    assert!(encoder.clone().standardised_by(&by[1..]).is_err());
    assert!(encoder.standardised_by(&[(0.0, 0.0); 6]).is_err());
}

#[test]
fn a_weight_counts_as_so_many_rows() {
    let data = sample();
    let weights = [2.0, 1.0, 0.0, 3.0];
    let repeated = data.take(&[0, 0, 1, 3, 3, 3]);
    let weighted = Encoder::fit(&data, &names(&data), Some(&weights), Options::default()).unwrap();
    let plain = Encoder::fit(&repeated, &names(&data), None, Options::default()).unwrap();
    let (a, b) = (weighted.encode(&data).unwrap(), plain.encode(&data).unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-14), "{a:?} {b:?}");
    let error = Encoder::fit(&data, &names(&data), Some(&[0.0; 4]), Options::default()).unwrap_err();
    assert!(error.to_string().contains("positive weight"));
}

#[test]
fn large_offsets_keep_their_digits_and_constants_stay_constant() {
    let n = 10_000;
    let x: Vec<f64> = (0..n).map(|i| 1e9 + (i % 7) as f64).collect();
    let data = table(vec![("x", Column::F64(x.into())), ("c", Column::F64(vec![0.1; n].into()))]);
    let encoder = Encoder::fit(&data, &names(&data), None, Options::default()).unwrap();
    let mut row = [0.0; 2];
    encoder.encode_row(&[1e9, 0.1], &mut row);
    let mut other = [0.0; 2];
    encoder.encode_row(&[1e9 + 6.0, 0.1], &mut other);
    // A uniform choice of 0..7 has standard deviation 2; 10,000 is not a multiple of 7, hence the tolerance.
    assert!((other[0] - row[0] - 3.0).abs() < 2e-3, "{row:?} {other:?}");
    assert!(row[1].abs() < 1e-12, "{row:?}");
}

#[test]
fn without_imputing_a_missing_number_names_row_and_column() {
    let data = sample();
    let options = Options { impute: false, ..Options::default() };
    let message = Encoder::fit(&data, &names(&data), None, options).unwrap_err().to_string();
    assert!(message.contains("row 2") && message.contains("\"x\""), "{message}");
    let encoder = Encoder::fit(&data.take(&[0, 2]), &names(&data), None, options).unwrap();
    let message = encoder.encode(&data).unwrap_err().to_string();
    assert!(message.contains("row 2") && message.contains("\"x\""), "{message}");
}

#[test]
fn columns_without_values_warn_and_infinite_ones_are_refused() {
    let nothing = Column::Categorical { codes: vec![MISSING_CODE; 2].into(), dictionary: Vec::new() };
    let data = table(vec![("n", Column::F64(vec![f64::NAN; 2].into())), ("c", nothing)]);
    let encoder = Encoder::fit(&data, &names(&data), None, Options::default()).unwrap();
    assert_eq!(encoder.warnings().len(), 2);
    assert_eq!(encoder.encode(&data).unwrap(), [0.0, 0.0]);
    let data = table(vec![("n", Column::F64(vec![0.0, f64::INFINITY].into()))]);
    let message = Encoder::fit(&data, &names(&data), None, Options::default()).unwrap_err().to_string();
    assert!(message.contains("row 2") && message.contains("finite"), "{message}");
    let data = table(vec![("n", Column::F64(vec![-1e300, 1e300].into()))]);
    assert!(Encoder::fit(&data, &names(&data), None, Options::default()).is_err());
}

#[test]
fn json_keeps_every_bit_and_refuses_nonsense() {
    let data = sample();
    let encoder = Encoder::fit(&data, &names(&data), None, Options::default()).unwrap();
    let json = serde_json::to_string(&encoder).unwrap();
    assert_eq!(serde_json::from_str::<Encoder>(&json).unwrap(), encoder);
    for (good, bad) in [
        ("\"levels\":3", "\"levels\":4"),
        ("\"scale\":1.0", "\"scale\":0.0"),
        ("\"mean\":5.0", "\"mean\":null"),
    ] {
        assert!(json.contains(good), "{json}");
        assert!(serde_json::from_str::<Encoder>(&json.replacen(good, bad, 1)).is_err(), "{bad}");
    }
}

#[test]
fn same_bits_at_any_thread_count() {
    let x: Vec<f64> = (0..50_000).map(|i| (i as f64 * 0.7).sin() * 1e3 + 1e5).collect();
    let data = table(vec![("x", Column::F64(x.into()))]);
    let fit = || {
        let encoder = Encoder::fit(&data, &names(&data), None, Options::default()).unwrap();
        (serde_json::to_string(&encoder).unwrap(), encoder.encode(&data).unwrap())
    };
    let one = parallel::with_threads(1, fit);
    assert!([2, 3, 7].iter().all(|&t| parallel::with_threads(t, fit) == one));
}

/// Tables of 64-bit numbers alone take a way of their own; all are cut into tiles and blocks of rows.
#[test]
fn a_table_is_encoded_as_its_rows_are() {
    let rows = 2 * BLOCK_ROWS + 77;
    let number =
        |j: usize, i: usize| if (i + j).is_multiple_of(11) { f64::NAN } else { (i * (j + 3) % 101) as f64 };
    let numbers = |j: usize| Column::F64((0..rows).map(|i| number(j, i)).collect::<Vec<_>>().into());
    let names_of = ["a", "b", "c"];
    let plain = table(names_of.into_iter().enumerate().map(|(j, name)| (name, numbers(j))).collect());
    let dictionary: Vec<String> = ["x", "y", "z"].map(String::from).into();
    let codes = (0..rows as u32).map(|i| if i % 5 == 4 { MISSING_CODE } else { i % 3 }).collect::<Vec<_>>();
    let mixed = table(vec![
        ("a", numbers(0)),
        ("k", Column::Categorical { codes: codes.into(), dictionary }),
        ("s", Column::F32((0..rows).map(|i| i as f32 / 7.0).collect::<Vec<_>>().into())),
    ]);
    for data in [plain, mixed] {
        let encoder = Encoder::fit(&data, &names(&data), None, Options::default()).unwrap();
        let got = encoder.encode(&data).unwrap();
        let mut expected = vec![0.0; encoder.width()];
        for (i, got) in got.chunks(encoder.width()).enumerate() {
            let cells: Vec<f64> = data.columns().iter().map(|column| column.cell(i)).collect();
            encoder.encode_row(&cells, &mut expected);
            assert!(got.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "row {i}");
        }
    }
    let strict = Options { impute: false, ..Options::default() };
    let (late, lacks) = (2 * BLOCK_ROWS + 50, f64::NAN);
    let with = |x: f64| {
        Column::F64((0..rows).map(|i| if i == late { x } else { i as f64 }).collect::<Vec<_>>().into())
    };
    let full = table(vec![("a", with(0.0)), ("b", with(1.0))]);
    let encoder = Encoder::fit(&full, &names(&full), None, strict).unwrap();
    let message = encoder.encode(&table(vec![("a", with(0.0)), ("b", with(lacks))])).unwrap_err().to_string();
    assert!(message.contains(&format!("row {}", late + 1)) && message.contains("\"b\""), "{message}");
}

/// By the definition: the mean of the cells that are there, squares around it of all rows, those that are missing counted as the mean.
#[test]
fn moments_are_those_of_the_definition() {
    let rows = 9001;
    let x: Vec<f64> =
        (0..rows).map(|i| if i % 13 == 5 { f64::NAN } else { 1e3 + (i * i % 997) as f64 }).collect();
    let weights: Vec<f64> = (0..rows).map(|i| (i % 4) as f64).collect();
    let there = || x.iter().zip(&weights).filter(|(x, w)| !x.is_nan() && **w > 0.0);
    let mean = there().map(|(x, w)| w * x).sum::<f64>() / there().map(|(_, w)| w).sum::<f64>();
    let squares: f64 = there().map(|(x, w)| w * (x - mean) * (x - mean)).sum();
    let scale = (squares / weights.iter().sum::<f64>()).sqrt();
    let data = table(vec![("x", Column::F64(x.clone().into()))]);
    let encoder = Encoder::fit(&data, &names(&data), Some(&weights), Options::default()).unwrap();
    let Step::Number { missing, mean: found, scale: found_scale, seen } = encoder.steps[0] else {
        panic!("a number")
    };
    assert!(
        (found - mean).abs() < 1e-12 * mean
            && (found_scale - scale).abs() < 1e-12 * scale
            && missing == found
    );
    assert_eq!(seen as usize, there().count());
}

/// As by columns: a number that stands for a boolean is 0 or 1.
#[test]
fn rows_of_numbers_are_checked_as_columns_are() {
    let strict = Options { impute: false, standardise: false, numbered: None };
    let flags = table(vec![("b", Column::Boolean(vec![Some(true), Some(false)].into()))]);
    let encoder = Encoder::fit(&flags, &names(&flags), None, strict).unwrap();
    let rows = |cells: Vec<f64>| {
        Dataset::by_rows(vec!["b".into()], ByRows::new(Numbers::F64(cells.into()), 1).unwrap(), vec![])
            .unwrap()
    };
    assert_eq!(encoder.encode(&rows(vec![0.0, 1.0])).unwrap(), [0.0, 1.0]);
    assert!(encoder.encode(&rows(vec![0.0, 7.0])).unwrap_err().to_string().contains("7 is not a boolean"));
}
