//! Counter-based random numbers: Philox4x32-10.
//!
//! A counter-based generator is a function of (key, counter) without state: any thread can ask for the 17th number of
//! row 1,000,000 and gets what any other would, which is what makes sampling the same at any thread count.
//!
//! Method: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Ten rounds pass the
//! BigCrush battery (same paper).

/// The Philox4x32-10 function keyed by (seed, purpose): streams for different purposes never share numbers.
///
/// ```
/// use tilewise_kernels::random::Philox;
/// let split = Philox::new(42, Philox::purpose("train/test split"));
/// let u = split.uniform(7);
/// assert!((0.0..1.0).contains(&u));
/// assert_eq!(u, split.uniform(7));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u32; 2],
    purpose: u64,
}

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

impl Philox {
    /// The stream of `seed` for `purpose`.
    pub const fn new(seed: u64, purpose: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], purpose }
    }

    /// A purpose number from its name (FNV-1a, 64 bits), usable in constants.
    pub const fn purpose(name: &str) -> u64 {
        let bytes = name.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
        hash
    }

    /// The four words at `index`.
    #[inline]
    pub fn words(&self, index: u64) -> [u32; 4] {
        let purpose = [self.purpose as u32, (self.purpose >> 32) as u32];
        philox4x32([index as u32, (index >> 32) as u32, purpose[0], purpose[1]], self.key)
    }

    /// 64 random bits at `index`.
    #[inline]
    pub fn bits(&self, index: u64) -> u64 {
        let [a, b, ..] = self.words(index);
        a as u64 | (b as u64) << 32
    }

    /// A number in [0, 1) at `index`, a multiple of 2^-53.
    #[inline]
    pub fn uniform(&self, index: u64) -> f64 {
        (self.bits(index) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A number in `0..n` at `index`; the bias is below n / 2^64.
    ///
    /// # Panics
    /// When `n` is 0.
    #[inline]
    pub fn below(&self, index: u64, n: u64) -> u64 {
        assert!(n > 0, "an empty range has no member");
        ((self.bits(index) as u128 * n as u128) >> 64) as u64
    }

    /// A standard normal number at `index` (Box and Muller 1958). Logarithm and cosine are the system's: the last bit may
    /// differ from platform to platform.
    pub fn normal(&self, index: u64) -> f64 {
        let [a, b, c, d] = self.words(index);
        let scale = 1.0 / (1u64 << 53) as f64;
        // In (0, 1], so that the logarithm is finite.
        let u = (((a as u64 | (b as u64) << 32) >> 11) + 1) as f64 * scale;
        let v = ((c as u64 | (d as u64) << 32) >> 11) as f64 * scale;
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// `0..n` in a random order (Fisher and Yates), O(n).
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i as u64, i as u64 + 1) as usize);
        }
        order
    }
}

/// The raw function: ten rounds of Philox on a counter of four words under a key of two.
#[inline]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let p0 = MULTIPLIERS[0] as u64 * c0 as u64;
        let p1 = MULTIPLIERS[1] as u64 * c2 as u64;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// The words at `first` and the `L` - 1 numbers behind it, which have the same upper half: word j of all of them, then word j + 1. A
/// plain loop over lanes, which the compiler vectorises for the set that it is compiled for.
#[inline(always)]
pub(crate) fn philox4x32_lanes<const L: usize>(stream: Philox, first: u64) -> [[u32; L]; 4] {
    let Philox { key: [mut k0, mut k1], purpose } = stream;
    let mut c0: [u32; L] = std::array::from_fn(|i| first as u32 + i as u32);
    let mut c1 = [(first >> 32) as u32; L];
    let (mut c2, mut c3) = ([purpose as u32; L], [(purpose >> 32) as u32; L]);
    for _ in 0..10 {
        for i in 0..L {
            let p0 = MULTIPLIERS[0] as u64 * c0[i] as u64;
            let p1 = MULTIPLIERS[1] as u64 * c2[i] as u64;
            (c0[i], c1[i], c2[i], c3[i]) =
                ((p1 >> 32) as u32 ^ c1[i] ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3[i] ^ k1, p0 as u32);
        }
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with the paper's library, Random123 (kat_vectors).
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        let counter = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(
            philox4x32(counter, [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn lanes_are_the_words() {
        let stream = Philox::new(7, Philox::purpose("lanes"));
        for first in [0, 16, 1 << 40, (1 << 40) - 16] {
            let lanes: [[u32; 16]; 4] = philox4x32_lanes(stream, first);
            let words = |lane: usize| std::array::from_fn(|word| lanes[word][lane]);
            assert!((0..16).all(|lane| words(lane) == stream.words(first + lane as u64)), "{first}");
        }
    }

    #[test]
    fn moments_and_permutations() {
        let stream = Philox::new(1, Philox::purpose("test"));
        let n = 100_000;
        let mean = (0..n).map(|i| stream.uniform(i)).sum::<f64>() / n as f64;
        // Standard error 0.29 / sqrt(1e5) = 0.0009; five of them.
        assert!((mean - 0.5).abs() < 0.0046, "{mean}");
        let var = (0..n).map(|i| stream.normal(i).powi(2)).sum::<f64>() / n as f64;
        assert!((var - 1.0).abs() < 0.023, "{var}");
        let mut order = stream.permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
        assert_ne!(Philox::new(1, 2).bits(0), Philox::new(1, 3).bits(0));
    }
}
