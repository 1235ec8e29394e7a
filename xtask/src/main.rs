//! The project's own commands: `cargo xtask ci | test | tidy | new | crash-test`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command-line tool talks to its user

mod ci;
mod crash;
mod new;
mod repo;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;

use crate::repo::Repo;

#[allow(unreachable_pub, missing_docs)] // the macro writes these types
mod flags {
    xflags::xflags! {
        /// Quintet's project commands.
        cmd xtask {
            /// Run every check, cheapest first: format, tidy, clippy, tests, examples, docs.
            cmd ci {}

            /// Run all tests, documentation tests included.
            cmd test {}

            /// Check layers, sizes, headers, manifests, fixtures and the paths in the documents.
            cmd tidy {}

            /// Kill training at random moments and damage checkpoints; compare the bytes that are left.
            cmd crash-test {
                /// Kills (default: 100).
                optional --times times: usize
                /// Damaged checkpoints (default: 50).
                optional --damages damages: usize
                /// Seed of the moments and damages (default: 1).
                optional --seed seed: u64
            }

            /// Scaffold an encoder, fusion, model or metric: one file and one registration line.
            cmd new {
                /// encoder, fusion, model or metric.
                required kind: String
                /// Its registry name, such as `resnet50` or `late-mean`.
                required name: String
                /// For an encoder: text, image, audio or video (default: image).
                optional --modality modality: String
            }
        }
    }
}

fn main() -> ExitCode {
    let flags = flags::Xtask::from_env_or_exit();
    match run(flags.subcommand) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // One line with every cause; a backtrace of xtask itself helps nobody.
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: flags::XtaskCmd) -> Result<()> {
    let repo = Repo::open()?;
    match command {
        flags::XtaskCmd::Ci(_) => ci::run(&repo),
        flags::XtaskCmd::Test(_) => ci::test(&repo),
        flags::XtaskCmd::Tidy(_) => tidy::run(&repo),
        flags::XtaskCmd::CrashTest(test) => crash::run(
            &repo,
            test.times.unwrap_or(100),
            test.damages.unwrap_or(50),
            test.seed.unwrap_or(1),
        ),
        flags::XtaskCmd::New(new) => {
            let done = new::run(&repo, &new.kind, &new.name, new.modality.as_deref())?;
            println!("{done}");
            Ok(())
        }
    }
}
