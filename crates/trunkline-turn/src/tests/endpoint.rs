//! When a turn ends, by the words, the kind of answer and the caller's pauses together.

use super::*;
use crate::{DigitCount, Fused, TurnPreset};

fn fused(preset: TurnPreset) -> Rig {
    let settings = TurnSettings::of(preset);
    let mut rig = Rig::with(settings.clone());
    rig.core = TurnCore::with_endpoint(settings, Box::new(Fused::for_language("en")));
    rig
}

impl Rig {
    /// A transcript of all that was spoken so far.
    fn words(&mut self, utterance: u32, text: &str) -> &mut Self {
        let until = self.now;
        self.input(TurnInput::Partial {
            utterance: UtteranceId(utterance),
            text: text.to_owned(),
            until,
        })
    }

    fn expect_digits(&mut self, least: u32, most: u32) -> &mut Self {
        self.input(TurnInput::Expect(Expectation {
            kind: AnswerKind::Digits,
            digits: Some(DigitCount { least, most }),
            ..Expectation::default()
        }))
    }

    fn turns(&self) -> usize {
        let ends = self.names().into_iter().filter(|name| *name == "end");
        ends.count()
    }
}

#[test]
fn a_whole_answer_is_answered_soon_and_half_a_sentence_waited_for() {
    let ended = |text: &str| {
        let mut rig = fused(TurnPreset::Balanced);
        rig.voice(1_000).silence(160).words(0, text).silence(3_000);
        rig.at("end").unwrap() - 1_000
    };
    assert_eq!(ended("the first one please"), 300);
    assert_eq!(ended("the first one"), 600);
    assert_eq!(ended("i would like the"), 1_400);
}

#[test]
fn words_that_came_before_the_last_sound_decide_nothing() {
    let mut rig = fused(TurnPreset::Balanced);
    rig.voice(600)
        .words(0, "yes please")
        .voice(400)
        .silence(3_000);
    assert_eq!(rig.at("end"), Some(1_600));
    let mut rig = fused(TurnPreset::Balanced);
    rig.voice(600)
        .words(0, "i want the")
        .voice(400)
        .silence(3_000);
    assert_eq!(rig.at("end"), Some(1_600));
}

#[test]
fn a_number_that_is_read_out_is_never_cut_and_ends_with_its_last_digit() {
    for preset in [
        TurnPreset::Brisk,
        TurnPreset::Balanced,
        TurnPreset::Patient,
        TurnPreset::Digits,
    ] {
        let mut rig = fused(preset);
        rig.expect_digits(8, 8);
        for (group, text) in ["oh two", "oh two nine nine", "oh two nine nine one eight"]
            .into_iter()
            .enumerate()
        {
            rig.voice(600).silence(160).words(0, text).silence(780);
            assert_eq!(rig.turns(), 0, "{preset:?}, group {group}");
        }
        rig.voice(600)
            .silence(160)
            .words(0, "oh two nine nine one eight three six");
        let last = rig.now.as_millis() - 160;
        rig.silence(3_000);
        let soon = TurnSettings::of(preset).complete_silence_ms;
        assert_eq!(rig.at("end"), Some(last + u64::from(soon)), "{preset:?}");
    }
}

#[test]
fn a_telephone_number_is_not_cut_where_anything_may_be_said() {
    let mut rig = fused(TurnPreset::Balanced);
    rig.voice(1_000)
        .silence(160)
        .words(0, "you can reach me on 0299")
        .silence(900);
    rig.voice(1_000);
    assert_eq!(rig.turns(), 0);
}

#[test]
fn a_caller_who_pauses_for_long_is_given_the_time() {
    let mut rig = fused(TurnPreset::Balanced);
    for _ in 0..4 {
        rig.voice(500).silence(540);
    }
    rig.voice(500).silence(640);
    assert_eq!(rig.turns(), 0, "cut off after {:?}", rig.heard.last());
    rig.silence(1_000);
    assert_eq!(rig.turns(), 1);
    // One who was cut off, and went on, is given more the next time.
    let mut rig = fused(TurnPreset::Brisk);
    for _ in 0..4 {
        rig.voice(500).silence(740);
    }
    assert_eq!(rig.turns(), 3, "the fourth pause is waited out");
}

#[test]
fn presets_go_from_brisk_to_patient_and_work() {
    let order = [TurnPreset::Brisk, TurnPreset::Balanced, TurnPreset::Patient];
    let silences = order.map(|preset| {
        let settings = TurnSettings::of(preset);
        settings.check().unwrap();
        [
            settings.complete_silence_ms,
            settings.end_silence_ms,
            settings.digits_end_silence_ms,
            settings.incomplete_silence_ms,
        ]
    });
    assert!(silences.is_sorted_by(|a, b| a.iter().zip(b).all(|(a, b)| a < b)));
    TurnSettings::of(TurnPreset::Digits).check().unwrap();
}
