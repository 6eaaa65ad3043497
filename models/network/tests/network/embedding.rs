//! Embeddings: the same as a product of one-hot columns, gradients, bits, bad input.

use crate::gradients::{LOSSES, check, normal, settings};
use proptest::prelude::*;
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::random::Philox;
use tilewise_kernels::{MatRef, row_arg_max};
use tilewise_network::{
    Function, Initialiser, Layer, Lookup, Loss, Network, Optimiser, Rows, Targets, Trainer, usual_width,
};

const CROSS: Loss = Loss::CrossEntropy { smoothing: 0.0 };

fn lookup(column: usize, categories: usize, width: usize) -> Lookup {
    Lookup { column, categories, width }
}

fn behind(lookups: &[Lookup], rest: &[Layer]) -> Vec<Layer> {
    [&[Layer::Embedding { lookups: lookups.to_vec() }], rest].concat()
}

/// Rows of numbers, and of categories where `lookups` are: also one more than there are, negative ones and NaN.
fn rows(rows: usize, inputs: usize, lookups: &[Lookup], seed: u64) -> Vec<f64> {
    let mut x = normal(rows * inputs, seed);
    let draws = Philox::new(seed, Philox::purpose("categories"));
    for (i, row) in x.chunks_exact_mut(inputs).enumerate() {
        for lookup in lookups {
            let drawn = draws.bits((i * inputs + lookup.column) as u64) % (lookup.categories as u64 + 3);
            row[lookup.column] = match drawn as usize {
                code if code <= lookup.categories => code as f64,
                code if code == lookup.categories + 1 => -1.0,
                _ => f64::NAN,
            };
        }
    }
    x
}

/// Of sums of up to 30 products, in other orders: 30 x 2^-53 of their terms, which are near one.
const ROUNDING: f64 = 1e-13;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What a dense layer without biases makes of one-hot columns, its matrix being the tables, and 1 where a number goes through.
    #[test]
    fn one_hot_times_a_matrix_is_an_embedding(
        kinds in prop::collection::vec(prop_oneof![Just((0, 0)), (1..6usize, 1..5usize)], 1..6), count in 2..20usize, seed in 0..1000u64,
    ) {
        let inputs = kinds.len();
        let some = kinds.iter().enumerate().filter(|(_, kind)| kind.0 > 0);
        let lookups: Vec<Lookup> = some.map(|(column, &(n, width))| lookup(column, n, width)).collect();
        prop_assume!(!lookups.is_empty());
        let x = rows(count, inputs, &lookups, seed);
        let rest = [Layer::dense(4), Layer::activate(Function::Tanh), Layer::dense(3)];
        let network = Network::<f64>::new(inputs, &behind(&lookups, &rest), Initialiser::Xavier, seed).unwrap();
        let plain = inputs - lookups.len();
        let wide = plain + lookups.iter().map(|lookup| lookup.width).sum::<usize>();
        let hot_inputs = plain + lookups.iter().map(|lookup| lookup.categories + 1).sum::<usize>();
        // Columns one-hot, the further category too.
        let mut hot = Vec::new();
        for row in x.chunks_exact(inputs) {
            hot.extend(row.iter().enumerate().filter(|(j, _)| kinds[*j].0 == 0).map(|(_, x)| *x));
            for lookup in &lookups {
                let known = (0..lookup.categories).find(|&k| row[lookup.column] == k as f64);
                let code = known.unwrap_or(lookup.categories);
                hot.extend((0..=lookup.categories).map(|k| f64::from(u8::from(k == code))));
            }
        }
        let first = Layer::Dense { outputs: wide, bias: false };
        let mut twin = Network::<f64>::new(hot_inputs, &[&[first], &rest[..]].concat(), Initialiser::Xavier, seed).unwrap();
        let tensors = network.tensors();
        twin.set_tensors(|name, shape| {
            if name != "0.weight" {
                return Ok(tensors.iter().find(|tensor| tensor.0 == name).unwrap().2.clone());
            }
            // Outputs x inputs.
            let mut matrix = vec![0.0; shape[0] * shape[1]];
            (0..plain).for_each(|j| matrix[j * hot_inputs + j] = 1.0);
            let (mut row, mut column) = (plain, plain);
            for (j, lookup) in lookups.iter().enumerate() {
                let table = &tensors.iter().find(|tensor| tensor.0 == format!("0.{j}.weight")).unwrap().2;
                for (at, weight) in table.iter().enumerate() {
                    matrix[(column + at % lookup.width) * hot_inputs + row + at / lookup.width] = *weight;
                }
                (row, column) = (row + lookup.categories + 1, column + lookup.width);
            }
            Ok(matrix)
        }).unwrap();
        let labels: Vec<u32> = (0..count as u32).map(|i| i % 3).collect();
        let of = |x, inputs| Rows { x: MatRef::new(x, count, inputs).unwrap(), targets: Targets::Classes(&labels), weights: None };
        let (data, hot) = (of(&x, inputs), of(&hot, hot_inputs));
        let answers = |network: &Network<f64>, data: &Rows<'_, f64>| {
            let mut out = vec![0.0; count * 3];
            network.predict(data.x, &mut out).unwrap();
            out
        };
        for (a, b) in answers(&network, &data).iter().zip(answers(&twin, &hot)) {
            prop_assert!((a - b).abs() <= ROUNDING, "{a} and {b}");
        }
        // The gradient of a table is that of its part of the matrix, inputs x outputs.
        let all: Vec<usize> = (0..count).collect();
        let gradient = |network: Network<f64>, data: &Rows<'_, f64>| {
            let mut trainer = Trainer::new(network, settings(CROSS, Optimiser::SGD), count).unwrap();
            trainer.gradient(data, &all).unwrap().1.to_vec()
        };
        let (ours, theirs) = (gradient(network, &data), gradient(twin, &hot));
        let (mut start, mut row, mut column) = (0usize, plain, plain);
        for lookup in &lookups {
            for at in 0..(lookup.categories + 1) * lookup.width {
                let (a, b) = (ours[start + at], theirs[(row + at / lookup.width) * wide + column + at % lookup.width]);
                prop_assert!((a - b).abs() <= ROUNDING, "{a} and {b}");
            }
            start = (start + (lookup.categories + 1) * lookup.width).next_multiple_of(16);
            (row, column) = (row + lookup.categories + 1, column + lookup.width);
        }
    }

    #[test]
    fn gradients_are_central_differences(
        first in 1..4usize, second in 1..4usize, widths in (1..4usize, 1..4usize), loss in 0..5usize, count in 2..12usize, seed in 0..1000u64,
    ) {
        let lookups = [lookup(0, first, widths.0), lookup(3, second, widths.1)];
        let outputs = if LOSSES[loss] == Loss::Binary { 1 } else { 3 };
        let rest = [
            Layer::Residual { layers: vec![Layer::layer_norm(), Layer::dense(2 + widths.0 + widths.1)] },
            Layer::activate(Function::Tanh),
            Layer::dense(outputs),
        ];
        check(4, &behind(&lookups, &rest), LOSSES[loss], false, count, seed);
    }
}

#[test]
fn the_same_bits_at_any_number_of_threads() {
    let (count, inputs) = (600, 40);
    let lookups = [lookup(0, 300, 16), lookup(7, 5, 3), lookup(39, 40, 12)];
    let x: Vec<f32> = rows(count, inputs, &lookups, 1).into_iter().map(|x| x as f32).collect();
    let labels: Vec<u32> = (0..count as u32).map(|i| i * i % 10).collect();
    let rest = [Layer::dense(200), Layer::activate(Function::Relu), Layer::dense(10)];
    let train = |threads: usize, scheme: Scheme| {
        parallel::with_threads(threads, || {
            let targets = Targets::Classes(&labels);
            let data = Rows { x: MatRef::new(&x, count, inputs).unwrap(), targets, weights: None };
            let network =
                Network::<f32>::new(inputs, &behind(&lookups, &rest), Initialiser::Auto, 3).unwrap();
            let settings = tilewise_network::Settings { scheme, ..settings(CROSS, Optimiser::ADAM) };
            let mut trainer = Trainer::new(network, settings, count).unwrap();
            let all: Vec<usize> = (0..count).collect();
            for _ in 0..3 {
                trainer.step(&data, &all, 0.01).unwrap();
            }
            let mut answers = vec![0.0; count * 10];
            trainer.network().predict(data.x, &mut answers).unwrap();
            trainer.network().weights().iter().chain(&answers).map(|w| w.to_bits()).collect::<Vec<u32>>()
        })
    };
    let one = train(1, Scheme::Rows);
    for (threads, scheme) in
        [(1, Scheme::Tasks), (2, Scheme::Tasks), (2, Scheme::Rows), (3, Scheme::Auto), (7, Scheme::Tasks)]
    {
        assert!(one == train(threads, scheme), "{threads} threads, {scheme:?}");
    }
}

/// Classes that are a function of the category, in no order that a line could follow.
#[test]
fn what_depends_on_a_category_alone_is_learned() {
    let x: Vec<f32> = (0..400).map(|i| ((i * 37) % 20) as f32).collect();
    let labels: Vec<u32> = x.iter().map(|x| (*x as u32 * 7 + 3) % 5).collect();
    let data =
        Rows { x: MatRef::new(&x, 400, 1).unwrap(), targets: Targets::Classes(&labels), weights: None };
    let layers = behind(&[lookup(0, 20, usual_width(20))], &[Layer::dense(5)]);
    let network = Network::<f32>::new(1, &layers, Initialiser::Auto, 1).unwrap();
    let mut trainer = Trainer::new(network, settings(CROSS, Optimiser::ADAM), 400).unwrap();
    let all: Vec<usize> = (0..400).collect();
    for _ in 0..100 {
        trainer.step(&data, &all, 0.05).unwrap();
    }
    let (mut answers, mut best) = (vec![0.0; 2000], vec![0; 400]);
    trainer.network().predict(data.x, &mut answers).unwrap();
    row_arg_max(MatRef::new(&answers, 400, 5).unwrap(), &mut best).unwrap();
    assert!(best.iter().zip(&labels).all(|(best, label)| *best as u32 == *label));
    // What was never met stays at nothing.
    let table = trainer.network().tensors().swap_remove(0).2;
    let (met, unknown) = table.split_at(20 * usual_width(20));
    assert!(met.iter().all(|x| *x != 0.0) && unknown.iter().all(|x| *x == 0.0) && !unknown.is_empty());
}

#[test]
fn widths_grow_with_the_number_of_categories() {
    assert_eq!([1, 2, 5, 42, 1000, 1 << 24].map(usual_width), [2, 2, 4, 13, 64, 64]);
}

#[test]
fn what_makes_no_sense_is_refused_by_layer() {
    let refused =
        |layers: &[Layer]| Network::<f32>::new(3, layers, Initialiser::Auto, 1).unwrap_err().to_string();
    let of = |lookups: &[Lookup]| refused(&behind(lookups, &[Layer::dense(1)]));
    let fine = lookup(1, 4, 2);
    for (lookups, part) in [
        (vec![], "at least one"),
        (vec![lookup(3, 4, 2)], "column 3 of 3"),
        (vec![fine, fine], "ascending"),
        (vec![lookup(1, 0, 2)], "0 categories"),
        (vec![lookup(1, 4, 0)], "vectors of 0"),
        (vec![lookup(1, usize::MAX, 2)], "16777216 categories"),
        (vec![lookup(1, 4, usize::MAX)], "too large"),
        (vec![lookup(0, 1, usize::MAX / 2), lookup(1, 1, usize::MAX)], "too large"),
    ] {
        let told = of(&lookups);
        assert!(told.contains(part), "{told}");
    }
    let embedding = Layer::Embedding { lookups: vec![fine] };
    for layers in [
        vec![Layer::dense(3), embedding.clone()],
        vec![Layer::Residual { layers: vec![embedding.clone()] }],
        vec![embedding.clone(), embedding.clone()],
    ] {
        let told = refused(&layers);
        assert!(
            told.contains("(embedding of 1 column, 2 numbers)") && told.contains("first layer"),
            "{told}"
        );
    }
}
