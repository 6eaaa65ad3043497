//! AVX-512 (F, BW, DQ, VL): 32 registers of 512 bits.

use super::{Lanes, RowSets, Simd};
use crate::tree::Bin;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub struct Avx512 {
    _private: (),
}

impl Avx512 {
    /// The token, if the CPU has the set. The features asked for here are those of `vectorize`.
    #[inline]
    pub fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl"))
        .then_some(Self { _private: () })
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn enabled<R>(f: impl FnOnce() -> R) -> R {
    f()
}

impl Simd for Avx512 {
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: a token exists only where new() found all four features.
        unsafe { enabled(f) }
    }
    #[inline(always)]
    fn fence(self) {
        // SAFETY: sfence is part of SSE, the baseline of x86-64.
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    fn prefetch<T>(self, p: *const T) {
        // SAFETY: part of SSE; a prefetch of an invalid address does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
    #[inline(always)]
    fn pack(self, from: &[u32; 16], keep: u16, to: &mut [u32; 16]) {
        // SAFETY: both arrays hold the 16 elements that are read and written; the intrinsics need only avx512f.
        unsafe {
            let packed = _mm512_maskz_compress_epi32(keep, _mm512_loadu_epi32(from.as_ptr().cast()));
            _mm512_storeu_epi32(to.as_mut_ptr().cast(), packed);
        }
    }
}

impl RowSets for Avx512 {
    type Rows = u64;
    #[inline(always)]
    fn all_rows(self) -> u64 {
        u64::MAX
    }
    #[inline(always)]
    fn divide_rows<B: Bin>(
        self,
        rows: u64,
        codes: &[B; 64],
        code: B,
        mark: &mut [u8; 64],
        right: u8,
    ) -> [u64; 2] {
        let (codes, code): (*const B, usize) = (codes.as_ptr(), code.into());
        // SAFETY: 64 codes of one byte are one vector, of two bytes two, as are the 64 marks; the intrinsics need only avx512bw.
        unsafe {
            let above = if size_of::<B>() == 1 {
                let code = _mm512_set1_epi8(code as i8);
                _mm512_mask_cmpgt_epu8_mask(rows, _mm512_loadu_epi8(codes.cast()), code)
            } else {
                const { assert!(size_of::<B>() <= 2) };
                let code = _mm512_set1_epi16(code as i16);
                let above = |half: usize| {
                    let codes = _mm512_loadu_epi16(codes.add(32 * half).cast());
                    u64::from(_mm512_cmpgt_epu16_mask(codes, code))
                };
                rows & (above(0) | above(1) << 32)
            };
            let marked = _mm512_mask_mov_epi8(
                _mm512_loadu_epi8(mark.as_ptr().cast()),
                above,
                _mm512_set1_epi8(right as i8),
            );
            _mm512_storeu_epi8(mark.as_mut_ptr().cast(), marked);
            [rows & !above, above]
        }
    }
}

// SAFETY of every block below without a pointer: the intrinsic needs only the four features, which `self` proves.
// 12 x 2 accumulators + 2 columns + 1 broadcast = 27 of 32 registers; 14 rows fit too, 12 divides common sizes better.
macro_rules! avx512 {
    ($t:ty, $v:ty, $lanes:literal, $set1:ident, $load:ident, $store:ident, $stream:ident, $add:ident, $sub:ident,
     $mul:ident, $div:ident, $fmadd:ident, $min:ident, $max:ident, $round:ident, $abs:ident, $blend:ident,
     $maskload:ident, $maskstore:ident, $mask:ty, $permute2:ident, $loadint:ident, $int:ty, $signs:expr, $less:ident,
     $scalef:ident, $getexp:ident, $getmant:ident, |$n:ident| $pow2:expr) => {
        impl Lanes<$t> for Avx512 {
            type V = $v;
            const LANES: usize = $lanes;
            const TILE_ROWS: usize = 12;
            const TILE_REGISTERS: usize = 32;

            #[inline(always)]
            fn splat(self, x: $t) -> $v {
                // SAFETY: see above the macro.
                unsafe { $set1(x) }
            }
            #[inline(always)]
            unsafe fn load(self, p: *const $t) -> $v {
                // SAFETY: the caller promises LANES readable elements; the instruction allows any alignment.
                unsafe { $load(p) }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t, v: $v) {
                // SAFETY: the caller promises LANES writable elements; the instruction allows any alignment.
                unsafe { $store(p, v) }
            }
            #[inline(always)]
            unsafe fn load_first(self, p: *const $t, n: usize) -> $v {
                // SAFETY: the caller promises n readable elements; lanes whose mask is clear are not accessed.
                unsafe { if n == $lanes { $load(p) } else { $maskload(((1_u32 << n) - 1) as $mask, p) } }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $t, v: $v, n: usize) {
                // SAFETY: the caller promises n writable elements; lanes whose mask is clear are not accessed. Masked stores
                // made exp of 16 MiB four times slower (Zen 5).
                unsafe {
                    if n == $lanes { $store(p, v) } else { $maskstore(p, ((1_u32 << n) - 1) as $mask, v) }
                }
            }
            #[inline(always)]
            unsafe fn stream(self, p: *mut $t, v: $v) {
                // SAFETY: the caller promises LANES writable elements at a multiple of 64 bytes.
                unsafe { $stream(p, v) }
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
                unsafe { $fmadd(a, b, c) }
            }
            #[inline(always)]
            fn fused_mul_add(self, a: $v, b: $v, c: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $fmadd(a, b, c) }
            }
            #[inline(always)]
            fn min(self, a: $v, b: $v) -> $v {
                // SAFETY: see above the macro. The instruction gives b when unordered, as the trait says.
                unsafe { $min(a, b) }
            }
            #[inline(always)]
            fn max(self, a: $v, b: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $max(a, b) }
            }
            #[inline(always)]
            fn round(self, a: $v) -> $v {
                // SAFETY: see above the macro. Immediate 0: nearest integer, ties to even.
                unsafe { $round::<0>(a) }
            }
            #[inline(always)]
            fn abs(self, a: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $abs(a) }
            }
            #[inline(always)]
            fn select_sign(self, sign: $v, if_set: $v, otherwise: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $blend($signs(sign), otherwise, if_set) }
            }
            #[inline(always)]
            fn select_less(self, a: $v, b: $v, if_less: $v, otherwise: $v) -> $v {
                // SAFETY: see above the macro. Ordered: false where either is NaN.
                unsafe { $blend($less::<_CMP_LT_OQ>(a, b), otherwise, if_less) }
            }
            #[inline(always)]
            fn zip(self, a: $v, b: $v) -> ($v, $v) {
                // Lanes of a count from 0, those of b from LANES.
                const PICK: [[$int; $lanes]; 2] = {
                    let mut pick = [[0; $lanes]; 2];
                    let mut i = 0;
                    while i < 2 * $lanes {
                        pick[i / $lanes][i % $lanes] = (i / 2 + i % 2 * $lanes) as $int;
                        i += 1;
                    }
                    pick
                };
                // SAFETY: see above the macro; each index vector holds LANES integers.
                unsafe {
                    let (low, high) = ($loadint(PICK[0].as_ptr()), $loadint(PICK[1].as_ptr()));
                    ($permute2(a, low, b), $permute2(a, high, b))
                }
            }
            #[inline(always)]
            fn pow2(self, $n: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $pow2 }
            }
            #[inline(always)]
            fn scale(self, x: $v, n: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $scalef(x, n) }
            }
            #[inline(always)]
            fn split_normal(self, x: $v) -> ($v, $v) {
                Lanes::<$t>::split(self, x)
            }
            #[inline(always)]
            fn split(self, x: $v) -> ($v, $v) {
                // SAFETY: see above the macro. Immediate 3 drops the sign of -0 and makes NaN of negative numbers; the
                // exponent of the mantissa is -1 or 0.
                unsafe {
                    let m = $getmant::<_MM_MANT_NORM_P75_1P5, 3>(x);
                    ($sub($getexp(x), $getexp(m)), m)
                }
            }
        }
    };
}

avx512!(
    f32,
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_stream_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_fmadd_ps,
    _mm512_min_ps,
    _mm512_max_ps,
    _mm512_roundscale_ps,
    _mm512_abs_ps,
    _mm512_mask_blend_ps,
    _mm512_maskz_loadu_ps,
    _mm512_mask_storeu_ps,
    __mmask16,
    _mm512_permutex2var_ps,
    _mm512_loadu_epi32,
    i32,
    |sign| _mm512_movepi32_mask(_mm512_castps_si512(sign)),
    _mm512_cmp_ps_mask,
    _mm512_scalef_ps,
    _mm512_getexp_ps,
    _mm512_getmant_ps,
    |n| {
        // Adding 1.5 * 2^23 leaves n + 127 in the low bits of the mantissa; they become the exponent.
        let biased = _mm512_add_ps(n, _mm512_set1_ps(127.0 + 12_582_912.0));
        _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(biased)))
    }
);
avx512!(
    f64,
    __m512d,
    8,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_stream_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_div_pd,
    _mm512_fmadd_pd,
    _mm512_min_pd,
    _mm512_max_pd,
    _mm512_roundscale_pd,
    _mm512_abs_pd,
    _mm512_mask_blend_pd,
    _mm512_maskz_loadu_pd,
    _mm512_mask_storeu_pd,
    __mmask8,
    _mm512_permutex2var_pd,
    _mm512_loadu_epi64,
    i64,
    |sign| _mm512_movepi64_mask(_mm512_castpd_si512(sign)),
    _mm512_cmp_pd_mask,
    _mm512_scalef_pd,
    _mm512_getexp_pd,
    _mm512_getmant_pd,
    |n| {
        // As above with 1.5 * 2^52.
        let biased = _mm512_add_pd(n, _mm512_set1_pd(1023.0 + 6_755_399_441_055_744.0));
        _mm512_castsi512_pd(_mm512_slli_epi64::<52>(_mm512_castpd_si512(biased)))
    }
);
