//! Elementary functions against the standard library in higher precision, and their bits across instruction sets.

use crate::guard::{Edge, Guarded};
use crate::inputs::{LAYOUTS, normal, strides, view, view_mut};
use crate::{LENGTHS, on_every_isa};
use std::cell::RefCell;
use tilewise_kernels::simd::Isa;
use tilewise_kernels::{EXP_ULP, Float, SIGMOID_ULP, exp, log_softmax, naive, parallel, sigmoid};

/// |got - expected| in units of the last place of `expected` as an f32; `expected` is accurate to f64.
fn ulps32(got: f32, expected: f64) -> f64 {
    if f64::from(got) == expected || (got.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    if got.is_nan() || expected.is_nan() {
        return f64::INFINITY;
    }
    if expected > f64::from(f32::MAX) {
        // Beyond the largest number: infinity or that number are right.
        return if got == f32::INFINITY || got == f32::MAX { 0.0 } else { f64::INFINITY };
    }
    // The bits of 2^exponent; 23 more exponents down is the last place.
    let power = expected.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() >> 52;
    (f64::from(got) - expected).abs() / f64::from_bits((power - 23) << 52)
}

/// Every `step`-th f32 there is.
fn sweep(step: u32) -> Vec<f32> {
    (0..=u32::MAX / step).map(|i| f32::from_bits(i * step)).collect()
}

fn check32(isa: Isa, function: fn(&[f32], &mut [f32]), reference: impl Fn(f64) -> f64 + Sync, limit: f64) {
    let step = step(isa);
    // A million numbers at a time, so that the exhaustive sweep needs no memory.
    const CHUNK: u64 = 1 << 20;
    let count = (1u64 << 32).div_ceil(step);
    let chunks = parallel::map(count.div_ceil(CHUNK) as usize, |chunk| {
        let first = chunk as u64 * CHUNK;
        let x: Vec<f32> =
            (first..count.min(first + CHUNK)).map(|i| f32::from_bits((i * step) as u32)).collect();
        let mut y = vec![0.0; x.len()];
        function(&x, &mut y);
        let errors = x.iter().zip(&y).map(|(&x, &y)| (ulps32(y, reference(f64::from(x))), x));
        errors.fold((0.0, 0.0), |worst, next| if next.0 > worst.0 { next } else { worst })
    });
    let worst = chunks.into_iter().fold((0.0, 0.0f32), |a, b| if b.0 > a.0 { b } else { a });
    assert!(worst.0 <= limit, "{}: {} ULP at {:e}", isa.name(), worst.0, worst.1);
}

/// TILEWISE_DEEP=1 (`make test-deep`) visits every f32 there is on the best set; the others have the same bits, and
/// portable code calls a function for each fused multiply-add.
fn step(isa: Isa) -> u64 {
    let deep = std::env::var_os("TILEWISE_DEEP").is_some();
    if deep && Isa::available().next() == Some(isa) { 1 } else { 9973 }
}

fn logistic(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

#[test]
fn single_precision_within_the_stated_error() {
    on_every_isa(|isa| {
        check32(isa, |x, y| exp(x, y).unwrap(), f64::exp, EXP_ULP);
        check32(isa, |x, y| sigmoid(x, y).unwrap(), logistic, SIGMOID_ULP);
    });
}

/// Values of e^x in 40 digits' arithmetic (see golden/exp.py), as the nearest f64 and the remainder.
const GOLDEN: &str = include_str!("golden/exp.csv");

#[test]
fn double_precision_within_the_stated_error() {
    let rows: Vec<[f64; 3]> = GOLDEN
        .lines()
        .skip(1)
        .map(|line| {
            let mut cells =
                line.split(',').map(|cell| f64::from_bits(u64::from_str_radix(cell, 16).unwrap()));
            std::array::from_fn(|_| cells.next().unwrap())
        })
        .collect();
    assert!(rows.len() >= 2000);
    on_every_isa(|isa| {
        let x: Vec<f64> = rows.iter().map(|row| row[0]).collect();
        let mut y = vec![0.0; x.len()];
        exp(&x, &mut y).unwrap();
        for (y, [x, high, low]) in y.iter().zip(&rows) {
            let ulp = (high.abs().max(f64::MIN_POSITIVE).log2().floor() - 52.0).exp2();
            let error = if y == high { low.abs() / ulp } else { ((y - high) - low).abs() / ulp };
            assert!(error <= EXP_ULP, "{} exp {x:e}: {y:e} but {high:e}, {error} ULP", isa.name());
        }
        // The standard library's e^x in f64 is within an ULP; 4 of margin for the quotient.
        let x: Vec<f64> = (-80_000..80_000).map(|i| f64::from(i) * 0.01).collect();
        let mut y = vec![0.0; x.len()];
        sigmoid(&x, &mut y).unwrap();
        for (&x, &y) in x.iter().zip(&y) {
            let expected = logistic(x);
            // Below the smallest normal number steps are 2^-1074, whatever the value.
            let bound = 4.0 * f64::EPSILON * expected + 2.0 * f64::from_bits(1);
            assert!((y - expected).abs() <= bound, "sigmoid {x}: {y:e} but {expected:e}");
        }
    });
}

/// Every length around the lanes, between guard pages, equals the same elements one at a time.
fn check_lengths<T: Float>(function: impl Fn(&[T], &mut [T])) {
    for len in LENGTHS {
        for edge in [Edge::Front, Edge::Back] {
            let x = Guarded::new(&normal::<T>(len, 1), edge);
            let mut y = Guarded::new(&vec![T::ZERO; len], edge);
            function(&x, &mut y);
            for i in 0..len {
                let mut one = [T::ZERO];
                function(&x[i..=i], &mut one);
                assert!(one[0] == y[i], "element {i} of {len}: {} but {}", y[i], one[0]);
            }
        }
    }
}

#[test]
fn lengths_and_guard_pages() {
    on_every_isa(|_| {
        check_lengths::<f32>(|x, y| exp(x, y).unwrap());
        check_lengths::<f64>(|x, y| exp(x, y).unwrap());
        check_lengths::<f32>(|x, y| sigmoid(x, y).unwrap());
        check_lengths::<f64>(|x, y| sigmoid(x, y).unwrap());
    });
}

fn special<T: Float>(function: impl Fn(&[T], &mut [T]), cases: &[(f64, f64)]) {
    for &(x, expected) in cases {
        let mut y = [T::ONE];
        function(&[T::from_f64(x)], &mut y);
        let got = y[0].to_f64();
        assert!(got == expected || (got.is_nan() && expected.is_nan()), "f({x}) = {got}, not {expected}");
    }
}

#[test]
fn special_values() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    on_every_isa(|_| {
        let of_exp = [(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0), (nan, nan), (-1e6, 0.0), (1e6, inf)];
        special::<f32>(|x, y| exp(x, y).unwrap(), &of_exp);
        special::<f64>(|x, y| exp(x, y).unwrap(), &of_exp);
        let of_sigmoid =
            [(0.0, 0.5), (-0.0, 0.5), (inf, 1.0), (-inf, 0.0), (nan, nan), (1e6, 1.0), (-1e6, 0.0)];
        special::<f32>(|x, y| sigmoid(x, y).unwrap(), &of_sigmoid);
        special::<f64>(|x, y| sigmoid(x, y).unwrap(), &of_sigmoid);
    });
    assert!(exp(&[1.0f32], &mut []).is_err() && sigmoid(&[1.0f64], &mut []).is_err());
}

#[test]
fn same_bits_on_every_instruction_set() {
    let (x32, x64) = (sweep(1_000_003), (0..3000).map(|i| f64::from(i) * 0.5 - 750.0).collect::<Vec<_>>());
    let first = RefCell::new(None);
    on_every_isa(|isa| {
        let (mut y32, mut z32) = (vec![0.0f32; x32.len()], vec![0.0f32; x32.len()]);
        let (mut y64, mut z64) = (vec![0.0f64; x64.len()], vec![0.0f64; x64.len()]);
        exp(&x32, &mut y32).unwrap();
        sigmoid(&x32, &mut z32).unwrap();
        exp(&x64, &mut y64).unwrap();
        sigmoid(&x64, &mut z64).unwrap();
        let (mut l64, mut n64) = (vec![0.0; 3000], vec![0.0; 3000]);
        let row_major = crate::inputs::Layout::RowMajor;
        log_softmax(view(&x64, row_major, 30, 100), view_mut(&mut l64, LAYOUTS[0], 30, 100)).unwrap();
        log_softmax(view(&x64, row_major, 300, 10), view_mut(&mut n64, LAYOUTS[0], 300, 10)).unwrap();
        // A NaN has many bit patterns, and which one comes out is left open.
        let bits32 =
            |v: &[f32]| v.iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() }).collect::<Vec<_>>();
        let bits64 = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let all = (bits32(&y32), bits32(&z32), bits64(&y64), bits64(&z64), bits64(&l64), bits64(&n64));
        let mut first = first.borrow_mut();
        assert!(*first.get_or_insert_with(|| all.clone()) == all, "{} differs", isa.name());
    });
}

fn check_log_softmax<T: Float>(rows: usize, cols: usize, name: &str) {
    for la in LAYOUTS {
        let len = strides(la, rows, cols).3;
        let scaled: Vec<T> = normal::<T>(len, 1).iter().map(|&x| x * T::from_f64(20.0)).collect();
        let data = Guarded::new(&scaled, Edge::Back);
        let mut got = Guarded::new(&vec![T::ZERO; len], Edge::Back);
        let mut expected = vec![T::ZERO; len];
        log_softmax(view(&data, la, rows, cols), view_mut(&mut got, la, rows, cols)).unwrap();
        naive::log_softmax(view(&data, la, rows, cols), view_mut(&mut expected, la, rows, cols));
        for i in 0..len {
            let (g, e) = (got[i].to_f64(), expected[i].to_f64());
            // x - max - ln(sum): rounding of values up to about 200, and of the sum.
            let bound = 4.0 * T::EPSILON.to_f64() * (1.0 + e.abs() + 100.0);
            assert!((g - e).abs() <= bound, "{name} {rows} x {cols} {la:?}: {g} but {e}");
        }
    }
}

fn check_rows_apart<T: Float>(name: &str) {
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
            log_softmax(view(&x, LAYOUTS[0], rows, cols), view_mut(&mut all, LAYOUTS[0], rows, cols))
                .unwrap();
            for (i, (row, expected)) in x.chunks_exact(cols).zip(all.chunks_exact(cols)).enumerate() {
                let mut alone = vec![T::ZERO; cols];
                log_softmax(view(row, LAYOUTS[0], 1, cols), view_mut(&mut alone, LAYOUTS[0], 1, cols))
                    .unwrap();
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
fn a_row_of_log_softmax_depends_on_no_other() {
    on_every_isa(|isa| {
        check_rows_apart::<f32>(isa.name());
        check_rows_apart::<f64>(isa.name());
    });
}

#[test]
fn log_softmax_of_rows() {
    on_every_isa(|isa| {
        for cols in LENGTHS.into_iter().filter(|n| (1..=1000).contains(n)) {
            check_log_softmax::<f32>(3, cols, isa.name());
            check_log_softmax::<f64>(2, cols, isa.name());
        }
        check_log_softmax::<f32>(4000, 10, isa.name());
        let row = [0.0f64, f64::NEG_INFINITY, 0.0];
        let mut out = [0.0; 3];
        log_softmax(view(&row, LAYOUTS[0], 1, 3), view_mut(&mut out, LAYOUTS[0], 1, 3)).unwrap();
        assert_eq!((out[0], out[1]), (-std::f64::consts::LN_2, f64::NEG_INFINITY));
        for bad in [f64::NAN, f64::INFINITY] {
            log_softmax(view(&[0.0, bad, 1.0], LAYOUTS[0], 1, 3), view_mut(&mut out, LAYOUTS[0], 1, 3))
                .unwrap();
            assert!(out.iter().all(|x| x.is_nan()), "{out:?}");
        }
    });
}
