//! The layer rule: a crate depends on strictly lower layers, and the binary picks the backend.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use cargo_metadata::{DependencyKind, Package};

use super::Problem;
use crate::repo::Repo;

/// The layers. A new crate, or an edge that this table forbids, edits it, so that a reviewer
/// sees it.
const LAYERS: &[(&str, u8)] = &[
    ("quintet-core", 0),
    ("quintet-tensor", 1),
    ("quintet-data", 1),
    ("quintet-metrics", 1),
    ("quintet-rules", 1),
    ("quintet-ingest", 2),
    ("quintet-text", 2),
    ("quintet-image", 2),
    ("quintet-audio", 2),
    ("quintet-video", 2),
    ("quintet-place", 2),
    ("quintet-fusion", 2),
    ("quintet-cf", 2),
    ("quintet-models", 3),
    ("quintet-train", 4),
    ("quintet-serve", 4),
    ("quintet-cluster", 4),
    ("quintet", 5),
    ("quintet-cli", 6),
    ("quintet-examples", 6),
    ("quintet-benches", 6),
];

/// Stands outside the layers: sees those below 4, and is a dev-dependency only.
const TESTKIT: (&str, u8) = ("quintet-testkit", 4);

/// Runs the other crates, links none.
const XTASK: &str = "xtask";

/// Encoders; the models read feature matrices, whoever made them.
const ENCODERS: &[&str] =
    &["quintet-text", "quintet-image", "quintet-audio", "quintet-video", "quintet-place"];

/// Crates that must compile without the tensor framework, directly and through others.
const WITHOUT_BURN: &[&str] =
    &["quintet-core", "quintet-data", "quintet-metrics", "quintet-rules", "quintet-ingest", XTASK];

/// Who may switch on a backend in a normal dependency or by default.
const PICKS_BACKEND: &[&str] = &["quintet-cli", "quintet-examples", "quintet-benches"];

/// The features that compile a backend in.
const BACKENDS: &[&str] =
    &["flex", "ndarray", "wgpu", "vulkan", "metal", "webgpu", "cuda", "rocm", "tch", "cpu", "gpu"];

/// One edge, as a manifest writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    to: String,
    /// Whether `to` is named by path, as crates of the workspace are.
    internal: bool,
    dev: bool,
    features: Vec<String>,
}

/// What the rule looks at in one package.
#[derive(Debug, Clone, Default)]
struct Crate {
    name: String,
    manifest: String,
    edges: Vec<Edge>,
    features: BTreeMap<String, Vec<String>>,
}

/// Checks every package of the workspace whose manifest belongs to the repository.
pub(super) fn check(repo: &Repo) -> Result<Vec<Problem>> {
    let metadata = repo.metadata()?;
    let crates: Vec<Crate> = metadata
        .packages
        .iter()
        .filter_map(|package| {
            let manifest = package.manifest_path.as_std_path().strip_prefix(&repo.root).ok()?;
            let manifest = manifest.to_string_lossy().replace('\\', "/");
            repo.files.binary_search(&manifest).is_ok().then(|| read(package, manifest))
        })
        .collect();
    Ok(check_crates(&crates))
}

fn read(package: &Package, manifest: String) -> Crate {
    let edges = package.dependencies.iter().map(|d| Edge {
        to: d.name.clone(),
        internal: d.path.is_some(),
        dev: d.kind == DependencyKind::Development,
        features: d.features.clone(),
    });
    Crate {
        name: package.name.to_string(),
        manifest,
        edges: edges.collect(),
        features: package.features.clone(),
    }
}

fn check_crates(crates: &[Crate]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for c in crates {
        let Some(own) = layer(&c.name) else {
            let text = format!("{} is in no layer; add it to the table in xtask", c.name);
            problems.push(Problem::new("layers", &c.manifest, 0, text));
            continue;
        };
        for edge in c.edges.iter().filter(|e| e.internal) {
            if let Some(text) = forbidden(c, own, edge) {
                problems.push(Problem::new("layers", &c.manifest, 0, text));
            }
        }
        for text in backends(c) {
            problems.push(Problem::new("backend", &c.manifest, 0, text));
        }
        if WITHOUT_BURN.contains(&c.name.as_str()) && reaches_burn(&c.name, crates) {
            let text = format!("{} must compile without Burn, and reaches it", c.name);
            problems.push(Problem::new("layers", &c.manifest, 0, text));
        }
    }
    problems
}

/// The layer of a crate; xtask is above everything and forbids its edges apart.
fn layer(name: &str) -> Option<u8> {
    let outside = [TESTKIT, (XTASK, u8::MAX)];
    LAYERS.iter().chain(&outside).find(|(n, _)| *n == name).map(|(_, layer)| *layer)
}

/// Why the edge must not be, if it must not.
fn forbidden(c: &Crate, own: u8, edge: &Edge) -> Option<String> {
    let (from, to) = (&c.name, &edge.to);
    if from == XTASK {
        return Some(format!("xtask links no crate of the workspace, found {to}"));
    }
    let Some(below) = layer(to) else {
        return Some(format!("{from} depends on {to}, which is in no layer"));
    };
    if to == TESTKIT.0 {
        let text = format!("{to} is a dev-dependency only; {from} has it as a normal one");
        return (!edge.dev).then_some(text);
    }
    if edge.dev {
        // Tests may look sideways (video at image, train at cf) and at the crate itself.
        let text = format!("{from} (layer {own}) tests with {to} (layer {below}), above it");
        return (below > own).then_some(text);
    }
    if from == "quintet-models" && ENCODERS.contains(&to.as_str()) {
        return Some(format!("{from} reads feature matrices and names no encoder, found {to}"));
    }
    let text = format!("{from} (layer {own}) depends on {to} (layer {below}), not strictly lower");
    (below >= own).then_some(text)
}

/// Backends that a crate switches on although it must not.
fn backends(c: &Crate) -> Vec<String> {
    if PICKS_BACKEND.contains(&c.name.as_str()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let tensors = |e: &&Edge| !e.dev && (e.to == "burn" || e.internal);
    for edge in c.edges.iter().filter(tensors) {
        for feature in edge.features.iter().filter(|f| BACKENDS.contains(&f.as_str())) {
            found.push(format!("{} switches on `{feature}` of {}", c.name, edge.to));
        }
    }
    for feature in default_features(&c.features) {
        let name = feature.rsplit('/').next().unwrap_or(&feature);
        if BACKENDS.contains(&name) {
            found.push(format!("{} switches on `{feature}` by default", c.name));
        }
    }
    let end = "; only quintet-cli, the examples and the benches pick a backend";
    found.into_iter().map(|text| text + end).collect()
}

/// Everything that `default` switches on, through other features too.
fn default_features(features: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let mut on = BTreeSet::new();
    let mut open = vec!["default".to_owned()];
    while let Some(name) = open.pop() {
        for next in features.get(&name).into_iter().flatten() {
            if on.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    on
}

/// Whether normal dependencies lead from `name` to Burn.
fn reaches_burn(name: &str, crates: &[Crate]) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        if !seen.insert(name) {
            continue;
        }
        let edges = crates.iter().filter(|c| c.name == name).flat_map(|c| &c.edges);
        open.extend(edges.filter(|e| !e.dev).map(|e| e.to.as_str()));
    }
    seen.iter().any(|n| *n == "burn" || n.starts_with("burn-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(to: &str) -> Edge {
        let internal = to.starts_with("quintet");
        Edge { to: to.into(), internal, dev: false, features: Vec::new() }
    }

    fn dev(to: &str) -> Edge {
        Edge { dev: true, ..edge(to) }
    }

    fn with(to: &str, feature: &str) -> Edge {
        Edge { features: vec![feature.into()], ..edge(to) }
    }

    fn krate(name: &str, edges: &[Edge]) -> Crate {
        Crate { name: name.into(), manifest: "m".into(), edges: edges.to_vec(), ..Crate::default() }
    }

    /// The messages for one crate that stands alone.
    fn told(name: &str, edges: &[Edge]) -> Vec<String> {
        check_crates(&[krate(name, edges)]).into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn only_strictly_lower_layers_are_allowed() {
        assert!(told("quintet-cf", &[edge("quintet-core"), edge("quintet-data")]).is_empty());
        assert_eq!(
            told("quintet-cf", &[edge("quintet-fusion")]),
            ["quintet-cf (layer 2) depends on quintet-fusion (layer 2), not strictly lower"]
        );
        assert_eq!(told("quintet-core", &[edge("quintet-tensor")]).len(), 1);
        assert_eq!(told("quintet-new", &[]).len(), 1);
        assert_eq!(told("quintet-cf", &[edge("quintet-new")]).len(), 1);
    }

    #[test]
    fn tests_may_look_sideways_at_themselves_and_at_the_testkit() {
        let video = [dev("quintet-image"), dev("quintet-video"), dev("quintet-testkit")];
        assert!(told("quintet-video", &video).is_empty());
        assert!(told("quintet-train", &[dev("quintet-cf")]).is_empty());
        assert_eq!(told("quintet-cf", &[dev("quintet-train")]).len(), 1);
        assert_eq!(
            told("quintet-cli", &[edge("quintet-testkit")]),
            ["quintet-testkit is a dev-dependency only; quintet-cli has it as a normal one"]
        );
        assert!(told("quintet-testkit", &[edge("quintet-models")]).is_empty());
        assert_eq!(told("quintet-testkit", &[edge("quintet-train")]).len(), 1);
    }

    #[test]
    fn models_name_no_encoder_and_xtask_links_nothing() {
        assert_eq!(told("quintet-models", &[edge("quintet-image")]).len(), 1);
        assert!(told("quintet-models", &[edge("quintet-fusion")]).is_empty());
        assert_eq!(told("xtask", &[dev("quintet-core")]).len(), 1);
    }

    #[test]
    fn a_library_without_burn_must_not_reach_it_through_another() {
        let tensor = krate("quintet-tensor", &[edge("burn")]);
        let ingest = krate("quintet-ingest", &[edge("quintet-tensor")]);
        let problems = check_crates(&[tensor, ingest]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "quintet-ingest must compile without Burn, and reaches it");
        assert_eq!(told("quintet-core", &[edge("burn")]).len(), 1);
        assert!(told("quintet-tensor", &[edge("burn")]).is_empty());
    }

    #[test]
    fn only_programs_pick_a_backend() {
        assert_eq!(told("quintet-image", &[with("burn", "flex")]).len(), 1);
        assert_eq!(told("quintet-train", &[with("quintet-tensor", "cuda")]).len(), 1);
        assert!(told("quintet-train", &[with("serde", "flex")]).is_empty());
        assert!(told("quintet-cli", &[with("quintet-tensor", "flex")]).is_empty());
        let test = Edge { dev: true, ..with("quintet-tensor", "flex") };
        assert!(told("quintet-image", &[test]).is_empty());
    }

    #[test]
    fn a_default_feature_must_not_forward_a_backend() {
        let feature = |name: &str, on: &str| (name.to_owned(), vec![on.to_owned()]);
        let mut tensor = krate("quintet-tensor", &[]);
        tensor.features = [feature("flex", "burn/flex")].into();
        assert!(check_crates(&[tensor.clone()]).is_empty());
        tensor.features.extend([feature("default", "fast"), feature("fast", "burn/flex")]);
        assert_eq!(check_crates(&[tensor]).len(), 1);
    }
}
