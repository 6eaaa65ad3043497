//! `compare disk`: training on a table that is larger than the memory it may take, as whole commands.
//!
//! Ours is `tilewise train --memory-limit`. Of boosting others are XGBoost with its external memory and with an iterator, and LightGBM's
//! `two_round`, which reads text alone, so ours is there with the same text too; of least squares and logistic regression ours without a limit.

use crate::compare::dense_binary;
use crate::serve::{environment, package, scripts, succeed};
use crate::spark::write_table;
use crate::turns::{Case, Figure, Findings, Options, Turn};
use std::fs;
use std::io::{BufRead, BufReader, Error, Read, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tilewise_base::metric::roc_auc;
use tilewise_report::{bytes, seconds};

/// Features are those of `dense_binary`, so often side by side.
const SIDE: usize = 4;
const STAGES: usize = 20;
const DEPTH: usize = 6;

const HELD: usize = 100_000;
const HELD_SEED: u64 = 1 << 32;

/// Between two looks at the memory of a process, each of some 30 microseconds.
const LOOK: Duration = Duration::from_millis(20);

const OURS: &str = "tilewise";
const UNLIMITED: &str = "tilewise, no limit";
const EXTERNAL: &str = "XGBoost, external memory";
const ITERATOR: &str = "XGBoost, iterator";
const TWO_ROUND: &str = "LightGBM two_round";

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Boosting,
    LeastSquares,
    Logistic,
}

impl Work {
    fn name(self) -> String {
        match self {
            Self::Boosting => format!("boosting, {STAGES} stages of depth {DEPTH}"),
            Self::LeastSquares => "least squares".into(),
            Self::Logistic => "logistic regression".into(),
        }
    }

    /// Numbers of the table, as Arrow calls their type: trees need no more than `f32`, linear models compute in `f64`.
    fn element(self) -> &'static str {
        if self == Self::Boosting { "float32" } else { "float64" }
    }

    /// So many times the memory that ours may take is the size of the Parquet file.
    fn times(self) -> u64 {
        if self == Self::Boosting { 2 } else { 8 }
    }

    /// Arguments of `tilewise train`. The label is a number.
    fn arguments(self) -> Vec<String> {
        let (model, settings) = match self {
            Self::Boosting => (
                "gbdt",
                vec![
                    "task=classification".to_owned(),
                    format!("stages={STAGES}"),
                    format!("max_depth={DEPTH}"),
                    "max_leaves=none".into(),
                    "min_samples_leaf=20".into(),
                    "min_child_weight=0.001".into(),
                    "l2=1".into(),
                ],
            ),
            Self::LeastSquares => ("linear", Vec::new()),
            Self::Logistic => ("logistic", Vec::new()),
        };
        let settings = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
        ["train", "--target", "label", "--model", model]
            .map(String::from)
            .into_iter()
            .chain(settings)
            .collect()
    }
}

/// What is trained on a file of which kind, and by whom, ours first: text takes its time, whoever reads it.
struct Plan {
    work: Work,
    /// End of the file's name.
    file: &'static str,
    systems: &'static [&'static str],
}

const PLANS: [Plan; 6] = [
    Plan { work: Work::Boosting, file: "parquet", systems: &[OURS, EXTERNAL, ITERATOR] },
    Plan { work: Work::Boosting, file: "csv", systems: &[OURS, TWO_ROUND] },
    Plan { work: Work::LeastSquares, file: "parquet", systems: &[OURS, UNLIMITED] },
    Plan { work: Work::LeastSquares, file: "csv", systems: &[OURS, UNLIMITED] },
    Plan { work: Work::Logistic, file: "parquet", systems: &[OURS, UNLIMITED] },
    Plan { work: Work::Logistic, file: "csv", systems: &[OURS, UNLIMITED] },
];

const FIGURES: &[Figure] = &[
    Figure { name: "a stage or round", show: seconds },
    Figure { name: "peak memory", show: |x| bytes(x as u64) },
    Figure { name: "AUC", show: |x| format!("{x:.4}") },
];

/// What a command did until it had a model.
struct Watched {
    seconds: f64,
    /// The mean time of a stage, where it can be told.
    stage: f64,
    /// The most memory that is not the page cache, in bytes.
    memory: f64,
}

/// Runs a command to its end, and watches it until it writes the line that says that there is a model.
///
/// # Errors
/// When it does not start, fails, or never says so.
fn watch(command: &mut Command) -> Result<Watched> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (sender, lines) = channel();
    let readers = [
        child.stdout.take().map(|output| listen(output, sender.clone())),
        child.stderr.take().map(|output| listen(output, sender)),
    ];
    let (mut memory, mut stages, mut done, mut last) = (0.0_f64, Vec::new(), None, String::new());
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                if let Some(stage) = stage_of(&line) {
                    stages.push((start.elapsed().as_secs_f64(), stage));
                }
                if done.is_none() && has_model(&line) {
                    done = Some((start.elapsed().as_secs_f64(), told(&line)));
                }
                last = line;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if done.is_none() {
            memory = memory.max(anonymous(child.id()));
        }
    }
    readers.into_iter().flatten().for_each(|reader| drop(reader.join()));
    let ended = child.wait()?;
    match done {
        Some((seconds, told)) if ended.success() => {
            Ok(Watched { seconds, stage: told.unwrap_or_else(|| per_stage(&stages)), memory })
        }
        _ => Err(Error::other(format!("{:?} ended with {ended}: {last}", command.get_program()))),
    }
}

fn listen(output: impl Read + Send + 'static, lines: Sender<String>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(|line| line.ok()) {
            // Nobody listens once the other side has failed.
            let _ = lines.send(line);
        }
    })
}

/// Ours says where the model went, others that they have trained.
fn has_model(line: &str) -> bool {
    line.starts_with("model written to") || line.starts_with("trained ")
}

/// The seconds of a stage that a peer tells.
fn told(line: &str) -> Option<f64> {
    line.strip_prefix("trained ")?.trim().parse().ok()
}

/// The number of a stage in a line of progress of ours.
fn stage_of(line: &str) -> Option<f64> {
    let (before, _) = line.split_once(" of at most ")?;
    before.rsplit_once("round ")?.1.parse().ok()
}

/// Seconds from stage to stage, from when some were told; NaN where that was not more than one.
fn per_stage(stages: &[(f64, f64)]) -> f64 {
    match stages {
        [(start, first), .., (end, last)] if last > first => (end - start) / (last - first),
        _ => f64::NAN,
    }
}

/// Memory of a process that is not the page cache, in bytes; 0 once it has ended.
fn anonymous(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    of_status(&status)
}

fn of_status(status: &str) -> f64 {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    };
    1024.0 * (field("RssAnon:").unwrap_or(0.0) + field("RssShmem:").unwrap_or(0.0))
}

/// The files of a comparison.
struct Place {
    folder: PathBuf,
    python: PathBuf,
    tilewise: PathBuf,
    rows: usize,
    held: PathBuf,
}

impl Place {
    fn prepare(options: &Options, rows: usize, tell: &impl Fn(&str)) -> Result<Self> {
        let folder = options.target.join("compare/disk");
        fs::create_dir_all(&folder)?;
        tell("building tilewise and the environment of peers");
        let python = environment(&folder, "disk")?.join("python");
        // With the package, as for `compare spark`: alone it would be compiled anew, with other features of what both use.
        package()?;
        let held = folder.join(format!("held-{HELD}.parquet"));
        if !held.exists() {
            write_table(&python, &folder, HELD, HELD_SEED, SIDE, "float32", &[&held])?;
        }
        Ok(Self { python, tilewise: options.target.join("release/tilewise"), rows, held, folder })
    }

    /// The file that is trained on.
    fn table(&self, work: Work, end: &str) -> PathBuf {
        self.folder.join(format!("{}-{}.{end}", self.rows, work.element()))
    }

    /// Bytes of memory that ours may take.
    fn limit(&self, work: Work) -> Result<u64> {
        Ok(fs::metadata(self.table(work, "parquet"))?.len() / work.times())
    }

    /// Writes a plan's file, and the Parquet file whose size is the measure of memory, where they are not there.
    fn write(&self, plan: &Plan, tell: &impl Fn(&str)) -> Result<()> {
        for end in ["parquet", plan.file] {
            let file = self.table(plan.work, end);
            if !file.exists() {
                tell(&format!("writing {}", file.display()));
                write_table(&self.python, &self.folder, self.rows, 0, SIDE, plan.work.element(), &[&file])?;
            }
        }
        Ok(())
    }

    /// One run of a system, and its answers for the rows held out.
    fn run(&self, plan: &Plan, system: &str) -> Result<(Watched, Vec<f64>)> {
        let temporary = self.folder.join("temporary");
        // Of a run that was cut off.
        let _ = fs::remove_dir_all(&temporary);
        fs::create_dir_all(&temporary)?;
        let table = self.table(plan.work, plan.file);
        let found = match system {
            OURS => self.ours(plan.work, &table, Some(self.limit(plan.work)?), &temporary),
            UNLIMITED => self.ours(plan.work, &table, None, &temporary),
            EXTERNAL => self.peer("xgboost-external", &table, &temporary),
            ITERATOR => self.peer("xgboost", &table, &temporary),
            _ => self.peer("lightgbm", &table, &temporary),
        };
        fs::remove_dir_all(&temporary)?;
        found
    }

    fn ours(
        &self,
        work: Work,
        table: &Path,
        limit: Option<u64>,
        temporary: &Path,
    ) -> Result<(Watched, Vec<f64>)> {
        let (model, answers) = (self.folder.join("model.safetensors"), temporary.join("told.csv"));
        let mut train = Command::new(&self.tilewise);
        train.args(work.arguments()).arg("--data").arg(table).arg("--out").arg(&model);
        if let Some(limit) = limit {
            train.args(["--memory-limit", &limit.to_string()]).arg("--temp-dir").arg(temporary);
        }
        let watched = watch(&mut train)?;
        let mut predict = Command::new(&self.tilewise);
        predict.arg("predict").arg("--model").arg(&model);
        if work != Work::LeastSquares {
            predict.arg("--proba");
        }
        succeed(predict.arg("--data").arg(&self.held).arg("--out").arg(&answers))?;
        let text = fs::read_to_string(answers)?;
        let last = |line: &str| line.rsplit(',').next().and_then(|cell| cell.parse().ok());
        Ok((watched, text.lines().skip(1).filter_map(last).collect()))
    }

    fn peer(&self, library: &str, table: &Path, temporary: &Path) -> Result<(Watched, Vec<f64>)> {
        let answers = temporary.join("told.f64");
        let mut command = Command::new(&self.python);
        command.arg("-P").arg(scripts().join("disk_peer.py")).arg(library).arg(table).arg(&self.held);
        command.arg(temporary).args([STAGES.to_string(), DEPTH.to_string()]).arg(&answers);
        let watched = watch(&mut command)?;
        let numbers = fs::read(answers)?;
        let number = |bytes: &[u8]| bytes.try_into().map(f64::from_le_bytes).unwrap_or(f64::NAN);
        Ok((watched, numbers.chunks_exact(8).map(number).collect()))
    }
}

/// Compares; `tell` hears what goes on.
///
/// # Errors
/// When files cannot be made, or ours fails. Trouble of others is told in what comes back.
pub fn run(options: &Options, tell: impl Fn(&str)) -> Result<Findings> {
    let rows = options.rows.unwrap_or(if options.quick { 50_000 } else { 2_000_000 });
    let place = Place::prepare(options, rows, &tell)?;
    let truth: Vec<bool> = dense_binary(HELD, HELD_SEED).1.into_iter().map(|label| label == 1).collect();
    let features = SIDE * 28;
    let mut missing = Vec::new();
    let (mut cases, mut beside) = (Vec::new(), Vec::new());
    for plan in &PLANS {
        let from =
            format!("{} from {}", plan.work.name(), if plan.file == "csv" { "CSV" } else { "Parquet" });
        let (ours, others) = (&plan.systems[..1], &plan.systems[1..]);
        let others = others.iter().filter(|system| options.wants(&format!("{from}, {system}")));
        let systems: Vec<&'static str> = ours.iter().chain(others).copied().collect();
        if systems.len() < 2 {
            continue;
        }
        place.write(plan, &tell)?;
        let mut with_limit = None;
        let turn = |system: &'static str, round: usize| {
            tell(&format!("round {}: {from}, {system}", round + 1));
            let (watched, answers) = place.run(plan, system)?;
            if system == OURS {
                with_limit = Some(answers.clone());
            } else if system == UNLIMITED && with_limit.as_ref().is_some_and(|ours| *ours != answers) {
                return Err(Error::other(format!("{from}: answers with a limit are not those without one")));
            }
            let auc = roc_auc(&truth, &answers, None).map_err(Error::other)?;
            tell(&format!("      {}, {}", seconds(watched.seconds), bytes(watched.memory as u64)));
            Ok(Turn { seconds: watched.seconds, figures: vec![watched.stage, watched.memory, auc] })
        };
        let name = format!("{from}, {rows} x {features}");
        cases.push(Case::run(name, &systems, options.rounds, &mut missing, turn)?);
        let size = fs::metadata(place.table(plan.work, plan.file))?.len();
        beside.push((bytes(size), format!("the table of {from}")));
        beside.push((bytes(place.limit(plan.work)?), "its limit of ours (--memory-limit)".into()));
    }
    if cases.is_empty() {
        return Err(Error::other(format!("no case and system contains {}", options.only.join(" and "))));
    }
    let script = "import lightgbm, pyarrow, xgboost\nfor m in (xgboost, lightgbm, pyarrow): print(m.__name__, m.__version__)";
    let told = Command::new(&place.python).args(["-c", script]).output()?.stdout;
    let told = String::from_utf8_lossy(&told);
    let versions = told.lines().filter_map(|line| line.split_once(' '));
    let versions = versions.map(|(name, version)| (version.to_owned(), name.to_owned())).collect();
    Ok(Findings {
        title: "Training beyond memory",
        summary: "A table larger than the memory it may take, from file to model: boosting beside XGBoost's external memory and LightGBM, linear \
                  models beside ours without a limit."
            .into(),
        method: method(),
        figures: FIGURES,
        cases,
        beside,
        versions,
        missing,
    })
}

fn method() -> Vec<String> {
    [
        "A time is that of a whole command, from its start until it has a model: reading, binning, training on all cores. The memory is what of \
         it is not the page cache (anonymous and shared pages, looked at every 20 ms), of one process, as all of these are. The file lies in the \
         page cache for all; nobody waits for a disk where memory is left for that. `a stage or round` is the mean time from one to the next, of ours \
         by its lines of progress, one a second, and unknown where there were fewer than two.",
        "Ours may take half the size of the Parquet file for boosting, an eighth of it for linear models, whose tables are of doubles. Without a \
         limit it reads all rows into memory, and its answers to the rows held out must be the same numbers, or there is no page. The area under the curve of least squares is that of its answers as scores.",
        "Equal settings of boosting: depth 6 and as many leaves as that has, learning rate 0.1, l2 1, 255 bins (XGBoost 256), 20 rows of a leaf at least \
         (XGBoost has no such limit), no sampling. XGBoost reads a row group of 125000 rows at a time; its external memory keeps pages of bins in \
         files, its iterator alone keeps them in memory. LightGBM reads text twice and keeps bins in memory: it has no training from disk.",
    ]
    .map(String::from)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_stages_and_the_end() {
        let line = "progress: round 3 of at most 20, loss 0.61, 5.0 s gone, at most 28.3 s left";
        assert_eq!((stage_of(line), stage_of("training gbdt on 9 rows")), (Some(3.0), None));
        assert_eq!((told("trained 0.25"), told("model written to m (3 kB)")), (Some(0.25), None));
        assert!(has_model("trained nan") && has_model("model written to m (3 kB)") && !has_model(line));
        assert_eq!(per_stage(&[(1.0, 2.0), (2.5, 3.0), (9.0, 10.0)]), 1.0);
        assert!(per_stage(&[(1.0, 2.0)]).is_nan() && per_stage(&[]).is_nan());
    }

    #[test]
    fn ours_is_first_and_has_somebody_beside_it() {
        assert!(PLANS.iter().all(|plan| plan.systems[0] == OURS && plan.systems.len() > 1));
        let boosting = Work::Boosting.arguments().join(" ");
        assert!(
            boosting.contains("--model gbdt --set task=classification --set stages=20 --set max_depth=6")
        );
    }

    #[test]
    fn memory_is_what_is_not_the_page_cache() {
        let status =
            "Name:\ta\nVmHWM:\t  900 kB\nRssAnon:\t     100 kB\nRssFile:\t  70 kB\nRssShmem:\t   4 kB\n";
        assert_eq!(of_status(status), 104.0 * 1024.0);
        assert_eq!(of_status(""), 0.0);
        assert!(anonymous(std::process::id()) > 1e5);
    }

    #[test]
    fn a_command_is_watched_until_it_has_a_model() {
        let shell = |script: &str| watch(Command::new("sh").args(["-c", script]));
        let watched = shell("echo reading; sleep 0.1; echo trained 0.5; sleep 0.3").unwrap();
        assert_eq!(watched.stage, 0.5);
        assert!(watched.seconds >= 0.1, "{}", watched.seconds);
        assert!(watched.memory > 0.0);
        assert!(shell("echo trained 1; exit 3").is_err());
        let silent = shell("echo no space left on device >&2").err().map(|e| e.to_string());
        assert!(silent.is_some_and(|text| text.contains("no space left on device")));
    }
}
