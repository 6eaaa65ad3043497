//! NEON of aarch64, where it is always there: 32 registers of 128 bits.

use super::{Lanes, Simd};
use std::arch::aarch64::*;

/// NEON is part of the aarch64 baseline.
#[derive(Clone, Copy)]
pub struct Neon {
    _private: (),
}

impl Neon {
    /// The token.
    pub fn new() -> Self {
        Self { _private: () }
    }
}

impl Default for Neon {
    fn default() -> Self {
        Self::new()
    }
}

impl Simd for Neon {
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
    #[inline(always)]
    fn fence(self) {}
    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}
}

// SAFETY of every block below without a pointer: the intrinsic needs only neon, the baseline of aarch64.
// 8 x 2 accumulators + 2 columns + 8 broadcasts = 26 of 32 registers.
macro_rules! neon {
    ($t:ty, $v:ty, $lanes:literal, $set1:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident,
     $div:ident, $fma:ident, $lt:ident, $gt:ident, $select:ident, $round:ident, $abs:ident, $zip1:ident,
     $zip2:ident, $signs:expr,
     |$n:ident| $pow2:expr, |$x:ident| $split:expr) => {
        impl Lanes<$t> for Neon {
            type V = $v;
            const LANES: usize = $lanes;
            const TILE_ROWS: usize = 8;
            const TILE_REGISTERS: usize = 27;

            #[inline(always)]
            fn splat(self, x: $t) -> $v {
                // SAFETY: see above the macro.
                unsafe { $set1(x) }
            }
            #[inline(always)]
            unsafe fn load(self, p: *const $t) -> $v {
                // SAFETY: the caller promises LANES readable elements.
                unsafe { $load(p) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t, v: $v) {
                // SAFETY: the caller promises LANES writable elements.
                unsafe { $store(p, v) }
            }
            #[inline(always)]
            unsafe fn load_first(self, p: *const $t, n: usize) -> $v {
                if n == $lanes {
                    // SAFETY: the caller promises n readable elements.
                    return unsafe { $load(p) };
                }
                // SAFETY: as above.
                let x: [$t; $lanes] = std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 });
                // SAFETY: the array holds LANES elements.
                unsafe { $load(x.as_ptr()) }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $t, v: $v, n: usize) {
                if n == $lanes {
                    // SAFETY: the caller promises n writable elements.
                    return unsafe { $store(p, v) };
                }
                let mut x = [0.0; $lanes];
                // SAFETY: the array holds LANES elements.
                unsafe { $store(x.as_mut_ptr(), v) };
                for (i, x) in x.into_iter().enumerate().take(n) {
                    // SAFETY: the caller promises n writable elements.
                    unsafe { *p.add(i) = x };
                }
            }
            #[inline(always)]
            unsafe fn stream(self, p: *mut $t, v: $v) {
                // SAFETY: the caller promises LANES writable elements.
                unsafe { $store(p, v) }
            }
            #[inline(always)]
            fn add(self, a: $v, b: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            fn sub(self, a: $v, b: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $sub(a, b) }
            }
            #[inline(always)]
            fn mul(self, a: $v, b: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            fn div(self, a: $v, b: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $div(a, b) }
            }
            #[inline(always)]
            fn mul_add(self, a: $v, b: $v, c: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $fma(c, a, b) }
            }
            #[inline(always)]
            fn fused_mul_add(self, a: $v, b: $v, c: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $fma(c, a, b) }
            }
            #[inline(always)]
            fn min(self, a: $v, b: $v) -> $v {
                // SAFETY: see above the macro. NEON's own minimum treats NaN in another way than the trait says.
                unsafe { $select($lt(a, b), a, b) }
            }
            #[inline(always)]
            fn max(self, a: $v, b: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $select($gt(a, b), a, b) }
            }
            #[inline(always)]
            fn round(self, a: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $round(a) }
            }
            #[inline(always)]
            fn abs(self, a: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $abs(a) }
            }
            #[inline(always)]
            fn select_sign(self, sign: $v, if_set: $v, otherwise: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $select($signs(sign), if_set, otherwise) }
            }
            #[inline(always)]
            fn select_less(self, a: $v, b: $v, if_less: $v, otherwise: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $select($lt(a, b), if_less, otherwise) }
            }
            #[inline(always)]
            fn zip(self, a: $v, b: $v) -> ($v, $v) {
                // SAFETY: see above the macro.
                unsafe { ($zip1(a, b), $zip2(a, b)) }
            }
            #[inline(always)]
            fn pow2(self, $n: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $pow2 }
            }
            #[inline(always)]
            fn split_normal(self, $x: $v) -> ($v, $v) {
                // SAFETY: see above the macro.
                unsafe { $split }
            }
        }
    };
}

neon!(
    f32,
    float32x4_t,
    4,
    vdupq_n_f32,
    vld1q_f32,
    vst1q_f32,
    vaddq_f32,
    vsubq_f32,
    vmulq_f32,
    vdivq_f32,
    vfmaq_f32,
    vcltq_f32,
    vcgtq_f32,
    vbslq_f32,
    vrndnq_f32,
    vabsq_f32,
    vzip1q_f32,
    vzip2q_f32,
    |sign| vreinterpretq_u32_s32(vshrq_n_s32::<31>(vreinterpretq_s32_f32(sign))),
    |n| vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)))),
    |x| {
        // Counted from the bits of 0.75, the exponent changes where m does.
        let bits = vreinterpretq_s32_f32(x);
        let n = vshrq_n_s32::<23>(vsubq_s32(bits, vreinterpretq_s32_f32(vdupq_n_f32(0.75))));
        (vcvtq_f32_s32(n), vreinterpretq_f32_s32(vsubq_s32(bits, vshlq_n_s32::<23>(n))))
    }
);
neon!(
    f64,
    float64x2_t,
    2,
    vdupq_n_f64,
    vld1q_f64,
    vst1q_f64,
    vaddq_f64,
    vsubq_f64,
    vmulq_f64,
    vdivq_f64,
    vfmaq_f64,
    vcltq_f64,
    vcgtq_f64,
    vbslq_f64,
    vrndnq_f64,
    vabsq_f64,
    vzip1q_f64,
    vzip2q_f64,
    |sign| vreinterpretq_u64_s64(vshrq_n_s64::<63>(vreinterpretq_s64_f64(sign))),
    |n| vreinterpretq_f64_s64(vshlq_n_s64::<52>(vaddq_s64(vcvtq_s64_f64(n), vdupq_n_s64(1023)))),
    |x| {
        let bits = vreinterpretq_s64_f64(x);
        let n = vshrq_n_s64::<52>(vsubq_s64(bits, vreinterpretq_s64_f64(vdupq_n_f64(0.75))));
        (vcvtq_f64_s64(n), vreinterpretq_f64_s64(vsubq_s64(bits, vshlq_n_s64::<52>(n))))
    }
);
