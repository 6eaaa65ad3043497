//! Matrix addition over row blocks, at memory bandwidth.
//!
//! C is written past the caches ("streaming") when it is too large to be found in them later: an ordinary store first
//! reads the line it writes, 4 streams of memory traffic instead of 3: 64 against 47 GB/s (f32, one core, Zen 5; an update in
//! place moves 71, a copy past the caches 58). Tried and not kept: prefetches 1 to 16 KiB ahead, line by line (59 to 63
//! GB/s) or in blocks of one operand after the other (49 to 64).

use crate::matrix::same;
use crate::simd::{Lanes, Task};
use crate::{Float, MatMut, MatRef, ShapeError, parallel};

/// Bytes of C from which it is streamed. A C below this may still be in a last-level cache when it is used.
const STREAM_FROM: usize = 8 << 20;

/// C = A + B, element by element, any strides. NaN and infinity as in any addition.
///
/// ```
/// use tilewise_kernels::{MatMut, MatRef, add};
/// let a = MatRef::new(&[1.0, 2.0], 1, 2).unwrap();
/// let mut c = [0.0; 2];
/// add(a, a, MatMut::new(&mut c, 1, 2).unwrap()).unwrap();
/// assert_eq!(c, [2.0, 4.0]);
/// ```
///
/// # Errors
/// When the shapes differ.
pub fn add<T: Float>(a: MatRef<'_, T>, b: MatRef<'_, T>, c: MatMut<'_, T>) -> Result<(), ShapeError> {
    same("rows of B", a.rows(), b.rows())?;
    same("columns of B", a.cols(), b.cols())?;
    same("rows of C", a.rows(), c.rows())?;
    same("columns of C", a.cols(), c.cols())?;
    let stream = c.rows() * c.cols() * size_of::<T>() >= STREAM_FROM;
    match (a.as_slice(), b.as_slice(), c.into_slice()) {
        (Some(a), Some(b), Ok(c)) => flat(a, b, c, stream),
        (_, _, Ok(c)) => {
            let cols = a.cols();
            if let Ok(c) = MatMut::new(c, a.rows(), cols) {
                blocks(a, b, c, stream);
            }
        }
        (_, _, Err(c)) => blocks(a, b, c, stream),
    }
    Ok(())
}

fn flat<T: Float>(a: &[T], b: &[T], c: &mut [T], stream: bool) {
    let piece = parallel::GRAIN_BYTES / size_of::<T>();
    parallel::for_each_chunk_mut(c, piece, |i, c| {
        let range = i * piece..i * piece + c.len();
        T::dispatch(AddSlices { a: &a[range.clone()], b: &b[range], c, stream });
    });
}

/// Row blocks of about `GRAIN_BYTES`, halved until they are small enough.
fn blocks<T: Float>(a: MatRef<'_, T>, b: MatRef<'_, T>, mut c: MatMut<'_, T>, stream: bool) {
    let rows = c.rows();
    if rows > 1 && rows * c.cols() * size_of::<T>() > parallel::GRAIN_BYTES {
        let mid = rows / 2;
        let (above, below) = c.split_rows_at(mid);
        parallel::join(
            || blocks(a.row_range(0..mid), b.row_range(0..mid), above, stream),
            || blocks(a.row_range(mid..rows), b.row_range(mid..rows), below, stream),
        );
        return;
    }
    for i in 0..rows {
        match (a.row(i), b.row(i), c.row_mut(i)) {
            (Some(a), Some(b), Some(c)) => T::dispatch(AddSlices { a, b, c, stream }),
            _ => (0..c.cols()).for_each(|j| c.set(i, j, a.get(i, j) + b.get(i, j))),
        }
    }
}

struct AddSlices<'a, T> {
    a: &'a [T],
    b: &'a [T],
    c: &'a mut [T],
    stream: bool,
}

impl<T: Float> Task<T> for AddSlices<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { a, b, c, stream } = self;
        let n = c.len();
        assert!(a.len() == n && b.len() == n);
        // Elements before the first multiple of the vector size, which streaming needs.
        let head = if stream { c.as_ptr().align_offset(S::LANES * size_of::<T>()).min(n) } else { 0 };
        let whole = head + (n - head) / S::LANES * S::LANES;
        for i in (0..head).chain(whole..n) {
            c[i] = a[i] + b[i];
        }
        for i in (head..whole).step_by(S::LANES) {
            // SAFETY: i + LANES <= n, the length of all three; with `stream`, c + head is a multiple of the vector size.
            unsafe {
                let v = simd.add(simd.load(a.as_ptr().add(i)), simd.load(b.as_ptr().add(i)));
                let p = c.as_mut_ptr().add(i);
                if stream { simd.stream(p, v) } else { simd.store(p, v) }
            }
        }
        if stream {
            simd.fence();
        }
    }
}
