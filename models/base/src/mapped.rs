//! Memory mapped from a file: read where it lies, and shared by every process that maps it. The only unsafe code of this
//! crate.

use memmap2::{Mmap, MmapMut};
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use tilewise_kernels::tree::{Derivatives, Node, Packed};

/// The bytes of a file, or some of them. Clones share the mapping.
#[derive(Clone, Debug)]
pub struct Mapped {
    map: Arc<Mmap>,
    range: Range<usize>,
}

impl Mapped {
    /// Maps a file that has no name, from its first byte to its last.
    ///
    /// # Errors
    /// When the system refuses, or the file has a name, under which others could change it.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        unnamed(file)?;
        // SAFETY: what is mapped must not change. Checked here: the file has no name, so nobody can open it by one. Who
        // calls is the pool that made it (`pool/shared.rs`), which wrote it before anybody was given it, and its workers,
        // which open it to read alone. Memory (Linux) was sealed before that, or there would be no `SharedFile`: the system
        // refuses all later changes. A file of the folder for temporary files has no seals, and a worker does not ask for
        // them: there it rests on this crate, which writes no shared file after it is made.
        let map = unsafe { Mmap::map(file)? };
        let range = 0..map.len();
        Ok(Self { map: Arc::new(map), range })
    }

    /// Maps a file that stays where it is, and as it is: this user's or root's, which nobody may write to, as
    /// [`crate::replace::Replacement::commit_read_only`] makes them.
    ///
    /// # Errors
    /// When there is none, the system refuses, or the file can be written to: then it is not one of these, or no longer.
    pub(crate) fn read_only(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        if ![0, rustix::process::geteuid().as_raw()].contains(&about.uid()) {
            return Err(io::Error::other("is another user's; only this user's and root's files are mapped"));
        }
        if about.mode() & 0o222 != 0 {
            return Err(io::Error::other("can be written to; only read-only files are mapped (chmod a-w)"));
        }
        // SAFETY: what is mapped must not change. Nothing the system offers makes sure of that for a file with a name; it rests
        // on how such files are used. Whoever asks for a file to be mapped has taken away the permission to write to it, which says
        // that it stays as it is. This crate writes one aside, takes away the permission to write, and gives it its name by
        // `rename`, after which no code of this crate opens it to write: a file that takes its name later is another one, and
        // one that is removed stays as it is for whoever has mapped it. Who
        // gives himself the permission, has it as root, or opened the file before it was taken away, and changes the file while it is mapped breaks this, as who changes a library that a
        // program has loaded.
        let map = unsafe { Mmap::map(&file)? };
        let range = 0..map.len();
        Ok(Self { map: Arc::new(map), range })
    }

    /// These bytes as numbers, where they lie; `None` where they do not start at a multiple of what such numbers are aligned to, where
    /// a part of a number is left over, or on machines that keep numbers the other way round than files do.
    pub fn as_numbers<T: Plain>(&self) -> Option<&[T]> {
        let aligned = self.as_ptr().addr().is_multiple_of(align_of::<T>());
        let whole = self.len().is_multiple_of(size_of::<T>());
        (cfg!(target_endian = "little") && aligned && whole).then(|| numbers_of(self))
    }

    /// As [`as_numbers`](Self::as_numbers), to be kept.
    pub fn numbers<T: Plain>(self) -> Option<Numbers<T>> {
        self.as_numbers::<T>().is_some().then_some(Numbers(self, PhantomData))
    }

    /// Some of these bytes; `None` where they end earlier.
    pub fn part(&self, range: Range<usize>) -> Option<Self> {
        self.get(range.clone())?;
        let range = self.range.start + range.start..self.range.start + range.end;
        Some(Self { map: Arc::clone(&self.map), range })
    }
}

/// Bytes of a file as numbers, where they lie.
#[derive(Clone, Debug)]
pub struct Numbers<T>(Mapped, PhantomData<T>);

impl<T: Plain> AsRef<[T]> for Numbers<T> {
    fn as_ref(&self) -> &[T] {
        numbers_of(&self.0)
    }
}

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }
}

/// Refuses a file that has a name.
fn unnamed(file: &File) -> io::Result<()> {
    if file.metadata()?.nlink() > 0 {
        return Err(io::Error::other(
            "has a name, under which others could change it; one without is mapped",
        ));
    }
    Ok(())
}

/// Numbers that lie in files as they lie in memory.
///
/// # Safety
/// Any bytes must be a number, and all of its bytes must be set.
pub unsafe trait Plain: Copy + Debug + Default + PartialEq + Send + Sync + 'static {}

macro_rules! plain {
    ($($number:ty),*) => { $(
        // SAFETY: numbers have neither padding nor bytes that are none.
        unsafe impl Plain for $number {}
    )* };
}
plain!(u8, u16, u32, u64, i64, f32, f64);
// One 64-bit number, two of 32 bits one after the other, one of 64 bits and two of 32.
plain!(Packed, Derivatives, Node, [u64; 4]);

/// The bytes of numbers, where they lie.
pub(crate) fn bytes_of<T: Plain>(numbers: &[T]) -> &[u8] {
    // SAFETY: all bytes of plain numbers are set, and bytes lie anywhere.
    let (_, bytes, _) = unsafe { numbers.align_to::<u8>() };
    bytes
}

/// Numbers of a file that this process is filling.
#[derive(Debug)]
pub(crate) struct Filling<T>(MmapMut, PhantomData<T>);

impl<T: Plain> Filling<T> {
    /// Maps a file without a name, all of whose bytes must be there already: writing to a hole of a disk that is full ends the process.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        unnamed(file)?;
        // SAFETY: nobody else changes what is mapped. The file has no name, so nobody can open it by one, and who calls is `storage.rs`,
        // which made it, has given it to no other process, and maps it once.
        let map = unsafe { MmapMut::map_mut(file)? };
        Ok(Self(map, PhantomData))
    }

    /// As they are, for good.
    pub(crate) fn finish(self) -> io::Result<Filled<T>> {
        Ok(Filled(Arc::new(self.0.make_read_only()?), PhantomData))
    }
}

impl<T: Plain> Deref for Filling<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        numbers_of(&self.0)
    }
}

impl<T: Plain> DerefMut for Filling<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: any bytes are a plain number, and whatever is written to one leaves bytes. Pages start at multiples of any alignment.
        let (_, numbers, _) = unsafe { self.0.align_to_mut::<T>() };
        numbers
    }
}

/// Numbers of a file that this process has filled. Clones share the mapping.
#[derive(Clone, Debug)]
pub(crate) struct Filled<T>(Arc<Mmap>, PhantomData<T>);

impl<T: Plain> Filled<T> {
    /// Maps a file without a name that was written.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        unnamed(file)?;
        // SAFETY: as in `Filling::new`; `storage.rs` writes no more to it.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(Arc::new(map), PhantomData))
    }
}

impl<T: Plain> Deref for Filled<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        numbers_of(&self.0)
    }
}

/// The numbers of a mapping.
fn numbers_of<T: Plain>(map: &[u8]) -> &[T] {
    // SAFETY: any bytes are a plain number.
    let (_, numbers, _) = unsafe { map.align_to::<T>() };
    numbers
}
