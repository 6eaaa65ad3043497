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
