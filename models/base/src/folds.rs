//! Folds of cross-validation, and shares of their training rows.
//!
//! A draw is a function of the seed and of a row's number (or of a group's, counted by first appearance), so the folds depend on
//! neither threads nor the order of any computation. Method: Stone, "Cross-validatory choice and assessment of statistical
//! predictions", 1974; stratified: Breiman, Friedman, Olshen, Stone, "Classification and regression trees", 1984, section 8.4;
//! time: rolling origins, Tashman, "Out-of-sample tests of forecasting accuracy", 2000.

use crate::{Column, Dataset, Error, Result};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tilewise_kernels::{random::Philox, same};

const FOLDS: u64 = Philox::purpose("folds");
const SHARES: u64 = Philox::purpose("shares of training rows");

/// One division of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Rows to train on, rising.
    pub train: Vec<usize>,
    /// Rows to measure on, rising.
    pub test: Vec<usize>,
}

/// What decides which rows may be on which side.
#[derive(Clone, Debug, PartialEq)]
pub enum Division {
    /// Chance alone.
    Random,
    /// Chance, with the same share of every stratum in every fold: the stratum of each row.
    Strata(Vec<u32>),
    /// Chance, with all rows of a group in the same fold: the group of each row.
    Groups(Vec<u32>),
    /// Time: every fold is trained on what lies before its test rows. The time of each row, finite; rows of one time stay together.
    Time(Vec<f64>),
}

impl Division {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Strata(_) => "stratified",
            Self::Groups(_) => "grouped",
            Self::Time(_) => "time",
        }
    }

    /// `count` folds of `0..rows`. Every row is tested once, but in time order, where the first of `count` + 1 blocks of time is
    /// never tested and each other one is tested after training on all before it.
    ///
    /// Random and stratified folds differ by one row at most, and so do the rows that they have of any stratum. Groups go, the
    /// largest first, to the fold that has the fewest rows; blocks of time are as equal as rows of one time permit.
    ///
    /// O(rows log rows), and `count` lists of all rows.
    ///
    /// # Errors
    /// When `count` is less than 2, there are too few rows, groups or times for it, or lengths differ.
    pub fn folds(&self, rows: usize, count: usize, seed: u64) -> Result<Vec<Fold>> {
        if count < 2 {
            return Err(Error::parameter("folds", count, "a whole number of 2 or more is"));
        }
        let keys = Philox::new(seed, FOLDS);
        let too_few = |have: usize, what: &str, need: usize| {
            Error::Fit(format!("{have} {what} are too few for {count} folds, which need {need} at least"))
        };
        let mut fold_of = vec![0; rows];
        match self {
            Self::Time(times) => {
                same("times", rows, times.len())?;
                let order = in_order(times);
                let ends = blocks(&order, times, count + 1)
                    .ok_or_else(|| too_few(distinct(&order, times), "different times", count + 1))?;
                let sorted = |rows: &[usize]| {
                    let mut rows = rows.to_vec();
                    rows.sort_unstable();
                    rows
                };
                let fold =
                    |w: &[usize]| Fold { train: sorted(&order[..w[0]]), test: sorted(&order[w[0]..w[1]]) };
                return Ok(ends.windows(2).map(fold).collect());
            }
            Self::Groups(groups) => {
                same("groups", rows, groups.len())?;
                let mut members: Vec<(u64, Vec<usize>)> = members(groups)
                    .into_iter()
                    .enumerate()
                    .map(|(i, rows)| (keys.bits(i as u64), rows))
                    .collect();
                if members.len() < count {
                    return Err(too_few(members.len(), "groups", count));
                }
                members.sort_by_key(|(key, rows)| (Reverse(rows.len()), *key, rows[0]));
                let mut sizes = vec![0; count];
                for (_, rows) in &members {
                    let lightest = (0..count).min_by_key(|&fold| sizes[fold]).unwrap_or(0);
                    sizes[lightest] += rows.len();
                    rows.iter().for_each(|&row| fold_of[row] = lightest);
                }
            }
            Self::Random | Self::Strata(_) => {
                if rows < count {
                    return Err(too_few(rows, "rows", count));
                }
                // Strata one behind the other, dealt like cards: neither a stratum nor a fold is off by more than a row.
                let dealt = self.strata(rows)?.into_iter().flat_map(|mut stratum| {
                    stratum.sort_by_cached_key(|&row| (keys.bits(row as u64), row));
                    stratum
                });
                dealt.enumerate().for_each(|(place, row)| fold_of[row] = place % count);
            }
        }
        let fold = |fold: usize| {
            let (test, train) = (0..rows).partition(|&row| fold_of[row] == fold);
            Fold { train, test }
        };
        Ok((0..count).map(fold).collect())
    }

    /// About `share` of the training rows in `train`, rising; a smaller share is a part of a larger one. Of strata each gives its
    /// share (rounded up), of groups whole ones are drawn, and in time order the latest rows are taken, as those that are most like
    /// what is tested.
    ///
    /// O(rows log rows).
    ///
    /// # Errors
    /// When the share is not above 0 and at most 1, or `train` has a row that the division lacks.
    pub fn share(&self, train: &[usize], share: f64, seed: u64) -> Result<Vec<usize>> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::parameter("share of rows", share, "a number above 0 and at most 1 is"));
        }
        let known = match self {
            Self::Random => usize::MAX,
            Self::Strata(list) | Self::Groups(list) => list.len(),
            Self::Time(times) => times.len(),
        };
        if let Some(row) = train.iter().find(|&&row| row >= known) {
            return Err(Error::Fit(format!("row {} is not one of the {known} that are divided", row + 1)));
        }
        let keys = Philox::new(seed, SHARES);
        // Rounded first: a third of 30 is 10.000000000000002 in some of its spellings.
        let part = |size: usize| ((size as f64 * share * 1e6).round() / 1e6).ceil() as usize;
        let by_key = |mut rows: Vec<usize>| {
            rows.sort_by_cached_key(|&row| (keys.bits(row as u64), row));
            rows.truncate(part(rows.len()));
            rows
        };
        let mut taken: Vec<usize> = match self {
            Self::Random => by_key(train.to_vec()),
            Self::Strata(strata) => {
                let strata: Vec<u32> = train.iter().map(|&row| strata[row]).collect();
                let rows = |places: Vec<usize>| places.into_iter().map(|place| train[place]).collect();
                members(&strata).into_iter().flat_map(|places| by_key(rows(places))).collect()
            }
            Self::Groups(groups) => {
                let groups: Vec<u32> = train.iter().map(|&row| groups[row]).collect();
                let mut members = members(&groups);
                // A group's first row names it, whichever folds are left out.
                members.sort_by_cached_key(|places| (keys.bits(train[places[0]] as u64), places[0]));
                let (wanted, mut taken) = (part(train.len()), Vec::new());
                for places in members {
                    if taken.len() >= wanted {
                        break;
                    }
                    taken.extend(places.into_iter().map(|place| train[place]));
                }
                taken
            }
            Self::Time(times) => {
                let of_train: Vec<f64> = train.iter().map(|&row| times[row]).collect();
                let latest = in_order(&of_train).split_off(train.len() - part(train.len()));
                latest.into_iter().map(|place| train[place]).collect()
            }
        };
        taken.sort_unstable();
        Ok(taken)
    }

    /// The rows of each stratum.
    fn strata(&self, rows: usize) -> Result<Vec<Vec<usize>>> {
        let Self::Strata(strata) = self else { return Ok(vec![(0..rows).collect()]) };
        same("strata", rows, strata.len())?;
        Ok(members(strata))
    }
}

/// The times in a column, for [`Division::Time`]: numbers, or text that begins with a date such as 2024-05-31, which sorts as it
/// reads.
///
/// # Errors
/// When the column is not there, is text of another form, or lacks a time or holds an infinite one (names the row).
pub fn times(dataset: &Dataset, name: &str) -> Result<Vec<f64>> {
    const ACCEPTED: &str = "numbers and dates that begin like 2024-05-31 are accepted";
    let column = dataset.column(name)?;
    if let Column::Categorical { dictionary, .. } = column
        && let Some(text) = dictionary.iter().find(|text| !begins_with_a_date(text))
    {
        return Err(Error::column(name, format!("holds {text:?}, which does not tell a time; {ACCEPTED}")));
    }
    let time = |row| match column.cell(row) {
        x if x.is_finite() => Ok(x),
        x => {
            let found = if x.is_nan() { "missing".to_owned() } else { x.to_string() };
            Err(Error::cell(row, name, format!("the time is {found}; {ACCEPTED}")))
        }
    };
    (0..dataset.rows()).map(time).collect()
}

/// Whether text begins with year, month and day, four digits and two and two, as sorting by bytes needs it.
fn begins_with_a_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let fits =
        |(i, byte): (usize, &u8)| if [4, 7].contains(&i) { *byte == b'-' } else { byte.is_ascii_digit() };
    bytes.len() >= 10 && bytes.iter().take(10).enumerate().all(fits)
}

/// The places of each value, values by first appearance.
fn members(values: &[u32]) -> Vec<Vec<usize>> {
    let mut first: BTreeMap<u32, usize> = BTreeMap::new();
    let mut lists: Vec<Vec<usize>> = Vec::new();
    for (place, value) in values.iter().enumerate() {
        let list = *first.entry(*value).or_insert(lists.len());
        if list == lists.len() {
            lists.push(Vec::new());
        }
        lists[list].push(place);
    }
    lists
}

/// Places by time, those of one time as they stand.
fn in_order(times: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|&a, &b| times[a].total_cmp(&times[b]));
    order
}

/// Where one time ends and the next begins, the end of all included.
fn boundaries<'a>(order: &'a [usize], times: &'a [f64]) -> impl Iterator<Item = usize> + 'a {
    (1..=order.len()).filter(|&i| i == order.len() || times[order[i - 1]] != times[order[i]])
}

fn distinct(order: &[usize], times: &[f64]) -> usize {
    boundaries(order, times).count()
}

/// The ends of `count` blocks of about equal numbers of rows that tear no time; `None` when there are fewer times.
fn blocks(order: &[usize], times: &[f64], count: usize) -> Option<Vec<usize>> {
    let all: Vec<usize> = boundaries(order, times).collect();
    let mut ends = Vec::with_capacity(count);
    let mut from = 0;
    for block in 1..=count {
        // So many times must be left for the blocks behind.
        let last = all.len().checked_sub(count - block + 1).filter(|&last| last >= from)?;
        let wanted = (order.len() as u128 * block as u128 / count as u128) as usize;
        let at = (from + all[from..].partition_point(|&end| end < wanted)).min(last);
        ends.push(all[at]);
        from = at + 1;
    }
    Some(ends)
}

#[cfg(test)]
mod tests;
