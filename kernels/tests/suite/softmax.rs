//! Softmax of rows and its logarithm.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, normal, strides, view, view_mut};
use crate::{LENGTHS, on_every_isa};
use std::cell::RefCell;
use tilewise_kernels::{Float, MatMut, MatRef, ShapeError, log_softmax, naive, softmax};

type Naive<T> = fn(MatRef<'_, T>, MatMut<'_, T>);

type OfRows<T> = fn(MatRef<'_, T>, MatMut<'_, T>) -> Result<(), ShapeError>;

/// The kernel and its definition, and whether results are logarithms.
fn both<T: Float>() -> [(OfRows<T>, Naive<T>, bool); 2] {
    [(softmax, naive::softmax, false), (log_softmax, naive::log_softmax, true)]
}

fn check<T: Float>(rows: usize, cols: usize, name: &str) {
    for la in LAYOUTS {
        let len = strides(la, rows, cols).3;
        let scaled: Vec<T> = normal::<T>(len, 1).iter().map(|&x| x * T::from_f64(20.0)).collect();
        let data = Guarded::new(&scaled, Edge::Back);
        for (kernel, naive, logarithms) in both::<T>() {
            let mut got = Guarded::new(&vec![T::ZERO; len], Edge::Back);
            let mut expected = vec![T::ZERO; len];
            kernel(view(&data, la, rows, cols), view_mut(&mut got, la, rows, cols)).unwrap();
            naive(view(&data, la, rows, cols), view_mut(&mut expected, la, rows, cols));
            for i in 0..len {
                let (g, e) = (got[i].to_f64(), expected[i].to_f64());
                // x - max is rounded, at up to about 200: in a logarithm as it is, in a share to as much of it.
                let size = if logarithms { 1.0 + e.abs() + 100.0 } else { e * 100.0 };
                let bound = 4.0 * T::EPSILON.to_f64() * size + 1e-44;
                assert!((g - e).abs() <= bound, "{name} {rows} x {cols} {la:?}: {g} but {e}");
            }
        }
    }
}

#[test]
fn softmax_of_rows() {
    on_every_isa(|isa| {
        for cols in LENGTHS.into_iter().filter(|n| (1..=1000).contains(n)) {
            check::<f32>(3, cols, isa.name());
            check::<f64>(2, cols, isa.name());
        }
        check::<f32>(4000, 10, isa.name());
        let row = [0.0f64, f64::NEG_INFINITY, 0.0];
        let mut out = [0.0; 3];
        log_softmax(view(&row, LAYOUTS[0], 1, 3), view_mut(&mut out, LAYOUTS[0], 1, 3)).unwrap();
        assert_eq!((out[0], out[1]), (-std::f64::consts::LN_2, f64::NEG_INFINITY));
        softmax(view(&row, LAYOUTS[0], 1, 3), view_mut(&mut out, LAYOUTS[0], 1, 3)).unwrap();
        assert_eq!(out, [0.5, 0.0, 0.5]);
        for bad in [f64::NAN, f64::INFINITY] {
            for (kernel, ..) in both::<f64>() {
                kernel(view(&[0.0, bad, 1.0], LAYOUTS[0], 1, 3), view_mut(&mut out, LAYOUTS[0], 1, 3))
                    .unwrap();
                assert!(out.iter().all(|x| x.is_nan()), "{out:?}");
            }
        }
    });
    assert!(
        softmax(view(&[0.0f32; 6], LAYOUTS[0], 2, 3), view_mut(&mut [0.0; 6], LAYOUTS[0], 3, 2)).is_err()
    );
}

/// The largest element decides wherever it stands; shares of e^89 and more would be infinite without it.
#[test]
fn the_largest_of_a_row_is_found_anywhere() {
    on_every_isa(|isa| {
        for cols in [17, 64, 65, 300] {
            for at in 0..cols {
                let mut row = vec![-1000.0f32; cols];
                row[at] = 1000.0;
                let mut out = vec![0.0; cols];
                softmax(view(&row, LAYOUTS[0], 1, cols), view_mut(&mut out, LAYOUTS[0], 1, cols)).unwrap();
                let all = out.iter().enumerate().all(|(i, &p)| p == if i == at { 1.0 } else { 0.0 });
                assert!(all, "{} {at} of {cols}: {out:?}", isa.name());
            }
        }
    });
}

fn check_rows_apart<T: Float>(kernel: OfRows<T>, name: &str) {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let same = |a: T, b: T| {
        a.to_f64().to_bits() == b.to_f64().to_bits() || a.to_f64().is_nan() && b.to_f64().is_nan()
    };
    for (rows, cols) in [(37, 1), (37, 2), (37, 3), (37, 10), (1029, 16), (37, 17)] {
        let mut x: Vec<T> = normal(rows * cols, 1);
        for (row, value) in [(5, nan), (9, -inf), (12, inf), (20, 80.0), (36, nan)] {
            x[row * cols] = T::from_f64(value);
        }
        x[9 * cols..10 * cols].fill(T::from_f64(-inf));
        for edge in [Edge::Back, Edge::Front] {
            let x = Guarded::new(&x, edge);
            let mut all = Guarded::new(&vec![T::ZERO; rows * cols], edge);
            kernel(view(&x, LAYOUTS[0], rows, cols), view_mut(&mut all, LAYOUTS[0], rows, cols)).unwrap();
            for (i, (row, expected)) in x.chunks_exact(cols).zip(all.chunks_exact(cols)).enumerate() {
                let mut alone = vec![T::ZERO; cols];
                kernel(view(row, LAYOUTS[0], 1, cols), view_mut(&mut alone, LAYOUTS[0], 1, cols)).unwrap();
                assert!(alone.iter().zip(expected).all(|(a, b)| same(*a, *b)), "{name} row {i} of {cols}");
                let hopeless = [5, 9, 12, 36].contains(&i);
                assert_eq!(
                    hopeless,
                    alone.iter().any(|v| v.to_f64().is_nan()),
                    "{name} row {i} of {cols}: {alone:?}"
                );
            }
        }
    }
}

/// Rows share vectors where they are short: none may see another.
#[test]
fn a_row_of_softmax_depends_on_no_other() {
    on_every_isa(|isa| {
        both::<f32>().iter().for_each(|b| check_rows_apart::<f32>(b.0, isa.name()));
        both::<f64>().iter().for_each(|b| check_rows_apart::<f64>(b.0, isa.name()));
    });
}

#[test]
fn same_bits_on_every_instruction_set() {
    let x: Vec<f64> = (0..3000).map(|i| f64::from(i) * 0.5 - 750.0).collect();
    let y: Vec<f32> = normal(9000, 1);
    let first = RefCell::new(None);
    on_every_isa(|isa| {
        let mut bits = Vec::new();
        let (mut out64, mut out32) = (vec![0.0; 3000], vec![0.0; 9000]);
        for (rows, cols) in [(30, 100), (300, 10)] {
            for (kernel, ..) in both::<f64>() {
                kernel(view(&x, LAYOUTS[0], rows, cols), view_mut(&mut out64, LAYOUTS[0], rows, cols))
                    .unwrap();
                bits.extend(out64.iter().map(|x: &f64| x.to_bits()));
            }
            for (kernel, ..) in both::<f32>() {
                let rows = 3 * rows;
                kernel(view(&y, LAYOUTS[0], rows, cols), view_mut(&mut out32, LAYOUTS[0], rows, cols))
                    .unwrap();
                bits.extend(out32.iter().map(|x: &f32| u64::from(x.to_bits())));
            }
        }
        assert!(*first.borrow_mut().get_or_insert_with(|| bits.clone()) == bits, "{} differs", isa.name());
    });
}
