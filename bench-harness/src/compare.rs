//! Comparing with other products: each in a process of its own, in turn with ours, on the same bytes and threads.
//!
//! Before anything is timed every system solves the problem once and all results must agree: products and sums element
//! by element, fits by the objective they reach. Systems that are missing, refuse or disagree are left out and named.

use std::io;
use std::path::{Path, PathBuf};
use tilewise_report::worker::{Problem, Remote};
use tilewise_report::{
    Axis, BarChart, Chart, Csv, Entrant, Group, Measured, Settings, Table, measure, ratio, seconds,
};

mod ours;
mod peers;
mod problems;

pub use ours::work;
use peers::{OURS, Peer, Place};
use problems::{Agreement, Listed};

/// A set of problems and the systems that solve them.
pub struct Comparison {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is compared, in a sentence.
    pub about: &'static str,
    peers: &'static [Peer],
    problems: fn(bool) -> Listed,
}

/// All comparisons there are.
pub const ALL: &[Comparison] = &[
    Comparison {
        name: "gemm",
        about: "C = A B on packed row-major matrices",
        peers: peers::GEMM,
        problems: problems::gemm,
    },
    Comparison {
        name: "add",
        about: "C = A + B into memory that is there",
        peers: peers::ADD,
        problems: problems::add,
    },
    Comparison {
        name: "linear",
        about: "fits from dense f64 features, converged to the same objective",
        peers: peers::LINEAR,
        problems: problems::linear,
    },
];

/// How to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// Thread counts; every system runs with each.
    pub threads: Vec<usize>,
    /// Rounds and sample lengths.
    pub settings: Settings,
    /// Small problems only.
    pub quick: bool,
    /// Thread pools of peers are told to sleep at once after a call. Without it they do as they like: processes are
    /// stopped between their turns anyway.
    pub passive: bool,
    /// Where operands, environments and builds are kept: the workspace's target folder.
    pub target: PathBuf,
}

/// One system on one problem at one thread count.
#[derive(Clone, Debug)]
pub struct Row {
    /// Kind of problem and element type.
    pub case: String,
    /// Dimensions, joined by ` x `.
    pub shape: String,
    /// Threads that every system was given.
    pub threads: usize,
    /// The system.
    pub system: &'static str,
    /// Its version, in its own words.
    pub version: String,
    /// Median seconds.
    pub seconds: f64,
    /// Time of the best peer over this time, the median over rounds: above 1 is faster than the best peer. NaN when no
    /// peer took part.
    pub ratio: f64,
    /// The objective reached, for fits.
    pub objective: Option<f64>,
}

/// What a comparison gave.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// All measurements.
    pub rows: Vec<Row>,
    /// What could not be measured, in words.
    pub missing: Vec<String>,
    /// Results that differ, in words: these times mean nothing.
    pub disagreements: Vec<String>,
}

/// The comparison with this name.
///
/// # Errors
/// When there is none; the error lists those there are.
pub fn find(name: &str) -> io::Result<&'static Comparison> {
    let names: Vec<&str> = ALL.iter().map(|comparison| comparison.name).collect();
    let found = ALL.iter().find(|comparison| comparison.name == name);
    found.ok_or_else(|| io::Error::other(format!("no comparison {name:?}: expected {}", names.join(", "))))
}

impl Comparison {
    /// Compares.
    ///
    /// # Errors
    /// When operands cannot be written or our own side fails; trouble with peers is reported in the answer.
    pub fn run(&self, options: &Options, mut hear: impl FnMut(&str)) -> io::Result<Compared> {
        let mut compared = Compared::default();
        let place = Place::prepare(self.name, self.peers, &options.target, &mut compared.missing, &mut hear)?;
        for &threads in &options.threads {
            for (kind, element, shape) in (self.problems)(options.quick) {
                let folder = place.folder.clone();
                let problem = Problem { kind: kind.into(), element: element.into(), shape, folder };
                hear(&format!("{} at {threads} threads", describe(&problem)));
                let agreement = problems::write(&problem)?;
                self.solve(&problem, &agreement, threads, options, &place, &mut compared)?;
            }
        }
        Ok(compared)
    }

    /// One problem at one thread count: start, load, agree, time.
    fn solve(
        &self,
        problem: &Problem,
        agreement: &Agreement,
        threads: usize,
        options: &Options,
        place: &Place,
        compared: &mut Compared,
    ) -> io::Result<()> {
        let file = place.folder.join("result.bin");
        let mut systems: Vec<(&Peer, Remote, String, Vec<f64>)> = Vec::new();
        for peer in std::iter::once(&OURS).chain(self.peers).filter(|peer| peer.takes(&problem.kind)) {
            match start(peer, problem, threads, options.passive, place, &file) {
                Ok((remote, version, result)) => systems.push((peer, remote, version, result)),
                Err(error) if peer.name == OURS.name => return Err(error),
                Err(error) => note(&mut compared.missing, format!("{}: {error}", peer.name)),
            }
        }
        let results: Vec<&[f64]> = systems.iter().map(|system| system.3.as_slice()).collect();
        let judged = agreement.judge(&results);
        let mut agreeing = Vec::new();
        for ((peer, remote, version, _), judged) in systems.into_iter().zip(judged) {
            match judged {
                Ok(objective) => agreeing.push((peer.name, remote, version, objective)),
                Err(what) => {
                    compared.disagreements.push(format!("{} on {}: {what}", peer.name, describe(problem)))
                }
            }
        }
        let mut entrants: Vec<Entrant<'_>> = agreeing
            .iter_mut()
            .map(|(name, remote, ..)| Entrant::timed(*name, |repetitions| remote.run(repetitions)))
            .collect();
        let measured = measure(&options.settings, &mut entrants)?;
        drop(entrants);
        let peers = measured.iter().filter(|one| one.name != OURS.name);
        let best = peers.min_by(|a, b| a.median().total_cmp(&b.median()));
        for ((system, _, version, objective), one) in agreeing.iter().zip(&measured) {
            compared.rows.push(Row {
                case: format!("{} {}", problem.kind, problem.element),
                shape: crate::case::shape_text(&problem.shape),
                threads,
                system,
                version: version.clone(),
                seconds: one.median(),
                ratio: best.map_or(f64::NAN, |best: &Measured| best.ratio(one)),
                objective: *objective,
            });
        }
        Ok(())
    }
}

fn note(notes: &mut Vec<String>, text: String) {
    if !notes.contains(&text) {
        notes.push(text);
    }
}

fn describe(problem: &Problem) -> String {
    format!("{} {} {}", problem.kind, problem.element, crate::case::shape_text(&problem.shape))
}

/// Starts a system and has it solve the problem once.
fn start(
    peer: &Peer,
    problem: &Problem,
    threads: usize,
    passive: bool,
    place: &Place,
    file: &Path,
) -> io::Result<(Remote, String, Vec<f64>)> {
    let mut remote = Remote::start(place.command(peer, threads, passive)?)?;
    let version = remote.ask("version")?;
    remote.load(problem)?;
    remote.run(1)?;
    let result = remote.result(file)?;
    remote.pause()?;
    Ok((remote, version, result))
}

impl Compared {
    /// The measurements as a table.
    pub fn table(&self) -> Table {
        let columns =
            ["<case", "<shape", "threads", "<system", "<version", "time", "speed / best peer", "objective"];
        let mut table = Table::new("", &columns);
        for row in &self.rows {
            let version: String = row.version.chars().take(40).collect();
            table.push([
                row.case.clone(),
                row.shape.clone(),
                row.threads.to_string(),
                row.system.into(),
                version,
                seconds(row.seconds),
                ratio(row.ratio),
                row.objective.map_or(String::new(), |objective| format!("{objective:.8}")),
            ]);
        }
        table
    }

    /// The measurements in full precision.
    pub fn csv(&self) -> Csv {
        let columns = ["case", "shape", "threads", "system", "version", "seconds", "ratio", "objective"];
        let mut csv = Csv::new(&columns);
        for row in &self.rows {
            csv.push(&[
                row.case.clone(),
                row.shape.clone(),
                row.threads.to_string(),
                row.system.into(),
                row.version.clone(),
                row.seconds.to_string(),
                row.ratio.to_string(),
                row.objective.map_or(String::new(), |objective| objective.to_string()),
            ]);
        }
        csv
    }

    /// Speeds against the best peer, a chart for every case and thread count.
    pub fn charts(&self) -> Vec<Chart> {
        let mut keys: Vec<(&str, usize)> =
            self.rows.iter().map(|row| (row.case.as_str(), row.threads)).collect();
        keys.sort_unstable();
        keys.dedup();
        let chart = |&(case, threads): &(&str, usize)| {
            let mut groups: Vec<Group> = Vec::new();
            for row in self.rows.iter().filter(|row| row.case == case && row.threads == threads) {
                if groups.last().is_none_or(|group| group.name != row.shape) {
                    groups.push(Group { name: row.shape.clone(), bars: Vec::new() });
                }
                if let Some(group) = groups.last_mut() {
                    group.bars.push((row.system.into(), row.ratio));
                }
            }
            let title = format!("{case}, {threads} {}", if threads == 1 { "thread" } else { "threads" });
            let axis = Axis::linear("speed, best peer = 1 [x]");
            Chart::Bar(BarChart { title, axis, groups, reference: Some(1.0) })
        };
        keys.iter().map(chart).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(system: &'static str, shape: &str, ratio: f64) -> Row {
        let (case, version) = ("gemm f32".to_string(), "1, \"x\"".to_string());
        Row { case, shape: shape.into(), threads: 2, system, version, seconds: 0.5, ratio, objective: None }
    }

    #[test]
    fn csv_and_charts_hold_every_row() {
        let rows = vec![
            row("tilewise", "4 x 4", 1.5),
            row("faer", "4 x 4", 1.0),
            row("tilewise", "8 x 8", f64::NAN),
        ];
        let compared = Compared { rows, ..Compared::default() };
        let csv = compared.csv();
        let lines: Vec<&str> = csv.text().lines().collect();
        assert_eq!(lines[0], "case,shape,threads,system,version,seconds,ratio,objective");
        assert_eq!(lines[1], "gemm f32,4 x 4,2,tilewise,\"1, \"\"x\"\"\",0.5,1.5,");
        let charts = compared.charts();
        assert_eq!(charts.len(), 1);
        let Chart::Bar(chart) = &charts[0] else { panic!("bars") };
        assert_eq!((chart.groups.len(), chart.groups[0].bars.len()), (2, 2));
        assert!(find("nonsense").is_err_and(|error| error.to_string().contains("gemm, add, linear")));
    }
}
