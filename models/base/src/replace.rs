//! Files that appear whole or not at all: written aside in the same folder, then renamed over the target.

use crate::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file in the making. Dropped without [`commit`](Self::commit), it leaves the target as it was.
///
/// A target that exists and is no regular file (a device, a pipe) is written directly.
pub struct Replacement {
    target: PathBuf,
    aside: Option<PathBuf>,
    to: Option<BufWriter<File>>,
}

impl Replacement {
    /// Starts a file that shall become `path`. A symbolic link is followed.
    ///
    /// # Errors
    /// When the folder does not exist or may not be written.
    pub fn new(path: &Path) -> Result<Self> {
        let failed = |e| Error::io(path, e);
        let target = match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => fs::canonicalize(path).map_err(failed)?,
            _ => path.to_owned(),
        };
        match fs::metadata(&target) {
            Ok(found) if found.is_dir() => {
                return Err(failed(io::Error::new(
                    io::ErrorKind::IsADirectory,
                    "is a folder; a file name is needed",
                )));
            }
            Ok(found) if !found.is_file() => {
                let to = OpenOptions::new().write(true).open(&target).map_err(failed)?;
                return Ok(Self { target, aside: None, to: Some(BufWriter::new(to)) });
            }
            _ => {}
        }
        let name = target.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".{}.{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
            let aside = folder(&target).join(hidden);
            match OpenOptions::new().write(true).create_new(true).open(&aside) {
                Ok(to) => return Ok(Self { target, aside: Some(aside), to: Some(BufWriter::new(to)) }),
                // Left by a process that was killed and had the number that this one has now.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }

    /// Puts what was written in the target's place, safely on disk.
    ///
    /// # Errors
    /// When the system refuses; the target is then as it was.
    pub fn commit(self) -> Result<()> {
        self.put(true)
    }

    /// As [`commit`](Self::commit), for files that can be made again: nobody may write to it any more, and the system may take its
    /// time to bring it to the disk.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_read_only(self) -> Result<()> {
        self.put(false)
    }

    fn put(mut self, lasts: bool) -> Result<()> {
        let failed = |e| Error::io(&self.target, e);
        let Some(to) = self.to.take() else { return Ok(()) };
        let file = to.into_inner().map_err(|e| failed(e.into_error()))?;
        let Some(aside) = &self.aside else { return Ok(()) };
        if lasts {
            file.sync_all().map_err(failed)?;
        }
        if !lasts {
            let mut permissions = file.metadata().map_err(failed)?.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(aside, permissions).map_err(failed)?;
        } else if let Ok(before) = fs::metadata(&self.target) {
            fs::set_permissions(aside, before.permissions()).map_err(failed)?;
        }
        drop(file);
        fs::rename(aside, &self.target).map_err(failed)?;
        self.aside = None;
        if !lasts {
            return Ok(());
        }
        // The rename itself lasts once the folder is on disk; not every file system can sync folders.
        if let Ok(folder) = File::open(folder(&self.target)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            Some(to) => to.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        self.to.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        self.to = None;
        if let Some(aside) = &self.aside {
            let _ = fs::remove_file(aside);
        }
    }
}

/// Makes `path` hold `bytes`, in one step.
///
/// # Errors
/// When the system refuses; the file is then as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Replacement::new(path)?;
    file.write_all(bytes).map_err(|e| Error::io(path, e))?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_changes_at_commit_only() {
        let folder = std::env::temp_dir().join(format!("tilewise-replace-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        write(&path, b"old").unwrap();
        let mut file = Replacement::new(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(file);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        // What a killed process of the same number left is in nobody's way.
        let left = |i: u64| folder.join(format!(".file.{}.{i}.tmp", std::process::id()));
        (0..20).for_each(|i| fs::write(left(i), b"left").unwrap());
        write(&path, b"newer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        (0..20).for_each(|i| fs::remove_file(left(i)).unwrap());
        let message = write(&folder.join("missing/file"), b"").unwrap_err().to_string();
        assert!(message.contains("missing"), "{message}");
        assert!(write(&folder, b"").is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
