//! Models of other libraries, mutated at random: whatever is read also predicts, explains, describes itself and can be kept as a file of
//! ours, without a panic and without memory that its size does not account for.
//!
//! Mutant number i is a function of i alone. `make test` tries the first [`FILES`]; `TILEWISE_FUZZ_SECONDS` and `TILEWISE_FUZZ_FIRST`
//! are those of `fuzz.rs`.

use crate::counting::peak;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tilewise_base::Model;
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_models::load_bytes;

/// Mutants that `make test` tries: some seconds.
const FILES: u64 = 8000;

/// Bytes that whoever loads a mutant may hold for each byte of it: a digit and a comma become a leaf with its node, ten digits of a
/// LightGBM set 32 categories. Besides, a line of XGBoost's claims 65,536 features without names.
const LOADING: usize = 250;
const LOADING_AT_LEAST: usize = 32 << 20;
/// And whoever predicts with it and stores it; and for each of its inputs, whose descriptions become JSON.
const PREDICTING_AT_LEAST: usize = 64 << 20;
const PREDICTING_INPUT: usize = 4096;

/// A file of every model that the tests of boosting know, by its name.
pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/gbdt/tests/golden");
    let of = |library| std::fs::read_dir(folder.join(library)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = ["lightgbm", "xgboost", "catboost"].into_iter().flat_map(of).collect();
    paths.sort();
    let named = |path: PathBuf| {
        (path.strip_prefix(&folder).unwrap().display().to_string(), std::fs::read(&path).unwrap())
    };
    paths.into_iter().map(named).collect()
}

/// Networks in files of ONNX: those of others, and ours of models of tables.
fn networks() -> Vec<(String, Vec<u8>)> {
    let rooms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let folders =
        ["network/tests/golden/imported", "any/tests/golden/network"].map(|folder| rooms.join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut paths: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "onnx"));
    paths.sort();
    assert_eq!(paths.len(), 11);
    paths.into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}

/// The file with a few places changed.
fn mutant(bytes: &[u8], draw: &mut dyn FnMut(usize) -> usize) -> Vec<u8> {
    const TOKENS: [&[u8]; 24] = [
        b"-1",
        b"0",
        b"1",
        b"2",
        b"3",
        b"255",
        b"256",
        b"65536",
        b"2147483647",
        b"-2147483648",
        b"4294967295",
        b"18446744073709551615",
        b"1e999",
        b"-1e308",
        b"nan",
        b"inf",
        b"null",
        b"[]",
        b"{}",
        b"\"\"",
        b"true",
        b"[[1]]",
        b"\n",
        b"",
    ];
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + draw(3) {
        if bytes.is_empty() {
            break;
        }
        let at = draw(bytes.len());
        match draw(12) {
            0 => bytes[at] ^= 1 << draw(8),
            1 => bytes[at] = draw(256) as u8,
            2 => bytes.truncate(at),
            // A piece moves, or comes twice.
            3 => {
                let piece = bytes[at..(at + draw(60)).min(bytes.len())].to_vec();
                let to = draw(bytes.len());
                bytes.splice(to..to, piece);
            }
            // A number or word becomes another, mostly one of the file.
            kind => {
                let is_of = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
                let word = |at: usize| {
                    let start = at + bytes[at..].iter().position(is_of).unwrap_or(0);
                    start..start + bytes[start..].iter().position(|byte| !is_of(byte)).unwrap_or(0)
                };
                let token = if kind < 7 {
                    TOKENS[draw(TOKENS.len())].to_vec()
                } else {
                    bytes[word(draw(bytes.len()))].to_vec()
                };
                bytes.splice(word(at), token);
            }
        }
    }
    bytes
}

/// As [`mutant`], for files of fields whose lengths stand before them: all stays where it is.
fn flipped(bytes: &[u8], draw: &mut dyn FnMut(usize) -> usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + draw(3) {
        let at = draw(bytes.len());
        bytes[at] = match draw(3) {
            0 => bytes[at] ^ 1 << draw(8),
            1 => draw(256) as u8,
            _ => [0, 1, 127, 128, 255][draw(5)],
        };
    }
    bytes
}

fn answers_or_refuses(model: &dyn Model) {
    let (inputs, outputs) = (model.inputs().len(), model.outputs());
    let odd = [0.0, -0.0, 1.5, -2.0, 7.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1.0, 33.0];
    let cell =
        |at: usize| if at.is_multiple_of(5) { odd[at / 5 % odd.len()] } else { (at % 13) as f64 / 2.0 - 3.0 };
    for rows in if inputs > 1000 { [1, 2] } else { [1, 260] } {
        let cells: Vec<f64> = (0..rows * inputs).map(cell).collect();
        let cells = MatRef::new(&cells, rows, inputs).unwrap();
        let mut out = vec![0.0; rows * outputs];
        let predicted = model.predict(cells, None, MatMut::new(&mut out, rows, outputs).unwrap());
        // All cells are numbers; a model may refuse those of no category.
        assert!(predicted.is_ok() || predicted.unwrap_err().to_string().contains("category"));
    }
    let row: Vec<f64> = (0..inputs).map(cell).collect();
    let width = (1 + inputs) * outputs;
    let mut out = vec![0.0; width];
    let _ =
        model.contributions(MatRef::new(&row, 1, inputs).unwrap(), MatMut::new(&mut out, 1, width).unwrap());
    assert!(model.importances().unwrap().iter().all(|x| (0.0..=1.0 + 1e-9).contains(x)));
    assert!(!model.outline(0).unwrap().text(None, usize::MAX).is_empty() && !model.describe().is_empty());
    let kept = model.to_bytes().unwrap();
    assert_eq!(load_bytes(&kept).unwrap().to_bytes().unwrap(), kept);
}

/// Tries a mutant; whether it loaded.
fn tried(bytes: &[u8], answers_or_refuses: fn(&dyn Model)) -> bool {
    let (loaded, most) = peak(|| load_bytes(bytes));
    let bound = LOADING_AT_LEAST + LOADING * bytes.len();
    assert!(most <= bound, "{most} bytes to load {}", bytes.len());
    let model = match loaded {
        Ok(model) => model,
        Err(e) => {
            // Whatever the file holds is not repeated at length.
            assert!(e.to_string().len() < 1000, "{e}");
            return false;
        }
    };
    let ((), most) = peak(|| answers_or_refuses(&*model));
    let bound = PREDICTING_AT_LEAST + LOADING * bytes.len() + PREDICTING_INPUT * model.inputs().len();
    assert!(most <= bound, "{most} bytes to predict with a model of {}", bytes.len());
    true
}

#[test]
fn whatever_loads_of_mutated_foreign_files_predicts() {
    try_all(&files(), mutant, answers_or_refuses);
}

/// Cells that are missing or too large are refused by networks.
#[test]
fn whatever_loads_of_mutated_networks_of_onnx_predicts() {
    try_all(&networks(), flipped, |model| {
        crate::hostile_files::answers_or_refuses(model);
        let kept = model.to_bytes().unwrap();
        assert_eq!(load_bytes(&kept).unwrap().to_bytes().unwrap(), kept);
    });
}

type Mutate = fn(&[u8], &mut dyn FnMut(usize) -> usize) -> Vec<u8>;

/// Tries mutants of all files in turn.
fn try_all(files: &[(String, Vec<u8>)], mutant: Mutate, answers_or_refuses: fn(&dyn Model)) {
    let variable = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let limit = variable("TILEWISE_FUZZ_SECONDS").map(Duration::from_secs);
    let first = variable("TILEWISE_FUZZ_FIRST").unwrap_or(0);
    let (mut read, mut i, start) = (0, first, Instant::now());
    while limit.map_or(i - first < FILES, |limit| start.elapsed() < limit) {
        let (name, bytes) = &files[(i % files.len() as u64) as usize];
        let random = Philox::new(i, Philox::purpose("mutants of other libraries' models"));
        let mut at = 0;
        let mut draw = |n: usize| {
            at += 1;
            random.below(at, n.max(1) as u64) as usize
        };
        let mutant = mutant(bytes, &mut draw);
        // On one thread, where memory is counted.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            parallel::on_this_thread(|| tried(&mutant, answers_or_refuses))
        }));
        let Ok(loaded) = outcome else { panic!("mutant {i}, of {name}") };
        read += u64::from(loaded);
        i += 1;
    }
    println!("{} mutated files of other libraries tried, {read} read; no panic", i - first);
    // Nothing behind the checks would be tried.
    assert!(10 * read > i - first && 10 * read < 9 * (i - first), "{read} of {} read", i - first);
}
