//! What is computed ahead while the caller speaks, and when that ends.

use trunkline_inference::{ChatMessage, ChatRole};

use super::*;

/// The agent has asked a question, and the caller is in the middle of a sentence.
fn asked(words: &[&'static str]) -> Rig {
    let mut rig = Rig::answered(words);
    rig.until_silent();
    rig.quiet(400);
    rig.speech(600);
    rig
}

impl Rig {
    fn partial(&mut self, utterance: u32, text: &str) {
        let utterance = UtteranceId(utterance);
        let text = text.to_owned();
        self.tell(Input::Partial {
            utterance,
            text,
            audio_ms: 0,
        });
    }

    /// The conversation that was expected after each decision about it; empty where it ended.
    fn expectations(&self) -> Vec<Vec<ChatMessage>> {
        let mut expected: Vec<ChatMessage> = Vec::new();
        let mut all = Vec::new();
        for (_, decision) in &self.decisions {
            match decision {
                Decision::Anticipate { kept, messages } => {
                    expected.truncate(*kept);
                    expected.extend(messages.clone());
                }
                Decision::EndAnticipation => expected.clear(),
                _ => continue,
            }
            all.push(expected.clone());
        }
        all
    }

    fn expected_words(&self) -> Vec<String> {
        let last = |expected: Vec<ChatMessage>| match expected.last() {
            Some(message) => {
                assert_eq!(message.role, ChatRole::User);
                message.content.clone()
            }
            None => "(nothing)".to_owned(),
        };
        self.expectations().into_iter().map(last).collect()
    }

    fn replays(&self) {
        let replayed = replay(self.log.iter().map(String::as_str)).unwrap();
        assert_eq!(replayed.decisions, self.decisions.len());
    }
}

#[test]
fn partials_become_what_the_model_is_asked_at_the_end_of_the_turn() {
    let mut rig = asked(&["What does it cost?"]);
    rig.partial(0, "What does.");
    rig.partial(0, "What does");
    rig.speech(400);
    rig.partial(0, "What does it cost");
    rig.quiet(1500);
    assert_eq!(
        rig.expected_words(),
        ["What does", "What does it cost", "(nothing)"]
    );
    let kept = rig.decisions.iter().filter_map(|(_, d)| match d {
        Decision::Anticipate { kept, messages } => Some((*kept > 0, messages.len())),
        _ => None,
    });
    assert_eq!(kept.skip(1).collect::<Vec<_>>(), [(true, 1)], "only words");
    let request = rig.decisions.iter().position(|(_, d)| {
        let Decision::Choose { messages, .. } = d else {
            return false;
        };
        let mut expected = rig.expectations()[1].clone();
        expected.last_mut().unwrap().content = "What does it cost?".to_owned();
        assert_eq!(*messages, expected);
        true
    });
    let end = |(_, d): &(CallTime, Decision)| *d == Decision::EndAnticipation;
    let end = rig.decisions.iter().position(end);
    assert!(request.unwrap() < end.unwrap(), "the request takes over");
    rig.replays();
}

#[test]
fn words_that_decide_by_rule_ask_no_model_and_expect_nothing() {
    let mut rig = asked(&["yes please"]);
    rig.partial(0, "yes");
    rig.partial(0, "yes please");
    rig.quiet(1500);
    assert!(rig.expectations().is_empty());
    rig.replays();
}

#[test]
fn a_sound_that_was_no_speech_is_not_computed_ahead_any_more() {
    let mut rig = Rig::answered(&[]);
    rig.until_silent();
    rig.quiet(400);
    rig.speech(100);
    rig.partial(0, "Hm, what");
    rig.quiet(400);
    assert_eq!(rig.expected_words(), ["Hm, what", "(nothing)"]);
    let ends = rig.decisions.iter().rev().take(2).map(|(_, d)| d.kind());
    assert_eq!(
        ends.collect::<Vec<_>>(),
        ["out.discard", "out.end_anticipation"]
    );
    // A transcript that comes too late says nothing.
    rig.partial(0, "Hm, what is");
    assert_eq!(rig.expectations().len(), 2);
    rig.replays();
}

#[test]
fn a_caller_who_goes_on_is_expected_with_all_that_was_said() {
    let mut rig = asked(&["What does it", "cost me"]);
    rig.partial(0, "What does it");
    rig.quiet(760);
    rig.speech(500);
    rig.partial(1, "cost");
    rig.quiet(1500);
    let words = [
        "What does it",
        "(nothing)",
        "What does it cost",
        "(nothing)",
    ];
    assert_eq!(rig.expected_words(), words);
    rig.replays();
}

#[test]
fn nothing_is_computed_ahead_for_a_call_that_ends() {
    let mut rig = asked(&[]);
    rig.partial(0, "What does");
    rig.tell(Input::ShutDown);
    rig.partial(0, "What does it cost");
    assert_eq!(rig.expected_words(), ["What does", "(nothing)"]);
    let mut rig = asked(&[]);
    rig.partial(0, "What does");
    let reason = EndReason::CallerHungUp;
    let detail = None;
    rig.tell(Input::Ended { reason, detail });
    assert_eq!(rig.expected_words(), ["What does", "(nothing)"]);
    rig.replays();
}
