//! Working memory of the kernels: aligned to cache lines, kept per thread between calls, growing only, on huge pages where
//! it spans one.

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
        let mut lines = spare.pop().unwrap_or_default();
        SPARE.set(spare);
        if lines.len() < needed {
            drop(lines);
            lines = zeros(needed);
        }
        Self { lines }
    }

    /// The same, but of the length asked for: to be kept.
    pub(crate) fn to_keep<T: AnyBits>(len: usize) -> Self {
        Self { lines: zeros((len * size_of::<T>()).div_ceil(64)) }
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

/// Zeros. Memory that long is not touched before its first use, so it is still time to ask for huge pages.
fn zeros(lines: usize) -> Vec<Line> {
    let zeros = vec![Line([0; 64]); lines];
    #[cfg(target_os = "linux")]
    advise(&zeros);
    zeros
}

/// Bytes of a huge page: of x86-64, and of aarch64 with pages of 4 KiB.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;

/// (Zen 5, whose second TLB spans 16 MiB of small pages: 3072 cubed as fast either way, 256 G/s.)
#[cfg(target_os = "linux")]
fn advise(lines: &[Line]) {
    use rustix::mm::{Advice, madvise};
    let bytes = size_of_val(lines);
    let first = lines.as_ptr().addr().next_multiple_of(HUGE) - lines.as_ptr().addr();
    if first + HUGE > bytes {
        return;
    }
    let whole = (bytes - first) / HUGE * HUGE;
    let start = lines.as_ptr().cast::<u8>().wrapping_add(first).cast_mut();
    // Without them it is only slower.
    // SAFETY: start..start + whole are whole pages inside the slice, and the advice changes no content.
    let _ = unsafe { madvise(start.cast(), whole, Advice::LinuxHugepage) };
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut spare = SPARE.take();
        if spare.len() < KEPT {
            spare.push(std::mem::take(&mut self.lines));
        }
        SPARE.set(spare);
    }
}
