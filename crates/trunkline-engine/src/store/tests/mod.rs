//! What an operator relies on in the models folder. The hub of these tests is on the loopback.

mod hub_server;
mod imports;
mod packages;

use std::fs;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::check::hex;
use super::*;
use hub_server::{HubServer, Page};

const MAIN: &str = "/somebody/tiny/resolve/main";
const COMMIT: &str = "/somebody/tiny/resolve/0123456789abcdef0123456789abcdef01234567";

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn weights() -> Vec<u8> {
    (0..1_500_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// A model of two files; `sha256` is what the catalog says of the weights.
fn manifest(sha256: Option<&str>) -> Manifest {
    let pin = sha256
        .map(|hash| format!("sha256 = \"{hash}\"\n"))
        .unwrap_or_default();
    let text = format!(
        "name = \"tiny\"\ntitle = \"Tiny\"\ntask = \"stt\"\narchitecture = \"whisper\"\n\
         licence = \"MIT\"\nlanguages = [\"en\"]\nmemory_mib = 1\n\
         [source]\nkind = \"hub\"\nrepository = \"somebody/tiny\"\nrevision = \"main\"\n\
         [[files]]\npath = \"config.json\"\n[[files]]\npath = \"sub/weights.bin\"\n{pin}"
    );
    Manifest::parse("tiny.toml", &text).unwrap()
}

struct Rig {
    hub: HubServer,
    folder: TempDir,
}

impl Rig {
    fn new() -> Self {
        let hub = HubServer::start();
        for base in [MAIN, COMMIT] {
            hub.put(&format!("{base}/config.json"), Page::of(b"{}"));
            hub.put(&format!("{base}/sub/weights.bin"), Page::of(&weights()));
        }
        Self {
            hub,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn store(&self, manifest: Manifest) -> ModelStore {
        let mut catalog = Catalog::embedded().unwrap();
        catalog.insert(manifest);
        ModelStore::open(self.folder.path(), catalog)
            .unwrap()
            .with_access(self.hub.access())
    }

    fn weights_page(&self, page: Page) {
        self.hub
            .put(&format!("{MAIN}/sub/weights.bin"), page.clone());
        self.hub.put(&format!("{COMMIT}/sub/weights.bin"), page);
    }

    fn weights_path(&self) -> PathBuf {
        self.folder.path().join("tiny/sub/weights.bin")
    }
}

#[test]
fn a_pull_installs_and_a_second_pull_asks_nobody() {
    let rig = Rig::new();
    let store = rig.store(manifest(Some(&sha256(&weights()))));
    let mut last = 0;
    let model = store
        .pull("tiny", &mut |report| {
            if report.file == "sub/weights.bin" && report.step == Step::Fetch {
                assert!(report.done >= last);
                last = report.done;
                assert_eq!(report.total, Some(1_500_000));
            }
        })
        .unwrap();
    assert_eq!(last, 1_500_000);
    assert!(model.changed);
    assert_eq!(fs::read(rig.weights_path()).unwrap(), weights());
    let trust: Vec<Trust> = model.files.iter().map(|file| file.pin.trust).collect();
    assert_eq!(trust, [Trust::FirstUse, Trust::Catalog]);
    assert_eq!(rig.hub.requests().len(), 2);
    assert!(!store.pull("tiny", &mut |_| {}).unwrap().changed);
    assert_eq!(rig.hub.requests(), Vec::<String>::new());
    assert!(matches!(
        store.state(&manifest(None)),
        ModelState::Installed { bytes: 1_500_002 }
    ));
}

#[test]
fn a_cut_connection_resumes_where_it_was_cut() {
    let rig = Rig::new();
    let mut page = Page::of(&weights());
    page.cuts = vec![700_000, 100_000];
    rig.weights_page(page);
    rig.store(manifest(Some(&sha256(&weights()))))
        .pull("tiny", &mut |_| {})
        .unwrap();
    let asked: Vec<String> = rig.hub.requests();
    let ranges: Vec<&str> = asked
        .iter()
        .filter_map(|line| Some(line.split_once(' ')?.1))
        .collect();
    assert_eq!(ranges, ["700000-", "800000-"]);
    assert_eq!(fs::read(rig.weights_path()).unwrap(), weights());
}

#[test]
fn a_pull_that_was_given_up_resumes_later_and_installs_nothing_before() {
    let rig = Rig::new();
    let mut page = Page::of(&weights());
    page.cuts = vec![700_000, 0, 0, 0, 0, 0, 0];
    rig.weights_page(page);
    let store = rig.store(manifest(None));
    let error = store.pull("tiny", &mut |_| {}).unwrap_err();
    assert!(matches!(error, EngineError::Fetch { .. }), "{error}");
    assert!(!rig.folder.path().join("tiny").exists());
    rig.weights_page(Page::of(&weights()));
    rig.hub.requests();
    store.pull("tiny", &mut |_| {}).unwrap();
    assert_eq!(
        rig.hub.requests(),
        [format!("{COMMIT}/sub/weights.bin 700000-")]
    );
    assert_eq!(fs::read(rig.weights_path()).unwrap(), weights());
}

#[test]
fn a_file_that_changed_on_the_hub_meanwhile_is_fetched_from_its_beginning() {
    let rig = Rig::new();
    let mut page = Page::of(&weights());
    page.cuts = vec![700_000, 0, 0, 0, 0, 0, 0];
    rig.weights_page(page);
    let store = rig.store(manifest(None));
    store.pull("tiny", &mut |_| {}).unwrap_err();
    let other = vec![9; 1_500_001];
    rig.weights_page(Page::of(&other));
    store.pull("tiny", &mut |_| {}).unwrap();
    assert_eq!(fs::read(rig.weights_path()).unwrap(), other);
}

#[test]
fn a_wrong_checksum_is_refused_naming_the_file_and_both_hashes() {
    let rig = Rig::new();
    let wanted = sha256(b"something else");
    let error = rig
        .store(manifest(Some(&wanted)))
        .pull("tiny", &mut |_| {})
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "wrong checksum of tiny/sub/weights.bin: expected sha256 {wanted}, got {}",
            sha256(&weights())
        )
    );
    assert!(!rig.folder.path().join("tiny").exists());
}

#[test]
fn what_was_trusted_on_first_use_is_checked_from_then_on() {
    let rig = Rig::new();
    let store = rig.store(manifest(None));
    store.pull("tiny", &mut |_| {}).unwrap();
    assert!(store.remove("tiny").unwrap());
    assert!(!store.remove("tiny").unwrap());
    rig.weights_page(Page::of(b"other weights"));
    let error = store.pull("tiny", &mut |_| {}).unwrap_err();
    assert!(matches!(error, EngineError::Checksum { .. }), "{error}");
    rig.weights_page(Page::of(&weights()));
    rig.hub.requests();
    store.pull("tiny", &mut |_| {}).unwrap();
    // The branch is pinned to the commit of the first pull.
    assert!(
        rig.hub
            .requests()
            .iter()
            .all(|line| line.starts_with(COMMIT))
    );
}

#[test]
fn missing_and_gated_files_and_a_hub_that_is_down_say_what_they_are() {
    let rig = Rig::new();
    let store = rig.store(manifest(None));
    for (status, words) in [
        (404, "404"),
        (401, "is gated"),
        (403, "is gated"),
        (503, "503"),
    ] {
        let page = Page {
            status: Some(status),
            ..Page::default()
        };
        rig.weights_page(page);
        let error = store.pull("tiny", &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    drop(rig.hub);
    let error = store.pull("tiny", &mut |_| {}).unwrap_err();
    assert!(matches!(error, EngineError::Fetch { .. }), "{error}");
}

#[test]
fn redirects_are_followed_and_loops_end() {
    let rig = Rig::new();
    let redirect = |to: &str| Page {
        redirect: Some(to.to_owned()),
        ..Page::default()
    };
    rig.hub.put("/cdn/1", Page::of(&weights()));
    rig.weights_page(redirect("/cdn/1"));
    let store = rig.store(manifest(None));
    store.pull("tiny", &mut |_| {}).unwrap();
    assert_eq!(fs::read(rig.weights_path()).unwrap(), weights());
    store.remove("tiny").unwrap();
    rig.weights_page(redirect(&format!("{COMMIT}/sub/weights.bin")));
    let error = store.pull("tiny", &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("too many redirects"), "{error}");
}

#[test]
fn damage_is_found_by_name() {
    let rig = Rig::new();
    let store = rig.store(manifest(None));
    assert!(
        matches!(store.locate("tiny"), Err(EngineError::NotInstalled { command, .. })
        if command == "trunkline models pull tiny")
    );
    store.pull("tiny", &mut |_| {}).unwrap();
    store.locate("tiny").unwrap();

    let mut spoilt = weights();
    spoilt[1000] ^= 1;
    fs::write(rig.weights_path(), &spoilt).unwrap();
    for error in [
        store.locate("tiny").unwrap_err(),
        store.verify("tiny", &mut |_| {}).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(
            text.contains("sub/weights.bin") && text.contains("wrong checksum"),
            "{text}"
        );
    }
    fs::write(rig.weights_path(), &spoilt[..1000]).unwrap();
    let error = store.locate("tiny").unwrap_err();
    assert!(
        matches!(
            error,
            EngineError::Size {
                expected: 1_500_000,
                actual: 1000,
                ..
            }
        ),
        "{error}"
    );
    fs::remove_file(rig.weights_path()).unwrap();
    let error = store.locate("tiny").unwrap_err();
    assert!(matches!(error, EngineError::FileMissing { .. }), "{error}");
    assert!(matches!(
        store.state(&manifest(None)),
        ModelState::Damaged { .. }
    ));

    // A pull mends it, fetching only what is wrong.
    rig.hub.requests();
    assert!(store.pull("tiny", &mut |_| {}).unwrap().changed);
    assert_eq!(rig.hub.requests(), [format!("{COMMIT}/sub/weights.bin")]);
    store.verify("tiny", &mut |_| {}).unwrap();
}

#[test]
fn verify_finds_what_kept_its_size_and_time() {
    let rig = Rig::new();
    let store = rig.store(manifest(None));
    store.pull("tiny", &mut |_| {}).unwrap();
    let changed = fs::metadata(rig.weights_path())
        .unwrap()
        .modified()
        .unwrap();
    let mut spoilt = weights();
    spoilt[0] ^= 1;
    fs::write(rig.weights_path(), &spoilt).unwrap();
    fs::File::options()
        .write(true)
        .open(rig.weights_path())
        .unwrap()
        .set_modified(changed)
        .unwrap();
    store.locate("tiny").unwrap();
    let error = store.verify("tiny", &mut |_| {}).unwrap_err();
    assert!(matches!(error, EngineError::Checksum { .. }), "{error}");
}

#[test]
fn two_pulls_of_one_model_do_not_meet() {
    let rig = Rig::new();
    let store = rig.store(manifest(None));
    let held = Stage::begin(rig.folder.path(), "tiny").unwrap();
    let error = store.pull("tiny", &mut |_| {}).unwrap_err();
    assert!(matches!(error, EngineError::Busy { .. }), "{error}");
    drop(held);
    store.pull("tiny", &mut |_| {}).unwrap();
}

#[test]
fn a_crash_between_the_two_renames_loses_nothing() {
    let rig = Rig::new();
    let store = rig.store(manifest(None));
    store.pull("tiny", &mut |_| {}).unwrap();
    let installed = rig.folder.path().join("tiny");
    fs::rename(&installed, rig.folder.path().join(".staging/tiny.old")).unwrap();
    rig.hub.requests();
    assert!(!store.pull("tiny", &mut |_| {}).unwrap().changed);
    assert_eq!(rig.hub.requests(), Vec::<String>::new());
}

#[test]
fn the_starter_model_installs_from_the_program_itself() {
    let rig = Rig::new();
    let store = rig.store(manifest(None));
    let model = store.pull("whisper-starter", &mut |_| {}).unwrap();
    assert!(
        model
            .files
            .iter()
            .all(|file| file.pin.trust == Trust::Catalog)
    );
    assert!(model.folder.join("model.safetensors").is_file());
    assert_eq!(rig.hub.requests(), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_told_and_nothing_is_installed() {
    let rig = Rig::new();
    let staged = rig.folder.path().join(".staging/tiny/sub");
    fs::create_dir_all(&staged).unwrap();
    // A device on which every write fails for want of space.
    std::os::unix::fs::symlink("/dev/full", staged.join("weights.bin.part")).unwrap();
    let error = rig
        .store(manifest(None))
        .pull("tiny", &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("no space left on the disk"), "{error}");
    assert!(!rig.folder.path().join("tiny").exists());
}

#[test]
fn the_access_token_goes_to_the_hub_and_not_along_a_redirect() {
    let rig = Rig::new();
    let network = HubServer::start();
    network.put("/weights", Page::of(&weights()));
    rig.weights_page(Page {
        redirect: Some(format!("http://{}/weights", network.address())),
        ..Page::default()
    });
    let access = Access {
        token: Some(trunkline_types::Secret::new("hf_secret".to_owned())),
        ..rig.hub.access()
    };
    let store = rig.store(manifest(None)).with_access(access);
    store.pull("tiny", &mut |_| {}).unwrap();
    assert_eq!(rig.hub.with_token().len(), 2);
    assert_eq!(network.requests(), ["/weights"]);
    assert_eq!(network.with_token(), Vec::<String>::new());
}
