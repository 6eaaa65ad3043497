//! Memory mapped from a file: read where it lies, and shared by every process that maps it. The only unsafe code of this
//! crate.

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use tilewise_kernels::tree::Memory;

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
        if file.metadata()?.nlink() > 0 {
            return Err(io::Error::other(
                "has a name, under which others could change it; one without is mapped",
            ));
        }
        // SAFETY: what is mapped must not change. Checked here: the file has no name, so nobody can open it by one. Who
        // calls is the pool that made it (`pool/shared.rs`), which wrote it before anybody was given it, and its workers,
        // which open it to read alone. Memory (Linux) was sealed before that, or there would be no `SharedFile`: the system
        // refuses all later changes. A file of the folder for temporary files has no seals, and a worker does not ask for
        // them: there it rests on this crate, which writes no shared file after it is made.
        let map = unsafe { Mmap::map(file)? };
        let range = 0..map.len();
        Ok(Self { map: Arc::new(map), range })
    }

    /// Some of these bytes; `None` where they end earlier.
    pub fn part(&self, range: Range<usize>) -> Option<Self> {
        self.get(range.clone())?;
        let range = self.range.start + range.start..self.range.start + range.end;
        Some(Self { map: Arc::clone(&self.map), range })
    }

    /// These bytes as numbers of two bytes each; `None` where they do not start at an even address, where half a number is left
    /// over, or on machines that keep numbers the other way round than files do.
    pub fn two_byte_numbers(self) -> Option<TwoByteNumbers> {
        let start = self.as_ptr().addr();
        let fits = start.is_multiple_of(align_of::<u16>()) && self.len().is_multiple_of(size_of::<u16>());
        (cfg!(target_endian = "little") && fits).then_some(TwoByteNumbers(self))
    }
}

/// Bytes of a file as numbers of two bytes each, where they lie.
#[derive(Clone, Debug)]
pub struct TwoByteNumbers(Mapped);

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }
}

// SAFETY: a mapping does not move, and what is mapped does not change (see `Mapped::new`).
unsafe impl Memory<u8> for Mapped {
    fn all(&self) -> &[u8] {
        self
    }
}

// SAFETY: as above.
unsafe impl Memory<u16> for TwoByteNumbers {
    fn all(&self) -> &[u16] {
        // SAFETY: any two bytes are a number.
        let (_, numbers, _) = unsafe { self.0.align_to::<u16>() };
        numbers
    }
}
