//! `tilewise demo`: the whole of it on data in the binary: train, measure, serve, report.

use crate::demo::{page, problem, quality, requests, speed};
use crate::failure::{Failure, note};
use crate::{interrupt, output};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tilewise_base::replace;
use tilewise_server::Config;

const EXAMPLES: &str = "\
Examples:
  tilewise demo
  tilewise demo --out /tmp/tour --serve --bind 127.0.0.1:8000

Nothing is fetched: the data sets are in the binary. The folder holds the model files and report.html.";

/// Train every family on real data, measure threads, serve a model, write a report
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {
    /// Folder for model files and the report
    #[arg(long, value_name = "FOLDER", default_value = "tilewise-demo")]
    out: PathBuf,
    /// Keep serving at the end, until Ctrl-C
    #[arg(long)]
    serve: bool,
    /// Where the server listens; port 0 takes a free one
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    bind: String,
}

impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let start = Instant::now();
        let bind = tilewise_server::parse_bind(&self.bind).map_err(told)?;
        std::fs::create_dir_all(&self.out).map_err(|e| tilewise_base::Error::io(&self.out, e))?;
        let problems = problem::all()?;

        output::print("1. Every family on real data, 20 % of the rows held out\n")?;
        let cancel = interrupt::flag();
        let mut outcomes = Vec::new();
        for problem in &problems {
            for outcome in quality::train(problem, cancel)? {
                if interrupt::asked() {
                    return Err(Failure::Told("stopped".into()));
                }
                let file = self.out.join(format!("{}-{}.safetensors", problem.name, outcome.family));
                replace::write(&file, &outcome.model.to_bytes()?)?;
                outcomes.push(outcome);
            }
        }
        output::print(&quality::table(&outcomes).text())?;
        for outcome in &outcomes {
            for warning in &outcome.model.report().warnings {
                note("warning", format!("{} on {}: {warning}", outcome.family, outcome.problem));
            }
        }

        let threads = tilewise_kernels::parallel::threads();
        output::print(&format!("\n2. One thread against {threads} on a generated problem\n"))?;
        let speeds = speed::measure(cancel)?;
        if interrupt::asked() {
            return Err(Failure::Told("stopped".into()));
        }
        output::print(&speed::table(&speeds).text())?;
        if let Some(speed) = speeds.iter().find(|speed| !speed.same) {
            let what = format!("{} trains other bytes on one thread than on {threads}", speed.family);
            return Err(Failure::Told(what));
        }

        let (problem, model) = quality::to_serve(&problems, &outcomes)
            .ok_or_else(|| Failure::Told("no model was trained that could be served".into()))?;
        output::print(&format!("\n3. Serving the {} model to simultaneous requests\n", problem.name))?;
        let served = Arc::clone(&model);
        let config = Config { bind, signals: self.serve, ..Config::default() };
        let server = tilewise_server::start(config, vec![(problem.name.into(), served)]).map_err(told)?;
        let address =
            server.address().ok_or_else(|| Failure::Told("the demo asks over TCP: -b HOST:PORT".into()))?;
        let load = requests::send(address, problem, &*model)?;
        output::print(&format!("{load}\n"))?;

        let report = self.out.join("report.html");
        let page = page::page(&outcomes, &speeds, problem.name, &load);
        replace::write(&report, page.html().as_bytes())?;
        output::print(&format!(
            "\n{} model files and the report are in {} ({:.1} s in all)\n",
            outcomes.len(),
            self.out.display(),
            start.elapsed().as_secs_f64()
        ))?;
        if self.serve {
            let row = requests::row(problem, 0);
            output::print(&format!(
                "serving until Ctrl-C; try\n  curl -s http://{address}/predict -d '{row}'\n"
            ))?;
            server.join();
        } else {
            server.drain();
            server.join();
        }
        Ok(())
    }
}

fn told(error: tilewise_server::Error) -> Failure {
    Failure::Told(error.to_string())
}
