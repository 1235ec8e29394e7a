//! The command line.

mod fusion;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use quintet::core::Modality;
use quintet::data::ImportIds;
use quintet::ingest::ExportFormat;
use quintet::tensor::DeviceChoice;

use crate::world::WorldConfig;

pub(crate) use fusion::{
    FusionArgs, FusionCommand, FusionCompareArgs, FusionRemovalArgs, FusionRunArgs,
};

/// A multimodal recommender: text, image, audio, video and behaviour, played together.
///
/// Start with `quintet demo`: it writes a small world as real media files, goes the whole way
/// from files to recommendations and prints how far each model is from the best possible.
#[derive(Debug, Parser)]
#[command(name = "quintet", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Number of threads; all cores by default.
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// The folder of trained weights; by default $QUINTET_WEIGHTS, else `quintet/weights` where
    /// the system keeps data of programs.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) weights: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Goes the whole way on a small world that it generates as real media files.
    Demo(DemoArgs),
    /// Goes the whole way on your data: ingest, encode, train, evaluate, recommend.
    Run(TrainArgs),
    /// Reads the sources of a run file into a dataset, with a validation report.
    Ingest(IngestArgs),
    /// Writes a dataset in the forms that other tools read.
    Export(ExportArgs),
    /// Takes a feature matrix of somebody else (`.npy`) into the feature store of a run.
    Import(ImportArgs),
    /// Turns the dataset's media into features.
    Encode(RunArgs),
    /// Fits the models of a run file.
    Train(TrainArgs),
    /// Measures the fitted models on the test part.
    Evaluate(RunArgs),
    /// Recommends to one user, with reasons.
    Recommend(RecommendArgs),
    /// Searches parameters of a model, as `[tune]` of the run file says, by validation.
    Tune(TuneArgs),
    /// Measures every model by cross-validation: on every fold, or with one of each user left out.
    Cv(CvArgs),
    /// Measures every model of the run file with several seeds on one split, with paired tests.
    Seeds(SeedsArgs),
    /// Writes the page about a run again, from the files in its folder.
    Report(ReportArgs),
    /// Lists, shows and compares runs.
    Runs(RunsArgs),
    /// Compares ways to bring the modalities together, on the data of a run file.
    Fusion(FusionArgs),
    /// Keeps weights that others trained, by name, for all runs.
    Weights(WeightsArgs),
    /// Checks devices, threads and the processor, and says what to change.
    Doctor(DoctorArgs),
    /// Lists the encoders, fusion layers, models and metrics in this program.
    List(ListArgs),
}

/// What every verb on a run file takes.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The run file (TOML); `examples/movielens.toml` is one to start from.
    #[arg(value_name = "FILE.toml")]
    pub(crate) file: PathBuf,
    /// The folder that the paths in `[ingest]` are relative to.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) data_root: PathBuf,
    /// Where the run keeps its stages; `runs/<name>` by default.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where vectors are kept by content, so that nothing is encoded twice; runs may share it.
    /// `cache` in the run's folder by default.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// auto, flex, ndarray, wgpu, vulkan or cuda, as far as compiled in.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
    /// Overrides the seed of the run file.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Prints one JSON object instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

/// How a person watches models train.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Shows models, curves and the time that is left on the whole terminal while models train.
    #[arg(long, conflicts_with = "json")]
    pub(crate) dashboard: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Reads a table or a folder instead of a run file, and proposes an `[ingest]` for it.
    #[arg(long)]
    pub(crate) guess: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The folder of a run, or the `dataset` folder in it.
    #[arg(value_name = "DIR")]
    pub(crate) dataset: PathBuf,
    /// csv, tsv, jsonl, json, parquet, arrow, recbole, lightgcn or mmrec.
    #[arg(long, value_name = "FORMAT", value_parser = crate::commands::export::format)]
    pub(crate) format: ExportFormat,
    /// Where the files go; replaced where it is an earlier export.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Models use the matrix when the run file names it too, as `[[features]]` of the same modality;
/// `quintet encode` then imports it as well, so that this verb is for a look at it beforehand.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The folder of a run whose dataset is ingested.
    #[arg(value_name = "DIR")]
    pub(crate) run: PathBuf,
    /// The matrix, one row a vector.
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) npy: PathBuf,
    /// What the vectors show the items as: text, image, audio, video or place.
    #[arg(long, value_name = "MODALITY", value_parser = crate::commands::import::modality)]
    pub(crate) modality: Modality,
    /// Which row is which item: dataset-order, item-is-row, list=FILE (an id a line) or map=FILE
    /// (a table of ids and row numbers).
    #[arg(long, value_name = "IDS", value_parser = crate::commands::import::ids)]
    pub(crate) ids: ImportIds,
    /// What made the vectors, as a name for the store.
    #[arg(long, value_name = "NAME", default_value = "foreign")]
    pub(crate) name: String,
    /// Stores 16-bit numbers.
    #[arg(long)]
    pub(crate) f16: bool,
    /// A row of zeros means that there is no vector.
    #[arg(long)]
    pub(crate) zero_is_missing: bool,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RecommendArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The user, by its own id.
    #[arg(long, value_name = "ID")]
    pub(crate) user: String,
    /// The model, by its label; the reference of `[evaluate]` by default.
    #[arg(long, value_name = "LABEL")]
    pub(crate) model: Option<String>,
    /// Length of the list.
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub(crate) k: usize,
    /// How many reasons to show for each item.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) reasons: usize,
}

/// The search writes a line a fit into `tune/trials.jsonl` of the run's folder. One that was
/// killed goes on where it was when it is called again, and repeats nothing.
#[derive(Debug, Args)]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// How many points, instead of `trials`; more than before are added to those that were done.
    #[arg(long, value_name = "N")]
    pub(crate) trials: Option<usize>,
    /// How many seeds a point, instead of `seeds`.
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<usize>,
    /// Trials at the same time, instead of `parallel`.
    #[arg(long, value_name = "N")]
    pub(crate) parallel: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct CvArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// Folds; each is the test part once. Replaces `[split]`.
    #[arg(long, value_name = "K", default_value_t = 5, conflicts_with = "leave_one_out")]
    pub(crate) folds: usize,
    /// Rounds with one interaction of each user as the test part, instead of folds.
    #[arg(long, value_name = "ROUNDS")]
    pub(crate) leave_one_out: Option<usize>,
    /// Share of the other folds that early stopping looks at; with --leave-one-out it is one
    /// interaction of each user.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub(crate) valid: f64,
}

/// Every fit adds a line to `seeds/fits.jsonl` of the run's folder. A call that was stopped goes on
/// where it was when it is made again, and more seeds or models are added to those that are there.
#[derive(Debug, Args)]
pub(crate) struct SeedsArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// How many seeds, counted up from that of the run, which also makes the split.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) seeds: usize,
    /// No fit begins after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) budget: Option<u64>,
    /// Prints the table as Markdown.
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The folder of a run that was evaluated; `report.html` is written into it.
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Lists the runs in a folder: when, dataset, best model, metric.
    List {
        /// Where to look; runs in folders below are found too.
        #[arg(value_name = "DIR", default_value = "runs")]
        dir: PathBuf,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Shows one run in detail.
    Show {
        /// Its folder.
        #[arg(value_name = "RUN_DIR")]
        run: PathBuf,
        /// Shows what every model did for this test user, by the user's own id.
        #[arg(long, value_name = "ID")]
        user: Option<String>,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Compares runs with a first one, metric by metric, with paired tests.
    Compare(RunsCompareArgs),
    /// Writes the item factors of a model for the embedding projector of TensorBoard.
    Projector(RunsProjectorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunsCompareArgs {
    /// The folder of the first run.
    #[arg(value_name = "RUN_DIR")]
    pub(crate) baseline: PathBuf,
    /// The folders of the runs that are compared with it.
    #[arg(value_name = "RUN_DIR", required = true)]
    pub(crate) others: Vec<PathBuf>,
    /// Only this model, by its label; all that both runs have by default.
    #[arg(long, value_name = "LABEL")]
    pub(crate) model: Option<String>,
    /// Shows metrics that are equal too.
    #[arg(long)]
    pub(crate) all: bool,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunsProjectorArgs {
    /// The folder of a run.
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run: PathBuf,
    /// The model, by its label; the best in validation by default.
    #[arg(long, value_name = "LABEL")]
    pub(crate) model: Option<String>,
    /// Where vectors.tsv and metadata.tsv go; `tensorboard/<label>` in the run's folder by default,
    /// so that `tensorboard --logdir RUN_DIR/tensorboard` shows curves and items.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WeightsArgs {
    #[command(subcommand)]
    pub(crate) command: WeightsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WeightsCommand {
    /// Copies a file or folder with safetensors into the folder of weights.
    Add(WeightsAddArgs),
    /// Lists what is there, and what each encoder wants.
    List {
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Takes weights away.
    Remove {
        /// Their name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WeightsAddArgs {
    /// What run files call them: `params = { weights = "NAME" }`.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A file or folder, or an address: file://, and https:// where that is compiled in.
    #[arg(value_name = "PATH_OR_URL")]
    pub(crate) source: String,
    /// The hash that they must have: of the file, or of the folder as `list` prints it.
    #[arg(long, value_name = "HASH")]
    pub(crate) blake3: Option<String>,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Shows the parameters of this model with their defaults.
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where the world and the run are written.
    #[arg(long, value_name = "DIR", default_value = "quintet-out/demo")]
    pub(crate) out: PathBuf,
    /// The seed of the world and of the training.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Repeats everything for so many seeds and prints a row for each comparison and seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seeds: u64,
    /// auto, flex, ndarray, wgpu, vulkan or cuda, as far as compiled in.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
    /// Prints one JSON object instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// Prints the recipe of the world and stops.
    #[arg(long)]
    pub(crate) recipe: bool,
    #[command(flatten)]
    pub(crate) world: WorldArgs,
}

/// The knobs of the synthetic world.
#[derive(Debug, Args)]
#[command(next_help_heading = "World (see --recipe)")]
pub(crate) struct WorldArgs {
    /// Number of users.
    #[arg(long, value_name = "N")]
    users: Option<usize>,
    /// Number of items.
    #[arg(long, value_name = "N")]
    items: Option<usize>,
    /// Number of latent themes.
    #[arg(long, value_name = "N")]
    themes: Option<usize>,
    /// Mean number of clicks a user makes.
    #[arg(long, value_name = "N")]
    clicks_per_user: Option<usize>,
    /// Noise of the themes in each modality, from 0.
    #[arg(long, value_name = "X")]
    noise: Option<f32>,
    /// How much some themes look alike within a modality, 0 to 1.
    #[arg(long, value_name = "X")]
    overlap: Option<f32>,
    /// Strength of taste in the clicks.
    #[arg(long, value_name = "X")]
    taste: Option<f32>,
    /// Strength of popularity in the clicks.
    #[arg(long, value_name = "X")]
    popularity: Option<f32>,
    /// Share of (item, modality) pairs without a file, 0 to 1.
    #[arg(long, value_name = "X")]
    missing: Option<f32>,
    /// Share of brand-new items, 0 to 1.
    #[arg(long, value_name = "X")]
    cold: Option<f32>,
}

impl WorldArgs {
    /// The defaults with the given knobs turned.
    pub(crate) fn config(&self, seed: u64) -> WorldConfig {
        let d = WorldConfig::default();
        WorldConfig {
            users: self.users.unwrap_or(d.users),
            items: self.items.unwrap_or(d.items),
            themes: self.themes.unwrap_or(d.themes),
            clicks_per_user: self.clicks_per_user.unwrap_or(d.clicks_per_user),
            noise: self.noise.unwrap_or(d.noise),
            overlap: self.overlap.unwrap_or(d.overlap),
            taste: self.taste.unwrap_or(d.taste),
            popularity: self.popularity.unwrap_or(d.popularity),
            missing: self.missing.unwrap_or(d.missing),
            cold: self.cold.unwrap_or(d.cold),
            seed,
        }
    }
}
