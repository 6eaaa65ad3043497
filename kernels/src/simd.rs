//! The SIMD layer: one zero-sized token per instruction set, one small trait of lane operations, one dispatch table.
//!
//! A token ([`Portable`], and `Avx2`, `Avx512`, `Neon` where they exist) can only be made after the CPU was asked, so
//! holding one *is* the proof that its instructions may run. Kernel bodies are written once, generic over the token, as
//! a [`Task`]; [`LanesOfEverySet::dispatch`] runs a task inside the one `#[target_feature]` function of the set
//! ([`Simd::vectorize`]), into which everything inlines. How to notice that inlining failed: a profile shows an
//! intrinsic's name as a function of its own.
//!
//! The set is chosen once: the best the CPU has, or what `TILEWISE_ISA` names (`avx512`, `avx2`, `neon`, `portable`);
//! a name that is unknown or that the CPU lacks panics, so that a test run pinned to a set cannot pass on another.

use crate::Float;
use crate::scratch::AnyBits;
use crate::tree::Bin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod vnni;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub use vnni::{Avx512Vnni, AvxVnni};

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Isa {
    /// AVX-512 F, BW, DQ, VL: 16 lanes of f32, 32 registers.
    Avx512 = 1,
    /// AVX2 and FMA: 8 lanes of f32, 16 registers.
    Avx2 = 2,
    /// NEON of aarch64: 4 lanes of f32, 32 registers.
    Neon = 3,
    /// Plain Rust that the compiler may vectorise for the target's baseline.
    Portable = 4,
}

impl Isa {
    /// All sets, best first.
    const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// Its name as in `TILEWISE_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    /// Whether this CPU has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => true,
            Isa::Portable => true,
            #[allow(unreachable_patterns, reason = "which sets exist depends on the architecture")]
            _ => false,
        }
    }

    /// The sets of this CPU, best first; the last is always portable.
    pub fn available() -> impl Iterator<Item = Isa> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The set in use.
    ///
    /// # Panics
    /// On the first call, when `TILEWISE_ISA` names a set that is unknown or that this CPU lacks.
    #[inline]
    pub fn current() -> Isa {
        match CURRENT.load(Ordering::Relaxed) {
            1 => Isa::Avx512,
            2 => Isa::Avx2,
            3 => Isa::Neon,
            4 => Isa::Portable,
            _ => choose(),
        }
    }
}

/// 0 until chosen, then the discriminant of an available [`Isa`].
static CURRENT: AtomicU8 = AtomicU8::new(0);

#[cold]
fn choose() -> Isa {
    let isa = match std::env::var("TILEWISE_ISA") {
        Err(_) => Isa::available().next().unwrap_or(Isa::Portable),
        Ok(name) => {
            let named = Isa::ALL.into_iter().find(|isa| isa.name() == name);
            let isa = named.unwrap_or_else(|| {
                panic!("TILEWISE_ISA={name:?} is unknown: expected avx512, avx2, neon or portable")
            });
            assert!(isa.is_available(), "TILEWISE_ISA={name:?}: this CPU lacks it");
            isa
        }
    };
    CURRENT.store(isa as u8, Ordering::Relaxed);
    isa
}

/// Runs `f` with the whole process on one instruction set: for tests and benchmarks. Calls wait for each other.
///
/// # Panics
/// When this CPU lacks the set.
pub fn with_isa<R>(isa: Isa, f: impl FnOnce() -> R) -> R {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    struct Restore(u8);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.store(self.0, Ordering::Relaxed);
        }
    }
    assert!(isa.is_available(), "this CPU lacks {}", isa.name());
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _restore = Restore(Isa::current() as u8);
    CURRENT.store(isa as u8, Ordering::Relaxed);
    f()
}

/// A token: proof that the CPU has an instruction set.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Runs `f` compiled for the set, if `f` and all it calls are `#[inline(always)]`.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;
    /// Makes streaming stores visible to other threads in order.
    fn fence(self);
    /// Asks for the cache line at `p`, which need not be valid. Nothing where Rust offers no such instruction.
    fn prefetch<T>(self, p: *const T);
    /// Writes those of `from` whose bit is set in `keep`, the first in the lowest, to the front of `to` in their order; what is behind
    /// them is anything.
    #[inline(always)]
    fn pack(self, from: &[u32; 16], keep: u16, to: &mut [u32; 16]) {
        let mut kept = 0;
        for (i, &x) in from.iter().enumerate() {
            to[kept & 15] = x;
            kept += usize::from(keep >> i & 1);
        }
    }
}

/// Sets of 64 rows of a table under one instruction set.
pub trait RowSets: Simd {
    /// A set.
    type Rows: AnyBits;
    /// All 64 rows.
    fn all_rows(self) -> Self::Rows;
    /// Divides `rows` into those whose code is at most `code` and the others, in which `mark` becomes `right`.
    fn divide_rows<B: Bin>(
        self,
        rows: Self::Rows,
        codes: &[B; 64],
        code: B,
        mark: &mut [u8; 64],
        right: u8,
    ) -> [Self::Rows; 2];
}

/// [`RowSets::divide_rows`] for sets whose vectors have no mask registers: a byte for each row, with all bits or none.
#[inline(always)]
fn divide_bytes<B: Bin>(
    rows: [u8; 64],
    codes: &[B; 64],
    code: B,
    mark: &mut [u8; 64],
    right: u8,
) -> [[u8; 64]; 2] {
    let (mut at_left, mut at_right) = (rows, rows);
    for i in 0..64 {
        let above = if codes[i] > code { u8::MAX } else { 0 };
        at_left[i] &= !above;
        at_right[i] &= above;
        mark[i] = mark[i] & !at_right[i] | right & at_right[i];
    }
    [at_left, at_right]
}

/// What sets without mask registers have in common.
macro_rules! rows_as_bytes {
    ($token:ty) => {
        impl RowSets for $token {
            type Rows = [u8; 64];
            #[inline(always)]
            fn all_rows(self) -> [u8; 64] {
                [u8::MAX; 64]
            }
            #[inline(always)]
            fn divide_rows<B: Bin>(
                self,
                rows: [u8; 64],
                codes: &[B; 64],
                code: B,
                mark: &mut [u8; 64],
                right: u8,
            ) -> [[u8; 64]; 2] {
                divide_bytes(rows, codes, code, mark, right)
            }
        }
    };
}
rows_as_bytes!(Portable);
#[cfg(target_arch = "x86_64")]
rows_as_bytes!(Avx2);
#[cfg(target_arch = "aarch64")]
rows_as_bytes!(Neon);

/// Operations on vectors of `T` under one instruction set. They compute element by element, or move elements, and give
/// the same bits on every set, except [`Lanes::mul_add`], which portable code may round twice.
pub trait Lanes<T>: RowSets {
    /// A vector.
    type V: Copy;
    /// Elements in a vector.
    const LANES: usize;
    /// Rows of the register tile of a product whose columns are two vectors: as many as registers allow.
    const TILE_ROWS: usize;
    /// Registers that a tile of another shape may fill with accumulators, one row of columns and one broadcast.
    const TILE_REGISTERS: usize;

    /// All lanes `x`.
    fn splat(self, x: T) -> Self::V;
    /// The elements at `p`.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` elements; any alignment of `T`.
    unsafe fn load(self, p: *const T) -> Self::V;
    /// Writes the elements to `p`.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` elements; any alignment of `T`.
    unsafe fn store(self, p: *mut T, v: Self::V);
    /// The `n` elements at `p`, then zeros.
    ///
    /// # Safety
    /// `n` must be at most `LANES`, and `p` valid for reading `n` elements; any alignment of `T`.
    unsafe fn load_first(self, p: *const T, n: usize) -> Self::V;
    /// Writes the first `n` elements to `p`.
    ///
    /// # Safety
    /// `n` must be at most `LANES`, and `p` valid for writing `n` elements; any alignment of `T`.
    unsafe fn store_first(self, p: *mut T, v: Self::V, n: usize);
    /// Writes past the caches where the set can; [`Simd::fence`] must follow before others read.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` elements and a multiple of the vector's size.
    unsafe fn stream(self, p: *mut T, v: Self::V);
    /// a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c, rounded once on every set but portable, which takes what is fast.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// a * b + c, rounded once on every set.
    fn fused_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// a where a < b, else b (so b where either is NaN).
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// a where a > b, else b (so b where either is NaN).
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The nearest integer, ties to even.
    fn round(self, a: Self::V) -> Self::V;
    /// Clears the sign.
    fn abs(self, a: Self::V) -> Self::V;
    /// `if_set` where the sign bit of `sign` is set, else `otherwise`.
    fn select_sign(self, sign: Self::V, if_set: Self::V, otherwise: Self::V) -> Self::V;
    /// `if_less` where a < b, else `otherwise` (so `otherwise` where either is NaN).
    fn select_less(self, a: Self::V, b: Self::V, if_less: Self::V, otherwise: Self::V) -> Self::V;
    /// The elements of both by turns, a first: the vector of the lower halves, then that of the upper ones.
    fn zip(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// Transposes the first `LANES` vectors as a square.
    ///
    /// A zip of vector i with vector i + LANES / 2 into 2 i and 2 i + 1 moves the element at (vector, lane), read as
    /// one number of 2 log2(LANES) bits, to that number rotated by one bit; so log2(LANES) rounds swap the two.
    #[inline(always)]
    fn transpose(self, x: &mut [Self::V; 16]) {
        for _ in 0..Self::LANES.ilog2() {
            let old = *x;
            for i in 0..Self::LANES / 2 {
                (x[2 * i], x[2 * i + 1]) = self.zip(old[i], old[i + Self::LANES / 2]);
            }
        }
    }
    /// 2^n for integers n inside the exponent range of normal numbers (-126..=127, -1022..=1023).
    fn pow2(self, n: Self::V) -> Self::V;
    /// x 2^n rounded once, for integers n with n/2 in the range of [`Lanes::pow2`], as long as x 2^(n/2) is normal. NaN
    /// where x is.
    #[inline(always)]
    fn scale(self, x: Self::V, n: Self::V) -> Self::V
    where
        T: Float,
    {
        // In two steps, the first of which is exact.
        let half = self.round(self.mul(n, self.splat(T::from_f64(0.5))));
        self.mul(self.mul(x, self.pow2(half)), self.pow2(self.sub(n, half)))
    }
    /// (n, m) with x = m 2^n, n an integer and 0.75 <= m < 1.5, for positive normal numbers x; anything for others.
    fn split_normal(self, x: Self::V) -> (Self::V, Self::V);
    /// As [`Lanes::split_normal`], for subnormal numbers too. n is -inf for zeros and inf for infinity, with m = 1; n is
    /// NaN for NaN and negative numbers.
    #[inline(always)]
    fn split(self, x: Self::V) -> (Self::V, Self::V)
    where
        T: Float,
    {
        let (smallest, up) = if size_of::<T>() == 4 {
            (f64::from(f32::MIN_POSITIVE), 32.0_f64)
        } else {
            (f64::MIN_POSITIVE, 64.0)
        };
        let (zero, smallest) = (self.splat(T::ZERO), self.splat(T::from_f64(smallest)));
        let (shift, factor) = (self.splat(T::from_f64(up)), self.splat(T::from_f64(up.exp2())));
        let (nan, inf) = (self.splat(T::from_f64(f64::NAN)), self.splat(T::from_f64(f64::INFINITY)));
        let minus_inf = self.sub(zero, inf);
        let (n, m) = self.split_normal(self.select_less(x, smallest, self.mul(x, factor), x));
        let n = self.sub(n, self.select_less(x, smallest, shift, zero));
        let n = self.select_less(zero, x, n, self.select_less(x, zero, nan, minus_inf));
        (self.select_less(x, inf, n, x), m)
    }
}

/// A kernel body, written once for all sets.
pub trait Task<T> {
    /// What it gives.
    type Output;
    /// The body; implementations must be `#[inline(always)]`.
    fn run<S: Lanes<T>>(self, simd: S) -> Self::Output;
}

/// Implemented by the element types: runs a task on the set that is in use.
pub trait LanesOfEverySet: Sized {
    /// Runs `task` under `isa`; under portable if this CPU lacks it.
    fn dispatch_on<K: Task<Self>>(isa: Isa, task: K) -> K::Output;
    /// Runs `task` under the current set.
    #[inline]
    fn dispatch<K: Task<Self>>(task: K) -> K::Output {
        Self::dispatch_on(Isa::current(), task)
    }
}

macro_rules! dispatch_table {
    ($t:ty) => {
        impl LanesOfEverySet for $t {
            #[inline]
            fn dispatch_on<K: Task<$t>>(isa: Isa, task: K) -> K::Output {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => {
                        if let Some(simd) = Avx512::new() {
                            return simd.vectorize(
                                #[inline(always)]
                                || task.run(simd),
                            );
                        }
                    }
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => {
                        if let Some(simd) = Avx2::new() {
                            return simd.vectorize(
                                #[inline(always)]
                                || task.run(simd),
                            );
                        }
                    }
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon => {
                        let simd = Neon::new();
                        return simd.vectorize(
                            #[inline(always)]
                            || task.run(simd),
                        );
                    }
                    _ => {}
                }
                let simd = Portable::new();
                simd.vectorize(
                    #[inline(always)]
                    || task.run(simd),
                )
            }
        }
    };
}
dispatch_table!(f32);
dispatch_table!(f64);
