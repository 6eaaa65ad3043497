//! A file without a name that worker processes inherit and map.
//!
//! It has no name so that nothing is left when all who have it are gone, however they went. On Linux it is memory alone
//! (`memfd_create`), sealed once it is written: the system then refuses every change, and a file that cannot be sealed is an error. Elsewhere, or where the system has no
//! such files, it is made in the folder for temporary files and its name is removed before anything is written.

use crate::mapped::Mapped;
use crate::storage::{Storage, unnamed};
use crate::{Error, Result};
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

/// How errors call it.
const NAME: &str = "<memory shared with worker processes>";

/// A file without a name, whose bytes no longer change.
#[derive(Debug)]
pub struct SharedFile(File);

impl SharedFile {
    /// A new one that holds what `fill` writes.
    ///
    /// # Errors
    /// Those of `fill`, or when the system refuses.
    pub fn new(fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<Self> {
        match anonymous() {
            Ok(file) => Self::fill(file, true, fill),
            Err(_) => Self::in_folder(&std::env::temp_dir(), fill),
        }
    }

    /// As [`SharedFile::new`], on the disk where `storage` has a limit.
    ///
    /// # Errors
    /// As there.
    pub fn stored(storage: &Storage, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<Self> {
        match storage.folder() {
            Some(folder) => Self::in_folder(folder, fill),
            None => Self::new(fill),
        }
    }

    pub(crate) fn in_folder(
        folder: &Path,
        fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
    ) -> Result<Self> {
        Self::fill(unnamed(folder).map_err(|e| Error::io(folder, e))?, false, fill)
    }

    fn fill(
        file: File,
        is_memory: bool,
        fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
    ) -> Result<Self> {
        let mut to = BufWriter::new(file);
        fill(&mut to)?;
        to.flush().map_err(|e| Error::io(NAME, e))?;
        let file = to.into_inner().map_err(|e| Error::io(NAME, e.into_error()))?;
        if is_memory {
            seal(&file).map_err(|e| Error::io(NAME, e))?;
        }
        Ok(Self(file))
    }

    /// Its bytes, for this process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn map(&self) -> Result<Mapped> {
        open(self.number())
    }

    /// Its number, by which a process that inherited it opens it.
    pub(super) fn number(&self) -> u32 {
        self.0.as_raw_fd().unsigned_abs()
    }

    /// Runs `start`; a process that it starts inherits the file.
    pub(super) fn inherited<R>(&self, start: impl FnOnce() -> R) -> io::Result<R> {
        fcntl_setfd(&self.0, FdFlags::empty())?;
        let started = start();
        fcntl_setfd(&self.0, FdFlags::CLOEXEC)?;
        Ok(started)
    }
}

/// Maps the shared file that this process has under a number.
pub(super) fn open(number: u32) -> Result<Mapped> {
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let path = format!("{folder}/{number}");
    File::open(&path).and_then(|file| Mapped::new(&file)).map_err(|e| Error::io(path, e))
}

#[cfg(target_os = "linux")]
fn anonymous() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("tilewise", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into())
}

#[cfg(not(target_os = "linux"))]
fn anonymous() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Has the system refuse all changes of a file of [`anonymous`]; files of a folder cannot be sealed.
#[cfg(target_os = "linux")]
fn seal(file: &File) -> io::Result<()> {
    use rustix::fs::{SealFlags, fcntl_add_seals};
    Ok(fcntl_add_seals(file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?)
}

#[cfg(not(target_os = "linux"))]
fn seal(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_was_written_is_there_and_no_longer_changes() {
        let file = SharedFile::new(|to| to.write_all(b"columns").map_err(|e| Error::io(NAME, e))).unwrap();
        assert_eq!(&*file.map().unwrap(), b"columns");
        assert_eq!(file.0.metadata().unwrap().nlink(), 0);
        if cfg!(target_os = "linux") {
            assert!((&file.0).write_all(b"more").is_err() && file.0.set_len(3).is_err());
        }
    }

    #[test]
    fn a_file_of_the_folder_has_no_name_either() {
        let mut file = unnamed(&std::env::temp_dir()).unwrap();
        file.write_all(b"columns").unwrap();
        // It cannot be sealed, and an attempt says so.
        assert!(seal(&file).is_err());
        let shared = SharedFile(file);
        assert_eq!(&*shared.map().unwrap(), b"columns");
    }

    #[test]
    fn files_that_others_can_open_are_not_mapped() {
        let path = std::env::temp_dir().join(format!("tilewise-named-{}", std::process::id()));
        std::fs::write(&path, b"named").unwrap();
        let file = File::open(&path).unwrap();
        let message = open(file.as_raw_fd().unsigned_abs()).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(message.contains("has a name"), "{message}");
    }
}
