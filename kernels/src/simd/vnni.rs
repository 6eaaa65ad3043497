//! The dot products of bytes that some x86-64 CPUs have beside AVX-512 or AVX2: four products of an unsigned and a
//! signed byte summed into each lane of 32 bits, without saturation.
//!
//! They are tokens of their own: [`Avx512`] and [`Avx2`] prove no more than before, and what needs the instructions
//! says so by its token.

use super::{Avx2, Avx512, Simd};

/// Proof that the CPU has AVX-512 VNNI beside what [`Avx512`] proves.
#[derive(Clone, Copy)]
pub struct Avx512Vnni {
    base: Avx512,
}

impl Avx512Vnni {
    /// The token, if the CPU has the instructions. The features asked for here are those of `vectorize`.
    #[inline]
    pub fn new() -> Option<Self> {
        let base = Avx512::new()?;
        is_x86_feature_detected!("avx512vnni").then_some(Self { base })
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn enabled_512<R>(f: impl FnOnce() -> R) -> R {
    f()
}

impl Simd for Avx512Vnni {
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: a token exists only where new() found the four features of Avx512 and avx512vnni.
        unsafe { enabled_512(f) }
    }
    #[inline(always)]
    fn fence(self) {
        self.base.fence();
    }
    #[inline(always)]
    fn prefetch<T>(self, p: *const T) {
        self.base.prefetch(p);
    }
}

/// Proof that the CPU has AVX-VNNI, the same on 256 bits without AVX-512, beside what [`Avx2`] proves.
#[derive(Clone, Copy)]
pub struct AvxVnni {
    base: Avx2,
}

impl AvxVnni {
    /// The token, if the CPU has the instructions. The features asked for here are those of `vectorize`.
    #[inline]
    pub fn new() -> Option<Self> {
        let base = Avx2::new()?;
        is_x86_feature_detected!("avxvnni").then_some(Self { base })
    }
}

#[target_feature(enable = "avx2,fma,avxvnni")]
fn enabled_256<R>(f: impl FnOnce() -> R) -> R {
    f()
}

impl Simd for AvxVnni {
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: a token exists only where new() found avx2, fma and avxvnni.
        unsafe { enabled_256(f) }
    }
    #[inline(always)]
    fn fence(self) {
        self.base.fence();
    }
    #[inline(always)]
    fn prefetch<T>(self, p: *const T) {
        self.base.prefetch(p);
    }
}
