//! What an operator relies on in the catalog.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::*;

const MINIMAL: &str = r#"
name = "tiny"
title = "Tiny"
task = "stt"
architecture = "whisper"
licence = "MIT"
languages = ["en"]
memory_mib = 1

[source]
kind = "hub"
repository = "somebody/tiny"
revision = "main"

[[files]]
path = "config.json"
"#;

#[test]
fn every_manifest_of_the_folder_is_compiled_in_under_its_own_name() {
    let folder = Path::new("../../models/catalog");
    let on_disk: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let embedded = Catalog::embedded().unwrap();
    let names = embedded.iter().map(|model| format!("{}.toml", model.name));
    assert_eq!(names.collect::<BTreeSet<_>>(), on_disk);
}

#[test]
fn the_checksums_of_bundled_files_are_those_of_the_files() {
    let catalog = Catalog::embedded().unwrap();
    let mut wrong = String::new();
    let mut seen = 0;
    for model in catalog.iter() {
        let Source::Bundled { path } = &model.source else {
            continue;
        };
        for file in &model.files {
            let bytes = bundled_file(path, &file.path).unwrap();
            let actual: String = Sha256::digest(bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            seen += 1;
            if file.size != Some(bytes.len() as u64) || file.sha256.as_deref() != Some(&actual) {
                wrong.push_str(&format!(
                    "\n[[files]]\npath = {:?}\nsize = {}\nsha256 = {actual:?}\n",
                    file.path,
                    bytes.len()
                ));
            }
        }
    }
    assert!(seen >= 6);
    assert!(wrong.is_empty(), "put this into its manifest:{wrong}");
}

#[test]
fn a_model_is_either_pinned_or_comes_from_a_hub() {
    for model in Catalog::embedded().unwrap().iter() {
        let hub = matches!(model.source, Source::Hub { .. });
        assert!(hub != model.is_pinned(), "{}", model.name);
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let error = Catalog::embedded()
        .unwrap()
        .get("whisper-larg-v3-turbo")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no model named \"whisper-larg-v3-turbo\"; did you mean \"whisper-large-v3-turbo\"?"
    );
}

#[test]
fn a_folder_extends_and_replaces() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), MINIMAL).unwrap();
    let own_tiny = MINIMAL.replace("name = \"tiny\"", "name = \"whisper-tiny\"");
    fs::write(folder.path().join("b.toml"), own_tiny).unwrap();
    fs::write(folder.path().join("notes.txt"), "not a manifest").unwrap();
    let mut catalog = Catalog::embedded().unwrap();
    let before = catalog.iter().count();
    catalog.extend_from_folder(folder.path()).unwrap();
    assert_eq!(catalog.iter().count(), before + 1);
    assert_eq!(catalog.get("whisper-tiny").unwrap().title, "Tiny");
}

#[test]
fn a_manifest_that_leads_outside_or_has_a_typo_is_refused_with_its_file_name() {
    let cases = [
        (
            "path = \"config.json\"",
            "path = \"../config.json\"",
            "leads outside",
        ),
        (
            "path = \"config.json\"",
            "path = \"/etc/passwd\"",
            "leads outside",
        ),
        ("name = \"tiny\"", "name = \"../tiny\"", "may only hold"),
        (
            "somebody/tiny",
            "somebody/tiny?x=",
            "not an owner and a name",
        ),
        (
            "revision = \"main\"",
            "revision = \"../..\"",
            "not a revision",
        ),
        ("licence =", "license =", "license"),
        (
            "path = \"config.json\"",
            "path = \"config.json\"\nsha256 = \"AB\"",
            "not a sha256",
        ),
        ("[[files]]\npath = \"config.json\"", "", "no files"),
    ];
    for (from, to, reason) in cases {
        let error = Manifest::parse("tiny.toml", &MINIMAL.replace(from, to)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("tiny.toml") && text.contains(reason),
            "{text}"
        );
    }
}

#[test]
fn a_package_that_pip_would_take_for_an_option_is_refused() {
    let source = "kind = \"python-package\"\npackage = \"--index-url\"\nversion = \"1\"";
    let hub = "kind = \"hub\"\nrepository = \"somebody/tiny\"\nrevision = \"main\"";
    let error = Manifest::parse("tiny.toml", &MINIMAL.replace(hub, source)).unwrap_err();
    assert!(error.to_string().contains("is not a package"), "{error}");
}
