//! The transcript: who said what, when, as it was really heard.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use trunkline_types::{CallId, CallTime, Party};

use crate::rows::{call_time, named, signed};
use crate::{Store, StoreError};

/// One utterance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TranscriptLine {
    /// Who spoke.
    pub party: Party,
    /// When it began.
    #[serde(rename = "at_us")]
    pub at: CallTime,
    /// When it ended.
    #[serde(rename = "until_us")]
    pub until: CallTime,
    /// The caller's words as recognised, or the agent's words as far as they were played.
    pub text: String,
    /// The whole of what the agent was going to say, where it was cut short.
    pub intended: Option<String>,
}

fn party_name(party: Party) -> &'static str {
    match party {
        Party::Caller => "caller",
        Party::Agent => "agent",
    }
}

impl Store {
    /// Keeps a line after those before it.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when the call is unknown.
    pub async fn append_transcript(
        &self,
        id: CallId,
        line: &TranscriptLine,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO transcript_lines (call_id, line_index, party, at_us, until_us, text,
                                           intended)
             SELECT $1, COUNT(*), $2, $3, $4, $5, $6 FROM transcript_lines WHERE call_id = $1",
        )
        .bind(id.to_string())
        .bind(party_name(line.party))
        .bind(signed(line.at.as_micros()))
        .bind(signed(line.until.as_micros()))
        .bind(&line.text)
        .bind(&line.intended)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The lines of a call by the time that they began; none for an unknown call.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::Unreadable`].
    pub async fn transcript_of(&self, id: CallId) -> Result<Vec<TranscriptLine>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM transcript_lines WHERE call_id = $1 ORDER BY at_us, line_index",
        )
        .bind(id.to_string())
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(line).collect()
    }
}

fn line(row: &SqliteRow) -> Result<TranscriptLine, StoreError> {
    let party: String = row.try_get("party")?;
    Ok(TranscriptLine {
        party: named("party", &party)?,
        at: call_time(row, "at_us")?,
        until: call_time(row, "until_us")?,
        text: row.try_get("text")?,
        intended: row.try_get("intended")?,
    })
}
