//! Products with packed operands and with what follows them: the bits of one pass after another, and the definition.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, Layout, normal, strides, view, view_mut};
use crate::on_every_isa;
use proptest::prelude::*;
use tilewise_kernels::parallel::with_threads;
use tilewise_kernels::{Activation, Elementary, Float, Gemm, MatMut, MatRef, PackedB, gemm, naive};

const ACTIVATIONS: [Option<Activation>; 6] = [
    None,
    Some(Activation::Relu),
    Some(Activation::Sigmoid),
    Some(Activation::Tanh),
    Some(Activation::Softplus),
    Some(Activation::Gelu),
];

/// What is to be computed.
#[derive(Clone, Debug)]
struct Case {
    shape: (usize, usize, usize),
    /// Of A, B, C and the residual.
    layouts: [Layout; 4],
    factors: (f64, f64),
    bias: bool,
    residual: bool,
    activation: Option<Activation>,
}

fn applied<T: Float>(activation: Option<Activation>, x: &mut [T]) {
    match activation {
        None => {}
        Some(Activation::Relu) => {
            x.iter_mut().for_each(|x| *x = naive::activation(Activation::Relu, *x));
        }
        Some(Activation::Sigmoid) => Elementary::Sigmoid.in_place(x),
        Some(Activation::Tanh) => Elementary::Tanh.in_place(x),
        Some(Activation::Softplus) => Elementary::Softplus.in_place(x),
        Some(Activation::Gelu) => Elementary::Gelu.in_place(x),
    }
}

fn check<T: Float>(case: &Case, edge: Edge, name: &str) {
    let (m, n, k) = case.shape;
    let [in_a, in_b, in_c, in_d] = case.layouts;
    let guarded =
        |layout, rows, cols, seed| Guarded::new(&normal::<T>(strides(layout, rows, cols).3, seed), edge);
    let (a_data, b_data, d_data) = (guarded(in_a, m, k, 1), guarded(in_b, k, n, 2), guarded(in_d, m, n, 4));
    let (a, b, d) = (view(&a_data, in_a, m, k), view(&b_data, in_b, k, n), view(&d_data, in_d, m, n));
    let bias_data = Guarded::new(&normal::<T>(n, 5), edge);
    let (bias, residual) = (case.bias.then_some(&*bias_data), case.residual.then_some(d));
    let (alpha, beta) = (T::from_f64(case.factors.0), T::from_f64(case.factors.1));
    let mut old: Vec<T> = normal(strides(in_c, m, n).3, 3);
    if beta == T::ZERO {
        old.fill(T::from_f64(f64::NAN));
    }
    // One pass after another.
    let mut passes = old.clone();
    let mut c = view_mut(&mut passes, in_c, m, n);
    gemm(alpha, a, b, beta, c.reborrow()).unwrap();
    for i in 0..m {
        for j in 0..n {
            let mut x = c.get(i, j);
            bias.into_iter().for_each(|bias| x += bias[j]);
            residual.into_iter().for_each(|d| x += d.get(i, j));
            let mut x = [x];
            applied(case.activation, &mut x);
            c.set(i, j, x[0]);
        }
    }
    // The definition.
    let mut defined = old.clone();
    let into = view_mut(&mut defined, in_c, m, n);
    naive::gemm_fused(alpha, a, b, beta, bias, residual, case.activation, into);
    let defined = view(&defined, in_c, m, n);

    let packed = PackedB::new(b);
    let mut sums = Guarded::new(&vec![T::ZERO; n], edge);
    for prepacked in [false, true] {
        let mut got = Guarded::new(&old, edge);
        let mut product = Gemm::new().alpha(alpha).beta(beta).column_sums(&mut sums);
        if let Some(bias) = bias {
            product = product.bias(bias);
        }
        if let Some(d) = residual {
            product = product.residual(d);
        }
        if let Some(activation) = case.activation {
            product = product.activation(activation);
        }
        let c = view_mut(&mut got, in_c, m, n);
        if prepacked { product.run(a, &packed, c) } else { product.run(a, b, c) }.unwrap();
        let bits = |x: &[T]| x.iter().map(|x| x.to_f64().to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&got), bits(&passes), "{name} prepacked {prepacked}: {case:?}");
        let got = view(&got, in_c, m, n);
        for j in 0..n {
            let mut column = 0.0;
            for i in 0..m {
                let (x, y) = (got.get(i, j).to_f64(), defined.get(i, j).to_f64());
                // No function here is steeper than 1.13, and normal numbers stay below 6.
                let bound = (k + 8) as f64 * 4.0 * T::EPSILON.to_f64() * 36.0 * (k.max(1) as f64).sqrt();
                assert!((x - y).abs() <= bound, "{name} {case:?} at ({i}, {j}): {x} but {y}");
                column += x;
            }
            let bound = (m * m) as f64 * T::EPSILON.to_f64() * 36.0 * (k + 2) as f64;
            assert!((sums[j].to_f64() - column).abs() <= bound, "{name} {case:?}: sum of column {j}");
        }
    }
}

/// Shapes around every change of path: one row or column, none, few rows or columns and more, several blocks of k and of
/// columns.
const SHAPES: [(usize, usize, usize); 16] = [
    (0, 5, 3),
    (5, 0, 3),
    (4, 6, 0),
    (1, 1, 1),
    (1, 70, 33),
    (70, 1, 33),
    (1, 1, 800),
    (12, 33, 9),
    (13, 100, 17),
    (27, 65, 40),
    (5, 130, 900),
    (129, 37, 30),
    (3, 2100, 5),
    (140, 40, 800),
    (100, 5, 70),
    (400, 8, 600),
];

#[test]
fn fused_and_packed_products_have_the_bits_of_passes() {
    on_every_isa(|isa| {
        for (i, shape) in SHAPES.into_iter().enumerate() {
            for (j, activation) in ACTIVATIONS.into_iter().enumerate() {
                let case = Case {
                    shape,
                    layouts: [Layout::RowMajor; 4],
                    factors: [(1.0, 0.0), (-0.5, 1.0), (1.0, 2.0), (0.0, 1.0)][(i + j) % 4],
                    bias: (i + j) % 3 != 0,
                    residual: (i + j) % 2 == 0,
                    activation,
                };
                check::<f32>(&case, Edge::Back, isa.name());
                check::<f64>(&case, Edge::Front, isa.name());
            }
        }
    });
}

/// More operations than a thread takes alone, so that tiles are shared.
#[test]
fn fused_products_of_several_tasks() {
    let shapes = [(100, 300, 100), (200, 150, 120), (64, 2100, 40), (3000, 7, 100)];
    for (i, shape) in shapes.into_iter().enumerate() {
        let case = Case {
            shape,
            layouts: [Layout::RowMajor, Layout::RowMajor, LAYOUTS[i], Layout::Padded],
            factors: (1.5, -1.0),
            bias: true,
            residual: true,
            activation: Some(Activation::Tanh),
        };
        on_every_isa(|isa| with_threads(3, || check::<f32>(&case, Edge::Back, isa.name())));
    }
}

fn layout() -> impl Strategy<Value = Layout> {
    (0..LAYOUTS.len()).prop_map(|i| LAYOUTS[i])
}

fn case() -> impl Strategy<Value = Case> {
    let layouts = [layout(), layout(), layout(), layout()];
    let factors = (prop_oneof![Just(1.0), Just(-0.5)], prop_oneof![Just(0.0), Just(1.0), Just(0.7)]);
    let shape = (0..30usize, 0..80usize, 0..50usize);
    let rest = (any::<bool>(), any::<bool>(), 0..ACTIVATIONS.len());
    (shape, layouts, factors, rest).prop_map(|(shape, layouts, factors, (bias, residual, activation))| Case {
        shape,
        layouts,
        factors,
        bias,
        residual,
        activation: ACTIVATIONS[activation],
    })
}

proptest! {
    #![proptest_config(crate::products::config())]
    #[test]
    fn fused_products_of_any_shape(case in case()) {
        on_every_isa(|isa| {
            check::<f32>(&case, Edge::Back, isa.name());
            check::<f64>(&case, Edge::Front, isa.name());
        });
    }
}

#[test]
fn relu_keeps_nan() {
    let (a, b) = ([f32::NAN, 1.0], [1.0f32, -1.0]);
    let mut c = [0.0; 4];
    let product = Gemm::new().activation(Activation::Relu);
    let (a, b) = (MatRef::new(&a, 2, 1).unwrap(), MatRef::new(&b, 1, 2).unwrap());
    product.run(a, b, MatMut::new(&mut c, 2, 2).unwrap()).unwrap();
    assert!(c[0].is_nan() && c[1].is_nan());
    assert_eq!(c[2..], [1.0, 0.0]);
}

#[test]
fn parts_that_do_not_fit_are_errors() {
    let data = [1.0; 12];
    let (a, b) = (MatRef::new(&data[..6], 2, 3).unwrap(), MatRef::new(&data, 3, 4).unwrap());
    let packed = PackedB::new(b);
    let refused = |product: Gemm<'_, f64>| {
        let mut c = [7.0; 8];
        let refused = product.run(a, &packed, MatMut::new(&mut c, 2, 4).unwrap()).is_err();
        refused && c == [7.0; 8]
    };
    let mut sums = [0.0; 3];
    assert!(refused(Gemm::new().bias(&data[..3])));
    assert!(refused(Gemm::new().residual(MatRef::new(&data[..6], 2, 3).unwrap())));
    assert!(refused(Gemm::new().residual(MatRef::new(&data[..4], 1, 4).unwrap())));
    assert!(refused(Gemm::new().column_sums(&mut sums)));
    let mut c = [0.0; 8];
    let wrong = MatRef::new(&data[..8], 2, 4).unwrap();
    assert!(Gemm::new().run(wrong, &packed, MatMut::new(&mut c, 2, 4).unwrap()).is_err());
    assert!(Gemm::new().run(a, &packed, MatMut::new(&mut c, 4, 2).unwrap()).is_err());
}
