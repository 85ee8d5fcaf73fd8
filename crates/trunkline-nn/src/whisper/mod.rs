//! Whisper, tiny to large-v3-turbo, from folders as Hugging Face writes them.
//!
//! Windows of audio of all callers are encoded together by length, and their texts decoded
//! together, one token a step: see [`Rows`]. Nothing is kept of an utterance between windows:
//! partial results come from hearing it again with more audio, which is cheap because a window
//! is only as long as the utterance. It does not find utterances, does not resample, and does
//! not decide whose turn it is.

mod alignment;
mod config;
mod decoder;
mod dictionary;
mod encoder;
mod guards;
mod kernels;
mod layers;
mod mel;
mod options;
mod passage;
mod random;
mod row;
mod rows;
mod rules;
mod slots;
mod split;
#[cfg(test)]
mod tests;
mod vocabulary;
mod window;
mod words;

use std::path::Path;
use std::time::Duration;

use candle_core::Device;

pub use self::alignment::Word;
use self::config::{Config, GenerationConfig, PreprocessorConfig};
use self::decoder::Decoder;
pub use self::dictionary::Dictionary;
use self::encoder::Encoder;
pub use self::guards::Guards;
use self::mel::{HOP, LogMel, N_FFT, SAMPLE_RATE_HZ};
pub use self::options::WhisperOptions;
pub use self::passage::{Passage, PassageSegment, Segment, Transcription};
pub use self::rows::{Ended, RowId, Rows};
use self::vocabulary::Vocabulary;
pub use self::window::Window;
use crate::NnError;
use crate::files::{Safetensors, read_json, read_json_if_there, read_tokenizer};

/// Rows that [`Whisper::transcribe`] decodes at once.
const ROWS: usize = 8;

/// A loaded recogniser. Immutable; share it between threads as you like.
pub struct Whisper {
    mel: LogMel,
    encoder: Encoder,
    decoder: Decoder,
    vocabulary: Vocabulary,
    /// Pairs of decoder block and head whose attention follows the audio.
    alignment_heads: Vec<(usize, usize)>,
    /// The longest window, in frames of 10 ms.
    frames: usize,
    /// The longest text, prompt included.
    positions: usize,
    device: Device,
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
            alignment_heads: alignment_heads(&config, &generation),
            frames: config.max_source_positions * 2,
            positions: config.max_target_positions,
            device: device.clone(),
        })
    }

    /// The longest audio that one pass hears. Longer audio is cut where it is quietest.
    pub fn longest_window(&self) -> Duration {
        Duration::from_millis(self.frames as u64 * 10)
    }

    /// Codes of the languages that can be asked for; empty when there is only one.
    pub fn languages(&self) -> Vec<String> {
        self.vocabulary.languages().map(str::to_owned).collect()
    }

    /// Whether it takes text that came before.
    pub fn takes_prompt(&self) -> bool {
        self.vocabulary.takes_previous()
    }

    /// Whether it says time marks, which cut its text into segments.
    pub fn has_time_marks(&self) -> bool {
        self.vocabulary.has_marks()
    }

    /// Transcribes one utterance alone: mono samples at 16 kHz, -1 to 1.
    ///
    /// # Errors
    /// [`NnError::UnknownLanguage`], or a failure of the computation.
    pub fn transcribe(
        &self,
        pcm: &[f32],
        options: &WhisperOptions,
    ) -> Result<Transcription, NnError> {
        let parts = self.parts(pcm);
        let mut rows = self.rows(parts.len().min(ROWS))?;
        let mut passages = Vec::with_capacity(parts.len());
        for parts in parts.chunks(ROWS) {
            let mut ids = Vec::with_capacity(parts.len());
            for part in parts {
                let window = self.window(part, options)?;
                for joined in self.join(&mut rows, vec![(&window, options.clone())])? {
                    ids.push((joined?, part.len()));
                }
            }
            let mut heard = Vec::with_capacity(ids.len());
            while rows.active() > 0 {
                heard.extend(self.step(&mut rows)?);
            }
            heard.sort_by_key(|(id, _)| ids.iter().position(|(own, _)| own == id));
            for ((_, passage), (_, samples)) in heard.into_iter().zip(ids) {
                passages.push((passage?, samples));
            }
        }
        Ok(Transcription::join(passages))
    }
}

/// What the model says follows the audio; else every head in the second half of the decoder,
/// as the reference implementation does for models that do not tell.
fn alignment_heads(config: &Config, generation: &GenerationConfig) -> Vec<(usize, usize)> {
    let (blocks, heads) = (config.decoder_layers, config.decoder_attention_heads);
    let told = generation.alignment_heads.iter().flatten();
    let told: Vec<_> = told
        .copied()
        .filter(|(block, head)| *block < blocks && *head < heads)
        .collect();
    if !told.is_empty() {
        return told;
    }
    (blocks / 2..blocks)
        .flat_map(|block| (0..heads).map(move |head| (block, head)))
        .collect()
}
