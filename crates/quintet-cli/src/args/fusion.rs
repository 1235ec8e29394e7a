//! Arguments of `quintet fusion`.

use clap::{Args, Subcommand};

use super::{RunArgs, WatchArgs};

#[derive(Debug, Args)]
pub(crate) struct FusionArgs {
    #[command(subcommand)]
    pub(crate) command: FusionCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FusionCommand {
    /// Fits one model with every fusion layer and says which one to take, by validation. Fits are
    /// kept in `fusion/` of the run's folder, so that a call that was stopped goes on.
    Compare(FusionCompareArgs),
    /// Takes modalities away from items after the fit and shows what is left of the accuracy; fits
    /// are kept as in `compare`.
    Removal(FusionRemovalArgs),
}

/// What both take.
#[derive(Debug, Args)]
pub(crate) struct FusionRunArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// The model that carries the layers, with its parameters from the run file: two_tower or
    /// vbpr.
    #[arg(long, value_name = "MODEL", default_value = "two_tower")]
    pub(crate) model: String,
    /// Fusion layers, separated by commas; all of `quintet list` by default.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) layers: Vec<String>,
    /// How many seeds, counted up from that of the run.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seeds: usize,
    /// No fit begins after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) budget: Option<u64>,
    /// Prints the table as Markdown.
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FusionCompareArgs {
    #[command(flatten)]
    pub(crate) on: FusionRunArgs,
    /// Opens the test part: shows the metric on it, and tests the rows against each other there.
    /// The choice looks at validation all the same.
    #[arg(long)]
    pub(crate) test: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FusionRemovalArgs {
    #[command(flatten)]
    pub(crate) on: FusionRunArgs,
    /// Shares of the (item, modality) pairs to take away.
    #[arg(
        long,
        value_name = "SHARES",
        value_delimiter = ',',
        default_value = "0,0.1,0.3,0.5,0.7,0.9"
    )]
    pub(crate) shares: Vec<f64>,
}
