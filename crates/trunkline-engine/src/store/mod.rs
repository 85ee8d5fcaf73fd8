//! The models folder on disk.
//!
//! ```text
//! <models>/whisper-tiny/…         the files, complete or not there at all
//! <models>/whisper-tiny.lock      the pins: checksum of every file, and who vouched for it
//! <models>/.staging/whisper-tiny/ a pull or import under way; survives a cut, so that it resumes
//! ```
//! Files are gathered in the staging folder, checked, and moved in place by one rename, so
//! that a model is installed or not, never half. A checksum that the catalog does not know is
//! pinned on first pull (trust on first use); the pins outlive `remove`, so that the second
//! pull must bring the same bytes.
//!
//! Deliberately not here: deciding when to pull. Nothing in this crate reaches for a network
//! unless [`ModelStore::pull`] is called.

mod check;
mod hub;
mod import;
mod lock;
mod progress;
mod pull;
mod python;
mod stage;
#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use hub::Access;
pub use lock::{Pin, Trust};
pub use progress::{Progress, Step};

use crate::error::at;
use crate::{Catalog, EngineError, Manifest, Source};
use check::{matches_stamp, require_size, sha256_of_file, stamp};
use lock::LockFile;
use stage::Stage;

/// The name under which an imported model's manifest is kept beside its files.
const KEPT_MANIFEST: &str = "trunkline-model.toml";

/// The folder used when none is configured: `$XDG_CACHE_HOME/trunkline/models`, or
/// `~/.cache/trunkline/models`, or `var/models` where there is no home.
pub fn default_models_dir() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .map_or_else(
            || PathBuf::from("var/models"),
            |cache| cache.join("trunkline/models"),
        )
}

/// A catalog and the folder in which its models lie.
#[derive(Debug, Clone)]
pub struct ModelStore {
    folder: PathBuf,
    catalog: Catalog,
    access: Access,
}

/// How a model of the catalog stands on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelState {
    /// Not here.
    Absent,
    /// All files are here, as far as a look at sizes tells.
    Installed {
        /// Bytes on disk.
        bytes: u64,
    },
    /// Files are missing or have another size.
    Damaged {
        /// The first such file.
        file: String,
    },
    /// A program of the operating system serves; nothing is stored.
    Program {
        /// Whether the program was found.
        found: bool,
    },
}

/// A line of `trunkline models list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStatus {
    /// What it is.
    pub manifest: Manifest,
    /// How it stands.
    pub state: ModelState,
}

/// A model whose files are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledModel {
    /// What it is.
    pub manifest: Manifest,
    /// The folder with its files.
    pub folder: PathBuf,
    /// Its files, each with who vouched for it.
    pub files: Vec<FileReport>,
    /// False when everything was here before and nothing was fetched.
    pub changed: bool,
}

/// One file of an installed model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Relative to the model's folder.
    pub path: String,
    /// Checksum and who vouched for it.
    pub pin: Pin,
}

impl ModelStore {
    /// A store in `folder`, which need not exist yet. Imported models that lie there with
    /// their own manifest are added to the catalog.
    ///
    /// # Errors
    /// [`EngineError::Manifest`] when such a manifest is not valid.
    pub fn open(folder: &Path, mut catalog: Catalog) -> Result<Self, EngineError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(at(folder))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(EngineError::io(folder, error)),
        };
        for entry in entries {
            let kept = entry.path().join(KEPT_MANIFEST);
            let Ok(text) = fs::read_to_string(&kept) else {
                continue;
            };
            let manifest = Manifest::parse(&kept.display().to_string(), &text)?;
            // The catalog's word goes first: an import cannot redefine a model of the product.
            if catalog.get(&manifest.name).is_err() {
                catalog.insert(manifest);
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            catalog,
            access: Access::from_environment(),
        })
    }

    /// With another hub, token or Python than the environment names.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// The models it knows.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The folder of all models.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every model of the catalog and how it stands, by name. Looks at sizes only.
    pub fn list(&self) -> Vec<ModelStatus> {
        self.catalog
            .iter()
            .map(|manifest| ModelStatus {
                manifest: manifest.clone(),
                state: self.state(manifest),
            })
            .collect()
    }

    fn state(&self, manifest: &Manifest) -> ModelState {
        if let Source::DebianPackage { program, .. } = &manifest.source {
            return ModelState::Program {
                found: find_program(program).is_some(),
            };
        }
        let folder = self.model_folder(manifest);
        if !folder.is_dir() {
            return ModelState::Absent;
        }
        let lock = LockFile::read(&self.lock_path(manifest)).unwrap_or_default();
        let mut bytes = 0;
        for file in &manifest.files {
            let wanted = file
                .size
                .or_else(|| lock.get(&file.path).map(|pin| pin.size));
            match fs::metadata(folder.join(&file.path)) {
                Ok(found) if found.is_file() && wanted.is_none_or(|size| size == found.len()) => {
                    bytes += found.len();
                }
                _ => {
                    return ModelState::Damaged {
                        file: file.path.clone(),
                    };
                }
            }
        }
        ModelState::Installed { bytes }
    }

    /// The files of an installed model, checked. A file whose size and time of change are as
    /// when it was last checked is believed; any other is hashed again, so that a start after
    /// the first is quick and a changed file is still found. [`ModelStore::verify`] believes
    /// nothing.
    ///
    /// # Errors
    /// [`EngineError::NotInstalled`] with the command that installs it,
    /// [`EngineError::FileMissing`], [`EngineError::Size`] or [`EngineError::Checksum`]
    /// naming the file.
    pub fn locate(&self, name: &str) -> Result<InstalledModel, EngineError> {
        self.examine(name, false, &mut |_| {})
    }

    /// Hashes every file of an installed model again.
    ///
    /// # Errors
    /// As [`ModelStore::locate`].
    pub fn verify(
        &self,
        name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<InstalledModel, EngineError> {
        self.examine(name, true, progress)
    }

    fn examine(
        &self,
        name: &str,
        rehash: bool,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<InstalledModel, EngineError> {
        let manifest = self.catalog.get(name)?;
        if let Source::DebianPackage { package, program } = &manifest.source {
            require_program(program, package)?;
            return Ok(self.installed(manifest, &LockFile::default(), false));
        }
        let folder = self.model_folder(manifest);
        if !folder.is_dir() {
            return Err(EngineError::NotInstalled {
                name: name.to_owned(),
                command: manifest.install_command(),
            });
        }
        let mut lock = LockFile::read(&self.lock_path(manifest))?;
        let mut seen_anew = false;
        for file in &manifest.files {
            let path = folder.join(&file.path);
            let found = stamp(&path).map_err(|_| EngineError::FileMissing {
                name: name.to_owned(),
                file: path.display().to_string(),
            })?;
            let pinned = lock.get(&file.path);
            if let Some(size) = file.size.or_else(|| pinned.map(|pin| pin.size)) {
                require_size(&path, size, found.size)?;
            }
            if !rehash && pinned.is_some_and(|pin| matches_stamp(pin, &found, file)) {
                continue;
            }
            let actual = sha256_of_file(&path, &file.path, progress)?;
            let label = path.display().to_string();
            let pin = lock.accept(file, &label, actual, found, Trust::FirstUse)?;
            lock.set(&file.path, pin);
            seen_anew = true;
        }
        if seen_anew {
            // The stamps only save time at the next start; a read-only folder is no fault.
            if let Err(error) = lock.write(&self.lock_path(manifest)) {
                tracing::debug!(model = name, %error, "cannot note that the files were checked");
            }
        }
        Ok(self.installed(manifest, &lock, false))
    }

    /// Deletes a model's files. Its pins stay, so that the next pull must bring the same bytes.
    /// Returns whether there was anything to delete.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`], [`EngineError::Busy`] or [`EngineError::Io`].
    pub fn remove(&self, name: &str) -> Result<bool, EngineError> {
        let manifest = self.catalog.get(name)?;
        if !self.folder.is_dir() {
            return Ok(false);
        }
        let stage = Stage::begin(&self.folder, name)?;
        let removed = stage.remove_installed()?;
        stage.discard()?;
        tracing::info!(model = manifest.name, removed, "model removed");
        Ok(removed)
    }

    pub(crate) fn model_folder(&self, manifest: &Manifest) -> PathBuf {
        self.folder.join(&manifest.name)
    }

    fn lock_path(&self, manifest: &Manifest) -> PathBuf {
        self.folder.join(format!("{}.lock", manifest.name))
    }

    fn installed(&self, manifest: &Manifest, lock: &LockFile, changed: bool) -> InstalledModel {
        InstalledModel {
            folder: self.model_folder(manifest),
            files: manifest
                .files
                .iter()
                .filter_map(|file| {
                    Some(FileReport {
                        path: file.path.clone(),
                        pin: lock.get(&file.path)?.clone(),
                    })
                })
                .collect(),
            manifest: manifest.clone(),
            changed,
        }
    }
}

/// Where a program lies, by `PATH`.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Where a program lies, or which package brings it.
pub(crate) fn require_program(program: &str, package: &str) -> Result<PathBuf, EngineError> {
    find_program(program).ok_or_else(|| EngineError::ProgramMissing {
        program: program.to_owned(),
        package: package.to_owned(),
    })
}
