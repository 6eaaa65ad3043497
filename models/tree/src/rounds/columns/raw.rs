//! Rows that are not binned yet.

use super::{Columns, Counts, Kind, Told};
use crate::cuts;
use crate::table::{Cells, Feature};
use crate::weights::{self, Weights};
use std::borrow::Cow;
use tilewise_base::{Column, Error, Result};
use tilewise_kernels::{Float, MatRef, same};

/// Rows of their own: cells, weights, and the number that the first of them has in the source.
pub struct RawChunk<'a> {
    pub(super) columns: Vec<Raw<'a>>,
    pub(super) weights: Option<&'a [f64]>,
    pub(super) rows: usize,
    first: u64,
}

pub(super) struct Raw<'a> {
    pub(super) cells: Cells<'a>,
    /// What the codes of categories stand for, where chunks have dictionaries of their own.
    pub(super) dictionary: Option<&'a [String]>,
}

impl<'a> RawChunk<'a> {
    /// Rows of these columns; codes of categories mean the same in all chunks. `first` is the number of their first row.
    ///
    /// # Errors
    /// When lengths differ.
    pub fn new(features: &[Feature<'a>], weights: Option<&'a [f64]>, first: u64) -> Result<Self> {
        let raw = |&feature: &Feature<'a>| Raw { cells: feature.into(), dictionary: None };
        Self::of(features.iter().map(raw).collect(), weights, first)
    }

    /// Rows of a matrix of numbers.
    ///
    /// # Errors
    /// When there are not as many weights as rows.
    pub fn of_matrix<T: Float>(x: MatRef<'a, T>, weights: Option<&'a [f64]>, first: u64) -> Result<Self> {
        let raw = |column| Raw { cells: Cells::of_matrix(x, column), dictionary: None };
        Self::of((0..x.cols()).map(raw).collect(), weights, first)
    }

    /// Rows of a table whose dictionaries hold what its own rows have.
    ///
    /// # Errors
    /// When lengths differ.
    pub fn of_columns(columns: &[&'a Column], weights: Option<&'a [f64]>, first: u64) -> Result<Self> {
        let raw = |&column: &&'a Column| {
            let dictionary = match column {
                Column::Categorical { dictionary, .. } => Some(&dictionary[..]),
                _ => None,
            };
            Raw { cells: column.into(), dictionary }
        };
        Self::of(columns.iter().map(raw).collect(), weights, first)
    }

    fn of(columns: Vec<Raw<'a>>, weights: Option<&'a [f64]>, first: u64) -> Result<Self> {
        let rows = columns.first().map_or(0, |column| column.cells.len());
        columns.iter().try_for_each(|column| same("cells of a column", rows, column.cells.len()))?;
        if let Some(weights) = weights {
            same("weights", rows, weights.len())?;
        }
        Ok(Self { columns, weights, rows, first })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of the first row.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Weights as integers, if not all weights of all chunks are 1.
    pub(super) fn weights(&self, exponent: Option<i32>) -> Weights {
        match (exponent, self.weights) {
            (None, _) => Weights { values: None, unit: 1.0, total: self.rows as u64 },
            (Some(exponent), Some(weights)) => Weights::scaled(weights, exponent),
            (Some(exponent), None) => Weights::scaled(&vec![1.0; self.rows], exponent),
        }
    }

    pub(super) fn told(&self) -> Told {
        let kind = |column: &Raw<'_>| match (&column.cells, column.dictionary) {
            (Cells::Numbers(_), _) => Kind::Numbers,
            (Cells::Codes { .. }, Some(dictionary)) => Kind::Texts(dictionary.to_vec()),
            (Cells::Codes { levels, .. }, None) => Kind::Codes(*levels),
        };
        let weights = self.weights.unwrap_or_default();
        let wrong = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0));
        let wrong = wrong.map(|row| (self.first + row as u64, weights[row]));
        let weighed = wrong.is_none() && weights.iter().any(|&w| w != 1.0);
        Told {
            rows: self.rows as u64,
            kinds: self.columns.iter().map(kind).collect(),
            wrong,
            weighed,
            largest: match self.weights {
                None if self.rows > 0 => 1.0,
                _ => weights.iter().fold(0.0, |a: f64, &w| a.max(w)),
            },
            whole: if weighed { weights::whole(weights) } else { 0 },
        }
    }

    pub(super) fn column(
        &self,
        place: usize,
        asked: &Columns,
        weights: &Weights,
        counted: &[u32],
    ) -> Result<Counts> {
        let column =
            self.columns.get(place).ok_or_else(|| Error::Fit(format!("a chunk has no column {place}")))?;
        let numbers = match &column.cells {
            Cells::Numbers(numbers) => numbers,
            Cells::Codes { codes, levels } => {
                let places = asked.dictionaries.get(place - asked.columns.start).and_then(Option::as_deref);
                let mut counts = vec![0_u64; places.map_or(*levels, <[String]>::len)];
                let codes = self.codes_in(codes, column.dictionary, places)?;
                let mut missing = false;
                for &row in counted {
                    match counts.get_mut(codes[row as usize] as usize) {
                        Some(count) => *count += u64::from(weights.get(row as usize)),
                        None => missing = true,
                    }
                }
                return Ok(Counts::Categories { counts, missing });
            }
        };
        let sample = asked.sample.map(|sample| sample.of(counted, self.first));
        let rows = sample.as_deref().unwrap_or(counted);
        let mut values = vec![0.0; rows.len()];
        numbers.take(rows, &mut values);
        let mut distinct = match &weights.values {
            None => cuts::unweighted(values),
            Some(weights) => {
                cuts::weighted(values.into_iter().zip(rows.iter().map(|&row| weights[row as usize])))
            }
        };
        let most = asked.most;
        let all = asked.sample.filter(|_| distinct.len() <= most).and_then(|_| {
            let known = distinct.iter().map(|&(x, _)| x).collect();
            cuts::completed(known, most, &mut |see| numbers.each(counted, see))
        });
        if asked.exact {
            // One that is too much is enough to refuse them.
            distinct.truncate(most + 1);
        }
        let mut missing = false;
        numbers.each(counted, &mut |x| {
            missing = x.is_nan();
            missing
        });
        Ok(Counts::Numbers { distinct, all, missing })
    }

    /// Codes of the dictionary of all chunks.
    pub(super) fn codes_in<'c>(
        &self,
        codes: &'c [u32],
        own: Option<&[String]>,
        all: Option<&[String]>,
    ) -> Result<Cow<'c, [u32]>> {
        let (Some(own), Some(all)) = (own, all) else { return Ok(Cow::Borrowed(codes)) };
        let place = |text: &String| {
            let place = all.binary_search(text).map(|place| place as u32);
            place.map_err(|_| Error::Fit(format!("a chunk has category {text:?}, which it had not before")))
        };
        let places = own.iter().map(place).collect::<Result<Vec<u32>>>()?;
        Ok(codes.iter().map(|&code| places.get(code as usize).copied().unwrap_or(u32::MAX)).collect())
    }
}
