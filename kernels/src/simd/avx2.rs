//! AVX2 with FMA: 16 registers of 256 bits.

use super::{Lanes, Simd};
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub struct Avx2 {
    _private: (),
}

impl Avx2 {
    /// The token, if the CPU has the set. The features asked for here are those of `vectorize`.
    #[inline]
    pub fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self { _private: () })
    }
}

#[target_feature(enable = "avx2,fma")]
fn enabled<R>(f: impl FnOnce() -> R) -> R {
    f()
}

impl Simd for Avx2 {
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: a token exists only where new() found avx2 and fma.
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
        let [low, high] = keep.to_le_bytes();
        let kept = low.count_ones() as usize;
        // SAFETY: `from` holds the two halves that are read, `to` the 8 elements that are written from 0 and from at most 8 on, an entry of
        // the table 8 indices; the intrinsics need only avx2.
        unsafe {
            let pack = |half: usize, keep: u8| {
                let lanes = _mm256_loadu_si256(PACK[keep as usize].as_ptr().cast());
                _mm256_permutevar8x32_epi32(_mm256_loadu_si256(from.as_ptr().add(8 * half).cast()), lanes)
            };
            _mm256_storeu_si256(to.as_mut_ptr().cast(), pack(0, low));
            _mm256_storeu_si256(to.as_mut_ptr().add(kept).cast(), pack(1, high));
        }
    }
}

/// The lanes of the bits that are set in a byte, from the lowest on.
static PACK: [[u32; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut lane, mut kept) = (0, 0);
        while lane < 8 {
            if byte >> lane & 1 == 1 {
                table[byte][kept] = lane;
                kept += 1;
            }
            lane += 1;
        }
        byte += 1;
    }
    table
};

/// A mask of `LANES` lanes in a register whose first `n` are set; `n` at most `LANES`.
#[inline(always)]
fn first<const LANES: usize>(_: Avx2, n: usize) -> __m256i {
    /// The mask of n starts n lanes before the middle.
    static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let words = 8 / LANES;
    assert!(n <= LANES);
    // SAFETY: 8 words from an index of 0 to 8 on lie inside the table; the load needs AVX, which the token proves.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - n * words).cast()) }
}

// SAFETY of every block below without a pointer: the intrinsic needs only avx2 and fma, which `self` proves.
// 6 x 2 accumulators + 2 columns + 1 broadcast = 15 of 16 registers.
macro_rules! avx2 {
    ($t:ty, $v:ty, $lanes:literal, $set1:ident, $load:ident, $store:ident, $stream:ident, $add:ident, $sub:ident,
     $mul:ident, $div:ident, $fmadd:ident, $min:ident, $max:ident, $round:ident, $andnot:ident, $blend:ident,
     $maskload:ident, $maskstore:ident, $unpacklo:ident, $unpackhi:ident, $permute2:ident, $less:ident,
     |$n:ident| $pow2:expr, |$x:ident| $split:expr) => {
        impl Lanes<$t> for Avx2 {
            type V = $v;
            const LANES: usize = $lanes;
            const TILE_ROWS: usize = 6;
            const TILE_REGISTERS: usize = 16;

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
                unsafe { if n == $lanes { $load(p) } else { $maskload(p, first::<$lanes>(self, n)) } }
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $t, v: $v, n: usize) {
                // SAFETY: the caller promises n writable elements; lanes whose mask is clear are not accessed. A masked
                // store is microcode on Zen 3 and earlier.
                unsafe { if n == $lanes { $store(p, v) } else { $maskstore(p, first::<$lanes>(self, n), v) } }
            }
            #[inline(always)]
            unsafe fn stream(self, p: *mut $t, v: $v) {
                // SAFETY: the caller promises LANES writable elements at a multiple of 32 bytes.
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
                // SAFETY: see above the macro.
                unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
            }
            #[inline(always)]
            fn abs(self, a: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $andnot($set1(-0.0), a) }
            }
            #[inline(always)]
            fn select_sign(self, sign: $v, if_set: $v, otherwise: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $blend(otherwise, if_set, sign) }
            }
            #[inline(always)]
            fn select_less(self, a: $v, b: $v, if_less: $v, otherwise: $v) -> $v {
                // SAFETY: see above the macro. Ordered: false where either is NaN.
                unsafe { $blend(otherwise, if_less, $less::<_CMP_LT_OQ>(a, b)) }
            }
            #[inline(always)]
            fn zip(self, a: $v, b: $v) -> ($v, $v) {
                // SAFETY: see above the macro. The unpacking works in each half of a register; the halves are then
                // put together.
                unsafe {
                    let (low, high) = ($unpacklo(a, b), $unpackhi(a, b));
                    ($permute2::<0x20>(low, high), $permute2::<0x31>(low, high))
                }
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

avx2!(
    f32,
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_stream_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_fmadd_ps,
    _mm256_min_ps,
    _mm256_max_ps,
    _mm256_round_ps,
    _mm256_andnot_ps,
    _mm256_blendv_ps,
    _mm256_maskload_ps,
    _mm256_maskstore_ps,
    _mm256_unpacklo_ps,
    _mm256_unpackhi_ps,
    _mm256_permute2f128_ps,
    _mm256_cmp_ps,
    |n| {
        // Adding 1.5 * 2^23 leaves n + 127 in the low bits of the mantissa; they become the exponent.
        let biased = _mm256_add_ps(n, _mm256_set1_ps(127.0 + 12_582_912.0));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(biased)))
    },
    |x| {
        // Counted from the bits of 0.75, the exponent changes where m does.
        let bits = _mm256_castps_si256(x);
        let n = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_castps_si256(_mm256_set1_ps(0.75))));
        let m = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(n));
        (_mm256_cvtepi32_ps(n), _mm256_castsi256_ps(m))
    }
);
avx2!(
    f64,
    __m256d,
    4,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_stream_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_div_pd,
    _mm256_fmadd_pd,
    _mm256_min_pd,
    _mm256_max_pd,
    _mm256_round_pd,
    _mm256_andnot_pd,
    _mm256_blendv_pd,
    _mm256_maskload_pd,
    _mm256_maskstore_pd,
    _mm256_unpacklo_pd,
    _mm256_unpackhi_pd,
    _mm256_permute2f128_pd,
    _mm256_cmp_pd,
    |n| {
        // As above with 1.5 * 2^52.
        let biased = _mm256_add_pd(n, _mm256_set1_pd(1023.0 + 6_755_399_441_055_744.0));
        _mm256_castsi256_pd(_mm256_slli_epi64::<52>(_mm256_castpd_si256(biased)))
    },
    |x| {
        // As above, but there is neither an arithmetic shift nor a conversion of 64 bits: n + 1024, which is positive, is
        // shifted and becomes the low bits of the mantissa of 2^52.
        let bits = _mm256_castpd_si256(x);
        let (origin, bias) = (_mm256_castpd_si256(_mm256_set1_pd(0.75)), _mm256_set1_epi64x(1024 << 52));
        let biased = _mm256_srli_epi64::<52>(_mm256_add_epi64(_mm256_sub_epi64(bits, origin), bias));
        let m = _mm256_sub_epi64(bits, _mm256_sub_epi64(_mm256_slli_epi64::<52>(biased), bias));
        let two_52 = _mm256_set1_pd(4_503_599_627_370_496.0);
        let n = _mm256_castsi256_pd(_mm256_or_si256(biased, _mm256_castpd_si256(two_52)));
        (_mm256_sub_pd(_mm256_sub_pd(n, two_52), _mm256_set1_pd(1024.0)), _mm256_castsi256_pd(m))
    }
);
