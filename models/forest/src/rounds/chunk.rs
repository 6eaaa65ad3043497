//! Rows of a chunk, and what is remembered of the trees of a batch.

use super::TREES;
use super::{Answer, Ask, Begun, Draws, ForestRequest, Setup, Step};
use crate::out_of_bag::words_of_rows;
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use tilewise_base::{Error, Result};
use tilewise_kernels::{parallel, same};
use tilewise_tree::rounds::{BundledRows, Counted};
use tilewise_tree::{Answers, BinnedTable};

/// Rows that a tree draws at most: as many as a table has.
const MOST_DRAWS: u64 = (1 << 31) - 1;

/// Rows of their own, and what is learned of them.
pub struct ForestChunk<'a> {
    table: Cow<'a, BinnedTable>,
    answers: Cow<'a, Answers>,
    /// The number of the first row.
    first: u64,
    cache: Mutex<Option<Cache>>,
}

struct Cache {
    label: u64,
    /// The number of the first tree of the batch.
    first: u32,
    trees: Vec<BundledRows>,
}

impl ForestChunk<'static> {
    /// As [`new`](Self::new), of rows that are the chunk's own.
    ///
    /// # Errors
    /// As there.
    pub fn owned(table: BinnedTable, answers: Answers, first: u64) -> Result<Self> {
        Self::of(Cow::Owned(table), Cow::Owned(answers), first)
    }
}

impl<'a> ForestChunk<'a> {
    /// The rows of this table, whose first is number `first` of all.
    ///
    /// # Errors
    /// When lengths differ, there are several targets, a number is not finite, or a class is not below their number.
    pub fn new(table: &'a BinnedTable, answers: &'a Answers, first: u64) -> Result<Self> {
        Self::of(Cow::Borrowed(table), Cow::Borrowed(answers), first)
    }

    fn of(table: Cow<'a, BinnedTable>, answers: Cow<'a, Answers>, first: u64) -> Result<Self> {
        same("targets against rows", table.rows(), answers.len())?;
        let row = |row: u32| first as usize + row as usize;
        match &*answers {
            Answers::Outputs(_) => {
                return Err(Error::Fit("in rounds a forest learns one target; there are several".into()));
            }
            Answers::Classes { y, classes } => {
                if let Some(&at) = table.counted().iter().find(|&&row| y[row as usize] as usize >= *classes) {
                    let what = format!("class {} is not one of {classes}", y[at as usize]);
                    return Err(Error::cell(row(at), "target", what));
                }
            }
            Answers::Numbers(y) => {
                if let Some(&at) = table.counted().iter().find(|&&row| !y[row as usize].is_finite()) {
                    let what = format!("{} is not a finite number", y[at as usize]);
                    return Err(Error::cell(row(at), "target", what));
                }
            }
        }
        Ok(Self { table, answers, first, cache: Mutex::new(None) })
    }

    /// Forgets what it remembers, as if it had been read again elsewhere.
    pub fn forget(&self) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn classes(&self) -> Option<usize> {
        match &*self.answers {
            Answers::Classes { classes, .. } => Some(*classes),
            _ => None,
        }
    }

    fn begun(&self) -> Result<Begun> {
        let counted = self.table.counted();
        let weight = self.table.weight_of(counted);
        Ok(Begun {
            places: vec![(self.first, self.table.rows() as u64, counted.len() as u64, weight)],
            classes: self.classes(),
            ones: counted.iter().all(|&row| self.table.weight(row as usize) == 1.0),
            fingerprint: self.table.fingerprint_of_rows(&self.answers, self.first)?,
        })
    }

    /// How often a tree gets each row.
    fn counts(&self, seed: u64, tree: u32, draws: &Draws) -> Result<Vec<u32>> {
        let counted = self.table.counted();
        let mut counts = vec![0; self.table.rows()];
        if counted.is_empty() {
            return Ok(counts);
        }
        let before = draws.before.iter().find(|(first, ..)| *first == self.first);
        let unknown =
            || Error::Fit(format!("a chunk whose first row is {} was not there before", self.first));
        let &(_, start, mut weight) = before.ok_or_else(unknown)?;
        let end = start
            .checked_add(counted.len() as u64)
            .filter(|end| *end <= draws.counted)
            .ok_or_else(unknown)?;
        // The weight of all rows up to each, in draws of all.
        let least = weight * draws.scale;
        let sums: Vec<f64> = if draws.equal {
            Vec::new()
        } else {
            let running = |&row: &u32| {
                weight += self.table.weight(row as usize);
                weight * draws.scale
            };
            counted.iter().map(running).collect()
        };
        words_of_rows(seed, tree, draws.count, |bits| {
            if draws.equal {
                let place = ((u128::from(bits) * u128::from(draws.all)) >> 64) as u64;
                if (start..end).contains(&place) {
                    counts[counted[(place - start) as usize] as usize] += 1;
                }
                return;
            }
            let at = (bits >> 11) as f64 / (1_u64 << 53) as f64 * draws.all as f64;
            let place = sums.partition_point(|sum| *sum <= at);
            let is_last = end == draws.counted;
            if (start == 0 || least <= at) && (place < counted.len() || is_last) {
                counts[counted[place.min(counted.len() - 1)] as usize] += 1;
            }
        });
        Ok(counts)
    }

    pub(super) fn answer(&self, request: &ForestRequest) -> Result<Answer> {
        let ForestRequest { setup, before, after, steps, ask } = request;
        if self.classes() != setup.classes {
            return Ok(Answer::Failed("a chunk has other classes than are to be learned".into()));
        }
        if matches!(ask, Ask::Begin) {
            return Ok(Answer::Begun(self.begun()?));
        }
        let mut kept = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // A chunk that was asked the same before has taken these steps already; one that fails half way remembers nothing.
        let mut cache = match kept.take() {
            Some(cache) if cache.label == *after => cache,
            Some(cache) if Some(cache.label) == *before => self.stepped(Some(cache), steps, setup)?,
            _ if before.is_none() => self.stepped(None, steps, setup)?,
            other => {
                *kept = other;
                return Ok(Answer::Missed);
            }
        };
        cache.label = *after;
        let answer = self.answered(&cache, ask, setup)?;
        *kept = Some(cache);
        Ok(answer)
    }

    fn stepped(&self, mut cache: Option<Cache>, steps: &[Step], setup: &Setup) -> Result<Cache> {
        let nothing = || Error::Fit("a chunk was told steps that follow none".into());
        for step in steps {
            match step {
                Step::Draw { trees, draws } => {
                    if trees.len() > TREES || draws.as_ref().is_some_and(|draws| draws.count > MOST_DRAWS) {
                        return Err(Error::Fit(
                            "a chunk was asked to draw more rows than a forest draws".into(),
                        ));
                    }
                    let numbers: Vec<u32> = trees.clone().collect();
                    let draw = |i: usize| {
                        let counts = draws.as_ref().map(|draws| self.counts(setup.seed, numbers[i], draws));
                        BundledRows::new(
                            &self.table,
                            counts.transpose()?,
                            draws.as_ref().map_or(0, |draws| draws.count),
                        )
                    };
                    let trees = parallel::map(numbers.len(), draw).into_iter().collect::<Result<_>>()?;
                    cache = Some(Cache { label: 0, first: numbers.first().copied().unwrap_or(0), trees });
                }
                Step::Learn { learns, total } => {
                    let trees = &mut cache.as_mut().ok_or_else(nothing)?.trees;
                    same("what trees learn", trees.len(), learns.len())?;
                    for (tree, &learns) in trees.iter_mut().zip(learns) {
                        tree.learn(&setup.tree, &self.answers, learns, *total)?;
                    }
                }
                Step::Divide { tree, divisions } => {
                    let trees = &mut cache.as_mut().ok_or_else(nothing)?.trees;
                    trees.get_mut(*tree as usize).ok_or_else(nothing)?.divide(&self.table, divisions)?;
                }
            }
        }
        cache.ok_or_else(nothing)
    }

    fn answered(&self, cache: &Cache, ask: &Ask, setup: &Setup) -> Result<Answer> {
        let nodes = match ask {
            Ask::Begin => return Ok(Answer::Begun(self.begun()?)),
            Ask::Ranges => {
                let range = |tree: &BundledRows| tree.range(&self.answers);
                return Ok(Answer::Ranges(cache.trees.iter().map(range).collect()));
            }
            Ask::Nodes(nodes) => nodes,
        };
        same("trees that are asked about", cache.trees.len(), nodes.len())?;
        let all: Vec<(usize, usize)> = nodes
            .iter()
            .enumerate()
            .flat_map(|(tree, asked)| (0..asked.len()).map(move |i| (tree, i)))
            .collect();
        let counted = parallel::map(all.len(), |i| -> Result<Counted> {
            let (tree, asked) = all[i];
            let key = setup.key(cache.first + tree as u32);
            cache.trees[tree].count(&self.table, (&setup.tree, key), nodes[tree][asked])
        });
        let mut counted = counted.into_iter();
        let of_tree = |asked: &Vec<_>| counted.by_ref().take(asked.len()).collect::<Result<Vec<Counted>>>();
        Ok(Answer::Nodes(nodes.iter().map(of_tree).collect::<Result<_>>()?))
    }
}
