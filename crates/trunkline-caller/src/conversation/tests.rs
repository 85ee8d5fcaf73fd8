use trunkline_leg::{AudioSource, CallerAudio, Frame, PlayoutMark};
use trunkline_types::{TICK, UtteranceId};

use super::*;
use crate::report::TurnKind;
use crate::scenario::{Digits, Gates, Limits};

/// A call in virtual time against an agent that speaks at given times, in milliseconds.
struct Rehearsal<'a> {
    conversation: Conversation<'a>,
    at: CallTime,
    agent_speaks: Vec<(u64, u64)>,
    caller_speaks_until: CallTime,
    deeds: Vec<(u64, Deed)>,
}

/// How long the caller's lines are.
const LINE: Duration = Duration::from_millis(1000);

impl<'a> Rehearsal<'a> {
    fn new(scenario: &'a Scenario, agent_speaks: &[(u64, u64)]) -> Self {
        Self {
            conversation: Conversation::new(scenario),
            at: CallTime::ZERO,
            agent_speaks: agent_speaks.to_vec(),
            caller_speaks_until: CallTime::ZERO,
            deeds: Vec::new(),
        }
    }

    fn run_until(&mut self, ms: u64) {
        while self.at < CallTime::from_millis(ms) {
            let start = self.at.as_millis();
            self.at = self.at + TICK;
            let is_playing = start < self.caller_speaks_until.as_millis();
            let tick = MediaTick {
                at: self.at,
                caller: frame(
                    self.agent_speaks
                        .iter()
                        .any(|(from, to)| (*from..*to).contains(&start)),
                ),
                caller_audio: CallerAudio::Received,
                speech: 0,
                agent: frame(is_playing),
                playing: is_playing.then_some(PlayoutMark {
                    utterance: UtteranceId(0),
                    clause: 0,
                    played_ms: 0,
                    source: AudioSource::Clip,
                }),
            };
            if let Some(deed) = self.conversation.tick(&tick) {
                if matches!(deed, Deed::Speak(_)) {
                    self.caller_speaks_until = self.at + LINE;
                }
                self.deeds.push((self.at.as_millis(), deed));
            }
        }
    }
}

fn frame(is_voiced: bool) -> Frame {
    let mut frame = Frame::silence();
    if is_voiced {
        frame.0.fill(2000);
    }
    frame
}

fn scenario(steps: Vec<Step>) -> Scenario {
    Scenario {
        voice: "awb".to_owned(),
        end_of_turn_ms: 700,
        limits: Limits {
            answer_s: 5,
            reply_s: 5,
            agent_speech_s: 20,
            call_s: 60,
        },
        steps,
        gates: Gates {
            wer_max: 0.1,
            voice_to_voice_p95_ms_max: 2500.0,
            barge_in_stop_ms_max: 250.0,
            turns_min: 1,
        },
    }
}

fn say(text: &str) -> Step {
    Step::Say {
        text: text.to_owned(),
    }
}

#[test]
fn the_caller_speaks_700_ms_after_the_agent_has_finished() {
    let scenario = scenario(vec![say("hello"), Step::ExpectHangup]);
    // The pause of 300 ms is inside of the greeting.
    let mut call = Rehearsal::new(&scenario, &[(100, 1000), (1300, 2000), (4000, 5000)]);
    call.run_until(6000);
    assert_eq!(call.deeds, [(2700, Deed::Speak(0))]);
    call.conversation.ended(EndReason::CallerHungUp, None);
    assert_eq!(call.conversation.failure(), None);
    let turns = call.conversation.turns();
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0].ended_ms, 3700.0);
    assert_eq!(turns[0].voice_to_voice_ms, Some(300.0));
}

#[test]
fn a_barge_in_tells_how_long_the_agent_went_on() {
    let scenario = scenario(vec![
        Step::BargeIn {
            text: "stop".to_owned(),
            after_ms: 1500,
        },
        Step::ExpectHangup,
    ]);
    let mut call = Rehearsal::new(&scenario, &[(500, 2120), (4000, 5000)]);
    call.run_until(6000);
    assert_eq!(call.deeds, [(2000, Deed::Speak(0))]);
    let turn = &call.conversation.turns()[0];
    assert_eq!(turn.kind, TurnKind::BargeIn);
    assert_eq!(turn.agent_stopped_after_ms, Some(120.0));
    assert_eq!(turn.voice_to_voice_ms, Some(1000.0));
}

#[test]
fn an_agent_that_does_not_stop_talks_over_the_caller() {
    let scenario = scenario(vec![
        Step::BargeIn {
            text: "stop".to_owned(),
            after_ms: 1000,
        },
        Step::ExpectHangup,
    ]);
    let mut call = Rehearsal::new(&scenario, &[(0, 4000)]);
    call.run_until(5000);
    let turn = &call.conversation.turns()[0];
    assert!(turn.talked_over);
    assert_eq!(turn.voice_to_voice_ms, None);
    assert_eq!(turn.agent_stopped_after_ms, Some(3000.0));
}

#[test]
fn cutting_in_on_an_agent_that_has_finished_is_a_failure() {
    let scenario = scenario(vec![Step::BargeIn {
        text: "stop".to_owned(),
        after_ms: 3000,
    }]);
    let mut call = Rehearsal::new(&scenario, &[(0, 1000)]);
    call.run_until(3000);
    assert_eq!(call.deeds, [(1700, Deed::HangUp)]);
    assert!(call.conversation.failure().unwrap().contains("cut in"));
}

#[test]
fn keys_are_pressed_after_the_agent_and_their_reply_is_timed_apart() {
    let keys = Digits::try_from("47".to_owned()).unwrap();
    let scenario = scenario(vec![Step::Dtmf {
        digits: keys.clone(),
    }]);
    let mut call = Rehearsal::new(&scenario, &[(0, 1000), (2500, 3000)]);
    call.run_until(4000);
    assert_eq!(
        call.deeds,
        [(1700, Deed::Press(keys.0)), (3700, Deed::HangUp)]
    );
    let turn = &call.conversation.turns()[0];
    assert_eq!(turn.digits.as_deref(), Some("47"));
    assert_eq!(turn.voice_to_voice_ms, None);
    assert_eq!(turn.reply_after_keys_ms, Some(800.0));
}

#[test]
fn a_silent_agent_is_given_up() {
    let scenario = scenario(vec![say("hello"), Step::ExpectHangup]);
    let mut call = Rehearsal::new(&scenario, &[(0, 1000)]);
    call.run_until(9000);
    assert_eq!(call.deeds.last(), Some(&(7720, Deed::HangUp)));
    let failure = call.conversation.failure().unwrap();
    assert!(
        failure.contains("said nothing for 5 s before the agent said goodbye"),
        "{failure}"
    );
    assert!(!call.conversation.turns()[0].answered);
}

#[test]
fn an_endless_agent_and_an_endless_call_are_given_up() {
    let scenario = scenario(vec![say("hello")]);
    let mut call = Rehearsal::new(&scenario, &[(0, 100_000)]);
    call.run_until(30_000);
    assert!(
        call.conversation
            .failure()
            .unwrap()
            .contains("did not come to an end")
    );
}

#[test]
fn a_hang_up_that_was_not_due_is_a_failure() {
    let scenario = scenario(vec![say("hello"), Step::ExpectHangup]);
    let mut call = Rehearsal::new(&scenario, &[(0, 1000)]);
    call.run_until(1200);
    call.conversation
        .ended(EndReason::CallerHungUp, Some("Q.850;cause=16"));
    let failure = call.conversation.failure().unwrap();
    assert!(failure.contains("before we said \"hello\""), "{failure}");
    assert!(failure.contains("Q.850"), "{failure}");
}

#[test]
fn an_end_for_another_reason_is_a_failure_even_when_a_hang_up_was_due() {
    let scenario = scenario(vec![say("hello"), Step::ExpectHangup]);
    let mut call = Rehearsal::new(&scenario, &[(0, 1000), (3500, 4000)]);
    call.run_until(4500);
    call.conversation.ended(EndReason::MediaTimeout, None);
    assert!(
        call.conversation
            .failure()
            .unwrap()
            .contains("media_timeout")
    );
}
