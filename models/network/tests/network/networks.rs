//! Networks that are written as ONNX: all layers, with weights and running numbers that are none of their first values.

use tilewise_kernels::random::Philox;
use tilewise_network::{Function, Initialiser, Layer, Lookup, Network, Window};

/// All functions between layers.
pub(crate) const FUNCTIONS: [Function; 6] = [
    Function::Relu,
    Function::LeakyRelu { slope: 0.1 },
    Function::Gelu,
    Function::Silu,
    Function::Tanh,
    Function::Sigmoid,
];

/// Their names and themselves.
pub(crate) fn networks() -> Vec<(&'static str, Network<f32>)> {
    let mut dense: Vec<Layer> =
        FUNCTIONS.iter().flat_map(|&f| [Layer::dense(7), Layer::activate(f)]).collect();
    dense.push(Layer::dense(3));
    let norms = vec![
        Layer::Dense { outputs: 6, bias: false },
        Layer::batch_norm(),
        Layer::activate(Function::Relu),
        Layer::Dropout { rate: 0.3 },
        Layer::Residual {
            layers: vec![
                Layer::LayerNorm { epsilon: 1e-3 },
                Layer::dense(6),
                Layer::activate(Function::Silu),
            ],
        },
        Layer::layer_norm(),
        Layer::dense(1),
    ];
    let odd = Window { size: [2, 3], stride: [2, 1], padding: [1, 0], dilation: [1, 1] };
    let images = vec![
        Layer::image(2, 9, 8),
        Layer::convolution(3, Window::square(3).padding(1)),
        Layer::batch_norm(),
        Layer::activate(Function::Relu),
        Layer::MaxPool { window: odd },
        Layer::Residual {
            layers: vec![Layer::Convolution {
                channels: 3,
                window: Window::square(3).padding(1),
                bias: false,
            }],
        },
        Layer::convolution(4, Window { dilation: [2, 1], padding: [0, 1], ..odd }),
        Layer::AveragePool { window: Window::square(2).padding(1) },
        Layer::Flatten,
        Layer::dense(5),
    ];
    let lookup = |column, categories, width| Lookup { column, categories, width };
    let embedding =
        vec![Layer::Embedding { lookups: vec![lookup(1, 3, 2), lookup(4, 5, 3)] }, Layer::dense(2)];
    let all =
        [("dense", 5, dense), ("embedding", 6, embedding), ("norms", 4, norms), ("images", 144, images)];
    all.into_iter().map(|(name, inputs, layers)| (name, network(inputs, &layers))).collect()
}

fn network(inputs: usize, layers: &[Layer]) -> Network<f32> {
    let mut network = Network::new(inputs, layers, Initialiser::Auto, 1).expect("layers that fit each other");
    let mut number = 0;
    let drawn = network.set_tensors(|name, shape| {
        number += 1;
        let draws = Philox::new(number, Philox::purpose("tensor"));
        let spread = |x: f64| if name.ends_with("running_var") { 0.3 + x.abs() } else { 0.6 * x };
        Ok((0..shape.iter().product::<usize>() as u64).map(|i| spread(draws.normal(i)) as f32).collect())
    });
    drawn.expect("numbers as they must be");
    network
}
