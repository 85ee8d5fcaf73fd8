//! A step of attention on a card: what the kernels need to know of the packed rows, copied
//! there once for all layers. On any other device there is nothing to do.

use candle_core::{Device, Tensor};
use trunkline_kernels::cuda;
use trunkline_kernels::paged::Shape;

use super::attention::AttentionShape;
use super::pool::BlockShape;
use super::rotary::Rotation;
use super::rows::Packed;
use crate::NnError;

/// What all layers of a step share.
pub(super) fn step(
    device: &Device,
    attention: &AttentionShape,
    block: BlockShape,
    packed: &Packed<'_>,
    rotation: &Rotation,
) -> Result<Option<cuda::Step>, NnError> {
    if !device.is_cuda() {
        return Ok(None);
    }
    let shape = Shape {
        heads: attention.heads,
        kv_heads: block.kv_heads,
        width: block.width,
        padded: block.padded(),
        block_tokens: block.tokens,
        window: attention.window,
        epsilon: attention.epsilon,
    };
    let mut slots = Vec::with_capacity(packed.tokens.len());
    let mut queries = Vec::with_capacity(packed.tokens.len());
    let mut tables = Vec::new();
    for row in &packed.rows {
        let table = tables.len();
        tables.extend_from_slice(row.blocks);
        for position in row.start..row.start + row.count {
            let place = (position % block.tokens) as u32;
            slots.push(row.blocks[position / block.tokens] * block.tokens as u32 + place);
            queries.push((position, table));
        }
    }
    let turns = rotation.turns();
    Ok(Some(cuda::Step::new(
        device, shape, turns, &slots, &queries, &tables,
    )?))
}

/// The norms of queries and keys, where the network is on a card.
pub(super) fn head_norms(
    device: &Device,
    queries: &[f32],
    keys: &[f32],
) -> Result<Option<cuda::HeadNorms>, NnError> {
    if !device.is_cuda() {
        return Ok(None);
    }
    Ok(Some(cuda::HeadNorms {
        queries: Tensor::new(queries, device)?,
        keys: Tensor::new(keys, device)?,
    }))
}
