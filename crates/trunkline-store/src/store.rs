//! The database file: opening, migrations, durability.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::StoreError;

/// How long a writer waits for another process, e.g. `trunkline calls` beside the server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Readers at once; SQLite in WAL mode lets them read beside the one writer.
const READERS: u32 = 4;

/// One database. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    /// One connection: writers queue here instead of failing on SQLite's lock.
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
}

impl Store {
    /// Opens the database at `path`, creates it where there is none, and brings its schema up to
    /// date. The folder must exist.
    ///
    /// # Errors
    /// [`StoreError::Open`] and [`StoreError::Migrate`], each naming the file.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let opening = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A killed process loses nothing; a power cut loses what came after the last
            // `make_durable`.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(opening)?;
        sqlx::migrate!("../../migrations")
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migrate {
                path: path.to_owned(),
                source,
            })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options)
            .await
            .map_err(opening)?;
        Ok(Self { writer, readers })
    }

    /// Brings everything written so far to the disk itself. Called once a second, it bounds what
    /// a power cut can take, without a disk flush per statement. Cheap when nothing is new.
    ///
    /// # Errors
    /// [`StoreError::DatabaseFull`] or [`StoreError::Database`].
    pub async fn make_durable(&self) -> Result<(), StoreError> {
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Asks the database a trivial question, for health pages.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT COUNT(*) FROM calls WHERE ended_us IS NULL")
            .execute(&self.readers)
            .await?;
        Ok(())
    }

    /// Waits for running statements and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
