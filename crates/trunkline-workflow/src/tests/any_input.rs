//! Whatever a caller, a model or a driver does, the interpreter neither panics nor runs on.

use proptest::prelude::*;
use trunkline_types::{CallTime, Digit};

use super::rig::Rig;
use crate::{FlowInput, FlowOutput, Workflow};

/// More outputs than this for one input would be a circle.
const MOST_OUTPUTS: usize = 64;

fn words() -> impl Strategy<Value = String> {
    let vocabulary = [
        "book",
        "cancel",
        "doctor",
        "patel",
        "morgan",
        "wednesday",
        "friday",
        "yes",
        "no",
        "parking",
        "four",
        "seven",
        "two",
        "nine",
        "goodbye",
        "person",
        "the",
        "hello",
        "zebra",
        "4729",
        "ü",
    ];
    prop::collection::vec(prop::sample::select(vocabulary.to_vec()), 0..6)
        .prop_map(|words| words.join(" "))
}

fn input() -> impl Strategy<Value = FlowInput> {
    prop_oneof![
        4 => words().prop_map(|text| FlowInput::CallerSaid { text }),
        1 => words().prop_map(|text| FlowInput::CallerContinued { text }),
        3 => (0_u8..16).prop_filter_map("a key", |code| {
            Some(FlowInput::Digit { digit: Digit::from_event(code)? })
        }),
        1 => (0_u32..5).prop_map(|count| FlowInput::Idle { count }),
        2 => (0_u32..6, 0_usize..9, prop::collection::vec(0.0_f32..1.0, 0..9)).prop_map(
            |(request, best, probabilities)| FlowInput::Chosen { request, best, probabilities }
        ),
        2 => (0_u32..6, words()).prop_map(|(request, text)| FlowInput::Generated { request, text }),
        1 => (0_u32..6).prop_map(|request| FlowInput::ModelFailed { request }),
        2 => (0_u32..12, words(), any::<bool>()).prop_map(|(line, heard, interrupted)| {
            FlowInput::LineDone { line, heard, interrupted }
        }),
        1 => Just(FlowInput::Clock),
        1 => Just(FlowInput::Started),
    ]
}

fn run(inputs: &[FlowInput]) -> Vec<Vec<FlowOutput>> {
    let mut rig = Rig::front_desk();
    inputs
        .iter()
        .zip(1..)
        .map(|(input, second)| {
            rig.now = CallTime::from_millis(second * 1_000);
            rig.input(input.clone());
            rig.out.clone()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_inputs_runs_on_or_speaks_after_the_end(
        inputs in prop::collection::vec(input(), 0..40)
    ) {
        let mut over = false;
        for outputs in run(&inputs) {
            prop_assert!(outputs.len() <= MOST_OUTPUTS);
            prop_assert!(!over || outputs.is_empty());
            over |= outputs.iter().any(|output| matches!(output, FlowOutput::Hangup { .. }));
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(inputs in prop::collection::vec(input(), 0..40)) {
        prop_assert_eq!(run(&inputs), run(&inputs));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}", cut in 0_usize..20_000) {
        let _ = Workflow::parse(&text);
        let whole = super::front_desk::FRONT_DESK;
        let _ = Workflow::parse(&whole[..cut.min(whole.len())]);
        let mended = whole.replacen('"', &text, cut % 7);
        let _ = Workflow::parse(&mended);
    }
}
