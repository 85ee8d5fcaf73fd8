//! Whisper, all sizes, from folders as Hugging Face writes them.
//!
//! It takes one utterance and gives its text. It keeps nothing between calls: partial results
//! come from calling it again with more audio, which is cheap because the window is only as
//! long as the utterance. It does not find utterances and does not resample.

mod config;
mod decoder;
mod encoder;
mod greedy;
mod layers;
mod mel;
mod split;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::path::Path;
use std::time::Duration;

use candle_core::Device;

use self::config::{Config, GenerationConfig, PreprocessorConfig};
use self::decoder::Decoder;
use self::encoder::Encoder;
use self::mel::{HOP, LogMel, N_FFT, SAMPLE_RATE_HZ};
use self::vocabulary::Vocabulary;
use crate::NnError;
use crate::files::{Safetensors, read_json, read_json_if_there, read_tokenizer};

/// Silence heard after the last sample, in frames of 10 ms. Without it the model sees words
/// that end at the edge of the window, which it never did in training.
const SILENCE_FRAMES: usize = 50;
/// Windows are multiples of this many frames, so that shapes repeat.
const BUCKET_FRAMES: usize = 50;

/// A loaded recogniser. Immutable; share it between threads as you like.
pub struct Whisper {
    mel: LogMel,
    encoder: Encoder,
    decoder: Decoder,
    vocabulary: Vocabulary,
    /// The longest window, in frames of 10 ms.
    frames: usize,
    /// The longest text, prompt included.
    positions: usize,
}

/// How to transcribe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WhisperOptions {
    /// ISO 639-1 code such as `en`; a region after it is ignored. `None` lets the model decide.
    /// Models of one language ignore it.
    pub language: Option<String>,
    /// Pads to the longest window, as in training, at its full cost. For comparison.
    pub full_window: bool,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcription {
    /// Text, trimmed. Empty when nobody spoke.
    pub text: String,
    /// Its tokens, without prompt and end.
    pub tokens: Vec<u32>,
    /// Mean natural log-probability per token, the end included; nearer to 0 is surer.
    pub mean_log_prob: f32,
    /// Probability that there was no speech, 0 to 1; 0 when the model has no token for that.
    pub no_speech_prob: f32,
}

impl Whisper {
    /// Loads a folder with `config.json`, `tokenizer.json`, `*.safetensors` (f16, bf16 or f32;
    /// computed in f32) and, if there, `generation_config.json` and `preprocessor_config.json`.
    ///
    /// # Errors
    /// Names the file, and the field or tensor in it.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, NnError> {
        let config_file = folder.join("config.json");
        let config: Config = read_json(&config_file)?;
        if config.model_type != "whisper" {
            let reason = format!("model_type is {}, not whisper", config.model_type);
            return Err(NnError::unsupported(&config_file, reason));
        }
        let front_end: PreprocessorConfig =
            read_json_if_there(&folder.join("preprocessor_config.json"))?;
        let numbers = (
            front_end.sampling_rate,
            front_end.n_fft,
            front_end.hop_length,
        );
        if numbers != (SAMPLE_RATE_HZ, N_FFT, HOP) {
            let reason = format!("its front end differs: rate, n_fft and hop are {numbers:?}");
            return Err(NnError::unsupported(&config_file, reason));
        }
        let generation: GenerationConfig =
            read_json_if_there(&folder.join("generation_config.json"))?;
        let tokenizer = read_tokenizer(&folder.join("tokenizer.json"))?;
        let weights = Safetensors::open(folder)?;
        Ok(Self {
            mel: LogMel::new(config.num_mel_bins),
            encoder: Encoder::load(&weights, &config, device)?,
            decoder: Decoder::load(&weights, &config, device)?,
            vocabulary: Vocabulary::new(tokenizer, &config, &generation, folder)?,
            frames: config.max_source_positions * 2,
            positions: config.max_target_positions,
        })
    }

    /// The longest audio that one pass hears. Longer audio is cut where it is quietest.
    pub fn window(&self) -> Duration {
        Duration::from_millis(self.frames as u64 * 10)
    }

    /// Codes of the languages that can be asked for; empty when there is only one.
    pub fn languages(&self) -> Vec<String> {
        self.vocabulary.languages().map(str::to_owned).collect()
    }

    /// Transcribes one utterance: mono samples at 16 kHz, -1 to 1.
    ///
    /// # Errors
    /// [`NnError::UnknownLanguage`], or a failure of the computation.
    pub fn transcribe(
        &self,
        pcm: &[f32],
        options: &WhisperOptions,
    ) -> Result<Transcription, NnError> {
        let mut tokens = Vec::new();
        let mut texts = Vec::new();
        let mut log_prob = 0.0;
        let mut steps = 0;
        let mut no_speech_prob = 1f32;
        for part in split::split(pcm, self.frames * HOP) {
            let heard = self.hear(part, options)?;
            log_prob += heard.log_prob;
            steps += heard.tokens.len() + 1;
            no_speech_prob = no_speech_prob.min(heard.no_speech_prob);
            let text = self.vocabulary.text(&heard.tokens)?;
            if !text.is_empty() {
                texts.push(text);
            }
            tokens.extend(heard.tokens);
        }
        Ok(Transcription {
            text: texts.join(" "),
            tokens,
            mean_log_prob: log_prob / steps as f32,
            no_speech_prob,
        })
    }

    /// One pass over at most one window of audio.
    fn hear(&self, pcm: &[f32], options: &WhisperOptions) -> Result<greedy::Heard, NnError> {
        let frames = if options.full_window {
            self.frames
        } else {
            self.window_for(pcm.len())
        };
        let features = self.mel.features(pcm, frames)?;
        let encoded = self.encoder.forward(features, frames)?;
        greedy::decode(
            &self.decoder,
            &self.vocabulary,
            &encoded,
            options.language.as_deref(),
            pcm.len() as f32 / SAMPLE_RATE_HZ as f32,
            self.positions,
        )
    }

    /// Frames for so many samples: the audio, some silence, rounded up.
    fn window_for(&self, samples: usize) -> usize {
        let frames = samples.div_ceil(HOP) + SILENCE_FRAMES;
        (frames.div_ceil(BUCKET_FRAMES) * BUCKET_FRAMES).min(self.frames)
    }
}
