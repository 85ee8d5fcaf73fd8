//! The network against a reference, its paths against one another, and bad files.

mod chats;
mod damage;
mod made;
mod packed;
mod paths;
mod reference;
mod stories;

use candle_core::Device;

use super::*;

/// A sequence in a pool of its own.
struct Sequence<'m> {
    network: &'m Network,
    pool: KvPool,
    blocks: Vec<u32>,
    known: usize,
}

impl<'m> Sequence<'m> {
    fn new(network: &'m Network) -> Self {
        Self::in_blocks_of(network, BLOCK_TOKENS)
    }

    fn in_blocks_of(network: &'m Network, tokens: usize) -> Self {
        let blocks = network.config().context.div_ceil(tokens);
        Self {
            network,
            pool: network.new_pool(blocks, tokens).unwrap(),
            // Not in the order of the pool.
            blocks: (0..blocks as u32).rev().collect(),
            known: 0,
        }
    }

    /// The logits after each of the next tokens.
    fn extend(&mut self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let row = Row {
            tokens,
            start: self.known,
            blocks: &self.blocks,
            logits: tokens.len(),
        };
        let logits = self.network.step(&mut self.pool, &[row]).unwrap();
        self.known += tokens.len();
        logits.of(0).map(<[f32]>::to_vec).collect()
    }
}

/// The logits after each of `tokens`, computed at once.
fn logits_of(network: &Network, tokens: &[u32]) -> Vec<Vec<f32>> {
    Sequence::new(network).extend(tokens)
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference <= tolerance,
            "value {at} is {found}, expected {expected}"
        );
    }
}

fn likeliest(logits: &[f32]) -> u32 {
    let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
    best.unwrap() as u32
}
