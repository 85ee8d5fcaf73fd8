//! What a call decides, without I/O: [`trunkline_turn::TurnCore`] says who has the floor,
//! [`trunkline_workflow::Interpreter`] says what is to be said, and this core joins them with
//! what is being played and heard.
//!
//! The same inputs at the same times give the same decisions. There is no clock here and no
//! randomness; hash maps are not iterated.

mod ahead;
mod caller;
mod date;
mod flow;
mod speaking;
mod turns;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use trunkline_inference::ClauseCutter;
use trunkline_leg::PlayoutMark;
use trunkline_turn::{Fused, TurnCore, TurnInput, TurnOutput};
use trunkline_types::{CallTime, EndReason, UtteranceId};
use trunkline_workflow::{FlowInput, Interpreter, Workflow};

use crate::frames::CoreFrame;
use crate::log::{Decision, Input, Opening};

use self::ahead::Expected;
use self::caller::Caller;
use self::speaking::{ClauseTimes, Speaking};
use self::turns::TurnDraft;

/// How many clauses in a row may fail before the call is given up.
const CLAUSES_THAT_MAY_FAIL: u32 = 2;

/// How many turns in a row may not be heard because the recogniser fails.
const TURNS_THAT_MAY_FAIL: u32 = 2;

/// The mind of one call.
pub struct CallCore {
    language: String,
    turn: TurnCore,
    interpreter: Interpreter,
    at: CallTime,
    caller: Caller,
    /// The agent's utterances that are not over, oldest first.
    lines: VecDeque<Speaking>,
    next_utterance: UtteranceId,
    playing: Option<PlayoutMark>,
    /// Generated replies on their way: what of them is not yet a clause.
    replies: BTreeMap<u32, Reply>,
    draft: TurnDraft,
    turn_index: u32,
    node: String,
    /// The agent stopped for the caller, so an answer is due even if no words were understood.
    stopped_for_caller: bool,
    /// The answer to the caller's last words is taken back, because the caller goes on.
    withdrawn: bool,
    held: bool,
    clauses_failed: u32,
    /// Utterances in a row that could not be transcribed.
    unheard: u32,
    /// The call is being ended in words, for a reason outside the workflow.
    taking_leave: bool,
    /// Set when nothing more will be said; the call ends when the last line is through.
    ending: Option<EndReason>,
    hung_up: bool,
    /// What the model will be asked, as far as the caller has come.
    expected: Expected,
}

struct Reply {
    utterance: UtteranceId,
    cutter: ClauseCutter,
    text: String,
}

impl CallCore {
    /// Makes the core of a call.
    ///
    /// # Errors
    /// The first problem of the workflow document.
    pub fn open(opening: &Opening) -> Result<Self, String> {
        let workflow = Workflow::parse(&opening.workflow_document).map_err(|problems| {
            problems
                .first()
                .map_or_else(|| "it has no nodes".to_owned(), ToString::to_string)
        })?;
        let workflow = Arc::new(workflow);
        let context = flow::context(opening);
        Ok(Self {
            language: workflow.language().to_owned(),
            turn: TurnCore::with_endpoint(
                flow::turn_settings(workflow.settings()),
                Box::new(Fused::for_language(workflow.language())),
            ),
            interpreter: Interpreter::new(workflow, context),
            at: CallTime::ZERO,
            caller: Caller::default(),
            lines: VecDeque::new(),
            next_utterance: UtteranceId::default(),
            playing: None,
            replies: BTreeMap::new(),
            draft: TurnDraft::greeting(),
            turn_index: 0,
            node: String::new(),
            stopped_for_caller: false,
            withdrawn: false,
            held: false,
            clauses_failed: 0,
            unheard: 0,
            taking_leave: false,
            ending: None,
            hung_up: false,
            expected: Expected::default(),
        })
    }

    /// The last moment that the core was told of.
    pub fn time(&self) -> CallTime {
        self.at
    }

    /// How the call came out, in the workflow's own words: the node where it ended.
    pub fn disposition(&self) -> Option<String> {
        (!self.node.is_empty()).then(|| self.node.clone())
    }

    /// ISO 639-1 code of the workflow's language.
    pub fn language(&self) -> Option<&str> {
        Some(&self.language)
    }

    /// Takes 20 ms.
    pub fn frame(&mut self, frame: CoreFrame, out: &mut Vec<Decision>) {
        self.at = self.at.max(frame.at);
        self.playing = frame.playing;
        if let Some(mark) = frame.playing {
            self.line_plays(mark);
        }
        let (speech, agent) = (frame.speech, self.voice());
        self.take_turn(TurnInput::Frame { speech, agent }, out);
        self.finish_lines(out);
        if self
            .interpreter
            .next_deadline()
            .is_some_and(|deadline| deadline <= self.at)
        {
            self.tell_flow(FlowInput::Clock, out);
        }
        self.end_when_through(out);
    }

    /// Takes anything but frames.
    pub fn handle(&mut self, at: CallTime, input: &Input, out: &mut Vec<Decision>) {
        self.at = self.at.max(at);
        match input {
            Input::Answered { .. } => self.tell_flow(FlowInput::Started, out),
            Input::Frames(run) => {
                for frame in run.frames() {
                    self.frame(frame, out);
                }
            }
            Input::Digit { digit } => self.digit(*digit, out),
            Input::Partial {
                utterance,
                text,
                audio_ms,
            } => self.partly_heard(*utterance, text, *audio_ms, out),
            Input::Final {
                utterance, text, ..
            } => {
                self.unheard = 0;
                self.transcribed(*utterance, text, out);
            }
            Input::TranscriptFailed { utterance, .. } => self.not_transcribed(*utterance, out),
            Input::Chosen {
                request,
                best,
                probabilities,
                ..
            } => {
                self.chosen(*request, *best, probabilities, out);
            }
            Input::ReplyText { request, text } => self.reply_text(*request, text, out),
            Input::ReplyDone { request, .. } => self.reply_done(*request, out),
            Input::ModelFailed { request, .. } => self.model_failed(*request, out),
            Input::ClauseReady {
                utterance,
                clause,
                duration_ms,
                sounds_from_ms,
                sounds_until_ms,
            } => {
                self.clauses_failed = 0;
                let times = ClauseTimes {
                    duration_ms: *duration_ms,
                    from_ms: *sounds_from_ms,
                    until_ms: sounds_until_ms.unwrap_or(*duration_ms),
                };
                self.clause_ready(*utterance, *clause, times);
            }
            Input::ClauseFailed {
                utterance, clause, ..
            } => {
                self.clause_ready(*utterance, *clause, ClauseTimes::default());
                self.clauses_failed += 1;
                if self.clauses_failed >= CLAUSES_THAT_MAY_FAIL {
                    self.take_leave(EndReason::AgentFailed, out);
                }
            }
            Input::Held => self.held = true,
            Input::Resumed => self.held = false,
            Input::ShutDown => self.hang_up(EndReason::ShutDown, out),
            Input::Ended { .. } => self.end(out),
            Input::Opened(_) | Input::Anticipated { .. } => {}
        }
        self.finish_lines(out);
        self.end_when_through(out);
    }

    /// Words of an utterance that goes on, and how much of its audio they cover.
    fn partly_heard(
        &mut self,
        utterance: UtteranceId,
        text: &str,
        audio_ms: u64,
        out: &mut Vec<Decision>,
    ) {
        let Some(from) = self.caller.audio_from(utterance) else {
            return;
        };
        let Some(text) = self.caller.partial(utterance, text) else {
            return;
        };
        self.anticipate(&text, out);
        let until = from + Duration::from_millis(audio_ms);
        let input = TurnInput::Partial {
            utterance,
            text,
            until,
        };
        self.take_turn(input, out);
    }

    fn take_turn(&mut self, input: TurnInput, out: &mut Vec<Decision>) {
        let mut outputs = Vec::new();
        self.turn.handle(self.at, input, &mut outputs);
        for output in outputs {
            self.turn_taken(output, out);
        }
    }

    fn turn_taken(&mut self, output: TurnOutput, out: &mut Vec<Decision>) {
        match output {
            TurnOutput::SpeechStarted { utterance, from } => {
                self.caller.began(utterance, from);
                out.push(Decision::Listen { utterance, from });
            }
            TurnOutput::FalseStart { utterance } => {
                self.caller.discarded(utterance);
                self.end_anticipation(out);
                out.push(Decision::Discard { utterance });
            }
            TurnOutput::EndOfTurn {
                utterance,
                speech_end,
                ..
            } => {
                self.caller.ended(utterance, speech_end, self.at);
                out.push(Decision::Finish {
                    utterance,
                    speech_end,
                });
                // It may have failed before its end.
                if let Some(said) = self.caller.said_up_to(utterance) {
                    self.understood(said, out);
                }
            }
            TurnOutput::BargeIn { onset, .. } => self.interrupted(onset, out),
            TurnOutput::TurnContinued { utterance, joins } => {
                self.caller_goes_on(utterance, joins, out);
            }
            TurnOutput::Idle { count } if !self.held && self.ending.is_none() => {
                self.next_turn(TurnDraft::after_silence(self.at), out);
                self.tell_flow(FlowInput::Idle { count }, out);
            }
            TurnOutput::MaximumDuration => self.take_leave(EndReason::MaximumDuration, out),
            TurnOutput::Idle { .. }
            | TurnOutput::SpeechPaused { .. }
            | TurnOutput::SpeechResumed { .. } => {}
        }
    }

    /// Ends the call in the workflow's words for it; without words when it was being ended so
    /// already, or there are none.
    fn take_leave(&mut self, reason: EndReason, out: &mut Vec<Decision>) {
        if std::mem::replace(&mut self.taking_leave, true) {
            return self.hang_up(reason, out);
        }
        self.clauses_failed = 0;
        self.end_anticipation(out);
        self.cancel_replies(out);
        self.tell_flow(FlowInput::End { reason }, out);
    }

    fn hang_up(&mut self, reason: EndReason, out: &mut Vec<Decision>) {
        if !self.hung_up {
            self.hung_up = true;
            self.ending = Some(reason);
            self.end_anticipation(out);
            self.drop_lines(false, None, out);
            self.next_turn(TurnDraft::after_silence(self.at), out);
            out.push(Decision::Hangup { reason });
        }
    }

    fn end_when_through(&mut self, out: &mut Vec<Decision>) {
        if let Some(reason) = self.ending
            && !self.hung_up
            && self.lines.is_empty()
        {
            self.hung_up = true;
            out.push(Decision::Hangup { reason });
        }
    }

    /// The leg is gone: whatever was being said was heard as far as it was played.
    fn end(&mut self, out: &mut Vec<Decision>) {
        self.hung_up = true;
        self.end_anticipation(out);
        self.drop_lines(true, None, out);
        self.next_turn(TurnDraft::after_silence(self.at), out);
    }
}
