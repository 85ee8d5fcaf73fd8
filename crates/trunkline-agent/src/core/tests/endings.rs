//! How a call ends when something outside the workflow ends it: in words, never in dead air.

use super::*;

fn polite(words: &[&'static str]) -> Rig {
    let named = r#""name": "tiny","#;
    let settings = r#""name": "tiny", "settings": {
        "max_call_ms": 30000, "time_up_farewell": "Our time is up. Goodbye.",
        "failed_farewell": "I am sorry, I am out of order.", "goodbye_farewell": "Goodbye then."},"#;
    Rig::answered_with(&WORKFLOW.replacen(named, settings, 1), words)
}

impl Rig {
    fn fails(&mut self, utterance: u32) {
        let (utterance, why) = (UtteranceId(utterance), "it is gone".to_owned());
        self.words.clear();
        self.finals.clear();
        self.tell(Input::TranscriptFailed { utterance, why });
    }

    fn ends_after(&mut self, farewell: &str, reason: EndReason) {
        assert!(self.said().ends_with(farewell), "{}", self.said());
        assert_eq!(self.hung_up(), None, "not before it is heard");
        self.until_silent();
        assert_eq!(self.hung_up(), Some(reason));
        let replayed = replay(self.log.iter().map(String::as_str)).unwrap();
        assert_eq!(replayed.decisions, self.decisions.len());
    }
}

#[test]
fn the_longest_call_ends_with_a_farewell_whoever_speaks() {
    let mut rig = polite(&["what does it cost"]);
    rig.until_silent();
    while rig.at < CallTime::from_millis(29_000) {
        rig.tick(3);
    }
    rig.speech(1_020);
    rig.ends_after("Our time is up. Goodbye.", EndReason::MaximumDuration);
}

#[test]
fn a_caller_who_says_goodbye_is_let_go() {
    let mut rig = polite(&["goodbye then"]);
    rig.until_silent();
    rig.quiet(400);
    rig.speech(700);
    rig.quiet(900);
    rig.ends_after("Goodbye then.", EndReason::WorkflowEnded);
}

#[test]
fn words_that_the_recogniser_lost_are_asked_for_at_once_and_not_for_ever() {
    let mut rig = polite(&[]);
    for turn in 0..3 {
        rig.until_silent();
        rig.quiet(400);
        rig.speech(700);
        // Before the turn is over, or after it.
        if turn == 0 {
            rig.fails(turn);
            rig.quiet(620);
            rig.finals.clear();
            rig.quiet(80);
        } else {
            rig.quiet(620);
            rig.fails(turn);
        }
        if turn < 2 {
            let again = rig.said().matches("Shall I book it?").count();
            assert_eq!(again, 2 + turn as usize, "{}", rig.said());
        }
    }
    rig.ends_after("I am sorry, I am out of order.", EndReason::AgentFailed);
}

#[test]
fn a_voice_that_fails_is_given_one_more_sentence() {
    let mut rig = polite(&[]);
    rig.quiet(200);
    let fail = |rig: &mut Rig, utterance: u32, clause: u32| {
        let (utterance, why) = (UtteranceId(utterance), "no such voice".to_owned());
        rig.tell(Input::ClauseFailed {
            utterance,
            clause,
            why,
        });
    };
    for clause in 0..2 {
        fail(&mut rig, 0, clause);
    }
    rig.ends_after("I am sorry, I am out of order.", EndReason::AgentFailed);
    // Not even that one.
    let mut rig = polite(&[]);
    for clause in 0..4 {
        fail(&mut rig, 0, clause);
    }
    assert_eq!(rig.hung_up(), Some(EndReason::AgentFailed));
}
