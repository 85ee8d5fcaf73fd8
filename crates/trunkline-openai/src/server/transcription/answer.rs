//! A transcript in the form that was asked for.

use std::time::Duration;

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use trunkline_inference::{TranscriptDetail, TranscriptSegment, TranscriptWord};

use super::form::{AnswerFormat, Form};
use crate::wire::{Transcript, WireSegment, WireWord};

/// What was heard.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) mean_log_prob: f32,
    pub(super) no_speech_prob: f32,
    pub(super) detail: TranscriptDetail,
    pub(super) audio: Duration,
}

impl Heard {
    /// The parts with their times. Where the model gives none, the whole is one part.
    fn parts(&self) -> Vec<TranscriptSegment> {
        if !self.detail.segments.is_empty() || self.text.is_empty() {
            return self.detail.segments.clone();
        }
        vec![TranscriptSegment {
            text: self.text.clone(),
            start: Duration::ZERO,
            end: self.audio,
            mean_log_prob: self.mean_log_prob,
            no_speech_prob: self.no_speech_prob,
            ..TranscriptSegment::default()
        }]
    }
}

/// The answer.
pub(super) fn answer(form: &Form, heard: Heard) -> Response {
    match form.format {
        AnswerFormat::Json => Json(Transcript {
            text: heard.text,
            ..Transcript::default()
        })
        .into_response(),
        AnswerFormat::Text => plain("text/plain; charset=utf-8", format!("{}\n", heard.text)),
        AnswerFormat::VerboseJson => Json(verbose(form, &heard)).into_response(),
        AnswerFormat::Srt => plain("application/x-subrip; charset=utf-8", srt(&heard.parts())),
        AnswerFormat::Vtt => plain("text/vtt; charset=utf-8", vtt(&heard.parts())),
    }
}

fn plain(kind: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn verbose(form: &Form, heard: &Heard) -> Transcript {
    let parts = heard.parts();
    let words = parts.iter().flat_map(|part| part.words.iter().map(word));
    let segments = parts.iter().enumerate().map(segment);
    Transcript {
        text: heard.text.clone(),
        task: Some("transcribe".to_owned()),
        language: heard
            .detail
            .language
            .clone()
            .or_else(|| form.language.clone()),
        duration: Some(heard.audio.as_secs_f64()),
        words: form.words.then(|| words.collect()),
        segments: form.segments.then(|| segments.collect()),
    }
}

fn word(word: &TranscriptWord) -> WireWord {
    WireWord {
        word: word.text.clone(),
        start: word.start.as_secs_f64(),
        end: word.end.as_secs_f64(),
        probability: Some(word.probability),
    }
}

fn segment((id, part): (usize, &TranscriptSegment)) -> WireSegment {
    WireSegment {
        id,
        start: part.start.as_secs_f64(),
        end: part.end.as_secs_f64(),
        text: part.text.clone(),
        avg_logprob: part.mean_log_prob,
        no_speech_prob: part.no_speech_prob,
        tokens: part.tokens.clone(),
        temperature: part.temperature,
        // Zero is what a model leaves that does not tell.
        compression_ratio: (part.compression_ratio > 0.0).then_some(part.compression_ratio),
        ..WireSegment::default()
    }
}

/// SubRip: numbered cues, times with a comma.
pub(super) fn srt(parts: &[TranscriptSegment]) -> String {
    let cue = |(index, part): (usize, &TranscriptSegment)| {
        let (start, end) = (clock(part.start, ','), clock(part.end, ','));
        format!("{}\n{start} --> {end}\n{}\n\n", index + 1, part.text)
    };
    parts.iter().enumerate().map(cue).collect()
}

/// WebVTT: a head, times with a point. `-->` and `<` mean something in it.
pub(super) fn vtt(parts: &[TranscriptSegment]) -> String {
    let cue = |part: &TranscriptSegment| {
        let (start, end) = (clock(part.start, '.'), clock(part.end, '.'));
        let text = part.text.replace('&', "&amp;").replace('<', "&lt;");
        let text = text.replace('>', "&gt;");
        format!("{start} --> {end}\n{text}\n\n")
    };
    format!("WEBVTT\n\n{}", parts.iter().map(cue).collect::<String>())
}

/// `00:00:01,250`.
fn clock(time: Duration, point: char) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}{point}{millis:03}",
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str, start_ms: u64, end_ms: u64) -> TranscriptSegment {
        TranscriptSegment {
            text: text.to_owned(),
            start: Duration::from_millis(start_ms),
            end: Duration::from_millis(end_ms),
            mean_log_prob: -0.1,
            ..TranscriptSegment::default()
        }
    }

    #[test]
    fn subtitles_are_as_players_read_them() {
        let parts = [
            part("I want two < three.", 0, 1250),
            part("Yes.", 3_661_002, 3_662_000),
        ];
        assert_eq!(
            srt(&parts),
            "1\n00:00:00,000 --> 00:00:01,250\nI want two < three.\n\n\
             2\n01:01:01,002 --> 01:01:02,000\nYes.\n\n"
        );
        assert_eq!(
            vtt(&parts),
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nI want two &lt; three.\n\n\
             01:01:01.002 --> 01:01:02.000\nYes.\n\n"
        );
    }

    #[test]
    fn a_transcript_without_times_is_one_part_and_silence_is_none() {
        let mut heard = Heard {
            text: "hello".to_owned(),
            mean_log_prob: -0.5,
            no_speech_prob: 0.1,
            detail: TranscriptDetail::default(),
            audio: Duration::from_secs(2),
        };
        let parts = heard.parts();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].end, Duration::from_secs(2));
        heard.text.clear();
        assert!(heard.parts().is_empty());
    }
}
