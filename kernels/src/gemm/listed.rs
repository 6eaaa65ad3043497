//! Products whose steps of k lie wherever two lists say: convolution without materialised patches.
//!
//! C(i, j) += sum over t of A[at_a + i row_stride + list_a(t)] B[at_b + list_b(t) + j]. A tile reads one number of either list at each
//! step, beside 12 broadcasts and two vectors; in return the whole window of a convolution is one chain in registers.

use super::direct::{Job, Left, Right};
use super::driver::Output;
use super::epilogue::Epilogue;
use super::microkernel::{Columns, Steps};
use crate::simd::{Isa, Lanes};
use crate::{Float, MatMut};
use std::ops::Range;

/// Where the steps of k lie, relative to an element that need not exist.
pub(crate) struct Offsets {
    list: Vec<isize>,
    least: isize,
    most: isize,
}

impl Offsets {
    pub(crate) fn new(list: Vec<isize>) -> Self {
        let least = list.iter().copied().min().unwrap_or(0);
        let most = list.iter().copied().max().unwrap_or(0);
        Self { list, least, most }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether a line of `reach` further elements from each step on lies in a slice of `len`.
    fn inside(&self, at: isize, reach: isize, len: usize) -> bool {
        let low = at as i128 + reach.min(0) as i128 + self.least as i128;
        let high = at as i128 + reach.max(0) as i128 + self.most as i128;
        low >= 0 && high < len as i128
    }
}

/// An operand: a slice, where its first line begins, and the list of its steps.
#[derive(Clone, Copy)]
pub(crate) struct Listed<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) at: isize,
    /// Elements from row to row, of A only.
    pub(crate) row_stride: isize,
    pub(crate) offsets: &'a Offsets,
}

impl<T: Float> Listed<'_, T> {
    /// C = epilogue(A B + beta C) over the steps in `steps`, on this thread; C must have contiguous rows. `depth` steps pass all of C
    /// before the next ones.
    ///
    /// # Panics
    /// When an operand would be read outside its slice, which is a mistake of the caller.
    pub(crate) fn times(
        &self,
        right: &Self,
        steps: Range<usize>,
        depth: usize,
        beta: T,
        c: &mut MatMut<'_, T>,
        epilogue: &Epilogue<'_, T>,
    ) {
        let (m, n) = (c.rows(), c.cols());
        if m == 0 || n == 0 || steps.is_empty() {
            return;
        }
        assert!(c.col_stride() == 1 && steps.end <= self.offsets.len() && steps.end <= right.offsets.len());
        assert!(self.offsets.inside(self.at, (m as isize - 1) * self.row_stride, self.data.len()));
        assert!(right.offsets.inside(right.at, n as isize - 1, right.data.len()));
        let out = Output { ptr: c.as_mut_ptr(), rs: c.row_stride(), cs: 1 };
        let a = Lines { listed: *self, steps: steps.clone() };
        let b = Vectors { listed: *right, first: steps.start, depth };
        let job = Job { a: &a, b: &b, beta, out: &out, rows: 0..m, cols: 0..n, epilogue };
        T::dispatch_on(Isa::current(), &job);
    }
}

struct Lines<'a, T> {
    listed: Listed<'a, T>,
    steps: Range<usize>,
}

impl<T: Float> Left<T> for Lines<'_, T> {
    type Lines = Place<T>;
    /// The addresses of more rows do not stay in general registers: 260 G/s with tiles of 10 rows, 162 with 11, 138 with 12
    /// (AVX-512).
    const TALLEST: usize = 10;
    #[inline(always)]
    fn steps(&self) -> usize {
        self.steps.len()
    }
    #[inline(always)]
    fn lines(&self, row: usize, from: usize, _apart: usize) -> Place<T> {
        let Listed { data, at, row_stride, offsets } = self.listed;
        let at = data.as_ptr().wrapping_offset(at + row as isize * row_stride);
        Place { at, row_stride, offset: offsets.list[self.steps.start + from..].as_ptr() }
    }
}

struct Vectors<'a, T> {
    listed: Listed<'a, T>,
    first: usize,
    depth: usize,
}

impl<T: Float> Right<T> for Vectors<'_, T> {
    type Columns = Place<T>;
    const PAIRS: bool = false;
    #[inline(always)]
    fn steps(&self, _: usize, _: usize) -> usize {
        self.depth
    }
    #[inline(always)]
    fn group(&self, cols: usize) -> usize {
        cols
    }
    #[inline(always)]
    fn columns(&self, from: usize, col: usize) -> Place<T> {
        let Listed { data, at, offsets, .. } = self.listed;
        let at = data.as_ptr().wrapping_offset(at).wrapping_add(col);
        Place { at, row_stride: 0, offset: offsets.list[self.first + from..].as_ptr() }
    }
}

/// What a tile reads: rows apart by a stride, or vectors side by side, at the current step.
#[derive(Clone, Copy)]
struct Place<T> {
    at: *const T,
    row_stride: isize,
    offset: *const isize,
}

impl<T> Place<T> {
    #[inline(always)]
    fn here(self) -> *const T {
        // SAFETY: tiles ask only at the steps that they were promised, which `times` found inside both lists.
        self.at.wrapping_offset(unsafe { *self.offset })
    }
    #[inline(always)]
    fn next(self) -> Self {
        Self { offset: self.offset.wrapping_add(1), ..self }
    }
}

impl<T: Float> Steps<T> for Place<T> {
    const PREFETCH: bool = false;
    #[inline(always)]
    fn line(self, i: usize) -> *const T {
        self.here().wrapping_offset(i as isize * self.row_stride)
    }
    #[inline(always)]
    fn step(self) -> Self {
        self.next()
    }
}

impl<T: Float> Columns<T> for Place<T> {
    #[inline(always)]
    fn vector<S: Lanes<T>>(self, v: usize) -> *const T {
        self.here().wrapping_add(v * S::LANES)
    }
    #[inline(always)]
    fn step(self) -> Self {
        self.next()
    }
    #[inline(always)]
    fn skip(self, columns: usize) -> Self {
        Self { at: self.at.wrapping_add(columns), ..self }
    }
}
