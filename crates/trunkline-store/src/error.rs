//! What can go wrong with what is kept.

use std::io;
use std::path::{Path, PathBuf};

use trunkline_types::CallId;

/// Why something could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file cannot be opened or created.
    #[error("cannot open the database {path}: {source}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The database was written by a newer release, or a migration failed.
    #[error("cannot bring the database {path} up to date: {source}", path = path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("the database refused a statement: {0}")]
    Database(sqlx::Error),
    /// The database cannot grow.
    #[error("the disk is full: make room where node.data_dir lies, the database cannot grow")]
    DatabaseFull,
    /// No such call.
    #[error("there is no call {0}")]
    UnknownCall(CallId),
    /// A stored value is not what this release writes.
    #[error("the database holds {value:?} in {column}, which this release does not understand")]
    Unreadable {
        /// Where.
        column: &'static str,
        /// What.
        value: String,
    },
    /// The disk is full.
    #[error("the disk is full: cannot write {path}", path = .0.display())]
    DiskFull(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    File {
        /// What was tried, e.g. `create`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not one of our recordings.
    #[error("{path} is not a recording: {why}", path = path.display())]
    NotARecording {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The recorder's thread is gone.
    #[error("the recorder has stopped")]
    RecorderStopped,
}

/// SQLite's result code for a full disk (sqlite.org/rescode.html, `SQLITE_FULL`).
const SQLITE_FULL: &str = "13";

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        let code = source.as_database_error().and_then(|error| error.code());
        if code.as_deref() == Some(SQLITE_FULL) {
            Self::DatabaseFull
        } else {
            Self::Database(source)
        }
    }
}

impl StoreError {
    /// The error of a file operation; a full disk gets its own name.
    pub(crate) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        if full {
            Self::DiskFull(path.to_owned())
        } else {
            Self::File {
                doing,
                path: path.to_owned(),
                source,
            }
        }
    }
}
