//! Products of stored numbers, and rounding to bfloat16: the definitions.

use crate::{Bf16, Float, MatMut, MatRef, Storage, naive};

/// C = alpha A B + beta C with both operands converted to the type of C first; see [`naive::gemm`].
///
/// # Panics
/// When the shapes do not fit.
pub fn gemm_mixed<A: Storage, B: Storage, T: Float>(
    alpha: T,
    a: MatRef<'_, A>,
    b: MatRef<'_, B>,
    beta: T,
    c: MatMut<'_, T>,
) {
    let converted_a: Vec<T> = a.to_vec().into_iter().map(Storage::to).collect();
    let converted_b: Vec<T> = b.to_vec().into_iter().map(Storage::to).collect();
    if let (Ok(a), Ok(b)) =
        (MatRef::new(&converted_a, a.rows(), a.cols()), MatRef::new(&converted_b, b.rows(), b.cols()))
    {
        naive::gemm(alpha, a, b, beta, c);
    }
}

/// The nearest bfloat16, ties to even, by comparing with both neighbours.
pub fn to_bf16(x: f32) -> Bf16 {
    let below = (x.to_bits() >> 16) as u16;
    if x.is_nan() {
        return Bf16::from_bits(below | 0x40);
    }
    // Towards and away from zero; the one beyond the largest counts as 2^128, where infinity begins.
    let value = |bits: u16| {
        let x = f64::from(Bf16::from_bits(bits).to_f32());
        if x.is_infinite() { x.signum() * 2f64.powi(128) } else { x }
    };
    if x.is_infinite() || f64::from(x) == value(below) {
        return Bf16::from_bits(below);
    }
    let (near, far) = ((f64::from(x) - value(below)).abs(), (f64::from(x) - value(below + 1)).abs());
    let up = far < near || (far == near && below % 2 == 1);
    Bf16::from_bits(below + u16::from(up))
}
