//! The caller's side of a conversation as a state machine: media ticks in, deeds out. No clock
//! but the ticks' own, no I/O.
//!
//! All figures are computed at the end from two traces, when we were audible and when the agent
//! was, so a decision made while listening cannot colour a measurement.

mod measure;
#[cfg(test)]
mod tests;

use std::time::Duration;

use trunkline_leg::MediaTick;
use trunkline_types::{CallTime, Digit, EndReason};

use crate::report::Turn;
use crate::scenario::{Scenario, Step};
use crate::voice::VoiceTrace;

/// What the caller does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Say the words of this step.
    Speak(usize),
    /// Press these keys.
    Press(Vec<Digit>),
    /// Hang up.
    HangUp,
}

/// A step that was taken.
#[derive(Debug, Clone, Copy)]
struct Taken {
    step: usize,
    /// When the caller decided to.
    from: CallTime,
    /// When it was done: the last word sent, the keys handed over.
    until: CallTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Listening to what the agent says since then.
    Listening { since: CallTime },
    /// Our words are on their way.
    Speaking { is_heard: bool },
    /// We hung up, or gave up.
    Over,
}

/// One caller, one call.
pub(crate) struct Conversation<'a> {
    scenario: &'a Scenario,
    agent: VoiceTrace,
    caller: VoiceTrace,
    now: CallTime,
    phase: Phase,
    /// The step that comes next.
    next: usize,
    taken: Vec<Taken>,
    failure: Option<String>,
}

impl<'a> Conversation<'a> {
    /// Before the first tick.
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            agent: VoiceTrace::default(),
            caller: VoiceTrace::default(),
            now: CallTime::ZERO,
            phase: Phase::Listening {
                since: CallTime::ZERO,
            },
            next: 0,
            taken: Vec::new(),
            failure: None,
        }
    }

    /// 20 ms of the call. On our leg the far end is the agent and what is played is ours.
    pub(crate) fn tick(&mut self, tick: &MediaTick) -> Option<Deed> {
        self.now = tick.at;
        self.agent.take(&tick.caller, tick.at);
        self.caller.take(&tick.agent, tick.at);
        if tick.at.since(CallTime::ZERO) > seconds(self.scenario.limits.call_s) {
            let limit = self.scenario.limits.call_s;
            return self.give_up(format!("the call took longer than {limit} s"));
        }
        match self.phase {
            Phase::Listening { since } => self.listen(since),
            Phase::Speaking { is_heard } => {
                self.speak(is_heard, tick.playing.is_some());
                None
            }
            Phase::Over => None,
        }
    }

    /// The leg has ended.
    pub(crate) fn ended(&mut self, reason: EndReason, detail: Option<&str>) {
        if self.phase == Phase::Over {
            return;
        }
        let Phase::Listening { since } = self.phase else {
            self.fail(format!("the call ended while we spoke: {reason}"));
            return;
        };
        let was_due = self.step() == Some(&Step::ExpectHangup)
            && reason == EndReason::CallerHungUp
            && self.agent.first_from(since).is_some();
        if was_due {
            self.next += 1;
            self.phase = Phase::Over;
        } else {
            let detail = detail.map(|text| format!(" ({text})")).unwrap_or_default();
            self.fail(format!(
                "the call ended before {}: {reason}{detail}",
                self.next_name()
            ));
        }
    }

    /// What has gone wrong, if anything has.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Notes why the call cannot go on.
    pub(crate) fn fail(&mut self, why: String) {
        self.phase = Phase::Over;
        self.failure.get_or_insert(why);
    }

    /// Every step that was taken, with its figures.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        measure::turns(self)
    }

    fn step(&self) -> Option<&'a Step> {
        self.scenario.steps.get(self.next)
    }

    fn next_name(&self) -> String {
        match self.step() {
            Some(Step::Say { text } | Step::BargeIn { text, .. }) => format!("we said {text:?}"),
            Some(Step::Dtmf { .. }) => "we pressed the keys".to_owned(),
            Some(Step::ExpectHangup) => "the agent said goodbye".to_owned(),
            None => "we hung up".to_owned(),
        }
    }

    fn listen(&mut self, since: CallTime) -> Option<Deed> {
        let limits = &self.scenario.limits;
        let Some(first) = self.agent.first_from(since) else {
            if self.now.since(since) > seconds(limits.reply_s) {
                let limit = limits.reply_s;
                return self.give_up(format!(
                    "the agent said nothing for {limit} s before {}",
                    self.next_name()
                ));
            }
            return None;
        };
        if self.now.since(first.start) > seconds(limits.agent_speech_s) {
            let limit = limits.agent_speech_s;
            return self.give_up(format!(
                "the agent did not come to an end within {limit} s before {}",
                self.next_name()
            ));
        }
        let last = self.agent.last_from(since).unwrap_or(first);
        let has_finished = self.now.since(last.end) >= self.scenario.end_of_turn();
        match self.step() {
            Some(Step::Say { .. }) if has_finished => Some(self.start_speaking()),
            Some(Step::BargeIn { after_ms, .. }) => {
                if has_finished {
                    return self
                        .give_up("the agent had finished before we could cut in".to_owned());
                }
                let has_heard_enough =
                    self.now.since(first.start) >= Duration::from_millis(*after_ms);
                has_heard_enough.then(|| self.start_speaking())
            }
            Some(Step::Dtmf { digits }) if has_finished => {
                self.taken.push(Taken {
                    step: self.next,
                    from: self.now,
                    until: self.now,
                });
                self.next += 1;
                self.phase = Phase::Listening { since: self.now };
                Some(Deed::Press(digits.0.clone()))
            }
            None if has_finished => {
                self.phase = Phase::Over;
                Some(Deed::HangUp)
            }
            _ => None,
        }
    }

    fn start_speaking(&mut self) -> Deed {
        let step = self.next;
        self.taken.push(Taken {
            step,
            from: self.now,
            until: self.now,
        });
        self.next += 1;
        self.phase = Phase::Speaking { is_heard: false };
        Deed::Speak(step)
    }

    /// Waits for the wheel to have sent all of our words.
    fn speak(&mut self, was_heard: bool, is_playing: bool) {
        if was_heard && !is_playing {
            let from = self.taken.last().map_or(self.now, |taken| taken.from);
            let until = self
                .caller
                .last_from(from)
                .map_or(self.now, |voice| voice.end);
            if let Some(taken) = self.taken.last_mut() {
                taken.until = until;
            }
            self.phase = Phase::Listening { since: until };
        } else {
            self.phase = Phase::Speaking {
                is_heard: was_heard || is_playing,
            };
        }
    }

    fn give_up(&mut self, why: String) -> Option<Deed> {
        self.fail(why);
        Some(Deed::HangUp)
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
