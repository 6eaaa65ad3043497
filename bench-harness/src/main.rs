//! The `tilewise-bench` command: check, scale, compare, report.

use clap::{Args, Parser, Subcommand};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tilewise_bench::case::Case;
use tilewise_bench::{cases, check, compare, report, scale};
#[cfg(target_os = "linux")]
use tilewise_bench::{disk, serve, spark, turns};
use tilewise_report::{Csv, Machine, Page, Settings};

/// Checks kernels and models against naive versions, measures how they scale, compares them with peers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare every kernel and model with its reference over many shapes, layouts, instruction sets, thread counts.
    Check {
        /// Only cases whose name contains one of these, e.g. `gemm` or `gemm,exp f32`.
        #[arg(value_delimiter = ',')]
        filter: Vec<String>,
        /// Shapes of every case.
        #[arg(long, default_value_t = 40)]
        samples: usize,
        /// Key of the random shapes and operands.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Time every kernel and model on 1..N threads beside the machine's own peaks.
    Scale {
        /// Only cases whose name contains one of these.
        #[arg(value_delimiter = ',')]
        filter: Vec<String>,
        #[command(flatten)]
        measuring: Measuring,
        /// Also write the numbers to this CSV file.
        #[arg(long)]
        csv: Option<PathBuf>,
    },
    /// Compare with other products, each in its own process, in turn, on the same bytes and threads.
    Compare {
        /// gemm, plan, add, vecmath, vector, histogram, linear, trees, tree-threads, gbdt, gbdt-threads, networks, serve, spark or disk.
        name: String,
        #[command(flatten)]
        measuring: Measuring,
        /// Only problems whose description contains all of these words, e.g. `f32,cubes` or `"f64 16 x 16"`.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Tell thread pools of peers to sleep at once after each call.
        #[arg(long)]
        passive: bool,
        /// Trees: also judge the quality over so many seeds of rows.
        #[arg(long, default_value_t = 0)]
        seeds: u64,
        /// Trees: also measure the memory that training takes.
        #[arg(long)]
        memory: bool,
        /// Measure no times, only what --seeds and --memory ask for; the page is NAME-untimed.
        #[arg(long)]
        untimed: bool,
        /// Spark, disk: rows of the table in place of those that are usual.
        #[arg(long)]
        rows: Option<usize>,
        /// Write NAME.html, NAME.md and NAME.csv into the machine's folder below this one, anew after each problem [default:
        /// `target/compare`].
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Judge trees, forests and boosting on real data beside other libraries' at equal settings.
    Quality {
        /// Divisions into training and test rows.
        #[arg(long, default_value_t = 5)]
        seeds: u64,
        /// Where the data sets lie that are not part of the project [default: $TILEWISE_DATA, else ../shared/data].
        #[arg(long)]
        data: Option<PathBuf>,
        /// Fewer trees, to see that all works.
        #[arg(long)]
        quick: bool,
        /// Write quality.html and quality.md into the machine's folder below this one [default: `target/compare`].
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Check and scale, and write a page with the numbers beside it into `reports/`.
    Report {
        /// Only cases whose name contains one of these.
        #[arg(long, value_delimiter = ',')]
        filter: Vec<String>,
        #[command(flatten)]
        measuring: Measuring,
        /// Where to write [default: `reports` of this checkout].
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Our side of a comparison, which `compare` starts.
    #[command(hide = true)]
    Worker {
        /// A naive form of histograms; ours without.
        #[arg(default_value = "")]
        form: String,
    },
    /// A server of our own, which `compare serve` starts.
    #[command(hide = true)]
    ServeWorker { form: String, model: PathBuf, address: std::net::SocketAddr },
}

#[derive(Args)]
struct Measuring {
    /// Thread counts, e.g. `1,2,4` [default: 1 to all cores].
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Samples of everything that is timed [default: 7, quick 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of samples after which a system of a comparison takes no further turn [default: 60, quick 5].
    #[arg(long)]
    longest: Option<f64>,
    /// Small shapes and few samples, to see that all works.
    #[arg(long)]
    quick: bool,
}

impl Measuring {
    fn options(&self) -> scale::Options {
        let mut options = if self.quick { scale::Options::quick() } else { scale::Options::full() };
        if !self.threads.is_empty() {
            options.threads.clone_from(&self.threads);
            options.threads.sort_unstable();
            options.threads.dedup();
        }
        options.settings.rounds = self.rounds.unwrap_or(options.settings.rounds).max(1);
        options
    }

    fn comparing(&self) -> compare::Options {
        let options = self.options();
        // Samples of other processes hold a wake-up, which must count less than 1 %.
        let sample_seconds = options.settings.sample_seconds * 5.0;
        let longest = self.longest.unwrap_or(if self.quick { 5.0 } else { 60.0 });
        let settings = Settings { sample_seconds, longest, ..options.settings };
        compare::Options {
            threads: options.threads,
            settings,
            quick: self.quick,
            only: Vec::new(),
            passive: false,
            timed: true,
            seeds: 0,
            memory: false,
            target: target(),
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; false when it ran but found something wrong.
fn run(command: Command) -> io::Result<bool> {
    match command {
        Command::Check { filter, samples, seed } => {
            let options = check::Options { samples, seed, ..check::Options::default() };
            let mut checked = Vec::new();
            for case in matching(&filter)? {
                eprintln!("checking {}", case.title());
                checked.push(check::check(&case, &options));
            }
            let failures = checked.iter().filter(|one| one.failure.is_some()).count();
            let comparisons: usize = checked.iter().map(|one| one.comparisons).sum();
            let sets: Vec<&str> = options.sets.iter().map(|set| set.name()).collect();
            print!("{}", check::table(&checked).text());
            println!(
                "{comparisons} comparisons of {} cases on {} at {:?} threads: {failures} cases differ",
                checked.len(),
                sets.join(", "),
                options.threads
            );
            Ok(failures == 0)
        }
        Command::Scale { filter, measuring, csv } => {
            let scaling = scale::scale(
                &matching(&filter)?,
                &measuring.options(),
                |what| eprintln!("{what}"),
                |_| Ok(()),
            )?;
            println!("{}\n{}", scaling.roof_table().text(), scaling.table().text());
            csv.map_or(Ok(()), |file| write(&file, scaling.csv().text()))?;
            Ok(true)
        }
        #[cfg(target_os = "linux")]
        Command::Compare { name, measuring, only, out, .. } if name == "serve" => {
            let seconds = if measuring.quick { 0.5 } else { measuring.longest.unwrap_or(4.0) };
            let time = std::time::Duration::from_secs_f64(seconds);
            let rounds = measuring.rounds.unwrap_or(if measuring.quick { 1 } else { 5 }).max(1);
            // A minute shows whether memory grows.
            let overload = if measuring.quick { time * 2 } else { time * 15 };
            let options = serve::Options { rounds, time, overload, only, target: target() };
            let findings = serve::run(&options, |what| eprintln!("{what}"))?;
            println!("{}", machine().table().text());
            findings.tables().iter().for_each(|table| println!("{}", table.text()));
            findings.missing.iter().for_each(|what| println!("left out: {what}"));
            keep(out, "serve", &serve::page(&findings, machine()), Some(&findings.csv()))?;
            Ok(findings.missing.is_empty())
        }
        #[cfg(target_os = "linux")]
        Command::Compare { name, measuring, only, rows, out, .. } if ["spark", "disk"].contains(&&*name) => {
            let rounds = measuring.rounds.unwrap_or(if measuring.quick { 1 } else { 3 }).max(1);
            let options = turns::Options { rounds, quick: measuring.quick, only, rows, target: target() };
            let tell = |what: &str| eprintln!("{what}");
            let findings =
                if name == "spark" { spark::run(&options, tell)? } else { disk::run(&options, tell)? };
            println!("{}", machine().table().text());
            findings.tables().iter().for_each(|table| println!("{}", table.text()));
            findings.missing.iter().for_each(|what| println!("left out: {what}"));
            keep(out, &name, &findings.page(machine()), Some(&findings.csv()))?;
            Ok(findings.missing.is_empty())
        }
        Command::Compare { name, measuring, only, passive, seeds, memory, untimed, out, .. } => {
            let comparison = compare::find(&name)?;
            let timed = !untimed;
            if untimed && seeds == 0 && !memory {
                return Err(io::Error::other(
                    "--untimed leaves nothing to measure without --seeds or --memory",
                ));
            }
            let options = compare::Options { only, passive, timed, seeds, memory, ..measuring.comparing() };
            let out = out.unwrap_or_else(|| target().join("compare"));
            let machine = machine();
            // A page without times replaces none that has them.
            let name = if timed { comparison.name.to_owned() } else { format!("{name}-untimed") };
            let keep = |compared: &compare::Compared| {
                let page = report::comparison(comparison, compared, machine.clone());
                report::write(&out, &name, &page, timed.then(|| compared.csv()).as_ref())
            };
            let compared =
                comparison.run(&options, |what| eprintln!("{what}"), |so_far| keep(so_far).map(drop))?;
            println!("{}: {}\n", comparison.name, comparison.about);
            println!("{}", machine.table().text());
            if timed {
                println!("{}", compared.table().text());
            }
            compared.summary().iter().for_each(|table| println!("{}", table.text()));
            println!("{}", compared.systems().text());
            compared.missing.iter().for_each(|what| println!("left out: {what}"));
            compared.faults().iter().for_each(|what| println!("{what}"));
            println!("{}", keep(&compared)?.display());
            Ok(compared.is_sound())
        }
        Command::Quality { seeds, data, quick, out } => {
            let data = compare::RealData::new(data);
            let tables = compare::quality(&data, seeds, quick, &target(), |what| eprintln!("{what}"))?;
            println!("{}", machine().table().text());
            tables.iter().for_each(|table| println!("{}", table.text()));
            keep(out, "quality", &report::quality(tables, machine()), None)?;
            Ok(true)
        }
        Command::Report { filter, measuring, out } => {
            let (cases, options) = (matching(&filter)?, measuring.options());
            let samples = if options.quick { 5 } else { check::Options::default().samples };
            let checking = check::Options { samples, ..check::Options::default() };
            let check = |case| {
                eprintln!("checking {}", Case::title(case));
                check::check(case, &checking)
            };
            let checked: Vec<_> = cases.iter().map(check).collect();
            let out = out.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports"));
            let machine = machine();
            let keep = |scaling: &scale::Scaling, is_complete| {
                let (machine, checked) = (machine.clone(), &checked);
                report::Findings { machine, checked, scaling, is_complete }.write(&out)
            };
            let tell = |what: &str| eprintln!("{what}");
            let scaling = scale::scale(&cases, &options, tell, |so_far| keep(so_far, false).map(drop))?;
            println!("{}", keep(&scaling, true)?.display());
            Ok(checked.iter().all(|one| one.failure.is_none()))
        }
        #[cfg(target_os = "linux")]
        Command::ServeWorker { form, model, address } => serve::work(&form, &model, address).map(|()| true),
        #[cfg(not(target_os = "linux"))]
        Command::ServeWorker { .. } => Err(io::Error::other("servers are compared on Linux only")),
        Command::Worker { form } => compare::work(&form).map(|()| true),
    }
}

/// Where operands, environments and builds of peers are kept.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

/// Writes a comparison's page, says where.
fn keep(out: Option<PathBuf>, name: &str, page: &Page, csv: Option<&Csv>) -> io::Result<()> {
    let out = out.unwrap_or_else(|| target().join("compare"));
    println!("{}", report::write(&out, name, page, csv)?.display());
    Ok(())
}

/// This machine at this commit.
fn machine() -> Machine {
    let commit = tilewise_report::commit(Path::new(env!("CARGO_MANIFEST_DIR")));
    Machine::detect(report::today()).at_commit(commit)
}

fn matching(filters: &[String]) -> io::Result<Vec<Case>> {
    let cases = cases::matching(filters);
    if cases.is_empty() {
        let names: Vec<String> = cases::all().iter().map(Case::title).collect();
        return Err(io::Error::other(format!(
            "no case is named {}; there are: {}",
            filters.join(" or "),
            names.join(", ")
        )));
    }
    Ok(cases)
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let place = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    std::fs::write(file, text).map_err(place)
}
