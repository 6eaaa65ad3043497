//! The systems we compare with: how each is built or installed, and started.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A system.
pub(super) struct Peer {
    pub(super) name: &'static str,
    launch: Launch,
    /// The only kind of problem it takes part in; none for all.
    only: Option<&'static str>,
}

enum Launch {
    /// This program.
    Ours,
    /// A program of `bench-harness/peers`.
    Crate(&'static str),
    /// A shared library out of the comparison's Python environment: beginning of its file name, prefix of its symbols.
    Blas(&'static str, &'static str),
    /// A script of `bench-harness/python` and its argument.
    Python(&'static str, &'static str),
}

pub(super) const OURS: Peer = Peer { name: "tilewise", launch: Launch::Ours, only: None };

pub(super) const GEMM: &[Peer] = &[
    Peer { name: "MKL", launch: Launch::Blas("libmkl_rt.so", "-"), only: None },
    Peer { name: "OpenBLAS", launch: Launch::Blas("libscipy_openblas.so", "scipy_"), only: None },
    Peer { name: "gemm", launch: Launch::Crate("gemm"), only: None },
    Peer { name: "faer", launch: Launch::Crate("faer"), only: None },
    Peer { name: "matrixmultiply", launch: Launch::Crate("matrixmultiply"), only: None },
    Peer { name: "NumPy", launch: Launch::Python("numpy_peer.py", ""), only: None },
];

pub(super) const ADD: &[Peer] =
    &[Peer { name: "NumPy", launch: Launch::Python("numpy_peer.py", ""), only: None }];

pub(super) const LINEAR: &[Peer] = &[
    Peer { name: "scikit-learn", launch: Launch::Python("scikit_learn_peer.py", "lbfgs"), only: None },
    Peer {
        name: "scikit-learn newton-cholesky",
        launch: Launch::Python("scikit_learn_peer.py", "newton-cholesky"),
        only: Some("logistic"),
    },
];

/// Variables by which thread pools learn their size.
const THREAD_VARIABLES: [&str; 6] = [
    "TILEWISE_THREADS",
    "RAYON_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "MATMUL_NUM_THREADS",
];

/// Where a comparison keeps its things.
pub(super) struct Place {
    /// Operands and results.
    pub(super) folder: PathBuf,
    environment: PathBuf,
    programs: PathBuf,
}

/// The folder of the harness in the checkout that built it.
fn harness() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Peer {
    pub(super) fn takes(&self, kind: &str) -> bool {
        self.only.is_none_or(|only| only == kind)
    }
}

impl Place {
    /// Builds and installs what the peers need. What fails is added to `missing`; the peers concerned then do not start.
    pub(super) fn prepare(
        name: &str,
        peers: &[Peer],
        target: &Path,
        missing: &mut Vec<String>,
        hear: &mut impl FnMut(&str),
    ) -> io::Result<Self> {
        let folder = target.join("compare").join(name);
        let (environment, programs) = (folder.join("python"), target.join("peers"));
        fs::create_dir_all(&folder)?;
        let place = Self { folder, environment, programs };
        if peers.iter().any(|peer| matches!(peer.launch, Launch::Crate(_) | Launch::Blas(..))) {
            hear("building peers in Rust");
            note(missing, "the peers in Rust", place.build());
        }
        if peers.iter().any(|peer| matches!(peer.launch, Launch::Python(..) | Launch::Blas(..))) {
            hear("installing peers from PyPI");
            note(
                missing,
                "the peers from PyPI",
                place.install(&harness().join("python").join(format!("{name}.txt"))),
            );
        }
        Ok(place)
    }

    fn build(&self) -> io::Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = harness().join("peers/Cargo.toml");
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
        succeed(command.arg("--target-dir").arg(&self.programs))
    }

    /// Makes the environment anew whenever the requirements changed.
    fn install(&self, requirements: &Path) -> io::Result<()> {
        let (wanted, stamp) = (fs::read_to_string(requirements)?, self.environment.join("requirements.txt"));
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&self.environment))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        succeed(Command::new(self.python()).args(pip).arg(requirements))?;
        fs::write(stamp, wanted)
    }

    fn python(&self) -> PathBuf {
        self.environment.join("bin/python")
    }

    /// The command that starts a peer's worker.
    pub(super) fn command(&self, peer: &Peer, threads: usize, passive: bool) -> io::Result<Command> {
        let program = |name: &str| self.programs.join("release").join(name);
        let mut command = match peer.launch {
            Launch::Ours => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("worker");
                command
            }
            Launch::Crate(name) => Command::new(program(name)),
            Launch::Blas(file, prefix) => {
                let library = search(&self.environment, file).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::NotFound, format!("{file} is not installed"))
                })?;
                let mut command = Command::new(program("blas"));
                let name = if file.contains("mkl") { "mkl" } else { "openblas" };
                command.arg(&library).args([prefix, name]);
                // MKL finds its kernels and its OpenMP beside itself.
                command.env("LD_LIBRARY_PATH", library.parent().unwrap_or(&library));
                command
            }
            Launch::Python(script, argument) => {
                let mut command = Command::new(self.python());
                command.arg(harness().join("python").join(script));
                command.args((!argument.is_empty()).then_some(argument));
                command
            }
        };
        for name in THREAD_VARIABLES {
            command.env(name, threads.to_string());
        }
        if passive {
            command.env("OMP_WAIT_POLICY", "passive").env("KMP_BLOCKTIME", "0");
        }
        Ok(command)
    }
}

fn note(missing: &mut Vec<String>, what: &str, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        missing.push(format!("{what}: {error}"));
    }
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("preparing failed with {status}"))) }
}

/// The first file below `folder` whose name begins with `start`.
fn search(folder: &Path, start: &str) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let named =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    let here = entries.iter().find(|path| path.is_file() && named(path)).cloned();
    here.or_else(|| {
        // Not through links: `lib64` may point at `lib`, and a loop has no end.
        entries.iter().filter(|path| path.is_dir() && !path.is_symlink()).find_map(|path| search(path, start))
    })
}
