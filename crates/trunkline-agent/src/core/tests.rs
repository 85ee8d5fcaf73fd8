//! A call in virtual time: the rig plays what the core says, and speaks when it is told to.

mod anticipation;
mod endings;

use std::collections::VecDeque;

use trunkline_inference::ModelInfo;
use trunkline_leg::{AudioSource, PlayoutMark};
use trunkline_types::{CallDirection, CallTime, Digit, EndReason, TICK, UtteranceId};

use super::CallCore;
use crate::frames::{CoreFrame, FrameRun};
use crate::log::{Decision, Input, LogEntry, LogEvent, Opening, Turn};
use crate::replay;

const WORKFLOW: &str = r#"{
  "schema": "trunkline.workflow/1",
  "name": "tiny",
  "slots": {
    "sure": {"kind": "yes_no"},
    "pin": {"kind": "digits", "length": 4}
  },

  "nodes": [
    {"type": "start", "id": "start", "greeting": "Hello, this is the clinic."},
    {"type": "agent", "id": "ask",
     "say": "Your appointment is on Wednesday at two thirty with Doctor Patel. Shall I book it?",
     "slots": ["sure"]},
    {"type": "agent", "id": "pin", "say": "Please key in your four digit number.", "slots": ["pin"]},
    {"type": "end", "id": "bye", "farewell": "It is done. Goodbye."}
  ],
  "edges": [
    {"from": "start", "to": "ask"},
    {"from": "ask", "to": "pin"},
    {"from": "pin", "to": "bye"}
  ]
}"#;

fn model() -> ModelInfo {
    ModelInfo {
        name: "rig".to_owned(),
        engine: "rig".to_owned(),
    }
}

struct Rig {
    core: CallCore,
    at: CallTime,
    /// Clauses not yet played out: whose, which, how long, how much is played.
    playout: VecDeque<(UtteranceId, u32, u32, u32)>,
    /// What the recogniser will say, one text per utterance.
    words: VecDeque<&'static str>,
    /// Whether clauses are left unspoken.
    voice_is_slow: bool,
    /// Finals on their way: when, whose.
    finals: VecDeque<(CallTime, UtteranceId)>,
    decisions: Vec<(CallTime, Decision)>,
    log: Vec<String>,
    run: FrameRun,
}

impl Rig {
    fn answered(words: &[&'static str]) -> Self {
        Self::answered_with(WORKFLOW, words)
    }

    fn answered_with(workflow: &str, words: &[&'static str]) -> Self {
        let opening = Opening {
            call_direction: CallDirection::Inbound,
            from: "1000".to_owned(),
            to: "demo".to_owned(),
            started_us: 0,
            workflow: "tiny".to_owned(),
            workflow_document: workflow.to_owned(),
            transcriber: model(),
            chat: model(),
            voice: model(),
        };
        let mut rig = Self {
            core: CallCore::open(&opening).unwrap(),
            at: CallTime::ZERO,
            playout: VecDeque::new(),
            words: words.iter().copied().collect(),
            voice_is_slow: false,
            finals: VecDeque::new(),
            decisions: Vec::new(),
            log: Vec::new(),
            run: FrameRun::default(),
        };
        rig.tell(Input::Opened(opening));
        rig.tell(Input::Answered {
            codec: "PCMU/8000".to_owned(),
        });
        rig
    }

    fn write(&mut self, event: LogEvent) {
        let seq = self.log.len() as u64;
        let entry = LogEntry {
            seq,
            at: self.at,
            event,
        };
        self.log.push(serde_json::to_string(&entry).unwrap());
    }

    fn write_run(&mut self) {
        if !self.run.is_empty() {
            let next = FrameRun::after(self.run.last_mark());
            let run = std::mem::replace(&mut self.run, next);
            self.write(LogEvent::In(Input::Frames(run)));
        }
    }

    fn tell(&mut self, input: Input) {
        self.write_run();
        let mut decisions = Vec::new();
        self.core.handle(self.at, &input, &mut decisions);
        self.write(LogEvent::In(input));
        self.carry_out(decisions);
    }

    fn carry_out(&mut self, decisions: Vec<Decision>) {
        let mut ready = Vec::new();
        for decision in decisions {
            self.write(LogEvent::Out(decision.clone()));
            match &decision {
                Decision::Speak {
                    utterance,
                    clause,
                    text,
                } if !self.voice_is_slow => {
                    let duration_ms = 300 * text.split_whitespace().count() as u32;
                    self.playout
                        .push_back((*utterance, *clause, duration_ms, 0));
                    ready.push((*utterance, *clause, duration_ms));
                }
                Decision::StopSpeaking { .. } => self.playout.clear(),
                Decision::Finish { utterance, .. } => {
                    self.finals.push_back((self.at + TICK * 3, *utterance));
                }
                _ => {}
            }
            self.decisions.push((self.at, decision));
        }
        for (utterance, clause, duration_ms) in ready {
            self.tell(Input::ClauseReady {
                utterance,
                clause,
                duration_ms,
                sounds_from_ms: 0,
                sounds_until_ms: None,
            });
        }
    }

    fn tick(&mut self, speech: u8) {
        self.at = self.at + TICK;
        let step = u32::try_from(TICK.as_millis()).unwrap();
        let playing = self
            .playout
            .front_mut()
            .map(|(utterance, clause, duration, played)| {
                *played = (*played + step).min(*duration);
                PlayoutMark {
                    utterance: *utterance,
                    clause: *clause,
                    played_ms: *played,
                    source: AudioSource::Live,
                }
            });
        self.playout
            .pop_front_if(|(_, _, duration, played)| played >= duration);
        let frame = CoreFrame {
            at: self.at,
            speech,
            playing,
        };
        self.run.push(frame);
        let mut decisions = Vec::new();
        self.core.frame(frame, &mut decisions);
        if !decisions.is_empty() {
            self.write_run();
        }
        self.carry_out(decisions);
        while self.finals.front().is_some_and(|(due, _)| *due <= self.at) {
            let (_, utterance) = self.finals.pop_front().unwrap();
            let text = self.words.pop_front().unwrap_or_default().to_owned();
            let (mean_log_prob, no_speech_prob, compute_us) = (-0.1, 0.01, 20_000);
            let heard = Input::Final {
                utterance,
                text,
                mean_log_prob,
                no_speech_prob,
                compute_us,
            };
            self.tell(heard);
        }
    }

    fn quiet(&mut self, millis: u64) {
        (0..millis / 20).for_each(|_| self.tick(3));
    }

    fn speech(&mut self, millis: u64) {
        (0..millis / 20).for_each(|_| self.tick(250));
    }

    /// Lets the agent speak to its end.
    fn until_silent(&mut self) {
        for _ in 0..3000 {
            if self.playout.is_empty() {
                break;
            }
            self.tick(3);
        }
        self.quiet(100);
    }

    fn turns(&self) -> Vec<&Turn> {
        self.decisions
            .iter()
            .filter_map(|(_, d)| {
                if let Decision::Turn(turn) = d {
                    Some(turn)
                } else {
                    None
                }
            })
            .collect()
    }

    fn said(&self) -> String {
        let texts: Vec<&str> = self
            .decisions
            .iter()
            .filter_map(|(_, d)| {
                if let Decision::Speak { text, .. } = d {
                    Some(&**text)
                } else {
                    None
                }
            })
            .collect();
        texts.join(" ")
    }

    fn hung_up(&self) -> Option<EndReason> {
        self.decisions.iter().find_map(|(_, d)| match d {
            Decision::Hangup { reason } => Some(*reason),
            _ => None,
        })
    }

    fn keys(&mut self, keys: &str) {
        for key in keys.chars() {
            self.tell(Input::Digit {
                digit: Digit::try_from(key).unwrap(),
            });
            self.quiet(200);
        }
    }
}

fn whole_call() -> Rig {
    let mut rig = Rig::answered(&["yes please"]);
    rig.until_silent();
    rig.quiet(400);
    rig.speech(900);
    rig.quiet(1200);
    rig.until_silent();
    rig.keys("4729");
    rig.until_silent();
    rig
}

#[test]
fn a_call_is_led_from_greeting_to_goodbye() {
    let rig = whole_call();
    assert_eq!(
        rig.hung_up(),
        Some(EndReason::WorkflowEnded),
        "{:#?}",
        rig.decisions
    );
    let turns = rig.turns();
    let heard: Vec<&str> = turns.iter().map(|t| t.heard.as_str()).collect();
    assert_eq!(heard, ["", "yes please", ""]);
    assert_eq!(turns[0].agent_heard, turns[0].agent_said);
    assert!(
        turns[1]
            .agent_said
            .contains("key in your four digit number")
    );
    assert_eq!(turns[2].dtmf, "4729");
    assert!(turns[2].agent_said.ends_with("Goodbye."));
}

#[test]
fn the_parts_of_a_wait_add_up_to_voice_to_voice() {
    let rig = whole_call();
    let latency = rig.turns()[1].latency;
    let end_of_turn = latency.end_of_turn_ms.unwrap();
    assert!((600..700).contains(&end_of_turn), "{latency:?}");
    assert_eq!(latency.stt_final_ms, Some(60));
    let rest = latency.first_audio_ms.unwrap();
    assert_eq!(
        latency.voice_to_voice_ms,
        Some(end_of_turn + 60 + rest),
        "{latency:?}"
    );
}

#[test]
fn a_caller_who_cuts_in_stops_the_agent_and_only_what_was_played_counts() {
    let mut rig = Rig::answered(&["yes please"]);
    rig.quiet(4000);
    assert!(!rig.playout.is_empty(), "the agent is still speaking");
    let onset = rig.at;
    rig.speech(700);
    let (stopped, _) = rig
        .decisions
        .iter()
        .find(|(_, d)| {
            matches!(
                d,
                Decision::StopSpeaking {
                    caller_from: Some(_),
                    ..
                }
            )
        })
        .expect("the agent stops");
    assert!(
        stopped.since(onset).as_millis() <= 120,
        "{stopped} after {onset}"
    );
    rig.quiet(1500);
    let turn = rig.turns()[0].clone();
    assert!(turn.interrupted);
    assert!(turn.agent_said.starts_with(&turn.agent_heard), "{turn:?}");
    assert!(turn.agent_heard.len() < turn.agent_said.len(), "{turn:?}");
    assert!(
        rig.said().contains("key in your four digit number"),
        "the answer was understood"
    );
}

#[test]
fn a_protected_greeting_is_heard_out_and_the_question_after_it_can_be_stopped() {
    let greeting = r#""greeting": "Hello, this is the clinic.""#;
    let protected = format!(r#"{greeting}, "interruptible": false"#);
    let workflow = WORKFLOW.replace(greeting, &protected);
    let mut rig = Rig::answered_with(&workflow, &["hello", "yes please"]);
    let stopped = |rig: &Rig| {
        let is_stop = |d: &Decision| matches!(d, Decision::StopSpeaking { .. });
        rig.decisions.iter().any(|(_, d)| is_stop(d))
    };
    rig.quiet(200);
    rig.speech(700);
    assert!(!rig.playout.is_empty() && !stopped(&rig));
    let greeted = |rig: &Rig| {
        let whole = |d: &Decision| {
            matches!(
                d,
                Decision::Spoken {
                    interrupted: false,
                    ..
                }
            )
        };
        rig.decisions.iter().any(|(_, d)| whole(d))
    };
    while !greeted(&rig) {
        rig.quiet(20);
    }
    rig.quiet(1_000);
    rig.speech(700);
    assert!(stopped(&rig), "{:#?}", rig.decisions);
}

#[test]
fn a_caller_who_goes_on_is_answered_once_and_whole() {
    let mut rig = Rig::answered(&["yes", "please do"]);
    rig.until_silent();
    rig.voice_is_slow = true;
    rig.speech(500);
    // A breath longer than the end of turn; the answer is decided but does not sound yet.
    rig.quiet(760);
    let asked_before = rig.said().matches("four digit number").count();
    rig.speech(500);
    rig.voice_is_slow = false;
    rig.quiet(1500);
    rig.until_silent();
    assert_eq!(asked_before, 1, "the first answer was under way");
    let withdrawn = |d: &Decision| {
        matches!(
            d,
            Decision::Withdraw {
                joins: UtteranceId(0)
            }
        )
    };
    assert!(
        rig.decisions.iter().any(|(_, d)| withdrawn(d)),
        "{:#?}",
        rig.decisions
    );
    let heard: Vec<String> = rig.turns().iter().map(|turn| turn.heard.clone()).collect();
    assert_eq!(heard, ["", "yes please do"]);
}

#[test]
fn a_silent_caller_is_asked_again_and_then_let_go() {
    let mut rig = Rig::answered(&[]);
    for _ in 0..8 {
        rig.until_silent();
        rig.quiet(8000);
    }
    assert!(
        rig.said().matches("Shall I book it?").count() >= 2,
        "{}",
        rig.said()
    );
    assert!(rig.hung_up().is_some());
}

#[test]
fn a_voice_that_fails_again_and_again_ends_the_call() {
    let mut rig = Rig::answered(&[]);
    for clause in 0..2 {
        let why = "no such voice".to_owned();
        rig.tell(Input::ClauseFailed {
            utterance: UtteranceId(0),
            clause,
            why,
        });
    }
    assert_eq!(rig.hung_up(), Some(EndReason::AgentFailed));
}

#[test]
fn a_stop_of_the_appliance_ends_the_call() {
    let mut rig = Rig::answered(&[]);
    rig.quiet(500);
    rig.tell(Input::ShutDown);
    assert_eq!(rig.hung_up(), Some(EndReason::ShutDown));
    assert!(rig.playout.is_empty());
}

#[test]
fn the_log_of_a_call_replays_to_the_same_decisions() {
    let mut rig = whole_call();
    rig.tell(Input::Ended {
        reason: EndReason::WorkflowEnded,
        detail: None,
    });
    let replayed = replay(rig.log.iter().map(String::as_str)).unwrap();
    assert_eq!(replayed.decisions, rig.decisions.len());
    assert_eq!(replayed.until, rig.at);
}

#[test]
fn a_log_that_was_changed_does_not_replay() {
    let rig = whole_call();
    let changed: Vec<String> = rig
        .log
        .iter()
        .map(|line| line.replace("yes please", "no thank you"))
        .collect();
    let error = replay(changed.iter().map(String::as_str)).unwrap_err();
    assert!(error.to_string().contains("decides otherwise"), "{error}");
    let holed: Vec<&str> = rig
        .log
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != 5)
        .map(|(_, l)| l.as_str())
        .collect();
    assert!(
        replay(holed)
            .unwrap_err()
            .to_string()
            .contains("entries are missing")
    );
}
