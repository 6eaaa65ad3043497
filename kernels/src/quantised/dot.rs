//! Exact dot products of bytes, one way for each instruction set, and the table that chooses among them.
//!
//! A lane of 32 bits takes a *group* of consecutive steps of k at once: four bytes where the CPU multiplies bytes
//! without loss, else two words of 16 bits, or one. The AVX2 instruction that multiplies bytes (`vpmaddubsw`) adds pairs
//! of products in 16 bits and saturates (255 * 127 * 2 > 32,767), so panels hold words there and `vpmaddwd` multiplies.

use crate::simd::{Isa, Portable, Simd};
#[cfg(target_arch = "aarch64")]
use {crate::simd::Neon, std::arch::aarch64::*};
#[cfg(target_arch = "x86_64")]
use {
    crate::simd::{Avx2, Avx512, Avx512Vnni, AvxVnni},
    std::arch::x86_64::*,
};

/// Multiplication of a group of unsigned by a group of signed bytes in every lane. Sums wrap.
pub(super) trait Dot: Simd {
    /// What panels of A hold: bytes, or bytes widened.
    type A: crate::scratch::AnyBits + From<u8> + Into<i32> + Send + Sync;
    /// What panels of B hold.
    type B: crate::scratch::AnyBits + From<i8> + Into<i32> + Send + Sync;
    /// Steps of k in a group.
    const GROUP: usize;
    /// Columns of a vector.
    const LANES: usize;
    /// Rows of the register tile, whose columns are two vectors.
    const TILE_ROWS: usize;
    /// `LANES` sums of 32 bits, in memory as `[i32; LANES]`.
    type Sums: Copy;
    /// A group of `LANES` columns, in memory as `[[Self::B; GROUP]; LANES]`.
    type Columns: Copy;
    /// A group of one row, in every lane.
    type Row: Copy;

    /// No sums yet.
    fn zero(self) -> Self::Sums;
    /// The group of a row at `p`.
    ///
    /// # Safety
    /// `p` must be valid for reading `GROUP` elements.
    unsafe fn row(self, p: *const Self::A) -> Self::Row;
    /// `sums` and the products of the group, in every lane.
    fn dot(self, row: Self::Row, columns: Self::Columns, sums: Self::Sums) -> Self::Sums;
}

/// A body written once for all ways to multiply.
pub(super) trait DotTask {
    /// What it gives.
    type Output;
    /// The body; implementations must be `#[inline(always)]`.
    fn run<D: Dot>(self, simd: D) -> Self::Output;
}

/// How bytes are multiplied. Every way gives the same integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum I8Kernel {
    /// AVX-512 VNNI: four steps of k in each of 16 lanes.
    Avx512Vnni,
    /// AVX-512 BW: two steps, on bytes widened to 16 bits.
    Avx512,
    /// AVX-VNNI: four steps in each of 8 lanes.
    AvxVnni,
    /// AVX2: two steps, on bytes widened to 16 bits.
    Avx2,
    /// NEON: one step, on bytes widened to 16 bits.
    Neon,
    /// Plain Rust that the compiler may vectorise.
    Portable,
}

impl I8Kernel {
    /// The ways that belong to the instruction set in use and that this CPU has, best first.
    pub fn available() -> impl Iterator<Item = I8Kernel> {
        let (first, second) = match Isa::current() {
            Isa::Avx512 => (Self::Avx512Vnni, Self::Avx512),
            Isa::Avx2 => (Self::AvxVnni, Self::Avx2),
            Isa::Neon => (Self::Neon, Self::Portable),
            Isa::Portable => (Self::Portable, Self::Portable),
        };
        let second = (second != first).then_some(second);
        first.is_available().then_some(first).into_iter().chain(second)
    }

    /// The best of [`I8Kernel::available`].
    pub fn current() -> I8Kernel {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512Vnni => "avx512vnni",
            Self::Avx512 => "avx512",
            Self::AvxVnni => "avxvnni",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Avx512Vnni::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => AvxVnni::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            Self::Portable => true,
            #[allow(unreachable_patterns, reason = "which ways exist depends on the architecture")]
            _ => false,
        }
    }

    /// Runs `task` this way; in portable code if this CPU lacks it, so whoever packs for a way must ask first.
    #[inline]
    pub(super) fn dispatch<K: DotTask>(self, task: K) -> K::Output {
        macro_rules! run {
            ($token:expr) => {
                if let Some(simd) = $token {
                    return simd.vectorize(
                        #[inline(always)]
                        || task.run(simd),
                    );
                }
            };
        }
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => run!(Avx512Vnni::new()),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => run!(Avx512::new()),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => run!(AvxVnni::new()),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => run!(Avx2::new()),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => run!(Some(Neon::new())),
            _ => {}
        }
        let simd = Portable::new();
        simd.vectorize(
            #[inline(always)]
            || task.run(simd),
        )
    }
}

// SAFETY of every block below: the intrinsics need only what the token proves; the caller of `row` promises a group at
// p, which is 32 bits but for NEON, where it is a word.
macro_rules! x86 {
    ($token:ty, $a:ty, $b:ty, $group:literal, $lanes:literal, $rows:literal, $v:ty, $zero:ident, $set1:ident,
     ($row:ident, $columns:ident, $sums:ident) => $dot:expr) => {
        #[cfg(target_arch = "x86_64")]
        impl Dot for $token {
            type A = $a;
            type B = $b;
            const GROUP: usize = $group;
            const LANES: usize = $lanes;
            const TILE_ROWS: usize = $rows;
            type Sums = $v;
            type Columns = $v;
            type Row = $v;

            #[inline(always)]
            fn zero(self) -> $v {
                // SAFETY: see above the macro.
                unsafe { $zero() }
            }
            #[inline(always)]
            unsafe fn row(self, p: *const $a) -> $v {
                // SAFETY: see above the macro.
                unsafe { $set1(p.cast::<i32>().read_unaligned()) }
            }
            #[inline(always)]
            fn dot(self, $row: $v, $columns: $v, $sums: $v) -> $v {
                // SAFETY: see above the macro.
                unsafe { $dot }
            }
        }
    };
}

x86!(Avx512Vnni, u8, i8, 4, 16, 12, __m512i, _mm512_setzero_si512, _mm512_set1_epi32,
    (row, columns, sums) => _mm512_dpbusd_epi32(sums, row, columns));
x86!(Avx512, i16, i16, 2, 16, 12, __m512i, _mm512_setzero_si512, _mm512_set1_epi32,
    (row, columns, sums) => _mm512_add_epi32(sums, _mm512_madd_epi16(row, columns)));
x86!(AvxVnni, u8, i8, 4, 8, 6, __m256i, _mm256_setzero_si256, _mm256_set1_epi32,
    (row, columns, sums) => _mm256_dpbusd_avx_epi32(sums, row, columns));
x86!(Avx2, i16, i16, 2, 8, 6, __m256i, _mm256_setzero_si256, _mm256_set1_epi32,
    (row, columns, sums) => _mm256_add_epi32(sums, _mm256_madd_epi16(row, columns)));

/// Two registers of sums to a vector of columns: 6 x 4 sums + 2 columns + 1 row = 27 of 32 registers.
#[cfg(target_arch = "aarch64")]
impl Dot for Neon {
    type A = i16;
    type B = i16;
    const GROUP: usize = 1;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    type Sums = [int32x4_t; 2];
    type Columns = int16x8_t;
    type Row = i16;

    #[inline(always)]
    fn zero(self) -> [int32x4_t; 2] {
        // SAFETY: see above the macro.
        unsafe { [vdupq_n_s32(0); 2] }
    }
    #[inline(always)]
    unsafe fn row(self, p: *const i16) -> i16 {
        // SAFETY: see above the macro.
        unsafe { *p }
    }
    #[inline(always)]
    fn dot(self, row: i16, columns: int16x8_t, [low, high]: [int32x4_t; 2]) -> [int32x4_t; 2] {
        // SAFETY: see above the macro.
        unsafe { [vmlal_n_s16(low, vget_low_s16(columns), row), vmlal_high_n_s16(high, columns, row)] }
    }
}

/// Written as the multiplication of pairs of words that SSE2 has, which the compiler then takes.
impl Dot for Portable {
    type A = i16;
    type B = i16;
    const GROUP: usize = 2;
    const LANES: usize = 4;
    const TILE_ROWS: usize = 4;
    type Sums = [i32; 4];
    type Columns = [i16; 8];
    type Row = [i16; 2];

    #[inline(always)]
    fn zero(self) -> [i32; 4] {
        [0; 4]
    }
    #[inline(always)]
    unsafe fn row(self, p: *const i16) -> [i16; 2] {
        // SAFETY: see above the macro.
        unsafe { p.cast::<[i16; 2]>().read_unaligned() }
    }
    #[inline(always)]
    fn dot(self, row: [i16; 2], columns: [i16; 8], sums: [i32; 4]) -> [i32; 4] {
        let product = |t: usize, i: usize| i32::from(row[t]) * i32::from(columns[2 * i + t]);
        std::array::from_fn(|i| sums[i].wrapping_add(product(0, i) + product(1, i)))
    }
}
