//! From log entries to what a reader sees. No terminal here, so that it can be tested.

use std::collections::BTreeMap;

use trunkline_agent::log::{Decision, Input, LiveEntry, LogEvent, Turn};
use trunkline_types::{CallId, CallTime, EndReason, Outcome, UtteranceId};

use super::LatencyParts;
use crate::terminal::{Paint, Style};

/// What to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// The words so far of whoever speaks; the next thing shown takes their place.
    Live(String),
    /// A line that stays.
    Line(String),
    /// The last line of a call.
    Ended(String),
}

/// What is remembered of a call while it is watched.
#[derive(Debug, Default)]
struct CallView {
    /// The agent's utterance under way and its clauses so far.
    agent: Option<(UtteranceId, String)>,
}

pub(super) struct View {
    paint: Paint,
    calls: BTreeMap<CallId, CallView>,
}

impl View {
    pub(super) fn new(paint: Paint) -> Self {
        Self {
            paint,
            calls: BTreeMap::new(),
        }
    }

    /// What an entry of the log shows; most show nothing.
    pub(super) fn take(&mut self, entry: &LiveEntry) -> Vec<Shown> {
        let id = entry.call_id;
        self.calls.entry(id).or_default();
        let at = entry.entry.at;
        let shown = match &entry.entry.event {
            LogEvent::In(input) => self.input(id, at, input),
            LogEvent::Out(decision) => self.decision(id, at, decision),
        };
        let several = self.calls.len() > 1;
        if matches!(shown, Some(Shown::Ended(_))) {
            self.calls.remove(&id);
        }
        shown
            .map(|shown| {
                if several {
                    self.labelled(id, shown)
                } else {
                    shown
                }
            })
            .into_iter()
            .collect()
    }

    fn input(&self, id: CallId, at: CallTime, input: &Input) -> Option<Shown> {
        let shown = match input {
            Input::Opened(opening) => {
                let text = format!(
                    "call {id} from {} to {}, workflow {}",
                    opening.from, opening.to, opening.workflow
                );
                Shown::Line(self.paint.paint(Style::Bold, &text))
            }
            Input::Answered { codec } => self.remark(at, &format!("answered, {codec}")),
            Input::Partial { text, .. } if !text.is_empty() => {
                Shown::Live(self.words(at, Style::Caller, "Caller", &format!("{text} …")))
            }
            Input::Final { text, .. } if text.is_empty() => self.remark(at, "sound, but no words"),
            Input::Final { text, .. } => Shown::Line(self.words(at, Style::Caller, "Caller", text)),
            Input::Digit { digit } => {
                let pressed = self.paint.paint(Style::Notice, &format!("presses {digit}"));
                Shown::Line(self.words(at, Style::Caller, "Caller", &pressed))
            }
            Input::TranscriptFailed { why, .. } => self.failure(at, "the recogniser", why),
            Input::ModelFailed { why, .. } => self.failure(at, "the language model", why),
            Input::ClauseFailed { why, .. } => self.failure(at, "the voice", why),
            Input::Held => self.remark(at, "on hold"),
            Input::Resumed => self.remark(at, "off hold"),
            Input::ShutDown => self.remark(at, "the appliance stops"),
            Input::Ended { reason, detail } => self.end(at, *reason, detail.as_deref()),
            _ => return None,
        };
        Some(shown)
    }

    fn decision(&mut self, id: CallId, at: CallTime, decision: &Decision) -> Option<Shown> {
        match decision {
            Decision::Speak {
                utterance, text, ..
            } => {
                let so_far = self.clauses(id, *utterance, text);
                Some(Shown::Live(self.words(at, Style::Agent, "Agent", &so_far)))
            }
            Decision::StopSpeaking {
                caller_from: Some(_),
                ..
            } => Some(self.remark(at, "the caller cuts in")),
            Decision::Spoken {
                from,
                heard,
                interrupted,
                ..
            } if !heard.is_empty() => {
                let cut = if *interrupted { " — (cut short)" } else { "" };
                let text = format!("{heard}{cut}");
                Some(Shown::Line(self.words(*from, Style::Agent, "Agent", &text)))
            }
            Decision::Turn(turn) => self.turn(at, turn),
            _ => None,
        }
    }

    /// The clauses of the agent's utterance so far, this one included.
    fn clauses(&mut self, id: CallId, utterance: UtteranceId, clause: &str) -> String {
        let call = self.calls.entry(id).or_default();
        let so_far = match call.agent.take() {
            Some((same, before)) if same == utterance => format!("{before} {}", clause.trim()),
            _ => clause.trim().to_owned(),
        };
        call.agent = Some((utterance, so_far.clone()));
        so_far
    }

    fn turn(&self, at: CallTime, turn: &Turn) -> Option<Shown> {
        let waited = LatencyParts::from(turn.latency).in_words();
        (!waited.is_empty()).then(|| self.remark(at, &format!("turn {}: {waited}", turn.index)))
    }

    fn end(&self, at: CallTime, reason: EndReason, detail: Option<&str>) -> Shown {
        let style = match reason.outcome() {
            Outcome::Completed => Style::Good,
            Outcome::Abandoned => Style::Notice,
            Outcome::Failed => Style::Bad,
        };
        let outcome = self.paint.paint(style, reason.outcome().as_str());
        let detail = detail.map(|text| format!(", {text}")).unwrap_or_default();
        Shown::Ended(format!(
            "{}  call ended: {outcome} ({reason}{detail})",
            self.time(at)
        ))
    }

    fn failure(&self, at: CallTime, part: &str, why: &str) -> Shown {
        let text = self
            .paint
            .paint(Style::Bad, &format!("{part} failed: {why}"));
        Shown::Line(format!("{}  {text}", self.time(at)))
    }

    fn remark(&self, at: CallTime, text: &str) -> Shown {
        let text = self.paint.paint(Style::Dim, &format!("        {text}"));
        Shown::Line(format!("{}  {text}", self.time(at)))
    }

    fn words(&self, at: CallTime, style: Style, who: &str, text: &str) -> String {
        let who = self.paint.paint(style, &format!("{who:<6}"));
        format!("{}  {who}  {text}", self.time(at))
    }

    fn time(&self, at: CallTime) -> String {
        self.paint.paint(Style::Dim, &at.to_string())
    }

    /// Names the call where several are watched: the end of its id, where ids differ.
    fn labelled(&self, id: CallId, shown: Shown) -> Shown {
        let id = id.to_string();
        let short = id.get(id.len().saturating_sub(4)..).unwrap_or_default();
        let label = self.paint.paint(Style::Notice, short);
        match shown {
            Shown::Live(text) => Shown::Live(format!("{label}  {text}")),
            Shown::Line(text) => Shown::Line(format!("{label}  {text}")),
            Shown::Ended(text) => Shown::Ended(format!("{label}  {text}")),
        }
    }
}
