//! Training by all rows at once: beside closed forms, the same everywhere, what is refused.

use crate::gradients::normal;
use std::sync::atomic::{AtomicBool, Ordering};
use tilewise_base::{Context, Error, Fit, Progress, Result};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::{MatRef, parallel};
use tilewise_network::{FullBatch, Function, Initialiser, Layer, Loss, Network, Rows, Targets};

const INPUTS: usize = 3;

fn fit(full: &FullBatch, layers: &[Layer], loss: Loss, data: &Rows<'_, f64>) -> Result<Fit<Network<f64>>> {
    let network = Network::new(INPUTS, layers, Initialiser::Auto, 4)?;
    full.fit(network, loss, None, data, &Context::default())
}

/// Solves m w = y by elimination.
fn solved(mut m: Vec<Vec<f64>>, mut y: Vec<f64>) -> Vec<f64> {
    for pivot in 0..y.len() {
        for row in (0..y.len()).filter(|row| *row != pivot) {
            let share = m[row][pivot] / m[pivot][pivot];
            let line = m[pivot].clone();
            m[row].iter_mut().zip(&line).for_each(|(to, from)| *to -= share * from);
            y[row] -= share * y[pivot];
        }
    }
    (0..y.len()).map(|i| y[i] / m[i][i]).collect()
}

/// One dense layer and the squared loss are ridge regression: (2 / (n k) A' W A + decay I) w = 2 / (n k) A' W y, A being the inputs and a
/// column of ones, n the sum of weights and k the number of targets; without 2 where the loss is halved, and with 0 in I for biases that
/// are not penalised. More rows than go through at a time.
#[test]
fn one_layer_is_ridge_regression() {
    let half = Loss::HalfSquared;
    for (rows, weighted, loss, decay_biases) in
        [(40, false, Loss::Squared, true), (2500, true, Loss::Squared, true), (40, true, half, false)]
    {
        let times = if loss == half { 0.5 } else { 1.0 };
        let (x, noise) = (normal(rows * INPUTS, 1), normal(rows * 2, 2));
        let row = |i: usize| [&x[i * INPUTS..][..INPUTS], &[1.0]].concat();
        let y: Vec<f64> = (0..rows)
            .flat_map(|i| {
                let x = row(i);
                [3.0 + x[0] - 2.0 * x[1] + noise[2 * i], 0.5 * x[2] + noise[2 * i + 1]]
            })
            .collect();
        let weights: Vec<f64> = (0..rows).map(|i| if weighted { (i % 3) as f64 } else { 1.0 }).collect();
        let decay = 0.05;
        let full = FullBatch { tolerance: 1e-11, weight_decay: decay, decay_biases, ..FullBatch::default() };
        let data = Rows {
            x: MatRef::new(&x, rows, INPUTS).unwrap(),
            targets: Targets::Numbers(&y),
            weights: weighted.then_some(&weights[..]),
        };
        let Fit { model, report } = fit(&full, &[Layer::dense(2)], loss, &data).unwrap();
        assert!(report.converged && report.optimality <= 1e-11 && report.rounds < 60, "{report:?}");
        let total: f64 = weights.iter().sum();
        let mut objective = 0.0;
        let tensors = model.tensors();
        for target in 0..2 {
            let n = INPUTS + 1;
            let (mut m, mut right) = (vec![vec![0.0; n]; n], vec![0.0; n]);
            for i in 0..rows {
                let (a, scale) = (row(i), times * weights[i] / total);
                for j in 0..n {
                    (0..n).for_each(|k| m[j][k] += scale * a[j] * a[k]);
                    right[j] += scale * a[j] * y[2 * i + target];
                }
            }
            let decayed = if decay_biases { n } else { INPUTS };
            (0..decayed).for_each(|j| m[j][j] += decay);
            let expected = solved(m, right);
            let ours = [&tensors[0].2[target * INPUTS..][..INPUTS], &tensors[1].2[target..][..1]].concat();
            for (ours, expected) in ours.iter().zip(&expected) {
                assert!((ours - expected).abs() < 1e-9, "{ours} {expected}");
            }
            for i in 0..rows {
                let answer: f64 = row(i).iter().zip(&expected).map(|(x, w)| x * w).sum();
                objective += times * weights[i] / total * (answer - y[2 * i + target]).powi(2) / 2.0;
            }
            objective += decay / 2.0 * expected[..decayed].iter().map(|w| w * w).sum::<f64>();
        }
        assert!((report.objective - objective).abs() < 1e-12 * objective, "{} {objective}", report.objective);
    }
}

fn spiral() -> (Vec<f64>, Vec<u32>) {
    let x = normal(300 * INPUTS, 7);
    let of = |row: &[f64]| u32::from(row[0] * row[1] > 0.0) + u32::from(row[2].abs() > 1.0);
    let labels = x.chunks(INPUTS).map(of).collect();
    (x, labels)
}

/// Adam's steps of all rows come to no lower loss in ten times as many, and what is the same at any number of threads is so here.
#[test]
fn classes_are_learned_with_the_same_bits_at_any_number_of_threads() {
    let (x, labels) = spiral();
    let view = MatRef::new(&x, 300, INPUTS).unwrap();
    let data = Rows { x: view, targets: Targets::Classes(&labels), weights: None };
    let layers = Layer::perceptron(&[24, 12], Function::Tanh, 0.0, 3);
    let loss = Loss::CrossEntropy { smoothing: 0.0 };
    let full = FullBatch { tolerance: 1e-6, weight_decay: 1e-4, steps: 150, ..FullBatch::default() };
    let trained = |threads: usize, scheme: Scheme| {
        parallel::with_threads(threads, || {
            let network = Network::new(INPUTS, &layers, Initialiser::Auto, 4).unwrap();
            let context = Context { scheme, ..Context::default() };
            full.fit(network, loss, Some(vec![1.0, 2.0, 0.5]), &data, &context).unwrap()
        })
    };
    let one = trained(1, Scheme::Rows);
    assert!(one.report.objective < 0.05, "{:?}", one.report);
    let mut answers = vec![0.0; 900];
    one.model.predict(view, &mut answers).unwrap();
    let right = answers.chunks(3).zip(&labels).filter(|(row, label)| {
        let own = row[**label as usize];
        row.iter().all(|other| *other <= own)
    });
    assert!(right.count() >= 297);
    let bits = |fit: &Fit<Network<f64>>| fit.model.weights().iter().map(|w| w.to_bits()).collect::<Vec<_>>();
    for (threads, scheme) in [(2, Scheme::Tasks), (3, Scheme::Auto), (7, Scheme::Rows)] {
        let other = trained(threads, scheme);
        assert!(bits(&one) == bits(&other) && one.report == other.report, "{threads} threads");
    }
}

/// Stops after the second step.
struct Two(AtomicBool);
impl Progress for Two {
    fn round(&self, done: u64, total: u64, note: &str) {
        assert!(total == 200 && note.starts_with("loss "), "{note}");
        self.0.store(done == 2, Ordering::Relaxed);
    }
}

#[test]
fn limits_and_ctrl_c_keep_what_is_there_and_bad_input_is_refused() {
    let (x, labels) = spiral();
    let data =
        Rows { x: MatRef::new(&x, 300, INPUTS).unwrap(), targets: Targets::Classes(&labels), weights: None };
    let loss = Loss::CrossEntropy { smoothing: 0.0 };
    let layers = Layer::perceptron(&[6], Function::Relu, 0.0, 3);
    let usual = FullBatch { tolerance: 1e-9, ..FullBatch::default() };
    for (full, part) in [
        (FullBatch { steps: 2, ..usual }, "2 steps are done with gradient"),
        (FullBatch { evaluations: 5, ..usual }, "5 evaluations are done"),
    ] {
        let report = fit(&full, &layers, loss, &data).unwrap().report;
        assert!(!report.converged && report.stopped.contains(part), "{report:?}");
        assert_eq!(report.warnings, [format!("did not converge: {}", report.stopped)]);
    }
    let two = fit(&FullBatch { steps: 2, ..usual }, &layers, loss, &data).unwrap();
    let hears = Two(AtomicBool::new(false));
    let network = || Network::new(INPUTS, &layers, Initialiser::Auto, 4).unwrap();
    let context = Context { progress: &hears, cancel: &hears.0, ..Context::default() };
    let stopped = usual.fit(network(), loss, None, &data, &context).unwrap();
    assert_eq!(stopped.model.weights(), two.model.weights());
    assert_eq!((stopped.report.rounds, &stopped.report.stopped[..]), (2, "stopped by hand"));
    hears.0.store(true, Ordering::Relaxed);
    assert!(matches!(usual.fit(network(), loss, None, &data, &context), Err(Error::Cancelled)));

    let told = |full: &FullBatch, layers: &[Layer], loss, data: &Rows<'_, f64>| {
        fit(full, layers, loss, data).err().map(|e| e.to_string()).unwrap_or_default()
    };
    for (full, part) in [
        (FullBatch { steps: 0, ..usual }, "epochs"),
        (FullBatch { evaluations: 0, ..usual }, "max_evaluations"),
        (FullBatch { tolerance: f64::NAN, ..usual }, "tolerance"),
        (FullBatch { weight_decay: -1.0, ..usual }, "weight_decay"),
    ] {
        let message = told(&full, &layers, loss, &data);
        assert!(message.contains(part), "{message}");
    }
    let drops = Layer::perceptron(&[6], Function::Relu, 0.2, 3);
    let norm = [Layer::dense(4), Layer::batch_norm(), Layer::dense(3)];
    for layers in [&drops[..], &norm] {
        let message = told(&usual, layers, loss, &data);
        assert!(message.contains("lbfgs") && message.contains("dropout or batch norm"), "{message}");
    }
    assert!(told(&usual, &layers, Loss::Squared, &data).contains("numbers as targets"));
    let far = vec![f64::MAX; 300 * INPUTS];
    let far = Rows { x: MatRef::new(&far, 300, INPUTS).unwrap(), ..data };
    assert!(told(&usual, &layers, loss, &far).contains("before the first step"));
}
