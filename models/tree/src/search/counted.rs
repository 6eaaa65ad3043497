//! Splits that leave enough rows on both sides, where sums do not count rows.

use super::{Scratch, Search, Searched, better};
use crate::codes::Code;
use crate::grow::{Choice, Splitter};
use crate::target::{Target, add_to};
use tilewise_kernels::parallel;
use tilewise_kernels::tree::Cell;

impl<T: Target, B: Code> Search<'_, T, B> {
    /// The split of a node that gains most among the features it looks at: all, or some that are drawn for it, and more of
    /// these until one has a split.
    ///
    /// Where rows of children are counted, it is first looked for without: mostly what is found then leaves enough rows on both
    /// sides, so that it is the best of those that do.
    pub(crate) fn best(&self, node: &Searched<'_, T, B>, scratch: &mut Scratch<T, B>) -> Option<Choice> {
        let limits = self.limits;
        if limits.min_rows > 1 && limits.splitter == Splitter::Best && !limits.constraints.is_monotone() {
            let free = Self { uncounted: true, ..*self };
            let all = node.state.columns.as_deref().map_or(self.table.features(), <[u32]>::len);
            if node.histogram.is_some() && limits.features >= all {
                return self.best_of_free(&free, node, scratch);
            }
            let found = free.best_of_asked(node, scratch)?;
            if free.has_rows(&found, node) {
                return Some(found);
            }
        }
        self.best_of_asked(node, scratch)
    }

    /// As [`Search::best`] in a histogram, where all features are looked at: rows are counted by those features alone whose best split without
    /// counting is the best of all, and leaves too few. With 108 columns of zeros and ones, where one or two such columns are in the way
    /// of most nodes, counting by all of them took four fifths of the time of boosting.
    fn best_of_free(
        &self,
        free: &Self,
        node: &Searched<'_, T, B>,
        scratch: &mut Scratch<T, B>,
    ) -> Option<Choice> {
        /// Features that are counted by one after the other; where more are in the way all count at the same time.
        const IN_TURN: usize = 8;
        let may = |&feature: &usize| self.limits.constraints.may_use(node.state, feature);
        let features: Vec<usize> = match node.state.columns.as_deref() {
            None => (0..self.table.features()).filter(may).collect(),
            Some(columns) => columns.iter().map(|&feature| feature as usize).filter(may).collect(),
        };
        let work = node.histogram.map_or(0, <[T::Cell]>::len);
        let mut found: Vec<Option<Choice>> = if self.is_shared(work) && features.len() > 1 {
            let pieces = self.pieces(&features, work);
            let of_pieces = parallel::map(pieces.len(), |piece| {
                let mut scratch = self.scratch_of(&features);
                pieces[piece].iter().map(|&feature| free.of_feature(feature, node, &mut scratch)).collect()
            });
            of_pieces.into_iter().flat_map(|found: Vec<_>| found).collect()
        } else {
            features.iter().map(|&feature| free.of_feature(feature, node, scratch)).collect()
        };
        let mut is_counted = vec![false; features.len()];
        for _ in 0..=IN_TURN {
            let best = found.iter().copied().fold(None, better)?;
            let at = features.iter().position(|&feature| feature == best.feature)?;
            if is_counted[at] || free.has_rows(&best, node) {
                return Some(self.centred(best, node));
            }
            found[at] = self.of_feature(features[at], node, scratch);
            is_counted[at] = true;
        }
        self.best_of_asked(node, scratch)
    }

    /// Whether a split leaves the rows that a child must have on both sides.
    fn has_rows(&self, choice: &Choice, node: &Searched<'_, T, B>) -> bool {
        let (table, target) = (self.table, self.target);
        let (feature, least) = (choice.feature, self.limits.min_rows);
        let count = table.count(feature);
        let bins = choice.bins(table.missing[feature]);
        if let Some(histogram) = node.histogram {
            let width = target.width();
            let cells = &histogram[table.offsets()[feature] * width..][..count * width];
            let mut left = vec![T::Cell::default(); width];
            for (bin, cells) in cells.chunks_exact(width).enumerate() {
                if bins.has(bin, count) {
                    add_to(&mut left, cells);
                }
            }
            let right: Vec<T::Cell> =
                node.sums.iter().zip(&left).map(|(all, &left)| all.minus(left)).collect();
            if target.rows_at_least(&left).min(target.rows_at_least(&right)) >= least as u64 {
                return true;
            }
        }
        let on_left = match node.counts {
            Some(counts) => {
                let of_bins = counts[table.offsets()[feature]..][..count].iter().enumerate();
                of_bins.filter(|(bin, _)| bins.has(*bin, count)).map(|(_, &rows)| rows as usize).sum()
            }
            None => {
                let column = node.view.column(feature);
                let goes_left = |row: &&u32| bins.has(column[**row as usize].into(), count);
                node.rows.iter().filter(goes_left).count()
            }
        };
        on_left.min(node.count.saturating_sub(on_left)) >= least
    }
}
