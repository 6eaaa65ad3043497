//! Derivatives of a loss in fixed point, rounded up or down at random.

use super::Packed;
use crate::matrix::same;
use crate::random::{Philox, philox4x32_lanes};
use crate::simd::{Lanes, LanesOfEverySet, Task};
use crate::{ShapeError, parallel};

/// First and second derivative of a row's loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Derivatives {
    /// The first.
    pub gradient: f32,
    /// The second, or what stands in for it; not negative.
    pub hessian: f32,
}

impl Derivatives {
    /// Both as f32, not beyond its largest number: the sums of infinities would be none.
    #[inline]
    pub fn of(gradient: f64, hessian: f64) -> Self {
        let narrow = |x: f64| x.clamp(-f64::from(f32::MAX), f64::from(f32::MAX)) as f32;
        Self { gradient: narrow(gradient), hessian: narrow(hessian) }
    }

    /// Both times a weight, as [`Derivatives::of`].
    #[inline]
    #[must_use]
    pub fn times(self, weight: f64) -> Self {
        Self::of(f64::from(self.gradient) * weight, f64::from(self.hessian) * weight)
    }
}

/// What 1 stands for in fixed point, and the largest hessian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedPoint {
    /// In gradients; a power of two.
    pub gradient_unit: f64,
    /// In hessians; a power of two.
    pub hessian_unit: f64,
    /// At least the largest hessian of a row as an integer, at most 1 more.
    pub most_hessian: i32,
}

/// Rows that share words of random numbers: four for each of 16 counters.
const TOGETHER: usize = 64;
/// Counters of a group of rows.
const LANES: usize = TOGETHER / 4;
/// Rows of a piece of parallel work.
const PIECE: usize = 16 << 10;
/// Bits to which sizes are rounded up where they are added.
const BITS: i32 = 20;

/// Writes derivatives as multiples of powers of two, which are the smallest with which no sum of sizes of gradients, or of hessians,
/// over any rows reaches 2^31. Each is rounded up with the chance of what is cut off, else down, so that sums are right on
/// average; the random numbers belong to the place of the row. Hessians are at least 1, so that no row looks like none. Three passes,
/// over threads; the same at any number of them and on every instruction set.
///
/// Shi et al., *Quantized Training of Gradient Boosting Decision Trees*, NeurIPS 2022, show that few bits are enough if rounding is
/// random; 500,000 rows leave 12 for a mean gradient, 100 million 4.
///
/// ```
/// use tilewise_kernels::random::Philox;
/// use tilewise_kernels::tree::{Derivatives, Packed, fixed_point};
/// let rows = [(-0.5, 0.25), (0.75, 0.5)].map(|(gradient, hessian)| Derivatives { gradient, hessian });
/// let mut out = [Packed::default(); 2];
/// let units = fixed_point(&rows, Philox::new(0, 0), &mut out)?;
/// // Few rows have many bits: nothing is cut off.
/// assert_eq!(f64::from(out[1].gradient()) * units.gradient_unit, 0.75);
/// assert_eq!(f64::from(out[0].hessian()) * units.hessian_unit, 0.25);
/// # Ok::<(), tilewise_kernels::ShapeError>(())
/// ```
///
/// # Errors
/// When lengths differ, or there are 2^30 rows or more. Derivatives that are not finite give integers that mean nothing.
pub fn fixed_point(
    derivatives: &[Derivatives],
    random: Philox,
    out: &mut [Packed],
) -> Result<FixedPoint, ShapeError> {
    same("fixed-point numbers against derivatives", derivatives.len(), out.len())?;
    let largest = largest(derivatives);
    let units = FixedPoint::of(derivatives.len(), largest, sizes(derivatives, exponents(largest)))?;
    round_all(derivatives, 0, units, largest, random, out);
    Ok(units)
}

/// Merges what pieces of rows answer.
fn pieces(
    derivatives: &[Derivatives],
    of: impl Fn(&[Derivatives]) -> [i64; 2] + Sync,
    merge: fn(i64, i64) -> i64,
) -> [i64; 2] {
    let of = |rows: std::ops::Range<usize>| of(&derivatives[rows]);
    let merge = |a: [i64; 2], b: [i64; 2]| [merge(a[0], b[0]), merge(a[1], b[1])];
    parallel::map_reduce(derivatives.len(), PIECE, of, merge).unwrap_or_default()
}

/// The first step of [`fixed_point`] where rows lie in several places: the largest size of a gradient and of a hessian, 0 of no rows.
/// Of all rows it is the largest of those of the places.
pub fn largest(derivatives: &[Derivatives]) -> [f32; 2] {
    // The order of f32 that are not negative is that of their bits.
    let most = pieces(derivatives, |rows| f32::dispatch(Most(rows)), i64::max);
    most.map(|bits| f32::from_bits(bits as u32))
}

/// Exponents e of the largest sizes: 2^(e - 1) <= size < 2^e.
pub fn exponents(largest: [f32; 2]) -> [i32; 2] {
    largest.map(|most| if most > 0.0 { exponent(most) + 1 } else { 0 })
}

/// The second step: sums of sizes, cut to 20 bits below these exponents, which are those of all rows. Of all rows it is the sum of
/// those of the places.
pub fn sizes(derivatives: &[Derivatives], exponents: [i32; 2]) -> [i64; 2] {
    let up = exponents.map(|exponent| power_of_two(BITS - exponent));
    pieces(derivatives, |rows| f32::dispatch(Sizes { rows, up }), |a, b| a + b)
}

impl FixedPoint {
    /// The third step: the units of so many rows in all, those without derivatives too, of their [`largest`] and [`sizes`].
    ///
    /// # Errors
    /// When there are 2^30 rows or more.
    pub fn of(rows: usize, largest: [f32; 2], sizes: [i64; 2]) -> Result<Self, ShapeError> {
        if rows >= 1 << 30 {
            return Err(ShapeError::TooLong { what: "rows", most: (1 << 30) - 1, found: rows });
        }
        let (rows, exponents) = (rows as f64, exponents(largest));
        // Each size was cut by less than 1, and one more may be added when it is rounded: the total stays below 2^31.
        let places = ((1_u32 << 31) as f64 - 1.0 - rows).max(1.0);
        let bits = |which: usize| {
            let sum = (sizes[which] as f64 + rows) * f64::from(power_of_two(exponents[which] - BITS));
            // A power of two that is an f32; what is larger than 2^24 steps is exact as it is.
            let bits = (places / sum.max(f64::MIN_POSITIVE)).log2().floor();
            bits.clamp(-126.0, 126.0) as i32
        };
        let bits = [bits(0), bits(1)];
        let [gradient_unit, hessian_unit] = bits.map(|bits| 1.0 / f64::from(power_of_two(bits)));
        // The product may have been rounded to the next whole number.
        let most_hessian = ((f64::from(largest[1]) / hessian_unit).ceil() + 1.0) as i32;
        Ok(Self { gradient_unit, hessian_unit, most_hessian })
    }
}

/// The last step: writes derivatives as multiples of these units. `first` is the number of the first row among all.
///
/// # Errors
/// When lengths differ.
pub fn round_fixed(
    derivatives: &[Derivatives],
    first: usize,
    units: FixedPoint,
    random: Philox,
    out: &mut [Packed],
) -> Result<(), ShapeError> {
    same("fixed-point numbers against derivatives", derivatives.len(), out.len())?;
    round_all(derivatives, first, units, largest(derivatives), random, out);
    Ok(())
}

/// As [`round_fixed`], of rows whose largest sizes are known.
fn round_all(
    derivatives: &[Derivatives],
    first: usize,
    units: FixedPoint,
    most: [f32; 2],
    random: Philox,
    out: &mut [Packed],
) {
    // Powers of two from 2^-126 to 2^126.
    let steps = [units.gradient_unit, units.hessian_unit].map(|unit| (1.0 / unit) as f32);
    let small = (0..2).all(|which| most[which] * steps[which] < SMALL - 2.0);
    // Rows before the first whole group take their words from the middle of one.
    let skipped = first % TOGETHER;
    let before = if skipped == 0 { 0 } else { (TOGETHER - skipped).min(out.len()) };
    let (head, out) = out.split_at_mut(before);
    let (of_head, derivatives) = derivatives.split_at(before);
    let words: [[u32; LANES]; 4] = philox4x32_lanes(random, (first / TOGETHER * LANES) as u64);
    for (i, (row, out)) in of_head.iter().zip(head).enumerate() {
        let word = skipped + i;
        *out = round(*row, steps, words[word / LANES][word % LANES]);
    }
    let first = first + before;
    parallel::for_each_chunk_mut(out, PIECE, |piece, out| {
        let place = piece * PIECE;
        let rows = &derivatives[place..place + out.len()];
        f32::dispatch(Round { rows, steps, small, random, first: first + place, out });
    });
}

/// The exponent of a number that is not 0, by its bits; that of a subnormal one is taken as the least.
fn exponent(x: f32) -> i32 {
    ((x.to_bits() >> 23) as i32).max(1) - 127
}

/// 2^e, nearest in range.
fn power_of_two(e: i32) -> f32 {
    f32::from_bits(((e.clamp(-126, 127) + 127) as u32) << 23)
}

/// Numbers of the rows that loops take at once: gradients in even places, hessians in odd ones, as they lie. (Picked apart
/// row by row the compiler gathered them: 100 stages of boosting on 500,000 x 28 took 1.18 s in all, and take 1.08 so; two threads, Zen 5.)
const FLAT: usize = 16;

/// Calls `see(simd, place, numbers)` with the numbers of rows, a vector at a time, `place` that of its first among [`FLAT`].
#[inline(always)]
fn each_vector<S: Lanes<f32>>(simd: S, rows: &[Derivatives; FLAT / 2], mut see: impl FnMut(S, usize, S::V)) {
    for at in (0..FLAT).step_by(S::LANES) {
        // SAFETY: the rows are FLAT numbers one after the other (`repr(C)`), and LANES divides FLAT.
        let x = unsafe { simd.load(rows.as_ptr().cast::<f32>().add(at)) };
        see(simd, at, x);
    }
}

/// A pair of numbers by turns.
#[inline(always)]
fn by_turns([even, odd]: [f32; 2]) -> [f32; FLAT] {
    std::array::from_fn(|i| if i % 2 == 0 { even } else { odd })
}

/// A vector of an array.
#[inline(always)]
fn part<S: Lanes<f32>>(simd: S, of: &[f32; FLAT], at: usize) -> S::V {
    assert!(at + S::LANES <= FLAT);
    // SAFETY: so many numbers are there.
    unsafe { simd.load(of.as_ptr().add(at)) }
}

#[inline(always)]
fn put<S: Lanes<f32>>(simd: S, to: &mut [f32; FLAT], at: usize, x: S::V) {
    assert!(at + S::LANES <= FLAT);
    // SAFETY: there is room for so many numbers.
    unsafe { simd.store(to.as_mut_ptr().add(at), x) }
}

/// Bits of the largest sizes.
struct Most<'a>(&'a [Derivatives]);
impl Task<f32> for Most<'_> {
    type Output = [i64; 2];
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, simd: S) -> [i64; 2] {
        let mut most = [0.0; FLAT];
        let (chunks, rest) = self.0.as_chunks::<{ FLAT / 2 }>();
        for chunk in chunks {
            each_vector(simd, chunk, |simd, at, x| {
                let larger = simd.max(simd.abs(x), part(simd, &most, at));
                put(simd, &mut most, at, larger);
            });
        }
        for row in rest {
            most[0] = most[0].max(row.gradient.abs());
            most[1] = most[1].max(row.hessian.abs());
        }
        [0, 1].map(|which| most.iter().skip(which).step_by(2).map(|x| x.to_bits()).max().unwrap_or(0).into())
    }
}

/// `size`, which is not negative, without its fraction.
#[inline(always)]
fn whole<S: Lanes<f32>>(simd: S, size: S::V) -> S::V {
    let near = simd.round(size);
    simd.select_less(size, near, simd.sub(near, simd.splat(1.0)), near)
}

/// Sums of sizes as integers, cut down.
struct Sizes<'a> {
    rows: &'a [Derivatives],
    up: [f32; 2],
}
impl Task<f32> for Sizes<'_> {
    type Output = [i64; 2];
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, simd: S) -> [i64; 2] {
        /// Numbers below 2^20 whose sum an f32 holds exactly.
        const EXACT: usize = 1 << (24 - BITS);
        let Self { rows, up } = self;
        let ups = by_turns(up);
        let mut sums = [0_i64; 2];
        for rows in rows.chunks(EXACT * FLAT / 2) {
            let mut of_lanes = [0.0; FLAT];
            let (chunks, rest) = rows.as_chunks::<{ FLAT / 2 }>();
            for chunk in chunks {
                each_vector(simd, chunk, |simd, at, x| {
                    let size = simd.mul(simd.abs(x), part(simd, &ups, at));
                    let sum = simd.add(part(simd, &of_lanes, at), whole(simd, size));
                    put(simd, &mut of_lanes, at, sum);
                });
            }
            for row in rest {
                sums[0] += i64::from((row.gradient.abs() * up[0]) as i32);
                sums[1] += i64::from((row.hessian * up[1]) as i32);
            }
            for (i, &lane) in of_lanes.iter().enumerate() {
                sums[i % 2] += i64::from(lane as u32);
            }
        }
        sums
    }
}

struct Round<'a> {
    rows: &'a [Derivatives],
    steps: [f32; 2],
    /// Whether all integers are so small that a float of this size has their bits.
    small: bool,
    random: Philox,
    /// The number of the first row, a multiple of [`TOGETHER`].
    first: usize,
    out: &'a mut [Packed],
}

/// Half of the floats of step 1: added to an integer below [`SMALL`] it leaves that in the last bits.
const MAGIC: f32 = 12_582_912.0;
const SMALL: f32 = 4_194_304.0;

impl Task<f32> for Round<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, simd: S) {
        let Self { rows, steps, small, random, first, out } = self;
        let groups = rows.chunks(TOGETHER).zip(out.chunks_mut(TOGETHER));
        for (group, (rows, out)) in groups.enumerate() {
            let counter = ((first / TOGETHER + group) * LANES) as u64;
            let words: [[u32; LANES]; 4] = philox4x32_lanes(random, counter);
            if small
                && let (Ok(rows), Ok(out)) = (
                    <&[Derivatives; TOGETHER]>::try_from(rows),
                    <&mut [Packed; TOGETHER]>::try_from(&mut *out),
                )
            {
                round_group(simd, rows, steps, words.as_flattened(), out);
            } else {
                for (i, (row, out)) in rows.iter().zip(out).enumerate() {
                    *out = round(*row, steps, words[i / LANES][i % LANES]);
                }
            }
        }
    }
}

/// [`round`] for a group of rows, whose integers are below [`SMALL`].
#[inline(always)]
fn round_group<S: Lanes<f32>>(
    simd: S,
    rows: &[Derivatives; TOGETHER],
    steps: [f32; 2],
    words: &[u32],
    out: &mut [Packed; TOGETHER],
) {
    let (steps, least) = (by_turns(steps), by_turns([f32::NEG_INFINITY, 1.0]));
    let (zero, one, magic) = (simd.splat(0.0), simd.splat(1.0), simd.splat(MAGIC));
    let rows = rows.as_chunks::<{ FLAT / 2 }>().0;
    for ((rows, words), out) in
        rows.iter().zip(words.chunks_exact(FLAT / 2)).zip(out.chunks_exact_mut(FLAT / 2))
    {
        // The upper bits for the gradient, the lower for the hessian.
        let mut random = [0.0; FLAT];
        for (random, word) in random.as_chunks_mut::<2>().0.iter_mut().zip(words) {
            *random = [word >> 16, word & 0xffff].map(|bits| bits as i32 as f32 * UNIT);
        }
        let mut numbers = [0.0; FLAT];
        each_vector(simd, rows, |simd, at, x| {
            let size = simd.mul(simd.abs(x), part(simd, &steps, at));
            let whole = whole(simd, size);
            let up = simd.add(simd.sub(size, whole), part(simd, &random, at));
            let size = simd.add(whole, simd.select_less(up, one, zero, one));
            let number = simd.select_less(x, zero, simd.sub(zero, size), size);
            let number = simd.max(number, part(simd, &least, at));
            put(simd, &mut numbers, at, simd.add(number, magic));
        });
        for (out, numbers) in out.iter_mut().zip(numbers.as_chunks::<2>().0) {
            let [gradient, hessian] = numbers.map(|x| x.to_bits().wrapping_sub(MAGIC.to_bits()) as i32);
            *out = Packed::new(gradient, hessian);
        }
    }
}

/// 2^-16: what the last of 16 random bits counts.
const UNIT: f32 = 1.0 / 65_536.0;

/// What 2^-16 and 16 random bits make of derivatives: the gradient takes the upper bits, the hessian the lower.
#[inline(always)]
fn round(row: Derivatives, steps: [f32; 2], word: u32) -> Packed {
    let up = |bits: u32| bits as i32 as f32 * UNIT;
    // What is cut off is looked at alone: a size of 2^7 and more plus 16 bits below 1 would itself be rounded, up where nothing is cut off.
    let rounded = |size: f32, bits: u32| {
        let whole = size as i32;
        // What is not finite means nothing, and must not stop anything.
        whole.wrapping_add(i32::from(size - whole as f32 + up(bits) >= 1.0))
    };
    // Conversions cut off towards 0: from the side of 0 a size is rounded, and the sign put back.
    let size = rounded(row.gradient.abs() * steps[0], word >> 16);
    let gradient = if row.gradient < 0.0 { size.wrapping_neg() } else { size };
    let hessian = rounded(row.hessian * steps[1], word & 0xffff);
    Packed::new(gradient, hessian.max(1))
}
