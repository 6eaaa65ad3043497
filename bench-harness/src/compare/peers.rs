//! The systems we compare with: how each is built or installed, and started.

use super::linear;
use super::networks::{self, ANSWER, ANSWER_OF_IMAGES, EPOCH, EPOCH_OF_IMAGES};
use super::one_hot;
use super::sparse;
use super::trees::{OF_BINS, OF_FORESTS, OF_FULL_TREES, OF_ONE_TREE};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use tilewise_report::worker::Problem;

/// A system.
pub(super) struct Peer {
    pub(super) name: &'static str,
    launch: Launch,
    /// Whether it does such a problem at all; where it does not it is left out without a word.
    pub(super) takes: fn(&Problem) -> bool,
    /// Kinds of problems that it does not offer: it is left out of them and named.
    pub(super) lacks: &'static [&'static str],
    /// Whether the comparison means something without it.
    pub(super) required: bool,
    /// Whether it is another way of ours: it is shown, and nobody has to be ahead of it.
    pub(super) variant: bool,
    /// Vectors that it moves; others are then judged by its rate, and it solves nothing.
    pub(super) moves: Option<f64>,
}

enum Launch {
    /// This program, with a form to compute in, see [`work`](super::work).
    Ours(&'static str),
    /// A program of `bench-harness/peers`.
    Crate(&'static str),
    /// What memory gives, by the program `stream` of `bench-harness/peers`: the kind of loop.
    Stream(&'static str),
    /// A shared library and the program of `bench-harness/peers` that loads it.
    Library(Library, &'static str),
    /// A script of `bench-harness/python` and its argument.
    Python(&'static str, &'static str),
}

/// A shared library.
struct Library {
    /// What our program calls it.
    name: &'static str,
    /// Beginning of its file name.
    file: &'static str,
    /// Prefix of its symbols, or `-`.
    prefix: &'static str,
    /// Debian's packages that hold it; without any it lies in the comparison's Python environment.
    packages: &'static [&'static str],
    /// The variable and value that choose its AVX-512 code where it would not by itself, see [`overlooked`].
    avx512: Option<(&'static str, &'static str)>,
}

impl Peer {
    const fn new(name: &'static str, launch: Launch) -> Self {
        Self { name, launch, takes: |_| true, lacks: &[], required: false, variant: false, moves: None }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn variant(self) -> Self {
        Self { variant: true, ..self }
    }

    const fn taking(self, takes: fn(&Problem) -> bool) -> Self {
        Self { takes, ..self }
    }

    const fn lacking(self, lacks: &'static [&'static str]) -> Self {
        Self { lacks, ..self }
    }

    /// A loop that moves so many vectors for problems that write, or for those that only read.
    const fn stream(
        name: &'static str,
        which: &'static str,
        moves: f64,
        takes: fn(&Problem) -> bool,
    ) -> Self {
        Self { moves: Some(moves), takes, ..Self::new(name, Launch::Stream(which)) }
    }

    /// Whether it is asked to solve such a problem.
    pub(super) fn solves(&self, problem: &Problem) -> bool {
        (self.takes)(problem) && !self.lacks.contains(&problem.kind.as_str())
    }
}

pub(super) const OURS: Peer = Peer::new("tilewise", Launch::Ours(""));

const MKL: Library = Library { name: "mkl", file: "libmkl_rt.so", prefix: "-", packages: &[], avx512: None };
const OPENBLAS: Library = Library {
    name: "openblas",
    file: "libscipy_openblas.so",
    prefix: "scipy_",
    packages: &[],
    avx512: Some(("OPENBLAS_CORETYPE", "SkylakeX")),
};
const BLIS: Library = Library {
    name: "blis",
    file: "libblis.so",
    prefix: "-",
    packages: &["libblis4-openmp", "libgomp1"],
    // The number of its configuration `skx`.
    avx512: Some(("BLIS_ARCH_TYPE", "0")),
};
const NUMPY: Launch = Launch::Python("numpy_peer.py", "");

pub(super) const GEMM: &[Peer] = &[
    Peer::new("MKL", Launch::Library(MKL, "blas")).required(),
    Peer::new("OpenBLAS", Launch::Library(OPENBLAS, "blas")).required(),
    Peer::new("BLIS", Launch::Library(BLIS, "blas")),
    Peer::new("gemm", Launch::Crate("gemm")).required(),
    Peer::new("faer", Launch::Crate("faer")).required(),
    Peer::new("gemmkit", Launch::Crate("gemmkit")),
    Peer::new("rten-gemm", Launch::Crate("rten-gemm"))
        .taking(|problem| problem.element == "f32" && problem.layout.leading == 0),
    Peer::new("nano-gemm", Launch::Crate("nano-gemm"))
        .taking(|problem| problem.shape.iter().all(|&n| n <= NANO)),
    Peer::new("matrixmultiply", Launch::Crate("matrixmultiply")),
    Peer::new("NumPy", NUMPY),
];

/// The longest dimension of products that nano-gemm is made for.
const NANO: usize = 64;

pub(super) const PLAN: &[Peer] = &[Peer::new("nano-gemm", Launch::Crate("nano-gemm")).required()];

pub(super) const ADD: &[Peer] = &[Peer::new("NumPy", NUMPY)];

/// SLEEF's functions have no threads of their own: our program divides the elements.
const SLEEF: Library =
    Library { name: "sleef", file: "libsleef.so", prefix: "-", packages: &["libsleef3"], avx512: None };
const MKL_HIGH: Library = Library { name: "mkl_ha", ..MKL };
const MKL_LOW: Library = Library { name: "mkl_la", ..MKL };

pub(super) const VECMATH: &[Peer] = &[
    Peer::new("SLEEF u10", Launch::Library(SLEEF, "vecmath")).lacking(&["sigmoid"]).required(),
    Peer::new("MKL HA", Launch::Library(MKL_HIGH, "vecmath")).lacking(&["sigmoid"]).required(),
    Peer::new("MKL LA", Launch::Library(MKL_LOW, "vecmath")).lacking(&["sigmoid"]),
    Peer::new("NumPy", NUMPY).lacking(&["sigmoid", "erf"]),
];

pub(super) const VECTOR: &[Peer] = &[
    Peer::new("MKL", Launch::Library(MKL, "blas")).lacking(&["add", "sum"]).required(),
    Peer::new("OpenBLAS", Launch::Library(OPENBLAS, "blas")).lacking(&["add", "sum"]).required(),
    Peer::new("NumPy", NUMPY).lacking(&["axpy", "scale", "norm1"]),
    Peer::stream("stream: copy", "copy", 2.0, writes),
    Peer::stream("stream: triad", "triad", 3.0, writes),
    Peer::stream("stream: update", "update", 3.0, writes),
    Peer::stream("stream: read", "read", 1.0, reads),
];

pub(super) const HISTOGRAM: &[Peer] = &[
    Peer::new("f64 pairs, blocks", Launch::Ours("blocks")).required(),
    Peer::new("f64 pairs, one loop", Launch::Ours("loop")).required(),
];

/// Whether a problem of vectors too long for the caches writes one.
fn writes(problem: &Problem) -> bool {
    long(problem) && matches!(problem.kind.as_str(), "add" | "axpy" | "scale")
}

/// Whether it only reads.
fn reads(problem: &Problem) -> bool {
    long(problem) && !writes(problem)
}

fn long(problem: &Problem) -> bool {
    problem.shape.iter().all(|&n| n >= 1 << 22)
}

pub(super) const LINEAR: &[Peer] = &[
    Peer::new("scikit-learn", Launch::Python("scikit_learn_peer.py", "lbfgs"))
        .taking(|problem| !is_sparse(problem)),
    Peer::new("scikit-learn newton-cholesky", Launch::Python("scikit_learn_peer.py", "newton-cholesky"))
        .taking(|problem| problem.kind == "logistic"),
    // Of lasso and Poisson regression it has nothing of its own.
    Peer::new("scikit-learn-intelex", Launch::Python("scikit_learn_peer.py", "intelex"))
        .taking(|problem| is_dense(problem) && problem.kind != "lasso"),
    Peer::new("glum", Launch::Python("penalised_peer.py", "glum")).taking(|problem| {
        // Wide ones take it some hundred times as long.
        is_dense(problem) && problem.kind != "multinomial" && problem.shape[0] >= problem.shape[1]
            || problem.kind == one_hot::KIND
    }),
    Peer::new("skglm", Launch::Python("penalised_peer.py", "skglm"))
        .taking(|problem| problem.kind == "lasso"),
    Peer::new("celer", Launch::Python("penalised_peer.py", "celer"))
        .taking(|problem| problem.kind == "lasso"),
    Peer::new("statsmodels", Launch::Python("penalised_peer.py", "statsmodels"))
        .taking(|problem| problem.kind == "least_squares"),
    Peer::new("linfa", Launch::Crate("linfa-linear"))
        .taking(|problem| is_dense(problem) && cells(problem) <= OF_CRATES),
    Peer::new("smartcore", Launch::Crate("smartcore-linear"))
        .taking(|problem| is_dense(problem) && problem.kind != "lasso" && cells(problem) <= OF_CRATES),
    Peer::new("liblinear", Launch::Python("scikit_learn_peer.py", "liblinear")).taking(is_sparse),
    Peer::new("scikit-learn newton-cg", Launch::Python("scikit_learn_peer.py", "newton-cg"))
        .taking(|problem| problem.kind == "sparse_logistic"),
];

/// Largest matrix that the crates, which have one thread, are asked for.
const OF_CRATES: usize = 1_000_000;

fn cells(problem: &Problem) -> usize {
    problem.shape[0] * problem.shape[1]
}

fn is_dense(problem: &Problem) -> bool {
    linear::KINDS.contains(&&problem.kind[..])
}

fn is_sparse(problem: &Problem) -> bool {
    sparse::KINDS.contains(&&problem.kind[..])
}

const fn trees(name: &'static str, library: &'static str) -> Peer {
    Peer::new(name, Launch::Python("trees_peer.py", library)).required()
}

pub(super) const SCIKIT_LEARN: Peer = trees("scikit-learn", "scikit-learn");

/// The crates have one thread and are asked for one tree only, which takes them more than 10 s of processor time on
/// 100,000 rows.
pub(super) const TREES: &[Peer] = &[
    SCIKIT_LEARN,
    // It leaves single trees to scikit-learn.
    trees("scikit-learn-intelex", "intelex").lacking(OF_ONE_TREE),
    trees("YDF", "ydf"),
    trees("XGBoost", "xgboost"),
    // It makes a histogram of all features for every leaf: millions for 100 full trees, and seven times as many for seven
    // classes.
    trees("LightGBM", "lightgbm").lacking(OF_FULL_TREES),
    Peer::new("linfa-trees", Launch::Crate("linfa-trees"))
        .taking(|problem| !OF_FORESTS.contains(&problem.kind.as_str())),
    Peer::new("smartcore", Launch::Crate("smartcore"))
        .taking(|problem| !OF_FORESTS.contains(&problem.kind.as_str())),
];

const fn boosts(name: &'static str, library: &'static str) -> Peer {
    Peer::new(name, Launch::Python("gbdt_peer.py", library)).required()
}

const LIGHTGBM: Peer = boosts("LightGBM", "lightgbm");
const XGBOOST: Peer = boosts("XGBoost", "xgboost");
/// It bins while it trains.
const HIST_GRADIENT_BOOSTING: Peer = boosts("scikit-learn", "scikit-learn").lacking(&[OF_BINS]);

pub(super) const GBDT: &[Peer] = &[
    LIGHTGBM,
    boosts("LightGBM quantised", "lightgbm-quantised"),
    XGBOOST,
    boosts("CatBoost", "catboost"),
    HIST_GRADIENT_BOOSTING,
];

/// Those that grow the trees that they are told to.
pub(super) const BOOSTERS: &[Peer] = &[LIGHTGBM, XGBOOST, HIST_GRADIENT_BOOSTING];

const fn network(name: &'static str, library: &'static str) -> Peer {
    Peer::new(name, Launch::Python("networks_peer.py", library)).required()
}

pub(super) const NETWORKS: &[Peer] = &[
    network("PyTorch", "torch"),
    network("JAX", "jax"),
    network("scikit-learn", "scikit-learn").lacking(&[ANSWER, EPOCH_OF_IMAGES, ANSWER_OF_IMAGES]),
    network("ONNX Runtime", "onnxruntime").lacking(&[EPOCH, EPOCH_OF_IMAGES]),
    Peer::new("tilewise, layer after layer", Launch::Ours("rows"))
        .variant()
        .taking(|problem| networks::trains(&problem.kind)),
];

/// Variables by which thread pools learn their size.
const THREAD_VARIABLES: [&str; 7] = [
    "TILEWISE_THREADS",
    "RAYON_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
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
        if peers
            .iter()
            .any(|peer| matches!(peer.launch, Launch::Crate(_) | Launch::Stream(_) | Launch::Library(..)))
        {
            hear("building peers in Rust");
            note(missing, "the peers in Rust", place.build());
        }
        if peers.iter().any(|peer| {
            matches!(peer.launch, Launch::Python(..) | Launch::Library(Library { packages: [], .. }, _))
        }) {
            hear("installing peers from PyPI");
            note(
                missing,
                "the peers from PyPI",
                place.install(&harness().join("python").join(format!("{name}.txt"))),
            );
        }
        for peer in peers {
            if let Launch::Library(library, _) = &peer.launch
                && !library.packages.is_empty()
                && place.find(library).is_err()
            {
                hear(&format!("unpacking {} of Debian", library.packages.join(", ")));
                note(missing, peer.name, place.unpack(library.packages));
            }
        }
        Ok(place)
    }

    /// Fetches packages of Debian and unpacks them here, for which nobody needs to be root.
    fn unpack(&self, packages: &[&str]) -> io::Result<()> {
        let folder = self.folder.join("debian");
        let archives = folder.join("archives");
        fs::create_dir_all(&archives)?;
        succeed(Command::new("apt-get").args(["--quiet", "download"]).args(packages).current_dir(&archives))?;
        for archive in fs::read_dir(&archives)? {
            succeed(Command::new("dpkg-deb").arg("--extract").arg(archive?.path()).arg(&folder))?;
        }
        Ok(())
    }

    /// Where a library lies: in the Python environment, or among Debian's packages, those installed first.
    fn find(&self, library: &Library) -> io::Result<PathBuf> {
        let unpacked = self.folder.join("debian");
        let folders: &[&Path] = match library.packages {
            [] => &[&self.environment],
            _ => &[Path::new("/usr/lib"), Path::new("/usr/local/lib"), &unpacked],
        };
        let found = folders.iter().find_map(|folder| search(folder, library.file));
        found.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{} is not installed", library.file))
        })
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
        // Some peers want a newer Python than the system's.
        let python = std::env::var_os("TILEWISE_PYTHON").unwrap_or_else(|| "python3".into());
        succeed(Command::new(python).args(["-m", "venv", "--clear"]).arg(&self.environment))?;
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
            Launch::Ours(form) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("worker").args((!form.is_empty()).then_some(form));
                command
            }
            Launch::Crate(name) => Command::new(program(name)),
            Launch::Stream(which) => {
                let mut command = Command::new(program("stream"));
                command.arg(which);
                command
            }
            Launch::Library(ref library, loader) => {
                let file = self.find(library)?;
                let mut command = Command::new(program(loader));
                command.arg(&file).args([library.prefix, library.name]);
                // MKL finds its kernels and its OpenMP beside itself, BLIS its OpenMP in another package.
                let places = [Some(file.clone()), search(&self.folder.join("debian"), "libgomp.so")];
                let folders = places.iter().flatten().filter_map(|file| file.parent());
                command.envs(library.avx512.filter(|_| overlooked()));
                command.env("LD_LIBRARY_PATH", std::env::join_paths(folders).unwrap_or_default());
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

/// Whether a library that knows processors by their models may miss that this one has AVX-512: OpenBLAS 0.3.34 takes a
/// Zen 5 for a Haswell, BLIS 0.9.0 for nothing it knows. Those of Intel are told by their features.
fn overlooked() -> bool {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    processor.contains(" avx512f ") && !processor.contains("GenuineIntel")
}

fn note(missing: &mut Vec<String>, what: &str, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        missing.push(format!("{what}: {error}"));
    }
}

fn succeed(command: &mut Command) -> io::Result<()> {
    // What tools say is no part of the report.
    let status = command.stdout(io::stderr()).status()?;
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
