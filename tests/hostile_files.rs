//! Damaged model files: an error each time, and no more memory than twice the file.

use crate::binary::{Folder, embedded};
use crate::counting::peak;
use crate::surgery::{Parts, Tensor, header_length, resummed};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tilewise_base::{Context, Model, Roles};
use tilewise_data::{ReadOptions, read};
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::Node;
use tilewise_kernels::{MatMut, MatRef, parallel};
use tilewise_models::{Settings, load, load_bytes, map, train};

/// Room for what does not grow with the file: a path, an error's text, a reader's state.
const SLACK: usize = 16 * 1024;

fn models() -> Vec<(&'static str, Vec<u8>)> {
    // Without a target for those that need none.
    let cases: [(_, _, _, &[&str]); 23] = [
        ("linear", "diabetes", Some("progression"), &[]),
        ("logistic", "breast_cancer", Some("diagnosis"), &[]),
        ("logistic", "digits", Some("digit"), &[]),
        ("tree", "iris", Some("species"), &[]),
        ("forest", "iris", Some("species"), &[]),
        ("forest", "diabetes", Some("progression"), &["trees=4", "quantiles=0.1,0.9", "max_leaves=50"]),
        ("isolation-forest", "iris", None, &["trees=10", "subsample=40", "contamination=0.1"]),
        ("extra-trees", "iris", Some("species"), &["trees=5"]),
        ("forest", "diabetes", Some("progression,bmi"), &["trees=3", "max_leaves=50"]),
        ("gbdt", "diabetes", Some("progression"), &["stages=4"]),
        ("gbdt", "iris", Some("species"), &["stages=3", "early_stopping=2", "validation=0.3"]),
        ("gbdt", "breast_cancer", Some("diagnosis"), &["stages=3", "growth=oblivious", "max_depth=3"]),
        ("network", "iris", Some("species"), &["epochs=2", "hidden=9,5", "dropout=0.1"]),
        ("network", "diabetes", Some("progression"), &["epochs=2", "hidden=7", "activation=gelu"]),
        ("network", "iris", Some("sepal_length"), &["epochs=1", "hidden=5", "embedding=2"]),
        ("network", "iris", Some("sepal_length,petal_width"), &["epochs=1", "hidden=4", "precision=double"]),
        ("huber", "diabetes", Some("progression"), &[]),
        ("group-lasso", "diabetes", Some("progression"), &["groups=bmi,bp"]),
        ("group-lasso", "breast_cancer", Some("diagnosis"), &["groups=mean_radius,mean_area"]),
        ("ridge", "diabetes", Some("progression"), &["lower=bmi:0", "upper=bp:3,bmi:9"]),
        ("logistic", "breast_cancer", Some("diagnosis"), &["solver=sgd", "max_rounds=3"]),
        ("quantile", "diabetes", Some("progression"), &["alpha=0.1"]),
        ("network", "digits", Some("digit"), &["epochs=1", "image=1x8x8", "layers=conv2x3,norm,pool2,4"]),
    ];
    let model = |(family, data, target, settings): (&str, _, Option<&str>, _)| {
        let table = read(embedded(&format!("{data}.csv")), &ReadOptions::default()).unwrap();
        let roles = Roles {
            targets: target.iter().flat_map(|names| names.split(',')).map(String::from).collect(),
            ..Roles::default()
        };
        let settings = Settings::parse(settings).unwrap();
        let mut model = train(family, &table, &roles, &settings, &Context::default()).unwrap();
        if family == "network" && data != "iris" {
            // Weights of 8 bits: of dense layers, and of a convolution.
            model = model.quantised(&table, &Context::default()).unwrap();
        }
        (data, model.to_bytes().unwrap())
    };
    // Of the first layout of trees.
    let old = [
        ("old classes", &include_bytes!("../models/any/tests/golden/export/forest-classes.safetensors")[..]),
        ("old categories", include_bytes!("../models/any/tests/golden/export/categories.safetensors")),
    ];
    cases.map(model).into_iter().chain(old.map(|(name, bytes)| (name, bytes.to_vec()))).collect()
}

/// Loads damaged bytes, from a file too.
fn refused(what: &str, bytes: &[u8], file: Option<&str>) {
    let bound = 2 * bytes.len() + SLACK;
    let (result, most) = peak(|| load_bytes(bytes).map(|_| ()));
    assert!(result.is_err() && most <= bound, "{what}: {result:?}, {most} bytes allocated of {bound}");
    if let Some(file) = file {
        fs::write(file, bytes).unwrap();
        let (result, most) = peak(|| load(file).map(|_| ()));
        let error = result.expect_err(what).to_string();
        assert!(error.contains(file) && most <= bound, "{what}: {error}, {most} bytes allocated of {bound}");
    }
}

#[test]
fn cut_files_are_refused() {
    let folder = Folder::new("cut");
    for (name, bytes) in models() {
        for percent in 0..100 {
            let length = bytes.len() * percent / 100;
            refused(
                &format!("{name} cut at {length}"),
                &bytes[..length],
                Some(&folder.path("cut.safetensors")),
            );
        }
        for end in 1..=64 {
            refused(&format!("{name} without {end}"), &bytes[..bytes.len() - end], None);
        }
        refused(&format!("{name} and more"), &[&bytes[..], &[0]].concat(), None);
        assert!(load_bytes(&bytes).is_ok(), "{name} whole");
    }
}

#[test]
fn flipped_bits_are_refused() {
    let folder = Folder::new("flip");
    let draw = Philox::new(1, Philox::purpose("bit flips"));
    let models = models();
    for i in 0..10_000u64 {
        let (name, bytes) = &models[(i / 2 % models.len() as u64) as usize];
        let mut bytes = bytes.clone();
        // Half of the flips hit the header, where lengths and shapes are.
        let within = if i % 2 == 0 { bytes.len() } else { bytes.len().min(1024) };
        let bit = draw.below(i, within as u64 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let file = (i % 101 == 0).then(|| folder.path("flip.safetensors"));
        refused(&format!("{name} with bit {bit} flipped"), &bytes, file.as_deref());
    }
}

/// Whatever loads answers or refuses, and can be written and described.
pub(crate) fn answers_or_refuses(model: &dyn Model) {
    // As many rows as the engines that code cells want, and few; some are missing, some categories unknown.
    let (inputs, outputs) = (model.inputs().len(), model.outputs());
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -7.5, 255.0];
    let cell = |i: usize| if i % 11 == 5 { odd[i / 11 % odd.len()] } else { (i % 8) as f64 - 1.0 };
    for rows in [3, 260] {
        let cells: Vec<f64> = (0..rows * inputs).map(cell).collect();
        let cells = MatRef::new(&cells, rows, inputs).unwrap();
        let mut out = vec![0.0; rows * outputs];
        let _ = model.predict(cells, None, MatMut::new(&mut out, rows, outputs).unwrap());
    }
    // Rows alone, since a model that refuses one of a batch answers none; between the thresholds of small numbers.
    let mut out = vec![0.0; outputs];
    for row in 0..60 {
        let cells: Vec<f64> =
            (0..inputs).map(|j| ((row * (row + 7 * j + 3)) % 29) as f64 / 6.0 - 0.1).collect();
        let cells = MatRef::new(&cells, 1, inputs).unwrap();
        let _ = model.predict(cells, None, MatMut::new(&mut out, 1, outputs).unwrap());
    }
    let row: Vec<f64> = (0..inputs).map(cell).collect();
    let width = (1 + inputs) * outputs;
    let mut out = vec![0.0; width];
    let row_of_cells = MatRef::new(&row, 1, inputs).unwrap();
    let _ = model.contributions(row_of_cells, MatMut::new(&mut out, 1, width).unwrap());
    if let Ok(importances) = model.importances() {
        assert!(importances.len() == inputs && importances.iter().all(|x| (0.0..=1.0 + 1e-9).contains(x)));
    }
    if let Ok(outline) = model.outline(0) {
        assert!(!outline.text(None, usize::MAX).is_empty());
        if let Ok(path) = model.path(&row) {
            assert_eq!(outline.way(&row, &path).len(), path.len());
        }
    }
    assert!(model.to_bytes().is_ok() && !model.describe().is_empty());
}

#[test]
fn damage_with_a_right_checksum_is_refused_or_harmless() {
    const LETTERS: &[u8] = b"0123456789abcz-.,:{}[]\"\\ \0";
    let draw = Philox::new(2, Philox::purpose("damage"));
    let folder = Folder::new("mapped");
    let mut loaded = 0;
    for (name, bytes) in models() {
        assert_eq!(resummed(bytes.clone()), bytes);
        let header = header_length(&bytes) as u64;
        for i in 0..3000u64 {
            let mut damaged = bytes.clone();
            // One to three bytes, of the header three times of four, become other digits or letters.
            for j in 0..=draw.below(8 * i, 3) {
                let within = if i % 4 == 0 { bytes.len() as u64 } else { header };
                let at = draw.below(8 * i + 2 * j + 1, within) as usize;
                damaged[at] = LETTERS[draw.below(8 * i + 2 * j + 2, LETTERS.len() as u64) as usize];
            }
            let damaged = resummed(damaged);
            let (result, most) = peak(|| load_bytes(&damaged));
            assert!(most < 40 * bytes.len(), "{name}, damage {i}: {most} bytes for {}", bytes.len());
            if i % 10 == 0 {
                // One that is mapped is checked as well.
                let path = folder.path("mapped");
                let _ = fs::remove_file(&path);
                fs::write(&path, &damaged).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
                let mapped = map(&path);
                assert_eq!(mapped.is_ok(), result.is_ok(), "{name}, damage {i}");
                if let Ok(model) = mapped {
                    answers_or_refuses(&*model);
                }
            }
            let Ok(model) = result else { continue };
            loaded += 1;
            answers_or_refuses(&*model);
        }
    }
    // Most damage that loads hit a digit of a number.
    assert!(loaded > 100, "{loaded} loaded: nothing behind the checksum was tried");
}

/// A file says cheaply that there are very many trees: one of a single leaf is 32 bytes. What predicts must not take much for each.
#[test]
fn very_many_trees_of_one_leaf_predict_in_little_memory() {
    const TREES: u32 = 50_000;
    /// Bytes for each tree, which took 8.5 kB when each began with a table for 1,024 values.
    const EACH: usize = 512;
    // One of the first layout and one of today's.
    for old in [true, false] {
        let file = of_single_leaves(TREES, old);
        let model = load_bytes(&file).unwrap();
        let inputs = model.inputs().len();
        for rows in [1, 300] {
            let (cells, mut out) = (vec![1.0; rows * inputs], vec![0.0; rows]);
            let cells = MatRef::new(&cells, rows, inputs).unwrap();
            let predict = || model.predict(cells, None, MatMut::new(&mut out, rows, 1).unwrap());
            let (done, most) = peak(|| parallel::on_this_thread(predict));
            done.unwrap();
            assert!(out.iter().all(|mean| *mean == 0.5), "{out:?}");
            assert!(most <= EACH * TREES as usize, "{most} bytes to predict {rows} rows by {TREES} leaves");
        }
    }
}

/// A forest of so many trees that are a leaf each, which predict 0 and 1 in turn.
fn of_single_leaves(trees: u32, old: bool) -> Vec<u8> {
    fn bytes<const N: usize>(numbers: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
        numbers.flatten().collect()
    }
    let (_, file) = &models()[5];
    let mut parts = Parts::of(file);
    let count = u64::from(trees);
    let numbers = || bytes((0..trees).map(|tree| f64::from(tree % 2).to_le_bytes()));
    let ones = || bytes((0..trees).map(|_| 1_u32.to_le_bytes()));
    let leaf = |tree: u32| Node::leaf(tree as usize).unwrap().words().map(u64::to_le_bytes);
    let starts = bytes((0..=trees).map(u32::to_le_bytes));
    let weights = bytes((0..trees).map(|_| 1_f64.to_le_bytes()));
    let shared = [
        ("starts", "U32", vec![count + 1], starts),
        ("weights", "F64", vec![count], weights),
        ("gains", "F64", vec![0], vec![]),
    ];
    let others = if old {
        vec![
            // No right child, and one row.
            ("nodes", "U32", vec![count, 2], bytes((0..trees).map(|_| [0, 0, 0, 0, 1, 0, 0, 0]))),
            ("values", "F64", vec![count, 1], numbers()),
            ("features", "U32", vec![0], vec![]),
            ("thresholds", "F64", vec![0], vec![]),
            ("sets", "U32", vec![0, 8], vec![]),
        ]
    } else {
        vec![
            ("nodes", "U64", vec![count, 2], bytes((0..trees).flat_map(leaf))),
            ("leaves", "F64", vec![count, 1], numbers()),
            ("rows", "U32", vec![count], ones()),
            ("values", "F64", vec![0, 1], vec![]),
            ("sets", "U64", vec![0, 4], vec![]),
        ]
    };
    let tensor = |(name, dtype, shape, data): (&str, &str, _, _)| Tensor {
        name: name.into(),
        dtype: dtype.into(),
        shape,
        data,
    };
    parts.tensors = shared.into_iter().chain(others).map(tensor).collect();
    parts.metadata["params"]["trees"] = trees.into();
    parts.metadata["params"]["quantiles"] = serde_json::json!([]);
    parts.metadata["task"] = serde_json::json!({"task": "regression"});
    parts.metadata["numbers"] = Value::Null;
    parts.to_bytes()
}

/// Leaves that trees share would be stored once, and taken out for each.
#[test]
fn trees_that_share_what_their_leaves_predict_are_refused() {
    let mut parts = Parts::of(&of_single_leaves(1000, false));
    assert!(load_bytes(&parts.to_bytes()).is_ok());
    for tensor in &mut parts.tensors {
        if tensor.name == "leaves" {
            (tensor.shape, tensor.data) = (vec![999, 1], vec![0; 999 * 8]);
        }
        if tensor.name == "nodes" {
            tensor.data = Node::leaf(0).unwrap().words().map(u64::to_le_bytes).concat().repeat(1000);
        }
    }
    let message = load_bytes(&parts.to_bytes()).err().unwrap().to_string();
    assert!(message.contains("1000 trees share 999 values"), "{message}");
}

/// A message of two bytes takes more than a hundred of memory.
#[test]
fn files_of_onnx_with_very_many_empty_parts_are_refused() {
    const MANY: usize = 200_000;
    let key = |field: u8| (field << 3) | 2;
    let inside = |field: u8, bytes: Vec<u8>| {
        // Lengths of four times seven bits.
        let length = [0, 7, 14, 21].map(|shift| (bytes.len() >> shift) as u8 & 127 | 128);
        [&[key(field)][..], &length[..3], &[length[3] & 127], &bytes].concat()
    };
    let many = |field: u8| [key(field), 0].repeat(MANY);
    let graph = |bytes| inside(7, bytes);
    let node = |bytes| graph(inside(1, bytes));
    let shape = |bytes| graph(inside(11, inside(2, inside(1, inside(2, bytes)))));
    let cases = [
        ("attributes", node(many(5))),
        ("inputs of a node", node(many(1))),
        ("texts of an attribute", node(inside(5, many(9)))),
        ("nodes", graph(many(1))),
        ("tensors", graph(many(5))),
        ("inputs", graph(many(11))),
        ("dimensions", shape(many(1))),
        ("operators", many(8)),
        ("metadata", [graph(Vec::new()), many(14)].concat()),
    ];
    for (what, bytes) in cases {
        let bytes = [&[0x08, 9][..], &bytes].concat();
        refused(what, &bytes, None);
        let told = load_bytes(&bytes).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(told.contains("of memory"), "{what}: {told}");
    }
}

/// A model file with parts that do not fit each other, written as models are.
#[test]
fn parts_that_do_not_fit_are_refused() {
    type Change<'a> = &'a dyn Fn(&mut Value);
    let models = models();
    let edit = |i: usize, change: Change<'_>| {
        let mut parts = Parts::of(&models[i].1);
        change(&mut parts.metadata);
        parts.to_bytes()
    };
    assert!(load_bytes(&edit(0, &|_| ())).is_ok());
    let cases: [(usize, &str, Change<'_>); 36] = [
        (0, "inputs are called", &|m| m["encoder"]["inputs"][1] = m["encoder"]["inputs"][0].clone()),
        (0, "no column with a value", &|m| {
            m["encoder"]["inputs"] = Vec::<Value>::new().into();
            m["encoder"]["steps"] = Vec::<Value>::new().into();
        }),
        (0, "its task is not", &|m| m["kind"] = "logistic".into()),
        (1, "its task is not", &|m| m["kind"] = "ridge".into()),
        (1, "its task is not", &|m| m["task"] = serde_json::json!({"task": "regression"})),
        (4, "numbers of its trees", &|m| m["numbers"] = serde_json::json!([3, 1])),
        (4, "16 hexadecimal digits", &|m| m["table"] = "+0".into()),
        (5, "task is not that of its quantiles", &|m| m["task"] = serde_json::json!({"task": "regression"})),
        (4, "task is not that of its quantiles", &|m| m["params"]["quantiles"] = serde_json::json!([0.5])),
        (6, "trees cannot have seen", &|m| m["sampled"] = 41.into()),
        (6, "without a share", &|m| m["task"]["threshold"] = Value::Null),
        (8, "its task is not", &|m| m["task"]["names"] = serde_json::json!(["bmi", "bmi"])),
        (8, "its task is not", &|m| m["task"]["names"] = serde_json::json!(["bmi"])),
        (8, "its task is not", &|m| m["params"]["tree"]["criterion"] = "absolute".into()),
        (8, "leaves", &|m| m["task"]["names"] = serde_json::json!(["a", "b", "c"])),
        (0, "its task is not", &|m| m["task"] = serde_json::json!({"task": "outputs", "names": ["a", "a"]})),
        (0, "\"coefficients\"", &|m| m["task"] = serde_json::json!({"task": "outputs", "names": ["a", "b"]})),
        (2, "known are", &|m| m["kind"] = "stranger".into()),
        (18, "parameter alpha", &|m| m["params"]["alpha"] = serde_json::json!(-1)),
        (17, "of groups a number", &|m| {
            m["params"]["loss"] = serde_json::json!({"deviance": {"normal": "identity"}});
        }),
        (19, "parameter columns", &|m| m["params"]["columns"][0]["column"] = 999.into()),
        (20, "parameter alpha", &|m| m["params"]["alpha"] = serde_json::json!(-5)),
        (9, "2 bases and its loss 1", &|m| m["base"] = serde_json::json!([1, 2])),
        (9, "0 bases and its loss 1", &|m| m["base"] = serde_json::json!([])),
        (9, "4 trees", &|m| m["params"]["stages"] = 3.into()),
        (9, "parameter stages", &|m| m["params"]["stages"] = 0.into()),
        (9, "parameter learning_rate", &|m| m["params"]["learning_rate"] = 2.into()),
        (9, "parameter l2", &|m| m["params"]["penalty"]["l2"] = serde_json::json!(-1)),
        (9, "16 hexadecimal digits", &|m| m["table"] = "+000000000000000".into()),
        (9, "loss", &|m| m["params"]["loss"] = "logistic".into()),
        (9, "boosted trees predict", &|m| {
            m["task"] = serde_json::json!({"task": "outputs", "names": ["a", "b"]});
        }),
        (9, "max_bins", &|m| m["max_bins"] = 1.into()),
        (10, "9 trees for 2", &|m| {
            m["task"]["classes"] = serde_json::json!(["a", "b"]);
            m["params"]["loss"] = "softmax".into();
            m["base"] = serde_json::json!([0, 0]);
        }),
        (10, "scores", &|m| m["task"]["classes"] = serde_json::json!(["a", "b", "c", "d"])),
        (10, "stages", &|m| m["validation"] = serde_json::json!([])),
        (11, "inputs are called", &|m| m["inputs"][1] = m["inputs"][0].clone()),
    ];
    for (i, expected, change) in cases {
        let message = load_bytes(&edit(i, change)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains(expected), "{expected}: {message:?}");
    }
}
