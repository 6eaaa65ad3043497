//! Working memory of the kernels: aligned to cache lines, kept per thread between calls, growing only, on huge pages where
//! it spans one.

use crate::Float;
use std::cell::Cell;

/// Numbers for which any bits are a value, of at most 64 bytes and aligned to no more.
///
/// # Safety
/// Implementors have no invalid bit patterns and no padding.
pub unsafe trait AnyBits: Copy {}
// SAFETY: numbers of 1 to 8 bytes without invalid patterns.
unsafe impl AnyBits for u8 {}
// SAFETY: as above.
unsafe impl AnyBits for i8 {}
// SAFETY: as above.
unsafe impl AnyBits for i16 {}
// SAFETY: as above.
unsafe impl AnyBits for u16 {}
// SAFETY: as above.
unsafe impl AnyBits for u32 {}
// SAFETY: as above.
unsafe impl AnyBits for i32 {}
// SAFETY: as above.
unsafe impl AnyBits for f32 {}
// SAFETY: as above.
unsafe impl AnyBits for f64 {}
// SAFETY: as above.
unsafe impl AnyBits for u64 {}
// SAFETY: as above; a cache line.
unsafe impl AnyBits for [u8; 64] {}

/// A cache line; every bit pattern is valid.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// One for A, one for B; codes of trees take three.
const KEPT: usize = 3;

thread_local! {
    /// The buffers that this thread has given back, the last one last, [`KEPT`] at most: a job packs A into one while
    /// the thread's product holds B in another. A worker that waits may pick up more products, which allocate theirs.
    static SPARE: Cell<Vec<Vec<Line>>> = const { Cell::new(Vec::new()) };
}

/// A buffer on loan; its content is arbitrary but initialised.
pub(crate) struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// A buffer for `len` elements.
    pub(crate) fn new<T: AnyBits>(len: usize) -> Self {
        let needed = (len * size_of::<T>()).div_ceil(64);
        let mut spare = SPARE.take();
        let mut kept = spare.pop().unwrap_or_default();
        SPARE.set(spare);
        if kept.len() < needed {
            drop(kept);
            kept = lines(needed);
        }
        Self { lines: kept }
    }

    /// The same, but of the length asked for: to be kept.
    pub(crate) fn to_keep<T: AnyBits>(len: usize) -> Self {
        Self { lines: lines((len * size_of::<T>()).div_ceil(64)) }
    }

    /// The elements; at least as many as asked for.
    pub(crate) fn as_slice<T: AnyBits>(&self) -> &[T] {
        let len = self.lines.len() * 64 / size_of::<T>();
        // SAFETY: the lines are initialised and contiguous, aligned to 64 bytes, and T allows any bits.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), len) }
    }

    /// The elements; at least as many as asked for.
    pub(crate) fn as_mut_slice<T: AnyBits>(&mut self) -> &mut [T] {
        let len = self.lines.len() * 64 / size_of::<T>();
        // SAFETY: as above, borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), len) }
    }
}

fn lines(count: usize) -> Vec<Line> {
    // Written only after the advice: pages stay as large as they are when they are first touched.
    let mut lines = Vec::with_capacity(count);
    advise(lines.as_ptr(), count);
    lines.resize(count, Line([0; 64]));
    lines
}

/// Zeros, on huge pages where they span one and the system has some to give. For large matrices that are made, used and given back: at 8 MB
/// the system hands out a few pages in place of 2,000, which took 4 of 103 ms of a [`crate::gram`] of 10,000 x 1,000.
///
/// ```
/// assert_eq!(tilewise_kernels::zeros::<f64>(3), [0.0; 3]);
/// ```
pub fn zeros<T: Float>(len: usize) -> Vec<T> {
    // So much memory of zeros comes from the system as it is, untouched.
    let zeros = vec![T::ZERO; len];
    advise(zeros.as_ptr(), len);
    zeros
}

/// Asks for huge pages where memory that has not been used yet spans one. Without them it is only slower.
#[cfg(target_os = "linux")]
fn advise<T>(memory: *const T, len: usize) {
    use rustix::mm::{Advice, madvise};
    /// Bytes of a huge page: of x86-64, and of aarch64 with pages of 4 KiB.
    const HUGE: usize = 2 << 20;
    let bytes = len * size_of::<T>();
    let first = memory.addr().next_multiple_of(HUGE) - memory.addr();
    if first + HUGE > bytes {
        return;
    }
    let whole = (bytes - first) / HUGE * HUGE;
    let start = memory.cast::<u8>().wrapping_add(first).cast_mut();
    // SAFETY: the callers own `len` elements there, of which start..start + whole are whole pages; the advice changes no content.
    let _ = unsafe { madvise(start.cast(), whole, Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: *const T, _: usize) {}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut spare = SPARE.take();
        if spare.len() < KEPT {
            spare.push(std::mem::take(&mut self.lines));
        }
        SPARE.set(spare);
    }
}
