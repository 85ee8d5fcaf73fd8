//! BERT as a sentence encoder: MiniLM, BGE, E5 and their kin.
//!
//! A text becomes one vector of length 1: the mean of its tokens' last states, or that of its
//! first token, as the folder's `1_Pooling/config.json` says. Texts are computed together,
//! padded to the longest; a text's vector does not depend on what it is computed with.
//!
//! Folders are as `sentence-transformers` writes them.

mod config;
mod network;
#[cfg(test)]
mod tests;

use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use tokenizers::Tokenizer;

use crate::NnError;
use crate::files::{Safetensors, read_json, read_json_if_there, read_tokenizer};
use config::{BertConfig, Pooling, SentenceConfig};
use network::Network;

/// A sentence encoder.
pub struct Bert {
    network: Network,
    tokenizer: Tokenizer,
    pooling: Pooling,
    longest: usize,
    device: Device,
}

/// The vector of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Of length 1.
    pub vector: Vec<f32>,
    /// Tokens of the text, with the marks of its beginning and end.
    pub tokens: usize,
}

impl Bert {
    /// Loads a folder.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, NnError> {
        let file = folder.join("config.json");
        let config: BertConfig = read_json(&file)?;
        config.check(&file)?;
        let sentence: SentenceConfig =
            read_json_if_there(&folder.join("sentence_bert_config.json"))?;
        let pooling: Pooling = read_json_if_there(&folder.join("1_Pooling/config.json"))?;
        pooling.check(&folder.join("1_Pooling/config.json"))?;
        let mut tokenizer = read_tokenizer(&folder.join("tokenizer.json"))?;
        // What is too long is refused rather than cut, and padding is done here.
        tokenizer
            .with_truncation(None)
            .map_err(|error| NnError::damaged(&folder.join("tokenizer.json"), error))?;
        tokenizer.with_padding(None);
        let weights = Safetensors::open(folder)?;
        let positions = config.max_position_embeddings;
        Ok(Self {
            network: Network::load(&config, &weights, device)?,
            tokenizer,
            pooling,
            longest: sentence.max_seq_length.unwrap_or(positions).min(positions),
            device: device.clone(),
        })
    }

    /// Numbers of a vector.
    pub fn dimensions(&self) -> usize {
        self.network.width()
    }

    /// The most tokens of a text.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The vectors of some texts, in their order.
    ///
    /// # Errors
    /// [`NnError::PromptTooLong`] about the first text that is; a failure of the computation.
    pub fn embed(&self, texts: &[String]) -> Result<Vec<Embedding>, NnError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| self.tokens(text))
            .collect::<Result<_, _>>()?;
        let vectors = self.vectors(&rows)?.to_vec2::<f32>()?;
        let rows = rows.iter().zip(vectors);
        Ok(rows
            .map(|(tokens, vector)| Embedding {
                vector,
                tokens: tokens.len(),
            })
            .collect())
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, NnError> {
        let encoded = self.tokenizer.encode(text, true);
        let encoded = encoded.map_err(|error| NnError::Tokenizer(error.to_string()))?;
        let tokens = encoded.get_ids().to_vec();
        match tokens.len() {
            0 => Err(NnError::Tokenizer("a text has no tokens".to_owned())),
            tokens if tokens > self.longest => Err(NnError::PromptTooLong {
                tokens,
                limit: self.longest,
            }),
            _ => Ok(tokens),
        }
    }

    /// `(rows, width)`, each of length 1.
    fn vectors(&self, rows: &[Vec<u32>]) -> Result<Tensor, NnError> {
        let longest = rows.iter().map(Vec::len).max().unwrap_or(1);
        let mut ids = Vec::with_capacity(rows.len() * longest);
        let mut mask = Vec::with_capacity(rows.len() * longest);
        for row in rows {
            let padding = longest - row.len();
            ids.extend(row.iter().copied().chain(std::iter::repeat_n(0, padding)));
            mask.extend(std::iter::repeat_n(1_f32, row.len()));
            mask.extend(std::iter::repeat_n(0_f32, padding));
        }
        let shape = (rows.len(), longest);
        let ids = Tensor::from_vec(ids, shape, &self.device)?;
        let mask = Tensor::from_vec(mask, shape, &self.device)?;
        let states = self.network.forward(&ids, &mask)?;
        let pooled = match self.pooling.is_first_token() {
            true => states.narrow(1, 0, 1)?.squeeze(1)?,
            false => {
                let mask = mask.unsqueeze(2)?;
                let sum = states.broadcast_mul(&mask)?.sum(1)?;
                sum.broadcast_div(&mask.sum(1)?)?
            }
        };
        let length = pooled.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        Ok(pooled.broadcast_div(&length)?.to_dtype(DType::F32)?)
    }
}
