//! What happened on a call, as JSON and as a table.

use serde::Serialize;

use crate::scenario::Gates;

/// One call.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whom we called.
    pub(crate) to: String,
    /// The SIP Call-ID, by which the far end's records are found.
    pub(crate) sip_call_id: String,
    /// The voice that spoke.
    pub(crate) voice: String,
    /// The codec on the wire, once answered.
    pub(crate) codec: Option<String>,
    /// From the INVITE to the answer.
    pub(crate) answered_after_ms: Option<f64>,
    /// From the answer to the end, by the media clock.
    pub(crate) duration_ms: f64,
    /// Why the call ended, as our leg saw it.
    pub(crate) end: Option<String>,
    /// What went wrong; absent when every step was taken and the call ended as it should.
    pub(crate) failure: Option<String>,
    /// What was said and pressed, in order.
    pub(crate) turns: Vec<Turn>,
    /// What the scenario wants to be judged by.
    pub(crate) gates: Gates,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TurnKind {
    /// Spoke when the agent had finished.
    Say,
    /// Cut in.
    BargeIn,
    /// Pressed keys.
    Dtmf,
}

/// One step that was taken. Times are milliseconds since the call's media began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Turn {
    /// What the step did.
    pub(crate) kind: TurnKind,
    /// The words.
    pub(crate) said: Option<String>,
    /// The keys.
    pub(crate) digits: Option<String>,
    /// Our first sound sent, or the first key.
    pub(crate) started_ms: f64,
    /// Our last sound sent.
    pub(crate) ended_ms: f64,
    /// Whether the agent spoke after it.
    pub(crate) answered: bool,
    /// The agent was audible when our last sound was sent, so no latency can be told.
    pub(crate) talked_over: bool,
    /// From our last sound sent to the agent's first sound received.
    pub(crate) voice_to_voice_ms: Option<f64>,
    /// From the keys being handed to the phone to the agent's first sound received.
    pub(crate) reply_after_keys_ms: Option<f64>,
    /// Barge-in: from our first sound sent to the agent's last sound received.
    pub(crate) agent_stopped_after_ms: Option<f64>,
}

impl Report {
    /// A few lines for a person.
    pub(crate) fn print(&self) {
        for turn in &self.turns {
            let what = turn
                .said
                .clone()
                .or_else(|| turn.digits.as_ref().map(|keys| format!("keys {keys}")))
                .unwrap_or_default();
            let figure = match (turn.voice_to_voice_ms, turn.reply_after_keys_ms) {
                (Some(ms), _) => format!("voice to voice {ms:.0} ms"),
                (None, Some(ms)) => format!("reply after {ms:.0} ms"),
                (None, None) if turn.talked_over => "talked over".to_owned(),
                (None, None) => "no answer".to_owned(),
            };
            let stop = turn
                .agent_stopped_after_ms
                .map(|ms| format!(", agent stopped after {ms:.0} ms"))
                .unwrap_or_default();
            println!("{what:<68} {figure}{stop}");
        }
        match &self.failure {
            Some(why) => println!("failed: {why}"),
            None => println!("completed in {:.1} s", self.duration_ms / 1000.0),
        }
    }
}
