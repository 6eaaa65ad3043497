//! Plain arrays that the compiler may vectorise for the target's baseline.

use super::{Lanes, Simd};

/// Needs nothing: every CPU has it.
#[derive(Clone, Copy)]
pub struct Portable {
    _private: (),
}

impl Portable {
    /// The token.
    pub fn new() -> Self {
        Self { _private: () }
    }
}

impl Default for Portable {
    fn default() -> Self {
        Self::new()
    }
}

impl Simd for Portable {
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
    #[inline(always)]
    fn fence(self) {}
    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}
}

/// Whether `mul_add` compiles to an instruction; where not it is a call, some 10 times slower than two roundings.
const HAS_FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

macro_rules! portable {
    ($t:ty, $bits:ty, $int:ty, $lanes:literal) => {
        impl Lanes<$t> for Portable {
            type V = [$t; $lanes];
            const LANES: usize = $lanes;
            const TILE_ROWS: usize = 4;
            const TILE_REGISTERS: usize = 12;

            #[inline(always)]
            fn splat(self, x: $t) -> Self::V {
                [x; $lanes]
            }
            #[inline(always)]
            unsafe fn load(self, p: *const $t) -> Self::V {
                // SAFETY: the caller promises LANES readable elements.
                unsafe { p.cast::<Self::V>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t, v: Self::V) {
                // SAFETY: the caller promises LANES writable elements.
                unsafe { p.cast::<Self::V>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn load_first(self, p: *const $t, n: usize) -> Self::V {
                if n == $lanes {
                    // SAFETY: the caller promises n readable elements.
                    return unsafe { self.load(p) };
                }
                // SAFETY: as above.
                std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $t, v: Self::V, n: usize) {
                if n == $lanes {
                    // SAFETY: the caller promises n writable elements.
                    return unsafe { self.store(p, v) };
                }
                for (i, x) in v.into_iter().enumerate().take(n) {
                    // SAFETY: the caller promises n writable elements.
                    unsafe { *p.add(i) = x };
                }
            }
            #[inline(always)]
            unsafe fn stream(self, p: *mut $t, v: Self::V) {
                // SAFETY: the caller promises LANES writable elements.
                unsafe { p.cast::<Self::V>().write_unaligned(v) }
            }
            #[inline(always)]
            fn add(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] + b[i])
            }
            #[inline(always)]
            fn sub(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] - b[i])
            }
            #[inline(always)]
            fn mul(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] * b[i])
            }
            #[inline(always)]
            fn div(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] / b[i])
            }
            #[inline(always)]
            fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                std::array::from_fn(|i| if HAS_FMA { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] })
            }
            #[inline(always)]
            fn fused_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
            }
            #[inline(always)]
            fn min(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
            }
            #[inline(always)]
            fn max(self, a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
            }
            #[inline(always)]
            fn round(self, a: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i].round_ties_even())
            }
            #[inline(always)]
            fn abs(self, a: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i].abs())
            }
            #[inline(always)]
            fn select_sign(self, sign: Self::V, if_set: Self::V, otherwise: Self::V) -> Self::V {
                std::array::from_fn(|i| if sign[i].is_sign_negative() { if_set[i] } else { otherwise[i] })
            }
            #[inline(always)]
            fn select_less(self, a: Self::V, b: Self::V, if_less: Self::V, otherwise: Self::V) -> Self::V {
                std::array::from_fn(|i| if a[i] < b[i] { if_less[i] } else { otherwise[i] })
            }
            #[inline(always)]
            fn zip(self, a: Self::V, b: Self::V) -> (Self::V, Self::V) {
                let at = |i: usize| if i % 2 == 0 { a[i / 2] } else { b[i / 2] };
                (std::array::from_fn(at), std::array::from_fn(|i| at($lanes + i)))
            }
            #[inline(always)]
            fn pow2(self, n: Self::V) -> Self::V {
                const BIAS: i64 = <$t>::MAX_EXP as i64 - 1;
                const SHIFT: u32 = <$t>::MANTISSA_DIGITS - 1;
                std::array::from_fn(|i| <$t>::from_bits(((n[i] as i64 + BIAS) as $bits) << SHIFT))
            }
            #[inline(always)]
            fn split_normal(self, x: Self::V) -> (Self::V, Self::V) {
                const SHIFT: u32 = <$t>::MANTISSA_DIGITS - 1;
                // Counted from the bits of 0.75, the exponent changes where m does.
                let n: [$int; $lanes] = std::array::from_fn(|i| {
                    (x[i].to_bits() as $int).wrapping_sub((0.75 as $t).to_bits() as $int) >> SHIFT
                });
                let m = |i: usize| <$t>::from_bits(x[i].to_bits().wrapping_sub((n[i] << SHIFT) as $bits));
                (n.map(|n| n as $t), std::array::from_fn(m))
            }
        }
    };
}
portable!(f32, u32, i32, 4);
portable!(f64, u64, i64, 2);
