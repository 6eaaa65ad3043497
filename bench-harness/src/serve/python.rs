//! Environments of Python for the peers: one per list of packages in `python/`, made where it is not there.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the lists and the services are.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// Runs a command to its end.
///
/// # Errors
/// With the end of what it printed when it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let done = command.stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" | ");
    Err(Error::other(format!("{:?} failed: {last}", command.get_program())))
}

/// The programs of an environment with what `NAME.txt` lists.
///
/// # Errors
/// When it cannot be made, for instance because a package does not install.
pub(crate) fn environment(folder: &Path, name: &str) -> Result<PathBuf> {
    let environment = folder.join(name);
    let (list, done) = (scripts().join(format!("{name}.txt")), environment.join("installed"));
    let wanted = std::fs::read(&list)?;
    let programs = environment.join("bin");
    if std::fs::read(&done).is_ok_and(|there| there == wanted) {
        return Ok(programs);
    }
    let system = std::env::var_os("TILEWISE_PYTHON").unwrap_or_else(|| "python3".into());
    succeed(Command::new(system).args(["-m", "venv", "--clear"]).arg(&environment))?;
    succeed(Command::new(programs.join("python")).args(["-m", "pip", "install", "--quiet", "-r"]).arg(list))?;
    std::fs::write(done, wanted)?;
    Ok(programs)
}

/// The Python package, optimised, as an installed one would be; its folder.
pub(crate) fn package() -> Result<PathBuf> {
    let script = scripts().join("../../scripts/python-package");
    let done = Command::new(&script).arg("release").stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    match done.status.success() {
        true => Ok(PathBuf::from(String::from_utf8_lossy(&done.stdout).trim())),
        false => Err(Error::other(format!("{} failed", script.display()))),
    }
}
