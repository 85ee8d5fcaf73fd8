//! Models that are carried in.

use std::io::Write;

use super::*;

fn bundle(folder: &Path, manifest: &Manifest) {
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join(KEPT_MANIFEST), manifest.to_toml().unwrap()).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    fs::write(folder.join("sub/weights.bin"), weights()).unwrap();
    fs::write(folder.join("surprise.sh"), "not listed").unwrap();
}

fn store(folder: &Path) -> ModelStore {
    ModelStore::open(folder, Catalog::embedded().unwrap()).unwrap()
}

#[test]
fn a_folder_a_tar_and_a_zip_bring_the_same_model() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("carried");
    bundle(&source, &manifest(Some(&sha256(&weights()))));

    let tar_path = home.path().join("tiny.tar");
    let mut archive = tar::Builder::new(fs::File::create(&tar_path).unwrap());
    archive.append_dir_all("tiny-1.0", &source).unwrap();
    archive.finish().unwrap();

    let zip_path = home.path().join("tiny.zip");
    let mut archive = zip::ZipWriter::new(fs::File::create(&zip_path).unwrap());
    for name in [KEPT_MANIFEST, "config.json", "sub/weights.bin"] {
        archive
            .start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive
            .write_all(&fs::read(source.join(name)).unwrap())
            .unwrap();
    }
    archive.finish().unwrap();

    for (index, path) in [&source, &tar_path, &zip_path].into_iter().enumerate() {
        let models = home.path().join(format!("models{index}"));
        let model = store_import(&models, path);
        assert_eq!(
            fs::read(model.folder.join("sub/weights.bin")).unwrap(),
            weights()
        );
        assert!(!model.folder.join("surprise.sh").exists());
        // A store that is opened later knows it too.
        let later = store(&models);
        assert_eq!(later.verify("tiny", &mut |_| {}).unwrap().files.len(), 2);
    }
}

fn store_import(models: &Path, path: &Path) -> InstalledModel {
    store(models).import(path, &mut |_| {}).unwrap()
}

#[test]
fn a_plain_folder_named_like_a_model_of_the_catalog_is_enough() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("whisper-tiny");
    fs::create_dir(&source).unwrap();
    let mut store = store(&home.path().join("models"));
    let files = store.catalog().get("whisper-tiny").unwrap().files.clone();
    for file in &files {
        fs::write(source.join(&file.path), file.path.as_bytes()).unwrap();
    }
    let model = store.import(&source, &mut |_| {}).unwrap();
    assert_eq!(model.manifest.title, "Whisper tiny");
    assert!(
        model
            .files
            .iter()
            .all(|file| file.pin.trust == Trust::FirstUse)
    );
}

#[test]
fn a_bundle_with_a_wrong_or_missing_file_installs_nothing() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("carried");
    bundle(&source, &manifest(Some(&sha256(b"other"))));
    let mut store = store(&home.path().join("models"));
    let error = store.import(&source, &mut |_| {}).unwrap_err().to_string();
    assert!(
        error.contains("sub/weights.bin") && error.contains("checksum"),
        "{error}"
    );
    fs::remove_file(source.join("sub/weights.bin")).unwrap();
    let error = store.import(&source, &mut |_| {}).unwrap_err().to_string();
    assert!(
        error.contains("the file sub/weights.bin is missing"),
        "{error}"
    );
    assert!(!home.path().join("models/tiny").exists());
    assert!(store.catalog().get("tiny").is_err());
}

#[test]
fn an_import_cannot_redefine_a_model_of_the_catalog() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("carried");
    let mut own = manifest(None);
    own.name = "whisper-starter".to_owned();
    bundle(&source, &own);
    let error = store(&home.path().join("models"))
        .import(&source, &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(
            error,
            EngineError::Checksum { .. } | EngineError::Bundle { .. }
        ),
        "{error}"
    );
}

#[test]
fn what_is_no_bundle_is_said_to_be_none() {
    let home = tempfile::tempdir().unwrap();
    let mut store = store(&home.path().join("models"));
    let text = home.path().join("readme.md");
    fs::write(&text, "hello").unwrap();
    let tar_path = home.path().join("broken.tar");
    fs::write(&tar_path, vec![7; 2000]).unwrap();
    let empty = home.path().join("nothing-known");
    fs::create_dir(&empty).unwrap();
    for path in [text, tar_path, empty] {
        let error = store.import(&path, &mut |_| {}).unwrap_err();
        assert!(matches!(error, EngineError::Bundle { .. }), "{error}");
    }
}
