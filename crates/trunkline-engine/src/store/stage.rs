//! The staging folder of one model: where files gather until they are all there and right.
//!
//! It is held by an advisory file lock, so that two processes do not pull the same model into
//! each other; the lock goes with the process, so that a killed pull blocks nobody.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::check::{copy_blocks, hex};
use super::{Progress, Step};
use crate::EngineError;
use crate::error::at;

/// A pull, import or removal under way.
#[derive(Debug)]
pub(super) struct Stage {
    folder: PathBuf,
    retired: PathBuf,
    installed: PathBuf,
    _busy: File,
}

impl Stage {
    /// Takes the model for this process. What an earlier attempt left in the stage stays.
    pub(super) fn begin(models: &Path, name: &str) -> Result<Self, EngineError> {
        let staging = models.join(".staging");
        fs::create_dir_all(&staging).map_err(at(&staging))?;
        let busy_path = staging.join(format!("{name}.busy"));
        let busy = File::create(&busy_path).map_err(at(&busy_path))?;
        match busy.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(EngineError::Busy {
                    name: name.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(EngineError::io(&busy_path, error)),
        }
        let stage = Self {
            folder: staging.join(name),
            retired: staging.join(format!("{name}.old")),
            installed: models.join(name),
            _busy: busy,
        };
        stage.recover()?;
        fs::create_dir_all(&stage.folder).map_err(at(&stage.folder))?;
        Ok(stage)
    }

    /// A crash between the two renames of `install` leaves the old files aside: back with them.
    fn recover(&self) -> Result<(), EngineError> {
        if !self.retired.is_dir() {
            return Ok(());
        }
        if self.installed.exists() {
            fs::remove_dir_all(&self.retired).map_err(at(&self.retired))
        } else {
            fs::rename(&self.retired, &self.installed).map_err(at(&self.installed))
        }
    }

    /// Where a file of the model gathers; its folder exists afterwards.
    pub(super) fn path(&self, file: &str) -> Result<PathBuf, EngineError> {
        let path = self.folder.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        Ok(path)
    }

    /// The staging folder itself.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes a file that is installed already and right, without copying it where possible.
    pub(super) fn reuse_installed(&self, file: &str) -> Result<(), EngineError> {
        let (from, to) = (self.installed.join(file), self.path(file)?);
        if to.exists() {
            fs::remove_file(&to).map_err(at(&to))?;
        }
        fs::hard_link(&from, &to)
            .or_else(|_| fs::copy(&from, &to).map(drop))
            .map_err(at(&to))
    }

    /// Writes a whole file and returns its checksum.
    pub(super) fn write(
        &self,
        file: &str,
        from: &mut dyn io::Read,
        total: Option<u64>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<String, EngineError> {
        let path = self.path(file)?;
        let mut out = File::create(&path).map_err(at(&path))?;
        let mut hash = Sha256::new();
        let mut report = |done| {
            progress(Progress {
                step: Step::Unpack,
                file,
                done,
                total,
            });
        };
        copy_blocks(from, &mut report, |block| {
            hash.update(block);
            out.write_all(block)
        })
        .and_then(|_| out.sync_all())
        .map_err(at(&path))?;
        Ok(hex(&hash.finalize()))
    }

    /// Moves the complete stage into place.
    pub(super) fn install(self) -> Result<(), EngineError> {
        let had_old = self.installed.exists();
        if had_old {
            fs::rename(&self.installed, &self.retired).map_err(at(&self.installed))?;
        }
        fs::rename(&self.folder, &self.installed).map_err(at(&self.installed))?;
        if had_old {
            fs::remove_dir_all(&self.retired).map_err(at(&self.retired))?;
        }
        Ok(())
    }

    /// Deletes the installed files.
    pub(super) fn remove_installed(&self) -> Result<bool, EngineError> {
        match fs::remove_dir_all(&self.installed) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(EngineError::io(&self.installed, error)),
        }
    }

    /// Deletes what gathered.
    pub(super) fn discard(self) -> Result<(), EngineError> {
        fs::remove_dir_all(&self.folder).map_err(at(&self.folder))
    }
}
