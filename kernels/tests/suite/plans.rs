//! Planned products against products that are not planned.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, Layout, normal, strides, view, view_mut};
use crate::on_every_isa;
use crate::products::config;
use proptest::prelude::*;
use tilewise_kernels::{Float, GemmPlan, MatMut, MatRef, gemm};

/// A plan in guarded operands of any layout, compared with the product that is not planned, bit for bit.
fn check_plan<T: Float>(
    (m, n, k): (usize, usize, usize),
    layouts: [Layout; 3],
    (alpha, beta): (f64, f64),
    edge: Edge,
) {
    let lens = [strides(layouts[0], m, k).3, strides(layouts[1], k, n).3, strides(layouts[2], m, n).3];
    let (a, b) = (Guarded::new(&normal::<T>(lens[0], 1), edge), Guarded::new(&normal::<T>(lens[1], 2), edge));
    let mut expected: Vec<T> = normal(lens[2], 3);
    if beta == 0.0 {
        expected.fill(T::from_f64(f64::NAN));
    }
    let mut got = Guarded::new(&expected, edge);
    let (a, b) = (view(&a, layouts[0], m, k), view(&b, layouts[1], k, n));
    let (alpha, beta) = (T::from_f64(alpha), T::from_f64(beta));
    gemm(alpha, a, b, beta, view_mut(&mut expected, layouts[2], m, n)).unwrap();
    GemmPlan::new(m, n, k).run(alpha, a, b, beta, view_mut(&mut got, layouts[2], m, n)).unwrap();
    let bits = |x: &[T]| x.iter().map(|x| x.to_f64().to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&got), bits(&expected), "{m}x{n}x{k} {layouts:?} alpha {alpha} beta {beta}");
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn plans_give_the_bits_of_products(
        shape in (0_usize..50, 0_usize..70, 0_usize..40),
        layouts in (0_usize..6, 0_usize..6, 0_usize..6),
        alpha in prop::sample::select(vec![1.0, 0.0, -2.5]),
        beta in prop::sample::select(vec![0.0, 1.0, 0.3]),
        back: bool,
    ) {
        let layouts = [LAYOUTS[layouts.0], LAYOUTS[layouts.1], LAYOUTS[layouts.2]];
        let edge = if back { Edge::Back } else { Edge::Front };
        on_every_isa(|_| {
            check_plan::<f32>(shape, layouts, (alpha, beta), edge);
            check_plan::<f64>(shape, layouts, (alpha, beta), edge);
            // What plans are for.
            check_plan::<f32>(shape, [Layout::RowMajor; 3], (1.0, beta), edge);
            check_plan::<f64>(shape, [Layout::Padded; 3], (1.0, beta), edge);
        });
    }
}

#[test]
fn plans_refuse_other_shapes() {
    let (plan, data) = (GemmPlan::<f32>::new(2, 3, 4), [1.0_f32; 20]);
    let view = |rows, cols| MatRef::new(&data[..rows * cols], rows, cols).unwrap();
    let mut c = [7.0_f32; 12];
    for ((am, ak), (bk, bn), (cm, cn), at_fault) in [
        ((3, 4), (4, 3), (2, 3), "rows of A"),
        ((2, 3), (4, 3), (2, 3), "columns of A"),
        ((2, 4), (3, 3), (2, 3), "rows of B"),
        ((2, 4), (4, 4), (2, 3), "columns of B"),
        ((2, 4), (4, 3), (3, 3), "rows of C"),
        ((2, 4), (4, 3), (2, 4), "columns of C"),
    ] {
        let out = MatMut::new(&mut c[..cm * cn], cm, cn).unwrap();
        let error = plan.run(1.0, view(am, ak), view(bk, bn), 0.0, out).unwrap_err();
        assert!(error.to_string().starts_with(at_fault), "{error}");
        assert_eq!(c, [7.0; 12]);
    }
}
