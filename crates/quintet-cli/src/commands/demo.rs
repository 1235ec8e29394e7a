//! `quintet demo`: the whole way on a world whose truth is known.

use std::path::{Path, PathBuf};
use std::time::Instant;

use quintet::core::{Capability, Matrix, ModelState, Recommender, ScoreError, UserIdx};
use quintet::pipeline::{
    self, ModelResult, Prepared, Request, RunResult, TrainedModel, WeightStore,
};
use serde::Serialize;

use super::stages::Job;
use crate::args::{DemoArgs, RunArgs};
use crate::print;
use crate::world::{RECIPE, World, WorldConfig, WorldFiles};

/// The label of the model that reads everything.
const FUSED: &str = "fused";
/// The first line of the run file, by which a later demo knows its own folder.
const MARK: &str = "# The run file of `quintet demo`, written by it.";
/// The label of the ranking by true utility.
const CEILING: &str = "ceiling";

/// Runs the demo once, or once a seed.
pub(crate) fn run(args: &DemoArgs, weights: &WeightStore) -> anyhow::Result<()> {
    if args.recipe {
        print::line(RECIPE);
        return Ok(());
    }
    anyhow::ensure!(args.seeds > 0, "--seeds: expected at least 1, found 0");
    if args.seeds == 1 {
        let result = one(args, args.seed, &args.out, !args.json, weights)?;
        return if args.json { print::json(&result) } else { Ok(()) };
    }
    let mut results = Vec::new();
    for seed in args.seed..args.seed + args.seeds {
        let out = args.out.join(format!("seed-{seed}"));
        let begun = Instant::now();
        results.push(one(args, seed, &out, false, weights)?);
        print::note(&format!("seed {seed}: {:.1} s", begun.elapsed().as_secs_f64()));
    }
    if args.json {
        return print::json(&results);
    }
    seed_table(&results);
    Ok(())
}

/// The whole way for one seed.
fn one(
    args: &DemoArgs,
    seed: u64,
    out: &Path,
    talk: bool,
    weights: &WeightStore,
) -> anyhow::Result<RunResult> {
    let begun = Instant::now();
    let world_config = args.world.config(seed);
    let world = World::generate(&world_config)?;
    let places = Places::fresh(out, seed)?;
    let files = world.write(&places.world)?;
    if talk {
        show_world(&world, &files);
    }
    let run = RunArgs {
        file: places.config.clone(),
        data_root: places.world.clone(),
        out: Some(places.run.clone()),
        cache: None,
        device: args.device,
        seed: None,
        json: !talk,
    };
    let job = Job::open(&run, weights)?;
    let dataset = job.ingest(!talk)?;
    let encoded = job.encode(&dataset, &run)?;
    let prepared = job.prepare(dataset)?;
    if talk {
        print::encoded(&encoded);
        print::split(&prepared);
    }
    let mut models = job.train(&prepared, &run, false)?;
    models.push(TrainedModel {
        label: CEILING.into(),
        model: Box::new(Truth::new(&world, &prepared)),
        report: None,
        seconds: 0.0,
    });
    let (result, _) = job.evaluate(&prepared, &models)?;
    if talk {
        show(&result, &models);
        show_user(&prepared, &models, &world_config)?;
        print::line(&format!(
            "\nAll of this took {:.1} s and was computed just now. What next:",
            begun.elapsed().as_secs_f64()
        ));
        next_steps(&places);
    }
    Ok(result)
}

fn show_world(world: &World, files: &WorldFiles) {
    let media: Vec<String> =
        files.media.iter().map(|m| format!("{} {}", m.files, m.modality)).collect();
    print::line(&format!(
        "A world in {}: {} users, {} items ({} of them brand-new), {} clicks; files: {}.",
        files.root.display(),
        world.config.users,
        world.config.items,
        world.cold.iter().filter(|c| **c).count(),
        world.clicks.len(),
        media.join(", "),
    ));
}

/// Where the demo writes.
struct Places {
    world: PathBuf,
    run: PathBuf,
    config: PathBuf,
}

impl Places {
    /// The places under `out` with the run file, without what an earlier demo left there.
    fn fresh(out: &Path, seed: u64) -> anyhow::Result<Self> {
        let places =
            Self { world: out.join("world"), run: out.join("run"), config: out.join("demo.toml") };
        // Only what a demo wrote is removed, never a folder of somebody's own: a demo writes its
        // run file first, and its first line says so.
        let ours = fs_err::read_to_string(&places.config).is_ok_and(|t| t.starts_with(MARK));
        for path in [&places.world, &places.run, &places.config] {
            anyhow::ensure!(
                ours || !path.exists(),
                "{} is there and was not written by `quintet demo`; choose another --out",
                path.display()
            );
        }
        for dir in [&places.world, &places.run] {
            if dir.exists() {
                fs_err::remove_dir_all(dir)?;
            }
        }
        fs_err::create_dir_all(out)?;
        fs_err::write(&places.config, run_file(seed))?;
        Ok(places)
    }
}

/// The run file of the demo. The fused model and the single modalities are the same model with
/// the same parameters; only the list of modalities differs.
fn run_file(seed: u64) -> String {
    let mut text = format!(
        r#"{MARK}
name = "demo"
seed = {seed}

[ingest]
name = "demo world"
tables.interactions = [{{ path = "interactions.csv", columns = {{ user = "user", item = "item", timestamp = "timestamp", event_name = "click" }} }}]
tables.items = {{ path = "items.csv", columns = {{ id = "item", title = "title" }} }}
tables.users = {{ path = "users.csv", columns = {{ id = "user" }} }}
media = [
  {{ modality = "text", folder = "text" }},
  {{ modality = "image", folder = "image" }},
  {{ modality = "audio", folder = "audio" }},
  {{ modality = "video", folder = "video" }},
]

[split]
strategy = "temporal"
valid = 0.1
test = 0.1

[train]
epochs = 60
patience = 10
metric = "ndcg@10"
checkpoint_every = 0

[evaluate]
primary = "ndcg@10"
reference = "fused"
"#
    );
    for (modality, encoder) in [
        ("text", "tfidf-svd"),
        ("image", "colour-gradient"),
        ("audio", "log-mel"),
        ("video", "frame-motion"),
    ] {
        text.push_str(&format!(
            "\n[[encode]]\nmodality = \"{modality}\"\nencoder = \"{encoder}\"\n"
        ));
    }
    for model in ["popularity", "bpr"] {
        text.push_str(&format!("\n[[models]]\nmodel = \"{model}\"\n"));
    }
    let tower = |label: &str, modalities: &str| {
        format!(
            "\n[[models]]\nmodel = \"two_tower\"\nlabel = \"{label}\"\n\
             params = {{ candidates = \"all\", modalities = [{modalities}] }}\n"
        )
    };
    for modality in ["text", "image", "audio", "video"] {
        text.push_str(&tower(&format!("{modality} only"), &format!("\"{modality}\"")));
    }
    text.push_str(&tower(FUSED, r#""text", "image", "audio", "video""#));
    text
}

/// Ranks by the true utility that generated the clicks: the best any model can do.
struct Truth {
    utility: Matrix,
}

impl Truth {
    fn new(world: &World, prepared: &Prepared) -> Self {
        let (users, items) = (&prepared.dataset.users, &prepared.dataset.items);
        let row_of = |id: &str| id[1..].parse::<usize>().unwrap_or(0);
        let mut utility = Matrix::zeros(users.len(), items.len());
        for (u, user) in users.iter().enumerate() {
            let truth = world.utility.row(row_of(&user.id));
            for (score, item) in utility.row_mut(u).iter_mut().zip(items) {
                *score = truth[row_of(&item.id)];
            }
        }
        Self { utility }
    }
}

impl Recommender for Truth {
    fn name(&self) -> &str {
        CEILING
    }

    fn n_users(&self) -> usize {
        self.utility.rows()
    }

    fn n_items(&self) -> usize {
        self.utility.cols()
    }

    fn capability(&self) -> Capability {
        Capability::personal().with_cold_items()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        out.reset(users.len(), self.n_items());
        for (row, user) in users.iter().enumerate() {
            let index = user.index();
            if index >= self.n_users() {
                return Err(ScoreError::OutOfRange { what: "user", index, len: self.n_users() });
            }
            out.row_mut(row).copy_from_slice(self.utility.row(index));
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(CEILING);
        state.put("utility", self.utility.clone());
        state
    }
}

/// The share of the way from popularity to the ceiling.
fn share_of_ceiling(result: &RunResult, m: &ModelResult) -> Option<f64> {
    let mean =
        |label: &str| result.models.iter().find(|m| m.label == label).map(|m| m.primary.mean);
    let (floor, top) = (mean("popularity")?, mean(CEILING)?);
    (top > floor).then(|| (m.primary.mean - floor) / (top - floor))
}

fn show(result: &RunResult, models: &[TrainedModel]) {
    let seconds = |label: &str| models.iter().find(|m| m.label == label).map_or(0.0, |m| m.seconds);
    let rows = result
        .models
        .iter()
        .map(|m| {
            vec![
                m.label.clone(),
                print::interval(&m.primary),
                share_of_ceiling(result, m).map_or("–".into(), |s| format!("{:.0} %", 100.0 * s)),
                m.test.get("recall@10").map_or("–".into(), |v| format!("{v:.4}")),
                m.new_items.as_ref().map_or("–".into(), |n| format!("{:.4}", n.value)),
                m.against
                    .as_ref()
                    .map_or("–".into(), |c| print::difference(&c.difference, c.excludes_zero)),
                format!("{:.1}", seconds(&m.label)),
            ]
        })
        .collect();
    print::heading("How far is each model from the best possible ranking?");
    print::table(
        &[
            "model",
            "NDCG@10 [95 %]",
            "of the way",
            "Recall@10",
            "new items",
            "fused minus it [95 %]",
            "fit s",
        ],
        rows,
        1,
    );
    if let Some(n) = result.models.iter().find_map(|m| m.new_items.as_ref()) {
        print::line(&format!(
            "new items: NDCG@10 over the {} brand-new items alone, {} users; a random order gets {:.4}.",
            n.candidates,
            n.users,
            n.chance.unwrap_or(f64::NAN),
        ));
    }
    print::line(&format!(
        "of the way: from popularity (0 %) to the ceiling (100 %), which ranks by the true taste that\n\
         made the clicks. Test part: the last 10 % of all clicks, {} users, every unseen item ranked.\n\
         Intervals: bootstrap over users; * excludes zero.",
        result.users
    ));
}

/// One user's list by the fused model, beside what the user truly likes.
fn show_user(
    prepared: &Prepared,
    models: &[TrainedModel],
    world: &WorldConfig,
) -> anyhow::Result<()> {
    let Some(fused) = models.iter().find(|m| m.label == FUSED) else { return Ok(()) };
    // The user with the most test clicks has the most to look at.
    let truth = prepared.split.test.truth();
    let busiest = (0..world.users.min(truth.n_users()))
        .max_by_key(|&u| (truth.items(UserIdx::new(u)).len(), std::cmp::Reverse(u)));
    let Some(user) = busiest else { return Ok(()) };
    let id = prepared.dataset.users[user].id.clone();
    let list = pipeline::recommend(prepared, fused, Request { user: &id, k: 10, reasons: 2 })?;
    print::heading("One list, with reasons (what each part adds to the score):");
    print::recommendations(&id, FUSED, &list);
    let clicked: Vec<&str> = truth
        .items(UserIdx::new(user))
        .iter()
        .map(|i| prepared.dataset.items[i.index()].id.as_str())
        .collect();
    let hits = list.iter().filter(|r| clicked.contains(&r.item.as_str())).count();
    print::line(&format!(
        "{hits} of these 10 are among the {} items that {id} clicked in the test part.",
        clicked.len()
    ));
    Ok(())
}

fn next_steps(places: &Places) {
    let config = places.config.display();
    let (world, run) = (places.world.display(), places.run.display());
    print::line("  (`quintet` is `cargo run --bin quintet --` in the source tree)");
    print::line(&format!("  look at the media files      {world}/"));
    print::line(&format!("  what was found, as a page    {run}/report.html"));
    print::line("  how the world is made        quintet demo --recipe");
    print::line("  make taste matter less       quintet demo --taste 1 --missing 0.5");
    print::line(&format!(
        "  another list                 quintet recommend {config} --out {run} --user u0007"
    ));
    print::line(&format!(
        "  the same, stage by stage     quintet run {config} --data-root {world}"
    ));
    print::line("  your own data                examples/movielens.toml, docs/run-file.md");
}

/// A line that `--seeds` prints for one seed and one rival of the fused model.
#[derive(Debug, Serialize)]
struct SeedRow {
    seed: u64,
    rival: String,
    text: String,
    holds: bool,
}

fn seed_table(results: &[RunResult]) {
    print::line("NDCG@10 on the test part, by seed\n");
    let labels: Vec<&str> = results
        .first()
        .map(|r| r.models.iter().map(|m| m.label.as_str()).collect())
        .unwrap_or_default();
    let mut header = vec!["seed"];
    header.extend(&labels);
    let rows = results
        .iter()
        .map(|r| {
            let mut row = vec![r.seed.to_string()];
            row.extend(r.models.iter().map(|m| format!("{:.4}", m.primary.mean)));
            row
        })
        .collect();
    print::table(&header, rows, 1);
    print::line("\nFused minus the rival, paired bootstrap over users, 95 % (* excludes zero)\n");
    let rows = seed_rows(results);
    let held = rows.iter().filter(|r| r.holds).count();
    let cells =
        rows.iter().map(|r| vec![r.seed.to_string(), r.rival.clone(), r.text.clone()]).collect();
    print::table(&["seed", "rival", "difference"], cells, 2);
    print::line(&format!("\nFused ahead with zero excluded: {held} of {}.", rows.len()));
    print::line("\nBrand-new items ranked among themselves, NDCG@10\n");
    let mut header = vec!["seed", "chance"];
    header.extend(&labels);
    let rows =
        results
            .iter()
            .map(|r| {
                let chance = r.models.iter().find_map(|m| m.new_items.as_ref()?.chance);
                let mut row =
                    vec![r.seed.to_string(), chance.map_or("–".into(), |c| format!("{c:.4}"))];
                row.extend(r.models.iter().map(|m| {
                    m.new_items.as_ref().map_or("–".into(), |n| format!("{:.4}", n.value))
                }));
                row
            })
            .collect();
    print::table(&header, rows, 1);
}

/// The fused model against every trained rival, in every seed.
fn seed_rows(results: &[RunResult]) -> Vec<SeedRow> {
    let mut rows = Vec::new();
    for r in results {
        for m in r.models.iter().filter(|m| m.label != CEILING) {
            let Some(c) = &m.against else { continue };
            rows.push(SeedRow {
                seed: r.seed,
                rival: m.label.clone(),
                text: print::difference(&c.difference, c.excludes_zero),
                holds: c.excludes_zero && c.difference.mean > 0.0,
            });
        }
    }
    rows
}
