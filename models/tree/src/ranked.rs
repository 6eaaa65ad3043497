//! Bits, and how many come before each.

use serde::{Deserialize, Serialize};

/// A bit for each place of a list. How many of those before a place are set is known in constant time, for half a bit more each
/// (Jacobson, "Space-efficient static trees and graphs", *FOCS* 1989).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<bool>", into = "Vec<bool>")]
pub(crate) struct Ranked {
    len: usize,
    words: Vec<u64>,
    /// How many are set before each word.
    before: Vec<u32>,
    /// How many are set.
    all: u32,
}

const WORD: usize = u64::BITS as usize;

impl Ranked {
    /// None yet, and room for so many.
    pub(crate) fn with_capacity(places: usize) -> Self {
        let words = places.div_ceil(WORD);
        Self { words: Vec::with_capacity(words), before: Vec::with_capacity(words), ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many are set.
    pub(crate) fn all(&self) -> usize {
        self.all as usize
    }

    /// Adds one, of fewer than 2^32.
    pub(crate) fn push(&mut self, set: bool) {
        if self.len.is_multiple_of(WORD) {
            self.words.push(0);
            self.before.push(self.all);
        }
        if let Some(word) = self.words.last_mut() {
            *word |= u64::from(set) << (self.len % WORD);
        }
        self.all += u32::from(set);
        self.len += 1;
    }

    /// How many are set before a place that is set; `None` for one that is not.
    #[inline]
    pub(crate) fn rank(&self, place: usize) -> Option<usize> {
        let (word, bit) = (self.words[place / WORD], place % WORD);
        if word >> bit & 1 == 0 {
            return None;
        }
        let here = (word & ((1 << bit) - 1)).count_ones();
        Some((self.before[place / WORD] + here) as usize)
    }

    /// All, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.len).map(|place| self.words[place / WORD] >> (place % WORD) & 1 == 1)
    }
}

impl FromIterator<bool> for Ranked {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let bits = bits.into_iter();
        let mut ranked = Self::with_capacity(bits.size_hint().0);
        bits.for_each(|bit| ranked.push(bit));
        ranked
    }
}

impl From<Vec<bool>> for Ranked {
    fn from(bits: Vec<bool>) -> Self {
        bits.into_iter().collect()
    }
}

impl From<Ranked> for Vec<bool> {
    fn from(ranked: Ranked) -> Self {
        ranked.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranks_are_counts(bits in prop::collection::vec(any::<bool>(), 0..300)) {
            let ranked: Ranked = bits.iter().copied().collect();
            let count = |end: usize| bits[..end].iter().filter(|set| **set).count();
            prop_assert_eq!((ranked.len(), ranked.all()), (bits.len(), count(bits.len())));
            for (place, &set) in bits.iter().enumerate() {
                prop_assert_eq!(ranked.rank(place), set.then(|| count(place)));
            }
            prop_assert_eq!(Vec::from(ranked), bits);
        }
    }
}
