//! Values of leaves, most of which come again.

/// Vectors of the same length. One that was seen shortly before is not stored again: the leaves of a fully grown tree for
/// classes nearly all say that one class is sure, so their values fit the first cache (100 trees of 14,000 leaves for two
/// classes: 22 MB of values without it).
pub(super) struct Distinct {
    numbers: Vec<f64>,
    outputs: usize,
    /// Of the slots.
    bits: u32,
    /// The vector that a slot saw last.
    seen: Vec<Option<u32>>,
}

/// 2^10 slots at most.
const SLOTS: u32 = 10;

impl Distinct {
    /// For so many vectors at most.
    pub(super) fn new(outputs: usize, most: usize) -> Self {
        let bits = most.next_power_of_two().ilog2().clamp(1, SLOTS);
        Self { numbers: Vec::new(), outputs, bits, seen: vec![None; 1 << bits] }
    }

    /// The number of a vector.
    pub(super) fn number(&mut self, value: impl Iterator<Item = f64> + Clone) -> usize {
        let bits = value.clone().map(f64::to_bits);
        let hash = bits.clone().fold(0, |hash: u64, x| hash.rotate_left(5).wrapping_mul(31) ^ x);
        let seen = &mut self.seen[slot(hash, self.bits)];
        let same = |number: &u32| {
            let known = &self.numbers[*number as usize * self.outputs..][..self.outputs];
            known.iter().zip(bits.clone()).all(|(a, b)| a.to_bits() == b)
        };
        if let Some(number) = seen.filter(same) {
            return number as usize;
        }
        let number = self.numbers.len() / self.outputs;
        self.numbers.extend(value);
        // One that has no 32 bits is not found again, and refused by the nodes.
        *seen = u32::try_from(number).ok();
        number
    }

    /// The vectors, one after the other.
    pub(super) fn into_numbers(self) -> Vec<f64> {
        self.numbers
    }
}

/// One of 2^bits slots (multiplicative hashing: Knuth, *The Art of Computer Programming*, volume 3, 6.4).
pub(super) fn slot(key: u64, bits: u32) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}
