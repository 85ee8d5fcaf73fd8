//! The folder in which a node keeps what it must not lose, and the lock that gives it one owner.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use trunkline_store::Store;

/// A data folder.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

/// Held while a server owns its data folder. The system lets go when the process dies.
#[derive(Debug)]
pub(crate) struct Owned(#[expect(dead_code, reason = "held for its lock")] File);

impl DataDir {
    /// The folder as configured. Nothing is touched.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Creates the folder where it is missing and makes this process its owner. The paths of the
    /// folder returned are absolute, so that what is written down stays true elsewhere.
    pub(crate) fn own(&self) -> Result<(Self, Owned)> {
        let shown = self.0.display();
        // What callers said is nobody else's business on this machine.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .with_context(|| format!("cannot create the data folder {shown}"))?;
        let absolute = fs::canonicalize(&self.0)
            .with_context(|| format!("cannot use the data folder {shown}"))?;
        let lock_path = absolute.join("lock");
        let lock = File::create(&lock_path)
            .with_context(|| format!("cannot write in the data folder {shown}"))?;
        match lock.try_lock() {
            Ok(()) => Ok((Self(absolute), Owned(lock))),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "another trunkline uses the data folder {shown}; stop it, or set node.data_dir"
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", lock_path.display()))
            }
        }
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("trunkline.db")
    }

    /// Where recordings lie.
    pub(crate) fn recordings(&self) -> PathBuf {
        self.0.join("recordings")
    }

    /// Opens the database of a node that has run before, for looking into it.
    pub(crate) async fn open_existing(&self) -> Result<Store> {
        let database = self.database();
        if !database.exists() {
            bail!(
                "no calls were kept yet: there is no database {}",
                database.display()
            );
        }
        Ok(Store::open(&database).await?)
    }
}
