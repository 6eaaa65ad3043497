//! Models of tables: several targets beside least squares, numbers of 64 bits, weights as repetitions, files.

use crate::gradients::normal;
use tilewise_base::model_file::Writer;
use tilewise_base::{Column, Context, Dataset, Model, ModelFile, Roles, Task, predict_dataset};
use tilewise_kernels::random::Philox;
use tilewise_network::pipeline::{Parameters, Pipeline, Precision};
use tilewise_network::{Function, Optimiser, Training};

pub(crate) const ROWS: usize = 60;

/// What a step is when all rows are in it: momentum on a quadratic loses a share of the distance with each, so these leave rounding.
pub(crate) fn parameters(hidden: Vec<usize>, precision: Precision, rows: usize) -> Parameters {
    Parameters {
        hidden,
        function: Function::Tanh,
        validation: 0.0,
        precision,
        training: Training {
            epochs: 400,
            batch: Some(rows),
            optimiser: Optimiser::Sgd { momentum: 0.8, nesterov: true },
            learning_rate: 0.3,
            ..Training::default()
        },
        ..Parameters::default()
    }
}

pub(crate) fn named(columns: Vec<(&str, Vec<f64>)>) -> Dataset {
    let numbers = |(name, numbers): (&str, Vec<f64>)| (name.to_owned(), Column::F64(numbers.into()));
    Dataset::new(columns.into_iter().map(numbers).collect()).unwrap()
}

/// Two inputs, weights, and three targets: of large, of small range, and one that the inputs say nothing of.
pub(crate) fn columns() -> Vec<(&'static str, Vec<f64>)> {
    let (a, b, noise) = (normal(ROWS, 1), normal(ROWS, 2), normal(ROWS, 3));
    let of = |f: &dyn Fn(usize) -> f64| (0..ROWS).map(f).collect::<Vec<_>>();
    let large = of(&|i| 4000.0 + 700.0 * a[i] - 90.0 * b[i] + 300.0 * noise[i]);
    let small = of(&|i| 0.02 * b[i] + 0.01 * noise[(i + 7) % ROWS]);
    let nothing = of(&|i| noise[(i + 31) % ROWS]);
    let weights = of(&|i| ((i * 7) % 4) as f64);
    vec![("a", a), ("b", b), ("large", large), ("small", small), ("nothing", nothing), ("w", weights)]
}

pub(crate) const TARGETS: [&str; 3] = ["large", "small", "nothing"];

pub(crate) fn roles(targets: &[&str], weight: bool) -> Roles {
    let ignore = TARGETS.iter().filter(|name| !targets.contains(name)).map(|name| name.to_string());
    Roles {
        targets: targets.iter().map(|name| name.to_string()).collect(),
        ignore: ignore.chain((!weight).then(|| "w".to_owned())).collect(),
        weight: weight.then(|| "w".to_owned()),
        ..Roles::default()
    }
}

pub(crate) fn fit(parameters: &Parameters, data: &Dataset, roles: &Roles) -> Pipeline {
    Pipeline::fit(parameters, false, data, roles, &Context { seed: 3, ..Context::default() }).unwrap()
}

/// Weighted least squares of y on 1, a and b, by the normal equations and elimination; what it predicts.
fn least_squares(a: &[f64], b: &[f64], y: &[f64], weight: impl Fn(usize) -> f64) -> Vec<f64> {
    let row = |i: usize| [1.0, a[i], b[i]];
    let mut m = [[0.0; 4]; 3];
    for (i, y) in y.iter().enumerate() {
        for (j, line) in m.iter_mut().enumerate() {
            let scale = weight(i) * row(i)[j];
            (0..3).for_each(|k| line[k] += scale * row(i)[k]);
            line[3] += scale * y;
        }
    }
    for pivot in 0..3 {
        for j in (0..3).filter(|j| *j != pivot) {
            let share = m[j][pivot] / m[pivot][pivot];
            (0..4).for_each(|k| m[j][k] -= share * m[pivot][k]);
        }
    }
    let w = [0, 1, 2].map(|j| m[j][3] / m[j][j]);
    (0..y.len()).map(|i| w[0] + w[1] * a[i] + w[2] * b[i]).collect()
}

/// A network without hidden layers is least squares of each target, which its own standardisation does not change.
#[test]
fn several_targets_without_hidden_layers_are_least_squares_of_each() {
    let columns = columns();
    let data = named(columns.clone());
    let of = |name: &str| columns.iter().find(|column| column.0 == name).unwrap().1.clone();
    let (a, b, w) = (of("a"), of("b"), of("w"));
    for (precision, weighted, tolerance) in
        [(Precision::Double, false, 1e-9), (Precision::Double, true, 1e-9), (Precision::Single, true, 1e-5)]
    {
        let weight = |i: usize| if weighted { w[i] } else { 1.0 };
        let model = fit(&parameters(vec![], precision, ROWS), &data, &roles(&TARGETS, weighted));
        let names = TARGETS.map(String::from).to_vec();
        assert_eq!((model.task(), model.target()), (&Task::Outputs { names }, ""));
        let answers = predict_dataset(&model, &data, None).unwrap();
        let mut unexplained = 0.0;
        for (j, name) in TARGETS.into_iter().enumerate() {
            let y = of(name);
            let expected = least_squares(&a, &b, &y, weight);
            let total: f64 = (0..ROWS).map(weight).sum();
            let mean = (0..ROWS).map(|i| weight(i) * y[i]).sum::<f64>() / total;
            let around: f64 = (0..ROWS).map(|i| weight(i) * (y[i] - mean).powi(2)).sum();
            let left: f64 = (0..ROWS).map(|i| weight(i) * (y[i] - expected[i]).powi(2)).sum();
            unexplained += left / around / 3.0;
            let deviation = (around / total).sqrt();
            for (row, expected) in answers.chunks(3).zip(expected) {
                assert!((row[j] - expected).abs() < tolerance * deviation, "{name}: {} {expected}", row[j]);
            }
        }
        // The loss is the mean over targets of what is left of their variance.
        let objective = model.report().objective;
        assert!((objective - unexplained).abs() < tolerance, "{objective} {unexplained}");
    }
}

#[test]
fn files_of_several_targets_and_of_64_bits_come_back() {
    let data = named(columns());
    let one = ["large"];
    for (targets, precision) in
        [(&TARGETS[..], Precision::Single), (&TARGETS, Precision::Double), (&one, Precision::Double)]
    {
        let mut parameters = parameters(vec![9], precision, 20);
        parameters.training = Training { epochs: 5, learning_rate: 0.02, ..parameters.training };
        parameters.validation = 0.2;
        let model = fit(&parameters, &data, &roles(targets, false));
        let bytes = model.to_bytes().unwrap();
        let file = ModelFile::parse(&bytes).unwrap();
        let again = Pipeline::from_file(&file).unwrap();
        assert_eq!(again.to_bytes().unwrap(), bytes);
        let answers = predict_dataset(&model, &data, None).unwrap();
        assert_eq!(predict_dataset(&again, &data, None).unwrap(), answers);
        assert_eq!(answers.len(), ROWS * targets.len());
        let double = precision == Precision::Double;
        assert_eq!(again.describe().contains("weights of 64 bits"), double);
        assert_eq!(again.network().is_none(), double);
        // Of 8 bits and as ONNX they go by 32 bits.
        let quantised = again.quantised(&data, &Context::default()).unwrap();
        let small = predict_dataset(&*quantised, &data, None).unwrap();
        let furthest = small.chunks(targets.len()).zip(answers.chunks(targets.len()));
        assert!(furthest.into_iter().all(|(a, b)| (a[0] - b[0]).abs() < 100.0), "{small:?} {answers:?}");
        let small = quantised.to_bytes().unwrap();
        let back = Pipeline::from_file(&ModelFile::parse(&small).unwrap()).unwrap();
        assert_eq!(back.to_bytes().unwrap(), small);
        assert!(back.describe().contains("weights of 8 bits") && !back.describe().contains("64 bits"));
        let exported = again.to_onnx().unwrap();
        assert_eq!(exported.notes.iter().any(|note| note.contains("rounded to 32")), double);
        // The bytes of a tensor come behind its name: a double for each target.
        let tensor = [&b"target.deviation"[..], &[0x4a, 8 * targets.len() as u8]].concat();
        assert!(exported.bytes.windows(tensor.len()).any(|part| part == tensor));
    }
}

#[test]
fn files_whose_scales_do_not_fit_are_refused() {
    let data = named(columns());
    let mut parameters = parameters(vec![4], Precision::Single, 20);
    parameters.training.epochs = 1;
    let bytes = fit(&parameters, &data, &roles(&TARGETS, false)).to_bytes().unwrap();
    let file = ModelFile::parse(&bytes).unwrap();
    let with = |scale: serde_json::Value, precision: Option<&str>| {
        let mut metadata = serde_json::json!({ "scale": scale });
        for key in ["encoder", "params", "report", "seed", "target", "task"] {
            metadata[key] = file.metadata(key).unwrap();
        }
        if let Some(precision) = precision {
            metadata["precision"] = precision.into();
        }
        let writer = file.tensors().filter(|name| !name.starts_with('~')).fold(
            Writer::new("network", metadata),
            |writer, name| {
                let shape = file.shape(name).unwrap();
                writer.tensor_f32(name, shape, &file.tensor_f32(name, shape).unwrap())
            },
        );
        let bytes = writer.to_bytes().unwrap();
        let read = Pipeline::from_file(&ModelFile::parse(&bytes).unwrap());
        read.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let one = serde_json::json!({"mean": 1.0, "deviation": 2.0});
    let flat = serde_json::json!({"mean": 1.0, "deviation": 0.0});
    assert_eq!(with(serde_json::json!([one, one, one]), None), "");
    assert!(with(serde_json::json!([one, one]), None).contains("2 scales of 3 targets"));
    assert!(with(serde_json::json!([one, one, flat]), None).contains("scale of its target"));
    assert!(with(one.clone(), None).contains("scale"));
    assert!(!with(serde_json::json!([one, one, one]), Some("f64")).is_empty());
    assert!(with(serde_json::json!([one, one, one]), Some("f16")).contains("\"f16\""));
}

/// With all rows in a step a row that weighs 2 is one that is there twice, one that weighs 0 none. In 64 bits they agree in all digits
/// but those that sums in another order leave.
#[test]
fn weights_are_repetitions() {
    let columns = columns();
    let of_rows = |rows: &[usize]| {
        let of = |(name, all): &(&'static str, Vec<f64>)| (*name, rows.iter().map(|&i| all[i]).collect());
        named(columns.iter().map(of).collect())
    };
    let order = Philox::new(1, Philox::purpose("order")).permutation(ROWS);
    let repeated: Vec<usize> = (0..ROWS).flat_map(|i| vec![i; (i * 7) % 4]).collect();
    let (weighted, repeated) = (of_rows(&order), of_rows(&repeated));
    let data = named(columns.clone());
    for (targets, precision, tolerance) in [
        (&TARGETS[..], Precision::Double, 1e-10),
        (&TARGETS[..1], Precision::Double, 1e-10),
        (&TARGETS[..1], Precision::Single, 1e-3),
    ] {
        let few = |rows| {
            let mut parameters = parameters(vec![8], precision, rows);
            parameters.training = Training { epochs: 100, learning_rate: 0.05, ..parameters.training };
            parameters
        };
        let a = fit(&few(ROWS), &weighted, &roles(targets, true));
        let b = fit(&few(repeated.rows()), &repeated, &roles(targets, false));
        let [a, b] = [a, b].map(|model| predict_dataset(&model, &data, None).unwrap());
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() <= tolerance * b.abs().max(0.01), "{precision:?}: {a} {b}");
        }
        if precision == Precision::Single {
            assert!(a != b, "seven digits were enough");
        }
    }
}

#[test]
fn several_classes_are_refused_by_name() {
    let data = named(columns());
    let roles = roles(&TARGETS[..2], false);
    let parameters = parameters(vec![4], Precision::Single, 20);
    let told =
        Pipeline::fit(&parameters, true, &data, &roles, &Context::default()).err().unwrap().to_string();
    assert!(told.contains("\"small\""), "{told}");
}
