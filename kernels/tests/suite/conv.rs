//! Convolutions against their naive twins.

use crate::guard::{Edge, Guarded};
use crate::inputs::{normal, small_integers};
use crate::on_every_isa;
use crate::products::config;
use proptest::prelude::*;
use tilewise_kernels::{Activation, Conv2d, Float, Kernel2d, ShapeError, naive, parallel};

/// The method, its twin, and the elements of two operands and the result.
type Method<T> = fn(&Conv2d, &[T], &[T], &mut [T]) -> Result<(), ShapeError>;
type Twin<T> = fn(&Conv2d, &[T], &[T], &mut [T]);
type Tested<T> = (&'static str, Method<T>, Twin<T>, [usize; 3]);
fn methods<T: Float>(conv: &Conv2d) -> [Tested<T>; 3] {
    let (x, w, y) = (conv.input_len(), conv.weights_len(), conv.output_len());
    [
        ("forward", Conv2d::forward, naive::conv2d, [x, w, y]),
        ("gradient of x", Conv2d::gradient_input, naive::conv2d_gradient_input, [w, y, x]),
        ("gradient of w", Conv2d::gradient_weights, naive::conv2d_gradient_weights, [x, y, w]),
    ]
}

/// All three within gamma_n |a| |b| of the definition, n being the longest sum, and exact on small integers.
fn check<T: Float>(conv: &Conv2d, edge: Edge, name: &str) {
    let [height, width] = conv.output_size();
    let [kernel_height, kernel_width] = conv.kernel().size;
    let [channels_in, channels_out] = conv.channels();
    let longest =
        (kernel_height * kernel_width * channels_in.max(channels_out)).max(conv.batch() * height * width);
    let nu = (longest + 2) as f64 * T::EPSILON.to_f64();
    for (method, ours, twin, [a, b, out]) in methods::<T>(conv) {
        for (make, exact) in [(normal as fn(usize, u64) -> Vec<T>, false), (small_integers, true)] {
            let (a, b) = (Guarded::new(&make(a, 1), edge), Guarded::new(&make(b, 2), edge));
            let mut got = Guarded::new(&vec![T::from_f64(f64::NAN); out], edge);
            ours(conv, &a, &b, &mut got).unwrap();
            let mut expected = vec![T::ZERO; out];
            twin(conv, &a, &b, &mut expected);
            let magnitude = |x: &[T]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
            let mut bounds = vec![T::ZERO; out];
            twin(conv, &magnitude(&a), &magnitude(&b), &mut bounds);
            for (i, ((&x, &y), &bound)) in got.iter().zip(&expected).zip(&bounds).enumerate() {
                let bound = if exact { 0.0 } else { nu * bound.to_f64() };
                let error = (x.to_f64() - y.to_f64()).abs();
                assert!(error <= bound, "{name} {method} of {conv:?} at {i}: {x} but {y}, bound {bound:e}");
            }
        }
    }
}

fn conv(batch: usize, input: [usize; 2], channels: [usize; 2], kernel: Kernel2d) -> Option<Conv2d> {
    Conv2d::new(batch, input, channels, kernel).ok()
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn convolutions_of_any_shape(
        batch in 0usize..3,
        input in (0usize..9, 0usize..30),
        channels in (0usize..5, 0usize..20),
        size in (1usize..4, 1usize..5),
        stride in (1usize..4, 1usize..4),
        padding in (0usize..4, 0usize..4),
        dilation in (1usize..4, 1usize..4),
        front: bool,
    ) {
        let kernel =
            Kernel2d { size: size.into(), stride: stride.into(), padding: padding.into(), dilation: dilation.into() };
        let reach = |axis: usize| (kernel.size[axis] - 1) * kernel.dilation[axis];
        let padded = [input.0 + 2 * kernel.padding[0], input.1 + 2 * kernel.padding[1]];
        let Some(conv) = conv(batch, input.into(), channels.into(), kernel) else {
            prop_assert!(reach(0) >= padded[0] || reach(1) >= padded[1]);
            return Ok(());
        };
        let size = [0, 1].map(|axis| (padded[axis] - reach(axis) - 1) / kernel.stride[axis] + 1);
        prop_assert_eq!(conv.output_size(), size);
        let edge = if front { Edge::Front } else { Edge::Back };
        on_every_isa(|isa| {
            check::<f32>(&conv, edge, isa.name());
            check::<f64>(&conv, edge, isa.name());
        });

        // <y, x * w> = <x, gradient of x> = <w, gradient of w>, exactly on integers.
        let x: Vec<f64> = small_integers(conv.input_len(), 1);
        let w: Vec<f64> = small_integers(conv.weights_len(), 2);
        let dy: Vec<f64> = small_integers(conv.output_len(), 3);
        let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        conv.forward(&x, &w, &mut y).unwrap();
        conv.gradient_input(&w, &dy, &mut dx).unwrap();
        conv.gradient_weights(&x, &dy, &mut dw).unwrap();
        let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        prop_assert_eq!(inner(&dy, &y), inner(&x, &dx));
        prop_assert_eq!(inner(&dy, &y), inner(&w, &dw));
    }
}

#[test]
fn large_convolutions() {
    let same = |size: usize| Kernel2d { padding: [size / 2; 2], ..Kernel2d::new(size, size) };
    let strided = Kernel2d { stride: [2, 2], ..same(3) };
    on_every_isa(|isa| {
        for (batch, input, channels, kernel) in [
            (2, [28, 28], [32, 40], same(3)),
            (1, [14, 14], [130, 70], strided),
            (3, [40, 33], [1, 9], same(5)),
            (1, [9, 300], [17, 3], Kernel2d { dilation: [2, 3], ..same(3) }),
            (2, [20, 20], [64, 64], Kernel2d::new(1, 1)),
            // So many weights that they pass in pieces.
            (1, [6, 6], [520, 90], same(3)),
        ] {
            check::<f32>(&Conv2d::new(batch, input, channels, kernel).unwrap(), Edge::Back, isa.name());
        }
    });
}

#[test]
fn a_nan_reaches_what_sees_it_only() {
    let kernel = Kernel2d { size: [3, 2], stride: [2, 1], padding: [1, 2], dilation: [1, 2] };
    let conv = Conv2d::new(2, [7, 6], [3, 5], kernel).unwrap();
    on_every_isa(|isa| {
        for (method, ours, twin, [a, b, out]) in methods::<f32>(&conv) {
            for (at, other) in [(0, 0), (a / 2, b - 1), (a - 1, b / 2)] {
                let (mut a, mut b) = (normal::<f32>(a, 1), normal::<f32>(b, 2));
                for poison in [f32::NAN, f32::INFINITY] {
                    (a[at], b[other]) = (poison, if poison.is_nan() { b[other] } else { 0.0 });
                    let (mut got, mut expected) = (vec![0.0; out], vec![0.0; out]);
                    ours(&conv, &a, &b, &mut got).unwrap();
                    twin(&conv, &a, &b, &mut expected);
                    let finite = |x: &[f32]| x.iter().map(|x| x.is_finite()).collect::<Vec<_>>();
                    assert!(finite(&got) == finite(&expected), "{} {method}", isa.name());
                    assert!(finite(&got).contains(&true) && finite(&got).contains(&false));
                }
            }
        }
    });
}

#[test]
fn fused_is_one_after_the_other() {
    let kernel = Kernel2d { padding: [1, 2], ..Kernel2d::new(3, 3) };
    // No tap reaches the corners of the last.
    let far = Kernel2d { padding: [3, 3], ..Kernel2d::new(2, 2) };
    on_every_isa(|_| {
        for kernel in [kernel, far] {
            let conv = Conv2d::new(2, [5, 6], [3, 18], kernel).unwrap();
            let (x, w) = (normal::<f32>(conv.input_len(), 1), normal::<f32>(conv.weights_len(), 2));
            let bias = normal::<f32>(18, 3);
            let mut y = vec![0.0; conv.output_len()];
            let mut fused = y.clone();
            conv.forward(&x, &w, &mut y).unwrap();
            conv.forward_fused(&x, &w, Some(&bias), Some(Activation::Relu), &mut fused).unwrap();
            for (i, y) in y.iter().enumerate() {
                assert_eq!(fused[i], (y + bias[i % 18]).max(0.0));
            }
            assert!(conv.forward_fused(&x, &w, Some(&bias[1..]), None, &mut fused).is_err());
        }
    });
}

#[test]
fn same_bits_at_any_thread_count() {
    let kernel = Kernel2d { padding: [1, 1], ..Kernel2d::new(3, 3) };
    let conv = Conv2d::new(9, [30, 31], [16, 33], kernel).unwrap();
    let all = || {
        methods::<f32>(&conv).map(|(_, ours, _, [a, b, out])| {
            let mut got = vec![0.0; out];
            ours(&conv, &normal::<f32>(a, 1), &normal::<f32>(b, 2), &mut got).unwrap();
            got.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        })
    };
    on_every_isa(|isa| {
        let one = parallel::with_threads(1, all);
        for threads in [2, 3, 7] {
            assert!(parallel::with_threads(threads, all) == one, "{} at {threads} threads", isa.name());
        }
    });
}

#[test]
fn convolutions_that_do_not_fit_are_errors() {
    let new = |input, kernel| Conv2d::new(1, input, [1, 1], kernel).map_err(|error| error.to_string());
    let kernel = Kernel2d::new(3, 3);
    assert!(new([3, 3], kernel).is_ok());
    assert_eq!(
        new([2, 3], kernel).unwrap_err(),
        "pixels from the first to the last tap: expected below 2, found 2"
    );
    assert_eq!(
        new([3, 3], Kernel2d { stride: [1, 0], ..kernel }).unwrap_err(),
        "stride: expected at least 1, found 0"
    );
    assert!(new([3, 3], Kernel2d { dilation: [0, 1], ..kernel }).is_err());
    assert!(new([3, 3], Kernel2d { size: [0, 1], ..kernel }).is_err());
    assert!(new([3, 3], Kernel2d { dilation: [usize::MAX, 1], ..kernel }).is_err());
    assert!(new([3, 3], Kernel2d { padding: [usize::MAX, 1], ..kernel }).is_err());
    assert!(
        new([usize::MAX, 3], kernel).is_err() && Conv2d::new(usize::MAX, [3, 3], [1, 1], kernel).is_err()
    );
    let conv = new([4, 4], kernel).unwrap();
    let run = |x: usize, w: usize, y: usize| conv.forward(&vec![0.0; x], &vec![0.0; w], &mut vec![0.0; y]);
    assert!(
        run(16, 9, 4).is_ok() && run(15, 9, 4).is_err() && run(16, 8, 4).is_err() && run(16, 9, 5).is_err()
    );
}
