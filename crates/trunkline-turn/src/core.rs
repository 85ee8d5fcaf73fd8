//! The turn state machine.

use std::time::Duration;

use trunkline_types::{CallTime, TICK, UtteranceId};

use crate::habit::PauseHabit;
use crate::idle::IdleWatch;
use crate::onset::{Levels, Onset};
use crate::utterance::Utterance;
use crate::{
    AgentVoice, EndpointModel, Expectation, FixedSilence, TurnInput, TurnOutput, TurnSettings,
    TurnSoFar,
};

/// Takes turns on one call.
pub struct TurnCore {
    settings: TurnSettings,
    endpoint: Box<dyn EndpointModel>,
    levels: Levels,
    expecting: Expectation,
    next: UtteranceId,
    /// Speech that may become an utterance, while none is open.
    onset: Option<Onset>,
    open: Option<Utterance>,
    last_turn: Option<LastTurn>,
    /// Where the audio of the last turn ended: no later pre-roll reaches back over it.
    last_speech_end: CallTime,
    habit: PauseHabit,
    idle: IdleWatch,
    over: bool,
}

/// A turn that ended and that the agent has not been heard to answer.
#[derive(Debug, Clone, Copy)]
struct LastTurn {
    utterance: UtteranceId,
    speech_end: CallTime,
    ended: CallTime,
}

fn millis(setting: u32) -> Duration {
    Duration::from_millis(u64::from(setting))
}

impl TurnCore {
    /// A core that ends turns by a fixed silence.
    pub fn new(settings: TurnSettings) -> Self {
        Self::with_endpoint(settings, Box::new(FixedSilence))
    }

    /// A core that ends turns when `endpoint` says so.
    pub fn with_endpoint(settings: TurnSettings, endpoint: Box<dyn EndpointModel>) -> Self {
        Self {
            levels: Levels::new(settings.speech_threshold),
            idle: IdleWatch::new(millis(settings.idle_ms)),
            settings,
            endpoint,
            expecting: Expectation::default(),
            next: UtteranceId::default(),
            onset: None,
            open: None,
            last_turn: None,
            last_speech_end: CallTime::ZERO,
            habit: PauseHabit::default(),
            over: false,
        }
    }

    /// Takes one input and appends the decisions. Times must not go back.
    pub fn handle(&mut self, at: CallTime, input: TurnInput, out: &mut Vec<TurnOutput>) {
        match input {
            TurnInput::Frame { speech, agent } => self.frame(at, speech, agent, out),
            TurnInput::Partial {
                utterance,
                text,
                until,
            } => {
                if let Some(open) = self.open.as_mut().filter(|open| open.id == utterance) {
                    (open.partial, open.heard_until) = (text, until);
                }
            }
            TurnInput::Expect(expectation) => {
                self.expecting = expectation;
                self.idle.agent_waits(at);
            }
            TurnInput::KeyPressed => self.idle.caller_keyed(at),
            TurnInput::AgentQueued => self.idle.agent_queued(),
            TurnInput::AgentFinished => self.idle.agent_finished(at),
        }
    }

    fn frame(&mut self, at: CallTime, speech: u8, agent: AgentVoice, out: &mut Vec<TurnOutput>) {
        if agent.is_heard() {
            self.last_turn = None;
        }
        if let Some(mut open) = self.open.take() {
            let voiced = self.levels.voiced(speech, open.in_voice());
            let silence = (at - TICK).since(open.last_voice);
            let spoke = open.frame(at, voiced, agent.is_heard());
            if spoke && open.paused {
                self.habit.went_on_after(silence);
            }
            self.open = self.follow(open, at, spoke, agent, out);
        } else {
            let voiced = self.levels.voiced(speech, self.onset.is_some());
            self.onset = Onset::follow(self.onset, at, voiced);
            self.open = self.begin(agent, out);
        }
        let sound = agent.is_heard() || self.open.is_some() || self.onset.is_some();
        if let Some(count) = self.idle.frame(at, sound) {
            out.push(TurnOutput::Idle { count });
        }
        if !self.over && at >= CallTime::ZERO + millis(self.settings.max_call_ms) {
            self.over = true;
            out.push(TurnOutput::MaximumDuration);
        }
    }

    /// Opens an utterance when the speech under watch has lasted long enough.
    fn begin(&mut self, agent: AgentVoice, out: &mut Vec<TurnOutput>) -> Option<Utterance> {
        let needed = millis(if agent.is_heard() {
            self.settings.barge_in_ms
        } else {
            self.settings.onset_ms
        });
        let onset = self.onset.filter(|onset| onset.lasts(needed))?;
        self.onset = None;
        let id = self.next;
        self.next = id.next();
        let preroll = millis(self.settings.preroll_ms);
        let from = (onset.start - preroll).max(self.last_speech_end);
        let mut open = Utterance::begin(id, from, onset, agent.is_heard());
        out.push(TurnOutput::SpeechStarted {
            utterance: id,
            from,
        });
        self.interrupt(&mut open, agent, out);
        self.join(&mut open, out);
        Some(open)
    }

    /// Decides about an open utterance after a frame; gives it back while it stays open.
    fn follow(
        &mut self,
        mut open: Utterance,
        at: CallTime,
        spoke: bool,
        agent: AgentVoice,
        out: &mut Vec<TurnOutput>,
    ) -> Option<Utterance> {
        if spoke && open.paused {
            open.paused = false;
            out.push(TurnOutput::SpeechResumed { utterance: open.id });
        }
        self.interrupt(&mut open, agent, out);
        self.join(&mut open, out);

        let silence = open.silence(at);
        let is_speech = open.is_speech(millis(self.settings.min_utterance_ms));
        if silence >= millis(self.settings.pause_ms) {
            if !is_speech {
                out.push(TurnOutput::FalseStart { utterance: open.id });
                return None;
            }
            if !open.paused {
                open.paused = true;
                out.push(TurnOutput::SpeechPaused { utterance: open.id });
            }
        }
        if is_speech && open.paused && silence >= self.end_silence(&open) {
            self.end_turn(&open, at, out);
            self.last_turn = Some(LastTurn {
                utterance: open.id,
                speech_end: open.last_voice,
                ended: at,
            });
            self.idle.caller_spoke();
            return None;
        }
        if is_speech && open.is_due_for_cut(at, millis(self.settings.max_utterance_ms)) {
            return Some(self.cut(&open, at, out));
        }
        Some(open)
    }

    /// The silence that ends an utterance which has paused.
    fn end_silence(&self, open: &Utterance) -> Duration {
        let turn = TurnSoFar {
            partial: &open.partial,
            is_fresh: open.is_heard(),
            usual_pause: self.habit.usual(),
        };
        self.endpoint
            .end_silence(&turn, &self.expecting, &self.settings)
    }

    /// Stops the agent when the caller has spoken over it for long enough.
    fn interrupt(&self, open: &mut Utterance, agent: AgentVoice, out: &mut Vec<TurnOutput>) {
        if open.barged || agent != AgentVoice::Interruptible {
            return;
        }
        if let Some(onset) = open.overlap_of(millis(self.settings.barge_in_ms)) {
            open.barged = true;
            out.push(TurnOutput::BargeIn {
                utterance: open.id,
                onset,
            });
        }
    }

    /// Joins speech to the turn before it, once it is surely speech.
    fn join(&mut self, open: &mut Utterance, out: &mut Vec<TurnOutput>) {
        let Some(last) = self.last_turn else { return };
        if open.joined || !open.is_speech(millis(self.settings.min_utterance_ms)) {
            return;
        }
        self.last_turn = None;
        if open.onset.since(last.ended) <= millis(self.settings.resume_ms) {
            open.joined = true;
            // It was cut off: such a pause is to be waited out.
            self.habit.went_on_after(open.onset.since(last.speech_end));
            out.push(TurnOutput::TurnContinued {
                utterance: open.id,
                joins: last.utterance,
            });
        }
    }

    fn end_turn(&mut self, open: &Utterance, at: CallTime, out: &mut Vec<TurnOutput>) {
        self.last_speech_end = open.last_voice;
        out.push(TurnOutput::EndOfTurn {
            utterance: open.id,
            speech_end: open.last_voice,
            decided_after: open.silence(at),
        });
    }

    /// Closes an over-long utterance and opens the one that carries its turn on.
    fn cut(&mut self, open: &Utterance, at: CallTime, out: &mut Vec<TurnOutput>) -> Utterance {
        self.end_turn(open, at, out);
        let next = Utterance::continue_from(open, at);
        self.next = next.id.next();
        out.push(TurnOutput::SpeechStarted {
            utterance: next.id,
            from: next.from,
        });
        out.push(TurnOutput::TurnContinued {
            utterance: next.id,
            joins: open.id,
        });
        next
    }
}
