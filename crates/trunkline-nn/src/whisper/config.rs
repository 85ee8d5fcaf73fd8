//! The JSON files of a Whisper folder, as Hugging Face writes them.

use std::collections::HashMap;

use serde::Deserialize;

/// `config.json`: the shape of the network.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    pub(super) model_type: String,
    pub(super) vocab_size: usize,
    pub(super) num_mel_bins: usize,
    pub(super) d_model: usize,
    pub(super) encoder_layers: usize,
    pub(super) encoder_attention_heads: usize,
    pub(super) encoder_ffn_dim: usize,
    pub(super) decoder_layers: usize,
    pub(super) decoder_attention_heads: usize,
    pub(super) decoder_ffn_dim: usize,
    pub(super) max_source_positions: usize,
    pub(super) max_target_positions: usize,
    pub(super) decoder_start_token_id: u32,
    pub(super) eos_token_id: u32,
    #[serde(default)]
    pub(super) suppress_tokens: Option<Vec<i64>>,
    #[serde(default)]
    pub(super) begin_suppress_tokens: Option<Vec<i64>>,
}

/// `generation_config.json`: which tokens mean what. Older checkpoints lack it or parts of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct GenerationConfig {
    pub(super) is_multilingual: Option<bool>,
    pub(super) lang_to_id: HashMap<String, u32>,
    pub(super) task_to_id: HashMap<String, u32>,
    pub(super) no_timestamps_token_id: Option<u32>,
    pub(super) suppress_tokens: Option<Vec<i64>>,
    pub(super) begin_suppress_tokens: Option<Vec<i64>>,
    pub(super) prev_sot_token_id: Option<u32>,
    /// Pairs of decoder block and head whose attention follows the audio.
    pub(super) alignment_heads: Option<Vec<(usize, usize)>>,
}

/// `preprocessor_config.json`: only checked, for there is one front end.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(super) struct PreprocessorConfig {
    pub(super) sampling_rate: usize,
    pub(super) n_fft: usize,
    pub(super) hop_length: usize,
}

impl Default for PreprocessorConfig {
    fn default() -> Self {
        Self {
            sampling_rate: super::mel::SAMPLE_RATE_HZ,
            n_fft: super::mel::N_FFT,
            hop_length: super::mel::HOP,
        }
    }
}
