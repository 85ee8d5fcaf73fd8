//! The starter model against the golden values that came with it, and against its own clips;
//! and how a folder that is not sound is refused.

use candle_core::Tensor;
use serde::Deserialize;

use super::*;
use crate::whisper::decoder::Feed;
use crate::whisper::rules::log_prob;

#[derive(Deserialize)]
struct Golden {
    clips: Vec<GoldenClip>,
}

#[derive(Deserialize)]
struct GoldenClip {
    file: String,
    prompt_ids: Vec<u32>,
    token_ids: Vec<u32>,
    text: String,
    mel: Statistics,
    encoder: Statistics,
    encoder_frame0_first8: Vec<f32>,
    encoder_frame100_first8: Vec<f32>,
    first_step_top10: Vec<GoldenLogit>,
    probability_after_startoftranscript: std::collections::HashMap<String, f32>,
}

#[derive(Deserialize)]
struct GoldenLogit {
    id: usize,
    logit: f32,
}

#[derive(Debug, Deserialize)]
struct Statistics {
    shape: Vec<usize>,
    mean: f64,
    std: f64,
    l2: f64,
    min: f64,
    max: f64,
}

fn golden() -> Vec<GoldenClip> {
    let text = std::fs::read_to_string(folder().join("golden.json")).unwrap();
    let golden: Golden = serde_json::from_str(&text).unwrap();
    assert!(!golden.clips.is_empty());
    golden.clips
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found}, expected {expected}"
    );
}

fn check(values: &[f32], expected: &Statistics, tolerance: f64, what: &str) {
    let n = values.len() as f64;
    let wide = || values.iter().map(|v| f64::from(*v));
    let mean = wide().sum::<f64>() / n;
    let variance = wide().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let l2 = wide().map(|v| v * v).sum::<f64>().sqrt();
    assert_eq!(values.len(), expected.shape.iter().product::<usize>());
    close(mean, expected.mean, tolerance, &format!("{what} mean"));
    close(
        variance.sqrt(),
        expected.std,
        tolerance,
        &format!("{what} std"),
    );
    close(l2, expected.l2, tolerance * n.sqrt(), &format!("{what} l2"));
    let (min, max) = wide().fold((f64::MAX, f64::MIN), |(min, max), v| {
        (min.min(v), max.max(v))
    });
    close(min, expected.min, 10.0 * tolerance, &format!("{what} min"));
    close(max, expected.max, 10.0 * tolerance, &format!("{what} max"));
}

#[test]
fn features_equal_the_reference_extractor() {
    let whisper = starter();
    for clip in golden() {
        let features = whisper.mel.features(&read_wav(&clip.file), whisper.frames);
        check(&features.unwrap(), &clip.mel, 1e-5, &clip.file);
    }
}

fn encode(whisper: &Whisper, file: &str) -> Tensor {
    let features = whisper.mel.features(&read_wav(file), whisper.frames);
    whisper
        .encoder
        .forward(&[&features.unwrap()], whisper.frames)
        .unwrap()
}

#[test]
fn the_encoder_equals_the_reference() {
    let whisper = starter();
    for clip in golden() {
        let encoded = encode(&whisper, &clip.file).squeeze(0).unwrap();
        let flat = encoded.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        check(&flat, &clip.encoder, 1e-3, &clip.file);
        let rows = encoded.to_vec2::<f32>().unwrap();
        for (row, expected) in [
            (0, &clip.encoder_frame0_first8),
            (100, &clip.encoder_frame100_first8),
        ] {
            for (found, expected) in rows[row].iter().zip(expected) {
                close((*found).into(), (*expected).into(), 2e-3, &clip.file);
            }
        }
    }
}

#[test]
fn the_first_step_equals_the_reference() {
    let whisper = starter();
    for clip in golden() {
        let encoded = encode(&whisper, &clip.file);
        let mut slots = whisper.decoder.slots(1).unwrap();
        whisper.decoder.listen(&mut slots, &encoded, &[0]).unwrap();
        let prompt = &clip.prompt_ids;
        let feed = Feed {
            slot: 0,
            tokens: prompt,
            wanted: &[0, prompt.len() - 1],
        };
        let logits = whisper.decoder.step(&mut slots, &[feed]).unwrap();
        let logits: Vec<Vec<f32>> = logits.into_rows().collect();
        assert_eq!(whisper.vocabulary.start(), prompt[0]);
        assert_eq!(
            whisper.vocabulary.heard_language(&logits[0]),
            Some(prompt[1])
        );
        let task: Vec<u32> = whisper.vocabulary.task(false).collect();
        assert_eq!(task, prompt[2..]);
        let silence = log_prob(&logits[0], whisper.vocabulary.no_speech.unwrap()).exp();
        let expected = clip.probability_after_startoftranscript["<|nospeech|>"];
        close(silence.into(), expected.into(), 1e-3, &clip.file);
        for expected in &clip.first_step_top10 {
            let found = logits[1][expected.id];
            close(found.into(), expected.logit.into(), 5e-3, &clip.file);
        }
    }
}

#[test]
fn the_text_equals_the_reference() {
    let whisper = starter();
    for clip in golden() {
        let found = whisper
            .transcribe(&read_wav(&clip.file), &full_window())
            .unwrap();
        assert_eq!(found.tokens, clip.token_ids, "{}", clip.file);
        assert_eq!(found.text, clip.text);
        assert!(found.mean_log_prob <= 0.0 && found.mean_log_prob > -5.0);
        assert!((0.0..0.5).contains(&found.no_speech_prob));
    }
}

/// Substitutions, insertions and deletions.
pub(super) fn word_errors(reference: &str, heard: &str) -> usize {
    let heard: Vec<&str> = heard.split_whitespace().collect();
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (r, word) in reference.split_whitespace().enumerate() {
        let mut diagonal = row[0];
        row[0] = r + 1;
        for h in 0..heard.len() {
            let substituted = diagonal + usize::from(heard[h] != word);
            diagonal = row[h + 1];
            row[h + 1] = substituted.min(row[h] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()]
}

#[test]
pub(super) fn word_errors_are_counted() {
    assert_eq!(word_errors("a b c", "a b c"), 0);
    assert_eq!(word_errors("a b c", "a x c d"), 2);
    assert_eq!(word_errors("a b c", ""), 3);
}

/// Clips with their words, and what the reference implementation heard.
pub(super) fn clips() -> Vec<(String, String, String)> {
    let table = std::fs::read_to_string(folder().join("clips/transcripts.tsv")).unwrap();
    let mut lines = table
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|field| *field == name).unwrap();
    let (file, text, heard) = (column("file"), column("text"), column("model_output"));
    lines
        .map(|row| {
            (
                format!("clips/{}", row[file]),
                row[text].to_owned(),
                row.get(heard).copied().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

#[test]
fn a_window_as_long_as_the_utterance_hears_as_well_as_the_full_one() {
    let whisper = starter();
    let short_window = WhisperOptions {
        full_window: false,
        ..full_window()
    };
    let (mut words, mut reference, mut full, mut short) = (0, 0, 0, 0);
    for (file, text, heard) in clips() {
        let pcm = read_wav(&file);
        let hear = |options: WhisperOptions| whisper.transcribe(&pcm, &options).unwrap().text;
        words += text.split_whitespace().count();
        reference += word_errors(&text, &heard);
        full += word_errors(&text, &hear(full_window()));
        short += word_errors(&text, &hear(short_window.clone()));
    }
    let percent = |errors: usize| 100.0 * errors as f64 / words as f64;
    let (reference, full, short) = (percent(reference), percent(full), percent(short));
    println!("word errors: reference {reference:.1} %, full {full:.1} %, short {short:.1} %");
    assert!(
        full <= reference + 2.0,
        "{full:.1} % against {reference:.1} %"
    );
    assert!(short <= full + 2.0, "{short:.1} % against {full:.1} %");
}

#[test]
fn silence_has_no_text() {
    let heard = starter()
        .transcribe(&[0.0; 16_000], &full_window())
        .unwrap();
    assert_eq!(heard.text, "");
    let nothing = starter().transcribe(&[], &WhisperOptions::default());
    assert_eq!(nothing.unwrap().text, "");
}

#[test]
fn audio_longer_than_the_window_is_heard_in_parts() {
    let whisper = starter();
    let clip = &golden()[0];
    let mut pcm = Vec::new();
    while pcm.len() < 20 * SAMPLE_RATE_HZ {
        pcm.extend(read_wav(&clip.file));
        pcm.extend([0.0; 8_000]);
    }
    let options = WhisperOptions {
        guards: Guards::once(),
        ..WhisperOptions::default()
    };
    let hear = |pcm: &[f32]| whisper.transcribe(pcm, &options).unwrap();
    let whole = hear(&pcm);
    let parts = split::split(&pcm, whisper.frames * HOP);
    let texts: Vec<String> = parts.iter().map(|part| hear(part).text).collect();
    assert!(parts.len() > 1 && whole.text.starts_with(&texts[0]));
    assert_eq!(whole.text, texts.join(" "));
    assert!(whole.tokens.len() > clip.token_ids.len());
}

#[test]
fn a_language_that_the_model_lacks_is_refused() {
    let options = WhisperOptions {
        language: Some("xx".to_owned()),
        ..WhisperOptions::default()
    };
    let error = starter().transcribe(&[0.0; 16_000], &options).unwrap_err();
    assert_eq!(error.to_string(), "the model does not know the language xx");
}

/// A copy of the starter folder in which a test may spoil a file.
fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    copy
}

fn load_error(folder: &std::path::Path) -> String {
    let error = Whisper::load(folder, &Device::Cpu).err().unwrap();
    error.to_string()
}

#[test]
fn a_truncated_weights_file_is_named() {
    let copy = copy();
    let file = copy.path().join("model.safetensors");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let error = load_error(copy.path());
    assert!(error.contains("model.safetensors is damaged"), "{error}");
}

#[test]
fn a_missing_tensor_is_named() {
    let copy = copy();
    let config = copy.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["decoder_layers"] = (json["decoder_layers"].as_u64().unwrap() + 1).into();
    std::fs::write(&config, json.to_string()).unwrap();
    let error = load_error(copy.path());
    assert!(
        error.contains("model.safetensors has no tensor model.decoder.layers."),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let copy = copy();
    std::fs::remove_file(copy.path().join("tokenizer.json")).unwrap();
    let error = load_error(copy.path());
    assert!(error.contains("tokenizer.json"), "{error}");
}
