//! Sums, inner products and axpy.
//!
//! **Order.** A sum is cut into leaves of 4096 elements. Inside a leaf, element i goes to a virtual lane, i modulo
//! 64 for f32 or 32 for f64 (256 bytes: 8 registers of AVX2, 4 of AVX-512, 16 of NEON); lanes are
//! then added by halves. Leaves merge in the fixed tree of [`parallel::map_reduce`]. So the bits depend on the length
//! alone, not on threads or instruction set (portable code without FMA excepted for `dot`), and the error grows with
//! the logarithm of the length.

use crate::matrix::same;
use crate::simd::{Lanes, Task};
use crate::{Float, ShapeError, parallel};
use std::ops::Range;

/// Elements summed in one go.
pub(crate) const LEAF: usize = 4096;

/// Bytes of the virtual lanes.
const VIRTUAL_LANES: usize = 256;

/// Elements of a task: whole leaves, a power of two of them so that the tree is that of the leaves.
const TASK: usize = 16 * LEAF;

/// The sum of `x`; 0 when empty. NaN and infinity spread as in any sum.
///
/// ```
/// assert_eq!(tilewise_kernels::sum(&[1.0, 2.0, 3.5]), 6.5);
/// ```
pub fn sum<T: Float>(x: &[T]) -> T {
    in_parallel(x.len(), size_of_val(x), |range| T::dispatch(Sum { x: &x[range] }))
}

/// The inner product of `x` and `y`; 0 when empty. NaN and infinity spread as in any sum of products.
///
/// ```
/// assert_eq!(tilewise_kernels::dot(&[1.0f32, 2.0], &[3.0, 4.0]), Ok(11.0));
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn dot<T: Float>(x: &[T], y: &[T]) -> Result<T, ShapeError> {
    same("length of y", x.len(), y.len())?;
    let bytes = 2 * size_of_val(x);
    Ok(in_parallel(x.len(), bytes, |range| T::dispatch(Dot { x: &x[range.clone()], y: &y[range] })))
}

/// y += alpha x; NaN and infinity as in the formula (alpha = 0 does not hide them). One fused multiply-add per element (two roundings on portable code without FMA).
///
/// ```
/// let mut y = [1.0, 1.0];
/// tilewise_kernels::axpy(2.0, &[1.0, 10.0], &mut y).unwrap();
/// assert_eq!(y, [3.0, 21.0]);
/// ```
///
/// # Errors
/// When the lengths differ.
pub fn axpy<T: Float>(alpha: T, x: &[T], y: &mut [T]) -> Result<(), ShapeError> {
    same("length of y", x.len(), y.len())?;
    if size_of_val(x) <= parallel::GRAIN_BYTES {
        T::dispatch(Axpy { alpha, x, y });
    } else {
        parallel::for_each_chunk_mut(y, TASK, |i, y| {
            T::dispatch(Axpy { alpha, x: &x[i * TASK..][..y.len()], y });
        });
    }
    Ok(())
}

/// Sums over tasks in the fixed tree, on one thread when there is little to read.
fn in_parallel<T: Float>(len: usize, bytes: usize, task: impl Fn(Range<usize>) -> T + Sync) -> T {
    if len <= TASK {
        return task(0..len);
    }
    let total = || parallel::map_reduce(len, TASK, &task, |a, b| a + b).unwrap_or(T::ZERO);
    // 2 MiB: below, waking a worker costs more than it saves.
    if bytes < 4 * parallel::GRAIN_BYTES { parallel::on_this_thread(total) } else { total() }
}

struct Sum<'a, T> {
    x: &'a [T],
}
impl<T: Float> Task<T> for Sum<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> T {
        in_tree::<T, S, Terms>(simd, self.x, self.x)
    }
}

struct Dot<'a, T> {
    x: &'a [T],
    y: &'a [T],
}
impl<T: Float> Task<T> for Dot<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) -> T {
        in_tree::<T, S, Products>(simd, self.x, self.y)
    }
}

struct Axpy<'a, T> {
    alpha: T,
    x: &'a [T],
    y: &'a mut [T],
}
impl<T: Float> Task<T> for Axpy<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { alpha, x, y } = self;
        let alpha_v = simd.splat(alpha);
        let whole = y.len() - y.len() % S::LANES;
        assert!(x.len() == y.len());
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: i + LANES <= the length of both.
            unsafe {
                let v = simd.mul_add(alpha_v, simd.load(x.as_ptr().add(i)), simd.load(y.as_ptr().add(i)));
                simd.store(y.as_mut_ptr().add(i), v);
            }
        }
        let rest = y.len() - whole;
        // SAFETY: rest < LANES elements from whole on lie in both.
        unsafe {
            let v = simd.load_first(y.as_ptr().add(whole), rest);
            let v = simd.mul_add(alpha_v, simd.load_first(x.as_ptr().add(whole), rest), v);
            simd.store_first(y.as_mut_ptr().add(whole), v, rest);
        }
    }
}

/// What a pair of elements adds to a lane. A type, not a closure: functions passed as values were not inlined into the
/// instruction set's trampoline, and every operation became a call.
pub(crate) trait Step {
    fn step<T: Float, S: Lanes<T>>(simd: S, acc: S::V, x: S::V, y: S::V) -> S::V;
}

/// acc + x y.
pub(crate) struct Products;
impl Step for Products {
    #[inline(always)]
    fn step<T: Float, S: Lanes<T>>(simd: S, acc: S::V, x: S::V, y: S::V) -> S::V {
        simd.mul_add(x, y, acc)
    }
}

/// acc + x.
pub(crate) struct Terms;
impl Step for Terms {
    #[inline(always)]
    fn step<T: Float, S: Lanes<T>>(simd: S, acc: S::V, x: S::V, _: S::V) -> S::V {
        simd.add(acc, x)
    }
}

/// Leaves of `x` and `y` (of equal length), merged in the tree of [`parallel::map_reduce`].
#[inline(always)]
pub(crate) fn in_tree<T: Float, S: Lanes<T>, K: Step>(simd: S, x: &[T], y: &[T]) -> T {
    if x.len() <= LEAF {
        return leaf::<T, S, K>(simd, x, y);
    }
    // The tree as a binary counter: `partial[h]` holds the sum of 2^h leaves where bit h of `done` is set.
    let mut partial = [T::ZERO; usize::BITS as usize];
    let mut done = 0usize;
    for (x, y) in x.chunks(LEAF).zip(y.chunks(LEAF)) {
        let mut value = leaf::<T, S, K>(simd, x, y);
        let height = done.trailing_ones() as usize;
        for left in &partial[..height] {
            value = *left + value;
        }
        partial[height] = value;
        done += 1;
    }
    let mut heights = (0..usize::BITS as usize).filter(|h| done >> h & 1 == 1);
    let lowest = heights.next().unwrap_or(0);
    heights.fold(partial[lowest], |right, h| partial[h] + right)
}

/// At most [`LEAF`] elements.
#[inline(always)]
fn leaf<T: Float, S: Lanes<T>, K: Step>(simd: S, x: &[T], y: &[T]) -> T {
    let v = leaf_lanes::<T, S, K>(simd, x, y);
    let mut lanes = [T::ZERO; 16];
    // SAFETY: LANES <= 16.
    unsafe { simd.store(lanes.as_mut_ptr(), v) };
    let mut half = S::LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    // Products may underflow to -0, and how many zeros then fill up lanes depends on the set: a sum of zero is +0.
    lanes[0] + T::ZERO
}

/// The sums of `LANES` leaves at once from what [`leaf_lanes`] gave of each, added as [`leaf`] adds them.
#[inline(always)]
pub(crate) fn fold_leaves<T: Float, S: Lanes<T>>(simd: S, mut leaves: [S::V; 16]) -> S::V {
    simd.transpose(&mut leaves);
    let mut half = S::LANES / 2;
    while half > 0 {
        for i in 0..half {
            leaves[i] = simd.add(leaves[i], leaves[i + half]);
        }
        half /= 2;
    }
    simd.add(leaves[0], simd.splat(T::ZERO))
}

/// At most [`LEAF`] elements: the virtual lanes, added by halves until they fill one register.
#[inline(always)]
pub(crate) fn leaf_lanes<T: Float, S: Lanes<T>, K: Step>(simd: S, x: &[T], y: &[T]) -> S::V {
    let virtual_lanes = const { VIRTUAL_LANES / size_of::<T>() };
    let registers = virtual_lanes / S::LANES;
    assert!(x.len() == y.len());
    // 16: NEON f32 needs 64 / 4. Registers beyond `registers` stay unused and vanish.
    let mut acc = [simd.splat(T::ZERO); 16];
    let whole = x.len() - x.len() % virtual_lanes;
    for i in (0..whole).step_by(virtual_lanes) {
        for (r, acc) in acc[..registers].iter_mut().enumerate() {
            // SAFETY: i + virtual_lanes <= the length of both.
            unsafe {
                let at = i + r * S::LANES;
                *acc = K::step(simd, *acc, simd.load(x.as_ptr().add(at)), simd.load(y.as_ptr().add(at)));
            }
        }
    }
    let rest = x.len() - whole;
    if rest > 0 {
        // Over all registers with tests inside: an index known only at run time would keep them in memory. The zeros
        // that fill up the last one change at most the sign of a zero, which is settled at the end of a leaf.
        for (r, acc) in acc[..registers].iter_mut().enumerate() {
            let at = r * S::LANES;
            if at < rest {
                let n = (rest - at).min(S::LANES);
                // SAFETY: whole + at + n <= the length of both.
                unsafe {
                    let (x, y) = (x.as_ptr().add(whole + at), y.as_ptr().add(whole + at));
                    *acc = K::step(simd, *acc, simd.load_first(x, n), simd.load_first(y, n));
                }
            }
        }
    }
    let mut half = registers / 2;
    while half > 0 {
        for r in 0..half {
            acc[r] = simd.add(acc[r], acc[r + half]);
        }
        half /= 2;
    }
    // Sets with fewer lanes do more halvings among registers and fewer among lanes; all sets do the same ones.
    acc[0]
}
