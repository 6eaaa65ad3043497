//! Operations that move elements between vectors and memory, on every set.

use crate::guard::{Edge, Guarded};
use crate::on_every_isa;
use tilewise_kernels::Float;
use tilewise_kernels::simd::{Lanes, Task};

/// The first n elements at `x`, then what a store of as many leaves in `y`.
struct Part<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Float> Task<T> for Part<'_, T> {
    type Output = Vec<T>;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> Vec<T> {
        let n = self.x.len().min(S::LANES);
        let mut lanes = vec![T::from_f64(-1.0); S::LANES];
        // SAFETY: n elements of both slices and LANES of the vector.
        unsafe {
            let v = simd.load_first(self.x.as_ptr(), n);
            simd.store(lanes.as_mut_ptr(), v);
            simd.store_first(self.y.as_mut_ptr(), v, n);
        }
        lanes
    }
}

/// Vectors of 16 i + j, transposed.
struct Square;

impl<T: Float> Task<T> for Square {
    type Output = Vec<Vec<T>>;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> Vec<Vec<T>> {
        let mut x = [simd.splat(T::ZERO); 16];
        for (i, v) in x.iter_mut().enumerate() {
            let row: Vec<T> = (0..S::LANES).map(|j| T::from_f64((16 * i + j) as f64)).collect();
            // SAFETY: LANES elements.
            *v = unsafe { simd.load(row.as_ptr()) };
        }
        simd.transpose(&mut x);
        let mut rows = vec![vec![T::ZERO; S::LANES]; S::LANES];
        for (row, v) in rows.iter_mut().zip(x) {
            // SAFETY: LANES elements.
            unsafe { simd.store(row.as_mut_ptr(), v) };
        }
        rows
    }
}

fn parts_and_squares<T: Float>() {
    on_every_isa(|isa| {
        for n in 0..=16 {
            let numbers: Vec<T> = (1..=n).map(|i| T::from_f64(i as f64)).collect();
            // Nothing behind the elements may be touched, nor in front of them.
            for edge in [Edge::Front, Edge::Back] {
                let x = Guarded::new(&numbers, edge);
                let mut y = Guarded::new(&vec![T::ZERO; n], edge);
                let lanes = T::dispatch(Part { x: &x, y: &mut y });
                // And with room behind.
                let mut longer = vec![T::from_f64(-2.0); n + 16];
                T::dispatch(Part { x: &x, y: &mut longer });
                let counted = n.min(lanes.len());
                assert_eq!(lanes[..counted], numbers[..counted], "{}", isa.name());
                assert!(lanes[counted..].iter().all(|x| *x == T::ZERO), "{}", isa.name());
                assert_eq!(y[..counted], numbers[..counted], "{}", isa.name());
                assert!(y[counted..].iter().all(|y| *y == T::ZERO), "{}", isa.name());
                assert_eq!(longer[..counted], numbers[..counted], "{}", isa.name());
                assert!(longer[counted..].iter().all(|y| *y == T::from_f64(-2.0)), "{}", isa.name());
            }
        }
        for (i, row) in T::dispatch(Square).iter().enumerate() {
            for (j, x) in row.iter().enumerate() {
                assert_eq!(*x, T::from_f64((16 * j + i) as f64), "{}", isa.name());
            }
        }
    });
}

#[test]
fn parts_of_vectors_and_squares_of_vectors() {
    parts_and_squares::<f32>();
    parts_and_squares::<f64>();
}

/// What scaling, splitting and choosing make of each element.
struct Elements<'a, T>(&'a [T]);

impl<T: Float> Task<T> for Elements<'_, T> {
    type Output = Vec<[T; 6]>;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> Vec<[T; 6]> {
        let first = |v: S::V| {
            let mut lanes = [T::ZERO; 16];
            // SAFETY: no set has more than 16 lanes.
            unsafe { simd.store(lanes.as_mut_ptr(), v) };
            lanes[0]
        };
        let one = |&x: &T| {
            let x = simd.splat(x);
            let (n, m) = simd.split(x);
            let (positive_n, positive_m) = simd.split_normal(x);
            // Below the smallest normal number, so that two roundings would show.
            let small = simd.splat(T::from_f64(if size_of::<T>() == 4 { -140.0 } else { -1060.0 }));
            let chosen = simd.select_less(x, simd.splat(T::ONE), simd.splat(T::from_f64(2.0)), n);
            [n, m, positive_n, positive_m, simd.scale(x, small), chosen].map(first)
        };
        self.0.iter().map(one).collect()
    }
}

fn elements<T: Float>(smallest: f64, smallest_normal: f64, largest: f64) {
    let same = |a: T, b: f64| a.to_f64() == b || a.to_f64().is_nan() && b.is_nan();
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let last = T::EPSILON.to_f64();
    let mut numbers = vec![smallest, 3.0 * smallest, smallest_normal - smallest, smallest_normal, largest];
    for power in [-100.0f64, -1.0, 0.0, 1.0, 3.0, 100.0] {
        // On both sides of where the exponent changes.
        numbers.extend([1.0, 0.75, 0.75 - last / 2.0, 1.5 - last, 1.5, 1.0 + last].map(|m| m * power.exp2()));
    }
    on_every_isa(|isa| {
        let name = isa.name();
        let x: Vec<T> = numbers.iter().map(|&x| T::from_f64(x)).collect();
        for (&x, [n, m, positive_n, positive_m, scaled, chosen]) in
            numbers.iter().zip(T::dispatch(Elements(&x)))
        {
            if x >= smallest_normal {
                assert_eq!((n, m), (positive_n, positive_m), "{name} {x:e}");
            }
            let (n, m) = (n.to_f64(), m.to_f64());
            assert!((0.75..1.5).contains(&m) && n.fract() == 0.0, "{name} {x:e} = {m} 2^{n}");
            // In two steps, for 2^n may be subnormal.
            assert_eq!(m * (n / 2.0).floor().exp2() * (n - (n / 2.0).floor()).exp2(), x, "{name} {m} 2^{n}");
            if (0.5..=2.0).contains(&x) {
                let exponent = if size_of::<T>() == 4 { -140 } else { -1060 };
                // Exact in f64 for f32; for f64 by halves, the first of which is exact.
                let expected = x * f64::from(exponent / 2).exp2() * f64::from(exponent / 2).exp2();
                assert!(
                    same(scaled, T::from_f64(expected).to_f64()),
                    "{name} {x:e}: {scaled} but {expected:e}"
                );
            }
            assert!(same(chosen, if x < 1.0 { 2.0 } else { n }), "{name} {x:e}");
        }
        let special =
            [(0.0, -inf), (-0.0, -inf), (inf, inf), (nan, nan), (-1.0, nan), (-inf, nan), (-smallest, nan)];
        let x = special.map(|(x, _)| T::from_f64(x));
        for ((x, expected), [n, m, ..]) in special.into_iter().zip(T::dispatch(Elements(&x))) {
            assert!(same(n, expected), "{name} {x}: {n} but {expected}");
            assert!(expected.is_nan() || m == T::ONE, "{name} {x}: {m}");
        }
    });
}

#[test]
fn scaling_splitting_choosing() {
    elements::<f32>(f32::from_bits(1).into(), f32::MIN_POSITIVE.into(), f32::MAX.into());
    elements::<f64>(f64::from_bits(1), f64::MIN_POSITIVE, f64::MAX);
}
