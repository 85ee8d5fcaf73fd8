//! Languages, time marks, words in time, another attempt, silence, and the custom dictionary.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;

fn tiny() -> Whisper {
    Whisper::load(&fixture("tiny"), &Device::Cpu).unwrap()
}

fn once() -> WhisperOptions {
    WhisperOptions {
        guards: Guards::once(),
        ..WhisperOptions::default()
    }
}

#[test]
fn the_language_that_was_not_asked_for_is_the_likeliest() {
    let model = tiny();
    let window = window(80, 200, 200);
    let asked = |language: &str| WhisperOptions {
        language: Some(language.to_owned()),
        ..once()
    };
    let heard = alone(&model, &window, &once());
    let language = heard.language.clone().unwrap();
    assert!(model.languages().contains(&language));
    let same = alone(&model, &window, &asked(&language));
    assert_eq!((same.tokens, same.text), (heard.tokens, heard.text));
    assert_eq!(same.no_speech_prob, heard.no_speech_prob);
    let regional = alone(&model, &window, &asked("fr-CA"));
    assert_eq!(regional.language.as_deref(), Some("fr"));
}

#[test]
fn time_marks_cut_the_text_into_segments_in_order() {
    let model = tiny();
    assert!(model.has_time_marks());
    let mut several = 0;
    for seed in 0..8 {
        let options = WhisperOptions {
            time_marks: true,
            exact_tokens: Some(40),
            ..once()
        };
        let passage = alone(&model, &window(80, 200, seed), &options);
        let marks = model.vocabulary.rules.marks.clone();
        assert!(marks.contains(&passage.tokens[0]));
        let said: Vec<u32> = passage
            .tokens
            .iter()
            .copied()
            .filter(|t| marks.contains(t))
            .collect();
        assert!(said.is_sorted());
        let mut last = Duration::ZERO;
        for segment in &passage.segments {
            assert!(segment.start >= last && segment.end >= segment.start);
            last = segment.end;
        }
        let texts: Vec<&str> = passage.segments.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts.join(" "), passage.text);
        several += usize::from(passage.segments.len() > 1);
    }
    assert!(several > 0);
}

#[test]
fn a_guess_is_tried_again_at_higher_temperatures_and_a_seed_repeats_it() {
    let model = tiny();
    let window = window(80, 200, 3);
    let hear = |seed| {
        let options = WhisperOptions {
            guards: Guards {
                temperatures: vec![0.0, 0.5, 1.0],
                min_mean_log_prob: 0.0,
                max_no_speech_prob: 1.0,
                ..Guards::default()
            },
            seed,
            ..WhisperOptions::default()
        };
        alone(&model, &window, &options)
    };
    assert_eq!(hear(1), hear(1));
    let texts: BTreeSet<String> = (0..6).map(|seed| hear(seed).text).collect();
    let temperatures: Vec<f32> = (0..6).map(|seed| hear(seed).temperature).collect();
    assert!(texts.len() > 1 || temperatures.iter().all(|t| *t == 0.0));
    let sure = WhisperOptions {
        guards: Guards {
            min_mean_log_prob: f32::NEG_INFINITY,
            max_compression_ratio: f32::INFINITY,
            ..Guards::default()
        },
        exact_tokens: Some(4),
        ..WhisperOptions::default()
    };
    assert_eq!(alone(&model, &window, &sure).temperature, 0.0);
}

#[test]
fn a_guess_at_silence_is_no_text() {
    let model = tiny();
    let window = window(80, 200, 3);
    assert_ne!(alone(&model, &window, &once()).text, "");
    let careful = WhisperOptions {
        guards: Guards {
            min_mean_log_prob: 0.0,
            max_no_speech_prob: 0.0,
            ..Guards::default()
        },
        ..WhisperOptions::default()
    };
    let passage = alone(&model, &window, &careful);
    assert_eq!(passage.text, "");
    assert!(passage.segments.is_empty() && passage.tokens.is_empty());
}

#[test]
fn text_that_came_before_fits_however_long_it_is() {
    let model = tiny();
    let window = window(80, 200, 3);
    let after = |text: String| {
        let options = WhisperOptions {
            prompt: Some(text),
            language: Some("en".to_owned()),
            ..once()
        };
        alone(&model, &window, &options)
    };
    let plain = after(String::new());
    let after_words = after("w1 w2 w3".to_owned());
    assert_ne!(plain.log_prob, after_words.log_prob);
    let long: Vec<String> = (0..500).map(|n| format!("w{}", n % 90)).collect();
    let end = long[500 - 39..].join(" ");
    assert_eq!(after(long.join(" ")), after(end));
}

#[test]
fn words_have_their_times_on_both_sides_of_a_pause() {
    let model = starter();
    let first = read_wav("clips/phrase_06.wav");
    let second = read_wav("clips/phrase_05.wav");
    let pause = vec![0.0; 16_000];
    let pcm = [first.as_slice(), &pause, &second].concat();
    assert!(pcm.len() < 10 * 16_000);
    let options = WhisperOptions {
        words: true,
        ..once()
    };
    let hear = |pcm: &[f32]| model.transcribe(pcm, &options).unwrap();
    let words = |heard: &Transcription| -> Vec<Word> {
        let segments = heard.segments.iter();
        segments.flat_map(|s| s.segment.words.clone()).collect()
    };
    let heard = hear(&pcm);
    let all = words(&heard);
    let texts: Vec<&str> = all.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(texts.join(" "), heard.text);
    assert!(all.is_sorted_by(|a, b| a.start <= b.start && a.end <= b.end));
    let seconds = |samples: usize| samples as f64 / 16_000.0;
    let (end, begin) = (seconds(first.len()), seconds(first.len() + pause.len()));
    let before = all
        .iter()
        .filter(|word| word.end.as_secs_f64() < begin + 0.2);
    let after = all
        .iter()
        .filter(|word| word.end.as_secs_f64() >= begin + 0.2);
    let (before, after): (Vec<_>, Vec<_>) = (before.collect(), after.collect());
    assert!(before.len() >= 4 && after.len() >= 2, "{all:?}");
    assert!(
        before
            .iter()
            .all(|word| word.start.as_secs_f64() < end + 0.1),
        "{before:?}"
    );
    assert!(
        after
            .iter()
            .all(|word| word.end.as_secs_f64() <= seconds(pcm.len()) + 0.02)
    );
    assert!(
        all.iter()
            .all(|word| (0.0..=1.0).contains(&word.probability))
    );
}

#[test]
fn long_audio_has_segments_in_the_order_of_time() {
    let model = starter();
    let clip = read_wav("clips/phrase_06.wav");
    let pause = vec![0.0; 8_000];
    let pcm: Vec<f32> = (0..12)
        .flat_map(|_| [clip.as_slice(), &pause].concat())
        .collect();
    let options = WhisperOptions {
        words: true,
        ..once()
    };
    let heard = model.transcribe(&pcm, &options).unwrap();
    let parts = model.parts(&pcm);
    assert!(parts.len() > 3);
    assert_eq!(heard.segments.len(), parts.len());
    let mut offset = 0;
    for (part, segment) in parts.iter().zip(&heard.segments) {
        let at = |samples: usize| Duration::from_secs_f64(samples as f64 / 16_000.0);
        let segment = &segment.segment;
        assert!(segment.start.abs_diff(at(offset)) < Duration::from_millis(1));
        offset += part.len();
        assert!(segment.end.abs_diff(at(offset)) < Duration::from_millis(1));
        let near = |time: Duration| {
            time >= segment.start && time <= segment.end + Duration::from_millis(20)
        };
        assert!(
            segment
                .words
                .iter()
                .all(|word| near(word.start) && near(word.end))
        );
    }
    // The starter model was trained on one phrase a window, and says a repeated one once.
    let phrases = heard.text.matches("account").count();
    assert!(phrases >= parts.len(), "{}", heard.text);
}

/// Words of a text, and what the model makes of the clip.
fn errors_and_terms(
    heard: impl Fn(&[f32]) -> String,
    terms: &BTreeSet<String>,
    clips: &[(Vec<f32>, String)],
) -> (usize, usize) {
    let mut found = (0, 0);
    for (pcm, text) in clips {
        let heard = heard(pcm);
        found.0 += super::starter::word_errors(text, &heard);
        let said: Vec<&str> = heard.split(' ').collect();
        let own = text.split(' ').filter(|word| terms.contains(*word));
        found.1 += own.filter(|word| said.contains(word)).count();
    }
    found
}

#[test]
fn a_dictionary_brings_out_words_that_are_otherwise_misheard_and_no_others() {
    let model = starter();
    let clips: Vec<(Vec<f32>, String)> = super::starter::clips()
        .into_iter()
        .map(|(file, text, _)| (read_wav(&file), text))
        .collect();
    let hear = |pcm: &[f32], options: &WhisperOptions| model.transcribe(pcm, options).unwrap().text;
    // What a line would list: its longer words that this model does not get by itself.
    let mut terms = BTreeSet::new();
    for (pcm, text) in &clips {
        let heard = hear(pcm, &once());
        let words = text.split(' ').filter(|word| word.len() > 5);
        terms.extend(
            words
                .filter(|word| !heard.contains(word))
                .map(str::to_owned),
        );
    }
    assert!(terms.len() > 5, "{terms:?}");
    let phrases: Vec<String> = terms.iter().cloned().collect();
    let with = WhisperOptions {
        dictionary: Some(Arc::new(model.dictionary(&phrases).unwrap())),
        ..once()
    };
    let before = errors_and_terms(|pcm| hear(pcm, &once()), &terms, &clips);
    let after = errors_and_terms(|pcm| hear(pcm, &with), &terms, &clips);
    println!(
        "{terms:?}: errors {} to {}, terms {} to {}",
        before.0, after.0, before.1, after.1
    );
    assert!(
        after.1 >= before.1 + terms.len() / 3,
        "{before:?} {after:?}"
    );
    assert!(after.0 < before.0, "{before:?} {after:?}");
}
