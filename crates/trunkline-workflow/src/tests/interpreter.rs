//! What the interpreter promises to whoever drives it.

use std::time::Duration;

use serde_json::Value;
use trunkline_types::EndReason;

use super::rig::Rig;
use crate::{FlowInput, FlowOutput, Provenance};

fn at_the_number() -> Rig {
    let mut rig = Rig::front_desk();
    rig.says("book with doctor patel");
    assert_eq!(rig.at(), "ask_number");
    rig
}

#[test]
fn the_first_key_hushes_the_agent_and_a_pause_ends_the_entry() {
    let mut rig = at_the_number();
    rig.keys("4");
    assert_eq!(rig.out, [FlowOutput::Hush]);
    rig.keys("7");
    let deadline = rig.interpreter.next_deadline().unwrap();
    assert_eq!(deadline, rig.now + Duration::from_secs(5));
    rig.now = deadline;
    rig.input(FlowInput::Clock);
    assert_eq!(
        rig.lines(),
        ["I am sorry, I need four digits. Please key in your patient number once more."]
    );
    assert_eq!(rig.interpreter.next_deadline(), None);
    rig.keys("4729");
    assert_eq!(rig.at(), "offer_times");
}

#[test]
fn keys_that_nothing_asks_for_are_ignored() {
    let mut rig = Rig::front_desk();
    rig.keys("12*#");
    assert!(rig.out.is_empty());
}

#[test]
fn a_caller_who_goes_on_takes_the_first_half_back() {
    let mut rig = Rig::front_desk();
    rig.says("i would like to book with doctor patel");
    assert_eq!(rig.at(), "ask_number");
    rig.input(FlowInput::CallerContinued {
        text: "i would like to book with doctor patel no cancel i want to cancel my appointment"
            .to_owned(),
    });
    assert_eq!(rig.out[0], FlowOutput::Hush);
    assert_eq!(
        rig.out[1],
        FlowOutput::Entered {
            node: "help".to_owned()
        }
    );
    assert!(rig.out.iter().any(|output| matches!(output,
        FlowOutput::Set { variable, source: Provenance::TakenBack, .. } if variable == "intent")));
    assert_ne!(rig.at(), "ask_number");
}

#[test]
fn going_on_twice_still_starts_from_before_the_turn() {
    let mut rig = Rig::front_desk();
    rig.says("doctor");
    for text in ["doctor patel", "doctor patel no doctor morgan"] {
        let text = text.to_owned();
        rig.input(FlowInput::CallerContinued { text });
    }
    assert_eq!(rig.value("doctor"), "");
    assert_eq!(rig.at(), "help");
}

#[test]
fn a_void_request_is_ignored() {
    let mut rig = Rig::front_desk();
    rig.says("my knee hurts terribly");
    let (request, _) = rig.choice();
    rig.says("what are your opening hours");
    assert_eq!(rig.at(), "anything_else");
    rig.input(FlowInput::Chosen {
        request,
        best: 0,
        probabilities: vec![1.0],
    });
    assert!(rig.out.is_empty());
    rig.input(FlowInput::ModelFailed { request });
    assert!(rig.out.is_empty());
}

#[test]
fn a_caller_need_not_wait_for_a_free_answer() {
    let mut rig = Rig::front_desk();
    rig.says("is there parking");
    assert_eq!(rig.at(), "answer");
    rig.says("never mind i would like to book with doctor patel");
    assert_eq!(rig.at(), "ask_number");
    assert_eq!(rig.lines().len(), 1, "{:?}", rig.lines());
}

#[test]
fn a_model_that_fails_does_not_end_the_call() {
    let mut rig = Rig::front_desk();
    rig.says("my knee hurts terribly");
    let (request, _) = rig.choice();
    rig.input(FlowInput::ModelFailed { request });
    assert!(rig.lines()[0].starts_with("I am sorry, I did not catch that."));

    rig.says("is there parking").generates("");
    assert_eq!(
        rig.lines()[0],
        "I am sorry, I do not know that. A colleague at the front desk can tell you."
    );
    assert_eq!(rig.at(), "anything_else");
}

#[test]
fn words_that_were_not_understood_at_all_are_asked_for_only_when_the_agent_was_cut_short() {
    let mut rig = Rig::front_desk();
    rig.says("");
    assert!(rig.lines().is_empty());
    assert!(matches!(rig.out[..], [FlowOutput::Listen { .. }]));
    rig.input(FlowInput::LineDone {
        line: 1,
        heard: "How can".to_owned(),
        interrupted: true,
    });
    rig.says("...");
    assert_eq!(rig.lines().len(), 1);
}

#[test]
fn a_noise_does_not_undo_what_was_said_before_it() {
    let mut rig = Rig::front_desk();
    rig.says("my knee hurts terribly");
    let (request, options) = rig.choice();
    rig.says("");
    assert!(rig.out.is_empty());
    rig.input(FlowInput::Chosen {
        request,
        best: 0,
        probabilities: vec![1.0; options.len()],
    });
    assert_eq!(rig.at(), "ask_doctor");
}

#[test]
fn a_free_answer_that_a_noise_cut_short_is_not_waited_for() {
    let mut rig = Rig::front_desk();
    rig.says("is there parking");
    rig.input(FlowInput::LineDone {
        line: 2,
        heard: "Yes".to_owned(),
        interrupted: true,
    });
    rig.says("");
    assert_eq!(rig.at(), "anything_else");
    assert_eq!(rig.lines().len(), 1);
}

#[test]
fn the_model_sees_what_was_said_and_calibrates_on_nothing() {
    let mut rig = Rig::front_desk();
    rig.says("my knee hurts terribly");
    let prompts = rig.out.iter().find_map(|output| match output {
        FlowOutput::Choose {
            prompt, neutral, ..
        } => Some((prompt.clone(), neutral.clone())),
        _ => None,
    });
    let (prompt, neutral) = prompts.unwrap();
    assert_eq!(prompt.last().unwrap().text, "my knee hurts terribly");
    assert_eq!(prompt.len(), neutral.len());
    assert_eq!(prompt[..prompt.len() - 1], neutral[..neutral.len() - 1]);
}

#[test]
fn a_farewell_that_is_never_reported_done_ends_all_the_same() {
    let mut rig = Rig::front_desk();
    rig.says("goodbye");
    rig.now = rig.interpreter.next_deadline().unwrap();
    rig.input(FlowInput::Clock);
    assert_eq!(rig.hung_up(), Some(EndReason::WorkflowEnded));
    rig.says("hello");
    assert!(rig.out.is_empty());
}

#[test]
fn prompts_that_are_the_same_in_every_call_are_the_beginning_of_the_real_ones() {
    let workflow = crate::Workflow::parse(super::front_desk::FRONT_DESK).unwrap();
    let constant = workflow.constant_prompts();
    let mut rig = Rig::front_desk();
    rig.says("is there parking");
    let FlowOutput::Generate { prompt, .. } = &rig.out[rig.out.len() - 2] else {
        panic!("{:?}", rig.out);
    };
    assert!(prompt.starts_with(&constant[0]));
}

#[test]
fn a_call_that_must_end_is_ended_in_words_and_nothing_takes_that_back() {
    for (reason, farewell) in [
        (
            EndReason::MaximumDuration,
            "I am sorry, our time is up. Please call again. Goodbye.",
        ),
        (
            EndReason::AgentFailed,
            "I am sorry, something is wrong with this line. Please call again later. Goodbye.",
        ),
    ] {
        let mut rig = Rig::front_desk();
        rig.says("my knee hurts terribly");
        rig.input(FlowInput::End { reason });
        assert_eq!(rig.out[0], FlowOutput::Hush);
        assert_eq!(rig.lines(), [farewell]);
        let farewell = rig.out.clone();
        rig.input(FlowInput::CallerContinued {
            text: "is there parking".to_owned(),
        });
        assert!(rig.lines().is_empty());
        rig.input(FlowInput::End { reason });
        assert!(rig.out.is_empty());
        rig.out = farewell;
        rig.hears_all();
        assert_eq!(rig.hung_up(), Some(reason));
    }
    // Where the workflow has no words for it.
    let mut wordless: Value = serde_json::from_str(super::front_desk::FRONT_DESK).unwrap();
    wordless["settings"]["time_up_farewell"] = Value::from("");
    let mut rig = Rig::new(&wordless.to_string());
    let reason = EndReason::MaximumDuration;
    rig.input(FlowInput::End { reason });
    assert_eq!(rig.hung_up(), Some(reason));
}

#[test]
fn words_that_could_not_be_transcribed_are_asked_for_at_once() {
    let mut rig = Rig::front_desk();
    rig.input(FlowInput::NotHeard);
    assert!(rig.lines()[0].starts_with("I am sorry, I did not catch that."));
}

#[test]
fn a_goodbye_in_the_middle_of_things_ends_the_call() {
    let mut rig = Rig::front_desk();
    rig.says("i would like to book with doctor patel");
    assert_eq!(rig.at(), "ask_number");
    rig.says("okay thanks, bye-bye");
    // An edge of the workflow goes before.
    assert_eq!(rig.at(), "goodbye");
    let mut rig = Rig::front_desk();
    rig.says("i want to cancel my appointment");
    assert_eq!(rig.at(), "change_appointment");
    rig.says("bye-bye then");
    assert_eq!(rig.lines(), ["Thank you for calling. Goodbye."]);
    rig.hears_all();
    assert_eq!(rig.hung_up(), Some(EndReason::WorkflowEnded));
}
