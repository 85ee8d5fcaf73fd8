//! A call for people and for programs.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;
use trunkline_store::{CallRecord, Store, TranscriptLine, TurnRecord};
use trunkline_types::{CallId, Outcome, Party};

use crate::terminal::{Paint, Style, date_and_time};

/// A call with all that was said in it.
#[derive(Debug, Serialize)]
pub(crate) struct WholeCall {
    /// Its own row.
    pub(crate) call: CallRecord,
    /// Its turns.
    pub(crate) turns: Vec<TurnRecord>,
    /// Its transcript.
    pub(crate) transcript: Vec<TranscriptLine>,
}

impl WholeCall {
    /// Reads it; an unknown call is an error.
    pub(crate) async fn read(
        store: &Store,
        id: CallId,
    ) -> Result<Self, trunkline_store::StoreError> {
        Ok(Self {
            call: store.get_call(id).await?,
            turns: store.turns_of(id).await?,
            transcript: store.transcript_of(id).await?,
        })
    }

    pub(super) fn for_people(&self, paint: Paint) -> String {
        let call = &self.call;
        let mut text = String::new();
        let mut field = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{} {value}",
                paint.paint(Style::Dim, &format!("{name:<10}"))
            );
        };
        field("call", &call.id.to_string());
        field("from", &call.from);
        field("to", call.to.as_str());
        field("direction", call.direction.as_str());
        field("trunk", &call.trunk);
        field(
            "workflow",
            &format!("{} ({})", call.workflow, call.workflow_version),
        );
        field("started", &format!("{} UTC", date_and_time(call.started)));
        field("length", &length(call));
        field("codec", call.codec.as_deref().unwrap_or("none"));
        field("outcome", &outcome(call, paint));
        if let Some(detail) = &call.end_detail {
            field("detail", detail);
        }
        if let Some(disposition) = &call.disposition {
            field("result", disposition);
        }
        field("recording", call.recording.as_deref().unwrap_or("none"));
        if !self.transcript.is_empty() {
            text.push('\n');
        }
        for line in &self.transcript {
            let _ = writeln!(text, "{}", spoken(line, paint));
        }
        if !self.turns.is_empty() {
            text.push('\n');
        }
        for turn in &self.turns {
            let _ = writeln!(text, "{}", waited(turn, paint));
        }
        text
    }
}

/// One line of `calls list`.
pub(super) fn line(call: &CallRecord, paint: Paint) -> String {
    format!(
        "{}  {}  {:>6}  {:<8}  {} -> {}  {}",
        call.id,
        date_and_time(call.started),
        length(call),
        call.direction.as_str(),
        call.from,
        call.to,
        outcome(call, paint)
    )
}

fn length(call: &CallRecord) -> String {
    let Some(ended) = call.ended else {
        return "runs".to_owned();
    };
    let seconds = ended.as_micros().saturating_sub(call.started.as_micros()) / 1_000_000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn outcome(call: &CallRecord, paint: Paint) -> String {
    let Some(reason) = call.end_reason else {
        return paint.paint(Style::Notice, "running");
    };
    let style = match reason.outcome() {
        Outcome::Completed => Style::Good,
        Outcome::Abandoned => Style::Notice,
        Outcome::Failed => Style::Bad,
    };
    format!(
        "{} ({reason})",
        paint.paint(style, reason.outcome().as_str())
    )
}

fn spoken(line: &TranscriptLine, paint: Paint) -> String {
    let (who, style) = match line.party {
        Party::Caller => ("Caller", Style::Caller),
        Party::Agent => ("Agent ", Style::Agent),
    };
    let cut = match &line.intended {
        Some(_) => paint.paint(Style::Dim, " (cut short)"),
        None => String::new(),
    };
    format!(
        "{}  {}  {}{cut}",
        paint.paint(Style::Dim, &line.at.to_string()),
        paint.paint(style, who),
        line.text
    )
}

fn waited(turn: &TurnRecord, paint: Paint) -> String {
    let parts = crate::watch::LatencyParts {
        end_of_turn_ms: turn.end_of_turn_ms,
        stt_final_ms: turn.stt_final_ms,
        llm_first_token_ms: turn.llm_first_token_ms,
        first_audio_ms: turn.first_audio_ms,
        voice_to_voice_ms: turn.voice_to_voice_ms,
    };
    let text = format!(
        "turn {:>2}  {:<16}  {}",
        turn.index,
        turn.node,
        parts.in_words()
    );
    paint.paint(Style::Dim, text.trim_end())
}
