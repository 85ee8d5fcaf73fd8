//! Attention of packed rows over the blocks of the pool: one operation that stores new keys and
//! values, and one that asks all that are stored.
//!
//! Each query is answered in the order of its own blocks, so that an answer does not depend on
//! which other rows or tokens share the step. Both operations are built for processors; on a
//! card, [`super::card`] takes their place.

use candle_core::{CpuStorage, CustomOp3, InplaceOp2, Layout, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::pool::{BlockShape, KvLayer};
use super::rotary::{Rotation, normalise};
use super::rows::{Packed, PackedRow};
use crate::NnError;
use crate::cpu::softmax::Running;
use crate::cpu::tile::add_product;

/// New tokens of one row that are answered together: enough to use a block of keys while it is
/// near, few enough that two threads share a short prompt evenly.
const TILE_TOKENS: usize = 8;
/// A step with fewer products of queries and keys is not worth a second thread.
const SERIAL_BELOW: usize = 2_000;

/// What attention needs to know of the network.
pub(super) struct AttentionShape {
    pub(super) heads: usize,
    /// A query sees so many tokens, itself included; all when `None`.
    pub(super) window: Option<usize>,
    pub(super) epsilon: f32,
}

/// Weights of the norms of queries and keys, where a family has them.
pub(super) struct HeadNorms {
    pub(super) queries: Vec<f32>,
    pub(super) keys: Vec<f32>,
    /// The same on a card, where the network is on one.
    #[cfg(feature = "cuda")]
    pub(super) on_card: Option<trunkline_kernels::cuda::HeadNorms>,
}

/// One layer's attention in one step.
pub(super) struct Attention<'a> {
    pub(super) shape: &'a AttentionShape,
    pub(super) norms: Option<&'a HeadNorms>,
    pub(super) block: BlockShape,
    pub(super) packed: &'a Packed<'a>,
    pub(super) rotation: &'a Rotation,
    /// What all layers share on a card, where the network is on one.
    #[cfg(feature = "cuda")]
    pub(super) on_card: Option<&'a trunkline_kernels::cuda::Step>,
}

impl Attention<'_> {
    /// Stores the keys and values of `(tokens, queries, keys and values)`, and gives what the
    /// queries find: `(tokens, heads * width)`.
    pub(super) fn forward(&self, projected: &Tensor, layer: &KvLayer) -> Result<Tensor, NnError> {
        #[cfg(feature = "cuda")]
        if let Some(step) = self.on_card {
            let norms = self.norms.and_then(|norms| norms.on_card.as_ref());
            return Ok(step.forward(projected, &layer.keys, &layer.values, norms)?);
        }
        layer.keys.inplace_op2(projected, &StoreKeys(self))?;
        layer.values.inplace_op2(projected, &StoreValues(self))?;
        Ok(projected.apply_op3_no_bwd(&layer.keys, &layer.values, &Ask(self))?)
    }

    /// Columns of the queries of a token.
    fn query_columns(&self) -> usize {
        self.shape.heads * self.block.width
    }

    /// Columns of the keys of a token, as of its values.
    fn key_columns(&self) -> usize {
        self.block.kv_heads * self.block.width
    }

    fn columns(&self) -> usize {
        self.query_columns() + 2 * self.key_columns()
    }

    /// Calls with each new token's packed number, the first number of its block, and its place
    /// in the block.
    fn each_slot(&self, block_numbers: usize, mut store: impl FnMut(usize, usize, usize)) {
        for row in &self.packed.rows {
            for at in 0..row.count {
                let position = row.start + at;
                let block = row.blocks[position / self.block.tokens] as usize;
                let place = position % self.block.tokens;
                store(row.first + at, block * block_numbers, place);
            }
        }
    }

    /// Brings a head of a query or key to where it is compared.
    fn turn(&self, token: usize, head: &mut [f32], norm: Option<&[f32]>) {
        if let Some(weights) = norm {
            normalise(head, weights, self.shape.epsilon);
        }
        self.rotation.turn(token, head);
    }
}

struct StoreKeys<'a>(&'a Attention<'a>);

impl InplaceOp2 for StoreKeys<'_> {
    fn name(&self) -> &'static str {
        "store-keys"
    }

    fn cpu_fwd(
        &self,
        keys: &mut CpuStorage,
        _: &Layout,
        projected: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<()> {
        let Self(attention) = self;
        let block = attention.block;
        let projected = floats(projected, layout)?;
        let keys = floats_mut(keys)?;
        let norm = attention.norms.map(|norms| norms.keys.as_slice());
        let mut head = vec![0.0; block.width];
        attention.each_slot(block.kv_heads * block.head_keys(), |token, start, place| {
            let line = &projected[token * attention.columns() + attention.query_columns()..];
            for (at, key) in line
                .chunks_exact(block.width)
                .take(block.kv_heads)
                .enumerate()
            {
                head.copy_from_slice(key);
                attention.turn(token, &mut head, norm);
                let columns = &mut keys[start + at * block.head_keys()..][..block.head_keys()];
                for (column, x) in columns.chunks_exact_mut(block.tokens).zip(&head) {
                    column[place] = *x;
                }
            }
        });
        Ok(())
    }
}

struct StoreValues<'a>(&'a Attention<'a>);

impl InplaceOp2 for StoreValues<'_> {
    fn name(&self) -> &'static str {
        "store-values"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        _: &Layout,
        projected: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<()> {
        let Self(attention) = self;
        let block = attention.block;
        let projected = floats(projected, layout)?;
        let values = floats_mut(values)?;
        let before = attention.query_columns() + attention.key_columns();
        attention.each_slot(
            block.kv_heads * block.head_values(),
            |token, start, place| {
                let line = &projected[token * attention.columns() + before..];
                for (at, value) in line
                    .chunks_exact(block.width)
                    .take(block.kv_heads)
                    .enumerate()
                {
                    let start = start + at * block.head_values() + place * block.padded();
                    values[start..start + block.width].copy_from_slice(value);
                }
            },
        );
        Ok(())
    }
}

struct Ask<'a>(&'a Attention<'a>);

impl CustomOp3 for Ask<'_> {
    fn name(&self) -> &'static str {
        "paged-attention"
    }

    fn cpu_fwd(
        &self,
        projected: &CpuStorage,
        layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Self(attention) = self;
        let stored = Stored {
            projected: floats(projected, layout)?,
            keys: floats(keys, keys_layout)?,
            values: floats(values, values_layout)?,
        };
        let (tokens, columns) = (attention.packed.tokens.len(), attention.query_columns());
        let mut found = vec![0f32; tokens * columns];
        let arch = Arch::new();
        let answer = |unit: &mut Unit<'_>, scratch: &mut Scratch| {
            arch.dispatch(Answer {
                attention,
                stored: &stored,
                unit,
                scratch,
            });
        };
        let mut units = attention.units(&mut found);
        if attention.work() < SERIAL_BELOW || rayon::current_num_threads() == 1 {
            let mut scratch = Scratch::default();
            units.iter_mut().for_each(|unit| answer(unit, &mut scratch));
        } else {
            units
                .par_iter_mut()
                .with_max_len(1)
                .for_each_init(Scratch::default, |scratch, unit| answer(unit, scratch));
        }
        Ok((CpuStorage::F32(found), Shape::from((tokens, columns))))
    }
}

/// What is asked, and who is asked.
struct Stored<'a> {
    projected: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
}

/// A few tokens of one row, and the heads of keys that are asked for them.
struct Unit<'a> {
    row: PackedRow<'a>,
    /// Its tokens, counted within the row.
    first: usize,
    count: usize,
    /// Heads of keys.
    kv_heads: std::ops::Range<usize>,
    /// `(count, heads * width)` of the result, or of one token only these heads.
    found: &'a mut [f32],
}

impl<'a> Attention<'a> {
    /// Products of a query and a key, all heads of a query counted as one.
    fn work(&self) -> usize {
        let rows = self.packed.rows.iter();
        rows.map(|row| row.count * (row.start + row.count)).sum()
    }

    /// Cuts the step into parts that write next to one another.
    fn units<'f>(&self, found: &'f mut [f32]) -> Vec<Unit<'f>>
    where
        'a: 'f,
    {
        let columns = self.query_columns();
        let shared = columns / self.block.kv_heads;
        let mut units = Vec::new();
        let mut left = found;
        for row in &self.packed.rows {
            for first in (0..row.count).step_by(TILE_TOKENS) {
                let count = TILE_TOKENS.min(row.count - first);
                let (mut mine, later) = left.split_at_mut(count * columns);
                left = later;
                let mut unit = |kv_heads, found| {
                    units.push(Unit {
                        row: *row,
                        first,
                        count,
                        kv_heads,
                        found,
                    });
                };
                if count > 1 {
                    unit(0..self.block.kv_heads, mine);
                    continue;
                }
                for head in 0..self.block.kv_heads {
                    let (now, rest) = mine.split_at_mut(shared);
                    mine = rest;
                    unit(head..head + 1, now);
                }
            }
        }
        units
    }
}

/// Room that a thread uses again for each of its units.
#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    gathered: Vec<f32>,
    running: Vec<Running>,
}

struct Answer<'a, 'u> {
    attention: &'a Attention<'a>,
    stored: &'a Stored<'a>,
    unit: &'a mut Unit<'u>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Answer<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for kv_head in self.unit.kv_heads.clone() {
            answer(
                simd,
                self.attention,
                self.stored,
                self.unit,
                kv_head,
                self.scratch,
            );
        }
    }
}

/// All queries of a unit that share one head of keys.
#[inline(always)]
fn answer<S: Simd>(
    simd: S,
    attention: &Attention<'_>,
    stored: &Stored<'_>,
    unit: &mut Unit<'_>,
    kv_head: usize,
    scratch: &mut Scratch,
) {
    let block = attention.block;
    let shared = attention.shape.heads / block.kv_heads;
    let queries = unit.count * shared;
    attention.gather_queries(stored, unit, kv_head, &mut scratch.queries);
    scratch.gathered.clear();
    scratch.gathered.resize(queries * block.padded(), 0.0);
    scratch.running.clear();
    scratch.running.resize(queries, Running::NEW);
    let position = |query: usize| unit.row.start + unit.first + query / shared;
    let last = position(queries - 1);
    let first_seen = |position: usize| match attention.shape.window {
        Some(window) => (position + 1).saturating_sub(window),
        None => 0,
    };
    for at in first_seen(position(0)) / block.tokens..=last / block.tokens {
        let number = unit.row.blocks[at] as usize * block.kv_heads + kv_head;
        let keys = &stored.keys[number * block.head_keys()..][..block.head_keys()];
        let values = &stored.values[number * block.head_values()..][..block.head_values()];
        scratch.scores.clear();
        scratch.scores.resize(queries * block.tokens, 0.0);
        add_product(
            simd,
            &scratch.queries,
            block.width,
            keys,
            block.tokens,
            &mut scratch.scores,
        );
        let lines = scratch.scores.chunks_exact_mut(block.tokens);
        let gathered = scratch.gathered.chunks_exact_mut(block.padded());
        for (query, ((line, gathered), running)) in
            lines.zip(gathered).zip(&mut scratch.running).enumerate()
        {
            let place = |p: usize| p.saturating_sub(at * block.tokens).min(block.tokens);
            line[..place(first_seen(position(query)))].fill(f32::NEG_INFINITY);
            line[place(position(query) + 1)..].fill(f32::NEG_INFINITY);
            running.weigh(simd, line, gathered);
        }
        add_product(
            simd,
            &scratch.scores,
            block.tokens,
            values,
            block.padded(),
            &mut scratch.gathered,
        );
    }
    attention.hand_out(unit, kv_head, scratch);
}

impl Attention<'_> {
    /// The queries of a unit for one head of keys, turned and scaled, token by token.
    #[inline(always)]
    fn gather_queries(
        &self,
        stored: &Stored<'_>,
        unit: &Unit<'_>,
        kv_head: usize,
        queries: &mut Vec<f32>,
    ) {
        let width = self.block.width;
        let shared = self.shape.heads / self.block.kv_heads * width;
        let norm = self.norms.map(|norms| norms.queries.as_slice());
        let scale = (width as f32).sqrt().recip();
        queries.clear();
        for at in 0..unit.count {
            let token = unit.row.first + unit.first + at;
            let line = token * self.columns() + kv_head * shared;
            let start = queries.len();
            queries.extend_from_slice(&stored.projected[line..line + shared]);
            for head in queries[start..].chunks_exact_mut(width) {
                self.turn(token, head, norm);
                for x in head {
                    *x *= scale;
                }
            }
        }
    }

    /// Writes what was found where it belongs.
    #[inline(always)]
    fn hand_out(&self, unit: &mut Unit<'_>, kv_head: usize, scratch: &Scratch) {
        let (width, padded) = (self.block.width, self.block.padded());
        let shared = self.shape.heads / self.block.kv_heads;
        let line = unit.found.len() / unit.count;
        let before = (kv_head - unit.kv_heads.start) * shared * width;
        let lines = scratch.gathered.chunks_exact(padded).zip(&scratch.running);
        for (query, (gathered, running)) in lines.enumerate() {
            let start = query / shared * line + before + query % shared * width;
            let found = &mut unit.found[start..start + width];
            for (found, x) in found.iter_mut().zip(gathered) {
                *found = x * running.scale();
            }
        }
    }
}

fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("attention wants its input in order"),
    }
}

fn floats_mut(storage: &mut CpuStorage) -> candle_core::Result<&mut [f32]> {
    match storage {
        CpuStorage::F32(floats) => Ok(floats),
        _ => bail!("the pool is not of f32"),
    }
}
