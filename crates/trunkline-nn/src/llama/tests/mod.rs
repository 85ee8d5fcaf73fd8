//! The network against a reference, its paths against one another, and bad files.

mod chats;
mod damage;
mod made;
mod paths;
mod reference;
mod stories;

use candle_core::Device;

use super::*;

/// The logits after each of `tokens`, computed at once.
fn logits_of(network: &Network, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut cache = network.new_cache().unwrap();
    let hidden = network.advance(&mut cache, tokens, tokens.len()).unwrap();
    network.logits(&hidden).unwrap().to_vec2().unwrap()
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
