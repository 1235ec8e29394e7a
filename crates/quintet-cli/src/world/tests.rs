//! The world as a whole: what is promised in the recipe holds on disk.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use super::*;

/// A world small enough for a test.
fn small(seed: u64) -> WorldConfig {
    WorldConfig {
        users: 60,
        items: 80,
        themes: 8,
        clicks_per_user: 12,
        seed,
        ..WorldConfig::default()
    }
}

/// Path below `dir` to a hash of the content, for every file.
fn hashes(dir: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let mut hasher = DefaultHasher::new();
            fs_err::read(&path).unwrap().hash(&mut hasher);
            let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
            found.insert(name, hasher.finish());
        }
    }
    found
}

/// Index of the first click of the last tenth.
fn last_tenth(world: &World) -> usize {
    (9 * world.clicks.len()).div_ceil(10)
}

/// Mean NDCG@10 of `score` over users with clicks in the last tenth, earlier clicks masked.
fn ndcg_at_10(world: &World, score: impl Fn(usize, usize) -> f32) -> f64 {
    let (past, future) = world.clicks.split_at(last_tenth(world));
    let mut sum = 0.0;
    let mut n_users = 0.0;
    for user in 0..world.config.users {
        let items = |clicks: &[Click]| -> HashSet<usize> {
            clicks.iter().filter(|c| c.user == user).map(|c| c.item).collect()
        };
        let (seen, wanted) = (items(past), items(future));
        if wanted.is_empty() {
            continue;
        }
        let mut order: Vec<usize> = (0..world.config.items).filter(|i| !seen.contains(i)).collect();
        order.sort_by(|&a, &b| score(user, b).total_cmp(&score(user, a)));
        let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let ranked = order.iter().take(10).enumerate();
        let gain: f64 =
            ranked.filter(|(_, item)| wanted.contains(item)).map(|(rank, _)| discount(rank)).sum();
        sum += gain / (0..wanted.len().min(10)).map(discount).sum::<f64>();
        n_users += 1.0;
    }
    sum / n_users
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, seed: u64, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let to = dir.path().join(name);
        pool.install(|| World::generate(&small(seed)).unwrap().write(&to).unwrap());
        hashes(&to)
    };
    let (first, again, other) = (write("a", 1, 1), write("b", 1, 3), write("c", 2, 3));
    assert_eq!(first, again);
    let media = |name: &str| name.contains('/') && !name.starts_with("truth");
    let shared = first.iter().filter(|(name, _)| other.contains_key(*name)).count();
    assert!(shared > 100, "{shared}");
    for (name, hash) in first.iter().filter(|(name, _)| media(name)) {
        assert_ne!(other.get(name), Some(hash), "{name}");
    }
}

#[test]
fn every_listed_file_is_there_and_decodes() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::generate(&small(1)).unwrap();
    let written = world.write(dir.path()).unwrap();
    let found = hashes(dir.path());
    assert_eq!(written.files, found.len());
    for (index, folder) in written.media.iter().enumerate() {
        let expected = world.present.iter().filter(|p| p[index]).count();
        assert_eq!(folder.files, expected);
        let mut n = 0;
        for entry in fs_err::read_dir(&folder.path).unwrap() {
            let path = entry.unwrap().path();
            n += 1;
            match folder.modality {
                Modality::Text => {
                    let words = fs_err::read_to_string(&path).unwrap();
                    assert!((20..=60).contains(&words.split_whitespace().count()));
                }
                Modality::Image => assert_eq!(::image::open(&path).unwrap().width(), 96),
                Modality::Audio => assert_eq!(hound::WavReader::open(&path).unwrap().len(), 16_000),
                _ => {
                    let file = fs_err::File::open(&path).unwrap();
                    let frames = gif::DecodeOptions::new().read_info(file).unwrap().into_iter();
                    let whole = frames.filter(|f| f.is_ok()).count();
                    assert_eq!(whole, 8);
                }
            }
        }
        assert_eq!(n, expected);
    }
    let names: HashSet<&str> = found.keys().filter_map(|n| n.rsplit('.').next()).collect();
    assert!(names.contains("png") && names.contains("jpg"), "{names:?}");
    let log = fs_err::read_to_string(&written.interactions).unwrap();
    assert_eq!(log.lines().count(), world.clicks.len() + 1);
    let about = fs_err::read_to_string(&written.about).unwrap();
    let about: serde_json::Value = serde_json::from_str(&about).unwrap();
    assert_eq!(about["config"]["items"], 80);

    let err = world.write(dir.path()).unwrap_err().to_string();
    assert!(err.contains("interactions.csv is already there"), "{err}");
}

#[test]
fn missing_files_and_brand_new_items_have_their_shares() {
    let config = WorldConfig { missing: 0.3, ..WorldConfig::default() };
    let world = World::generate(&config).unwrap();
    let absent = world.present.iter().flatten().filter(|has| !**has).count();
    let share = absent as f64 / (4.0 * config.items as f64);
    assert!((share - 0.3).abs() < 0.04, "{share}");
    // A fifth of 720.
    assert_eq!(world.cold.iter().filter(|c| **c).count(), 144);
    let bare = World::generate(&WorldConfig { missing: 0.9, ..config }).unwrap();
    assert!(bare.present.iter().all(|p| p.contains(&true)));
}

#[test]
fn mixtures_and_popularity_are_standardised() {
    let world = World::generate(&small(1)).unwrap();
    for item in 0..80 {
        let row = world.item_themes.row(item);
        assert!(row.iter().all(|w| *w >= 0.0) && (row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let mean: f32 = world.popularity.iter().sum::<f32>() / 80.0;
    let variance: f32 = world.popularity.iter().map(|p| p * p).sum::<f32>() / 80.0;
    assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
    let config = WorldConfig { missing: 0.0, noise: 0.0, overlap: 1.0, ..small(1) };
    let world = World::generate(&config).unwrap();
    let lens = view::Lens::new(8, 2, SeedStream::new(1));
    let view = lens.view(&world, 7).unwrap();
    // At overlap 1 the two themes of each of the four pairs show alike.
    let different: HashSet<u32> = view.iter().map(|w| w.to_bits()).collect();
    assert_eq!(different.len(), 4, "{view:?}");
}

#[test]
fn clicks_are_unique_and_never_before_the_release() {
    let world = World::generate(&WorldConfig::default()).unwrap();
    let mut seen = HashSet::new();
    assert!(world.clicks.iter().all(|c| seen.insert((c.user, c.item))));
    assert!(world.clicks.windows(2).all(|w| w[0].timestamp <= w[1].timestamp));
    assert!(world.clicks.iter().all(|c| c.timestamp >= world.released[c.item]));
    let mean = world.clicks.len() as f64 / 500.0;
    assert!((16.0..24.0).contains(&mean), "{mean}");
    let (past, future) = world.clicks.split_at(last_tenth(&world));
    assert!(past.iter().all(|c| !world.cold[c.item]));
    let users = |cold: bool| -> HashSet<usize> {
        future.iter().filter(|c| !cold || world.cold[c.item]).map(|c| c.user).collect()
    };
    let (all, met_cold) = (users(false).len(), users(true).len());
    assert!(all > 300 && met_cold * 4 > all, "{met_cold} of {all} users");
}

#[test]
fn the_truth_ranks_far_better_than_chance_and_taste_zero_makes_it_useless() {
    let world = World::generate(&WorldConfig::default()).unwrap();
    let ceiling = ndcg_at_10(&world, |user, item| world.utility.row(user)[item]);
    let chance = ndcg_at_10(&world, |user, item| ((user * 7919 + item * 104_729) % 9973) as f32);
    assert!(ceiling > 0.1 && ceiling > 6.0 * chance, "{ceiling} against {chance}");
    let flat = WorldConfig { taste: 0.0, popularity: 0.0, ..WorldConfig::default() };
    let flat = World::generate(&flat).unwrap();
    let blind = ndcg_at_10(&flat, |user, item| world.utility.row(user)[item]);
    assert!(blind < 0.05, "{blind}");
}

#[test]
fn a_knob_out_of_range_is_named() {
    let refused = |config: WorldConfig| World::generate(&config).unwrap_err().to_string();
    let err = refused(WorldConfig { themes: 1, ..small(1) });
    assert!(err.contains("themes must be between 2 and 24, found 1"), "{err}");
    let err = refused(WorldConfig { noise: f32::NAN, ..small(1) });
    assert!(err.contains("noise must be between 0 and 10, found NaN"), "{err}");
    assert!(serde_json::from_str::<WorldConfig>(r#"{"nois": 1.0}"#).is_err());
}
