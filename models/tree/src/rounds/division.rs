//! What chunks are told and asked about nodes, and what they know of them.

use super::sent::packed;
use crate::codes::{Code, Codes, of_codes};
use crate::constraints::Constraints;
use crate::grow::{Choice, Grower, Left};
use crate::parameters::DecisionTree;
use crate::table::BinnedTable;
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Range;
use tilewise_base::{Error, Result};
use tilewise_kernels::parallel::Scheme;
use tilewise_kernels::random::Philox;
use tilewise_kernels::tree::{Gradients, Packed, Rows, histogram, partition};

/// A division of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Division {
    pub(super) node: u32,
    pub(super) left: u32,
    pub(super) right: u32,
    pub(super) choice: Choice,
}

/// The digest of no divisions.
pub(super) const NONE: u64 = Philox::purpose("divisions of a tree");

/// The digest of divisions that follow others.
pub(super) fn digest(before: u64, divisions: &[Division]) -> u64 {
    divisions.iter().fold(before, |before, division| {
        let Division { node, left, right, choice } = division;
        let way = match choice.left {
            Left::UpTo(bin) => [0, bin as u64, 0, 0, 0],
            Left::Set([a, b, c, d]) => [1, a, b, c, d],
        };
        let links = [u64::from(*node), u64::from(*left), u64::from(*right), choice.feature as u64];
        let missing = choice.missing_left.map_or(2, u64::from);
        let words = links.into_iter().chain(way).chain([missing]);
        words.fold(before, |before, word| Philox::new(before, NONE).bits(word))
    })
}

/// A node of which something is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub(super) node: u32,
    /// Whether the histogram is wanted, and rows by bins.
    pub(super) cells: bool,
    pub(super) counts: bool,
}

impl Asked {
    /// The number of the node.
    pub fn node(&self) -> u32 {
        self.node
    }
}

/// The rows of a node in a chunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    pub(super) rows: u64,
    /// What is learned of one of them.
    pub(super) value: Option<i64>,
    pub(super) differ: bool,
    #[serde(with = "packed")]
    pub(super) cells: Vec<i64>,
    #[serde(with = "packed")]
    pub(super) counts: Vec<i64>,
}

impl Counted {
    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds those of another chunk.
    ///
    /// # Errors
    /// When something else was counted of them.
    pub fn add(&mut self, other: Self) -> Result<()> {
        if (self.cells.len(), self.counts.len()) != (other.cells.len(), other.counts.len()) {
            return Err(Error::Fit("chunks answered different requests".into()));
        }
        let two = self.value.zip(other.value).is_some_and(|(a, b)| a != b);
        self.differ |= other.differ || two;
        self.rows = self.rows.saturating_add(other.rows);
        self.value = self.value.or(other.value);
        self.cells.iter_mut().zip(other.cells).for_each(|(a, b)| *a = a.wrapping_add(b));
        self.counts.iter_mut().zip(other.counts).for_each(|(a, b)| *a = a.wrapping_add(b));
        Ok(())
    }
}

/// Which rows of a chunk belong to which node of a tree.
#[derive(Clone, Debug, Default)]
pub struct NodeRows {
    /// In the order of nodes.
    rows: Vec<u32>,
    places: HashMap<u32, Range<usize>>,
}

impl NodeRows {
    /// All of these rows in the root, which has number 0.
    pub fn new(rows: Vec<u32>) -> Self {
        let places = HashMap::from([(0, 0..rows.len())]);
        Self { rows, places }
    }

    fn place(&self, node: u32) -> Result<Range<usize>> {
        let place = self.places.get(&node).cloned();
        place.ok_or_else(|| Error::Fit(format!("a chunk was asked for node {node}, which it does not have")))
    }

    /// The rows of a node, whether it was divided or not.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn of(&self, node: u32) -> Result<&[u32]> {
        Ok(&self.rows[self.place(node)?])
    }

    /// Divides nodes, one after another.
    ///
    /// # Errors
    /// When there is no such node or column; some nodes may then be divided.
    pub fn divide(&mut self, table: &BinnedTable, divisions: &[Division]) -> Result<()> {
        for Division { node, left, right, choice } in divisions {
            // It keeps its place: in the end it may be a leaf, if it was divided ahead of its turn.
            let place = self.place(*node)?;
            if choice.feature >= table.features() {
                let what = format!("a chunk was asked to divide rows by column {}", choice.feature);
                return Err(Error::Fit(what));
            }
            let mut choice = *choice;
            if let (Left::Set(set), Some(left), true) =
                (&mut choice.left, choice.missing_left, table.missing[choice.feature])
            {
                // Rows that the tree does not grow on may lack a category where all that it grows on have one.
                let bin = table.count(choice.feature) - 1;
                // Columns of more bins than a set holds have no categories.
                if let Some(word) = set.get_mut(bin / 64) {
                    *word = *word & !(1 << (bin % 64)) | u64::from(left) << (bin % 64);
                }
            }
            let bins = choice.bins(table.missing[choice.feature]);
            let rows = &mut self.rows[place.clone()];
            let lefts = of_codes!(table.stored, codes => {
                partition(codes.columns(), choice.feature, rows, bins)
            })?;
            self.places.insert(*left, place.start..place.start + lefts);
            self.places.insert(*right, place.start + lefts..place.end);
        }
        Ok(())
    }
}

/// Counts these rows, those of a node. `ones`, where there are any, have a hessian of 1 for each row of the table.
pub(super) fn count<T: Target<Cell: super::sent::Sent>>(
    table: &BinnedTable,
    target: &T,
    tree: &DecisionTree,
    key: u64,
    rows: &[u32],
    asked: Asked,
    ones: Option<&[Packed]>,
) -> Result<Counted> {
    let answer = |&row: &u32| target.answer(target.value(row));
    let value = rows.first().map(answer);
    let differ = rows.iter().any(|row| Some(answer(row)) != value);
    let mut counted =
        Counted { rows: rows.len() as u64, value, differ, cells: Vec::new(), counts: Vec::new() };
    // A chunk sums; it chooses nothing. Of limits it looks at the columns of the tree alone.
    let limits = tree.limits(1, table.features(), true, Constraints::default(), key);
    if asked.cells {
        let cells = of_codes!(table.stored, codes => {
            Grower::new(table, codes, target, &limits, Scheme::Auto).histogram(rows)
        });
        counted.cells = super::sent::send(&cells?);
    }
    if asked.counts {
        let has = |feature: usize| limits.columns.has(feature);
        counted.counts = of_codes!(table.stored, codes => match ones {
            Some(ones) => counts_of(codes, ones, rows)?,
            None => by_columns(codes, rows, has),
        });
        for feature in (0..table.features()).filter(|&feature| !has(feature)) {
            counted.counts[table.offsets()[feature]..table.offsets()[feature + 1]].fill(0);
        }
    }
    Ok(counted)
}

/// The rows of each bin, by the kernel of histograms; `ones` has a hessian of 1 for each row of the table.
fn counts_of<B: Code>(codes: &Codes<B>, ones: &[Packed], rows: &[u32]) -> Result<Vec<i64>> {
    let mut cells = vec![Packed::default(); codes.columns().cells()];
    let mut rest = &mut cells[..];
    for tile in codes.tiles() {
        let (here, after) = rest.split_at_mut(tile.cells());
        rest = after;
        histogram(tile, &Rows::List(rows), Gradients::bounded(ones, 0), here)?;
    }
    Ok(cells.into_iter().map(|cell| cell.hessian().into()).collect())
}

/// The rows of each bin, column by column.
fn by_columns<B: Code>(codes: &Codes<B>, rows: &[u32], has: impl Fn(usize) -> bool) -> Vec<i64> {
    let columns = codes.columns();
    let mut all = vec![0; columns.cells()];
    for feature in (0..columns.features()).filter(|&feature| has(feature)) {
        let column = &columns.data()[feature * columns.rows()..][..columns.rows()];
        let counts = &mut all[columns.offsets()[feature]..];
        for &row in rows {
            let bin: usize = column[row as usize].into();
            counts[bin] += 1;
        }
    }
    all
}
