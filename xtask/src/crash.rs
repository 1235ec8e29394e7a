//! `cargo xtask crash-test`: training killed at random moments, and damaged checkpoints.

use anyhow::Result;
use xshell::cmd;

use crate::ci::shell;
use crate::repo::Repo;

/// Runs the crash tests of the program with so many kills and damaged checkpoints. The machine
/// should have nothing else to do: the moments of the kills are shares of a measured time.
pub(crate) fn run(repo: &Repo, kills: usize, damages: usize, seed: u64) -> Result<()> {
    let sh = shell(repo)?;
    let (kills, damages, seed) = (kills.to_string(), damages.to_string(), seed.to_string());
    // The whole workspace: selecting one package would change the features of Burn and build it
    // again. Other packages have no test of the name.
    cmd!(sh, "cargo test --workspace --test it crashes:: -- --nocapture --test-threads 1")
        .env("QUINTET_KILLS", kills)
        .env("QUINTET_DAMAGES", damages)
        .env("QUINTET_CRASH_SEED", seed)
        .run()?;
    Ok(())
}
