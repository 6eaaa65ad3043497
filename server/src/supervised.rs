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
        let own = std::process::id();
        if let Ok(text) = fs::read_to_string(path)
            && let Some(other) = text.trim().parse::<u32>().ok().filter(|&other| other != own)
            && runs(other)
        {
            let what = format!("it holds the number of process {other}, which runs");
            return Err(refuse(format!("{what}; remove the file if that is no server of this address")));
        }
        // Renamed into place, so that nobody reads half of it.
        let fresh = path.with_extension(format!("{own}"));
        let written = fs::write(&fresh, format!("{own}\n")).and_then(|()| fs::rename(&fresh, path));
        written.map_err(|e| refuse(e.to_string()))?;
        let mut aside = path.to_owned().into_os_string();
        aside.push(".oldbin");
        Ok(Self { path: path.to_owned(), aside: aside.into() })
    }

    /// Lets a successor write its own: this one is called `.oldbin` for the time being, as with gunicorn and nginx.
    pub(crate) fn give_way(&self) {
        let _ = fs::rename(&self.path, &self.aside);
    }

    /// The successor has ended.
    pub(crate) fn come_back(&self) {
        let _ = fs::rename(&self.aside, &self.path);
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Not that of a successor.
        let own = std::process::id().to_string();
        for path in [&self.path, &self.aside] {
            if fs::read_to_string(path).is_ok_and(|text| text.trim() == own) {
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
