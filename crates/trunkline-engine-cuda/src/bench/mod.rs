//! How fast the networks are on this card, as shares of what the card can do at all.
//!
//! Weights are random, of true sizes. What is measured is a step of the network with its results
//! brought back to the host; queues, sampling and audio are not in it.

mod ceilings;
mod llm;
mod speech;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use candle_core::Device;
use serde_json::{Value, json};
use trunkline_kernels::cuda::{COMPUTE_CAPABILITY, CUDA_MAJOR, Card};

use self::ceilings::Ceilings;

/// Measures the named models, all when none is named.
pub(crate) fn run(
    card: &Card,
    device: &Device,
    wanted: &[String],
    scratch: &Path,
) -> Result<Value> {
    let known: Vec<&str> = llm::SHAPES
        .iter()
        .map(|shape| shape.name)
        .chain(speech::SHAPES.iter().map(|shape| shape.name))
        .collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        bail!(
            "there is no model {unknown}; there are: {}",
            known.join(", ")
        );
    }
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|each| each == name);
    let ceilings = Ceilings::measure(device)?;
    println!(
        "copy {:.0} GB/s read and written, bf16 product {:.0} TFLOP/s",
        ceilings.bytes_per_s / 1e9,
        ceilings.flop_per_s / 1e12
    );
    let mut models = serde_json::Map::new();
    for shape in speech::SHAPES.iter().filter(|shape| chosen(shape.name)) {
        let figures = speech::measure(shape, device, scratch)?;
        models.insert(shape.name.to_owned(), figures);
    }
    for shape in llm::SHAPES.iter().filter(|shape| chosen(shape.name)) {
        let figures = llm::measure(shape, device, &ceilings, scratch)?;
        models.insert(shape.name.to_owned(), figures);
    }
    Ok(json!({
        "schema": 1,
        "card": {
            "name": card.name,
            "compute_capability": card.capability,
            "memory_mib": card.memory_mib,
            "multiprocessors": card.multiprocessors,
        },
        "build": { "compute_capability": COMPUTE_CAPABILITY, "cuda_major": CUDA_MAJOR },
        "ceilings": {
            "copy_gb_per_s": ceilings.bytes_per_s / 1e9,
            "bf16_tflop_per_s": ceilings.flop_per_s / 1e12,
        },
        "models": models,
    }))
}

/// How long a call takes, again and again, once it is warm.
fn times(
    warm: usize,
    count: usize,
    mut call: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Duration>> {
    for at in 0..warm {
        call(at)?;
    }
    (warm..warm + count)
        .map(|at| {
            let start = Instant::now();
            call(at)?;
            Ok(start.elapsed())
        })
        .collect()
}

/// The time that this share of calls stays within, in seconds.
fn quantile(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).map_or(0.0, Duration::as_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let times: Vec<Duration> = [5, 1, 3, 2, 4].map(Duration::from_secs).to_vec();
        assert_eq!(quantile(&times, 0.5), 3.0);
        assert_eq!(quantile(&times, 0.95), 5.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
