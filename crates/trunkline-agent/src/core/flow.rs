//! Between the workflow's interpreter and the call: what the caller said goes in, what is to be
//! said comes out and becomes lines and clauses.

use trunkline_inference::{ChatMessage, ChatRole, ClauseCutter, split_into_clauses};
use trunkline_leg::PlayoutMark;
use trunkline_turn::{
    AgentVoice, AnswerKind, DigitCount, Expectation, TurnInput, TurnPreset, TurnSettings,
};
use trunkline_types::{CallTime, Digit, EndReason, TICK, UtteranceId};
use trunkline_workflow::{
    CallContext, Expecting, FlowInput, FlowOutput, Prompt, PromptRole, Settings, TurnTaking,
};

use crate::core::caller::Said;
use crate::core::speaking::{ClauseTimes, Speaking};
use crate::core::turns::TurnDraft;
use crate::core::{CallCore, Reply, TURNS_THAT_MAY_FAIL};
use crate::log::{Decision, Opening};

impl CallCore {
    pub(super) fn tell_flow(&mut self, input: FlowInput, out: &mut Vec<Decision>) {
        let mut outputs = Vec::new();
        self.interpreter.handle(self.at, input, &mut outputs);
        for output in outputs {
            self.flow_decided(output, out);
        }
    }

    fn flow_decided(&mut self, output: FlowOutput, out: &mut Vec<Decision>) {
        match output {
            FlowOutput::Entered { node } => {
                self.node.clone_from(&node);
                out.push(Decision::Entered { node });
            }
            FlowOutput::Set {
                variable,
                value,
                source,
            } => {
                out.push(Decision::Set {
                    variable,
                    value,
                    provenance: source,
                });
            }
            FlowOutput::Say {
                line,
                text,
                interruptible,
            } => self.say(line, &text, interruptible, out),
            FlowOutput::Choose {
                request,
                prompt,
                neutral,
                options,
            } => {
                let (messages, neutral) = (messages(prompt), messages(neutral));
                out.push(Decision::Choose {
                    request,
                    messages,
                    neutral,
                    options,
                });
            }
            FlowOutput::Hush => self.drop_lines(true, None, out),
            FlowOutput::Generate {
                request,
                line,
                prompt,
                max_tokens,
                stop,
                interruptible,
            } => {
                self.generate(request, line, interruptible);
                let messages = messages(prompt);
                let max_tokens = usize::try_from(max_tokens).unwrap_or(usize::MAX);
                out.push(Decision::Generate {
                    request,
                    messages,
                    max_tokens,
                    stop,
                });
            }
            FlowOutput::Listen { expecting, digits } => {
                let kind = match expecting {
                    Expecting::Nothing | Expecting::Free => AnswerKind::Free,
                    Expecting::YesNo => AnswerKind::YesNo,
                    Expecting::Digits => AnswerKind::Digits,
                };
                let expectation = Expectation {
                    end_silence_ms: None,
                    kind,
                    digits: digits.map(|(least, most)| DigitCount { least, most }),
                };
                self.take_turn(TurnInput::Expect(expectation), out);
            }
            FlowOutput::Hangup { reason } => {
                self.ending.get_or_insert(reason);
            }
        }
    }

    /// The caller's words are known.
    pub(super) fn transcribed(
        &mut self,
        utterance: UtteranceId,
        text: &str,
        out: &mut Vec<Decision>,
    ) {
        if let Some(said) = self.caller.transcribed(utterance, text, self.at) {
            self.understood(said, out);
        }
    }

    /// The recogniser failed on the caller's words.
    pub(super) fn not_transcribed(&mut self, utterance: UtteranceId, out: &mut Vec<Decision>) {
        self.unheard += 1;
        if self.unheard > TURNS_THAT_MAY_FAIL {
            return self.take_leave(EndReason::AgentFailed, out);
        }
        if let Some(said) = self.caller.not_transcribed(utterance, self.at) {
            self.understood(said, out);
        }
    }

    /// A turn of the caller is over, and its words are known, or will not be.
    pub(super) fn understood(&mut self, said: Said, out: &mut Vec<Decision>) {
        let Said {
            utterance,
            began,
            speech_end,
            decided,
            text,
            has_failed,
        } = said;
        let nothing_stopped = !self.stopped_for_caller;
        let not_heard = has_failed && text.is_empty();
        if text.is_empty() && nothing_stopped && !not_heard {
            self.end_anticipation(out);
            return;
        }
        self.stopped_for_caller = false;
        self.caller.forget_before(utterance);
        out.push(Decision::Heard {
            utterance,
            began,
            text: text.clone(),
        });
        let draft = TurnDraft::after_words(began, &text, speech_end, decided, self.at);
        self.next_turn(draft, out);
        if self.ending.is_none() {
            let input = match std::mem::take(&mut self.withdrawn) {
                _ if not_heard => FlowInput::NotHeard,
                true => FlowInput::CallerContinued { text },
                false => FlowInput::CallerSaid { text },
            };
            self.tell_flow(input, out);
        }
        // After the request that it was for, which takes over what was computed.
        self.end_anticipation(out);
    }

    /// The caller continues an utterance. What was begun in answer and is not yet heard is
    /// taken back.
    pub(super) fn caller_goes_on(
        &mut self,
        utterance: UtteranceId,
        joins: UtteranceId,
        out: &mut Vec<Decision>,
    ) {
        let answered = self.caller.goes_on(utterance, joins);
        if !answered {
            return;
        }
        out.push(Decision::Withdraw { joins });
        self.withdrawn = true;
        self.cancel_replies(out);
        self.drop_lines(false, None, out);
        self.draft = TurnDraft::after_silence(self.at);
        self.ending = None;
    }

    pub(super) fn digit(&mut self, digit: Digit, out: &mut Vec<Decision>) {
        self.take_turn(TurnInput::KeyPressed, out);
        if self.draft.is_answered() {
            self.next_turn(TurnDraft::after_keys(self.at), out);
        }
        self.draft.key(digit.as_char(), self.at);
        if self.ending.is_none() {
            self.tell_flow(FlowInput::Digit { digit }, out);
        }
    }

    fn new_line(&mut self, line: u32, interruptible: bool) -> UtteranceId {
        let utterance = self.next_utterance;
        self.next_utterance = utterance.next();
        self.lines
            .push_back(Speaking::new(utterance, line, interruptible));
        utterance
    }

    fn say(&mut self, line: u32, text: &str, interruptible: bool, out: &mut Vec<Decision>) {
        let utterance = self.new_line(line, interruptible);
        self.draft.words_known(self.at);
        for clause in split_into_clauses(text) {
            self.speak(utterance, clause, out);
        }
        if let Some(line) = self.line_mut(utterance) {
            line.complete();
        }
        self.take_turn(TurnInput::AgentQueued, out);
    }

    fn speak(&mut self, utterance: UtteranceId, text: String, out: &mut Vec<Decision>) {
        let Some(line) = self.line_mut(utterance) else {
            return;
        };
        let clause = line.add_clause(&text);
        out.push(Decision::Speak {
            utterance,
            clause,
            text,
        });
    }

    fn generate(&mut self, request: u32, line: u32, interruptible: bool) {
        let utterance = self.new_line(line, interruptible);
        let reply = Reply {
            utterance,
            cutter: ClauseCutter::default(),
            text: String::new(),
        };
        self.replies.insert(request, reply);
    }

    pub(super) fn reply_text(&mut self, request: u32, text: &str, out: &mut Vec<Decision>) {
        let Some(reply) = self.replies.get_mut(&request) else {
            return;
        };
        self.draft.model_answered(self.at);
        reply.text.push_str(text);
        let utterance = reply.utterance;
        let clauses = reply.cutter.push(text);
        self.speak_all(utterance, clauses, out);
    }

    pub(super) fn reply_done(&mut self, request: u32, out: &mut Vec<Decision>) {
        let Some(mut reply) = self.replies.remove(&request) else {
            return;
        };
        let rest = reply.cutter.finish();
        self.speak_all(reply.utterance, rest.into_iter().collect(), out);
        if let Some(line) = self.line_mut(reply.utterance) {
            line.complete();
        }
        let text = reply.text.trim().to_owned();
        self.tell_flow(FlowInput::Generated { request, text }, out);
    }

    fn speak_all(&mut self, utterance: UtteranceId, clauses: Vec<String>, out: &mut Vec<Decision>) {
        for clause in clauses {
            self.draft.words_known(self.at);
            self.speak(utterance, clause, out);
            self.take_turn(TurnInput::AgentQueued, out);
        }
    }

    pub(super) fn chosen(
        &mut self,
        request: u32,
        best: usize,
        probabilities: &[f32],
        out: &mut Vec<Decision>,
    ) {
        if self.withdrawn {
            return;
        }
        self.draft.model_answered(self.at);
        let probabilities = probabilities.to_vec();
        self.tell_flow(
            FlowInput::Chosen {
                request,
                best,
                probabilities,
            },
            out,
        );
    }

    pub(super) fn model_failed(&mut self, request: u32, out: &mut Vec<Decision>) {
        if self.withdrawn {
            return;
        }
        if let Some(reply) = self.replies.remove(&request)
            && let Some(line) = self.line_mut(reply.utterance)
        {
            line.complete();
        }
        self.tell_flow(FlowInput::ModelFailed { request }, out);
    }

    pub(super) fn cancel_replies(&mut self, out: &mut Vec<Decision>) {
        for request in std::mem::take(&mut self.replies).into_keys() {
            out.push(Decision::CancelModel { request });
        }
    }

    pub(super) fn clause_ready(&mut self, utterance: UtteranceId, clause: u32, times: ClauseTimes) {
        if let Some(line) = self.line_mut(utterance) {
            line.clause_ready(clause, times);
        }
    }

    fn line_mut(&mut self, utterance: UtteranceId) -> Option<&mut Speaking> {
        self.lines
            .iter_mut()
            .find(|line| line.utterance == utterance)
    }

    pub(super) fn line_plays(&mut self, mark: PlayoutMark) {
        let at = self.at;
        let Some(line) = self.line_mut(mark.utterance) else {
            return;
        };
        line.played(at, mark);
        self.draft.sounds(at - TICK);
    }

    /// What the caller's voice does to what is on the wire. A protected line guards those that
    /// are queued before it: stopping them would drop it too.
    pub(super) fn voice(&self) -> AgentVoice {
        if self.playing.is_none() {
            AgentVoice::Silent
        } else if self.lines.iter().all(|line| line.interruptible) {
            AgentVoice::Interruptible
        } else {
            AgentVoice::Protected
        }
    }

    /// Lines whose last sample was sent are over.
    pub(super) fn finish_lines(&mut self, out: &mut Vec<Decision>) {
        let mut one_is_over = false;
        while self
            .lines
            .front()
            .is_some_and(|line| line.is_through(self.playing))
        {
            if let Some(line) = self.lines.pop_front() {
                one_is_over = true;
                self.line_over(&line, false, out);
            }
        }
        if one_is_over && self.lines.is_empty() {
            self.take_turn(TurnInput::AgentFinished, out);
            self.next_turn_after_answer(out);
        }
    }

    fn line_over(&mut self, line: &Speaking, interrupted: bool, out: &mut Vec<Decision>) {
        let (text, heard) = (line.text(), line.heard());
        if let Some(from) = line.first_sample {
            out.push(Decision::Spoken {
                utterance: line.utterance,
                from,
                text: text.clone(),
                heard: heard.clone(),
                interrupted,
            });
        }
        if !text.is_empty() {
            self.draft.line_over(text, heard.clone(), interrupted);
        }
        let line = line.line;
        self.tell_flow(
            FlowInput::LineDone {
                line,
                heard,
                interrupted,
            },
            out,
        );
    }

    /// The caller cuts in: the agent stops, and what it had still to say is not said.
    pub(super) fn interrupted(&mut self, onset: CallTime, out: &mut Vec<Decision>) {
        if self.lines.is_empty() {
            return;
        }
        self.stopped_for_caller = true;
        self.cancel_replies(out);
        self.drop_lines(true, Some(onset), out);
        self.next_turn_after_answer(out);
    }

    /// Stops speaking and drops the lines. Where `heard` is set the workflow is told how far
    /// each came.
    pub(super) fn drop_lines(
        &mut self,
        heard: bool,
        caller_from: Option<CallTime>,
        out: &mut Vec<Decision>,
    ) {
        let Some(front) = self.lines.front() else {
            return;
        };
        out.push(Decision::StopSpeaking {
            utterance: front.utterance,
            caller_from,
        });
        for line in std::mem::take(&mut self.lines) {
            if heard {
                self.line_over(&line, true, out);
            }
        }
        self.take_turn(TurnInput::AgentFinished, out);
    }

    /// Ends the turn that was being made, and begins the next.
    pub(super) fn next_turn(&mut self, next: TurnDraft, out: &mut Vec<Decision>) {
        let draft = std::mem::replace(&mut self.draft, next);
        if !draft.is_empty() {
            out.push(Decision::Turn(
                draft.finish(self.turn_index, self.node.clone()),
            ));
            self.turn_index += 1;
        }
    }

    fn next_turn_after_answer(&mut self, out: &mut Vec<Decision>) {
        if self.replies.is_empty() {
            self.next_turn(TurnDraft::after_silence(self.at), out);
        }
    }
}

pub(super) fn messages(prompt: Prompt) -> Vec<ChatMessage> {
    prompt
        .into_iter()
        .map(|message| {
            let role = match message.role {
                PromptRole::System => ChatRole::System,
                PromptRole::User => ChatRole::User,
                PromptRole::Assistant => ChatRole::Assistant,
            };
            ChatMessage::new(role, message.text)
        })
        .collect()
}

/// The facts of a call that a workflow's templates may name.
pub(super) fn context(opening: &Opening) -> CallContext {
    CallContext {
        from: opening.from.clone(),
        to: opening.to.clone(),
        today: crate::core::date::spoken(opening.started_us),
    }
}

/// Turn-taking as the workflow wants it; what it does not say is the default.
pub(super) fn turn_settings(settings: &Settings) -> TurnSettings {
    let usual = TurnSettings::of(match settings.turn_taking {
        TurnTaking::Brisk => TurnPreset::Brisk,
        TurnTaking::Balanced => TurnPreset::Balanced,
        TurnTaking::Patient => TurnPreset::Patient,
        TurnTaking::Digits => TurnPreset::Digits,
    });
    let end_silence_ms = settings.end_silence_ms.unwrap_or(usual.end_silence_ms);
    TurnSettings {
        end_silence_ms,
        complete_silence_ms: usual.complete_silence_ms.min(end_silence_ms),
        incomplete_silence_ms: usual.incomplete_silence_ms.max(end_silence_ms),
        digits_end_silence_ms: settings
            .digits_end_silence_ms
            .unwrap_or(usual.digits_end_silence_ms),
        barge_in_ms: settings.barge_in_ms.unwrap_or(usual.barge_in_ms),
        idle_ms: settings.idle_ms.unwrap_or(usual.idle_ms),
        max_call_ms: settings.max_call_ms.unwrap_or(usual.max_call_ms),
        ..usual
    }
}
