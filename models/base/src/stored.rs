//! A table, or a piece of one, in a part file that stays where it is: what a worker of a cluster keeps of its partition.
//!
//! Rows come in once and are read round after round, also by processes that start later. What a trainer makes of them (a
//! design matrix, bins) is *derived*: a part file beside the table, named by what it was made with, so that whoever needs it
//! again maps it and whoever misses it makes it again.

use crate::mapped::Mapped;
use crate::part::{self, Number, Part};
use crate::pool::SharedFile;
use crate::replace::Replacement;
use crate::{Column, Dataset, Error, Flags, Result};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tilewise_kernels::parallel;
use xxhash_rust::xxh3::xxh3_128;

/// How the head of such a part calls it.
const KIND: &str = "table";

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    rows: u64,
    /// The number that the first row has in the source, where that is known.
    first: Option<u64>,
    columns: Vec<(String, Stored)>,
}

/// What a column is in the file; its section is called by its place.
#[derive(Debug, Serialize, Deserialize)]
enum Stored {
    F32,
    F64,
    Categorical(Vec<String>),
    Boolean,
}

/// What is kept in memory of a table, under a name.
type Kept = (u128, Arc<dyn Any + Send + Sync>);

/// A stored table that is open.
pub struct StoredTable {
    /// None where it is a part that has no name.
    path: Option<PathBuf>,
    hash: u128,
    header: Header,
    part: Part,
    /// Those of the part that it has.
    range: Range<usize>,
    /// What was asked for last: whoever needs another will not need this again.
    derived: Mutex<Option<(u128, Arc<Part>)>>,
    kept: Mutex<Option<Kept>>,
}

impl fmt::Debug for StoredTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredTable")
            .field("path", &self.path)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl StoredTable {
    /// Writes a table to `path`, in a folder that is the caller's own, and opens it. A file that was there is replaced.
    ///
    /// # Errors
    /// When the system refuses, as a full disk does.
    pub fn create(path: &Path, dataset: &Dataset) -> Result<Self> {
        Self::create_from(path, dataset, None)
    }

    fn create_from(path: &Path, dataset: &Dataset, first: Option<u64>) -> Result<Self> {
        let mut file = Replacement::new(path)?;
        Self::write_from(&mut file, dataset, first)?;
        file.commit_read_only()?;
        Self::open(path)
    }

    /// Writes a table, for [`of_rows`](Self::of_rows).
    ///
    /// # Errors
    /// When `to` fails.
    pub fn write(to: &mut impl Write, dataset: &Dataset) -> Result<()> {
        Self::write_from(to, dataset, None)
    }

    fn write_from(to: &mut impl Write, dataset: &Dataset, first: Option<u64>) -> Result<()> {
        let stored = |column: &Column| match column {
            Column::F32(_) => Stored::F32,
            Column::F64(_) => Stored::F64,
            Column::Categorical { dictionary, .. } => Stored::Categorical(dictionary.clone()),
            Column::Boolean(_) => Stored::Boolean,
        };
        let columns = dataset.names().iter().cloned().zip(dataset.columns().iter().map(stored)).collect();
        let header = Header { rows: dataset.rows() as u64, first, columns };
        let names: Vec<String> = (0..dataset.columns().len()).map(|j| j.to_string()).collect();
        let sections: Vec<Cow<'_, [u8]>> = dataset.columns().iter().map(bytes).collect();
        let sections: Vec<(&str, &[u8])> =
            names.iter().map(String::as_str).zip(sections.iter().map(|s| &**s)).collect();
        part::write(to, KIND, &header, &sections)
    }

    /// Rows of a part that [`write`](Self::write) wrote, as a table of their own, which has the number of its first row. What is derived
    /// of it has no name either, in the folder for temporary files, and its hash is 0.
    ///
    /// # Errors
    /// When the part is another, or has fewer rows.
    pub fn of_rows(part: Part, range: Range<usize>) -> Result<Self> {
        let header: Header = part.header(KIND)?;
        if range.start > range.end || range.end as u64 > header.rows {
            return Err(Error::Fit(format!("rows {range:?} are none of a table of {} rows", header.rows)));
        }
        let header = Header { rows: range.len() as u64, first: Some(range.start as u64), ..header };
        let (derived, kept) = (Mutex::default(), Mutex::default());
        Ok(Self { path: None, hash: 0, header, part, range, derived, kept })
    }

    /// As [`create`](Self::create), with rows sorted by the hash of their cells: the same rows are the same file in whatever order they
    /// come, as they do from a shuffle of a cluster. Takes the memory of a second table.
    ///
    /// # Errors
    /// As there.
    pub fn create_sorted(path: &Path, dataset: &Dataset) -> Result<Self> {
        Self::create(path, &dataset.take(&by_hash(dataset)))
    }

    /// As [`create`](Self::create), with rows in the order of the numbers that they have in the source, which the column `numbers` tells
    /// and which follow each other; that column is left out. `None` where they do not follow each other: other pieces have those between.
    /// Takes the memory of a second table.
    ///
    /// # Errors
    /// As there, when there is no such column, or a cell of it is no whole number of 0 or more that no other row has (it names the row).
    pub fn create_numbered(path: &Path, dataset: &Dataset, numbers: &str) -> Result<Option<Self>> {
        let order = by_number(dataset, numbers)?;
        let is_next = |pair: &[(u64, usize)]| pair[0].0 + 1 == pair[1].0;
        if !order.windows(2).all(is_next) {
            return Ok(None);
        }
        let others = dataset.names().iter().zip(dataset.columns()).filter(|(name, _)| *name != numbers);
        let others = Dataset::new(others.map(|(name, column)| (name.clone(), column.clone())).collect())?;
        let rows: Vec<usize> = order.iter().map(|&(_, row)| row).collect();
        Self::create_from(path, &others.take(&rows), order.first().map(|(number, _)| *number)).map(Some)
    }

    /// Opens what [`create`](Self::create) wrote. Reads every byte once, for the hash.
    ///
    /// # Errors
    /// When there is no such file, or it is not one.
    pub fn open(path: &Path) -> Result<Self> {
        let file = Mapped::read_only(path).map_err(|e| Error::io(path, e))?;
        let part = Part::new(&file)?;
        let header: Header = part.header(KIND)?;
        let hash = xxh3_128(&file);
        let (range, derived, kept) = (0..header.rows as usize, Mutex::default(), Mutex::default());
        Ok(Self { path: Some(path.to_owned()), hash, header, part, range, derived, kept })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.header.rows as usize
    }

    /// The number that the first row has in the source, where [`create_numbered`](Self::create_numbered) knew it.
    pub fn first(&self) -> Option<u64> {
        self.header.first
    }

    /// XXH3-128 of the file: the same rows in the same order have the same.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// The table, copied.
    ///
    /// # Errors
    /// When the file does not hold what its head says.
    pub fn dataset(&self) -> Result<Dataset> {
        let column = |(j, (name, stored)): (usize, &(String, Stored))| {
            let section = j.to_string();
            let column = match stored {
                Stored::F32 => Column::F32(self.part.numbers_of(&section, self.range.clone())?.into()),
                Stored::F64 => Column::F64(self.part.numbers_of(&section, self.range.clone())?.into()),
                Stored::Categorical(dictionary) => Column::Categorical {
                    codes: self.part.numbers_of(&section, self.range.clone())?.into(),
                    dictionary: dictionary.clone(),
                },
                Stored::Boolean => {
                    let section = self.part.section(&section)?;
                    let codes = section.get(self.range.clone()).unwrap_or_default();
                    Column::Boolean(Flags::of_codes(codes.to_vec().into()))
                }
            };
            if column.len() as u64 != self.header.rows {
                let what = format!("has {} cells in a file of {} rows", column.len(), self.header.rows);
                return Err(Error::column(name, what));
            }
            Ok((name.clone(), column))
        };
        Dataset::new(self.header.columns.iter().enumerate().map(column).collect::<Result<_>>()?)
    }

    /// What `make` writes of this table: the part file of this `name`, which tells all that it was made with. It is mapped where it
    /// is there, and else made. Two processes that make it at once make the same.
    ///
    /// # Errors
    /// Those of `make`, or when the system refuses.
    pub fn derived(
        &self,
        name: u128,
        make: impl FnOnce(&Dataset, &mut dyn Write) -> Result<()>,
    ) -> Result<Arc<Part>> {
        let mut last = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, part)) = last.as_ref().filter(|(known, _)| *known == name) {
            return Ok(Arc::clone(part));
        }
        let mapped = match &self.path {
            Some(path) => {
                let path = path.with_extension(format!("{name:032x}"));
                if !path.exists() {
                    let mut file = Replacement::new(&path)?;
                    make(&self.dataset()?, &mut file)?;
                    file.commit_read_only()?;
                }
                Mapped::read_only(&path).map_err(|e| Error::io(&path, e))?
            }
            None => {
                // The one before goes first.
                *last = None;
                SharedFile::in_folder(&std::env::temp_dir(), |to| make(&self.dataset()?, to))?.map()?
            }
        };
        let part = Arc::new(Part::new(&mapped)?);
        *last = Some((name, Arc::clone(&part)));
        Ok(part)
    }

    /// What `make` made of this table under this `name`, which tells all that it was made with: what this process keeps in memory until
    /// it is asked for another. `None` where it is not there and `make` makes nothing.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn kept<T: Any + Send + Sync>(
        &self,
        name: u128,
        make: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<Arc<T>>> {
        let mut last = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|(known, _)| *known == name).map(|(_, kept)| Arc::clone(kept));
        if let Some(kept) = known.and_then(|kept| kept.downcast().ok()) {
            return Ok(Some(kept));
        }
        // The one before goes first: both may be large.
        *last = None;
        let Some(made) = make()?.map(Arc::new) else { return Ok(None) };
        *last = Some((name, Arc::clone(&made) as Arc<dyn Any + Send + Sync>));
        Ok(Some(made))
    }
}

/// The numbers of rows, in the order of the hashes of their cells. Rows that are equal may stand in any order.
fn by_hash(dataset: &Dataset) -> Vec<usize> {
    /// Rows of a task.
    const TASK: usize = 4096;
    let hashes_of = |rows: Range<usize>| {
        let mut cells = Vec::with_capacity(8 * dataset.columns().len());
        let hash = |row: usize| {
            cells.clear();
            for column in dataset.columns() {
                match column {
                    Column::F32(x) => cells.extend(x[row].to_le_bytes()),
                    Column::F64(x) => cells.extend(x[row].to_le_bytes()),
                    Column::Categorical { codes, .. } => cells.extend(codes[row].to_le_bytes()),
                    Column::Boolean(x) => cells.push(Flags::code(x.get(row))),
                }
            }
            (xxh3_128(&cells), row)
        };
        rows.map(hash).collect::<Vec<_>>()
    };
    let rows = dataset.rows();
    let tasks = rows.div_ceil(TASK);
    let mut hashes =
        parallel::map(tasks, |task| hashes_of(task * TASK..rows.min((task + 1) * TASK))).concat();
    hashes.sort_unstable();
    hashes.into_iter().map(|(_, row)| row).collect()
}

/// The numbers that rows have in the source, ascending, each with its row.
fn by_number(dataset: &Dataset, numbers: &str) -> Result<Vec<(u64, usize)>> {
    /// Above it not every whole number is a number of 64 bits.
    const MOST: f64 = (1_u64 << 53) as f64;
    let column = dataset.column(numbers)?;
    if matches!(column, Column::Categorical { .. } | Column::Boolean(_)) {
        let what = format!("is {}; the numbers of rows are whole numbers", column.kind().name());
        return Err(Error::column(numbers, what));
    }
    let number = |row| {
        let cell = column.cell(row);
        if cell.fract() == 0.0 && (0.0..MOST).contains(&cell) {
            return Ok((cell as u64, row));
        }
        Err(Error::cell(row, numbers, format!("{cell} is not the number of a row: 0, 1 and so on are")))
    };
    let mut order = (0..dataset.rows()).map(number).collect::<Result<Vec<_>>>()?;
    order.sort_unstable();
    if let Some(pair) = order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let what = format!("{} is the number of another row too", pair[0].0);
        return Err(Error::cell(pair[1].1, numbers, what));
    }
    Ok(order)
}

/// The bytes of a column.
fn bytes(column: &Column) -> Cow<'_, [u8]> {
    match column {
        Column::F32(x) => f32::lying(x),
        Column::F64(x) => f64::lying(x),
        Column::Categorical { codes, .. } => u32::lying(codes),
        Column::Boolean(x) => x.iter().map(Flags::code).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MISSING_CODE;

    fn table() -> Dataset {
        let dictionary = vec!["a".to_owned(), "ü".to_owned()];
        let columns = [
            ("single", Column::F32(vec![0.1, f32::INFINITY, -0.0].into())),
            ("double", Column::F64(vec![0.1, f64::MIN, 5e-324].into())),
            ("text", Column::Categorical { codes: vec![1, MISSING_CODE, 0].into(), dictionary }),
            ("flag", Column::Boolean(vec![Some(false), None, Some(true)].into())),
        ];
        Dataset::new(columns.map(|(name, column)| (name.to_owned(), column)).to_vec()).unwrap()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tilewise-stored-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_was_stored_is_read_again_and_cannot_be_written_to() {
        let folder = folder("read");
        let path = folder.join("rows.part");
        let hash = StoredTable::create(&path, &table()).unwrap().hash();
        let stored = StoredTable::open(&path).unwrap();
        assert_eq!((stored.dataset().unwrap(), stored.rows(), stored.hash()), (table(), 3, hash));
        assert!(std::fs::metadata(&path).unwrap().permissions().readonly());
        // Other rows, or the same in another order, are another file, also in the same place; what is mapped stays.
        assert_ne!(StoredTable::create(&path, &table().take(&[1, 0, 2])).unwrap().hash(), hash);
        assert_eq!(stored.dataset().unwrap(), table());
        assert_eq!(StoredTable::create(&path, &table()).unwrap().hash(), hash);
        std::fs::write(folder.join("other"), b"TWPART01").unwrap();
        let message = StoredTable::open(&folder.join("other")).unwrap_err().to_string();
        assert!(message.contains("can be written to"), "{message}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn sorted_rows_are_one_file_in_any_order() {
        let folder = folder("sorted");
        let rows: Vec<f64> = (0..9000).map(|i| f64::from(i % 5000)).collect();
        let flags = rows.iter().map(|x| (x % 3.0 > 0.0).then_some(x % 2.0 > 0.0)).collect();
        let many =
            Dataset::new(vec![("x".into(), Column::F64(rows.into())), ("b".into(), Column::Boolean(flags))])
                .unwrap();
        let stored = StoredTable::create_sorted(&folder.join("a.part"), &many).unwrap();
        let turned: Vec<usize> = (0..9000).map(|i| (i * 7 + 11) % 9000).collect();
        let other = StoredTable::create_sorted(&folder.join("b.part"), &many.take(&turned)).unwrap();
        assert_eq!(stored.hash(), other.hash());
        assert_ne!(stored.hash(), StoredTable::create(&folder.join("c.part"), &many).unwrap().hash());
        // They are the same rows.
        let sorted = |table: &Dataset| {
            let mut rows: Vec<_> = (0..9000)
                .map(|i| table.columns().iter().map(|c| c.cell(i).to_bits()).collect::<Vec<_>>())
                .collect();
            rows.sort();
            rows
        };
        assert_eq!(sorted(&stored.dataset().unwrap()), sorted(&many));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn numbered_rows_stand_in_their_order_and_have_no_gaps() {
        let folder = folder("numbered");
        let of = |numbers: &[f64]| {
            let y = numbers.iter().map(|n| n * 10.0).collect();
            let columns =
                vec![("id".into(), Column::F64(numbers.to_vec().into())), ("y".into(), Column::F64(y))];
            StoredTable::create_numbered(&folder.join("rows.part"), &Dataset::new(columns).unwrap(), "id")
        };
        let stored = of(&[7.0, 5.0, 6.0]).unwrap().unwrap();
        assert_eq!((stored.first(), stored.rows()), (Some(5), 3));
        let ordered = Dataset::new(vec![("y".into(), Column::F64(vec![50.0, 60.0, 70.0].into()))]).unwrap();
        assert_eq!(stored.dataset().unwrap(), ordered);
        // Where they begin is part of what they are.
        let plain = StoredTable::create(&folder.join("plain.part"), &ordered).unwrap();
        assert!(plain.hash() != stored.hash() && plain.first().is_none());
        assert!(of(&[7.0, 5.0]).unwrap().is_none());
        for (numbers, row, told) in [
            (&[1.0, 2.0, 1.0][..], 2, "1 is the number of another row"),
            (&[0.0, 1.5], 1, "1.5"),
            (&[f64::NAN], 0, "NaN"),
            (&[-1.0], 0, "-1"),
        ] {
            match of(numbers) {
                Err(Error::Cell { row: at, column, what }) => {
                    assert!((at, &column[..]) == (row, "id") && what.contains(told), "{what}");
                }
                other => panic!("{other:?}"),
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn rows_of_a_part_are_a_table_of_their_own() {
        let file = SharedFile::new(|to| StoredTable::write(to, &table())).unwrap();
        let of = |rows: Range<usize>| StoredTable::of_rows(Part::new(&file.map()?)?, rows);
        for rows in [0..3, 1..3, 2..2] {
            let stored = of(rows.clone()).unwrap();
            assert_eq!((stored.first(), stored.rows()), (Some(rows.start as u64), rows.len()));
            assert_eq!(stored.dataset().unwrap(), table().take(&rows.collect::<Vec<_>>()));
        }
        assert!(of(2..4).is_err());
        let make = |table: &Dataset, mut to: &mut dyn Write| {
            part::write(&mut to, "rows", &(), &[("rows", &f64::bytes(&[table.rows() as f64]))])
        };
        assert_eq!(of(1..3).unwrap().derived(1, make).unwrap().numbers::<f64>("rows").unwrap(), [2.0]);
    }

    #[test]
    fn what_is_kept_is_made_once_until_another_is_asked_for() {
        let folder = folder("kept");
        let stored = StoredTable::create(&folder.join("rows.part"), &table()).unwrap();
        let kept = |name: u128, made: Option<u32>| stored.kept(name, || Ok(made)).unwrap().map(|kept| *kept);
        assert_eq!(
            [kept(1, None), kept(1, Some(7)), kept(1, Some(8)), kept(1, None)],
            [None, Some(7), Some(7), Some(7)]
        );
        assert_eq!([kept(2, Some(9)), kept(1, None)], [Some(9), None]);
        assert!(stored.kept::<u32>(3, || Err(Error::Cancelled)).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_derived_is_made_once_and_again_where_it_is_gone() {
        let folder = folder("derived");
        let path = folder.join("rows.part");
        let stored = StoredTable::create(&path, &table()).unwrap();
        let made = std::cell::Cell::new(0);
        let sums = |stored: &StoredTable, name: u128| {
            let make = |table: &Dataset, mut file: &mut dyn Write| {
                made.set(made.get() + 1);
                let rows = f64::bytes(&[table.rows() as f64, name as f64]);
                part::write(&mut file, "sums", &(), &[("rows", &rows)])
            };
            stored.derived(name, make).unwrap().numbers::<f64>("rows").unwrap()
        };
        assert_eq!((sums(&stored, 1), sums(&stored, 1), made.get()), (vec![3.0, 1.0], vec![3.0, 1.0], 1));
        assert_eq!((sums(&StoredTable::open(&path).unwrap(), 1), made.get()), (vec![3.0, 1.0], 1));
        assert_eq!((sums(&stored, 2), made.get()), (vec![3.0, 2.0], 2));
        // Whoever stored it removes it, with what was derived from it.
        for file in std::fs::read_dir(&folder).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        assert_eq!(stored.dataset().unwrap(), table());
        assert_eq!((sums(&stored, 1), made.get()), (vec![3.0, 1.0], 3));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
