//! Matrices of other crates as ours.

use ndarray::{Array2, s};
use tilewise_kernels::{MatMut, MatRef, gemm};

fn same(ours: MatRef<'_, f64>, get: impl Fn(usize, usize) -> f64, shape: (usize, usize)) {
    assert_eq!((ours.rows(), ours.cols()), shape);
    for i in 0..shape.0 {
        for j in 0..shape.1 {
            assert_eq!(ours.get(i, j), get(i, j), "({i}, {j}) of {shape:?}");
        }
    }
}

#[test]
fn arrays_of_ndarray() {
    let a = Array2::from_shape_fn((7, 5), |(i, j)| (10 * i + j) as f64);
    for view in [
        a.view(),
        a.t(),
        a.slice(s![1..6;2, ..]),
        a.slice(s![..;-1, 1..5;-2]),
        a.slice(s![3..3, ..]),
        a.slice(s![2..3, 1..2;-1]),
        a.row(3).insert_axis(ndarray::Axis(0)).broadcast((4, 5)).unwrap(),
    ] {
        same(view.into(), |i, j| view[(i, j)], view.dim());
    }
}

#[test]
fn matrices_of_faer() {
    let a = faer::Mat::from_fn(7, 5, |i, j| (10 * i + j) as f64);
    for view in [
        a.as_ref(),
        a.transpose(),
        a.as_ref().reverse_rows(),
        a.as_ref().subcols(1, 3).reverse_rows_and_cols(),
        a.as_ref().subrows(3, 0),
    ] {
        same(view.into(), |i, j| view[(i, j)], view.shape());
    }
}

#[test]
fn products_between_them() {
    let a = Array2::from_shape_fn((7, 5), |(i, j)| (i + 2 * j) as f64);
    let b = faer::Mat::from_fn(6, 5, |i, j| i as f64 - j as f64);
    let mut c = Array2::zeros((8, 6));
    gemm(1.0, a.view().into(), b.transpose().into(), 0.0, c.slice_mut(s![..7;-1, ..]).into()).unwrap();
    let mut d = faer::Mat::zeros(7, 6);
    gemm(1.0, a.view().into(), b.transpose().into(), 0.0, d.as_mut().into()).unwrap();
    for i in 0..7 {
        for j in 0..6 {
            let expected: f64 = (0..5).map(|l| a[(i, l)] * b[(j, l)]).sum();
            assert_eq!((c[(6 - i, j)], d[(i, j)]), (expected, expected));
        }
    }
    assert!(c.row(7).iter().all(|&x| x == 0.0));
    let wrong: Result<(), _> = gemm(1.0, a.view().into(), a.view().into(), 0.0, MatMut::from(d.as_mut()));
    assert!(wrong.is_err());
}
