//! The configuration files of a sentence encoder.

use std::path::Path;

use serde::Deserialize;

use crate::NnError;

/// `config.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct BertConfig {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) hidden_act: String,
    pub(super) max_position_embeddings: usize,
    pub(super) type_vocab_size: usize,
    pub(super) layer_norm_eps: f64,
    #[serde(default = "absolute")]
    pub(super) position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl BertConfig {
    /// Whether the network can be built so.
    pub(super) fn check(&self, file: &Path) -> Result<(), NnError> {
        let unsupported = |reason: &str| {
            Err(NnError::Unsupported {
                file: file.to_owned(),
                reason: reason.to_owned(),
            })
        };
        if self.hidden_act != "gelu" {
            return unsupported("only the exact GELU is built");
        }
        if self.position_embedding_type != "absolute" {
            return unsupported("only absolute positions are built");
        }
        let heads = self.num_attention_heads;
        if heads == 0 || !self.hidden_size.is_multiple_of(heads) {
            return unsupported("the width is no multiple of the heads");
        }
        if self.type_vocab_size == 0 || self.max_position_embeddings == 0 {
            return unsupported("it has no positions or types");
        }
        Ok(())
    }
}

/// `sentence_bert_config.json`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct SentenceConfig {
    pub(super) max_seq_length: Option<usize>,
}

/// `1_Pooling/config.json`. Without it, the mean.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pooling {
    pooling_mode_cls_token: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
}

impl Pooling {
    pub(super) fn is_first_token(&self) -> bool {
        self.pooling_mode_cls_token
    }

    /// Whether it is one of the ways that are built.
    pub(super) fn check(&self, file: &Path) -> Result<(), NnError> {
        if self.pooling_mode_max_tokens || self.pooling_mode_mean_sqrt_len_tokens {
            return Err(NnError::Unsupported {
                file: file.to_owned(),
                reason: "only the mean and the first token are pooled".to_owned(),
            });
        }
        Ok(())
    }
}
