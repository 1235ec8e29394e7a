//! The `quintet` program: from raw files to recommendations.

mod allocator;
mod args;
mod bar;
mod commands;
mod dashboard;
mod lines;
mod print;
mod world;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    allocator::keep_freed_memory();
    let cli = Cli::parse();
    if let Err(e) = start_threads(cli.threads) {
        return fail(&e);
    }
    let weights = commands::weights::store(cli.weights.as_deref());
    let result = match cli.command {
        Command::Demo(args) => commands::demo::run(&args, &weights),
        Command::Run(args) => commands::stages::run(&args, &weights),
        Command::Ingest(args) => commands::stages::ingest(&args, &weights),
        Command::Export(args) => commands::export::run(&args),
        Command::Import(args) => commands::import::run(&args),
        Command::Encode(args) => commands::stages::encode(&args, &weights),
        Command::Train(args) => commands::stages::train(&args, &weights),
        Command::Evaluate(args) => commands::stages::evaluate(&args, &weights),
        Command::Recommend(args) => commands::recommend::run(&args, &weights),
        Command::Tune(args) => commands::tune::tune(&args, &weights),
        Command::Cv(args) => commands::tune::cv(&args, &weights),
        Command::Seeds(args) => commands::seeds::run(&args, &weights),
        Command::Report(args) => commands::report::run(&args),
        Command::Runs(args) => commands::runs::run(&args),
        Command::Fusion(args) => commands::fusion::run(&args.command, &weights),
        Command::Weights(args) => commands::weights::run(&args, &weights),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::List(args) => commands::list::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&e),
    }
}

fn start_threads(threads: Option<usize>) -> anyhow::Result<()> {
    if let Some(n) = threads {
        anyhow::ensure!(n > 0, "--threads: expected at least 1, found 0");
        rayon::ThreadPoolBuilder::new().num_threads(n).build_global()?;
    }
    Ok(())
}

/// One line, the whole chain of causes where it says something new.
fn fail(error: &anyhow::Error) -> ExitCode {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // A parser that reports in several lines says in the last one what is wrong.
        let said = cause.lines().rfind(|l| !l.trim().is_empty()).unwrap_or_default().trim();
        if !text.contains(said) {
            text = format!("{text}: {said}");
        }
    }
    print::error(&text.replace('\n', " "));
    ExitCode::FAILURE
}
