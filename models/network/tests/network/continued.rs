//! Models of tables that are trained further: exactly from a checkpoint, and by an optimiser that begins anew from a file.

use crate::tables::{ROWS, TARGETS, columns, fit, named, parameters, roles};
use tilewise_base::model_file::Writer;
use tilewise_base::{Column, Context, Dataset, Model, ModelFile, Roles, predict_dataset};
use tilewise_kernels::parallel::with_threads;
use tilewise_network::pipeline::{Parameters, Pipeline, Precision};
use tilewise_network::{FullBatch, Function, Optimiser, Plateau, Schedule, Training};

/// What is other than usual.
type Change<'a> = &'a dyn Fn(&mut Parameters);

fn context() -> Context<'static> {
    Context { seed: 3, ..Context::default() }
}

/// Epochs of 5 batches of a network with dropout, so that there is all that a training keeps.
fn epochs(epochs: u64, optimiser: Optimiser, precision: Precision) -> Parameters {
    let mut parameters = parameters(vec![8], precision, 12);
    parameters.dropout = 0.2;
    parameters.training = Training { epochs, optimiser, learning_rate: 0.01, ..parameters.training };
    parameters
}

fn read(bytes: &[u8]) -> Pipeline {
    Pipeline::from_file(&ModelFile::parse(bytes).unwrap()).unwrap()
}

fn checkpoint(model: &Pipeline) -> Vec<u8> {
    model.checkpoint().unwrap().unwrap()
}

#[test]
fn a_checkpoint_goes_on_to_the_bytes_of_training_at_once() {
    let (data, roles) = (named(columns()), roles(&TARGETS, true));
    let momentum = Optimiser::Sgd { momentum: 0.9, nesterov: true };
    let plateau = |parameters: &mut Parameters| {
        parameters.training.plateau = Some(Plateau { factor: 0.5, patience: 0 });
        parameters.training.learning_rate = 0.5;
    };
    let inverse =
        |parameters: &mut Parameters| parameters.training.schedule = Schedule::Inverse { power: 0.3 };
    let early = |parameters: &mut Parameters| {
        (parameters.training.tolerance, parameters.training.patience) = (Some(0.01), 2);
    };
    let nothing = |_: &mut Parameters| ();
    let cases: [(_, _, Change<'_>); 7] = [
        (Optimiser::ADAM, Precision::Single, &nothing),
        (Optimiser::ADAM, Precision::Double, &inverse),
        (Optimiser::LAMB, Precision::Single, &nothing),
        (momentum, Precision::Double, &plateau),
        (Optimiser::RMS_PROP, Precision::Single, &nothing),
        (Optimiser::ADAGRAD, Precision::Double, &early),
        (Optimiser::Sgd { momentum: 0.0, nesterov: false }, Precision::Single, &nothing),
    ];
    for (optimiser, precision, change) in cases {
        let of = |n| {
            let mut parameters = epochs(n, optimiser, precision);
            change(&mut parameters);
            parameters
        };
        let (four, nine) = (fit(&of(4), &data, &roles), fit(&of(9), &data, &roles));
        let (part, whole) = (checkpoint(&four), checkpoint(&nine));
        // A checkpoint is read as the model, whose file it is not.
        assert!(read(&part).to_bytes().unwrap() == four.to_bytes().unwrap());
        assert!(checkpoint(&read(&part)) == part && part != four.to_bytes().unwrap());
        for threads in [1, 2, 3, 7] {
            let parameters = of(9);
            let more = with_threads(threads, || {
                read(&part).continued(&parameters, false, &data, &roles, &context()).unwrap()
            });
            assert!(checkpoint(&more) == whole, "{optimiser:?}, {threads} threads");
        }
        // In memory, one epoch after the other.
        let mut step = fit(&of(1), &data, &roles);
        for n in 2..=9 {
            step = step.continued(&of(n), false, &data, &roles, &context()).unwrap();
        }
        assert!(step.to_bytes().unwrap() == nine.to_bytes().unwrap(), "{optimiser:?}");
    }
}

/// An optimiser that keeps nothing is the same anew, and rows in their order are too: four and five more are nine.
#[test]
fn a_file_goes_on_from_its_weights() {
    let (data, roles) = (named(columns()), roles(&TARGETS, true));
    let of = |n, optimiser| {
        let mut parameters = epochs(n, optimiser, Precision::Double);
        (parameters.dropout, parameters.training.shuffle) = (0.0, false);
        parameters
    };
    let answers = |model: &Pipeline| predict_dataset(model, &data, None).unwrap();
    let sgd = Optimiser::Sgd { momentum: 0.0, nesterov: false };
    for (optimiser, equal) in [(sgd, true), (Optimiser::ADAM, false)] {
        let (four, nine) = (fit(&of(4, optimiser), &data, &roles), fit(&of(9, optimiser), &data, &roles));
        let before = read(&four.to_bytes().unwrap());
        assert!(before.checkpoint().unwrap().is_none());
        let more = before.continued(&of(5, optimiser), false, &data, &roles, &context()).unwrap();
        assert_eq!(answers(&more) == answers(&nine), equal, "{optimiser:?}");
        assert_eq!(more.report().rounds, 5);
        assert!(answers(&more) != answers(&four));
    }
    // L-BFGS begins where it ended: there is nothing left to do.
    let mut full = of(1, Optimiser::ADAM);
    let at_once = FullBatch { steps: 1000, tolerance: 1e-6, weight_decay: 0.01, ..FullBatch::default() };
    full.full_batch = Some(at_once);
    let first = fit(&full, &data, &roles);
    let again = first.continued(&full, false, &data, &roles, &context()).unwrap();
    assert!(first.report().rounds > 5 && again.report().rounds == 0, "{:?}", first.report());
    assert!(answers(&again) == answers(&first) && first.checkpoint().unwrap().is_none());
}

/// What prepares inputs and targets is that of the first rows: a rate of next to nothing changes next to nothing on other rows, of which a
/// category is one that the model does not know.
#[test]
fn preparation_is_that_of_the_first_rows() {
    let table = |rows: &[usize], texts: &[&str]| {
        let mut data = columns();
        data.iter_mut().for_each(|(_, all)| *all = rows.iter().map(|&i| all[i]).collect());
        let mut data: Vec<(String, Column)> =
            data.into_iter().map(|(name, all)| (name.to_owned(), Column::F64(all.into()))).collect();
        let dictionary = texts.iter().map(|text| (*text).to_owned()).collect();
        let codes = rows.iter().map(|i| (i % texts.len()) as u32).collect::<Vec<_>>().into();
        data.push(("t".to_owned(), Column::Categorical { codes, dictionary }));
        Dataset::new(data).unwrap()
    };
    let all: Vec<usize> = (0..ROWS).collect();
    let (first, half) = (table(&all, &["a", "b"]), table(&all[30..], &["b", "new"]));
    let roles = roles(&TARGETS, true);
    let before = fit(&epochs(4, Optimiser::ADAM, Precision::Single), &first, &roles);
    let mut still = epochs(5, Optimiser::ADAM, Precision::Single);
    still.training.learning_rate = 1e-12;
    let after = before.continued(&still, false, &half, &roles, &context()).unwrap();
    let [ours, theirs] = [&before, &after].map(|model| predict_dataset(model, &first, None).unwrap());
    let scale = [700.0, 0.02, 1.0];
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() < 1e-5 * scale[i % 3], "{a} {b}");
    }
}

fn classes(of: &[&str], rows: usize) -> Dataset {
    let x: Vec<f64> = (0..rows).map(|i| (i as f64).sin()).collect();
    let dictionary = of.iter().map(|text| (*text).to_owned()).collect();
    let codes = (0..rows).map(|i| (i % of.len()) as u32).collect::<Vec<_>>().into();
    let columns = [("x", Column::F64(x.into())), ("y", Column::Categorical { codes, dictionary })];
    Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).into()).unwrap()
}

#[test]
fn classes_that_come_later_are_told_before() {
    let told = |of: &[&str]| Parameters {
        classes: Some(of.iter().map(|text| (*text).to_owned()).collect()),
        ..epochs(1, Optimiser::ADAM, Precision::Single)
    };
    let (roles, all) = (Roles::target("y"), ["a", "b", "c"]);
    let first = Pipeline::fit(&told(&all), true, &classes(&["a"], 20), &roles, &context()).unwrap();
    assert_eq!(first.task().names(), all);
    let mut second = told(&all);
    second.training.epochs = 2;
    let more = first.continued(&second, true, &classes(&["c", "b"], 20), &roles, &context()).unwrap();
    assert_eq!((more.task().names(), more.report().rounds), (all.map(String::from).to_vec(), 2));
    let refused =
        |data: &Dataset| first.continued(&second, true, data, &roles, &context()).err().unwrap().to_string();
    assert!(refused(&classes(&["a", "d"], 20)).contains("\"d\" is not one of the model's classes"));
}

#[test]
fn what_does_not_go_on_is_refused_by_name() {
    let (data, three) = (named(columns()), roles(&TARGETS, true));
    let of = |n| epochs(n, Optimiser::ADAM, Precision::Single);
    let first = fit(&of(4), &data, &three);
    let refused = |model: &Pipeline, parameters: &Parameters, data: &Dataset, roles: &Roles| {
        let more = model.continued(parameters, false, data, roles, &context());
        more.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let changed = |change: &dyn Fn(&mut Parameters)| {
        let mut parameters = of(5);
        change(&mut parameters);
        refused(&first, &parameters, &data, &three)
    };
    let cases: [(Change<'_>, &str); 9] = [
        (&|_| (), ""),
        (&|p| p.hidden = vec![9], "other layers: dense, 8 outputs"),
        (&|p| p.function = Function::Relu, "other layers"),
        (&|p| p.training.epochs = 3, "epochs: 3 is not accepted; there were 4 already"),
        (&|p| p.training.optimiser = Optimiser::ADAGRAD, "optimiser"),
        (&|p| p.training.schedule = Schedule::Cosine, "schedule"),
        (&|p| p.precision = Precision::Double, "precision: double"),
        (&|p| p.validation = 0.1, "validation_fraction"),
        (&|p| p.full_batch = Some(FullBatch::default()), "optimiser: lbfgs"),
    ];
    for (change, part) in cases {
        let told = changed(change);
        assert!(told.contains(part) && told.is_empty() == part.is_empty(), "{part}: {told}");
    }
    let mut waves = of(4);
    waves.training.schedule = Schedule::OneCycle;
    let waves_first = fit(&waves, &data, &three);
    waves.training.epochs = 5;
    assert!(
        refused(&waves_first, &waves, &data, &three)
            .contains("epochs: 5 is not accepted; its schedule ends with epoch 4")
    );
    let two = roles(&TARGETS[..2], true);
    assert!(refused(&first, &of(5), &data, &two).contains("large, small, nothing, not large, small"));
    let mut others = columns();
    others[0].0 = "c";
    assert!(refused(&first, &of(5), &named(others), &three).contains("\"c\": is no input"));
    let mut gone = columns();
    gone.remove(0);
    assert!(refused(&first, &of(5), &named(gone), &three).contains("\"a\""));
    let small = read(&first.quantised(&data, &context()).unwrap().to_bytes().unwrap());
    assert!(small.checkpoint().unwrap().is_none());
    assert!(refused(&small, &of(5), &data, &three).contains("8 bits"));
    // Rows that were held out once: the weights are those of the best epoch, so an optimiser begins anew.
    let mut held = of(4);
    held.validation = 0.2;
    assert!(fit(&held, &data, &three).checkpoint().unwrap().is_none());
}

#[test]
fn damaged_checkpoints_are_refused() {
    let (data, roles) = (named(columns()), roles(&TARGETS, false));
    let bytes = checkpoint(&fit(&epochs(2, Optimiser::ADAM, Precision::Double), &data, &roles));
    let file = ModelFile::parse(&bytes).unwrap();
    let with = |key: &str, value: serde_json::Value, change: &dyn Fn(&str, &mut Vec<f64>)| {
        let mut metadata = serde_json::json!({});
        for key in ["encoder", "params", "precision", "report", "scale", "seed", "standing", "target", "task"]
        {
            metadata[key] = file.metadata(key).unwrap();
        }
        if !key.is_empty() {
            metadata["standing"][key] = value;
        }
        let writer = file.tensors().fold(Writer::new("network", metadata), |writer, name| {
            let shape = file.shape(name).unwrap();
            let mut numbers = file.tensor_f64(name, shape).unwrap();
            change(name, &mut numbers);
            let shape =
                if numbers.len() == shape.iter().product::<usize>() { shape } else { &[numbers.len()] };
            writer.tensor_f64(name, shape, &numbers)
        });
        let bytes = writer.to_bytes().unwrap();
        let read = Pipeline::from_file(&ModelFile::parse(&bytes).unwrap());
        read.map_err(|e| e.to_string())
    };
    let null = serde_json::Value::Null;
    let same = |_: &str, _: &mut Vec<f64>| ();
    assert!(checkpoint(&with("", null.clone(), &same).unwrap()) == bytes);
    let told = |found: Result<Pipeline, String>| found.err().unwrap();
    assert!(told(with("steps", (u64::MAX).into(), &same)).contains("more steps"));
    assert!(told(with("least", null.clone(), &same)).contains("standing"));
    let of = |place: &'static str, change: fn(&mut Vec<f64>)| {
        move |name: &str, numbers: &mut Vec<f64>| {
            if name == place {
                change(numbers);
            }
        }
    };
    let [first, second] = ["optimiser.first", "optimiser.second"];
    assert!(told(with("", null.clone(), &of(first, |all| all.truncate(3)))).contains(first));
    assert!(told(with("", null.clone(), &of(first, |all| all[2] = f64::NAN))).contains("NaN"));
    assert!(told(with("", null.clone(), &of(second, |all| all[2] = -1.0))).contains(second));
    // Of another optimiser by its file: what is kept is compared where it is used.
    let read = with("steps", 7.into(), &same).unwrap();
    assert!(read.to_bytes().unwrap() == self::read(&bytes).to_bytes().unwrap());
}
