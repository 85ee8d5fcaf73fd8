//! Hand-made traces of speech in virtual time.

mod endpoint;

use std::time::Duration;

use proptest::prelude::*;
use trunkline_types::{CallTime, TICK, UtteranceId};

use crate::{
    AgentVoice, AnswerKind, Expectation, TurnCore, TurnInput, TurnOutput, TurnSettings, TurnSoFar,
};

const VOICE: u8 = 230;
const NOISE: u8 = 20;

/// Feeds frames and keeps every decision with its time.
struct Rig {
    core: TurnCore,
    now: CallTime,
    agent: AgentVoice,
    protected: bool,
    heard: Vec<(u64, TurnOutput)>,
}

impl Rig {
    fn new() -> Self {
        Self::with(TurnSettings::default())
    }

    fn with(settings: TurnSettings) -> Self {
        settings.check().unwrap();
        Self {
            core: TurnCore::new(settings),
            now: CallTime::ZERO,
            agent: AgentVoice::Silent,
            protected: false,
            heard: Vec::new(),
        }
    }

    fn input(&mut self, input: TurnInput) -> &mut Self {
        let mut out = Vec::new();
        self.core.handle(self.now, input, &mut out);
        let at = self.now.as_millis();
        self.heard
            .extend(out.into_iter().map(|output| (at, output)));
        self
    }

    fn frames(&mut self, ms: u32, speech: u8) -> &mut Self {
        for _ in 0..ms / 20 {
            self.now = self.now + TICK;
            let agent = self.agent;
            self.input(TurnInput::Frame { speech, agent });
        }
        self
    }

    fn voice(&mut self, ms: u32) -> &mut Self {
        self.frames(ms, VOICE)
    }

    fn silence(&mut self, ms: u32) -> &mut Self {
        self.frames(ms, NOISE)
    }

    fn agent(&mut self, playing: bool) -> &mut Self {
        self.agent = match (playing, self.protected) {
            (false, _) => AgentVoice::Silent,
            (true, false) => AgentVoice::Interruptible,
            (true, true) => AgentVoice::Protected,
        };
        self.input(if playing {
            TurnInput::AgentQueued
        } else {
            TurnInput::AgentFinished
        })
    }

    fn expect(&mut self, interruptible: bool, kind: AnswerKind) -> &mut Self {
        self.protected = !interruptible;
        self.input(TurnInput::Expect(Expectation {
            kind,
            ..Expectation::default()
        }))
    }

    fn names(&self) -> Vec<&'static str> {
        self.heard.iter().map(|(_, output)| name(output)).collect()
    }

    fn at(&self, wanted: &str) -> Option<u64> {
        self.heard
            .iter()
            .find(|(_, output)| name(output) == wanted)
            .map(|(at, _)| *at)
    }
}

fn name(output: &TurnOutput) -> &'static str {
    match output {
        TurnOutput::SpeechStarted { .. } => "started",
        TurnOutput::SpeechPaused { .. } => "paused",
        TurnOutput::SpeechResumed { .. } => "resumed",
        TurnOutput::FalseStart { .. } => "false start",
        TurnOutput::EndOfTurn { .. } => "end",
        TurnOutput::BargeIn { .. } => "barge-in",
        TurnOutput::TurnContinued { .. } => "continued",
        TurnOutput::Idle { .. } => "idle",
        TurnOutput::MaximumDuration => "maximum",
    }
}

#[test]
fn a_turn_begins_with_its_preroll_and_ends_after_the_silence() {
    let mut rig = Rig::new();
    rig.silence(1_000).voice(800).silence(1_000);
    assert_eq!(rig.names(), ["started", "paused", "end"]);
    assert_eq!(
        rig.heard[0],
        (
            1_080,
            TurnOutput::SpeechStarted {
                utterance: UtteranceId(0),
                from: CallTime::from_millis(700),
            }
        )
    );
    assert_eq!(
        rig.heard[2],
        (
            2_400,
            TurnOutput::EndOfTurn {
                utterance: UtteranceId(0),
                speech_end: CallTime::from_millis(1_800),
                decided_after: Duration::from_millis(600),
            }
        )
    );
}

#[test]
fn a_breath_inside_a_turn_does_not_end_it() {
    let mut rig = Rig::new();
    rig.voice(500).silence(400).voice(500).silence(700);
    assert_eq!(
        rig.names(),
        ["started", "paused", "resumed", "paused", "end"]
    );
}

#[test]
fn clicks_neither_open_a_turn_nor_keep_one_open() {
    let mut rig = Rig::new();
    for _ in 0..20 {
        rig.silence(100).voice(40);
    }
    assert!(rig.names().is_empty());
    rig.voice(500).silence(300).voice(20).silence(280);
    assert_eq!(rig.names(), ["started", "paused", "end"]);
}

#[test]
fn speech_shorter_than_a_word_is_a_false_start() {
    let mut rig = Rig::new();
    rig.silence(400).voice(100).silence(700);
    assert_eq!(rig.names(), ["started", "false start"]);
    rig.voice(300).silence(700);
    assert_eq!(rig.names()[2..], ["started", "paused", "end"]);
}

#[test]
fn the_caller_stops_an_interruptible_line_within_120_ms() {
    let mut rig = Rig::new();
    rig.expect(true, AnswerKind::Free)
        .agent(true)
        .silence(1_000)
        .voice(200);
    assert_eq!(rig.names(), ["started", "barge-in"]);
    assert_eq!(rig.at("barge-in"), Some(1_060));
    assert_eq!(
        rig.heard[1].1,
        TurnOutput::BargeIn {
            utterance: UtteranceId(0),
            onset: CallTime::from_millis(1_000),
        }
    );
}

#[test]
fn a_click_does_not_stop_the_agent() {
    let mut rig = Rig::new();
    rig.expect(true, AnswerKind::Free).agent(true);
    for _ in 0..20 {
        rig.silence(200).voice(40);
    }
    assert!(rig.names().is_empty());
}

#[test]
fn speech_over_a_line_that_must_be_heard_is_collected_only() {
    let mut rig = Rig::new();
    rig.expect(false, AnswerKind::Free)
        .agent(true)
        .voice(800)
        .silence(700);
    assert_eq!(rig.names(), ["started", "paused", "end"]);
}

#[test]
fn a_caller_who_speaks_when_the_agent_begins_stops_it() {
    let mut rig = Rig::new();
    rig.voice(500).agent(true).voice(100);
    assert_eq!(rig.names(), ["started", "barge-in"]);
    assert_eq!(rig.at("barge-in"), Some(560));
}

#[test]
fn going_on_before_the_answer_is_heard_continues_the_turn() {
    let mut rig = Rig::new();
    rig.voice(500).silence(700).voice(500).silence(700);
    assert_eq!(
        rig.names(),
        [
            "started",
            "paused",
            "end",
            "started",
            "continued",
            "paused",
            "end"
        ]
    );
    assert!(rig.heard.iter().any(|(_, output)| *output
        == TurnOutput::TurnContinued {
            utterance: UtteranceId(1),
            joins: UtteranceId(0),
        }));
}

#[test]
fn an_answer_that_was_heard_ends_the_turn_for_good() {
    let mut rig = Rig::new();
    rig.voice(500).silence(700).agent(true).silence(200);
    rig.agent(false).voice(500).silence(700);
    assert!(!rig.names().contains(&"continued"));
}

#[test]
fn speech_long_after_a_turn_is_a_turn_of_its_own() {
    let mut rig = Rig::new();
    rig.voice(500).silence(3_000).voice(500).silence(700);
    assert!(!rig.names().contains(&"continued"));
}

#[test]
fn dictated_digits_get_more_patience() {
    let mut rig = Rig::new();
    rig.expect(true, AnswerKind::Digits)
        .voice(400)
        .silence(1_000)
        .voice(400)
        .silence(1_300);
    assert_eq!(
        rig.names(),
        ["started", "paused", "resumed", "paused", "end"]
    );
}

#[test]
fn an_over_long_turn_is_cut_at_a_pause_and_joined() {
    let mut rig = Rig::new();
    rig.voice(7_000).silence(100).voice(1_000).silence(700);
    assert_eq!(
        rig.names(),
        ["started", "end", "started", "continued", "paused", "end"]
    );
    assert_eq!(rig.at("end"), Some(7_060));
}

#[test]
fn speech_without_a_pause_is_cut_at_the_longest_length() {
    let mut rig = Rig::new();
    rig.voice(20_000).silence(700);
    let ends = rig.names().iter().filter(|name| **name == "end").count();
    assert_eq!(ends, 3);
    assert_eq!(rig.at("end"), Some(9_000));
}

#[test]
fn the_end_of_a_cut_turn_counts_from_the_last_word() {
    let mut rig = Rig::new();
    rig.voice(8_980).silence(1_000);
    assert_eq!(
        rig.heard.last(),
        Some(&(
            9_580,
            TurnOutput::EndOfTurn {
                utterance: UtteranceId(1),
                speech_end: CallTime::from_millis(8_980),
                decided_after: Duration::from_millis(600),
            }
        ))
    );
}

#[test]
fn a_quiet_line_is_noticed_again_and_again_until_someone_speaks() {
    let mut rig = Rig::new();
    rig.agent(true).silence(500).agent(false).silence(7_500);
    assert_eq!(rig.heard, [(7_500, TurnOutput::Idle { count: 1 })]);
    rig.agent(true).silence(500).agent(false).silence(7_500);
    assert_eq!(rig.heard[1].1, TurnOutput::Idle { count: 2 });
    rig.voice(500).silence(700).agent(true).silence(500);
    rig.agent(false).silence(7_500);
    assert_eq!(rig.heard.last().unwrap().1, TurnOutput::Idle { count: 1 });
}

#[test]
fn a_line_is_not_idle_while_the_agent_thinks_or_the_caller_keys() {
    let mut rig = Rig::new();
    rig.silence(20_000);
    assert!(rig.names().is_empty(), "before the first line");
    rig.agent(true).agent(false).voice(500).silence(20_000);
    assert_eq!(rig.names(), ["started", "paused", "end"]);
    rig.agent(true).agent(false);
    for _ in 0..4 {
        rig.silence(5_000).input(TurnInput::KeyPressed);
    }
    assert_eq!(rig.names(), ["started", "paused", "end"]);
}

#[test]
fn the_longest_call_is_announced_once() {
    let mut rig = Rig::with(TurnSettings {
        max_call_ms: 10_000,
        ..TurnSettings::default()
    });
    rig.silence(15_000);
    assert_eq!(rig.heard, [(10_000, TurnOutput::MaximumDuration)]);
}

#[test]
fn a_partial_reaches_the_endpoint_model() {
    struct EndsAtPlease;
    impl crate::EndpointModel for EndsAtPlease {
        fn end_silence(&self, turn: &TurnSoFar, _: &Expectation, _: &TurnSettings) -> Duration {
            assert!(turn.is_fresh);
            Duration::from_millis(if turn.partial.ends_with("please") {
                300
            } else {
                2_000
            })
        }
    }
    let mut rig = Rig::new();
    rig.core = TurnCore::with_endpoint(TurnSettings::default(), Box::new(EndsAtPlease));
    rig.voice(500).input(TurnInput::Partial {
        utterance: UtteranceId(0),
        text: "wednesday please".to_owned(),
        until: CallTime::from_millis(500),
    });
    rig.silence(2_500);
    assert_eq!(rig.at("end"), Some(800));
}

#[test]
fn settings_that_cannot_work_are_named() {
    let settings = TurnSettings {
        barge_in_ms: 400,
        ..TurnSettings::default()
    };
    assert_eq!(
        settings.check().unwrap_err().to_string(),
        "barge_in_ms is 400, but must be from 20 to 100"
    );
    let typo = serde_json::from_str::<TurnSettings>(r#"{"idle": 3}"#);
    assert!(typo.unwrap_err().to_string().contains("idle_ms"));
}

fn any_input() -> impl Strategy<Value = Vec<(u8, bool, u8)>> {
    prop::collection::vec(
        (
            prop_oneof![Just(0_u8), Just(VOICE), any::<u8>()],
            any::<bool>(),
            0_u8..40,
        ),
        1..120,
    )
}

/// Stretches of frames with the other inputs strewn in.
fn run(trace: &[(u8, bool, u8)]) -> Vec<(u64, TurnOutput)> {
    let mut rig = Rig::new();
    for (speech, playing, length) in trace {
        match length % 8 {
            0 => rig.input(TurnInput::KeyPressed),
            1 => rig.expect(*playing, AnswerKind::Digits),
            2 => rig.expect(*playing, AnswerKind::Free),
            3 => rig.input(TurnInput::AgentFinished),
            _ => &mut rig,
        };
        rig.agent(*playing);
        rig.frames(u32::from(*length) * 20, *speech);
    }
    rig.agent(false).silence(12_000);
    rig.heard
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_utterance_is_closed_once_and_no_two_are_open(trace in any_input()) {
        let mut open = None;
        let mut next = 0;
        for (_, output) in run(&trace) {
            match output {
                TurnOutput::SpeechStarted { utterance, .. } => {
                    prop_assert_eq!(open, None);
                    prop_assert_eq!(utterance, UtteranceId(next));
                    next += 1;
                    open = Some(utterance);
                }
                TurnOutput::EndOfTurn { utterance, .. } | TurnOutput::FalseStart { utterance } => {
                    prop_assert_eq!(open, Some(utterance));
                    open = None;
                }
                TurnOutput::SpeechPaused { utterance }
                | TurnOutput::SpeechResumed { utterance }
                | TurnOutput::BargeIn { utterance, .. }
                | TurnOutput::TurnContinued { utterance, .. } => {
                    prop_assert_eq!(open, Some(utterance));
                }
                TurnOutput::Idle { .. } | TurnOutput::MaximumDuration => {}
            }
        }
        prop_assert_eq!(open, None);
    }

    #[test]
    fn an_utterance_that_joins_another_is_never_a_false_start(trace in any_input()) {
        let mut joined = None;
        for (_, output) in run(&trace) {
            match output {
                TurnOutput::TurnContinued { utterance, .. } => joined = Some(utterance),
                TurnOutput::FalseStart { utterance } => prop_assert_ne!(joined, Some(utterance)),
                _ => {}
            }
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_decisions(trace in any_input()) {
        prop_assert_eq!(run(&trace), run(&trace));
    }

    #[test]
    fn steady_speech_over_a_line_stops_it_in_time(lead in 0_u32..200, level in 130_u8..=255) {
        let mut rig = Rig::new();
        rig.expect(true, AnswerKind::Free).agent(true).silence(lead * 20).frames(400, level);
        let stopped = rig.at("barge-in").unwrap();
        prop_assert!(stopped - u64::from(lead) * 20 <= 120);
    }
}
