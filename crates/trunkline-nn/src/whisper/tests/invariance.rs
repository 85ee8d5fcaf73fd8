//! What a row gives depends on nothing but its window and its options, whatever joins, leaves
//! or is cancelled beside it.

use std::collections::BTreeMap;

use super::*;
use crate::whisper::decoder::Feed;
use crate::whisper::random::Random;

/// A model of the fixtures, and options under which it says something long and uneven.
fn model(name: &str) -> Whisper {
    Whisper::load(&fixture(name), &Device::Cpu).unwrap()
}

fn options(random: &mut Random) -> WhisperOptions {
    let languages = [Some("en"), Some("fr"), None];
    let pick = |n: usize, random: &mut Random| (random.unit() * n as f64) as usize;
    WhisperOptions {
        language: languages[pick(3, random)].map(str::to_owned),
        time_marks: pick(2, random) == 0,
        words: pick(3, random) == 0,
        prompt: (pick(3, random) == 0).then(|| "w4 w8 w15 w16".to_owned()),
        exact_tokens: (pick(4, random) > 0).then(|| 1 + pick(30, random)),
        guards: Guards {
            temperatures: [vec![0.0], vec![0.0, 0.7], vec![1.0]][pick(3, random)].clone(),
            ..Guards::default()
        },
        seed: pick(1000, random) as u64,
        ..WhisperOptions::default()
    }
}

fn same(found: &Passage, alone: &Passage) {
    assert_eq!(found.tokens, alone.tokens);
    assert_eq!(found.text, alone.text);
    assert_eq!(found.language, alone.language);
    assert_eq!(found.segments.len(), alone.segments.len());
    for (found, alone) in found.segments.iter().zip(&alone.segments) {
        let times = |segment: &Segment| -> Vec<_> {
            let words = segment.words.iter();
            words.map(|word| (word.start, word.end)).collect()
        };
        assert_eq!(times(found), times(alone));
    }
    assert!((found.log_prob - alone.log_prob).abs() < 1e-4 * (1.0 + alone.log_prob.abs()));
}

#[test]
fn logits_of_a_row_among_others_equal_those_of_the_row_alone() {
    for name in ["tiny", "turbo", "english"] {
        let model = model(name);
        let mels = model.mel.mels();
        let windows: Vec<Window> = (0..7).map(|n| window(mels, 120, n)).collect();
        let prompt = [model.vocabulary.start(), 1, 2, 3];
        let features: Vec<&[f32]> = windows.iter().map(|w| w.features.as_slice()).collect();
        let run = |features: &[&[f32]], into: &[usize]| -> Vec<Vec<f32>> {
            let mut slots = model.decoder.slots(9).unwrap();
            let encoded = model.encoder.forward(features, 120).unwrap();
            model.decoder.listen(&mut slots, &encoded, into).unwrap();
            let feeds: Vec<Feed<'_>> = into
                .iter()
                .map(|slot| Feed {
                    slot: *slot,
                    tokens: &prompt,
                    wanted: &[3],
                })
                .collect();
            let logits = model.decoder.step(&mut slots, &feeds).unwrap();
            logits.into_rows().collect()
        };
        let together = run(&features, &[8, 0, 3, 1, 7, 5, 2]);
        for (n, row) in together.iter().enumerate() {
            let alone = &run(&features[n..=n], &[n])[0];
            let off = row
                .iter()
                .zip(alone)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(off <= 1e-5, "{name} row {n}: {off:e}");
        }
    }
}

#[test]
fn rows_that_join_leave_and_are_cancelled_change_nothing_for_the_others() {
    let model = model("tiny");
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let mut rows = model.rows(4).unwrap();
        let mut open: BTreeMap<RowId, (Window, WhisperOptions)> = BTreeMap::new();
        let mut joined = 0;
        let mut compared = 0;
        while joined < 24 || rows.active() > 0 {
            let wants = (random.unit() * 4.0) as usize;
            let count = wants.min(rows.free()).min(24 - joined);
            let frames = [120, 160, 200][(random.unit() * 3.0) as usize];
            let fresh: Vec<_> = (0..count)
                .map(|n| {
                    (
                        window(80, frames, (joined + n) as u32),
                        options(&mut random),
                    )
                })
                .collect();
            let refs = fresh.iter().map(|(w, o)| (w, o.clone())).collect();
            let ids = model.join(&mut rows, refs).unwrap();
            open.extend(ids.into_iter().map(Result::unwrap).zip(fresh));
            joined += count;
            if random.unit() < 0.04 {
                let n = (random.unit() * open.len() as f64) as usize;
                if let Some(id) = open.keys().nth(n).copied() {
                    rows.cancel(id);
                    open.remove(&id);
                }
            }
            assert_eq!(rows.active(), open.len());
            for (id, passage) in model.step(&mut rows).unwrap() {
                let (window, options) = open.remove(&id).unwrap();
                same(&passage.unwrap(), &alone(&model, &window, &options));
                rows.cancel(id);
                compared += 1;
            }
        }
        assert!(open.is_empty() && compared >= 8, "seed {seed}: {compared}");
    }
}

#[test]
fn more_windows_than_rows_are_refused_and_a_bad_option_fails_its_own_window() {
    let model = model("tiny");
    let mut rows = model.rows(2).unwrap();
    let sound = window(80, 120, 1);
    let options = WhisperOptions {
        exact_tokens: Some(3),
        guards: Guards::once(),
        ..WhisperOptions::default()
    };
    let unknown = WhisperOptions {
        language: Some("xx".to_owned()),
        ..WhisperOptions::default()
    };
    let too_many = vec![(&sound, options.clone()); 3];
    let error = model.join(&mut rows, too_many).err().unwrap();
    assert!(matches!(error, NnError::NoRoom { rows: 2 }));
    let longer = window(80, 160, 1);
    let differ = vec![(&sound, options.clone()), (&longer, options.clone())];
    let error = model.join(&mut rows, differ).err().unwrap();
    assert!(matches!(error, NnError::WindowsDiffer));
    assert_eq!(rows.active(), 0);
    let joined = model
        .join(&mut rows, vec![(&sound, unknown), (&sound, options)])
        .unwrap();
    assert!(matches!(joined[0], Err(NnError::UnknownLanguage { .. })));
    assert!(joined[1].is_ok());
    assert_eq!(rows.active(), 1);
}
