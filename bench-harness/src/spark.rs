//! `compare spark`: our estimators, MLlib's and XGBoost's on one cluster, from one Parquet file.
//!
//! The cluster is a real one, of processes on this machine: a master, two workers and two executors of one core each, started and stopped
//! by `python/spark_peer.py`, which holds the session and makes one fit after another. Here it is decided who fits what and when.

use crate::compare::dense_binary;
use crate::serve::{environment, package, scripts, succeed};
use crate::turns::{Case, Figure, Findings, Options, Turn};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Error, Result, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tilewise_report::{seconds, significant};

const FEATURES: usize = 28;

/// Rows of a group of the Parquet files: eight of a million, so that both executors have as many.
const GROUP: usize = 125_000;

/// Rows drawn at a time: a chunk is a function of its place.
const CHUNK: usize = 250_000;

/// Rows that no fit sees, and the seed they are drawn with.
const HELD: usize = 100_000;
const HELD_SEED: u64 = 1 << 32;

/// Rows of the fits before those that are timed, and of those that show what a round costs.
const FEW: usize = 2_000;

const OURS: &str = "tilewise";
/// Ours without reading the file in the tasks.
const FROM_SPARK: &str = "tilewise, rows from Spark";
const MLLIB: &str = "MLlib";
const XGBOOST: &str = "xgboost.spark";

const FIGURES: &[Figure] = &[
    Figure { name: "AUC", show: |x| format!("{x:.4}") },
    Figure { name: "objective", show: |x| format!("{x:.9}") },
    Figure { name: "rounds", show: |x| format!("{x:.0}") },
];

/// What is fitted, and by whom.
struct Plan {
    kind: &'static str,
    settings: Value,
    rows: usize,
    systems: &'static [&'static str],
    /// In words.
    what: String,
}

impl Plan {
    fn name(&self) -> String {
        format!("{}, {} x {FEATURES}", self.what, self.rows)
    }
}

fn boosting(stages: usize, rows: usize, systems: &'static [&'static str]) -> Plan {
    let settings = json!({"stages": stages, "depth": 5});
    let what = format!("boosting, {stages} stages of depth 5");
    Plan { kind: "boosting", settings, rows, systems, what }
}

fn plans(quick: bool, rows: Option<usize>) -> Vec<Plan> {
    let (trees, depth) = if quick { (4, 5) } else { (20, 10) };
    let rows = rows.unwrap_or(if quick { 20_000 } else { 1_000_000 });
    let mut plans = vec![
        boosting(if quick { 3 } else { 20 }, rows, &[OURS, FROM_SPARK, MLLIB, XGBOOST]),
        Plan {
            kind: "forest",
            settings: json!({"trees": trees, "depth": depth}),
            rows,
            systems: &[OURS, MLLIB],
            what: format!("forest, {trees} trees of depth {depth}"),
        },
        Plan {
            kind: "logistic",
            // With MLlib's own tolerance both come to the same eight digits of the objective.
            settings: json!({"penalty": 1e-4, "tolerance": 1e-6}),
            rows,
            systems: &[OURS, FROM_SPARK, MLLIB],
            what: "logistic regression".into(),
        },
    ];
    if !quick {
        plans.extend([10, 100].map(|stages| boosting(stages, 2 * rows, &[OURS, XGBOOST])));
    }
    plans
}

/// The session, in a process of its own, which ends with its standard input.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Session {
    fn start(python: &Path, package: &Path, log: PathBuf) -> Result<Self> {
        let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("../python/tests/spark");
        let path = std::env::join_paths([package, &cluster]).map_err(Error::other)?;
        let mut command = Command::new(python);
        // -P: the folder of the script is not looked into.
        command.arg("-P").arg(scripts().join("spark_peer.py"));
        command.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = BufReader::new(output.ok_or_else(|| Error::other("no standard output"))?);
        Ok(Self { child, input, output, log })
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            return Err(Error::other(format!("the session ended: {last} ({})", self.log.display())));
        }
        let answer: Value = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => Err(Error::other(error.to_owned())),
            None => Ok(answer),
        }
    }

    fn ask(&mut self, question: &Value) -> Result<Value> {
        let input = self.input.as_mut().ok_or_else(|| Error::other("the session has ended"))?;
        writeln!(input, "{question}")?;
        input.flush()?;
        self.answer()
    }
}

impl Drop for Session {
    /// It stops its cluster, which takes seconds.
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Compares; `tell` hears what goes on.
///
/// # Errors
/// When the package cannot be built, there is no cluster, or one of our fits fails. Trouble of others is told in what comes back.
pub fn run(options: &Options, tell: impl Fn(&str)) -> Result<Findings> {
    let folder = options.target.join("compare/spark");
    fs::create_dir_all(&folder)?;
    let plans: Vec<Plan> = plans(options.quick, options.rows);
    let plans: Vec<Plan> = plans.into_iter().filter(|plan| options.wants(&plan.name())).collect();
    if plans.is_empty() {
        return Err(Error::other(format!("no case contains {}", options.only.join(" and "))));
    }
    tell("building the package and its environment");
    let python = environment(&folder, "spark")?.join("python");
    let package = package()?;
    let table = |rows: usize, seed: u64| -> Result<PathBuf> {
        let file = folder.join(format!("{rows}-{seed}.parquet"));
        if !file.exists() {
            tell(&format!("writing {}", file.display()));
            write_table(&python, &folder, rows, seed, 1, "float32", &[&file])?;
        }
        Ok(file)
    };
    let (few, held) = (table(FEW, 0)?, table(HELD, HELD_SEED)?);
    for plan in &plans {
        table(plan.rows, 0)?;
    }
    tell("starting the cluster");
    let mut session = Session::start(&python, &package, folder.join("session.log"))?;
    let versions = session.answer()?;
    let versions = versions["versions"].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut findings = Findings {
        title: "Fits on Spark",
        summary: "The same rows from Parquet on the same two executors, by Tilewise, MLlib and XGBoost."
            .into(),
        method: method(),
        figures: FIGURES,
        cases: Vec::new(),
        beside: Vec::new(),
        versions: versions.map(|(name, value)| (text(value), name.clone())).collect(),
        missing: Vec::new(),
    };
    for plan in &plans {
        let ask = |system: &str, data: &Path, rows: usize, held: Option<&Path>| json!({"do": "fit", "system": system, "kind": plan.kind, "settings": plan.settings, "rows": rows, "data": data, "held": held});
        let data = table(plan.rows, 0)?;
        for system in plan.systems {
            tell(&format!("{}: {system} on {FEW} rows", plan.name()));
            // Who fails says it again below.
            let _ = session.ask(&ask(system, &few, FEW, None));
        }
        let turn = |system: &'static str, round: usize| {
            tell(&format!("{}, round {}: {system}", plan.name(), round + 1));
            let told = session.ask(&ask(system, &data, plan.rows, Some(&held)))?;
            let number = |name: &str| told[name].as_f64().unwrap_or(f64::NAN);
            // Others do not tell how many rounds they take.
            let rounds = if [OURS, FROM_SPARK].contains(&system) { number("rounds") } else { f64::NAN };
            tell(&format!("      {}", seconds(number("seconds"))));
            Ok(Turn { seconds: number("seconds"), figures: vec![number("auc"), number("objective"), rounds] })
        };
        findings.cases.push(Case::run(
            plan.name(),
            plan.systems,
            options.rounds,
            &mut findings.missing,
            turn,
        )?);
    }
    tell("what a round costs");
    let overhead = session.ask(&json!({"do": "overhead", "data": few})).unwrap_or_else(|error| {
        findings.missing.push(format!("the cost of a round: {error}"));
        Value::Null
    });
    for (name, what) in [
        ("boosting", "a round of our boosting in which there is nothing to compute"),
        ("logistic", "a round of our logistic regression in which there is nothing to compute"),
        ("empty", "a job of Spark over two partitions that does nothing"),
    ] {
        findings.beside.push((milliseconds(overhead[name].as_f64().unwrap_or(f64::NAN)), what.into()));
    }
    Ok(findings)
}

fn milliseconds(seconds: f64) -> String {
    format!("{} ms", significant(1e3 * seconds, 3))
}

/// Writes rows of `dense_binary` to `files` (Parquet or CSV), features f0, f1 ... and a label of 0 or 1; features stand `side` times
/// side by side, drawn anew, and the label is of the first. What lies raw meanwhile is removed.
///
/// # Errors
/// Those of the disk and of Python.
pub(crate) fn write_table(
    python: &Path,
    folder: &Path,
    rows: usize,
    seed: u64,
    side: usize,
    element: &str,
    files: &[&Path],
) -> Result<()> {
    let raw = folder.join("rows.f64");
    let mut file = BufWriter::new(File::create(&raw)?);
    for first in (0..rows).step_by(CHUNK) {
        let count = CHUNK.min(rows - first);
        let key = |beside: usize| seed + ((first / CHUNK) * side + beside) as u64;
        let drawn: Vec<_> = (0..side).map(|beside| dense_binary(count, key(beside))).collect();
        for row in 0..count {
            let cells = drawn.iter().flat_map(|(x, _)| &x[row * FEATURES..][..FEATURES]);
            for cell in cells {
                file.write_all(&cell.to_le_bytes())?;
            }
            file.write_all(&f64::from(drawn[0].1[row]).to_le_bytes())?;
        }
    }
    file.flush()?;
    // A file appears whole or not at all.
    let part = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.with_file_name(format!("part-{name}"))
    };
    let width = (side * FEATURES + 1).to_string();
    let mut command = Command::new(python);
    command.arg(scripts().join("table_peer.py")).arg(&raw).args([&width, &GROUP.to_string(), element]);
    succeed(command.args(files.iter().map(|file| part(file))))?;
    for file in files {
        fs::rename(part(file), file)?;
    }
    fs::remove_file(raw)
}

fn method() -> Vec<String> {
    [
        "A standalone cluster of Spark: a master, two workers and two executors of one core each, 3 GB of memory for each executor and for \
         the driver, all on this machine, over loopback; started and stopped by the command. One session makes all fits, in turn. The JVMs run \
         with their default flags; Python workers get their data over Unix sockets (`spark.python.unix.domain.socket.enabled`).",
        "A time is that of `fit` on a DataFrame that reads a Parquet file in row groups of 125000: nothing is cached before. Before it is timed each \
         system has fitted a table of 2000 rows. The area under the curve is that of 100000 rows that no fit saw.",
        "Equal settings: learning rate 0.1, 256 bins (ours 255), 20 rows of a leaf of boosting at least (XGBoost has no such limit), penalty 1 of \
         leaves where there is one, sqrt of the features at a split of a forest, rows drawn with replacement. MLlib's first tree of boosting \
         counts in full whatever the learning rate, and its default is 32 bins. XGBoost gets a list of columns, MLlib a VectorAssembler, whose \
         time counts. Logistic regression: mean loss + 1e-4 / 2 |w|^2 of standardised features; `objective` is computed in one way for both.",
        "Two cores hold executors and driver together, so what the driver does is not hidden; one machine has no network. Our estimators get no \
         `row_id_col`.",
    ]
    .map(String::from)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_fits_beside_ours_and_cases_have_their_own_names() {
        let all = plans(false, None);
        assert!(all.iter().all(|plan| plan.systems[0] == OURS && plan.systems.len() > 1));
        let names: Vec<String> = all.iter().map(Plan::name).collect();
        assert_eq!(names[3], "boosting, 10 stages of depth 5, 2000000 x 28");
        assert!(names.iter().enumerate().all(|(i, name)| !names[..i].contains(name)));
        let quick = plans(true, None);
        assert!(quick.len() == 3 && quick.iter().all(|plan| plan.rows == 20_000));
        assert_eq!(plans(false, Some(1_000)).iter().map(|plan| plan.rows).max(), Some(2_000));
    }
}
