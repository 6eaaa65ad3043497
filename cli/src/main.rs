//! The tilewise command: train, cv, tune, evaluate, predict, explain, importance, inspect, export, quantise, serve, demo, a file each under `command/`.
//!
//! Results go to stdout, progress, warnings and errors to stderr. Exit code 0 is success, 1 a failure told in one line,
//! 2 a misused command line, 130 training that Ctrl-C ended early. A reader of stdout that goes away early ends the command quietly.

mod arguments;
mod command;
mod demo;
mod failure;
mod interrupt;
mod lesson;
mod output;
mod progress;
mod sparse;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  tilewise train --model logistic --data adult.csv --target income --test-fraction 0.2 \\
      --out m.safetensors
  tilewise cv --model forest --data adult.csv --target income --folds 5
  tilewise tune --model gbdt --data adult.csv --target income \\
      --search learning_rate=0.02..0.3:log --search max_leaves=15,31,63 --out best.safetensors
  tilewise evaluate --model m.safetensors --data more.csv
  tilewise predict --model m.safetensors --data new.csv --proba > answers.csv
  tilewise importance --model m.safetensors --data more.csv
  tilewise explain --model tree.safetensors --data new.csv --rows 5
  tilewise inspect --model m.safetensors
  tilewise inspect --model tree.safetensors --svg tree.svg
  tilewise export --model m.safetensors --to onnx --out m.onnx
  tilewise quantise --model net.safetensors --data training.csv --out small.safetensors
  tilewise demo
  tilewise serve m.safetensors

Every command tells more with --help.";

/// Train, check, use and serve models on tables (CSV, Parquet, Arrow, libsvm), on every core.
#[derive(Parser)]
#[command(name = "tilewise", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(command::train::Train),
    Cv(command::cv::Cv),
    Tune(command::tune::Tune),
    Evaluate(command::evaluate::Evaluate),
    Predict(command::predict::Predict),
    Explain(command::explain::Explain),
    Importance(command::importance::ImportanceOf),
    Inspect(command::inspect::Inspect),
    Export(command::export::Export),
    #[command(visible_alias = "quantize")]
    Quantise(command::quantise::Quantise),
    Demo(command::demo::Demo),
    Serve(command::serve::Serve),
    #[command(hide = true)]
    Worker(command::worker::Worker),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Train(train) => train.run(),
        Command::Cv(cv) => cv.run(),
        Command::Tune(tune) => tune.run(),
        Command::Evaluate(evaluate) => evaluate.run(),
        Command::Predict(predict) => predict.run(),
        Command::Explain(explain) => explain.run(),
        Command::Importance(importance) => importance.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Export(export) => export.run(),
        Command::Quantise(quantise) => quantise.run(),
        Command::Demo(demo) => demo.run(),
        Command::Serve(serve) => serve.run(),
        Command::Worker(worker) => worker.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
