//! Measuring tools, not models: a transcriber, a language model and a voice that take no time.
//!
//! Configured by the name `instant`, they show what the platform itself adds to a turn, and
//! they let a test place hundreds of calls without paying for inference. What they say is
//! fixed, so that a test can check audio by signal: the voice is a 440 Hz tone.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use trunkline_inference::{
    ChatDelta, ChatModel, ChatRequest, ChatStream, ChoiceRequest, ChoiceResult, FinishReason,
    InferenceError, ModelInfo, PendingChoice, SAMPLE_RATE_HZ, SpeechEvent, SpeechRequest,
    SpeechStream, Synthesizer, TranscribeOptions, Transcriber, TranscriberInput, TranscriptDetail,
    TranscriptEvent, TranscriptionSession,
};

use crate::EngineError;
use crate::sessions::Sessions;

/// The name in the configuration.
pub const NAME: &str = "instant";
/// What the transcriber hears when nothing else is configured.
pub const DEFAULT_TRANSCRIPT: &str = "instant words";
/// What the language model replies when nothing else is configured.
pub const DEFAULT_REPLY: &str = "Instant reply.";
/// Pitch of the voice.
pub const TONE_HZ: f64 = 440.0;
/// A quarter of full scale: −12 dBFS.
pub const TONE_AMPLITUDE: f64 = 32_767.0 / 4.0;
/// How long the voice sounds for each word.
pub const TONE_PER_WORD: Duration = Duration::from_millis(60);

fn info() -> ModelInfo {
    ModelInfo {
        name: NAME.to_owned(),
        engine: NAME.to_owned(),
    }
}

/// Hears the same text in every utterance.
#[derive(Debug)]
pub struct InstantTranscriber {
    text: Arc<str>,
    sessions: Sessions,
}

impl InstantTranscriber {
    /// A transcriber that hears `text`.
    ///
    /// # Errors
    /// [`EngineError::Start`] when the thread that serves the sessions cannot be started.
    pub fn new(text: &str) -> Result<Self, EngineError> {
        Ok(Self {
            text: text.into(),
            sessions: Sessions::start(NAME)?,
        })
    }
}

impl Transcriber for InstantTranscriber {
    fn info(&self) -> ModelInfo {
        info()
    }

    fn open(&self, options: TranscribeOptions) -> Result<TranscriptionSession, InferenceError> {
        self.capabilities().check(NAME, &options)?;
        let (audio, mut heard) = mpsc::unbounded_channel();
        let (events, text_out) = mpsc::unbounded_channel();
        let text = Arc::clone(&self.text);
        self.sessions.spawn(async move {
            let mut samples = 0_usize;
            while let Some(input) = heard.recv().await {
                match input {
                    TranscriberInput::Audio(pcm) => samples += pcm.len(),
                    TranscriberInput::Finish => break,
                }
            }
            // A session that was dropped without an end gets a final that nobody reads.
            let _ = events.send(TranscriptEvent::Final {
                text: text.to_string(),
                mean_log_prob: 0.0,
                no_speech_prob: 0.0,
                audio: duration_of(samples),
                compute: Duration::ZERO,
                detail: TranscriptDetail::default(),
            });
        });
        Ok(TranscriptionSession {
            audio,
            events: text_out,
        })
    }
}

/// Replies the same text, and chooses the first option.
#[derive(Debug, Clone)]
pub struct InstantChat {
    reply: Arc<str>,
}

impl InstantChat {
    /// A language model that says `reply`.
    pub fn new(reply: &str) -> Self {
        Self {
            reply: reply.into(),
        }
    }
}

impl ChatModel for InstantChat {
    fn info(&self) -> ModelInfo {
        info()
    }

    fn generate(&self, request: ChatRequest) -> Result<ChatStream, InferenceError> {
        self.capabilities().check(NAME, &request)?;
        let (sender, deltas) = mpsc::unbounded_channel();
        // The receiver is in our hand, so nothing of this can fail.
        let _ = sender.send(ChatDelta::Text(self.reply.to_string()));
        let _ = sender.send(ChatDelta::Done {
            finish: FinishReason::Stop,
            prompt_tokens: request.messages.len(),
            cached_tokens: 0,
            reply_tokens: self.reply.split_whitespace().count(),
            first_token: Duration::ZERO,
            compute: Duration::ZERO,
        });
        Ok(ChatStream { deltas })
    }

    fn choose(&self, request: ChoiceRequest) -> Result<PendingChoice, InferenceError> {
        if request.options.is_empty() {
            return Err(InferenceError::BadRequest {
                model: NAME.to_owned(),
                reason: "there is nothing to choose from".to_owned(),
            });
        }
        let mut probabilities = vec![0.0; request.options.len()];
        probabilities[0] = 1.0;
        let (sender, choice) = oneshot::channel();
        let _ = sender.send(Ok(ChoiceResult {
            best: 0,
            probabilities,
            compute: Duration::ZERO,
        }));
        Ok(choice)
    }
}

/// Sounds a tone of 60 ms a word instead of speaking.
#[derive(Debug, Clone, Copy, Default)]
pub struct InstantVoice;

impl Synthesizer for InstantVoice {
    fn info(&self) -> ModelInfo {
        info()
    }

    fn synthesize(&self, request: SpeechRequest) -> Result<SpeechStream, InferenceError> {
        let words = request.text.split_whitespace().count();
        let per_word = TONE_PER_WORD.as_millis() as usize * SAMPLE_RATE_HZ as usize / 1000;
        let (sender, events) = mpsc::unbounded_channel();
        let _ = sender.send(SpeechEvent::Audio(tone(words * per_word)));
        let _ = sender.send(SpeechEvent::Done {
            compute: Duration::ZERO,
        });
        Ok(SpeechStream { events })
    }
}

fn tone(samples: usize) -> Vec<i16> {
    let step = TAU * TONE_HZ / f64::from(SAMPLE_RATE_HZ);
    (0..samples)
        .map(|index| (TONE_AMPLITUDE * (step * index as f64).sin()).round() as i16)
        .collect()
}

/// How long so many samples last.
pub(crate) fn duration_of(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(SAMPLE_RATE_HZ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_voice_is_a_tone_of_sixty_milliseconds_a_word() {
        let mut speech = InstantVoice
            .synthesize(SpeechRequest {
                text: "three short words".to_owned(),
                ..SpeechRequest::default()
            })
            .unwrap();
        let Ok(SpeechEvent::Audio(pcm)) = speech.events.try_recv() else {
            panic!("no audio");
        };
        assert_eq!(pcm.len(), 3 * 960);
        let rms =
            (pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len() as f64).sqrt();
        let peak_dbfs = 20.0 * (rms * 2_f64.sqrt() / 32_768.0).log10();
        assert!((peak_dbfs + 12.04).abs() < 0.1, "{peak_dbfs} dBFS");
        let rises = pcm.windows(2).filter(|w| w[0] <= 0 && w[1] > 0).count();
        assert!((79..=80).contains(&rises), "{rises} periods in 180 ms");
        assert!(matches!(
            speech.events.try_recv(),
            Ok(SpeechEvent::Done { .. })
        ));
    }

    #[test]
    fn the_transcriber_hears_its_text_and_counts_the_audio() {
        let model = InstantTranscriber::new("book a visit").unwrap();
        let mut session = model.open(TranscribeOptions::default()).unwrap();
        session
            .audio
            .send(TranscriberInput::Audio(vec![0; 8000]))
            .unwrap();
        session.audio.send(TranscriberInput::Finish).unwrap();
        let Some(TranscriptEvent::Final { text, audio, .. }) = session.events.blocking_recv()
        else {
            panic!("no final");
        };
        assert_eq!(
            (text.as_str(), audio),
            ("book a visit", Duration::from_millis(500))
        );
        assert_eq!(session.events.blocking_recv(), None);
    }

    #[test]
    fn the_language_model_takes_the_first_option_and_refuses_an_empty_list() {
        let mut request = ChoiceRequest {
            messages: Vec::new(),
            options: vec!["yes".to_owned(), "no".to_owned()],
            ..ChoiceRequest::default()
        };
        let model = InstantChat::new(DEFAULT_REPLY);
        let chosen = model
            .choose(request.clone())
            .unwrap()
            .blocking_recv()
            .unwrap()
            .unwrap();
        assert_eq!((chosen.best, chosen.probabilities), (0, vec![1.0, 0.0]));
        request.options.clear();
        assert!(matches!(
            model.choose(request),
            Err(InferenceError::BadRequest { .. })
        ));
    }
}
