//! The decoder: tokens of many rows packed into one step, each row with its own slot, position
//! and length.

use candle_core::{Device, Tensor};

use super::config::Config;
use super::kernels::{Heard, Query, attend, fused};
use super::layers::{CrossAttention, FeedForward, Linear, Norm, SelfAttention, Weights};
use super::slots::{Pool, Slots};
use crate::NnError;
use crate::files::Safetensors;

pub(super) struct Decoder {
    embedding: Tensor,
    /// The embedding turned over: input and output are one in every Whisper, but each is read
    /// in its own order.
    head: Linear,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    shape: Shape,
    device: Device,
}

/// What pools must be like.
#[derive(Debug, Clone, Copy)]
struct Shape {
    width: usize,
    heads: usize,
    said: usize,
    heard: usize,
}

/// What one row says in a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feed<'a> {
    pub(super) slot: usize,
    /// They follow what the slot holds.
    pub(super) tokens: &'a [u32],
    /// After which of `tokens` the logits are wanted.
    pub(super) wanted: &'a [usize],
}

/// Logits, one row of the vocabulary's size for each one wanted, in the order of the feeds.
pub(super) struct Logits {
    values: Vec<f32>,
    vocabulary: usize,
}

impl Logits {
    pub(super) fn into_rows(self) -> impl Iterator<Item = Vec<f32>> {
        let vocabulary = self.vocabulary;
        let count = self.values.len() / vocabulary;
        (0..count).map(move |n| self.values[n * vocabulary..(n + 1) * vocabulary].to_vec())
    }
}

/// Cross-attention of one row that is being listened to closely.
pub(super) struct Attention {
    /// `(block, head)` in the order of `weights`.
    pub(super) heads: Vec<(usize, usize)>,
    /// For each head a matrix `(tokens, positions heard)`, row-major.
    pub(super) weights: Vec<Vec<f32>>,
    /// Positions heard.
    pub(super) heard: usize,
}

impl Decoder {
    pub(super) fn load(
        file: &Safetensors,
        config: &Config,
        device: &Device,
    ) -> Result<Self, NnError> {
        let weights = Weights::root(file, "model.decoder", device);
        let width = config.d_model;
        let blocks = (0..config.decoder_layers)
            .map(|n| Block::load(&weights.under("layers").under(n), config))
            .collect::<Result<_, _>>()?;
        let embedding = weights.tensor("embed_tokens.weight", &[config.vocab_size, width])?;
        Ok(Self {
            head: Linear::new(&embedding.t()?.contiguous()?, None)?,
            embedding,
            positions: weights.tensor(
                "embed_positions.weight",
                &[config.max_target_positions, width],
            )?,
            blocks,
            norm: Norm::load(&weights.under("layer_norm"), width)?,
            shape: Shape {
                width,
                heads: config.decoder_attention_heads,
                said: config.max_target_positions,
                heard: config.max_source_positions,
            },
            device: device.clone(),
        })
    }

    /// Room for so many rows at once.
    pub(super) fn slots(&self, count: usize) -> Result<Slots, NnError> {
        let shape = self.shape;
        Slots::new(
            self.blocks.len(),
            count,
            shape.said,
            shape.heard,
            shape.width,
            &self.device,
        )
    }

    /// Listens to what the encoder gave, `(rows, positions, d_model)`, one slot a row.
    pub(super) fn listen(
        &self,
        slots: &mut Slots,
        encoded: &Tensor,
        into: &[usize],
    ) -> Result<(), NnError> {
        let (rows, positions, width) = encoded.dims3()?;
        let encoded = encoded.reshape((rows * positions, width))?;
        for (block, pools) in self.blocks.iter().zip(&slots.blocks) {
            let (keys, values) = block.cross.keys_values(&encoded)?;
            for (row, slot) in into.iter().enumerate() {
                let part = |x: &Tensor| x.narrow(0, row * positions, positions);
                pools
                    .heard
                    .write(*slot, 0, &part(&keys)?, &part(&values)?)?;
            }
        }
        for slot in into {
            slots.begin(*slot, positions);
        }
        Ok(())
    }

    /// One step of all `feeds`, no slot twice.
    pub(super) fn step(&self, slots: &mut Slots, feeds: &[Feed<'_>]) -> Result<Logits, NnError> {
        let x = self.run(slots, feeds, None)?;
        let mut wanted = Vec::new();
        let mut first = 0;
        for feed in feeds {
            wanted.extend(feed.wanted.iter().map(|token| (first + token) as u32));
            first += feed.tokens.len();
        }
        let vocabulary = self.head.outputs();
        if wanted.is_empty() {
            return Ok(Logits {
                values: Vec::new(),
                vocabulary,
            });
        }
        let x = if wanted.len() == first {
            x
        } else {
            x.index_select(&Tensor::new(wanted, &self.device)?, 0)?
        };
        let logits = self.head.forward(&self.norm.forward(&x)?)?;
        Ok(Logits {
            values: logits.flatten_all()?.to_vec1()?,
            vocabulary,
        })
    }

    /// Says `tokens` in a slot from its beginning and returns where `heads` look meanwhile.
    pub(super) fn align(
        &self,
        slots: &mut Slots,
        slot: usize,
        tokens: &[u32],
        heads: Vec<(usize, usize)>,
    ) -> Result<Attention, NnError> {
        slots.rewind(slot, 0);
        let mut attention = Attention {
            weights: vec![Vec::new(); heads.len()],
            heads,
            heard: slots.lengths(slot).heard,
        };
        let feed = Feed {
            slot,
            tokens,
            wanted: &[],
        };
        self.run(slots, &[feed], Some(&mut attention))?;
        Ok(attention)
    }

    fn run(
        &self,
        slots: &mut Slots,
        feeds: &[Feed<'_>],
        mut watched: Option<&mut Attention>,
    ) -> Result<Tensor, NnError> {
        let mut tokens = Vec::new();
        let mut positions = Vec::new();
        let mut said = Vec::new();
        let mut heard = Vec::new();
        for feed in feeds {
            let lengths = slots.lengths(feed.slot);
            for (n, token) in feed.tokens.iter().enumerate() {
                let position = lengths.said + n;
                if position >= self.shape.said {
                    return Err(NnError::PromptTooLong {
                        tokens: position + 1,
                        limit: self.shape.said,
                    });
                }
                tokens.push(*token);
                positions.push(position as u32);
                said.push(Query {
                    slot: feed.slot,
                    length: position + 1,
                });
                heard.push(Query {
                    slot: feed.slot,
                    length: lengths.heard,
                });
            }
        }
        let tokens = Tensor::new(tokens, &self.device)?;
        let positions = Tensor::new(positions, &self.device)?;
        let mut x = (self.embedding.index_select(&tokens, 0)?
            + self.positions.index_select(&positions, 0)?)?;
        for (n, (block, pools)) in self.blocks.iter().zip(&slots.blocks).enumerate() {
            let new = block.own.project(&block.own_norm.forward(&x)?)?;
            let mut first = 0;
            for feed in feeds {
                let count = feed.tokens.len();
                let part = |x: &Tensor| x.narrow(0, first, count);
                let from = slots.lengths(feed.slot).said;
                pools
                    .said
                    .write(feed.slot, from, &part(&new.keys)?, &part(&new.values)?)?;
                first += count;
            }
            let found = self.attend(&pools.said, &said, &new.queries.contiguous()?)?;
            x = block.own.out.forward_onto(&found, &x)?;
            let queries = block.cross.queries(&block.cross_norm.forward(&x)?)?;
            if let Some(watched) = watched.as_deref_mut() {
                self.watch(watched, n, &queries, &pools.heard, &heard)?;
            }
            let found = self.attend(&pools.heard, &heard, &queries)?;
            x = block.cross.out.forward_onto(&found, &x)?;
            x = block.feed_forward.forward(&x)?;
        }
        for feed in feeds {
            slots.advance(feed.slot, feed.tokens.len());
        }
        Ok(x)
    }

    /// What each query finds in its slot: `(tokens, d_model)`.
    pub(super) fn attend(
        &self,
        pool: &Pool,
        asks: &[Query],
        queries: &Tensor,
    ) -> Result<Tensor, NnError> {
        #[cfg(feature = "cuda")]
        if self.device.is_cuda() {
            let asks: Vec<(usize, usize)> = asks.iter().map(|ask| (ask.slot, ask.length)).collect();
            let heads = self.shape.heads;
            return Ok(trunkline_kernels::cuda::attend_slots(
                queries,
                &pool.keys,
                &pool.values,
                &asks,
                heads,
            )?);
        }
        if !self.device.is_cpu() {
            return self.attend_by_tensors(pool, asks, queries);
        }
        let mut found = vec![0f32; queries.elem_count()];
        fused::lend(
            [&pool.keys, &pool.values, queries],
            |[keys, values, queries]| {
                let pool = Heard {
                    keys,
                    values,
                    positions: keys.len() / (self.shape.width * pool.keys.dims()[0]),
                    width: self.shape.width,
                    heads: self.shape.heads,
                };
                attend(pool, asks, queries, &mut found);
            },
        )?;
        Ok(Tensor::from_vec(found, queries.shape(), &self.device)?)
    }

    /// The same by candle's operations, on any device: slots are gathered, and what lies beyond
    /// a row's length is masked.
    pub(super) fn attend_by_tensors(
        &self,
        pool: &Pool,
        asks: &[Query],
        queries: &Tensor,
    ) -> Result<Tensor, NnError> {
        let (count, width) = queries.dims2()?;
        let heads = self.shape.heads;
        let longest = asks.iter().map(|ask| ask.length).max().unwrap_or(1);
        let slots: Vec<u32> = asks.iter().map(|ask| ask.slot as u32).collect();
        let slots = Tensor::new(slots, &self.device)?;
        let mask: Vec<f32> = asks
            .iter()
            .flat_map(|ask| {
                (0..longest).map(|at| {
                    if at < ask.length {
                        0.0
                    } else {
                        f32::NEG_INFINITY
                    }
                })
            })
            .collect();
        let mask = Tensor::from_vec(mask, (count, 1, 1, longest), &self.device)?;
        let gather = |pool: &Tensor| {
            pool.narrow(1, 0, longest)?
                .index_select(&slots, 0)?
                .reshape((count, longest, heads, width / heads))?
                .transpose(1, 2)?
                .contiguous()
        };
        let (keys, values) = (gather(&pool.keys)?, gather(&pool.values)?);
        let queries = queries.reshape((count, heads, 1, width / heads))?;
        let scores = queries
            .matmul(&keys.transpose(2, 3)?)?
            .broadcast_add(&mask)?;
        let found = fused::softmax(scores)?.matmul(&values)?;
        Ok(found.reshape((count, width))?)
    }

    /// Notes where the heads of block `n` look.
    fn watch(
        &self,
        watched: &mut Attention,
        n: usize,
        queries: &Tensor,
        heard: &Pool,
        asks: &[Query],
    ) -> Result<(), NnError> {
        let Some(ask) = asks.first() else {
            return Ok(());
        };
        let head_width = self.shape.width / self.shape.heads;
        let keys = heard.keys.get(ask.slot)?.narrow(0, 0, ask.length)?;
        let own = watched.heads.iter().zip(&mut watched.weights);
        for ((_, head), weights) in own.filter(|((block, _), _)| *block == n) {
            let columns = |x: &Tensor| x.narrow(1, head * head_width, head_width)?.contiguous();
            let scores = columns(queries)?.matmul(&columns(&keys)?.t()?)?;
            *weights = fused::softmax(scores)?.flatten_all()?.to_vec1()?;
        }
        Ok(())
    }
}

struct Block {
    own_norm: Norm,
    own: SelfAttention,
    cross_norm: Norm,
    cross: CrossAttention,
    feed_forward: FeedForward,
}

impl Block {
    fn load(weights: &Weights<'_>, config: &Config) -> Result<Self, NnError> {
        let width = config.d_model;
        let heads = config.decoder_attention_heads;
        Ok(Self {
            own_norm: Norm::load(&weights.under("self_attn_layer_norm"), width)?,
            own: SelfAttention::load(&weights.under("self_attn"), width, heads)?,
            cross_norm: Norm::load(&weights.under("encoder_attn_layer_norm"), width)?,
            cross: CrossAttention::load(&weights.under("encoder_attn"), width, heads)?,
            feed_forward: FeedForward::load(weights, width, config.decoder_ffn_dim)?,
        })
    }
}
