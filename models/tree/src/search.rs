//! The best split of a node.
//!
//! A node of many rows comes with a histogram of all features, which a kernel scans. Any other node is summed feature by
//! feature into cells that are used again: what a bin holds is read once, in the order of bins that hold something, and put
//! back to nothing. So a feature costs a node of n rows some n steps, however many bins there are.

use crate::codes::{Code, Codes, Marks};
use crate::constraints::State;
use crate::grow::{Choice, Left, Limits, Splitter};
use crate::table::{BinnedTable, Binning};
use crate::target::{AskedRows, Candidates, Groups, Room, Rule, Target};
use std::ops::{ControlFlow, Range};
use tilewise_kernels::parallel::{self, Scheme};
use tilewise_kernels::tree::{Asked, Cell, RowSplit};

mod accumulate;
mod centre;
mod counted;
mod draw;

use accumulate::{accumulate, count_rows, mark};
pub use draw::draw;
#[cfg(test)]
pub(crate) use draw::drawn;
pub(crate) use draw::drawn_bin;

/// Where the bins of rows lie.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, B> {
    pub(crate) data: &'a [B],
    /// The distance from a feature to the next.
    pub(crate) feature: usize,
}

impl<'a, B> View<'a, B> {
    /// The bin of a row of a feature stands where the row says.
    fn column(&self, feature: usize) -> &'a [B] {
        &self.data[feature * self.feature..]
    }
}

/// A node that may be divided.
#[derive(Clone, Copy)]
pub(crate) struct Searched<'a, T: Target, B> {
    pub(crate) view: View<'a, B>,
    /// Its rows by their places in the view (those of their bins of the first feature), and what they bring. With a
    /// histogram they are read only to count rows.
    pub(crate) rows: &'a [u32],
    pub(crate) values: &'a [T::Value],
    /// How many rows there are.
    pub(crate) count: usize,
    /// How many of them each bin of each feature has, where rows are not at hand.
    pub(crate) counts: Option<&'a [u32]>,
    pub(crate) sums: &'a [T::Cell],
    /// The cells of all features.
    pub(crate) histogram: Option<&'a [T::Cell]>,
    pub(crate) state: &'a State,
}

/// Memory of a search. All cells are nothing between searches, and no bin is in `occupied`.
pub(crate) struct Scratch<T: Target, B: Code> {
    cells: Vec<T::Cell>,
    /// The bins whose cells hold something.
    occupied: B::Marks,
    /// Rows of each bin, where they are counted.
    counts: Vec<u32>,
    order: Vec<u16>,
    /// The rows of a node by their bins, and where those of each bin begin and end (nothing between
    /// searches), for targets that are not sums.
    places: Vec<u32>,
    spans: Vec<[u32; 2]>,
    room: Room<T::Cell>,
    /// The left side of a split that is drawn.
    drawn_left: Vec<T::Cell>,
    /// All features in any order, and how to undo what a draw has moved.
    features: Vec<u32>,
    moved: Vec<usize>,
    /// Those that a node looks at, and those of them that are asked together.
    few: Vec<usize>,
    asked: Vec<Asked>,
}

/// Bins that there is room for at least: those that a byte can name.
const BINS: usize = 256;

impl<T: Target, B: Code> Scratch<T, B> {
    /// For all features of a table.
    pub(crate) fn of_all(search: &Search<'_, T, B>) -> Self {
        let table = search.table;
        let bins = (0..table.features()).map(|feature| table.count(feature)).max().unwrap_or(0);
        Self::new(search.target, bins, table.features())
    }

    /// For features of up to so many bins, of which so many are drawn from.
    fn new(target: &T, bins: usize, features: usize) -> Self {
        let bins = bins.max(BINS);
        Self {
            cells: vec![T::Cell::default(); bins * target.width()],
            occupied: B::Marks::default(),
            counts: Vec::new(),
            order: Vec::with_capacity(BINS),
            places: Vec::new(),
            spans: Vec::new(),
            room: Room::default(),
            drawn_left: Vec::new(),
            features: (0..features as u32).collect(),
            moved: Vec::new(),
            few: Vec::new(),
            asked: Vec::new(),
        }
    }
}

/// Additions, or cells that are gone through, from which features are searched at the same time (some 50 microseconds).
const WORTH_SHARING: usize = 64 << 10;

/// Those of a piece of such a search.
const PIECE: usize = 16 << 10;

/// Rows of a feature that are added up as one of several blocks.
const BLOCK: usize = 16 << 10;

/// What the splits of a node are searched with.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a, T, B> {
    pub(crate) table: &'a BinnedTable,
    /// Those of the table.
    pub(crate) codes: &'a Codes<B>,
    pub(crate) target: &'a T,
    pub(crate) limits: &'a Limits,
    /// How the work of large nodes is divided; those below them are grown at the same time in any case.
    pub(crate) scheme: Scheme,
    /// Whether children may have fewer rows than the limits say.
    pub(crate) uncounted: bool,
}

/// The better of two; of equals that of the first feature.
fn better(best: Option<Choice>, next: Option<Choice>) -> Option<Choice> {
    let (Some(a), Some(b)) = (best, next) else { return best.or(next) };
    let first = b.gain > a.gain || b.gain == a.gain && b.feature < a.feature;
    Some(if first { b } else { a })
}

impl<T: Target, B: Code> Search<'_, T, B> {
    /// Whether a search of so much work is shared by threads. Medians are not merged from blocks of rows.
    fn is_shared(&self, work: usize) -> bool {
        work >= WORTH_SHARING
            && (self.scheme != Scheme::Rows || !self.target.is_sum())
            && parallel::threads() > 1
    }

    /// Some features each: memory of one's own for every one of them costs more than the search of one in a histogram.
    fn pieces<'f>(&self, features: &'f [usize], work: usize) -> Vec<&'f [usize]> {
        features.chunks((features.len() * PIECE / work.max(1)).max(1)).collect()
    }

    fn scratch_of(&self, features: &[usize]) -> Scratch<T, B> {
        let most = features.iter().map(|&feature| self.table.count(feature)).max().unwrap_or(0);
        Scratch::new(self.target, most, 0)
    }

    /// Whether sums alone do not say if a split is allowed.
    fn is_watched(&self) -> bool {
        self.counts_rows() || self.limits.constraints.is_monotone()
    }

    fn counts_rows(&self) -> bool {
        self.limits.min_rows > 1 && !self.uncounted
    }

    fn best_of_asked(&self, node: &Searched<'_, T, B>, scratch: &mut Scratch<T, B>) -> Option<Choice> {
        // Those that the level of the node may use.
        let columns = node.state.columns.as_deref();
        let all = columns.map_or(self.table.features(), <[u32]>::len);
        // Cells to go through, or rows to add up.
        let work = node.histogram.map_or(node.count * self.limits.features.min(all), <[T::Cell]>::len);
        let together = self.is_shared(work);
        let mut few = std::mem::take(&mut scratch.few);
        few.clear();
        let mut best = None;
        if self.limits.features >= all {
            match columns {
                None => few.extend(0..all),
                Some(columns) => few.extend(columns.iter().map(|&feature| feature as usize)),
            }
            best = self.of_features(&few, together, node, scratch);
        } else {
            let mut features = std::mem::take(&mut scratch.features);
            let mut moved = std::mem::take(&mut scratch.moved);
            let mut columns = columns.map(<[u32]>::to_vec);
            let drawn_from = columns.as_deref_mut().unwrap_or(&mut features);
            draw(node.state.key, drawn_from, &mut moved, |seen, feature| {
                few.push(feature);
                if seen + 1 >= self.limits.features {
                    best = better(best, self.of_features(&few, together && few.len() > 1, node, scratch));
                    few.clear();
                    if best.is_some() {
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            (scratch.features, scratch.moved) = (features, moved);
        }
        scratch.few = few;
        best
    }

    /// The best split of some features; at the same time if `together`.
    fn of_features(
        &self,
        features: &[usize],
        together: bool,
        node: &Searched<'_, T, B>,
        scratch: &mut Scratch<T, B>,
    ) -> Option<Choice> {
        let may = |feature: usize| self.limits.constraints.may_use(node.state, feature);
        let drawn = self.limits.splitter == Splitter::Random;
        let centred =
            |best: Option<Choice>| best.map(|best| if drawn { best } else { self.centred(best, node) });
        if together && features.len() > 1 {
            let work = node.histogram.map_or(node.count * features.len(), <[T::Cell]>::len);
            let pieces = self.pieces(features, work);
            let found = parallel::map(pieces.len(), |piece| {
                self.of_features(pieces[piece], false, node, &mut self.scratch_of(features))
            });
            return found.into_iter().fold(None, better);
        }
        let mut best = None;
        let mut asked = std::mem::take(&mut scratch.asked);
        asked.clear();
        let in_blocks = self.scheme == Scheme::Rows && node.rows.len() > BLOCK;
        let by_rows = node.histogram.is_none() && !in_blocks;
        let bytes = B::one_byte(node.view.data).filter(|_| by_rows);
        for &feature in features.iter().filter(|&&feature| may(feature)) {
            if bytes.is_some() && self.is_plain(feature) {
                asked.push(Asked {
                    feature,
                    place: feature * node.view.feature,
                    bins: self.table.count(feature),
                    missing: self.table.missing[feature],
                });
            } else {
                best = better(best, self.of_feature(feature, node, scratch));
            }
        }
        if let Some(bins) = bytes.filter(|_| !asked.is_empty()) {
            let rows =
                AskedRows { bins, rows: node.rows, values: node.values, sums: node.sums, asked: &asked };
            if let Some(found) = self.target.split_of_rows(&rows, self.rule(), &mut scratch.room) {
                let choice = |RowSplit { split, any_missing, .. }: RowSplit| Choice {
                    feature: split.feature,
                    left: Left::UpTo(split.bin),
                    missing_left: any_missing.then_some(split.missing_left),
                    gain: split.gain,
                };
                let of_rows = found.map(choice);
                best = better(best, of_rows);
                // What comes next is known without another look at the rows.
                if let Some(RowSplit { split, next, .. }) = found.filter(|_| best == of_rows) {
                    let left = Left::UpTo(self.centre(split.feature, split.bin, next));
                    scratch.asked = asked;
                    return best.map(|best| Choice { left, ..best });
                }
            } else {
                for asked in &asked {
                    best = better(best, self.of_feature(asked.feature, node, scratch));
                }
            }
        }
        scratch.asked = asked;
        centred(best)
    }

    /// The best split of one feature.
    fn of_feature(
        &self,
        feature: usize,
        node: &Searched<'_, T, B>,
        scratch: &mut Scratch<T, B>,
    ) -> Option<Choice> {
        let (table, width) = (self.table, self.target.width());
        let count = table.count(feature);
        if let Some(histogram) = node.histogram {
            let first = table.offsets()[feature];
            let cells = &histogram[first * width..(first + count) * width];
            if self.is_plain(feature)
                && let Some(split) =
                    self.target.scan_all(cells, table.missing[feature], node.sums, self.rule())
            {
                let split = split?;
                let nothing = |cells: &[T::Cell]| cells.iter().all(|cell| *cell == T::Cell::default());
                let any_missing = table.missing[feature] && !nothing(&cells[(count - 1) * width..]);
                let left = Left::UpTo(split.bin);
                let missing_left = any_missing.then_some(split.missing_left);
                return Some(Choice { feature, left, missing_left, gain: split.gain });
            }
            let mut occupied = std::mem::take(&mut scratch.occupied);
            mark(cells, width, &mut occupied);
            let choice = self.of_bins(feature, node, cells, &occupied, scratch);
            occupied.clear();
            scratch.occupied = occupied;
            return choice;
        }
        let column = node.view.column(feature);
        let mut cells = std::mem::take(&mut scratch.cells);
        let mut occupied = std::mem::take(&mut scratch.occupied);
        if self.scheme == Scheme::Rows && node.rows.len() > BLOCK {
            self.by_blocks(column, node, &mut cells[..count * width]);
            mark(&cells[..count * width], width, &mut occupied);
        } else {
            accumulate(self.target, column, node.rows, node.values, count, &mut cells, &mut occupied);
        }
        if !self.target.is_sum() {
            self.group(feature, node, &mut cells[..count * width], &occupied, scratch);
        }
        let choice = self.of_bins(feature, node, &cells[..count * width], &occupied, scratch);
        if !self.target.is_sum() {
            occupied.each(|bin| scratch.spans[bin] = [0; 2]);
        }
        if width == 1 {
            occupied.each(|bin| cells[bin] = T::Cell::default());
        } else {
            occupied.each(|bin| {
                cells[bin * width..(bin + 1) * width].iter_mut().for_each(|cell| *cell = T::Cell::default());
            });
        }
        occupied.clear();
        (scratch.cells, scratch.occupied) = (cells, occupied);
        choice
    }

    /// As [`accumulate`], for blocks of rows at the same time. Sums are integers: no bit depends on the blocks.
    fn by_blocks(&self, column: &[B], node: &Searched<'_, T, B>, cells: &mut [T::Cell]) {
        let (all, count) = (cells.len(), (cells.len() / self.target.width()).max(BINS));
        let of_rows = |rows: Range<usize>| {
            let mut cells = vec![T::Cell::default(); count * self.target.width()];
            let (rows, values) = (&node.rows[rows.clone()], &node.values[rows]);
            accumulate(self.target, column, rows, values, count, &mut cells, &mut B::Marks::default());
            cells.truncate(all);
            cells
        };
        let merged = parallel::map_reduce(node.rows.len(), BLOCK, of_rows, |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = a.plus(b));
            a
        });
        cells.iter_mut().zip(merged.unwrap_or_default()).for_each(|(cell, sum)| *cell = sum);
    }

    /// Sorts the rows of a node by their bins (counting them), and settles the cells by which categories are put in order.
    fn group(
        &self,
        feature: usize,
        node: &Searched<'_, T, B>,
        cells: &mut [T::Cell],
        occupied: &B::Marks,
        scratch: &mut Scratch<T, B>,
    ) {
        let (target, column) = (self.target, node.view.column(feature));
        let Scratch { places, spans, .. } = scratch;
        let bin = |row: &u32| -> usize { column[*row as usize].into() };
        spans.resize(spans.len().max(cells.len() / target.width()), [0; 2]);
        node.rows.iter().for_each(|row| spans[bin(row)][1] += 1);
        let mut start = 0;
        occupied.each(|bin| {
            let rows = spans[bin][1];
            spans[bin] = [start; 2];
            start += rows;
        });
        places.resize(node.rows.len(), 0);
        for (place, row) in node.rows.iter().enumerate() {
            let end = &mut spans[bin(row)][1];
            places[*end as usize] = place as u32;
            *end += 1;
        }
        if matches!(self.table.binnings[feature], Binning::Categorical { .. }) {
            occupied.each(|bin| {
                let [start, end] = spans[bin];
                let mut values =
                    places[start as usize..end as usize].iter().map(|&place| node.values[place as usize]);
                target.settle(&mut values, &mut cells[bin * target.width()..][..target.width()]);
            });
        }
    }

    fn rule(&self) -> Rule {
        let min_gain = self.limits.min_gain / self.target.gain_unit();
        Rule { min_weight: self.limits.min_weight.max(1), min_gain }
    }

    /// Whether nothing but sums decides about the splits of a feature of numbers.
    fn is_plain(&self, feature: usize) -> bool {
        matches!(self.table.binnings[feature], Binning::Numeric { .. })
            && self.limits.splitter == Splitter::Best
            && !self.is_watched()
    }

    /// The best split of a feature of which these bins hold rows.
    fn of_bins(
        &self,
        feature: usize,
        node: &Searched<'_, T, B>,
        cells: &[T::Cell],
        occupied: &B::Marks,
        scratch: &mut Scratch<T, B>,
    ) -> Option<Choice> {
        let Self { table, target, limits, .. } = *self;
        let width = target.width();
        let count = table.count(feature);
        let of_bin = |bin: usize| &cells[bin * width..][..width];
        let numeric = matches!(table.binnings[feature], Binning::Numeric { .. });
        let any_missing = table.missing[feature] && occupied.has(count - 1);
        let Scratch { counts, order, places, spans, room, drawn_left, .. } = scratch;
        order.clear();
        occupied.each(|bin| order.push(bin as u16));
        if order.len() < 2 {
            return None;
        }
        match node.counts {
            _ if !self.counts_rows() => {}
            Some(all) => {
                counts.clear();
                counts.extend_from_slice(&all[table.offsets()[feature]..][..count]);
            }
            None => count_rows(&node.view, feature, node.rows, order, counts),
        }
        if any_missing {
            order.pop();
        }
        let mut random = None;
        if !numeric {
            order.retain(|&bin| target.is_common(of_bin(bin.into()), node.sums, node.count));
            if order.is_empty() {
                return None;
            }
            let key = |bin: &u16| target.key(of_bin(usize::from(*bin)), node.sums);
            order.sort_by(|a, b| key(a).total_cmp(&key(b)));
        }
        if self.limits.splitter == Splitter::Random {
            // Of categories a place in their order, of numbers any bin between the first and the last.
            let places = order.len() - 1;
            let (first, last) = if numeric { (order[0], order[places]) } else { (0, places as u16) };
            let drawn = drawn_bin(node.state.key, feature, first.into(), last.into());
            let place =
                if numeric { order.partition_point(|&bin| usize::from(bin) <= drawn) - 1 } else { drawn };
            random = Some((place, drawn));
        } else if numeric && any_missing && order[0] != 0 {
            // Missing values alone may go left of the first.
            order.insert(0, 0);
        }
        let missing = any_missing.then(|| of_bin(count - 1));
        let order: &[u16] = order;
        let first = random.map_or(1, |(place, _)| place + 1);
        let groups = Groups { values: node.values, places, spans, order, first, missing: count - 1 };
        let groups = (!target.is_sum()).then_some(groups);
        let candidates = match random {
            // The one candidate is a bin.
            Some((place, _)) => {
                drawn_left.clear();
                drawn_left.resize(width, T::Cell::default());
                for &bin in &order[..=place] {
                    let cells = of_bin(bin.into());
                    drawn_left.iter_mut().zip(cells).for_each(|(sum, &cell)| *sum = sum.plus(cell));
                }
                Candidates { cells: drawn_left, order: &[0], missing, all: node.sums, groups }
            }
            None => Candidates { cells, order, missing, all: node.sums, groups },
        };
        let rows = |bins: &[u16]| bins.iter().map(|&bin| counts[usize::from(bin)]).sum::<u32>() as usize;
        // `lefts` says which bins go left at a place of the candidates.
        let mut scan = |candidates: &Candidates<'_, T::Cell, T::Value>,
                        lefts: &dyn Fn(usize) -> Range<usize>| {
            if !self.is_watched() {
                return target.scan(candidates, self.rule(), room);
            }
            let allowed = |(place, missing_left): (usize, bool), left: &[T::Cell], right: &[T::Cell]| {
                let enough = || {
                    let of_missing = if missing_left { rows(&[(count - 1) as u16]) } else { 0 };
                    let on_left = rows(&order[lefts(place)]) + of_missing;
                    on_left.min(node.count.saturating_sub(on_left)) >= limits.min_rows
                };
                let levels = || (target.level(left), target.level(right));
                (!self.counts_rows() || enough()) && limits.constraints.allow(node.state, feature, levels)
            };
            room.scan(target, candidates, self.rule(), allowed)
        };
        let up_to = |place: usize| 0..random.map_or(place, |(place, _)| place) + 1;
        let mut best = scan(&candidates, &up_to).map(|found| (found, up_to(found.place)));
        if !numeric && !target.is_ordered() && random.is_none() {
            // Where no order of categories is best, each may also stand against all others.
            for place in 0..order.len() {
                let alone = Candidates { order: &order[place..=place], ..candidates };
                if let Some(found) = scan(&alone, &|_| place..place + 1)
                    && best.as_ref().is_none_or(|(best, _)| found.gain > best.gain)
                {
                    best = Some((found, place..place + 1));
                }
            }
        }
        let (found, lefts) = best?;
        let left = if numeric {
            Left::UpTo(random.map_or_else(|| usize::from(order[found.place]), |(_, drawn)| drawn))
        } else {
            let weight =
                |bins: &[u16]| bins.iter().map(|&bin| target.weight(of_bin(bin.into()))).sum::<u64>();
            let lefts = &order[lefts];
            let of_missing =
                if found.missing_left { missing.map_or(0, |cells| target.weight(cells)) } else { 0 };
            let mut set = [0_u64; 4];
            let mut put = |bin: usize| set[bin / 64] |= 1 << (bin % 64);
            lefts.iter().for_each(|&bin| put(bin.into()));
            if any_missing && found.missing_left {
                put(count - 1);
            }
            // Categories that the node does not have go where more of it goes, and those that no node has, in the bin
            // behind all others.
            if 2 * (weight(lefts) + of_missing) > target.weight(node.sums) {
                let of_values = count - usize::from(table.missing[feature]);
                (0..of_values).filter(|&bin| !occupied.has(bin)).chain([count]).for_each(put);
            }
            Left::Set(set)
        };
        let missing_left = any_missing.then_some(found.missing_left);
        Some(Choice { feature, left, missing_left, gain: found.gain })
    }
}
