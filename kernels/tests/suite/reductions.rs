//! Norms, extremes, moments, and the rows and columns of matrices against their naive twins.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, normal, small_integers, strides, view};
use crate::{LENGTHS, on_every_isa};
use tilewise_kernels::*;

/// Roundings that an element of a sum meets at most: 256 in a lane, some halvings, and those of the definition.
const ROUNDINGS: f64 = 300.0;

fn close<T: Float>(got: T, expected: T, size: f64, what: &str) {
    let bound = ROUNDINGS * T::EPSILON.to_f64() * size;
    assert!((got - expected).to_f64().abs() <= bound, "{what}: {got} but {expected}");
}

/// Means are compared with the size of the elements, sums of squares with themselves: 17 times their error at most.
fn close_moments<T: Float>(got: Moments, expected: Moments, size: f64, what: &str) {
    assert_eq!(got.count, expected.count, "{what}");
    close::<T>(T::from_f64(got.mean), T::from_f64(expected.mean), size, what);
    let (error, epsilon) = ((got.squares - expected.squares).abs(), T::EPSILON.to_f64());
    // The definition subtracts a rounded mean.
    let own = expected.count as f64 * (ROUNDINGS * f64::EPSILON * size).powi(2);
    assert!(
        error <= 17.0 * ROUNDINGS * epsilon * expected.squares + own,
        "{what}: squares {:e} but {:e}",
        got.squares,
        expected.squares
    );
}

fn check_vector<T: Float>(len: usize, edge: Edge, name: &str) {
    let what = format!("{name}, {len} elements");
    let x = Guarded::new(&normal::<T>(len, 1), edge);
    let absolute: f64 = x.iter().map(|x| x.to_f64().abs()).sum();
    close(norm1(&x), naive::norm1(&x), absolute, &what);
    close(norm2(&x), naive::norm2(&x), naive::norm2(&x).to_f64(), &what);
    assert_eq!(norm_inf(&x), naive::norm_inf(&x), "{what}");
    close_moments::<T>(moments(&x), naive::moments(&x), absolute / len.max(1) as f64, &what);
    // Few different ones, so that there are ties.
    for x in [x, Guarded::new(&small_integers::<T>(len, 2), edge)] {
        assert_eq!(arg_max(&x), naive::arg_max(&x), "{what}");
        assert_eq!(arg_min(&x), naive::arg_min(&x), "{what}");
        assert_eq!(min_max(&x), naive::min_max(&x), "{what}");
    }
    let alpha = T::from_f64(-0.3);
    let mut got = Guarded::new(&normal::<T>(len, 1), edge);
    let mut expected = got.to_vec();
    scale(alpha, &mut got);
    naive::scale(alpha, &mut expected);
    assert!(got[..] == expected[..], "{what}");
}

#[test]
fn vectors_of_every_length() {
    on_every_isa(|isa| {
        for len in LENGTHS {
            for edge in [Edge::Front, Edge::Back] {
                check_vector::<f32>(len, edge, isa.name());
                check_vector::<f64>(len, edge, isa.name());
            }
        }
        check_vector::<f32>(200_003, Edge::Back, isa.name());
    });
}

/// Norms of elements from the smallest to the largest there are.
fn check_scales<T: Float>(powers: std::ops::Range<i32>) {
    for len in [1, 2, 3, 50, 5000] {
        let x: Vec<f64> = normal::<T>(len, 3).iter().map(|x| x.to_f64()).collect();
        for power in powers.clone().step_by(7).chain([powers.end - 1]) {
            // By halves: 2^1023 times 1.9 is finite, 2^-1074 is not a factor of f64's own exponents.
            let factor = |power: i32| 2f64.powi(power / 2);
            let x: Vec<T> = x
                .iter()
                .map(|x| T::from_f64((x / 8.0).clamp(-0.4, 0.4) * factor(power) * factor(power + power % 2)))
                .collect();
            let (got, expected) = (norm2(&x), naive::norm2(&x));
            if expected.is_finite() {
                close(got, expected, expected.to_f64(), &format!("norm2 of {len} about 2^{power}"));
            } else {
                assert_eq!(got, expected, "norm2 of {len} about 2^{power}");
            }
        }
    }
}

#[test]
fn euclidean_norms_of_any_size() {
    on_every_isa(|_| {
        check_scales::<f32>(-149..129);
        check_scales::<f64>(-1072..1025);
        // Some of each.
        assert_eq!(norm2(&[1e-40f32, 1e30]), 1e30);
        assert_eq!(norm2(&[f32::MAX, 1e-40, 0.0]), f32::MAX);
        assert_eq!(norm2(&[f64::from_bits(3), 0.0, f64::from_bits(4)]), f64::from_bits(5));
        assert_eq!(norm2(&[f32::from_bits(1); 100]), f32::from_bits(10));
        assert_eq!(norm2(&[f64::MAX; 4]), f64::INFINITY);
        assert_eq!(norm2(&vec![f64::MAX / 128.0; 10_000]), f64::MAX / 1.28);
    });
}

fn check_nan<T: Float>() {
    let (nan, inf) = (T::from_f64(f64::NAN), T::from_f64(f64::INFINITY));
    for len in [1, 2, 7, 33, 65, 100, 4096, 10_000, 70_000] {
        for at in [0, 1, 5, len / 2, len - 1].map(|at| at.min(len - 1)) {
            let mut x = small_integers::<T>(len, 4);
            x[at] = inf;
            assert_eq!((norm1(&x), norm2(&x), norm_inf(&x)), (inf, inf, inf));
            assert_eq!((arg_max(&x), arg_min(&x)), (Some(at), naive::arg_min(&x)));
            assert_eq!(min_max(&x), naive::min_max(&x));
            assert!(moments(&x).variance().is_nan());
            // Infinities of both signs are no NaN.
            x[len - 1 - at] = -inf;
            assert_eq!((arg_max(&x), arg_min(&x)), (naive::arg_max(&x), Some(len - 1 - at)));
            assert_eq!(min_max(&x), naive::min_max(&x));
            assert_eq!(norm_inf(&x), inf);
            // The first NaN, wherever infinities are.
            x[len - 1] = nan;
            x[at] = nan;
            assert_eq!((arg_max(&x), arg_min(&x)), (Some(at), Some(at)), "{len} elements");
            assert!(min_max(&x).is_some_and(|(a, b)| a.is_nan() && b.is_nan()), "{len} elements");
            assert!(norm1(&x).is_nan() && norm2(&x).is_nan() && norm_inf(&x).is_nan());
            assert!(moments(&x).mean.is_nan() && moments(&x).variance().is_nan());
        }
        let x = vec![-inf; len];
        assert_eq!((arg_max(&x), arg_min(&x), min_max(&x)), (Some(0), Some(0), Some((-inf, -inf))));
        let mut x = vec![nan; len];
        scale(T::ZERO, &mut x);
        assert!(x.iter().all(|x| x.is_nan()));
    }
    let zeros = [-T::ZERO; 3];
    let (least, most) = min_max(&zeros).unwrap();
    assert_eq!((arg_max(&[-T::ZERO, T::ZERO]), arg_min(&[T::ZERO, -T::ZERO])), (Some(0), Some(0)));
    assert_eq!([least, most].map(|x| (T::ONE / x).to_f64()), [f64::INFINITY; 2]);
    assert_eq!((arg_max::<T>(&[]), arg_min::<T>(&[]), min_max::<T>(&[])), (None, None, None));
    assert_eq!((norm1::<T>(&[]), norm2::<T>(&[]), norm_inf::<T>(&[])), (T::ZERO, T::ZERO, T::ZERO));
    assert_eq!(moments::<T>(&[]), Moments::default());
    assert!(moments::<T>(&[]).variance().is_nan());
}

#[test]
fn nan_infinity_and_nothing() {
    on_every_isa(|_| {
        check_nan::<f32>();
        check_nan::<f64>();
    });
}

/// Data about which a shift near the mean is not easily chosen.
fn awkward<T: Float>(len: usize) -> [Vec<T>; 5] {
    let noise = normal::<T>(len, 5);
    let of = |f: &dyn Fn(usize, f64) -> f64| {
        noise.iter().enumerate().map(|(i, x)| T::from_f64(f(i, x.to_f64()))).collect()
    };
    [
        of(&|_, x| 1000.0 + x),
        // The first one, or the first of sixteen parts, or the last, is far away.
        of(&|i, x| if i == 0 { 1e6 } else { x }),
        of(&|i, x| if i < len / 16 { 1e4 + x } else { x }),
        of(&|i, x| if i + 1 == len { -1e6 } else { x }),
        of(&|i, x| i as f64 + x),
    ]
}

fn check_moments<T: Float>(len: usize) {
    for (kind, x) in awkward::<T>(len).iter().enumerate() {
        let what = format!("awkward {kind} of {len}");
        let size = norm_inf(x).to_f64();
        close_moments::<T>(moments(x), naive::moments(x), size, &what);
        let (a, b) = x.split_at(len / 3);
        close_moments::<T>(moments(a).merge(moments(b)), naive::moments(x), size, &what);
        // The same as a column, alone and among others.
        let columns: Vec<T> = x.iter().flat_map(|&x| [T::ONE, x, x]).collect();
        let mut out = [Moments::default(); 3];
        column_moments(MatRef::new(&columns, len, 3).unwrap(), &mut out).unwrap();
        close_moments::<T>(out[1], naive::moments(x), size, &what);
        assert_eq!((out[0].mean, out[0].squares, out[1]), (1.0, 0.0, out[2]), "{what}");
    }
    let same = vec![T::from_f64(0.1); len];
    let got = moments(&same);
    assert_eq!(got.count, len);
    close::<T>(T::from_f64(got.mean), same[0], 0.1, "equal numbers");
    assert!(got.squares <= 1e-4 * T::EPSILON.to_f64() * len as f64, "{got:?}");
}

#[test]
fn moments_of_awkward_data() {
    on_every_isa(|_| {
        for len in [3, 17, 100, 5000, 70_000] {
            check_moments::<f32>(len);
            check_moments::<f64>(len);
        }
        let large = moments(&vec![1e306; 5000]);
        assert_eq!((large.mean, large.squares), (1e306, 0.0));
    });
}

/// Rows of `a` against the definitions; columns are rows of the transpose.
fn check_rows<T: Float>(a: MatRef<'_, T>, what: &str) {
    let (m, n) = (a.rows(), a.cols());
    let rows: Vec<Vec<T>> = (0..m).map(|i| (0..n).map(|j| a.get(i, j)).collect()).collect();
    let (mut sums, mut twice) = (vec![T::ONE; m], vec![T::ONE; m]);
    row_sums(a, &mut sums).unwrap();
    column_sums(a.transpose(), &mut twice).unwrap();
    assert_eq!(sums, twice, "{what}");
    let mut all = vec![Moments::default(); m];
    column_moments(a.transpose(), &mut all).unwrap();
    for (i, row) in rows.iter().enumerate() {
        let absolute: f64 = row.iter().map(|x| x.to_f64().abs()).sum();
        close(sums[i], naive::sum(row), absolute, what);
        close_moments::<T>(all[i], naive::moments(row), absolute / n.max(1) as f64, what);
    }
    let (mut largest, mut places) = (vec![T::ONE; m], vec![0; m]);
    if n == 0 && m > 0 {
        assert!(row_max(a, &mut largest).is_err() && row_arg_max(a, &mut places).is_err());
        return;
    }
    row_max(a, &mut largest).unwrap();
    row_arg_max(a, &mut places).unwrap();
    for (i, row) in rows.iter().enumerate() {
        let place = naive::arg_max(row).unwrap();
        assert_eq!(places[i], place, "{what}");
        assert!(largest[i] == row[place] || largest[i].is_nan() && row[place].is_nan(), "{what}");
    }
}

fn check_matrix<T: Float>(rows: usize, cols: usize, edge: Edge, name: &str) {
    for layout in LAYOUTS {
        let len = strides(layout, rows, cols).3;
        let what = format!("{name}, {rows} x {cols} {layout:?}");
        let data = Guarded::new(&normal::<T>(len, 6), edge);
        check_rows(view(&data, layout, rows, cols), &what);
        // Ties, NaN and infinities.
        let mut data = Guarded::new(&small_integers::<T>(len, 7), edge);
        check_rows(view(&data, layout, rows, cols), &what);
        for (i, x) in data.iter_mut().enumerate() {
            let rare = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
            *x = if i % 11 == 3 { T::from_f64(rare[i / 11 % 3]) } else { *x };
        }
        let a = view(&data, layout, rows, cols);
        for a in [a, a.transpose()].into_iter().filter(|a| a.cols() > 0) {
            let (mut largest, mut places) = (vec![T::ONE; a.rows()], vec![0; a.rows()]);
            let (mut expected, mut expected_places) = (largest.clone(), places.clone());
            row_max(a, &mut largest).unwrap();
            row_arg_max(a, &mut places).unwrap();
            naive::row_max(a, &mut expected);
            naive::row_arg_max(a, &mut expected_places);
            assert_eq!(places, expected_places, "{what}");
            let equal = largest.iter().zip(&expected).all(|(a, b)| a == b || a.is_nan() && b.is_nan());
            assert!(equal, "{what}: {largest:?} but {expected:?}");
        }
    }
}

#[test]
fn rows_and_columns_in_every_layout() {
    on_every_isa(|isa| {
        let shapes =
            [(0, 0), (0, 3), (3, 0), (1, 1), (1, 9), (9, 1), (3, 7), (16, 16), (33, 5), (40, 30), (70, 129)];
        for (rows, cols) in shapes {
            check_matrix::<f32>(rows, cols, Edge::Back, isa.name());
            check_matrix::<f64>(rows, cols, Edge::Front, isa.name());
        }
        for (rows, cols) in [(9000, 3), (3, 9000), (200, 130)] {
            let data = Guarded::new(&normal::<f32>(rows * cols, 8), Edge::Back);
            let a = MatRef::new(&data, rows, cols).unwrap();
            check_rows(a, isa.name());
            check_rows(a.transpose(), isa.name());
        }
        // One row, one column, one element again and again.
        let data: Vec<f64> = normal(40, 9);
        for (rs, cs) in [(0, 1), (1, 0), (0, 0), (0, -1), (-2, 0)] {
            check_rows(MatRef::with_strides(&data, 20, 8, 9, rs, cs).unwrap(), "broadcast");
        }
        let a = MatRef::new(&data, 4, 10).unwrap();
        assert!(row_sums(a, &mut [0.0; 3]).is_err() && column_sums(a, &mut [0.0; 4]).is_err());
        assert!(row_max(a, &mut [0.0; 3]).is_err() && row_arg_max(a, &mut [0; 5]).is_err());
        assert!(column_moments(a, &mut [Moments::default(); 4]).is_err());
    });
}
