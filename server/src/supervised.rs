//! What programs that watch over the server want to know: a file with its process number, and systemd's notifications.

use crate::error::{Error, Result};
use rustix::process::{Pid, test_kill_process};
use std::fs;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

/// A file that holds this process's number; removed when dropped.
pub(crate) struct PidFile {
    path: PathBuf,
    /// What it is called while a successor has taken its place.
    aside: PathBuf,
}

impl PidFile {
    /// Writes it. One that a process left behind which is no more is replaced.
    ///
    /// # Errors
    /// When it holds the number of another process that runs, whoever wrote it; when it cannot be written.
    pub(crate) fn write(path: &Path) -> Result<Self> {
        let refuse = |what: String| Error::PidFile { path: path.to_owned(), what };
        if let Some(other) = number(path).filter(|_| is_of_another(path)) {
            let what = format!("it holds the number of process {other}, which runs");
            return Err(refuse(format!("{what}; remove the file if that is no server of this address")));
        }
        write(path).map_err(|e| refuse(e.to_string()))?;
        let mut aside = path.to_owned().into_os_string();
        aside.push(".oldbin");
        Ok(Self { path: path.to_owned(), aside: aside.into() })
    }

    /// Lets a successor write its own: this one is called `.oldbin` for the time being, as with gunicorn and nginx. Where our
    /// predecessor has not ended yet that is its file, which stays, and ours is gone for the time being.
    pub(crate) fn give_way(&self) {
        if number(&self.path) != Some(std::process::id()) {
            return;
        }
        let _ = match is_of_another(&self.aside) {
            true => fs::remove_file(&self.path),
            false => fs::rename(&self.path, &self.aside),
        };
    }

    /// The successor has ended. The file is ours again, unless a successor of the successor has it.
    pub(crate) fn come_back(&self) {
        if !is_of_another(&self.path) {
            let _ = write(&self.path);
        }
        if number(&self.aside) == Some(std::process::id()) {
            let _ = fs::remove_file(&self.aside);
        }
    }
}

/// The number that a file holds.
fn number(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether a file holds the number of another process that runs.
fn is_of_another(path: &Path) -> bool {
    number(path).is_some_and(|number| number != std::process::id() && runs(number))
}

/// Writes our number. Renamed into place, so that nobody reads half of it.
fn write(path: &Path) -> io::Result<()> {
    let own = std::process::id();
    let fresh = path.with_extension(format!("{own}"));
    fs::write(&fresh, format!("{own}\n")).and_then(|()| fs::rename(&fresh, path))
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Not that of a successor.
        for path in [&self.path, &self.aside] {
            if number(path) == Some(std::process::id()) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Whether there is a process of this number, whoever's it is.
fn runs(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    let asked = process.map(test_kill_process);
    matches!(asked, Some(Ok(()) | Err(rustix::io::Errno::PERM)))
}

/// Tells systemd how the service is, where `NOTIFY_SOCKET` names the socket to tell it to (sd_notify(3)).
pub(crate) fn notify(socket: Option<&Path>, state: &str) -> io::Result<()> {
    let Some(socket) = socket else { return Ok(()) };
    let address = match socket.as_os_str().as_bytes() {
        // A name that is no path.
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(socket),
    }?;
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_one_process_s() {
        let path = std::env::temp_dir().join(format!("tilewise-pid-{}", std::process::id()));
        fs::write(&path, "1\n").unwrap();
        let refused = PidFile::write(&path).map(drop).unwrap_err().to_string();
        // Process 1 runs, and has not written it.
        assert!(refused.contains("holds the number of process 1, which runs"), "{refused}");
        assert!(!refused.contains("written"), "{refused}");
        // Beyond the largest number that Linux gives.
        fs::write(&path, "4194305\n").unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        assert!(PidFile::write(Path::new("/nowhere/at/all")).is_err());
    }

    /// Process 1 is one that runs, and no process has this number: it is beyond the largest that Linux gives.
    const RUNS: &str = "1\n";
    const RAN: &str = "4194305\n";

    #[test]
    fn a_pid_file_outlives_successors() {
        let path = std::env::temp_dir().join(format!("tilewise-succession-{}", std::process::id()));
        let aside = path.with_extension("oldbin");
        let text = |path: &Path| fs::read_to_string(path).ok();
        let own = Some(format!("{}\n", std::process::id()));
        for file in [&path, &aside] {
            let _ = fs::remove_file(file);
        }
        let file = PidFile::write(&path).unwrap();
        // A successor that comes and goes, cleanly or not.
        for left in [None, Some(RAN)] {
            file.give_way();
            assert_eq!((text(&path), text(&aside)), (None, own.clone()));
            left.iter().for_each(|left| fs::write(&path, left).unwrap());
            file.come_back();
            assert_eq!((text(&path), text(&aside)), (own.clone(), None));
        }
        // A second one in a row: while our predecessor runs, .oldbin is its file.
        fs::write(&aside, RUNS).unwrap();
        file.give_way();
        assert_eq!((text(&path), text(&aside)), (None, Some(RUNS.into())));
        file.come_back();
        assert_eq!((text(&path), text(&aside)), (own.clone(), Some(RUNS.into())));
        fs::write(&aside, RAN).unwrap();
        file.give_way();
        assert_eq!((text(&path), text(&aside)), (None, own.clone()));
        // Our successor has ended, after it gave way to one of its own, whose file this is now.
        fs::write(&path, RUNS).unwrap();
        fs::write(&aside, RAN).unwrap();
        file.come_back();
        assert_eq!(text(&path), Some(RUNS.into()));
        drop(file);
        assert_eq!(text(&path), Some(RUNS.into()));
        for file in [&path, &aside] {
            fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn systemd_is_told() {
        let path = std::env::temp_dir().join(format!("tilewise-notify-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let name = format!("tilewise-notify-{}", std::process::id());
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.clone()),
            (
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
                PathBuf::from(format!("@{name}")),
            ),
        ];
        for (socket, place) in sockets {
            notify(Some(&place), "READY=1").unwrap();
            let mut buffer = [0; 64];
            let n = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..n], b"READY=1");
        }
        fs::remove_file(&path).unwrap();
        assert!(notify(Some(&path), "READY=1").is_err());
        assert!(notify(None, "READY=1").is_ok());
    }
}
