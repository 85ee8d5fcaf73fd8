//! The network: tokens in, logits out, with the keys and values in a [`Cache`] of the caller.
//!
//! Positions and mask are arguments, so that one pass can hold one sequence or several
//! continuations of it side by side.

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor};
use candle_nn::{ops, rotary_emb};

use super::cache::Cache;
use super::config::Config;
use super::linear::{Linear, Placement};
use super::plan::ComputePlan;
use super::source::{Matrix, Source};
use crate::NnError;

pub(super) struct Network {
    config: Config,
    frequencies: Vec<f64>,
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: Tensor,
    head: Linear,
    dtype: DType,
    device: Device,
}

enum Embedding {
    Dense(Tensor),
    Quantized(QTensor),
}

struct Block {
    attention_norm: Tensor,
    queries_keys_values: Linear,
    out: Linear,
    inner_norm: Tensor,
    gate_up: Linear,
    down: Linear,
}

/// What one pass computes.
pub(super) struct Pass<'a> {
    /// New tokens, after those in the cache.
    pub(super) tokens: &'a [u32],
    /// Position of each, counted from the start of the sequence.
    pub(super) positions: &'a [usize],
    /// Whether new token `.0` sees new token `.1`. All see what is in the cache.
    pub(super) sees: &'a (dyn Fn(usize, usize) -> bool + Sync),
}

impl Network {
    pub(super) fn load(
        source: &Source,
        config: Config,
        plan: ComputePlan,
        device: &Device,
    ) -> Result<Self, NnError> {
        let dtype = if device.is_cpu() {
            DType::F32
        } else {
            DType::BF16
        };
        let to = Placement {
            source,
            config: &config,
            plan,
            device,
            dtype,
        };
        let (embedding, head) = embedding_and_head(&to)?;
        let blocks = (0..config.layers)
            .map(|layer| Block::load(&to, layer))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            frequencies: config.rotary.frequencies(config.head_width),
            norm: norm(&to, "model.norm.weight")?,
            embedding,
            blocks,
            head,
            dtype,
            device: device.clone(),
            config,
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn new_cache(&self) -> Result<Cache, NnError> {
        Cache::new(&self.config, self.dtype, &self.device)
    }

    /// Runs the next tokens of one sequence and keeps them in the cache. Returns what the last
    /// `rows` of them say, `(rows, width)`, for [`Network::logits`].
    pub(super) fn advance(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        rows: usize,
    ) -> Result<Tensor, NnError> {
        let before = cache.len();
        let positions: Vec<usize> = (before..before + tokens.len()).collect();
        let pass = Pass {
            tokens,
            positions: &positions,
            sees: &|query, key| key <= query,
        };
        let hidden = self.run(cache, &pass)?;
        cache.advance(tokens.len());
        Ok(hidden.narrow(0, tokens.len() - rows, rows)?)
    }

    /// Runs a pass. What it writes into the cache stays unknown until [`Cache::advance`].
    pub(super) fn run(&self, cache: &mut Cache, pass: &Pass<'_>) -> Result<Tensor, NnError> {
        cache.reserve(pass.tokens.len())?;
        let mut x = self.embed(pass.tokens)?;
        let rotation = self.rotation(pass.positions)?;
        let mask = self.mask(cache.len(), pass)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let keep = |keys: &Tensor, values: &Tensor| cache.write(layer, keys, values);
            let normed = ops::rms_norm(&x, &block.attention_norm, self.config.norm_epsilon)?;
            x = (x + block.attend(&self.config, &normed, &rotation, mask.as_ref(), keep)?)?;
            let normed = ops::rms_norm(&x, &block.inner_norm, self.config.norm_epsilon)?;
            let inner = ops::swiglu(&block.gate_up.forward(&normed)?)?;
            x = (x + block.down.forward(&inner)?)?;
        }
        Ok(x)
    }

    /// Logits of rows that [`Network::run`] gave: `(rows, vocabulary)`, f32.
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor, NnError> {
        let hidden = hidden.contiguous()?;
        let normed = ops::rms_norm(&hidden, &self.norm, self.config.norm_epsilon)?;
        Ok(self.head.forward(&normed)?.to_dtype(DType::F32)?)
    }

    fn embed(&self, tokens: &[u32]) -> Result<Tensor, NnError> {
        let unknown = tokens
            .iter()
            .find(|token| **token as usize >= self.config.vocabulary);
        if let Some(token) = unknown {
            let reason = format!("token {token} is outside the network's vocabulary");
            return Err(NnError::Tokenizer(reason));
        }
        Ok(match &self.embedding {
            Embedding::Dense(rows) => rows.index_select(&Tensor::new(tokens, &self.device)?, 0)?,
            Embedding::Quantized(rows) => {
                let rows = rows.embedding(&Tensor::new(tokens, &Device::Cpu)?)?;
                rows.to_dtype(self.dtype)?.to_device(&self.device)?
            }
        })
    }

    /// Cosines and sines, `(positions, head_width / 2)`.
    fn rotation(&self, positions: &[usize]) -> Result<(Tensor, Tensor), NnError> {
        let angles = || {
            positions.iter().flat_map(|position| {
                let position = *position as f64;
                self.frequencies.iter().map(move |turn| position * turn)
            })
        };
        let shape = (positions.len(), self.frequencies.len());
        let table = |values: Vec<f32>| -> Result<Tensor, NnError> {
            Ok(Tensor::from_vec(values, shape, &self.device)?.to_dtype(self.dtype)?)
        };
        Ok((
            table(angles().map(|angle| angle.cos() as f32).collect())?,
            table(angles().map(|angle| angle.sin() as f32).collect())?,
        ))
    }

    /// Added to the scores, `(new, before + new)`. One new token sees all and needs none.
    fn mask(&self, before: usize, pass: &Pass<'_>) -> Result<Option<Tensor>, NnError> {
        let new = pass.tokens.len();
        if new == 1 {
            return Ok(None);
        }
        let mut mask = vec![0f32; new * (before + new)];
        for (query, row) in mask.chunks_exact_mut(before + new).enumerate() {
            for (key, cell) in row[before..].iter_mut().enumerate() {
                if !(pass.sees)(query, key) {
                    *cell = f32::NEG_INFINITY;
                }
            }
        }
        let mask = Tensor::from_vec(mask, (new, before + new), &self.device)?;
        Ok(Some(mask.to_dtype(self.dtype)?))
    }
}

/// The embedding and the output matrix, which are one in many small models.
fn embedding_and_head(to: &Placement<'_>) -> Result<(Embedding, Linear), NnError> {
    const EMBEDDING: &str = "model.embed_tokens";
    const HEAD: &str = "lm_head";
    let (vocabulary, width) = (to.config.vocabulary, to.config.width);
    let name = format!("{EMBEDDING}.weight");
    let embedding = match to.source.matrix(&name, vocabulary, width, to.config)? {
        // Looking rows up is fast in any format.
        Matrix::Quantized(rows) if to.plan != ComputePlan::Dense => Embedding::Quantized(rows),
        rows => Embedding::Dense(rows.dense()?.to_dtype(to.dtype)?.to_device(to.device)?),
    };
    let own_head = to.source.contains(&format!("{HEAD}.weight"));
    let head = if own_head { HEAD } else { EMBEDDING };
    let head = Linear::load(to, width, &[(head.to_owned(), vocabulary)])?;
    Ok((embedding, head))
}

fn norm(to: &Placement<'_>, name: &str) -> Result<Tensor, NnError> {
    let norm = to.source.vector(name, to.config.width, to.config)?;
    Ok(norm.to_dtype(to.dtype)?.to_device(to.device)?)
}

impl Block {
    fn load(to: &Placement<'_>, layer: usize) -> Result<Self, NnError> {
        let config = to.config;
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let linear = |inputs: usize, parts: &[(&str, usize)]| {
            let parts: Vec<(String, usize)> = parts
                .iter()
                .map(|(part, outputs)| (name(part), *outputs))
                .collect();
            Linear::load(to, inputs, &parts)
        };
        let queries = config.heads * config.head_width;
        let keys = config.kv_heads * config.head_width;
        Ok(Self {
            attention_norm: norm(to, &name("input_layernorm.weight"))?,
            queries_keys_values: linear(
                config.width,
                &[
                    ("self_attn.q_proj", queries),
                    ("self_attn.k_proj", keys),
                    ("self_attn.v_proj", keys),
                ],
            )?,
            out: linear(queries, &[("self_attn.o_proj", config.width)])?,
            inner_norm: norm(to, &name("post_attention_layernorm.weight"))?,
            gate_up: linear(
                config.width,
                &[
                    ("mlp.gate_proj", config.inner),
                    ("mlp.up_proj", config.inner),
                ],
            )?,
            down: linear(config.inner, &[("mlp.down_proj", config.width)])?,
        })
    }

    /// `x` is `(new, width)`. `keep` stores new keys and values and gives all of them.
    fn attend(
        &self,
        config: &Config,
        x: &Tensor,
        (cosines, sines): &(Tensor, Tensor),
        mask: Option<&Tensor>,
        keep: impl Fn(&Tensor, &Tensor) -> Result<(Tensor, Tensor), NnError>,
    ) -> Result<Tensor, NnError> {
        let new = x.dim(0)?;
        let (heads, kv_heads, width) = (config.heads, config.kv_heads, config.head_width);
        let all = self.queries_keys_values.forward(x)?;
        let by_head = |start: usize, heads: usize| -> Result<Tensor, NnError> {
            let part = all.narrow(1, start, heads * width)?;
            let part = part.reshape((new, heads, width))?.transpose(0, 1)?;
            Ok(part.contiguous()?.unsqueeze(0)?)
        };
        let queries = rotary_emb::rope(&by_head(0, heads)?, cosines, sines)?;
        let keys = rotary_emb::rope(&by_head(heads * width, kv_heads)?, cosines, sines)?;
        let values = by_head((heads + kv_heads) * width, kv_heads)?;
        let (keys, values) = keep(&keys.squeeze(0)?, &values.squeeze(0)?)?;
        // Several query heads share one head of keys: as more rows of the same product.
        let shared = heads / kv_heads;
        let queries = (queries * (width as f64).powf(-0.5))?;
        let queries = queries.reshape((kv_heads, shared * new, width))?;
        let mut scores = queries.matmul(&keys.t()?)?;
        if let Some(mask) = mask {
            let length = keys.dim(1)?;
            let split = scores.reshape((kv_heads, shared, new, length))?;
            let masked = split.broadcast_add(mask)?;
            scores = masked.reshape((kv_heads, shared * new, length))?;
        }
        let found = ops::softmax_last_dim(&scores)?.matmul(&values)?;
        let found = found.reshape((heads, new, width))?.transpose(0, 1)?;
        self.out.forward(&found.reshape((new, heads * width))?)
    }
}
