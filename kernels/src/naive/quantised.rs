//! Products of bytes, and between real numbers and bytes: the definitions.

use crate::quantised::{Quantisation, Quantised, Scales};
use crate::{MatMut, MatRef};

/// C = (A - zero_a) (B - zero_b), summed in 64 bits; each sum must fit 32.
///
/// # Panics
/// When the shapes do not fit.
pub fn gemm_i8(a: MatRef<'_, u8>, zero_a: u8, b: MatRef<'_, i8>, zero_b: i8, mut c: MatMut<'_, i32>) {
    for i in 0..c.rows() {
        for j in 0..c.cols() {
            c.set(i, j, entry(a, zero_a, b, zero_b, i, j) as i32);
        }
    }
}

/// As [`gemm_i8`], each integer rounded to f32, times the product of the two scales.
///
/// # Panics
/// When the shapes do not fit.
pub fn gemm_i8_scaled(
    a: MatRef<'_, u8>,
    by: Quantisation<u8>,
    b: MatRef<'_, i8>,
    zero_b: i8,
    scales: Scales<'_>,
    mut c: MatMut<'_, f32>,
) {
    for i in 0..c.rows() {
        for j in 0..c.cols() {
            let scale = match scales {
                Scales::Same(scale) => scale,
                Scales::Columns(scales) => scales[j],
            };
            c.set(i, j, entry(a, by.zero_point, b, zero_b, i, j) as f32 * (by.scale * scale));
        }
    }
}

fn entry(a: MatRef<'_, u8>, zero_a: u8, b: MatRef<'_, i8>, zero_b: i8, i: usize, j: usize) -> i64 {
    let centred = |x: i64, zero: i64| x - zero;
    (0..a.cols())
        .map(|l| centred(a.get(i, l).into(), zero_a.into()) * centred(b.get(l, j).into(), zero_b.into()))
        .sum()
}

/// saturate(round(x / scale) + zero point), ties to even; NaN becomes the zero point.
pub fn quantise<Q: Quantised>(x: f32, by: Quantisation<Q>) -> Q {
    let zero: i32 = by.zero_point.into();
    let rounded = (x / by.scale).round_ties_even();
    let q = if rounded.is_nan() { 0.0 } else { f64::from(rounded) } + f64::from(zero);
    Q::from_low_byte(q.clamp(Q::LOWEST.into(), Q::HIGHEST.into()) as i32)
}

/// (q - zero point) scale.
pub fn dequantise<Q: Quantised>(q: Q, by: Quantisation<Q>) -> f32 {
    let (q, zero): (i32, i32) = (q.into(), by.zero_point.into());
    (q - zero) as f32 * by.scale
}
