//! Model files of every kind, mutated at random, with checksums that fit: whatever loads also predicts, explains, describes itself and
//! can be stored again, without a panic and without memory that its size does not account for.
//!
//! Mutant number i is a function of i alone, so a failure names all that is needed to see it again. `make test` tries the first
//! [`FILES`]. `TILEWISE_FUZZ_SECONDS=600`, as `make test-fuzz` sets it, goes on with the ones behind them for as long, and
//! `TILEWISE_FUZZ_FIRST` says where it begins.

use crate::counting::peak;
use crate::hostile_files::answers_or_refuses;
use crate::surgery::{Parts, Tensor, resummed};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};
use tilewise_base::{Column, Context, Dataset, Roles};
use tilewise_kernels::parallel;
use tilewise_kernels::random::Philox;
use tilewise_models::{Settings, load_bytes, train};

/// Mutants that `make test` tries: some seconds.
const FILES: u64 = 20_000;

/// Bytes that whoever loads a mutant may hold for each byte of it. JSON costs most: a digit and a comma become a number.
const LOADING: usize = 60;
/// And whoever predicts with it: tables of codes, which have up to 512 kB for each column, and scratch.
const PREDICTING: usize = 60;
const PREDICTING_AT_LEAST: usize = 32 << 20;

/// Numbers, truths and categories, of all of which some are missing; a number, counts, classes and weights to learn.
fn table() -> Dataset {
    let random = Philox::new(11, Philox::purpose("table of mutants"));
    let rows = 80;
    let below = |column: u64, row: usize, n: u64| random.below(column * 1000 + row as u64, n);
    let number = |column: u64| {
        let cell = |row| match below(column, row, 9) {
            0 => f64::NAN,
            x => x as f64 / 4.0 + random.uniform(column * 1000 + 500 + row as u64),
        };
        Column::F64((0..rows).map(cell).collect())
    };
    let text = |column: u64, words: &[&str], missing: bool| {
        let code = |row| match below(column, row, words.len() as u64 + u64::from(missing)) {
            code if code == words.len() as u64 => u32::MAX,
            code => code as u32,
        };
        let dictionary = words.iter().map(|&word| word.to_owned()).collect();
        Column::Categorical { codes: (0..rows).map(code).collect(), dictionary }
    };
    let of = |f: &dyn Fn(usize) -> f64| Column::F64((0..rows).map(f).collect());
    let columns = [
        ("height", number(0)),
        ("width", number(1)),
        ("colour", text(2, &["amber", "blue", "coral", "drab", "ecru"], true)),
        ("shape", text(3, &["ball", "cube"], false)),
        ("class", text(4, &["no", "perhaps", "yes"], false)),
        ("two", text(5, &["no", "yes"], false)),
        ("y", of(&|row| below(6, row, 50) as f64 / 7.0)),
        ("z", of(&|row| below(8, row, 9) as f64)),
        ("weight", of(&|row| below(7, row, 4) as f64 + 0.5)),
    ];
    Dataset::new(columns.into_iter().map(|(name, column)| (name.to_owned(), column)).collect()).unwrap()
}

/// A file of every kind of model.
fn models() -> Vec<(String, Vec<u8>)> {
    let trees: &[&str] = &["trees=4", "max_leaves=12"];
    let cases: [(&str, &str, &[&str]); 34] = [
        ("network", "y", &["epochs=2", "hidden=5"]),
        ("network", "class", &["epochs=2", "hidden=6,4", "dropout=0.2", "activation=leaky-relu"]),
        ("network", "class", &["epochs=1", "hidden=4", "embedding=3", "embedding_width=2"]),
        ("network", "y,z", &["epochs=2", "hidden=4"]),
        ("network", "class", &["optimiser=lbfgs", "epochs=3", "hidden=4", "precision=double"]),
        ("linear", "y", &[]),
        ("ridge", "y", &["alpha=2"]),
        ("logistic", "two", &[]),
        ("lasso", "y", &["alpha=0.1"]),
        ("elastic-net", "y", &["alphas=5", "folds=3"]),
        ("tweedie", "z", &["alpha=0.1"]),
        ("group-lasso", "y", &["alpha=0.01"]),
        ("group-lasso", "z", &["alpha=0.01", "loss=poisson"]),
        ("huber", "y", &["scale=1", "solver=sgd", "max_rounds=2"]),
        ("huber", "y", &["alpha=0.1"]),
        ("quantile", "y", &["quantile=0.8", "alpha=0.01"]),
        ("logistic", "class", &[]),
        ("tree", "y", &["unseen=majority"]),
        ("tree", "class", &["unseen=error", "growth=oblivious", "max_depth=3"]),
        ("tree", "two", &["monotone=height:up", "ccp_alpha=0.001"]),
        ("tree", "y", &["criterion=poisson", "max_features=2", "max_depth=9"]),
        ("forest", "class", &["trees=4", "out_of_bag=true", "unseen=majority"]),
        ("forest", "y", trees),
        ("forest", "y", &["trees=3", "quantiles=0.1,0.5,1", "unseen=error"]),
        ("extra-trees", "y", &["trees=3", "quantiles=0.5"]),
        ("extra-trees", "two", trees),
        ("isolation-forest", "", &["trees=4", "subsample=30", "contamination=0.1", "unseen=majority"]),
        ("isolation-forest", "", &["trees=3", "subsample=9"]),
        ("tree", "y,z", &["unseen=majority"]),
        ("forest", "y,z", trees),
        ("gbdt", "y", &["stages=4", "min_samples_leaf=2", "loss=absolute", "unseen=majority"]),
        (
            "gbdt",
            "class",
            &["stages=3", "min_samples_leaf=3", "growth=oblivious", "max_depth=3", "unseen=error"],
        ),
        (
            "gbdt",
            "two",
            &["stages=9", "early_stopping=2", "validation=0.3", "monotone=height:up", "min_samples_leaf=3"],
        ),
        ("gbdt", "z", &["stages=3", "loss=poisson", "interactions=height,colour", "subsample=0.8"]),
    ];
    let data = table();
    let model = |(family, target, settings): (&str, &str, &[&str])| {
        let others = ["class", "two", "y", "z"]
            .into_iter()
            .filter(|name| !target.split(',').any(|part| part == *name));
        let roles = Roles {
            targets: target.split(',').filter(|name| !name.is_empty()).map(String::from).collect(),
            weight: Some("weight".into()),
            ignore: others.map(String::from).collect(),
            ..Roles::default()
        };
        let parsed = Settings::parse(settings).unwrap();
        let model = train(family, &data, &roles, &parsed, &Context::default()).unwrap();
        (format!("{family} {target} {}", settings.join(" ")), model.to_bytes().unwrap())
    };
    let models: Vec<_> = cases.map(model).to_vec();
    // The same networks with weights of 8 bits.
    let quantised = |(name, bytes): &(String, Vec<u8>)| {
        let model = load_bytes(bytes).unwrap().quantised(&data, &Context::default()).unwrap();
        (format!("quantised {name}"), model.to_bytes().unwrap())
    };
    let quantised: Vec<_> =
        models.iter().filter(|(name, _)| name.starts_with("network")).map(quantised).collect();
    models.into_iter().chain(quantised).chain(more_models()).chain(imported()).collect()
}

/// Models of other libraries as we keep them: numbers, classes, categories that are numbers and text, cells of 0 that are missing.
fn imported() -> Vec<(String, Vec<u8>)> {
    let kept = [
        "lightgbm/pandas.txt",
        "lightgbm/zero-as-missing.txt",
        "xgboost/categories-multi.json",
        "catboost/categories.json",
    ];
    let of = |(name, bytes): (String, Vec<u8>)| {
        let model = kept.contains(&name.as_str()).then(|| load_bytes(&bytes).unwrap())?;
        Some((name, model.to_bytes().unwrap()))
    };
    let models: Vec<_> = crate::fuzz_foreign::files().into_iter().filter_map(of).collect();
    assert_eq!(models.len(), kept.len());
    // Networks of ONNX, whose layers are told by themselves.
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/network/tests/golden/imported");
    let network = |name: &str| {
        let model = load_bytes(&std::fs::read(golden.join(name)).unwrap()).unwrap();
        (name.to_owned(), model.to_bytes().unwrap())
    };
    models.into_iter().chain(["rows.onnx", "functions.onnx"].map(network)).collect()
}

/// Trees that start from more values: one for each leaf, and cells whose codes are two bytes.
fn more_models() -> Vec<(String, Vec<u8>)> {
    let random = Philox::new(12, Philox::purpose("more values than a byte tells"));
    let column = |first: u64| Column::F64((0..400).map(|row| random.uniform(1000 * first + row)).collect());
    let columns = [("x", column(0)), ("y", column(1))].map(|(name, column)| (name.to_owned(), column));
    let data = Dataset::new(columns.to_vec()).unwrap();
    let cases: [(&str, &[&str]); 2] =
        [("absolute", &["criterion=absolute", "max_leaves=40"]), ("exact", &["max_bins=exact"])];
    let model = |(name, settings): (&str, &[&str])| {
        let settings = Settings::parse(settings).unwrap();
        let model = train("tree", &data, &Roles::target("y"), &settings, &Context::default()).unwrap();
        // Every row has a leaf of its own, so there are more than 255 thresholds.
        let leaves = model.outline(0).unwrap().nodes.iter().filter(|node| node.split.is_none()).count();
        assert_eq!(leaves, if name == "exact" { 400 } else { 40 });
        (format!("tree y {name}"), model.to_bytes().unwrap())
    };
    cases.map(model).to_vec()
}

/// Random numbers of one mutant.
struct Draw {
    random: Philox,
    at: u64,
}

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.at += 1;
        self.random.below(self.at, n.max(1) as u64) as usize
    }
    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Flips bits and writes bytes anywhere.
fn damaged(bytes: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=draw.below(6) {
        let at = draw.below(bytes.len());
        bytes[at] = match draw.below(3) {
            0 => bytes[at] ^ 1 << draw.below(8),
            1 => *draw.one_of(b"0123456789-.e,:[]{}\" tfn"),
            _ => *draw.one_of(&[0, 1, 127, 128, 255]),
        };
    }
    bytes
}

/// Leaves bytes out, at the end or in the middle.
fn cut(bytes: &[u8], draw: &mut Draw) -> Vec<u8> {
    let end = bytes.len() - 16;
    let first = draw.below(end);
    let last = if draw.below(2) == 0 { end } else { end.min(first + 1 + draw.below(64)) };
    [&bytes[..first], &bytes[last..]].concat()
}

/// Changes a number of a tensor.
fn renumbered(tensor: &mut Tensor, draw: &mut Draw) {
    let width = if tensor.dtype == "F64" { 8 } else { 4 };
    let count = tensor.data.len() / width;
    if count == 0 {
        return;
    }
    let (at, other) = (draw.below(count) * width, draw.below(count) * width);
    // Numbers are mostly changed by little, so that they pass the first checks.
    let new: Vec<u8> = match (draw.below(5).saturating_sub(1), width) {
        (0, _) => tensor.data[other..other + width].to_vec(),
        (1, 8) => {
            let x = f64::from_le_bytes(*tensor.data[at..].first_chunk().expect("8 bytes"));
            draw.one_of(&[-x, x.next_up(), x * 1e9, x + 1.0]).to_le_bytes().to_vec()
        }
        (1, _) => {
            let x = u32::from_le_bytes(*tensor.data[at..].first_chunk().expect("4 bytes"));
            let all = [x ^ 1, x.wrapping_add(1), x.wrapping_sub(1), x << 1, x.wrapping_add(1000)];
            draw.one_of(&all).to_le_bytes().to_vec()
        }
        (_, 8) => {
            let all = [
                0.0,
                -0.0,
                1.0,
                -1.0,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::MAX,
                f64::MIN,
                5e-324,
            ];
            draw.one_of(&all).to_le_bytes().to_vec()
        }
        _ => {
            let all = [0, 1, 2, 3, 4, 5, 7, 254, 255, 256, count as u32, u32::MAX, u32::MAX - 1, 1 << 31];
            draw.one_of(&all).to_le_bytes().to_vec()
        }
    };
    tensor.data[at..at + width].copy_from_slice(&new);
}

/// Changes how many numbers a tensor has, or says it has.
fn resized(tensor: &mut Tensor, draw: &mut Draw) {
    if tensor.shape.is_empty() {
        return;
    }
    let dimension = draw.below(tensor.shape.len());
    let length = tensor.shape[dimension];
    tensor.shape[dimension] = match draw.below(6) {
        0 => length.saturating_add(1),
        1 => length.saturating_sub(1),
        2 => 0,
        3 => length.saturating_mul(2),
        4 => length / 2,
        _ => *draw.one_of(&[1, 1 << 20, 1 << 32, 1 << 62, u64::MAX]),
    };
    let size =
        tensor.shape.iter().copied().fold(if tensor.dtype == "F64" { 8 } else { 4 }, u64::saturating_mul);
    if size < 1 << 16 && draw.below(4) > 0 {
        let old = tensor.data.clone();
        tensor.data =
            (0..size as usize).map(|i| old.get(i % old.len().max(1)).copied().unwrap_or(0)).collect();
    }
}

/// Every place of a document, as the steps to it.
fn places(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| places(item, &format!("{here}/{i}"), all));
        }
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            places(item, &format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")), all);
        }),
        _ => {}
    }
}

/// Changes the metadata at one place.
fn edited(metadata: &mut Value, other: &Value, draw: &mut Draw) {
    let mut all = Vec::new();
    places(metadata, "", &mut all);
    let place = draw.one_of(&all).clone();
    let from = draw.one_of(&all).clone();
    let elsewhere = metadata.pointer(&from).cloned().unwrap_or_default();
    let of_other = other.pointer(&place).cloned().unwrap_or_default();
    let odd = [
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(-1),
        json!(0.5),
        json!(255),
        json!(1e308),
        json!(u64::MAX),
        json!(4294967295_u64),
        json!(""),
        json!("tree"),
        json!("majority"),
        json!("error"),
        json!([]),
        json!({}),
        json!(vec![255; 300]),
        json!([[[[[[[[]]]]]]]]),
    ];
    let Some(value) = metadata.pointer_mut(&place) else { return };
    match (draw.below(6), &mut *value) {
        (0, _) => *value = elsewhere,
        (1, _) => *value = of_other,
        (2 | 3, Value::Array(items)) if !items.is_empty() => {
            let (i, j) = (draw.below(items.len()), draw.below(items.len()));
            match draw.below(4) {
                0 => items.swap(i, j),
                1 => items.insert(i, items[j].clone()),
                2 => items[i] = items[j].clone(),
                _ => drop(items.remove(i)),
            }
        }
        (2 | 3, Value::Object(map)) => {
            let keys: Vec<String> = map.keys().cloned().collect();
            if !keys.is_empty() {
                let key = draw.one_of(&keys);
                map.remove(key);
            }
        }
        (2 | 3, Value::Number(number)) => {
            let x = number.as_f64().unwrap_or(0.0);
            *value = match number.as_i64() {
                Some(x) => json!(draw.one_of(&[x.wrapping_add(1), x.wrapping_sub(1), -x, x.wrapping_mul(2)])),
                None => json!(draw.one_of(&[-x, x * 2.0, x / 3.0, x * 1e300])),
            };
        }
        _ => *value = draw.one_of(&odd).clone(),
    }
}

/// Changes parts, of which some may come from another model.
fn reassembled(bytes: &[u8], other: &[u8], draw: &mut Draw) -> Vec<u8> {
    let (mut parts, other) = (Parts::of(bytes), Parts::of(other));
    for _ in 0..=draw.below(4).saturating_sub(1) {
        if parts.tensors.is_empty() {
            break;
        }
        let (i, j) = (draw.below(parts.tensors.len()), draw.below(parts.tensors.len()));
        match draw.below(16) {
            0 => {
                let data = std::mem::take(&mut parts.tensors[i].data);
                parts.tensors[i].data = std::mem::replace(&mut parts.tensors[j].data, data);
            }
            1 => {
                let name = std::mem::take(&mut parts.tensors[i].name);
                parts.tensors[i].name = std::mem::replace(&mut parts.tensors[j].name, name);
            }
            2 => drop(parts.tensors.remove(i)),
            3 => {
                let tensor = draw.one_of(&other.tensors).clone();
                parts.tensors.retain(|old| old.name != tensor.name);
                parts.tensors.push(tensor);
            }
            4 => {
                parts.tensors[i].dtype = (*draw.one_of(&["F64", "F32", "U32", "I32", "U8", "I8"])).to_owned()
            }
            5 | 6 => resized(&mut parts.tensors[i], draw),
            7..=10 => renumbered(&mut parts.tensors[i], draw),
            _ => edited(&mut parts.metadata, &other.metadata, draw),
        }
    }
    parts.to_bytes()
}

/// The model that mutant number `i` is made of, and its bytes.
fn mutant(models: &[(String, Vec<u8>)], i: u64) -> (usize, Vec<u8>) {
    let mut draw = Draw { random: Philox::new(i, Philox::purpose("mutants")), at: 0 };
    let which = (i % models.len() as u64) as usize;
    let bytes = &models[which].1;
    let other = draw.below(models.len());
    (
        which,
        match draw.below(8) {
            0 => resummed(damaged(bytes, &mut draw)),
            1 => resummed(cut(bytes, &mut draw)),
            _ => reassembled(bytes, &models[other].1, &mut draw),
        },
    )
}

/// Tries a mutant; whether it loaded.
fn tried(bytes: &[u8]) -> bool {
    let (loaded, most) = peak(|| load_bytes(bytes));
    assert!(most <= LOADING * bytes.len(), "{most} bytes to load {}", bytes.len());
    let Ok(model) = loaded else { return false };
    let ((), most) = peak(|| answers_or_refuses(&*model));
    let bound = PREDICTING_AT_LEAST + PREDICTING * bytes.len();
    assert!(most <= bound, "{most} bytes to predict with a model of {}", bytes.len());
    true
}

#[test]
fn whatever_loads_of_mutated_files_predicts() {
    let variable = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let limit = variable("TILEWISE_FUZZ_SECONDS").map(Duration::from_secs);
    let first = variable("TILEWISE_FUZZ_FIRST").unwrap_or(0);
    let models = models();
    let (mut counts, mut i, start) = (vec![(0_u64, 0_u64); models.len()], first, Instant::now());
    while limit.map_or(i - first < FILES, |limit| start.elapsed() < limit) {
        let (which, bytes) = mutant(&models, i);
        // On one thread, where memory is counted.
        let outcome = catch_unwind(AssertUnwindSafe(|| parallel::on_this_thread(|| tried(&bytes))));
        let Ok(loaded) = outcome else { panic!("mutant {i}, of {}", models[which].0) };
        counts[which].0 += 1;
        counts[which].1 += u64::from(loaded);
        i += 1;
    }
    let sum = |f: fn(&(u64, u64)) -> u64| counts.iter().map(f).sum::<u64>();
    println!("{} mutated model files tried, {} loaded; no panic", sum(|c| c.0), sum(|c| c.1));
    for ((name, _), (tried, loaded)) in models.iter().zip(&counts) {
        println!("  {loaded:>8} of {tried:>8} loaded: {name}");
        // Nothing behind the checks would be tried.
        assert!(20 * loaded > *tried && 10 * loaded < 9 * *tried, "{name}: {loaded} of {tried} loaded");
    }
}
