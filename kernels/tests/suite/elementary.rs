//! Elementary functions against more accurate values, and their bits across instruction sets.

use crate::guard::{Edge, Guarded};
use crate::inputs::normal;
use crate::{LENGTHS, on_every_isa};
use std::cell::RefCell;
use tilewise_kernels::simd::Isa;
use tilewise_kernels::*;

/// A function of one number.
struct Tested<T> {
    name: &'static str,
    function: fn(&[T], &mut [T]) -> Result<(), ShapeError>,
    value: Elementary,
    naive: fn(T) -> T,
    /// Its stated error.
    ulp: f64,
    /// See golden/elementary.py.
    golden: &'static str,
}

macro_rules! tested {
    ($($name:ident, $value:ident, $ulp:expr;)*) => {
        [$(Tested {
            name: stringify!($name),
            function: $name,
            value: Elementary::$value,
            naive: naive::$name,
            ulp: $ulp,
            golden: include_str!(concat!("golden/", stringify!($name), ".csv")),
        }),*]
    };
}

fn all<T: Float>() -> [Tested<T>; 8] {
    tested! {
        exp, Exp, EXP_ULP;
        log, Log, LOG_ULP;
        sigmoid, Sigmoid, SIGMOID_ULP;
        tanh, Tanh, TANH_ULP;
        softplus, Softplus, SOFTPLUS_ULP;
        erf, Erf, ERF_ULP;
        gelu, Gelu, GELU_ULP;
        softsign, Softsign, SOFTSIGN_ULP;
    }
}

impl<T: Float> Tested<T> {
    fn of(&self, x: &[T]) -> Vec<T> {
        let mut y = vec![T::ZERO; x.len()];
        (self.function)(x, &mut y).unwrap();
        y
    }
}

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

/// The naive version in f64 is the reference: its own error, which the test below bounds, is nothing to an f32.
fn check32(isa: Isa, tested: &Tested<f32>, reference: fn(f64) -> f64) {
    let step = step(isa);
    // A million numbers at a time, so that the exhaustive sweep needs no memory.
    const CHUNK: u64 = 1 << 20;
    let count = (1u64 << 32).div_ceil(step);
    let chunks = parallel::map(count.div_ceil(CHUNK) as usize, |chunk| {
        let first = chunk as u64 * CHUNK;
        let x: Vec<f32> =
            (first..count.min(first + CHUNK)).map(|i| f32::from_bits((i * step) as u32)).collect();
        let y = tested.of(&x);
        let errors = x.iter().zip(&y).map(|(&x, &y)| (ulps32(y, reference(f64::from(x))), x));
        errors.fold((0.0, 0.0), |worst, next| if next.0 > worst.0 { next } else { worst })
    });
    let worst = chunks.into_iter().fold((0.0, 0.0f32), |a, b| if b.0 > a.0 { b } else { a });
    let name = tested.name;
    assert!(worst.0 <= tested.ulp, "{} {name}: {} ULP at {:e}", isa.name(), worst.0, worst.1);
}

/// TILEWISE_DEEP=1 (`make test-deep`) visits every f32 there is on the best set; the others have the same bits, and
/// portable code calls a function for each fused multiply-add.
fn step(isa: Isa) -> u64 {
    let deep = std::env::var_os("TILEWISE_DEEP").is_some();
    if deep && Isa::available().next() == Some(isa) { 1 } else { 9973 }
}

#[test]
fn single_precision_within_the_stated_error() {
    on_every_isa(|isa| {
        for (single, double) in all::<f32>().iter().zip(all::<f64>()) {
            check32(isa, single, double.naive);
        }
    });
}

/// x, a number near the true value, and what that has beyond it in units of the last place.
fn golden(text: &str) -> Vec<[f64; 3]> {
    let number = |cell: &str| f64::from_bits(u64::from_str_radix(cell, 16).unwrap());
    let row = |line: &str| {
        let mut cells = line.split(',');
        let mut next = || cells.next().unwrap();
        [number(next()), number(next()), next().parse().unwrap()]
    };
    let rows: Vec<[f64; 3]> = text.lines().skip(1).map(row).collect();
    assert!(rows.len() >= 1300);
    rows
}

/// |got - true value| in units of the last place.
fn ulps64(got: f64, near: f64, beyond: f64) -> f64 {
    let exponent = (near.abs().max(f64::MIN_POSITIVE).to_bits() >> 52) as i32 - 1023;
    // In two steps, because 2^-1074 has no reciprocal.
    let difference = (got - near) * f64::from(-exponent / 2).exp2();
    (difference * f64::from(-exponent - -exponent / 2).exp2() * 52f64.exp2() - beyond).abs()
}

#[test]
fn double_precision_within_the_stated_error() {
    on_every_isa(|isa| {
        for tested in all::<f64>() {
            let rows = golden(tested.golden);
            let y = tested.of(&rows.iter().map(|row| row[0]).collect::<Vec<_>>());
            for (&y, &[x, near, beyond]) in y.iter().zip(&rows) {
                let error = ulps64(y, near, beyond);
                let name = tested.name;
                assert!(error <= tested.ulp, "{} {name} {x:e}: {y:e} but {near:e}, {error} ULP", isa.name());
            }
        }
    });
}

#[test]
fn naive_versions_are_accurate_enough_to_judge_single_precision() {
    for tested in all::<f64>() {
        for [x, near, beyond] in golden(tested.golden) {
            let error = ulps64((tested.naive)(x), near, beyond);
            // GELU's exponent x^2 / 2 is rounded, and so grows the error of a value that is far below f32.
            let allowed = if tested.name == "gelu" { 16.0 + x * x * 2.0 } else { 16.0 };
            assert!(error <= allowed, "naive {} {x:e}: {error} ULP", tested.name);
        }
    }
}

/// Every length around the lanes, between guard pages, equals the same elements one at a time; so it does in place.
fn check_lengths<T: Float>() {
    for tested in all::<T>() {
        for len in LENGTHS {
            for edge in [Edge::Front, Edge::Back] {
                let mut x = Guarded::new(&normal::<T>(len, 1), edge);
                x.iter_mut().for_each(|x| *x = if tested.name == "log" { x.abs() } else { *x });
                let mut y = Guarded::new(&vec![T::ZERO; len], edge);
                (tested.function)(&x, &mut y).unwrap();
                for i in 0..len {
                    let one = tested.of(&x[i..=i])[0];
                    assert!(one == y[i], "{}: element {i} of {len}: {} but {}", tested.name, y[i], one);
                }
                tested.value.in_place(&mut x);
                assert!(x[..] == y[..], "{} of {len} in place", tested.name);
            }
        }
    }
}

#[test]
fn lengths_guard_pages_and_results_in_place() {
    on_every_isa(|_| {
        check_lengths::<f32>();
        check_lengths::<f64>();
    });
    for tested in all::<f32>() {
        assert!((tested.function)(&[1.0f32], &mut []).is_err());
        // Enough for several tasks.
        let mut x: Vec<f32> = normal::<f32>(100_000, 1).iter().map(|x| x.abs()).collect();
        let y = tested.of(&x);
        tested.value.in_place(&mut x);
        assert!(x == y, "{}", tested.name);
    }
}

fn special<T: Float>(tested: &Tested<T>) {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let smallest = if size_of::<T>() == 4 { f64::from(f32::from_bits(1)) } else { f64::from_bits(1) };
    let cases: &[(f64, f64)] = match tested.name {
        "exp" => {
            &[(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0), (-1e6, 0.0), (1e6, inf), (smallest, 1.0)]
        }
        "log" => {
            &[(1.0, 0.0), (0.0, -inf), (-0.0, -inf), (inf, inf), (-inf, nan), (-1.0, nan), (-smallest, nan)]
        }
        "sigmoid" => &[(0.0, 0.5), (-0.0, 0.5), (inf, 1.0), (-inf, 0.0), (1e6, 1.0), (-1e6, 0.0)],
        "softplus" => &[(inf, inf), (-inf, 0.0), (1e6, 1e6), (-1e6, 0.0)],
        "tanh" | "erf" => &[(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (1e6, 1.0), (-1e6, -1.0)],
        "gelu" => &[(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, 0.0), (1e6, 1e6), (-1e6, 0.0)],
        "softsign" => &[(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (-1.0, -0.5), (1e38, 1.0)],
        other => panic!("no special values of {other}"),
    };
    for &(x, expected) in cases.iter().chain(&[(nan, nan)]) {
        let got = tested.of(&[T::from_f64(x)])[0].to_f64();
        let same = got == expected && (got != 0.0 || got.is_sign_negative() == expected.is_sign_negative());
        assert!(same || got.is_nan() && expected.is_nan(), "{}({x:e}) = {got}, not {expected}", tested.name);
    }
    if ["tanh", "erf", "softsign"].contains(&tested.name) {
        let x: Vec<T> = (0..4000).map(|i| T::from_f64(f64::from(i) * 0.003).sqrt()).collect();
        let (y, z) = (tested.of(&x), tested.of(&x.iter().map(|&x| -x).collect::<Vec<_>>()));
        assert!(y.iter().zip(&z).all(|(&y, &z)| y == -z), "{} is not odd", tested.name);
    }
}

#[test]
fn special_values() {
    on_every_isa(|_| {
        all::<f32>().iter().for_each(special);
        all::<f64>().iter().for_each(special);
    });
}

#[test]
fn same_bits_on_every_instruction_set() {
    let x32 = sweep(1_000_003);
    // Around where results change, and of all exponents.
    let mut x64: Vec<f64> = (0..3000).map(|i| f64::from(i) * 0.5 - 750.0).collect();
    x64.extend((0..3000).map(|i| f64::from(i) * 0.01 - 15.0));
    x64.extend((0..4096).map(|i| f64::from_bits(i << 52 | 0x9_1234_5678_9ABC)));
    let first = RefCell::new(None);
    on_every_isa(|isa| {
        // A NaN has many bit patterns, and which one comes out is left open.
        let bits32 = |x: &f32| if x.is_nan() { 0 } else { u64::from(x.to_bits()) };
        let bits64 = |x: &f64| if x.is_nan() { 0 } else { x.to_bits() };
        let mut bits = Vec::new();
        for (single, double) in all::<f32>().iter().zip(&all::<f64>()) {
            bits.push((single.name, single.of(&x32).iter().map(bits32).collect::<Vec<_>>()));
            bits.push((double.name, double.of(&x64).iter().map(bits64).collect::<Vec<_>>()));
        }
        for (one, other) in first.borrow_mut().get_or_insert_with(|| bits.clone()).iter().zip(&bits) {
            assert!(one == other, "{} differs on {}", one.0, isa.name());
        }
    });
}
