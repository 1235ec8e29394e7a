//! Matrices of published data sets, where they are at hand.

use std::path::{Path, PathBuf};

use quintet_core::{ItemIdx, Modality};
use quintet_data::{
    FeatureStore, ImportIds, ImportSpec, Precision, import_features, read_features, read_npy_matrix,
};

/// A folder of the shared real data, or a printed line that says that the test is skipped.
fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("QUINTET_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join("data").join(name);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: the shared data folder {name} is absent");
    None
}

#[test]
fn the_real_tiktok_features() {
    let Some(folder) = shared("tiktok") else { return };
    // First three and last numbers and the sum of all, as Python's `struct` unpacks them.
    let image = (Modality::Image, "image_feat.npy", [2.583984375, 0.95947265625, 6.234375]);
    let audio = (Modality::Audio, "audio_feat.npy", [0.49755859375, -0.2568359375, 0.0634765625]);
    let rest = [(2.87890625, 2309677.059724629), (-0.305908203125, 31687.021550536156)];
    // A catalogue in another order, without item 3 and with one that has no row.
    let ids: Vec<String> = (0..=6710).rev().filter(|i| *i != 3).map(|i| i.to_string()).collect();
    for ((modality, file, first), (last, sum)) in [image, audio].into_iter().zip(rest) {
        let npy = folder.join(file);
        let root = tempfile::tempdir().unwrap();
        let spec = ImportSpec {
            modality,
            npy: &npy,
            ids: ImportIds::ItemIsRow {},
            name: "mmssl",
            precision: Precision::F16,
            zero_is_missing: true,
        };
        let (dir, report) = import_features(root.path(), &spec, &ids).unwrap();
        assert_eq!((report.rows, report.dim, report.dtype.as_str()), (6710, 128, "<f2"));
        assert_eq!((report.items, report.present), (6710, 6709));
        assert_eq!((report.missing_items, report.blank_items), (1, 0));
        assert_eq!((report.matched_rows, report.unmatched_rows), (6709, 1));
        let store = FeatureStore::open(&dir, &ids).unwrap();
        store.verify().unwrap();
        assert!(!store.is_present(ItemIdx(0)));
        // Item "0" is the last of the catalogue, "6709" the one after the item without a row.
        let ends = store.gather(&[ItemIdx(6709), ItemIdx(1)]).unwrap();
        assert_eq!([0, 1, 2].map(|at| f64::from(ends.row(0)[at])), first);
        assert_eq!(f64::from(ends.row(1)[127]), last);
        let whole = read_npy_matrix(&npy).unwrap();
        let found: f64 = whole.as_slice().iter().map(|v| f64::from(*v)).sum();
        assert!((found - sum).abs() < 1e-6 * sum, "{found}");
        // 16 bits in, 16 bits out: nothing is rounded.
        let back = read_features(&dir, &ids).unwrap();
        for (item, id) in ids.iter().enumerate().skip(1) {
            assert_eq!(back.matrix.row(item), whole.row(id.parse().unwrap()));
        }
    }
}
