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
    if derivatives.len() >= 1 << 30 {
        return Err(ShapeError::TooLong { what: "rows", most: (1 << 30) - 1, found: derivatives.len() });
    }
    let pieces = |f: &(dyn Fn(&[Derivatives]) -> [i64; 2] + Sync), merge: fn(i64, i64) -> i64| {
        let of = |rows: std::ops::Range<usize>| f(&derivatives[rows]);
        let merge = |a: [i64; 2], b: [i64; 2]| [merge(a[0], b[0]), merge(a[1], b[1])];
        parallel::map_reduce(derivatives.len(), PIECE, of, merge).unwrap_or_default()
    };
    // The order of f32 that are not negative is that of their bits.
    let most = pieces(&|rows| f32::dispatch(Most(rows)), i64::max);
    let most = most.map(|bits| f32::from_bits(bits as u32));
    // 2^(exponent - 1) <= most < 2^exponent.
    let exponents = most.map(|most| if most > 0.0 { exponent(most) + 1 } else { 0 });
    let up = exponents.map(|exponent| power_of_two(BITS - exponent));
    let sums = pieces(&|rows| f32::dispatch(Sizes { rows, up }), |a, b| a + b);
    let rows = derivatives.len() as f64;
    // Each size was cut by less than 1, and one more may be added when it is rounded: the total stays below 2^31.
    let places = ((1_u32 << 31) as f64 - 1.0 - rows).max(1.0);
    let bits = |which: usize| {
        let sum = (sums[which] as f64 + rows) * f64::from(power_of_two(exponents[which] - BITS));
        // A power of two that is an f32; what is larger than 2^24 steps is exact as it is.
        let bits = (places / sum.max(f64::MIN_POSITIVE)).log2().floor();
        bits.clamp(-126.0, 126.0) as i32
    };
    let bits = [bits(0), bits(1)];
    let steps = bits.map(power_of_two);
    parallel::for_each_chunk_mut(out, PIECE, |piece, out| {
        let first = piece * PIECE;
        let rows = &derivatives[first..first + out.len()];
        f32::dispatch(Round { rows, steps, random, first, out });
    });
    // The product may have been rounded to the next whole number.
    let most_hessian = ((f64::from(most[1]) * f64::from(steps[1])).ceil() + 1.0) as i32;
    let [gradient_unit, hessian_unit] = bits.map(|bits| 1.0 / f64::from(power_of_two(bits)));
    Ok(FixedPoint { gradient_unit, hessian_unit, most_hessian })
}

/// The exponent of a number that is not 0, by its bits; that of a subnormal one is taken as the least.
fn exponent(x: f32) -> i32 {
    ((x.to_bits() >> 23) as i32).max(1) - 127
}

/// 2^e, nearest in range.
fn power_of_two(e: i32) -> f32 {
    f32::from_bits(((e.clamp(-126, 127) + 127) as u32) << 23)
}

/// Bits of the largest sizes.
struct Most<'a>(&'a [Derivatives]);
impl Task<f32> for Most<'_> {
    type Output = [i64; 2];
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, _: S) -> [i64; 2] {
        // Gradients in even places, hessians in odd ones: as they lie.
        let mut most = [0_u32; LANES];
        let (chunks, rest) = self.0.as_chunks::<{ LANES / 2 }>();
        for chunk in chunks {
            for (most, x) in most.iter_mut().zip(flat(chunk)) {
                *most = (*most).max(x.abs().to_bits());
            }
        }
        for row in rest {
            most[0] = most[0].max(row.gradient.abs().to_bits());
            most[1] = most[1].max(row.hessian.abs().to_bits());
        }
        [0, 1].map(|which| most.iter().skip(which).step_by(2).copied().max().unwrap_or(0).into())
    }
}

/// Gradients and hessians by turns.
#[inline(always)]
fn flat(rows: &[Derivatives; LANES / 2]) -> [f32; LANES] {
    std::array::from_fn(|i| if i % 2 == 0 { rows[i / 2].gradient } else { rows[i / 2].hessian })
}

/// Sums of sizes as integers, cut down.
struct Sizes<'a> {
    rows: &'a [Derivatives],
    up: [f32; 2],
}
impl Task<f32> for Sizes<'_> {
    type Output = [i64; 2];
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, _: S) -> [i64; 2] {
        let Self { rows, up } = self;
        // 2^11 rows of less than 2^20 each fit 32 bits.
        let mut sums = [0_i64; 2];
        let up: [f32; LANES] = std::array::from_fn(|i| up[i % 2]);
        for rows in rows.chunks(2048 * LANES / 2) {
            let mut of_lanes = [0_u32; LANES];
            let (chunks, rest) = rows.as_chunks::<{ LANES / 2 }>();
            for chunk in chunks {
                for ((sum, x), up) in of_lanes.iter_mut().zip(flat(chunk)).zip(up) {
                    *sum += (x.abs() * up) as i32 as u32;
                }
            }
            for (i, row) in rest.iter().enumerate() {
                of_lanes[2 * i] += (row.gradient.abs() * up[0]) as i32 as u32;
                of_lanes[2 * i + 1] += (row.hessian * up[1]) as i32 as u32;
            }
            for (i, &lane) in of_lanes.iter().enumerate() {
                sums[i % 2] += i64::from(lane);
            }
        }
        sums
    }
}

struct Round<'a> {
    rows: &'a [Derivatives],
    steps: [f32; 2],
    random: Philox,
    /// The number of the first row, a multiple of [`TOGETHER`].
    first: usize,
    out: &'a mut [Packed],
}
impl Task<f32> for Round<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes<f32>>(self, _: S) {
        let Self { rows, steps, random, first, out } = self;
        let groups = rows.chunks(TOGETHER).zip(out.chunks_mut(TOGETHER));
        for (group, (rows, out)) in groups.enumerate() {
            let counter = ((first / TOGETHER + group) * LANES) as u64;
            let words: [[u32; LANES]; 4] = philox4x32_lanes(random, counter);
            if let (Ok(rows), Ok(out)) =
                (<&[Derivatives; TOGETHER]>::try_from(rows), <&mut [Packed; TOGETHER]>::try_from(&mut *out))
            {
                for i in 0..TOGETHER {
                    out[i] = round(rows[i], steps, words[i / LANES][i % LANES]);
                }
            } else {
                for (i, (row, out)) in rows.iter().zip(out).enumerate() {
                    *out = round(*row, steps, words[i / LANES][i % LANES]);
                }
            }
        }
    }
}

/// What 2^-16 and 16 random bits make of derivatives: the gradient takes the upper bits, the hessian the lower.
#[inline(always)]
fn round(row: Derivatives, steps: [f32; 2], word: u32) -> Packed {
    const UNIT: f32 = 1.0 / 65_536.0;
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
