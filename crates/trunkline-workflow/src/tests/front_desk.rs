//! The starter workflow, walked as callers walk it.

use trunkline_types::EndReason;

use super::rig::Rig;
use crate::{Expecting, FlowInput, FlowOutput, Provenance};

pub(super) const FRONT_DESK: &str = include_str!("../../../../workflows/front-desk.json");

#[test]
fn a_caller_books_an_appointment_asks_about_parking_and_leaves() {
    let mut rig = Rig::front_desk();
    assert_eq!(
        rig.lines(),
        [
            "Thank you for calling Riverside Clinic.",
            "How can I help you today?"
        ]
    );
    rig.says("Hello, I would like to book an appointment with Doctor Patel, please.");
    assert_eq!(
        rig.lines(),
        ["Certainly, Doctor Patel. Please key in your four digit patient number."]
    );
    assert_eq!(rig.expecting(), Some(Expecting::Digits));
    assert_eq!(rig.value("intent"), "book");

    rig.keys("472");
    assert!(rig.lines().is_empty());
    rig.keys("9");
    assert_eq!(rig.source("patient_number"), Some(Provenance::Keyed));
    assert_eq!(rig.source("patient"), Some(Provenance::LookedUp));
    assert_eq!(
        rig.lines(),
        [
            "Thank you, Susan. Doctor Patel is free on Tuesday at half past nine, Wednesday at two \
             thirty, and Friday at a quarter past four. All of these are at the clinic in Mill \
             Street, and each visit takes about twenty minutes. Which time would you like?"
        ]
    );
    rig.input(FlowInput::LineDone {
        line: 3,
        heard: "Thank you, Susan. Doctor Patel is free on Tuesday".to_owned(),
        interrupted: true,
    });
    rig.says("wednesday at two thirty please");
    assert_eq!(
        rig.lines(),
        ["That is Wednesday at two thirty, with Doctor Patel. Shall I book it?"]
    );
    assert_eq!(rig.expecting(), Some(Expecting::YesNo));

    rig.says("yes please");
    assert_eq!(
        rig.lines(),
        [
            "It is booked. We look forward to seeing you on Wednesday at two thirty.",
            "Is there anything else I can help you with?"
        ]
    );
    rig.says("is there parking at the clinic");
    let prompt = rig.out.iter().find_map(|output| match output {
        FlowOutput::Generate { prompt, .. } => Some(prompt.clone()),
        _ => None,
    });
    let prompt = prompt.unwrap();
    assert!(prompt[0].text.contains("free parking"), "{prompt:?}");
    assert_eq!(
        prompt.last().unwrap().text,
        "is there parking at the clinic"
    );

    rig.generates("Yes, there is free parking behind the clinic.");
    assert_eq!(rig.lines(), ["Is there anything else I can help you with?"]);
    rig.says("no thank you that is all goodbye");
    assert_eq!(rig.lines(), ["Thank you for calling, Susan. Goodbye."]);
    assert_eq!(rig.hung_up(), None);
    rig.hears_all();
    assert_eq!(rig.hung_up(), Some(EndReason::WorkflowEnded));
    assert!(rig.interpreter.is_over());
}

/// A call up to the offer of times.
fn at_the_offer() -> Rig {
    let mut rig = Rig::front_desk();
    rig.says("book an appointment with doctor patel")
        .keys("4729");
    assert_eq!(rig.at(), "offer_times");
    rig
}

#[test]
fn errors_of_the_recogniser_do_not_lead_astray() {
    let mut rig = Rig::front_desk();
    rig.says("hello i would like to book an apointment with docter pattel");
    assert_eq!(rig.at(), "ask_number");
    rig.says("for seven two nine");
    assert_eq!(rig.value("patient_number"), "4729");
    rig.says("wensday at to thirty");
    assert_eq!(rig.value("free_time"), "patel-wednesday");
}

#[test]
fn a_caller_who_names_no_doctor_is_asked() {
    let mut rig = Rig::front_desk();
    rig.says("i need an appointment");
    assert_eq!(
        rig.lines(),
        [
            "With pleasure. Which doctor would you like to see: Doctor Patel, Doctor Morgan, or \
             Doctor Hughes?"
        ]
    );
    rig.says("morgan please").keys("1836#");
    assert_eq!(rig.at(), "offer_times");
    assert!(rig.value("patient").contains("Peter Hughes"));
}

#[test]
fn a_caller_may_name_only_the_doctor() {
    let mut rig = Rig::front_desk();
    rig.says("doctor hughes");
    assert_eq!(rig.at(), "ask_number");
    rig.keys("2950");
    assert!(rig.lines()[0].contains("Tuesday at noon and Thursday at half past ten"));
}

#[test]
fn an_unknown_number_is_asked_for_once_more_and_then_a_colleague_calls_back() {
    let mut rig = Rig::front_desk();
    rig.says("book with doctor patel").keys("1111");
    assert_eq!(
        rig.lines(),
        ["I am sorry, I cannot find the number one one one one. Please try it once more."]
    );
    rig.keys("4729");
    assert_eq!(rig.at(), "offer_times");

    let mut rig = Rig::front_desk();
    rig.says("book with doctor patel").keys("1111").keys("1112");
    assert_eq!(rig.at(), "colleague");
    assert_eq!(rig.hears_all().hung_up(), Some(EndReason::WorkflowEnded));
}

#[test]
fn a_wrong_time_is_corrected_in_one_breath_or_in_two() {
    let mut rig = at_the_offer();
    rig.says("wednesday").says("no friday please");
    assert_eq!(
        rig.lines(),
        ["That is Friday at a quarter past four, with Doctor Patel. Shall I book it?"]
    );
    rig.says("no");
    assert_eq!(rig.at(), "other_time");
    assert!(rig.lines()[0].starts_with("Let me see. Doctor Patel is free on"));
    rig.says("the first one then").says("that is right");
    assert!(rig.lines()[0].ends_with("Tuesday at half past nine."));
}

#[test]
fn when_no_time_fits_a_colleague_may_call_back() {
    let mut rig = at_the_offer();
    rig.says("do you have another day");
    assert_eq!(rig.at(), "no_time");
    rig.says("no thank you");
    assert_eq!(rig.at(), "anything_else");
    let mut rig = at_the_offer();
    rig.says("none of them").says("yes please");
    assert_eq!(rig.at(), "colleague");
}

#[test]
fn a_question_in_place_of_an_answer_is_answered_and_the_caller_led_back() {
    let mut rig = at_the_offer();
    rig.says("is there parking").generates("Yes, there is.");
    assert_eq!(rig.at(), "offer_times");
    assert!(rig.lines()[0].contains("Wednesday at two thirty"));
}

#[test]
fn a_second_booking_needs_no_number() {
    let mut rig = at_the_offer();
    rig.says("friday")
        .says("yes")
        .says("i would like to book with doctor morgan");
    assert_eq!(rig.at(), "offer_times");
    assert!(rig.lines()[0].contains("Doctor Morgan is free on Monday at eleven"));
}

#[test]
fn the_other_wishes_of_callers_are_met() {
    for (wish, node) in [
        ("what are your opening hours", "anything_else"),
        ("are you open on saturday", "anything_else"),
        ("i want to speak to a real person", "colleague"),
        (
            "i need to cancel my appointment with doctor morgan",
            "change_appointment",
        ),
        ("i would like to move an appointment", "change_appointment"),
        ("can i pay by card", "answer"),
        ("where are you located", "answer"),
        ("no sorry wrong number goodbye", "goodbye"),
        ("hello", "go_ahead"),
    ] {
        let mut rig = Rig::front_desk();
        rig.says(wish);
        assert_eq!(rig.at(), node, "{wish}");
    }
}

#[test]
fn when_the_words_do_not_decide_the_model_does() {
    let mut rig = Rig::front_desk();
    rig.says("my knee hurts terribly");
    let (_, options) = rig.choice();
    assert_eq!(options[0], "book an appointment");
    rig.scores(0, 0.9);
    assert_eq!(rig.at(), "ask_doctor");
    assert_eq!(rig.value("intent"), "book");

    let mut rig = Rig::front_desk();
    for again in 0..2 {
        rig.says("my knee hurts terribly").scores(0, 0.3);
        assert_eq!(rig.at(), "help", "{again}");
        assert!(rig.lines()[0].starts_with("I am sorry, I did not catch that."));
    }
    rig.says("my knee hurts terribly").scores(0, 0.3);
    assert_eq!(rig.at(), "colleague");
}

#[test]
fn a_silent_caller_is_asked_twice_and_then_left() {
    let mut rig = Rig::front_desk();
    for count in 1..=2 {
        rig.input(FlowInput::Idle { count });
        assert!(rig.lines()[0].starts_with("Are you still there?"));
    }
    rig.input(FlowInput::Idle { count: 3 });
    assert!(rig.lines()[0].ends_with("Please call again. Goodbye."));
    assert_eq!(rig.hears_all().hung_up(), Some(EndReason::CallerSilent));
}
