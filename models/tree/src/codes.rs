//! Numbers of bins: a byte each, or two where a column has more bins than a byte can name.
//!
//! What grows trees is generic over the two, so that a table of bytes costs what it did before there were others. A table is of
//! one kind throughout: of two bytes as soon as one of its columns needs them.

use crate::bundles::Bundles;
use std::sync::{Arc, OnceLock};
use tilewise_base::Storage;
use tilewise_base::part::Number;
use tilewise_kernels::parallel;
use tilewise_kernels::tree::{Bin, Bins, OwnedBins};

/// Bytes of a row of a tile: a cache line.
const LINE: usize = 64;

/// The number of a bin.
pub(crate) trait Code: Bin + Number {
    /// Features of a tile, whose rows are a cache line each.
    const TILE: usize = LINE / size_of::<Self>();
    /// A node has a histogram if its rows are at least one in so many of the cells of a feature. (Of two bytes, seconds for one tree of
    /// depth 12 on 60,000 rows with 25 columns of as many values and 3 of few, one thread: two classes 0.51, 0.44 and 0.44 with 4,
    /// 1 and no histograms, seven classes 2.7, 1.7 and 1.8. Counted in bins, whatever their cells, one tree on 100,000 x 54 for 7 classes took 5 % longer.)
    const HISTOGRAM_FROM: usize;
    /// A set of bins.
    type Marks: Marks;
    /// These numbers, where each is a byte.
    fn one_byte(codes: &[Self]) -> Option<&[u8]>;
}

impl Code for u8 {
    const HISTOGRAM_FROM: usize = 4;
    type Marks = [u64; 4];
    fn one_byte(codes: &[Self]) -> Option<&[u8]> {
        Some(codes)
    }
}

impl Code for u16 {
    const HISTOGRAM_FROM: usize = 1;
    type Marks = WideMarks;
    fn one_byte(_: &[Self]) -> Option<&[u8]> {
        None
    }
}

/// A set of bins, which is gone through in ascending order.
pub(crate) trait Marks: Clone + Default + Send {
    fn set(&mut self, bin: usize);
    /// Puts a bin in if `is_in`.
    fn set_if(&mut self, bin: usize, is_in: bool);
    fn has(&self, bin: usize) -> bool;
    /// Calls `see` with each bin, ascending, in time that the number of bins in the set bounds, not that of all bins.
    fn each(&self, see: impl FnMut(usize));
    /// Takes all bins out, in the same time.
    fn clear(&mut self);
}

/// Calls `see` with the number of each bit that is set, ascending.
#[inline(always)]
fn each_bit(mut bits: u64, mut see: impl FnMut(usize)) {
    while bits != 0 {
        see(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

impl Marks for [u64; 4] {
    #[inline(always)]
    fn set(&mut self, bin: usize) {
        self.set_if(bin, true);
    }
    #[inline(always)]
    fn set_if(&mut self, bin: usize, is_in: bool) {
        self[bin / 64] |= u64::from(is_in) << (bin % 64);
    }
    #[inline(always)]
    fn has(&self, bin: usize) -> bool {
        self[bin / 64] >> (bin % 64) & 1 == 1
    }
    #[inline(always)]
    fn each(&self, mut see: impl FnMut(usize)) {
        self.iter().enumerate().for_each(|(word, &bits)| each_bit(bits, |bit| see(64 * word + bit)));
    }
    #[inline(always)]
    fn clear(&mut self) {
        *self = [0; 4];
    }
}

/// Words of a bit per bin, and a bit for each of these words that is not 0: a set of few bins is found by looking at 16 words.
#[derive(Clone)]
pub(crate) struct WideMarks {
    words: Box<[u64; 1024]>,
    not_zero: [u64; 16],
}

impl Default for WideMarks {
    fn default() -> Self {
        Self { words: Box::new([0; 1024]), not_zero: [0; 16] }
    }
}

impl WideMarks {
    #[inline(always)]
    fn each_word(&self, mut see: impl FnMut(usize)) {
        self.not_zero.iter().enumerate().for_each(|(at, &bits)| each_bit(bits, |bit| see(64 * at + bit)));
    }
}

impl Marks for WideMarks {
    #[inline(always)]
    fn set(&mut self, bin: usize) {
        self.words[bin / 64] |= 1 << (bin % 64);
        self.not_zero[bin / 4096] |= 1 << (bin / 64 % 64);
    }
    #[inline(always)]
    fn set_if(&mut self, bin: usize, is_in: bool) {
        if is_in {
            self.set(bin);
        }
    }
    #[inline(always)]
    fn has(&self, bin: usize) -> bool {
        self.words[bin / 64] >> (bin % 64) & 1 == 1
    }
    #[inline(always)]
    fn each(&self, mut see: impl FnMut(usize)) {
        self.each_word(|word| each_bit(self.words[word], |bit| see(64 * word + bit)));
    }
    fn clear(&mut self) {
        let Self { words, not_zero } = self;
        for (at, bits) in not_zero.iter_mut().enumerate() {
            each_bit(std::mem::take(bits), |bit| words[64 * at + bit] = 0);
        }
    }
}

/// Binned columns, twice: see [`crate::BinnedTable`].
#[derive(Clone, Debug)]
pub(crate) struct Codes<B> {
    tiles: Vec<OwnedBins<B>>,
    columns: OwnedBins<B>,
    bundles: Arc<OnceLock<Option<Bundles<B>>>>,
    /// Where bundles are put.
    storage: Storage,
}

impl<B: Code> Codes<B> {
    pub(crate) fn new(tiles: Vec<OwnedBins<B>>, columns: OwnedBins<B>, storage: &Storage) -> Self {
        Self { tiles, columns, bundles: Arc::default(), storage: storage.clone() }
    }

    /// The columns in bundles, where these save much. They are made when they are first asked for, on one thread: who waits for them
    /// must not take up other work, which might ask for them too.
    pub(crate) fn bundles(&self) -> Option<&Bundles<B>> {
        let make =
            || parallel::on_this_thread(|| Bundles::new(self.columns(), &self.storage).unwrap_or(None));
        self.bundles.get_or_init(make).as_ref()
    }

    pub(crate) fn columns(&self) -> Bins<'_, B> {
        self.columns.get()
    }

    pub(crate) fn tiles(&self) -> impl Iterator<Item = Bins<'_, B>> {
        self.tiles.iter().map(OwnedBins::get)
    }

    /// The bins of these rows, row-major.
    pub(crate) fn gathered(&self, rows: &[u32]) -> Vec<B> {
        let mut bins = Vec::with_capacity(rows.len() * self.columns().features());
        for &row in rows {
            for tile in self.tiles() {
                bins.extend_from_slice(&tile.data()[row as usize * tile.features()..][..tile.features()]);
            }
        }
        bins
    }
}

/// The numbers of the bins of a table.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Bytes(Codes<u8>),
    TwoBytes(Codes<u16>),
}

/// Does something with the numbers of the bins of a table, whichever kind they are.
macro_rules! of_codes {
    ($stored:expr, $codes:ident => $do:expr) => {
        match &$stored {
            $crate::codes::Stored::Bytes($codes) => $do,
            $crate::codes::Stored::TwoBytes($codes) => $do,
        }
    };
}
pub(crate) use of_codes;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn is_the_set<M: Marks>(bins: &[usize], others: &[usize]) {
        let mut marks = M::default();
        for bins in [bins, others] {
            bins.iter().for_each(|&bin| marks.set(bin));
            let set: BTreeSet<usize> = bins.iter().copied().collect();
            let mut seen = Vec::new();
            marks.each(|bin| seen.push(bin));
            assert!(seen.iter().eq(&set), "{seen:?} {set:?}");
            assert!(bins.iter().chain(others).all(|bin| marks.has(*bin) == set.contains(bin)));
            // Nothing of one set is left in the next.
            marks.clear();
        }
    }

    proptest! {
        #[test]
        fn marks_are_a_set(
            narrow in prop::collection::vec(0_usize..256, 0..40),
            wide in prop::collection::vec(0_usize..1 << 16, 0..40),
        ) {
            is_the_set::<[u64; 4]>(&narrow, &[0, 255]);
            is_the_set::<WideMarks>(&narrow, &wide);
            is_the_set::<WideMarks>(&wide, &[0, 63, 64, 4095, 4096, 65_535]);
        }
    }
}
