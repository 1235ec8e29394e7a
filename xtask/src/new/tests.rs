//! The scaffolder on sample texts and on a small repository of its own.

use super::*;

const LIB: &str = "\
#![doc = include_str!(\"../README.md\")]

mod histogram;
mod vit;

use quintet_core::{Registry, RegistryError};

/// Adds every encoder.
pub fn register(r: &mut Registry<EncoderEntry>) -> Result<(), RegistryError> {
    r.add(histogram::entry())?;
    r.add(vit::entry())?;
    Ok(())
}

fn other() -> Result<(), ()> {
    Ok(())
}
";

/// The text for an encoder or a model.
fn extended(lib: &str, snake: &str) -> Result<String> {
    register(lib, snake, "entry()")
}

fn complaint(lib: &str, snake: &str) -> String {
    extended(lib, snake).unwrap_err().to_string()
}

#[test]
fn a_module_line_goes_in_order_and_the_registration_before_the_end() {
    let expected = LIB
        .replace("mod vit;", "mod resnet;\nmod vit;")
        .replace("vit::entry())?;\n", "vit::entry())?;\n    r.add(resnet::entry())?;\n");
    assert_eq!(extended(LIB, "resnet").unwrap(), expected);

    let first = extended(LIB, "alex").unwrap();
    assert!(first.contains("\n\nmod alex;\nmod histogram;\n"), "{first}");
    let last = extended(LIB, "xception").unwrap();
    assert!(last.contains("mod vit;\nmod xception;\n\nuse"), "{last}");
}

#[test]
fn the_argument_keeps_its_name_and_modules_after_uses_are_found() {
    let lib = "mod a;\n\nuse x;\n\npub mod c;\npub(crate) mod e;\n\npub fn register(\n    \
               entries: &mut R,\n) -> X {\n    entries.add(c::entry())?;\n    Ok(())\n}\n";
    let out = extended(lib, "d").unwrap();
    assert!(out.contains("pub mod c;\nmod d;\npub(crate) mod e;\n"), "{out}");
    assert!(out.contains("    entries.add(d::entry())?;\n    Ok(())\n}\n"), "{out}");
    assert!(extended(lib, "b").unwrap().contains("use x;\n\nmod b;\npub mod c;"));
}

#[test]
fn a_register_that_ends_with_its_last_add_gets_another_one() {
    let tail =
        LIB.replacen("    r.add(vit::entry())?;\n    Ok(())\n", "    r.add(vit::ENTRY)\n", 1);
    let out = register(&tail, "late", "ENTRY").unwrap();
    assert!(out.contains("    r.add(vit::ENTRY)?;\n    r.add(late::ENTRY)\n}\n"), "{out}");
}

#[test]
fn a_register_that_passes_on_to_its_module_gets_an_entry_of_its_own() {
    let lib = "mod a;\n\npub fn register<F>(r: &mut R, frames: fn() -> F) -> X\nwhere\n    F: E,\n\
               {\n    a::register(r, frames)\n}\n";
    let out = extended(lib, "b").unwrap();
    assert!(out.starts_with("mod a;\nmod b;\n"), "{out}");
    assert!(out.ends_with("    a::register(r, frames)?;\n    r.add(b::entry())\n}\n"), "{out}");
}

#[test]
fn attributes_stay_with_their_module() {
    let lib = LIB.replace("mod vit;", "#[cfg(test)]\nmod parity;\nmod vit;");
    let before = extended(&lib, "mel").unwrap();
    assert!(before.contains("mod histogram;\nmod mel;\n#[cfg(test)]\nmod parity;\n"), "{before}");
    let after = extended(&lib, "swin").unwrap();
    assert!(after.contains("#[cfg(test)]\nmod parity;\nmod swin;\nmod vit;\n"), "{after}");
    assert!(extended(&lib, "alex").unwrap().contains("\n\nmod alex;\nmod histogram;\n"));
}

#[test]
fn a_lib_of_another_shape_is_refused_with_what_was_not_found() {
    assert!(complaint("mod a;\n", "x").contains("no `pub fn register(`"));
    let odd = LIB.replacen("    Ok(())\n", "    return Ok(());\n", 1);
    assert!(complaint(&odd, "x").contains("neither `Ok(())` nor a call"));
    let alone = LIB.replace("mod histogram;\nmod vit;\n", "");
    assert!(complaint(&alone, "x").contains("no `mod NAME;`"));
    assert!(complaint(LIB, "vit").contains("`vit` is there already"));
}

#[test]
fn names_take_three_forms_and_bad_ones_are_refused() {
    let name = parse_name("late-mean_2x").unwrap();
    assert_eq!((name.key.as_str(), name.snake.as_str()), ("late-mean_2x", "late_mean_2x"));
    assert_eq!(name.pascal, "LateMean2x");
    let long = "a".repeat(41);
    for bad in ["", "Vit", "vit-", "-vit", "2d", "a b", "é", "../x", "fn", "lib", long.as_str()] {
        assert!(parse_name(bad).is_err(), "{bad:?} was taken");
    }
}

#[test]
fn kinds_and_modalities_are_known_by_name() {
    assert_eq!(package(Kind::Encoder, None).unwrap(), ("quintet-image".into(), "Image"));
    assert_eq!(package(Kind::Encoder, Some("text")).unwrap(), ("quintet-text".into(), "Text"));
    let error = package(Kind::Encoder, Some("smell")).unwrap_err().to_string();
    assert_eq!(error, "unknown modality \"smell\"; known: text, image, audio, video");
    assert!(package(Kind::Model, Some("text")).is_err());
    assert!(Kind::parse("layer").unwrap_err().to_string().contains("known: encoder, fusion"));
}

#[test]
fn every_template_is_filled_completely_and_says_what_to_write() {
    let name = parse_name("late-mean").unwrap();
    for kind in [Kind::Encoder, Kind::Fusion, Kind::Model, Kind::Metric] {
        let text = fill(kind.template(), &name, "crates/p/src/late_mean.rs", "Image");
        for token in ["@key@", "@Type@", "@path@", "@Modality@"] {
            assert!(!text.contains(token), "{kind:?}: {token} is left");
        }
        assert!(text.starts_with("//! "), "{kind:?}");
        assert!(text.contains("\"late-mean\"") && text.contains("LateMean"), "{kind:?}");
        assert!(text.contains("not written yet: crates/p/src/late_mean.rs"), "{kind:?}");
        let defined = if kind.entry() == "ENTRY" { "const ENTRY: " } else { "fn entry() ->" };
        assert!(text.contains(defined), "{kind:?} is registered as {}", kind.entry());
    }
}

/// A repository with one encoder crate.
fn small() -> (tempfile::TempDir, Repo) {
    let dir = tempfile::tempdir().unwrap();
    let src = dir.path().join("crates/quintet-image/src");
    fs::create_dir_all(&src).unwrap();
    fs::write(src.join("lib.rs"), LIB).unwrap();
    let repo = Repo::at(dir.path()).unwrap();
    (dir, repo)
}

#[test]
fn a_scaffold_is_one_new_file_and_two_lines_and_is_not_overwritten() {
    let (_dir, repo) = small();
    let done = run(&repo, "encoder", "resnet50", None).unwrap();
    assert!(done.contains("crates/quintet-image/src/resnet50.rs"), "{done}");
    assert!(repo.read("crates/quintet-image/src/resnet50.rs").unwrap().contains("\"resnet50\""));
    let lib = repo.read("crates/quintet-image/src/lib.rs").unwrap();
    assert_eq!(lib, extended(LIB, "resnet50").unwrap());
    assert_eq!(lib.lines().count(), LIB.lines().count() + 2);

    let again = run(&repo, "encoder", "resnet50", None).unwrap_err().to_string();
    assert!(again.contains("is there already; nothing was changed"), "{again}");
    assert_eq!(repo.read("crates/quintet-image/src/lib.rs").unwrap(), lib);
}

#[test]
fn a_metric_is_keyed_by_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    let src = dir.path().join("crates/quintet-metrics/src");
    fs::create_dir_all(&src).unwrap();
    fs::write(src.join("lib.rs"), LIB).unwrap();
    let repo = Repo::at(dir.path()).unwrap();
    run(&repo, "metric", "f2", None).unwrap();
    run(&repo, "metric", "long-tail", None).unwrap();
    let text = repo.read("crates/quintet-metrics/src/long_tail.rs").unwrap();
    assert!(text.contains("name: \"long_tail\""), "{text}");
}

#[test]
fn a_refusal_changes_nothing() {
    let (_dir, repo) = small();
    let lib = "crates/quintet-image/src/lib.rs";
    let odd = LIB.replace("pub fn register", "pub fn enlist");
    fs::write(repo.root.join(lib), &odd).unwrap();
    assert!(run(&repo, "encoder", "resnet50", None).is_err());
    assert!(run(&repo, "encoder", "Res Net", None).is_err());
    assert!(run(&repo, "encoder", "resnet50", Some("audio")).is_err());
    assert_eq!(repo.read(lib).unwrap(), odd);
    assert_eq!(Repo::at(&repo.root).unwrap().files, [lib]);
}
