//! Where what is as long as a table lies: in memory as far as a limit allows, and beyond it in files that are mapped.
//!
//! Columns, bins and design matrices are [`Array`]s, which read as slices wherever they lie. So whoever trains on them neither knows nor
//! computes anything else: the model has the same bits whatever the limit. What is mapped takes no memory of the process: the system
//! keeps of it what fits beside everything else, reads the rest again when it is needed, and reads ahead where pages follow each other.
//!
//! A file has no name, so nothing is left of it when the process ends, however it ends. Its bytes are reserved before they are written: a
//! disk that is full is an error, not a signal, but on file systems that write elsewhere what is written again (btrfs, ZFS).

use crate::mapped::{Filled, Filling, Plain, bytes_of};
use crate::{Error, Result};
use std::fs::File;
use std::io::{self, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Arrays of fewer bytes are in memory and are not counted: a page of each would be more than they are.
const SMALL: u64 = 16 << 10;

/// Bytes that texts of categories may take under any limit, however low.
const FEW_TEXTS: u64 = 1 << 20;

/// Where arrays are put. The default is memory without a limit.
#[derive(Clone, Debug, Default)]
pub struct Storage(Option<Arc<Limited>>);

#[derive(Debug)]
struct Limited {
    /// Bytes that arrays in memory may still take.
    left: AtomicU64,
    /// Bytes that the texts of a table's categories may take, which are always in memory.
    texts: u64,
    folder: PathBuf,
    /// Bytes that were put into files.
    in_files: AtomicU64,
}

impl Storage {
    /// Memory up to so many bytes, and then files in this folder.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn limited(bytes: u64, folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        unnamed(&folder).map_err(|e| Error::io(&folder, e))?;
        allow_files();
        let texts = (bytes / 2).max(FEW_TEXTS);
        Ok(Self(Some(Arc::new(Limited { left: bytes.into(), texts, folder, in_files: AtomicU64::new(0) }))))
    }

    /// Whether the folder of files is itself in memory, so that a limit saves nothing.
    pub fn files_are_in_memory(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Some(limited) = &self.0 {
            // Those of tmpfs and ramfs (linux/magic.h).
            const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];
            return rustix::fs::statfs(&limited.folder)
                .is_ok_and(|about| IN_MEMORY.iter().any(|kind| *kind as u64 == about.f_type as u64));
        }
        false
    }

    /// The folder of files, where there is a limit.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.0.as_ref().map(|limited| limited.folder.as_path())
    }

    /// Bytes that were put into files so far.
    pub fn in_files(&self) -> u64 {
        self.0.as_ref().map_or(0, |limited| limited.in_files.load(Ordering::Relaxed))
    }

    /// What counts the texts of a table's categories: beside a limit for arrays they may take half as much again, and 1 MiB at least.
    pub fn texts(&self) -> Texts {
        let most = self.0.as_ref().map_or(u64::MAX, |limited| limited.texts);
        Texts { most, taken: Arc::default() }
    }

    /// So many zeros, to be written.
    ///
    /// # Errors
    /// When a file is needed and the disk is full, or the system refuses.
    pub fn zeros<T: Plain>(&self, len: usize) -> Result<ArrayMut<T>> {
        let Some(limited) = &self.0 else { return Ok(ArrayMut(Being::Memory(zeros_in_memory(len)?, None))) };
        let bytes = bytes_in::<T>(len)?;
        if bytes < SMALL {
            return Ok(ArrayMut(Being::Memory(zeros_in_memory(len)?, None)));
        }
        if let Some(share) = Share::of(limited, bytes) {
            return Ok(ArrayMut(Being::Memory(zeros_in_memory(len)?, Some(share))));
        }
        let file = limited.file(bytes).and_then(|file| Filling::new(&file));
        let file = file.map_err(|e| limited.error(e))?;
        Ok(ArrayMut(Being::File { file, storage: self.clone() }))
    }

    /// An array that grows.
    pub fn grow<T: Plain>(&self) -> Growing<T> {
        let granted = if self.0.is_some() { SMALL as usize / size_of::<T>() } else { usize::MAX };
        Growing { at_hand: Vec::new(), granted, share: None, file: None, storage: self.clone() }
    }

    /// What a function makes of each element.
    ///
    /// # Errors
    /// As [`Storage::zeros`].
    pub fn map<T, U: Plain>(&self, array: &[T], f: impl Fn(&T) -> U) -> Result<Array<U>> {
        let mut to = self.zeros(array.len())?;
        to.iter_mut().zip(array).for_each(|(to, from)| *to = f(from));
        to.finish()
    }

    /// The elements at these places of `array`.
    ///
    /// # Errors
    /// As [`Storage::zeros`].
    ///
    /// # Panics
    /// When there is no such place.
    pub fn gather<T: Plain>(&self, array: &[T], places: &[usize]) -> Result<Array<T>> {
        let mut to = self.zeros(places.len())?;
        to.iter_mut().zip(places).for_each(|(to, &place)| *to = array[place]);
        to.finish()
    }
}

/// So many zeros. Whether they can be had is tried first: `vec!` gets pages that are zero already, without touching them, but ends the
/// process where there are none.
fn zeros_in_memory<T: Plain>(len: usize) -> Result<Vec<T>> {
    let tried = Vec::<T>::new().try_reserve_exact(len);
    tried.map_err(|e| Error::Fit(format!("there is no memory for an array of {len} numbers: {e}")))?;
    Ok(vec![T::default(); len])
}

fn bytes_in<T>(len: usize) -> Result<u64> {
    let bytes = len.checked_mul(size_of::<T>()).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or_else(|| Error::Fit(format!("an array of {len} numbers is more than can be addressed")))
}

impl Limited {
    /// A file without a name whose bytes are there.
    fn file(&self, bytes: u64) -> io::Result<File> {
        let file = unnamed(&self.folder)?;
        reserve(&file, bytes)?;
        self.in_files.fetch_add(bytes, Ordering::Relaxed);
        Ok(file)
    }

    fn error(&self, e: io::Error) -> Error {
        if e.kind() == io::ErrorKind::StorageFull {
            let what = "there is no space left for what the memory limit does not leave in memory; a higher limit or a folder on \
                        a larger disk is needed";
            return Error::io(&self.folder, io::Error::new(e.kind(), what));
        }
        if e.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
            let what = "too many files are open: while a table is read, each column that the memory limit does not leave in memory is \
                        one; a higher limit of memory, or of open files (ulimit -n), is needed";
            return Error::io(&self.folder, io::Error::new(e.kind(), what));
        }
        let what = format!(
            "what the memory limit does not leave in memory cannot be put into a file of this folder: {e}"
        );
        Error::io(&self.folder, io::Error::other(what))
    }
}

/// Lets this process open as many files as the system allows it: by default 1,024 on most, and a table may have more columns.
fn allow_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, opening one too many tells.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Makes so many zeros of a file that is empty.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::{Errno, retry_on_intr};
        match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, bytes)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(e) => return Err(e.into()),
            Ok(()) => return Ok(()),
        }
    }
    io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut { file }).map(|_| ())
}

/// A file of a folder whose name is gone.
pub(crate) fn unnamed(folder: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut tries = 0;
    loop {
        let name = format!("tilewise-{}-{:x}", std::process::id(), nanoseconds());
        let path = folder.join(name);
        match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return std::fs::remove_file(&path).map(|()| file),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < 100 => tries += 1,
            Err(e) => return Err(e),
        }
    }
}

/// Of the clock; for names that others do not have.
fn nanoseconds() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos())
}

/// Counts the texts of categories while a table is read. Clones count together.
#[derive(Clone, Debug)]
pub struct Texts {
    most: u64,
    taken: Arc<AtomicU64>,
}

impl Texts {
    /// Bytes that they may take.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Counts so many bytes more; whether they may be taken.
    pub fn take(&self, bytes: u64) -> bool {
        self.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.most
    }
}

/// A part of the memory that a storage may take; given back when it is dropped.
#[derive(Debug)]
struct Share {
    bytes: u64,
    of: Arc<Limited>,
}

impl Share {
    fn of(limited: &Arc<Limited>, bytes: u64) -> Option<Self> {
        let mut share = Self { bytes: 0, of: Arc::clone(limited) };
        share.grow(bytes).then_some(share)
    }

    /// Takes so many bytes more, if they are there.
    fn grow(&mut self, bytes: u64) -> bool {
        let left = |left: u64| left.checked_sub(bytes);
        let is_there = self.of.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok();
        self.bytes += if is_there { bytes } else { 0 };
        is_there
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Numbers that no longer change, wherever they lie. Clones of a vector are copies; those of a file, of a vector that counts against
/// a limit, and of what somebody else holds, share it.
#[derive(Clone)]
pub struct Array<T>(Lies<T>);

#[derive(Clone)]
enum Lies<T> {
    Memory(Vec<T>),
    Counted(Arc<(Vec<T>, Share)>),
    Shared(Arc<dyn AsRef<[T]> + Send + Sync>),
    File(Filled<T>),
}

impl<T> Array<T> {
    fn of_memory(numbers: Vec<T>, share: Option<Share>) -> Self {
        Self(match share {
            None => Lies::Memory(numbers),
            Some(share) => Lies::Counted(Arc::new((numbers, share))),
        })
    }
}

impl<T: Plain> Array<T> {
    /// Those that somebody else holds, where they are; the holder is kept for as long as this array or a clone of it is there, and must
    /// give the same numbers whenever it is asked.
    ///
    /// ```
    /// let array = tilewise_base::Array::shared(vec![1.5, 2.5]);
    /// assert_eq!(array, vec![1.5, 2.5]);
    /// ```
    pub fn shared(holder: impl AsRef<[T]> + Send + Sync + 'static) -> Self {
        Self(Lies::Shared(Arc::new(holder)))
    }

    /// Whether they lie in a file.
    pub fn is_in_file(&self) -> bool {
        matches!(self.0, Lies::File(_))
    }

    /// Them as a vector: themselves where that is what they are, else a copy.
    pub fn into_vec(self) -> Vec<T> {
        match self.0 {
            Lies::Memory(numbers) => numbers,
            _ => self.to_vec(),
        }
    }
}

impl<T: Plain> Deref for Array<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Lies::Memory(numbers) => numbers,
            Lies::Counted(counted) => &counted.0,
            Lies::Shared(holder) => (**holder).as_ref(),
            Lies::File(numbers) => numbers,
        }
    }
}

impl<T: Plain> std::fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Plain> PartialEq for Array<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Plain> PartialEq<Vec<T>> for Array<T> {
    fn eq(&self, other: &Vec<T>) -> bool {
        **self == **other
    }
}

impl<T: Plain> AsRef<[T]> for Array<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> From<Vec<T>> for Array<T> {
    fn from(numbers: Vec<T>) -> Self {
        Self(Lies::Memory(numbers))
    }
}

impl<T> FromIterator<T> for Array<T> {
    fn from_iter<I: IntoIterator<Item = T>>(numbers: I) -> Self {
        Vec::from_iter(numbers).into()
    }
}

impl<'a, T: Plain> IntoIterator for &'a Array<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// An array that is being written.
#[derive(Debug)]
pub struct ArrayMut<T>(Being<T>);

#[derive(Debug)]
enum Being<T> {
    Memory(Vec<T>, Option<Share>),
    File { file: Filling<T>, storage: Storage },
}

impl<T: Plain> ArrayMut<T> {
    /// As it is, for good.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn finish(self) -> Result<Array<T>> {
        match self.0 {
            Being::Memory(numbers, share) => Ok(Array::of_memory(numbers, share)),
            Being::File { file, storage } => {
                let filled = file.finish().map_err(|e| storage.error(e))?;
                Ok(Array(Lies::File(filled)))
            }
        }
    }
}

impl<T: Plain> Deref for ArrayMut<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match &self.0 {
            Being::Memory(numbers, _) => numbers,
            Being::File { file, .. } => file,
        }
    }
}

impl<T: Plain> DerefMut for ArrayMut<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Being::Memory(numbers, _) => numbers,
            Being::File { file, .. } => file,
        }
    }
}

impl Storage {
    fn error(&self, e: io::Error) -> Error {
        match &self.0 {
            Some(limited) => limited.error(e),
            None => Error::Fit(format!("an array could not be mapped: {e}")),
        }
    }
}

/// An array whose length is not known yet.
#[derive(Debug)]
pub struct Growing<T> {
    /// Those that are in memory: all of them, or those behind what is in the file.
    at_hand: Vec<T>,
    /// How many may be.
    granted: usize,
    share: Option<Share>,
    /// The file and how many are in it.
    file: Option<(File, usize)>,
    storage: Storage,
}

impl<T: Plain> Growing<T> {
    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.at_hand.len() + self.file.as_ref().map_or(0, |(_, len)| *len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a number.
    ///
    /// # Errors
    /// When a file is needed and the disk is full, or the system refuses.
    #[inline]
    pub fn push(&mut self, number: T) -> Result<()> {
        if self.at_hand.len() == self.granted {
            self.make_room()?;
        }
        self.at_hand.push(number);
        Ok(())
    }

    /// Appends numbers.
    ///
    /// # Errors
    /// As [`Growing::push`].
    pub fn extend_from_slice(&mut self, mut more: &[T]) -> Result<()> {
        while self.at_hand.len() + more.len() > self.granted {
            let (now, later) = more.split_at(self.granted - self.at_hand.len());
            self.at_hand.extend_from_slice(now);
            self.make_room()?;
            more = later;
        }
        self.at_hand.extend_from_slice(more);
        Ok(())
    }

    #[cold]
    fn make_room(&mut self) -> Result<()> {
        let Some(limited) = &self.storage.0 else { return Ok(()) };
        if self.file.is_none() {
            let held = self.share.as_ref().map_or(0, |share| share.bytes);
            // By halves: what is moved stays in proportion to what is there.
            let more = if held == 0 { 2 * SMALL } else { held / 2 };
            let is_granted = match &mut self.share {
                Some(share) => share.grow(more),
                None => {
                    self.share = Share::of(limited, more);
                    self.share.is_some()
                }
            };
            if is_granted {
                self.granted = (held + more) as usize / size_of::<T>();
                self.at_hand.reserve_exact(self.granted - self.at_hand.len());
                return Ok(());
            }
            self.file = Some((unnamed(&limited.folder).map_err(|e| limited.error(e))?, 0));
        }
        self.empty()?;
        self.share = None;
        self.granted = SMALL as usize / size_of::<T>();
        self.at_hand.shrink_to(self.granted);
        Ok(())
    }

    /// Writes what is at hand to the file, if there is one.
    fn empty(&mut self) -> Result<()> {
        if let (Some((file, len)), Some(limited)) = (&mut self.file, &self.storage.0) {
            file.write_all(bytes_of(&self.at_hand)).map_err(|e| limited.error(e))?;
            limited.in_files.fetch_add(size_of_val(&self.at_hand[..]) as u64, Ordering::Relaxed);
            *len += self.at_hand.len();
            self.at_hand.clear();
        }
        Ok(())
    }

    /// The array.
    ///
    /// # Errors
    /// When a disk is full, or the system refuses.
    pub fn finish(mut self) -> Result<Array<T>> {
        self.empty()?;
        match &self.file {
            Some((file, _)) => Ok(Array(Lies::File(Filled::new(file).map_err(|e| self.storage.error(e))?))),
            None => {
                let share = self.share.take();
                Ok(Array::of_memory(std::mem::take(&mut self.at_hand), share))
            }
        }
    }
}

#[cfg(test)]
mod tests;
