//! Plain loops, compiled for the instruction set in use.
//!
//! Passes over memory (an optimiser, the derivative of a function) need no intrinsics: a loop over slices becomes vectors by
//! itself, if the compiler may use them. [`compiled`] runs a closure inside the function that the kernels compile for
//! each set, which is where it may. Sums and products are not fused, so the bits are those of any other set.

use tilewise_kernels::parallel;
use tilewise_kernels::simd::{Lanes, LanesOfEverySet, Task};

/// Elements of a piece of a pass: 64 KiB of `f32`, a third of what a second-level cache holds with two more operands.
pub(crate) const PIECE: usize = 16 * 1024;

struct Plain<F>(F);

impl<T, R, F: FnOnce() -> R> Task<T> for Plain<F> {
    type Output = R;
    #[inline(always)]
    fn run<S: Lanes<T>>(self, _: S) -> R {
        (self.0)()
    }
}

/// Runs `f`, which must be marked `#[inline(always)]`, with the vectors of the set in use.
#[inline]
pub(crate) fn compiled<T: LanesOfEverySet, R>(f: impl FnOnce() -> R) -> R {
    T::dispatch(Plain(f))
}

/// `f(first element, piece)` for pieces of whole rows of `out`, over threads where there is more than one piece.
pub(crate) fn for_each_rows<T: Send>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let rows = (PIECE / width.max(1)).max(1);
    parallel::for_each_chunk_mut(out, rows * width.max(1), |i, piece| f(i * rows * width, piece));
}
