//! From values to bins.

use super::Bin;
use crate::matrix::{below, same};
use crate::simd::{Lanes, Task};
use crate::{Float, ShapeError, parallel};

/// out_i = the number of cuts that are below x_i, so bin b holds the values in (cut b - 1, cut b]; `missing` where x_i is
/// NaN. O(log cuts) per value.
///
/// A binary search without branches over a table whose length is a power of 16, filled up with infinity: every value
/// takes the same steps, so the compiler can take as many values at once as a vector holds. In place of the first four steps, which look
/// up a cut for each value, all are compared with the same 15 cuts. (Knuth, *The Art of Computer
/// Programming*, volume 3, 6.2.1, "uniform binary search".)
///
/// ```
/// use tilewise_kernels::tree::bin_values;
/// let mut out = [0u8; 5];
/// bin_values(&[0.0f32, 1.0, 1.5, 9.0, f32::NAN], &[1.0, 2.0], 3, &mut out).unwrap();
/// assert_eq!(out, [0, 0, 1, 2, 3]);
/// ```
///
/// # Errors
/// When the lengths differ, the cuts are not ascending or hold NaN, or `B` cannot name as many bins as there are (cuts
/// and one) or `missing`.
pub fn bin_values<T: Float, B: Bin>(
    x: &[T],
    cuts: &[T],
    missing: usize,
    out: &mut [B],
) -> Result<(), ShapeError> {
    same("length of the output", x.len(), out.len())?;
    let binner = Binner::<T, B>::new(cuts, missing)?;
    parallel::for_each_chunk_mut(out, TASK, |i, out| binner.search(&x[i * TASK..][..out.len()], out));
    Ok(())
}

/// The cuts of a feature, checked and laid out once for any number of blocks of values: see [`bin_values`].
///
/// ```
/// use tilewise_kernels::tree::Binner;
/// let binner = Binner::new(&[1.0, 2.0], 3)?;
/// let mut out = [0_u8; 2];
/// binner.bin(&[f64::NAN, 1.5], &mut out)?;
/// assert_eq!(out, [3, 1]);
/// # Ok::<(), tilewise_kernels::ShapeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Binner<T, B> {
    /// Cuts, then infinity: one entry at least, in all a power of 16.
    table: Vec<T>,
    missing: B,
}

impl<T: Float, B: Bin> Binner<T, B> {
    /// For these cuts and the bin of missing values.
    ///
    /// # Errors
    /// When the cuts are not ascending or hold NaN, or `B` cannot name as many bins as there are (cuts and one) or `missing`.
    pub fn new(cuts: &[T], missing: usize) -> Result<Self, ShapeError> {
        below("number of cuts", B::COUNT, cuts.len())?;
        below("the bin of missing values", B::COUNT, missing)?;
        // The first cut that is NaN or above the next one.
        let after = |i: usize| cuts.get(i + 1).copied().unwrap_or(cuts[i]);
        let ascending = (0..cuts.len()).take_while(|&i| cuts[i] <= after(i)).count();
        same("cuts in ascending order", cuts.len(), ascending)?;
        let length = match cuts.len() {
            0..16 => 16,
            16..256 => 256,
            256..4096 => 4096,
            _ => 65536,
        };
        let mut table = cuts.to_vec();
        table.resize(length, T::from_f64(f64::INFINITY));
        Ok(Self { table, missing: B::from_low_bits(missing) })
    }

    /// The bins of values, on this thread.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn bin(&self, x: &[T], out: &mut [B]) -> Result<(), ShapeError> {
        same("length of the output", x.len(), out.len())?;
        self.search(x, out);
        Ok(())
    }

    fn search(&self, x: &[T], out: &mut [B]) {
        match self.table.len() {
            // What fills the table up is above no value, and nor would be a cut there that is infinity.
            16 if self.table[FEW] == T::from_f64(f64::INFINITY) => {
                let cuts = std::array::from_fn(|i| self.table[i]);
                T::dispatch(Compare { x, cuts, missing: self.missing.into(), out });
            }
            16 => self.search_in::<16>(x, out),
            256 => self.search_in::<256>(x, out),
            4096 => self.search_in::<4096>(x, out),
            _ => self.search_in::<65536>(x, out),
        }
    }

    fn search_in<const N: usize>(&self, x: &[T], out: &mut [B]) {
        let Some(table) = self.table.first_chunk::<N>() else { return };
        T::dispatch(Search { x, table, missing: self.missing.into(), out });
    }
}

/// So few cuts are compared with one after another: of zeros and ones there is one.
const FEW: usize = 3;

struct Compare<'a, T, B> {
    x: &'a [T],
    cuts: [T; FEW],
    missing: usize,
    out: &'a mut [B],
}

impl<T: Float, B: Bin> Task<T> for Compare<'_, T, B> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, _: S) {
        let Self { x, cuts, missing, out } = self;
        for (out, &x) in out.iter_mut().zip(x) {
            let below = cuts.iter().fold(0, |below, &cut| below + usize::from(cut < x));
            *out = B::from_low_bits(if x.is_nan() { missing } else { below });
        }
    }
}

/// Values of a task, a few tens of microseconds.
const TASK: usize = 32 << 10;

struct Search<'a, T, B, const N: usize> {
    x: &'a [T],
    table: &'a [T; N],
    missing: usize,
    out: &'a mut [B],
}

/// Values searched for in step.
pub(super) const TOGETHER: usize = 32;

impl<T: Float, B: Bin, const N: usize> Task<T> for Search<'_, T, B, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<T>>(self, simd: S) {
        let Self { x, table, missing, out } = self;
        let (blocks, rest) = x.as_chunks::<TOGETHER>();
        let (outs, out_rest) = out.as_chunks_mut::<TOGETHER>();
        for (x, out) in blocks.iter().zip(outs) {
            bins_of(simd, x, table, missing, out);
        }
        let (mut x, mut bins) = ([T::ZERO; TOGETHER], [B::default(); TOGETHER]);
        x[..rest.len()].copy_from_slice(rest);
        bins_of(simd, &x, table, missing, &mut bins);
        out_rest.copy_from_slice(&bins[..out_rest.len()]);
    }
}

#[inline(always)]
pub(super) fn bins_of<S: Lanes<T>, T: Float, B: Bin, const N: usize>(
    simd: S,
    x: &[T; TOGETHER],
    table: &[T; N],
    missing: usize,
    out: &mut [B; TOGETHER],
) {
    // The first four steps of all values: which 16th of the table. In numbers, since loops over integers were turned into sums over the
    // cuts of one value each.
    let mut parts = [T::ZERO; TOGETHER];
    let (zero, one) = (simd.splat(T::ZERO), simd.splat(T::from_f64((N / 16) as f64)));
    for at in (0..TOGETHER).step_by(S::LANES) {
        // SAFETY: LANES divides TOGETHER, the length of both arrays.
        unsafe {
            let x = simd.load(x.as_ptr().add(at));
            let mut part = zero;
            for coarse in 1..16 {
                let cut = simd.splat(table[coarse * (N / 16) - 1]);
                part = simd.add(part, simd.select_less(cut, x, one, zero));
            }
            simd.store(parts.as_mut_ptr().add(at), part);
        }
    }
    let mut below = parts.map(T::to_u32);
    let mut step = N as u32 / 32;
    while step > 0 {
        for (below, &x) in below.iter_mut().zip(x) {
            // At most N - 1, which the mask tells the compiler.
            let cut = table[(*below + step - 1) as usize & (N - 1)];
            *below += if cut < x { step } else { 0 };
        }
        step /= 2;
    }
    for ((out, &below), &x) in out.iter_mut().zip(&below).zip(x) {
        *out = B::from_low_bits(if x.is_nan() { missing } else { below as usize });
    }
}
