//! Whole numbers of which most are small.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A byte for each number, and four more for one that does not fit it; any of them is found in constant time.
///
/// In a full tree nine of ten nodes have fewer than ten rows. As four bytes each, rows and weights of classes were 12 of the 28 bytes of a
/// node for two classes, and 32 of 48 for seven.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<u32>", into = "Vec<u32>")]
pub(crate) struct Counts {
    /// The numbers; [`LARGE`] for one that stands in `large`.
    bytes: Vec<u8>,
    /// Those that do not fit, in the order of their places.
    large: Vec<u32>,
    /// How many of these come before each block of [`BLOCK`] places.
    before: Vec<usize>,
}

const LARGE: u8 = u8::MAX;
/// So many bytes are a line of memory.
const BLOCK: usize = 64;

impl Counts {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Room for so many more.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.bytes.reserve_exact(more);
        self.before.reserve_exact((self.len() + more).div_ceil(BLOCK) - self.before.len());
    }

    pub(crate) fn push(&mut self, number: u32) {
        if self.len().is_multiple_of(BLOCK) {
            self.before.push(self.large.len());
        }
        self.bytes.push(u8::try_from(number).unwrap_or(LARGE));
        if number >= LARGE.into() {
            self.large.push(number);
        }
    }

    /// The number at a place.
    #[inline]
    pub(crate) fn get(&self, place: usize) -> u32 {
        let byte = self.bytes[place];
        if byte < LARGE {
            return byte.into();
        }
        let block = place / BLOCK;
        let here = self.bytes[block * BLOCK..place].iter().filter(|byte| **byte == LARGE).count();
        self.large[self.before[block] + here]
    }

    /// All, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let mut large = self.large.iter();
        self.bytes.iter().map(move |&byte| match byte {
            LARGE => large.next().copied().unwrap_or_default(),
            _ => byte.into(),
        })
    }

    /// The sum of the numbers at these places.
    pub(crate) fn sum(&self, places: Range<usize>) -> u64 {
        places.map(|place| u64::from(self.get(place))).sum()
    }
}

impl Extend<u32> for Counts {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, numbers: I) {
        numbers.into_iter().for_each(|number| self.push(number));
    }
}

impl FromIterator<u32> for Counts {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let numbers = numbers.into_iter();
        let mut counts = Self::default();
        counts.reserve(numbers.size_hint().0);
        counts.extend(numbers);
        counts
    }
}

impl From<Vec<u32>> for Counts {
    fn from(numbers: Vec<u32>) -> Self {
        numbers.into_iter().collect()
    }
}

impl From<Counts> for Vec<u32> {
    fn from(counts: Counts) -> Self {
        counts.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_what_they_were(
            numbers in prop::collection::vec(prop_oneof![0..4_u32, 250..260_u32, any::<u32>()], 0..300),
            cut in 0_usize..300,
        ) {
            // In two parts, so that room is made for a part of a block.
            let cut = cut.min(numbers.len());
            let mut counts: Counts = numbers[..cut].iter().copied().collect();
            counts.reserve(numbers.len() - cut);
            counts.extend(numbers[cut..].iter().copied());
            prop_assert_eq!(counts.len(), numbers.len());
            prop_assert!(numbers.iter().enumerate().all(|(place, &number)| counts.get(place) == number));
            prop_assert_eq!(counts.sum(cut..numbers.len()), numbers[cut..].iter().map(|&n| u64::from(n)).sum::<u64>());
            prop_assert_eq!(&counts, &numbers.iter().copied().collect::<Counts>());
            prop_assert_eq!(Vec::from(counts), numbers);
        }
    }
}
