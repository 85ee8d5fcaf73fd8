//! Turns: what each side said in one exchange, and how long the caller waited.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use trunkline_types::{CallId, CallTime};

use crate::rows::{call_time, optional_small, signed, small};
use crate::{Store, StoreError};

/// One exchange: what the caller said or keyed, and the agent's answer to it. The parts of the
/// wait that did not happen are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TurnRecord {
    /// Whose.
    pub call_id: CallId,
    /// From 0; turn 0 is the greeting.
    pub index: u32,
    /// When the caller began, or the agent where nobody spoke before.
    #[serde(rename = "began_us")]
    pub began: CallTime,
    /// The workflow node that answered.
    pub node: String,
    /// What the recogniser heard.
    pub heard: String,
    /// The keys pressed.
    pub dtmf: String,
    /// The agent's whole answer.
    pub agent_said: String,
    /// What of the answer was really played to the caller.
    pub agent_heard_by_caller: String,
    /// Whether the caller cut the answer short.
    pub interrupted: bool,
    /// From the caller's last sound to the decision that the turn is over.
    pub end_of_turn_ms: Option<u32>,
    /// From that decision to the final transcript.
    pub stt_final_ms: Option<u32>,
    /// From the final transcript to the language model's first token or choice.
    pub llm_first_token_ms: Option<u32>,
    /// From the first words to say to the first sample sent.
    pub first_audio_ms: Option<u32>,
    /// From the caller's last sound (or key) to the agent's first sample sent.
    pub voice_to_voice_ms: Option<u32>,
}

impl Store {
    /// Keeps a turn.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when the call is unknown or the index is taken.
    pub async fn append_turn(&self, turn: &TurnRecord) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO turns (call_id, turn_index, began_us, node, heard, dtmf, agent_said,
                                agent_heard, interrupted, end_of_turn_ms, stt_final_ms,
                                llm_first_token_ms, first_audio_ms, voice_to_voice_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(turn.call_id.to_string())
        .bind(turn.index)
        .bind(signed(turn.began.as_micros()))
        .bind(&turn.node)
        .bind(&turn.heard)
        .bind(&turn.dtmf)
        .bind(&turn.agent_said)
        .bind(&turn.agent_heard_by_caller)
        .bind(u32::from(turn.interrupted))
        .bind(turn.end_of_turn_ms)
        .bind(turn.stt_final_ms)
        .bind(turn.llm_first_token_ms)
        .bind(turn.first_audio_ms)
        .bind(turn.voice_to_voice_ms)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The turns of a call in order; none for an unknown call.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::Unreadable`].
    pub async fn turns_of(&self, id: CallId) -> Result<Vec<TurnRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM turns WHERE call_id = $1 ORDER BY turn_index")
            .bind(id.to_string())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| turn(id, row)).collect()
    }
}

fn turn(call_id: CallId, row: &SqliteRow) -> Result<TurnRecord, StoreError> {
    Ok(TurnRecord {
        call_id,
        index: small(row, "turn_index")?,
        began: call_time(row, "began_us")?,
        node: row.try_get("node")?,
        heard: row.try_get("heard")?,
        dtmf: row.try_get("dtmf")?,
        agent_said: row.try_get("agent_said")?,
        agent_heard_by_caller: row.try_get("agent_heard")?,
        interrupted: small(row, "interrupted")? != 0,
        end_of_turn_ms: optional_small(row, "end_of_turn_ms")?,
        stt_final_ms: optional_small(row, "stt_final_ms")?,
        llm_first_token_ms: optional_small(row, "llm_first_token_ms")?,
        first_audio_ms: optional_small(row, "first_audio_ms")?,
        voice_to_voice_ms: optional_small(row, "voice_to_voice_ms")?,
    })
}
