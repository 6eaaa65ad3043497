//! Columns of few bins, added up together.
//!
//! A histogram costs one addition for each row and column, however little a column says. Columns whose bins occur in few combinations
//! (zeros and ones of a category, flags) are therefore coded once more, as one column that numbers the combinations: a row then is one
//! addition for all of them, and what the bins of each column hold is a sum over combinations, which are few. Sums are integers, so no bit
//! changes. (100 stages of boosting of 63 leaves on 200,000 x 54 of `cover_like`, 7 classes, 44 columns of which become one: 2.15 s
//! instead of 3.93 on two threads, Zen 5. LightGBM bundles columns of which at most one is not 0 in a row, up to some conflicts: Ke et al., *LightGBM*, NeurIPS 2017,
//! section 4. Combinations need no such rule: 40 columns of a category are 40 combinations, 8 flags 256.)

use crate::codes::Code;
use tilewise_base::{Result, Storage};
use tilewise_kernels::tree::{Bins, Cell, OwnedBins, Shared};

/// Columns of more bins stay alone.
const FEW: usize = 16;
/// Combinations of a bundle at most: those that a byte can name.
const MOST: usize = 256;
/// Combinations for each column of a bundle at most: beyond, small nodes would pay for what large ones save.
const FOR_A_COLUMN: usize = 32;
/// Rows for each combination at least.
const ROWS: usize = 16;
/// Rows that are looked at, at least, before all are.
const SAMPLE: usize = 4096;
/// Bundles that a column is tried with, the newest first.
const TRIED: usize = 4;

/// The columns of a table in bundles: see the module.
#[derive(Debug)]
pub(crate) struct Bundles<B> {
    /// A column of combinations for each bundle, row-major.
    tiles: Vec<OwnedBins<B>>,
    list: Vec<Bundle>,
}

/// A column alone, or some that are added up together.
#[derive(Debug, PartialEq)]
enum Bundle {
    Alone {
        /// Its first cell in the histogram of all columns, and how many it has.
        first: usize,
        count: usize,
    },
    Together {
        combinations: usize,
        /// For each of the columns the cell of the bin that most combinations have.
        common: Vec<usize>,
        /// A combination, the cell of the bin that it has of a column, and that of the column's common bin, where these differ.
        others: Vec<[u32; 3]>,
    },
}

/// A bundle that may take more columns.
struct Open {
    columns: Vec<usize>,
    /// The combination of each row.
    codes: Vec<u8>,
    /// The bins of each combination, a list for each column.
    bins: Vec<Vec<usize>>,
    combinations: usize,
}

impl Open {
    fn new<B: Code>(column: usize, bins: &[B], count: usize) -> Self {
        let mut open =
            Self { columns: Vec::new(), codes: vec![0; bins.len()], bins: Vec::new(), combinations: 1 };
        // One column of few bins always fits.
        open.take(column, bins, count);
        open
    }

    /// Takes a column if the combinations stay few enough; combinations are numbered as they appear.
    fn take<B: Code>(&mut self, column: usize, bins: &[B], count: usize) -> bool {
        const NONE: u16 = u16::MAX;
        /// Rows whose combinations are looked up before it is asked whether one of them was new: hardly ever. (44 columns of zeros and ones
        /// of 100,000 rows took 4.5 ms where it was asked of each row.)
        const ROWS_AT_ONCE: usize = 1024;
        let most = MOST.min(FOR_A_COLUMN * (self.columns.len() + 1)).min(bins.len() / ROWS).max(FEW);
        // Of a length that no place exceeds, whatever a code and a bin are.
        let mut number_of = vec![NONE; MOST * FEW];
        let Some(number_of) = number_of.first_chunk_mut::<{ MOST * FEW }>() else { return false };
        let place_of = |code: u8, bin: B| -> usize {
            (usize::from(code) * count + Into::<usize>::into(bin)) % (MOST * FEW)
        };
        let mut made_of: Vec<usize> = Vec::new();
        let mut codes = vec![0_u8; bins.len()];
        let parts = self.codes.chunks(ROWS_AT_ONCE).zip(bins.chunks(ROWS_AT_ONCE));
        for (out, (codes, bins)) in codes.chunks_mut(ROWS_AT_ONCE).zip(parts) {
            let mut any = 0;
            for ((out, &code), &bin) in out.iter_mut().zip(codes).zip(bins) {
                let number = number_of[place_of(code, bin)];
                any |= number;
                *out = number as u8;
            }
            // Numbers of combinations are below this bit, which no combination has as its number.
            if any & (1 << 15) == 0 {
                continue;
            }
            for ((out, &code), &bin) in out.iter_mut().zip(codes).zip(bins) {
                let place = place_of(code, bin);
                let number = &mut number_of[place];
                if *number == NONE {
                    if made_of.len() == most {
                        return false;
                    }
                    *number = made_of.len() as u16;
                    made_of.push(place);
                }
                *out = *number as u8;
            }
        }
        for bins in &mut self.bins {
            *bins = made_of.iter().map(|place| bins[place / count]).collect();
        }
        self.bins.push(made_of.iter().map(|place| place % count).collect());
        self.columns.push(column);
        self.combinations = made_of.len();
        self.codes = codes;
        true
    }

    /// What it adds to which cells; `offsets` are those of the histogram of all columns.
    fn closed(&self, offsets: &[usize]) -> Bundle {
        let (mut common, mut others) = (Vec::new(), Vec::new());
        for (&column, bins) in self.columns.iter().zip(&self.bins) {
            let mut counts = vec![0; offsets[column + 1] - offsets[column]];
            bins.iter().for_each(|&bin| counts[bin] += 1);
            // Of equals the last.
            let most = (0..counts.len()).max_by_key(|&bin| counts[bin]).unwrap_or(0);
            let cell = |bin: usize| (offsets[column] + bin) as u32;
            common.push(offsets[column] + most);
            let rest = bins.iter().enumerate().filter(|(_, bin)| **bin != most);
            others.extend(rest.map(|(combination, &bin)| [combination as u32, cell(bin), cell(most)]));
        }
        Bundle::Together { combinations: self.combinations, common, others }
    }
}

impl<B: Code> Bundles<B> {
    /// The bundles of these columns (column-major); `None` where they would save less than a quarter of all additions.
    /// O(rows x columns of few bins) time on one thread, and much less where they would not.
    pub(crate) fn new(columns: Bins<'_, B>, storage: &Storage) -> Result<Option<Self>> {
        let (rows, offsets) = (columns.rows(), columns.offsets());
        let column = |feature: usize| &columns.data()[feature * rows..][..rows];
        let saves = |open: &[Open]| {
            let saved: usize = open.iter().map(|open| open.columns.len() - 1).sum();
            4 * saved >= columns.features() && columns.cells() <= u32::MAX as usize
        };
        // What does not fit together in some rows does not in all.
        let step = (rows / SAMPLE).max(1);
        let mut of_sample: Vec<Open> = Vec::new();
        for feature in (0..columns.features()).filter(|&feature| columns.count(feature) <= FEW) {
            let (bins, count) = (column(feature), columns.count(feature));
            let bins: Vec<B> = bins.iter().step_by(step).copied().collect();
            if !of_sample.iter_mut().rev().take(TRIED).any(|open| open.take(feature, &bins, count)) {
                of_sample.push(Open::new(feature, &bins, count));
            }
        }
        of_sample.retain(|open| open.columns.len() > 1);
        if !saves(&of_sample) {
            return Ok(None);
        }
        let all = |some: Open| {
            let mut open: Option<Open> = None;
            for feature in some.columns {
                let (bins, count) = (column(feature), columns.count(feature));
                match &mut open {
                    None => open = Some(Open::new(feature, bins, count)),
                    // Else it stays alone.
                    Some(open) => drop(open.take(feature, bins, count)),
                }
            }
            open
        };
        let mut open: Vec<Open> = of_sample.into_iter().filter_map(all).collect();
        open.retain(|open| open.columns.len() > 1);
        if !saves(&open) {
            return Ok(None);
        }
        let mut bundled = vec![false; columns.features()];
        open.iter().flat_map(|open| &open.columns).for_each(|&column| bundled[column] = true);
        let alone: Vec<usize> = (0..columns.features()).filter(|&feature| !bundled[feature]).collect();
        let single =
            |&feature: &usize| Bundle::Alone { first: offsets[feature], count: columns.count(feature) };
        let together = open.iter().map(|open| open.closed(offsets));
        let list: Vec<Bundle> = alone.iter().map(single).chain(together).collect();
        let put = |place: usize, tile: &mut [B], width: usize, to: usize| {
            let to = tile.iter_mut().skip(to).step_by(width);
            match place.checked_sub(alone.len()) {
                None => to.zip(column(alone[place])).for_each(|(to, &bin)| *to = bin),
                Some(place) => {
                    to.zip(&open[place].codes).for_each(|(to, &code)| *to = B::from_low_bits(code.into()));
                }
            }
        };
        let mut tiles = Vec::new();
        for first in (0..list.len()).step_by(B::TILE) {
            let width = (list.len() - first).min(B::TILE);
            let mut tile = storage.zeros(rows * width)?;
            (0..width).for_each(|to| put(first + to, &mut tile, width, to));
            let ends = list[first..first + width].iter().scan(0, |sum, bundle| {
                *sum += bundle.cells();
                Some(*sum)
            });
            let offsets = std::iter::once(0).chain(ends).collect();
            tiles.push(OwnedBins::shared(Shared::new(tile.finish()?), rows, offsets, true)?);
        }
        Ok(Some(Self { tiles, list }))
    }

    pub(crate) fn tiles(&self) -> impl Iterator<Item = Bins<'_, B>> {
        self.tiles.iter().map(OwnedBins::get)
    }

    /// Columns of combinations.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Cells of all combinations.
    pub(crate) fn cells(&self) -> usize {
        self.list.iter().map(Bundle::cells).sum()
    }

    /// Bins of combinations that differ from their column's common one.
    pub(crate) fn others(&self) -> usize {
        let of_bundle = |bundle: &Bundle| match bundle {
            Bundle::Alone { .. } => 0,
            Bundle::Together { others, .. } => others.len(),
        };
        self.list.iter().map(of_bundle).sum()
    }

    /// From sums by combination to sums by the bins of each column, which are all nothing before; `width` cells each.
    pub(crate) fn unbundle<C: Cell>(&self, sums: &[C], width: usize, out: &mut [C]) {
        let mut rest = sums;
        for bundle in &self.list {
            let (own, others) = rest.split_at(bundle.cells() * width);
            rest = others;
            match bundle {
                Bundle::Alone { first, .. } => out[first * width..][..own.len()].copy_from_slice(own),
                Bundle::Together { common, others, .. } => {
                    let mut total = vec![C::default(); width];
                    for cells in own.chunks_exact(width) {
                        total.iter_mut().zip(cells).for_each(|(total, &cell)| *total = total.plus(cell));
                    }
                    common.iter().for_each(|cell| out[cell * width..][..width].copy_from_slice(&total));
                    for &[combination, cell, common] in others {
                        let [from, to, common] = [combination, cell, common].map(|at| at as usize * width);
                        for i in 0..width {
                            out[to + i] = out[to + i].plus(own[from + i]);
                            out[common + i] = out[common + i].minus(own[from + i]);
                        }
                    }
                }
            }
        }
    }
}

impl Bundle {
    fn cells(&self) -> usize {
        match self {
            Self::Alone { count, .. } => *count,
            Self::Together { combinations, .. } => *combinations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::of_codes;
    use crate::{BinnedTable, DecisionTree, Feature};
    use proptest::prelude::*;
    use tilewise_base::Context;
    use tilewise_kernels::parallel::Scheme;
    use tilewise_kernels::random::Philox;
    use tilewise_kernels::tree::{Gradients, Labels, Packed, Rows, class_histogram, histogram};

    const DRAWN: u64 = Philox::purpose("tests of bundles");

    /// Columns of so many bins each, of `depth` combinations and a few more, or drawn one by one.
    fn columns(counts: &[usize], rows: usize, depth: Option<u64>, seed: u64) -> (Vec<u8>, Vec<usize>) {
        let stream = Philox::new(seed, DRAWN);
        let bin = |column: usize, row: usize| {
            let of = match depth {
                Some(depth) => stream.below(row as u64, depth),
                None => row as u64,
            };
            stream.below(1 << 40 | of << 8 | column as u64, counts[column] as u64) as u8
        };
        let data = (0..counts.len()).flat_map(|column| (0..rows).map(move |row| (column, row)));
        let ends = counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        (data.map(|(column, row)| bin(column, row)).collect(), std::iter::once(0).chain(ends).collect())
    }

    #[test]
    fn categories_and_flags_are_bundled() {
        let rows = 5000;
        // Zeros and ones of 40 categories, 16 flags, and a column of many bins.
        let mut data: Vec<u8> = Vec::new();
        let stream = Philox::new(1, DRAWN);
        let bit = |column: u64, row: usize| (stream.bits(row as u64) >> column & 1) as u8;
        for level in 0..40 {
            data.extend((0..rows).map(|row| u8::from(row * row % 40 == level)));
        }
        for flag in 0..16 {
            data.extend((0..rows).map(|row| bit(flag, row)));
        }
        data.extend((0..rows).map(|row| (row % 200) as u8));
        let offsets: Vec<usize> = (0..57).map(|feature| 2 * feature).chain([112 + 200]).collect();
        let bundles = Bundles::new(Bins::column_major(&data, rows, &offsets).unwrap(), &Storage::default())
            .unwrap()
            .unwrap();
        let sizes: Vec<usize> = bundles.list.iter().map(Bundle::cells).collect();
        assert_eq!(sizes[0], 200);
        assert!(bundles.len() <= 4 && sizes.iter().all(|&size| size <= MOST), "{sizes:?}");
        // Nothing to gain from columns of many bins.
        let many = &data[56 * rows..];
        assert!(
            Bundles::new(Bins::column_major(many, rows, &[0, 200]).unwrap(), &Storage::default())
                .unwrap()
                .is_none()
        );
    }

    /// Divided by features a tree sums up the columns one by one, else in bundles.
    #[test]
    fn trees_are_the_same_without_bundles() {
        let rows = 6000;
        let stream = Philox::new(2, DRAWN);
        let level = |row: usize| stream.below(row as u64, 30);
        let mut columns: Vec<Vec<f64>> = vec![(0..rows as u64).map(|row| stream.normal(row)).collect()];
        let is = |which: u64| (0..rows).map(|row| f64::from(u8::from(level(row) == which))).collect();
        columns.extend((0..30).map(is));
        let y = |row: usize| {
            ((level(row) * 7 % 5) as f64 + columns[0][row] + stream.normal(1 << 32 | row as u64)) as i64
        };
        let numbers: Vec<f64> = (0..rows).map(|row| y(row) as f64).collect();
        let classes: Vec<u32> = (0..rows).map(|row| y(row).rem_euclid(4) as u32).collect();
        let features: Vec<Feature<'_>> = columns.iter().map(|column| Feature::Numeric(column)).collect();
        for bins in [255, 300] {
            let table = BinnedTable::new(&features, None, bins, 0).unwrap();
            let made = of_codes!(table.stored, codes => codes.bundles().map(Bundles::len));
            assert_eq!(made, Some(2), "{bins} bins");
            let grow = |scheme: Scheme| {
                let context = Context { scheme, ..Context::default() };
                let params = DecisionTree { max_leaves: Some(40), ..DecisionTree::default() };
                let of_numbers = params.fit_numbers(&table, &numbers, &context).unwrap().model;
                (of_numbers, params.fit_classes(&table, &classes, 4, &context).unwrap().model)
            };
            assert!(grow(Scheme::Tasks) == grow(Scheme::Rows), "{bins} bins");
        }
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_columns(
            counts in prop::collection::vec(prop_oneof![3 => 2_usize..5, 1 => 1_usize..40], 2..90),
            depth in prop::option::of(1_u64..300),
            rows in 64_usize..900,
            seed in 0_u64..1000,
        ) {
            let (data, offsets) = columns(&counts, rows, depth, seed);
            let columns = Bins::column_major(&data, rows, &offsets).unwrap();
            let Some(bundles) = Bundles::new(columns, &Storage::default()).unwrap() else { return Ok(()) };
            prop_assert!(bundles.len() < counts.len());
            let some: Vec<u32> = (0..rows as u32).filter(|row| row % 3 != 1).collect();
            let stream = Philox::new(seed, DRAWN);
            let values: Vec<Packed> = (0..rows as u64)
                .map(|row| Packed::new(stream.below(row, 2001) as i32 - 1000, stream.below(row, 100) as i32))
                .collect();
            let labels: Vec<_> = (0..rows as u64)
                .map(|row| tilewise_kernels::tree::ClassWeight { class: stream.below(row, 3) as u32, weight: 2 })
                .collect();
            for rows in [Rows::Range(0..rows), Rows::List(&some)] {
                let (mut plain, mut all) = (vec![Packed::default(); columns.cells()], vec![Packed::default(); columns.cells()]);
                let mut sums = vec![Packed::default(); bundles.cells()];
                histogram(columns, &rows, Gradients::new(&values), &mut plain).unwrap();
                let mut rest = &mut sums[..];
                for tile in bundles.tiles() {
                    let (own, others) = rest.split_at_mut(tile.cells());
                    rest = others;
                    histogram(tile, &rows, Gradients::new(&values), own).unwrap();
                }
                bundles.unbundle(&sums, 1, &mut all);
                prop_assert_eq!(&all, &plain);
                // Several cells for each bin.
                let labels = Labels::new(&labels, 3).unwrap();
                let (mut plain, mut all) = (vec![0_u32; 3 * columns.cells()], vec![0; 3 * columns.cells()]);
                let mut sums = vec![0; 3 * bundles.cells()];
                class_histogram(columns, &rows, labels, &mut plain).unwrap();
                let mut rest = &mut sums[..];
                for tile in bundles.tiles() {
                    let (own, others) = rest.split_at_mut(3 * tile.cells());
                    rest = others;
                    class_histogram(tile, &rows, labels, own).unwrap();
                }
                bundles.unbundle(&sums, 3, &mut all);
                prop_assert_eq!(&all, &plain);
            }
        }
    }
}
