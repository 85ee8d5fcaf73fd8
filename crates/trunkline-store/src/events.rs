//! The event log of a call. Bodies are JSON that this crate does not look into.

use serde::Serialize;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row};
use trunkline_types::{CallId, CallTime};

use crate::rows::{call_time, count, signed};
use crate::{Store, StoreError};

/// One entry of a call's event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// Position in the call's log, from 0.
    pub seq: u64,
    /// When, on the call's clock.
    #[serde(rename = "at_us")]
    pub at: CallTime,
    /// What kind, e.g. `in.final`.
    pub kind: String,
    /// The entry as JSON text.
    pub body: String,
}

impl Store {
    /// Keeps entries, all or none.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when the call is unknown or a `seq` is taken.
    pub async fn append_events(&self, id: CallId, events: &[EventRow]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer.acquire().await?;
        let kept = insert_all(&mut writer, id, events).await;
        if kept.is_err() {
            // When the disk is full, SQLite ends a transaction of its own accord, and sqlx goes on
            // to count it. What this connection wrote from then on would never be committed.
            let _ = writer.close().await;
        }
        kept
    }

    /// The log of a call in order; empty for an unknown call.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::Unreadable`].
    pub async fn events_of(&self, id: CallId) -> Result<Vec<EventRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM events WHERE call_id = $1 ORDER BY seq")
            .bind(id.to_string())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(event).collect()
    }

    /// When the last entry of a call's log happened, on the call's clock.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::Unreadable`].
    pub(crate) async fn last_event_at(&self, id: CallId) -> Result<Option<CallTime>, StoreError> {
        let row =
            sqlx::query("SELECT at_us FROM events WHERE call_id = $1 ORDER BY at_us DESC LIMIT 1")
                .bind(id.to_string())
                .fetch_optional(&self.readers)
                .await?;
        row.as_ref().map(|row| call_time(row, "at_us")).transpose()
    }
}

async fn insert_all(
    writer: &mut SqliteConnection,
    id: CallId,
    events: &[EventRow],
) -> Result<(), StoreError> {
    let id = id.to_string();
    let mut transaction = writer.begin().await?;
    for event in events {
        sqlx::query(
            "INSERT INTO events (call_id, seq, at_us, kind, body) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&id)
        .bind(signed(event.seq))
        .bind(signed(event.at.as_micros()))
        .bind(&event.kind)
        .bind(&event.body)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn event(row: &SqliteRow) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        seq: count(row, "seq")?,
        at: call_time(row, "at_us")?,
        kind: row.try_get("kind")?,
        body: row.try_get("body")?,
    })
}
