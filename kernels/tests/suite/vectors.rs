//! Sums, inner products, axpy and addition against their naive twins.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, normal, strides, view, view_mut};
use crate::{LENGTHS, on_every_isa};
use tilewise_kernels::{Float, MatMut, MatRef, add, axpy, dot, naive, sum};

fn check<T: Float>(len: usize, edge: Edge, name: &str) {
    let x = Guarded::new(&normal::<T>(len, 1), edge);
    let y = Guarded::new(&normal::<T>(len, 2), edge);
    let eps = T::EPSILON.to_f64();
    // Log-depth sums: at most 64 + 12 + 20 additions one after another up to a million elements, plus the rounding of
    // the twin's own result.
    let bound = |absolute: f64| 100.0 * eps * absolute + f64::MIN_POSITIVE;
    let absolute: f64 = x.iter().map(|x| x.to_f64().abs()).sum();
    let (got, expected) = (sum(&x).to_f64(), naive::sum(&x).to_f64());
    assert!((got - expected).abs() <= bound(absolute), "{name} sum of {len}: {got} but {expected}");
    let absolute: f64 = x.iter().zip(y.iter()).map(|(x, y)| (x.to_f64() * y.to_f64()).abs()).sum();
    let (got, expected) = (dot(&x, &y).unwrap().to_f64(), naive::dot(&x, &y).to_f64());
    assert!((got - expected).abs() <= bound(absolute), "{name} dot of {len}: {got} but {expected}");
    let alpha = T::from_f64(-1.7);
    let mut got = Guarded::new(&y, edge);
    let mut expected = y.to_vec();
    axpy(alpha, &x, &mut got).unwrap();
    naive::axpy(alpha, &x, &mut expected);
    for i in 0..len {
        let size = (alpha * x[i]).to_f64().abs() + y[i].to_f64().abs();
        let difference = (got[i].to_f64() - expected[i].to_f64()).abs();
        assert!(difference <= eps * size, "{name} axpy of {len} at {i}: {} but {}", got[i], expected[i]);
    }
}

#[test]
fn sums_products_and_axpy() {
    on_every_isa(|isa| {
        for len in LENGTHS {
            for edge in [Edge::Front, Edge::Back] {
                check::<f32>(len, edge, isa.name());
                check::<f64>(len, edge, isa.name());
            }
        }
        check::<f32>(1_000_003, Edge::Back, isa.name());
    });
}

#[test]
fn sums_are_accurate_and_keep_nan_and_infinity() {
    on_every_isa(|_| {
        // A running f32 sum of ten million ones and a tail would stop at 2^24 or lose the tail.
        let x = vec![0.1f32; 10_000_000];
        let exact = 10_000_000.0 * f64::from(0.1f32);
        assert!((f64::from(sum(&x)) - exact).abs() < 1e-6 * exact, "{}", sum(&x));
        for at in [0, 31, 32, 5000, 9999] {
            let mut x = vec![1.0f64; 10_000];
            x[at] = f64::NAN;
            assert!(sum(&x).is_nan() && dot(&x, &vec![1.0; 10_000]).unwrap().is_nan());
            x[at] = f64::INFINITY;
            assert_eq!(sum(&x), f64::INFINITY);
        }
        assert!(dot(&[1.0f32], &[]).is_err());
        assert!(axpy(1.0, &[1.0f32], &mut []).is_err());
    });
}

/// Addition is one rounding: always exactly the twin's.
fn check_add<T: Float>(rows: usize, cols: usize, edge: Edge) {
    for la in LAYOUTS {
        for lc in LAYOUTS {
            let len = |layout| strides(layout, rows, cols).3;
            let a = Guarded::new(&normal::<T>(len(la), 1), edge);
            let b = Guarded::new(&normal::<T>(rows * cols, 2), edge);
            let mut got = Guarded::new(&normal::<T>(len(lc), 3), edge);
            let mut expected = got.to_vec();
            let (a, b) = (view(&a, la, rows, cols), MatRef::new(&b, rows, cols).unwrap());
            add(a, b, view_mut(&mut got, lc, rows, cols)).unwrap();
            naive::add(a, b, view_mut(&mut expected, lc, rows, cols));
            assert!(got[..] == expected[..], "{rows} x {cols} {la:?} {lc:?}");
        }
    }
}

#[test]
fn addition() {
    on_every_isa(|_| {
        for (rows, cols) in [(0, 0), (1, 1), (3, 7), (16, 16), (5, 33), (2, 129)] {
            check_add::<f32>(rows, cols, Edge::Back);
            check_add::<f64>(rows, cols, Edge::Front);
        }
        // Streaming stores, from every alignment.
        let n = (8 << 20) / 4 + 77;
        let (a, b): (Vec<f32>, Vec<f32>) = (normal(n, 1), normal(n, 2));
        let mut c = vec![0.0f32; n + 16];
        for offset in [0, 1, 3, 5, 15] {
            let c = &mut c[offset..offset + n];
            let row = |x| MatRef::new(x, 1, n).unwrap();
            add(row(&a), row(&b), MatMut::new(c, 1, n).unwrap()).unwrap();
            assert!((0..n).all(|i| c[i] == a[i] + b[i]), "offset {offset}");
        }
    });
}
