//! Calls: one row from the INVITE to the end.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use trunkline_types::{CallDirection, CallId, DialledNumber, EndReason, Outcome, Timestamp};

use crate::rows::{named, parsed, signed, timestamp};
use crate::{Store, StoreError};

/// What is known when a call begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCall {
    /// Ours.
    pub id: CallId,
    /// Who placed it.
    pub direction: CallDirection,
    /// The calling party.
    pub from: String,
    /// The called number.
    pub to: DialledNumber,
    /// The trunk's name.
    pub trunk: String,
    /// The workflow's name.
    pub workflow: String,
    /// Which version of the workflow, as its owner counts them (e.g. a hash of the document).
    pub workflow_version: String,
    /// The carrier's own id, e.g. the SIP Call-ID.
    pub carrier_call_id: String,
    /// When the INVITE came or went.
    pub started: Timestamp,
}

/// What is known when a call ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEnd {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: EndReason,
    /// What the far end or the network said.
    pub detail: Option<String>,
    /// What the workflow made of the call, e.g. `appointment_booked`.
    pub disposition: Option<String>,
    /// Path of the recording.
    pub recording: Option<String>,
}

/// All that is kept of a call in its own row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallRecord {
    /// Ours.
    pub id: CallId,
    /// Who placed it.
    pub direction: CallDirection,
    /// The calling party.
    pub from: String,
    /// The called number.
    pub to: DialledNumber,
    /// The trunk's name.
    pub trunk: String,
    /// The workflow's name.
    pub workflow: String,
    /// Which version of the workflow.
    pub workflow_version: String,
    /// The carrier's own id.
    pub carrier_call_id: String,
    /// When the INVITE came or went.
    #[serde(rename = "started_us")]
    pub started: Timestamp,
    /// When media began to flow; `None` when it never did.
    #[serde(rename = "answered_us")]
    pub answered: Option<Timestamp>,
    /// When it ended; `None` while it runs.
    #[serde(rename = "ended_us")]
    pub ended: Option<Timestamp>,
    /// The codec on the wire, e.g. `PCMU/8000`.
    pub codec: Option<String>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// How it went, by the reason.
    pub outcome: Option<Outcome>,
    /// What the far end or the network said at the end.
    pub end_detail: Option<String>,
    /// What the workflow made of the call.
    pub disposition: Option<String>,
    /// Path of the recording.
    pub recording: Option<String>,
}

impl Store {
    /// Keeps a call that begins.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when the id is already there.
    pub async fn insert_call(&self, call: &NewCall) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO calls (id, direction, from_number, to_number, trunk, workflow,
                                workflow_version, carrier_call_id, started_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(call.id.to_string())
        .bind(call.direction.as_str())
        .bind(&call.from)
        .bind(call.to.as_str())
        .bind(&call.trunk)
        .bind(&call.workflow)
        .bind(&call.workflow_version)
        .bind(&call.carrier_call_id)
        .bind(signed(call.started.as_micros()))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Keeps that media began to flow. `codec` is e.g. `PCMU/8000`.
    ///
    /// # Errors
    /// [`StoreError::UnknownCall`] or [`StoreError::Database`].
    pub async fn mark_answered(
        &self,
        id: CallId,
        at: Timestamp,
        codec: &str,
    ) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE calls SET answered_us = $2, codec = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(signed(at.as_micros()))
            .bind(codec)
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::UnknownCall(id));
        }
        Ok(())
    }

    /// Keeps how a call ended. The first end stands: ending an ended call changes nothing.
    ///
    /// # Errors
    /// [`StoreError::UnknownCall`] or [`StoreError::Database`].
    pub async fn end_call(&self, id: CallId, end: &CallEnd) -> Result<(), StoreError> {
        let done = sqlx::query(
            "UPDATE calls
                SET ended_us = $2, end_reason = $3, end_detail = $4, disposition = $5,
                    recording = $6
              WHERE id = $1 AND ended_us IS NULL",
        )
        .bind(id.to_string())
        .bind(signed(end.at.as_micros()))
        .bind(end.reason.as_str())
        .bind(&end.detail)
        .bind(&end.disposition)
        .bind(&end.recording)
        .execute(&self.writer)
        .await?;
        if done.rows_affected() == 0 {
            self.get_call(id).await?;
        }
        Ok(())
    }

    /// Keeps where the recording of a call lies, for recordings that are closed after the call.
    ///
    /// # Errors
    /// [`StoreError::UnknownCall`] or [`StoreError::Database`].
    pub async fn set_recording(&self, id: CallId, path: &str) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE calls SET recording = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(path)
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::UnknownCall(id));
        }
        Ok(())
    }

    /// One call.
    ///
    /// # Errors
    /// [`StoreError::UnknownCall`], [`StoreError::Database`] or [`StoreError::Unreadable`].
    pub async fn get_call(&self, id: CallId) -> Result<CallRecord, StoreError> {
        let row = sqlx::query("SELECT * FROM calls WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?
            .ok_or(StoreError::UnknownCall(id))?;
        record(&row)
    }

    /// The newest calls first, at most `limit`; the next page begins before the last id of this
    /// one.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::Unreadable`].
    pub async fn list_calls(
        &self,
        limit: u32,
        before: Option<CallId>,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let query = match before {
            None => sqlx::query("SELECT * FROM calls ORDER BY id DESC LIMIT $1").bind(limit),
            Some(id) => sqlx::query("SELECT * FROM calls WHERE id < $2 ORDER BY id DESC LIMIT $1")
                .bind(limit)
                .bind(id.to_string()),
        };
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(record).collect()
    }

    /// The calls without an end, oldest first: those that run, or that a crash left.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::Unreadable`].
    pub async fn unfinished_calls(&self) -> Result<Vec<CallRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM calls WHERE ended_us IS NULL ORDER BY id")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &SqliteRow) -> Result<CallRecord, StoreError> {
    let direction: String = row.try_get("direction")?;
    let end_reason: Option<EndReason> = row
        .try_get::<Option<String>, _>("end_reason")?
        .map(|name| named("end_reason", &name))
        .transpose()?;
    Ok(CallRecord {
        id: parsed(row, "id")?,
        direction: named("direction", &direction)?,
        from: row.try_get("from_number")?,
        to: parsed(row, "to_number")?,
        trunk: row.try_get("trunk")?,
        workflow: row.try_get("workflow")?,
        workflow_version: row.try_get("workflow_version")?,
        carrier_call_id: row.try_get("carrier_call_id")?,
        started: timestamp(row, "started_us")?.unwrap_or(Timestamp::from_micros(0)),
        answered: timestamp(row, "answered_us")?,
        ended: timestamp(row, "ended_us")?,
        codec: row.try_get("codec")?,
        end_reason,
        outcome: end_reason.map(EndReason::outcome),
        end_detail: row.try_get("end_detail")?,
        disposition: row.try_get("disposition")?,
        recording: row.try_get("recording")?,
    })
}
