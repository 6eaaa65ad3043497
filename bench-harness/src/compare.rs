//! Comparing with other products: each in a process of its own, in turn with ours, on the same bytes and threads.
//!
//! Before anything is timed every system solves the problem once and all results must agree: products and sums element
//! by element, fits by the objective they reach. Systems that are missing, refuse or disagree are left out and named.

use crate::roofline::{Effort, Probes};
use std::io;
use std::path::PathBuf;
use std::time::Instant;
use tilewise_report::worker::Problem;
use tilewise_report::{Entrant, Measured, Settings, measure, median, ratio, seconds};

mod histogram;
mod linear;
mod networks;
mod one_hot;
mod ours;
mod outcome;
mod peers;
mod precise;
mod problems;
mod sparse;
mod summary;
mod system;
mod trees;

pub use ours::work;
pub use outcome::{Compared, Row, SpeedUp, Streamed};
use peers::{OURS, Peer, Place};
pub use problems::Quality;
use problems::{Agreement, Listed};
use system::System;
pub(crate) use trees::dense_binary;
pub use trees::{RealData, Scores, quality};

/// A set of problems and the systems that solve them.
pub struct Comparison {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is compared, in a sentence.
    pub about: &'static str,
    peers: &'static [Peer],
    problems: fn(bool) -> Vec<Listed>,
}

/// All comparisons there are.
pub const ALL: &[Comparison] = &[
    Comparison {
        name: "gemm",
        about: "C = A B, all row-major, or transposed or with a leading dimension where said",
        peers: peers::GEMM,
        problems: problems::gemm,
    },
    Comparison {
        name: "plan",
        about: "C = A B, small, of a shape that each was told before the time began",
        peers: peers::PLAN,
        problems: problems::plan,
    },
    Comparison {
        name: "add",
        about: "C = A + B into memory that is there",
        peers: peers::ADD,
        problems: problems::add,
    },
    Comparison {
        name: "vecmath",
        about: "y = f(x), element by element, at uniform arguments: exp, log and sigmoid up to 20, tanh to 5, erf to 4",
        peers: peers::VECMATH,
        problems: problems::vecmath,
    },
    Comparison {
        name: "vector",
        about: "passes over vectors: z = x + y, y += a x, x *= a, x y, the sum of x, the sum of |x|",
        peers: peers::VECTOR,
        problems: problems::vector,
    },
    Comparison {
        name: "histogram",
        about: "sums of (gradient, hessian) for every bin of every feature; gathered: of about two rows of three",
        peers: peers::HISTOGRAM,
        problems: problems::histogram,
    },
    Comparison {
        name: "linear",
        about: "fits from f64 features, dense, one-hot or sparse, converged to the same objective",
        peers: peers::LINEAR,
        problems: linear::problems,
    },
    Comparison {
        name: "trees",
        about: "trees and forests from f32 numbers in memory: training, binning and containers of one's own included, and \
                prediction; the same trees, depth, leaves, features of a split and leaf size",
        peers: peers::TREES,
        problems: trees::problems,
    },
    Comparison {
        name: "tree-threads",
        about: "training of trees and forests on several threads beside one",
        peers: &[],
        problems: trees::training,
    },
    Comparison {
        name: "gbdt",
        about: "gradient boosting from f32 numbers in memory: training with binning and containers of one's own and on what is \
                binned, and prediction; the same stages, leaves, depth, bins, learning rate and penalty",
        peers: peers::GBDT,
        problems: trees::boosting,
    },
    Comparison {
        name: "gbdt-threads",
        about: "training of boosted trees on several threads beside one",
        peers: &[],
        problems: trees::stages,
    },
    Comparison {
        name: "networks",
        about: "networks of dense layers with ReLU, and of images, where convolutions of 3 x 3 with ReLU and the largest of 2 x 2 come \
                first: an epoch from memory with softmax cross-entropy and Adam, from the same weights in the same order, losses along the \
                first 50 steps compared; and answers for rows in memory",
        peers: peers::NETWORKS,
        problems: networks::problems,
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
    /// Only problems whose description, e.g. `gemm f32 64 x 64 x 64, cubes`, contains every one of these.
    pub only: Vec<String>,
    /// Thread pools of peers are told to sleep at once after a call. Without it they do as they like: processes are
    /// stopped between their turns anyway.
    pub passive: bool,
    /// Whether times are measured.
    pub timed: bool,
    /// Seeds over which the quality of trees is judged, at the largest thread count; 0 for none.
    pub seeds: u64,
    /// Whether the memory is measured that training trees takes, at the largest thread count.
    pub memory: bool,
    /// Where operands, environments and builds are kept: the workspace's target folder.
    pub target: PathBuf,
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
    /// Compares. `keep` is given what is there after each problem, so that it is not lost when the comparison is ended.
    ///
    /// # Errors
    /// When operands cannot be written or our own side fails, or those of `keep`; trouble with peers is reported in the answer.
    pub fn run(
        &self,
        options: &Options,
        mut hear: impl FnMut(&str),
        mut keep: impl FnMut(&Compared) -> io::Result<()>,
    ) -> io::Result<Compared> {
        let listed = self.listed(options)?;
        let mut compared = Compared::default();
        let place = Place::prepare(self.name, self.peers, &options.target, &mut compared.missing, &mut hear)?;
        let probes = Probes::new(PEAK);
        let suited = |threads| listed.iter().filter(move |problem: &&Listed| problem.suits(threads));
        let work: f64 = options.threads.iter().flat_map(|&threads| suited(threads)).map(effort).sum();
        let (start, mut done) = (Instant::now(), 0.0);
        let problems: usize = options.threads.iter().map(|&threads| suited(threads).count()).sum();
        let mut solved = 0;
        for &threads in options.threads.iter().filter(|_| options.timed) {
            let mut run = Run::new(self, threads, options, &place, &probes);
            for problem in suited(threads) {
                let left = start.elapsed().as_secs_f64() * (work - done) / done.max(1e-9);
                let left = if done > 0.0 { format!(", about {} left", seconds(left)) } else { String::new() };
                let percent = 100.0 * done / work;
                let with = threads_text(threads);
                hear(&format!("{percent:3.0} %{left}: {}, {with}", problem.describe()));
                let first = compared.rows.len();
                run.solve(problem, &mut compared)?;
                done += effort(problem);
                compared.rows[first..].first().inspect(|ours| {
                    let of_best = match ours.ratio.is_nan() {
                        true => String::new(),
                        false => format!(", {} of the best peer", ratio(ours.ratio)),
                    };
                    hear(&format!("      {}{of_best}", seconds(ours.seconds)))
                });
                run.tell_systems(&mut compared);
                solved += 1;
                compared.incomplete = vec![format!("{solved} of {problems} problems were measured")];
                keep(&compared)?;
            }
        }
        compared.incomplete.clear();
        if options.timed {
            compared.incomplete = self.incomplete(&compared, &listed, &options.threads);
        }
        // What of trees is not a time: quality over seeds and memory, where they are asked for.
        let threads = options.threads.iter().copied().max().unwrap_or(1);
        if listed.iter().any(|problem| trees::has(problem.kind)) {
            if options.seeds > 0 {
                let mut run = Run::new(self, threads, options, &place, &probes);
                trees::over_seeds(&mut run, &listed, options.seeds, &mut compared, &mut hear)?;
                run.tell_systems(&mut compared);
                keep(&compared)?;
            }
            if options.memory {
                let peers: Vec<&Peer> = std::iter::once(&OURS).chain(self.peers).collect();
                trees::memory(&peers, &place, threads, &listed, &mut compared, &mut hear)?;
            }
        }
        Ok(compared)
    }

    fn listed(&self, options: &Options) -> io::Result<Vec<Listed>> {
        let mut listed = (self.problems)(options.quick);
        let text = |problem: &Listed| format!("{}, {}", problem.describe(), problem.group);
        listed.retain(|problem| options.only.iter().all(|word| text(problem).contains(word.as_str())));
        if listed.is_empty() {
            return Err(io::Error::other(format!("no problem contains {}", options.only.join(" and "))));
        }
        Ok(listed)
    }

    /// The systems without which the comparison means nothing and that did not take part in all of it, in words.
    fn incomplete(&self, compared: &Compared, listed: &[Listed], threads: &[usize]) -> Vec<String> {
        let required = self.peers.iter().filter(|peer| peer.required);
        let lacking = required.filter_map(|peer| {
            let solved = compared.rows.iter().filter(|row| row.system == peer.name).count();
            let offered = listed.iter().filter(|problem| !peer.lacks.contains(&problem.kind));
            let runs = |problem: &Listed| threads.iter().filter(|&&threads| problem.suits(threads)).count();
            let problems: usize = offered.map(runs).sum();
            let name = peer.name;
            let told = compared.missing.iter().filter_map(|what| what.strip_prefix(name)?.strip_prefix(": "));
            let why = told.collect::<Vec<_>>().join("; ");
            let why = if why.is_empty() { why } else { format!(": {why}") };
            (solved < problems).then(|| format!("{name} took part in {solved} of {problems} problems{why}"))
        });
        lacking.collect()
    }
}

/// How the peak of multiply-adds is sampled beside products; nothing is streamed.
const PEAK: Effort = Effort { seconds: 0.02, bytes: 1 << 16 };

/// Roughly the seconds that a dozen systems take for a problem; only proportions matter, for the time left.
fn effort(problem: &Listed) -> f64 {
    4.0 + problem.flops() / 1e9
}

/// `1 thread`, `2 threads` ...
fn threads_text(threads: usize) -> String {
    format!("{threads} {}", if threads == 1 { "thread" } else { "threads" })
}

/// All problems at one thread count.
struct Run<'a> {
    threads: usize,
    options: &'a Options,
    place: &'a Place,
    probes: &'a Probes,
    /// Ours first.
    systems: Vec<System<'a>>,
    /// Ours on one thread, beside more.
    alone: Option<System<'a>>,
    /// What memory gives.
    streams: Vec<System<'a>>,
}

impl<'a> Run<'a> {
    fn new(
        comparison: &'a Comparison,
        threads: usize,
        options: &'a Options,
        place: &'a Place,
        probes: &'a Probes,
    ) -> Self {
        let system = |peer, threads| System::new(peer, threads, place, options.passive);
        let (streams, peers): (Vec<_>, Vec<_>) =
            comparison.peers.iter().partition(|peer| peer.moves.is_some());
        let systems = std::iter::once(&OURS).chain(peers).map(|peer| system(peer, threads)).collect();
        let streams = streams.into_iter().map(|peer| system(peer, threads)).collect();
        let alone = (threads > 1).then(|| system(&OURS, 1));
        Self { threads, options, place, probes, systems, alone, streams }
    }

    /// One problem: load, agree, time.
    fn solve(&mut self, listed: &Listed, compared: &mut Compared) -> io::Result<()> {
        let problem = problem_of(listed, self.place);
        let agreement = problems::write(&problem)?;
        let agreeing = self.agree(&problem, &agreement, &listed.describe(), compared)?;
        // Peaks take their turns only where operations count, our own single thread also beside trees.
        let mut alone = self.alone.as_mut().filter(|_| listed.scales());
        if let Some(alone) = &mut alone {
            alone.solve(&problem)?;
        }
        let mut streams: Vec<&mut System<'_>> =
            self.streams.iter_mut().filter(|stream| stream.peer.solves(&problem)).collect();
        for stream in &mut streams {
            stream.solve(&problem)?;
        }
        let rates: Vec<_> = streams.iter().map(|stream| (stream.peer.name, stream.peer.moves)).collect();
        let mut entrants: Vec<Entrant<'_>> = Vec::new();
        let (mut taking_part, mut qualities) = (Vec::new(), Vec::new());
        for (system, judged) in self.systems.iter_mut().zip(agreeing) {
            if let Some(quality) = judged {
                taking_part.push((system.peer, system.version.clone()));
                qualities.push(quality);
                let known = system.solved_in;
                let entrant = Entrant::timed(system.peer.name, |repetitions| system.run(repetitions));
                entrants.push(entrant.known(known));
            }
        }
        let systems = entrants.len();
        let counted = listed.flops() > 0.0;
        let peak = |threads| self.probes.peak(listed.element, threads).into_iter().filter(|_| counted);
        entrants.extend(peak(self.threads));
        if let Some(alone) = alone {
            let known = alone.solved_in;
            entrants.push(Entrant::timed("alone", |repetitions| alone.run(repetitions)).known(known));
            entrants.extend(peak(1));
        }
        for stream in streams {
            entrants.push(Entrant::timed(stream.peer.name, |repetitions| stream.run(repetitions)));
        }
        let measured = measure(&self.options.settings, &mut entrants)?;
        drop(entrants);
        self.systems.iter_mut().filter_map(System::failed).for_each(|what| compared.leave_out(what));
        let (measured, beside) = measured.split_at(systems);
        let ours = &measured[0];
        let ended = |one: &Measured| one.seconds.iter().all(|seconds| seconds.is_finite());
        let peers = measured.iter().zip(&taking_part).skip(1).filter(|(_, (peer, _))| !peer.variant);
        let peers = peers.map(|(one, _)| one).filter(|one| ended(one));
        let best = peers.min_by(|a, b| a.ratio(ours).total_cmp(&b.ratio(ours)));
        let (beside, streams) = beside.split_at(beside.len() - rates.len());
        let best_stream = streams
            .iter()
            .zip(rates)
            .map(|(one, (name, moves))| (one, name, listed.bytes(moves.unwrap_or(0.0))))
            .min_by(|a, b| (a.0.median() / a.2).total_cmp(&(b.0.median() / b.2)));
        let peak = beside.first().filter(|_| counted);
        let peak = peak.map(|peak| self.probes.flops(listed.element, self.threads, &peak.seconds));
        for (i, one) in measured.iter().enumerate().filter(|(_, one)| ended(one)) {
            let share = |peak: &Vec<f64>| {
                let shares = one.seconds.iter().zip(peak).map(|(s, peak)| listed.flops() / s / peak);
                median(&shares.collect::<Vec<_>>())
            };
            compared.rows.push(Row {
                case: format!("{} {}", listed.kind, listed.element),
                group: listed.group,
                shape: listed.shape_text(),
                flops: listed.flops(),
                threads: self.threads,
                system: taking_part[i].0.name,
                variant: taking_part[i].0.variant,
                version: taking_part[i].1.clone(),
                seconds: one.median(),
                rounds: one.seconds.len(),
                ratio: best.map_or(f64::NAN, |best: &Measured| best.ratio(one)),
                behind: one.ratio(ours),
                share: peak.as_ref().map(share),
                speed_up: match (i, beside) {
                    (0, [peak, alone, peak_alone]) => {
                        let threads = self.threads as f64;
                        Some(SpeedUp { ours: alone.ratio(one), peak: threads * peak_alone.ratio(peak) })
                    }
                    (0, [alone]) if !counted => Some(SpeedUp { ours: alone.ratio(one), peak: f64::NAN }),
                    _ => None,
                },
                streamed: best_stream.map(|(stream, of, bytes)| {
                    let moved = listed.bytes(listed.moves());
                    let rate = bytes / stream.median();
                    Streamed {
                        rate: moved / one.median(),
                        share: stream.ratio(one) * moved / bytes,
                        of,
                        best: rate,
                    }
                }),
                quality: qualities[i],
            });
        }
        Ok(())
    }

    /// The systems, ours first.
    fn names(&self) -> Vec<&'static str> {
        self.systems.iter().map(|system| system.peer.name).collect()
    }

    /// Where the problem lies that all systems solve.
    fn problem(&self, listed: &Listed) -> Problem {
        problem_of(listed, self.place)
    }

    /// Has all systems solve the problem once. For each that agrees how good its result is, if there is more to say.
    fn agree(
        &mut self,
        problem: &Problem,
        agreement: &Agreement,
        described: &str,
        compared: &mut Compared,
    ) -> io::Result<Vec<Option<Option<Quality>>>> {
        agree(&mut self.systems, problem, agreement, described, compared)
    }

    /// Notes who took part.
    fn tell_systems(&self, compared: &mut Compared) {
        for system in &self.systems {
            let told = [system.peer.name, &system.version, &system.configuration].map(String::from);
            if !system.version.is_empty() && !compared.systems.contains(&told) {
                compared.systems.push(told);
            }
        }
    }
}

/// A problem whose operands lie in the folder of the comparison.
fn problem_of(listed: &Listed, place: &Place) -> Problem {
    Problem {
        kind: listed.kind.into(),
        element: listed.element.into(),
        shape: listed.shape.clone(),
        layout: listed.layout,
        folder: place.folder.clone(),
    }
}

fn agree(
    systems: &mut [System<'_>],
    problem: &Problem,
    agreement: &Agreement,
    described: &str,
    compared: &mut Compared,
) -> io::Result<Vec<Option<Option<Quality>>>> {
    let mut results: Vec<Option<Vec<f64>>> = Vec::new();
    for system in systems.iter_mut() {
        if system.peer.lacks.contains(&problem.kind.as_str()) {
            compared.leave_out(format!("{}: {} is not offered", system.peer.name, problem.kind));
        }
        let solved = system.peer.solves(problem).then(|| system.solve(problem)).transpose();
        results.push(match solved {
            Ok(result) => result,
            Err(error) if system.peer.name == OURS.name => return Err(error),
            Err(error) => {
                compared.leave_out(format!("{}: {error}", system.peer.name));
                None
            }
        });
    }
    let given: Vec<&[f64]> = results.iter().flatten().map(Vec::as_slice).collect();
    let mut judged = agreement.judge(&given).into_iter();
    let mut agreeing = Vec::new();
    for (system, result) in systems.iter().zip(&results) {
        agreeing.push(match result.as_ref().and_then(|_| judged.next()) {
            Some(Ok(quality)) => Some(quality),
            Some(Err(what)) => {
                compared.disagreements.push(format!("{} on {described}: {what}", system.peer.name));
                None
            }
            None => None,
        });
    }
    Ok(agreeing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_found_by_name() {
        assert!(find("gemm").is_ok());
        assert!(find("nonsense").is_err_and(|error| {
            error.to_string().ends_with("linear, trees, tree-threads, gbdt, gbdt-threads, networks")
        }));
    }

    #[test]
    fn a_comparison_without_its_required_peers_says_so() {
        let comparison = find("gemm").unwrap();
        let listed = (comparison.problems)(true);
        let row = |system| Row { system, ..outcome::tests::row("4 x 4 x 4", 1.0) };
        let rows = ["tilewise", "MKL", "OpenBLAS", "gemm", "faer", "MKL"].map(row).to_vec();
        let compared = Compared { rows, ..Compared::default() };
        assert_eq!(comparison.incomplete(&compared, &listed[..1], &[1]), Vec::<String>::new());
        let lacking = comparison.incomplete(&compared, &listed[..1], &[1, 2]);
        assert_eq!(lacking.len(), 3);
        assert_eq!(lacking[0], "OpenBLAS took part in 1 of 2 problems");
        let missing = ["OpenBLAS: gone", "gemmkit: gone", "OpenBLAS: no library"].map(String::from).to_vec();
        let lacking = comparison.incomplete(&Compared { missing, ..compared }, &listed[..1], &[1, 2]);
        assert_eq!(lacking[0], "OpenBLAS took part in 1 of 2 problems: gone; no library");
        assert_eq!(lacking[1], "gemm took part in 1 of 2 problems");
    }
}
