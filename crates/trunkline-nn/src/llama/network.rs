//! The network: packed rows in, logits out, with the keys and values in a [`KvPool`] of the caller.

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor};
use candle_nn::ops;

use super::attention::{Attention, AttentionShape, HeadNorms};
use super::config::Config;
use super::linear::{Linear, Placement, swiglu};
use super::plan::ComputePlan;
use super::pool::{KvLayer, KvPool};
use super::rotary::Rotation;
use super::rows::{Logits, Packed, Row};
use super::source::{Matrix, Source};
use crate::NnError;

pub(super) struct Network {
    config: Config,
    frequencies: Vec<f64>,
    attention: AttentionShape,
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
    head_norms: Option<HeadNorms>,
    out: Linear,
    inner_norm: Tensor,
    gate_up: Linear,
    down: Linear,
}

impl Network {
    pub(super) fn load(
        source: &Source,
        config: Config,
        plan: ComputePlan,
        device: &Device,
    ) -> Result<Self, NnError> {
        let dtype = if device.is_cpu() || plan == ComputePlan::Exact {
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
            attention: AttentionShape {
                heads: config.heads,
                window: config.window,
                epsilon: config.norm_epsilon,
            },
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

    pub(super) fn new_pool(&self, blocks: usize, block_tokens: usize) -> Result<KvPool, NnError> {
        KvPool::new(&self.config, blocks, block_tokens, self.dtype, &self.device)
    }

    /// Computes the new tokens of all rows and keeps their keys and values in the pool.
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "candle's tensors are written through shared references; whoever holds the pool must not be surprised"
    )]
    pub(super) fn step(&self, pool: &mut KvPool, rows: &[Row<'_>]) -> Result<Logits, NnError> {
        let packed = Packed::new(rows, pool, self.config.context)?;
        if packed.tokens.is_empty() {
            return Ok(Logits::new(Vec::new(), self.config.vocabulary, rows));
        }
        let rotation = Rotation::new(&self.frequencies, &packed.positions);
        #[cfg(feature = "cuda")]
        let on_card = super::card::step(
            &self.device,
            &self.attention,
            pool.shape(),
            &packed,
            &rotation,
        )?;
        let mut x = self.embed(&packed.tokens)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let attention = Attention {
                shape: &self.attention,
                norms: block.head_norms.as_ref(),
                block: pool.shape(),
                packed: &packed,
                rotation: &rotation,
                #[cfg(feature = "cuda")]
                on_card: on_card.as_ref(),
            };
            x = block.forward(&x, self.config.norm_epsilon, &attention, pool.layer(layer))?;
        }
        let values = self.logits(&x, &packed)?;
        Ok(Logits::new(values, self.config.vocabulary, rows))
    }

    /// What follows the wanted tokens, one line after another.
    fn logits(&self, hidden: &Tensor, packed: &Packed<'_>) -> Result<Vec<f32>, NnError> {
        if packed.wanted.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = if packed.wanted.len() == packed.tokens.len() {
            hidden.clone()
        } else {
            let wanted = Tensor::new(packed.wanted.as_slice(), &self.device)?;
            hidden.index_select(&wanted, 0)?
        };
        let normed = ops::rms_norm(&hidden, &self.norm, self.config.norm_epsilon)?;
        let logits = self.head.forward(&normed)?.to_dtype(DType::F32)?;
        Ok(logits.flatten_all()?.to_vec1()?)
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
}

/// The embedding and the output matrix, which are one in many small models.
fn embedding_and_head(to: &Placement<'_>) -> Result<(Embedding, Linear), NnError> {
    const EMBEDDING: &str = "model.embed_tokens";
    const HEAD: &str = "lm_head";
    let (vocabulary, width) = (to.config.vocabulary, to.config.width);
    let name = format!("{EMBEDDING}.weight");
    let embedding = match to.source.matrix(&name, vocabulary, width, to.config)? {
        // Looking rows up is fast in any format.
        Matrix::Quantized(rows) if to.plan == ComputePlan::Packed => Embedding::Quantized(rows),
        rows => Embedding::Dense(rows.dense()?.to_dtype(to.dtype)?.to_device(to.device)?),
    };
    let own_head = to.source.contains(&format!("{HEAD}.weight"));
    let head = if own_head { HEAD } else { EMBEDDING };
    let head = Linear::load(to, width, &[(head.to_owned(), vocabulary)])?;
    Ok((embedding, head))
}

/// `x + delta`, and its norm.
fn add_norm(
    x: &Tensor,
    delta: &Tensor,
    weight: &Tensor,
    epsilon: f32,
) -> Result<(Tensor, Tensor), NnError> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(trunkline_kernels::cuda::add_rms_norm(
            x, delta, weight, epsilon,
        )?);
    }
    let sum = (x + delta)?;
    let normed = ops::rms_norm(&sum, weight, epsilon)?;
    Ok((sum, normed))
}

fn norm(to: &Placement<'_>, name: &str) -> Result<Tensor, NnError> {
    let norm = to.source.vector(name, to.config.width, to.config)?;
    Ok(norm.to_dtype(to.dtype)?.to_device(to.device)?)
}

/// The norms of queries and keys under `name`, where the file has them.
fn head_norms(to: &Placement<'_>, name: &str) -> Result<Option<HeadNorms>, NnError> {
    let (queries, keys) = (
        format!("{name}.q_norm.weight"),
        format!("{name}.k_norm.weight"),
    );
    if !to.source.contains(&queries) {
        return Ok(None);
    }
    let width = to.config.head_width;
    let weights = |name: &str| -> Result<Vec<f32>, NnError> {
        Ok(to.source.vector(name, width, to.config)?.to_vec1()?)
    };
    let (queries, keys) = (weights(&queries)?, weights(&keys)?);
    Ok(Some(HeadNorms {
        #[cfg(feature = "cuda")]
        on_card: super::card::head_norms(to.device, &queries, &keys)?,
        queries,
        keys,
    }))
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
            head_norms: head_norms(to, &name("self_attn"))?,
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

    /// `x` is `(tokens, width)`, before and after.
    fn forward(
        &self,
        x: &Tensor,
        epsilon: f32,
        attention: &Attention<'_>,
        kept: &KvLayer,
    ) -> Result<Tensor, NnError> {
        let normed = ops::rms_norm(x, &self.attention_norm, epsilon)?;
        let projected = self.queries_keys_values.forward(&normed)?;
        let found = attention.forward(&projected, kept)?;
        let (x, normed) = add_norm(x, &self.out.forward(&found)?, &self.inner_norm, epsilon)?;
        let inner = swiglu(&self.gate_up.forward(&normed)?)?;
        Ok((x + self.down.forward(&inner)?)?)
    }
}
