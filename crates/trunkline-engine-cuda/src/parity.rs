//! Small networks of true architectures, on the card and on the processor, with the same random
//! weights.
//!
//! In 32 bits both must choose the same tokens; in 16 bits the card's logits must point the same
//! way. The processor's side is compared with other people's implementation in the tests of
//! `trunkline-nn`.

use anyhow::{Result, bail};
use candle_core::Device;
use trunkline_nn::llama::{ComputePlan, Llama, Row};
use trunkline_nn::{Whisper, WhisperOptions, cpu};

use crate::checkpoint::{LlamaShape, WhisperShape};

/// Tokens of the reply that must be the same.
const REPLY: usize = 48;
const CONTEXT: usize = 320;
/// The smallest cosine between logits of 16 and of 32 bits.
const COSINE: f64 = 0.999;
/// The largest distance between logits of 32 bits, whose size is about 1.
const DISTANCE: f64 = 2e-3;

const LLAMA: LlamaShape = LlamaShape {
    name: "llama",
    model_type: "llama",
    width: 256,
    layers: 3,
    heads: 8,
    kv_heads: 2,
    head_width: 64,
    inner: 512,
    vocabulary: 1000,
    tied: true,
    bias: false,
    head_norms: false,
    window: None,
};

const FAMILIES: [LlamaShape; 4] = [
    LLAMA,
    LlamaShape {
        name: "qwen2, 7 queries a key",
        model_type: "qwen2",
        width: 448,
        heads: 7,
        kv_heads: 1,
        bias: true,
        ..LLAMA
    },
    LlamaShape {
        name: "qwen3, heads of 128 with norms",
        model_type: "qwen3",
        head_width: 128,
        head_norms: true,
        tied: false,
        ..LLAMA
    },
    LlamaShape {
        name: "mistral, a window of 50",
        model_type: "mistral",
        heads: 4,
        kv_heads: 4,
        window: Some(50),
        ..LLAMA
    },
];

const WHISPER: WhisperShape = WhisperShape {
    name: "whisper",
    width: 128,
    heads: 2,
    encoder_layers: 2,
    decoder_layers: 2,
    inner: 256,
    mels: 80,
    vocabulary: 300,
};

/// Compares `device` with the processor. Prints each comparison; whether all held.
///
/// # Errors
/// What the networks say.
pub fn run(device: &Device) -> Result<bool> {
    let mut all = true;
    for shape in FAMILIES {
        all &= llama(&shape, device)?;
    }
    all &= whisper(device)?;
    Ok(all)
}

fn say(holds: bool, what: &str) -> bool {
    println!("{} {what}", if holds { "ok   " } else { "WRONG" });
    holds
}

fn llama(shape: &LlamaShape, device: &Device) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    shape.write(folder.path())?;
    let load = |device: &Device, plan| Llama::load_as(folder.path(), device, plan);
    let reference = Said::by(&load(&cpu(), ComputePlan::Dense)?, shape, None)?;
    let exact = Said::by(&load(device, ComputePlan::Exact)?, shape, None)?;
    let short = Said::by(
        &load(device, ComputePlan::Dense)?,
        shape,
        Some(&reference.tokens),
    )?;
    let distance = reference.distance(&exact);
    let cosine = reference.cosine(&short);
    let same = exact.tokens == reference.tokens;
    let name = shape.name;
    Ok(say(
        same && distance <= DISTANCE,
        &format!(
            "{name}: 32 bits, {REPLY} tokens the same: {same}, logits differ by {distance:.1e} of {DISTANCE:.0e} allowed"
        ),
    ) & say(
        cosine >= COSINE,
        &format!("{name}: 16 bits, smallest cosine of logits {cosine:.6}, at least {COSINE}"),
    ))
}

fn row<'a>(blocks: &'a [u32], tokens: &'a [u32], start: usize, logits: usize) -> Row<'a> {
    Row {
        tokens,
        start,
        blocks,
        logits,
    }
}

/// What a network said after a prompt, and with which logits.
struct Said {
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

impl Said {
    /// A long prompt in two pieces beside a short one, then token by token, each the likeliest
    /// or the one that is told.
    fn by(model: &Llama, shape: &LlamaShape, told: Option<&[u32]>) -> Result<Self> {
        let mut pool = model.new_pool(32, 32)?;
        let prompt: Vec<u32> = (0..150u32)
            .map(|at| (at * 37 + 11) % shape.vocabulary as u32)
            .collect();
        // Blocks out of order: nothing may depend on where they are.
        let blocks: Vec<u32> = (0..(CONTEXT / 32) as u32).map(|at| 2 * at + 1).collect();
        let others: Vec<u32> = (0..4).map(|at| 2 * at).collect();
        let other = Row {
            tokens: &prompt[5..38],
            start: 0,
            blocks: &others,
            logits: 0,
        };
        let (first, second) = prompt.split_at(97);
        model.step(&mut pool, &[other, row(&blocks, first, 0, 0)])?;
        let mut logits = model.step(&mut pool, &[row(&blocks, second, first.len(), 1)])?;
        let mut said = Self {
            tokens: Vec::new(),
            logits: Vec::new(),
        };
        for at in 0..REPLY {
            let Some(line) = logits.of(0).next() else {
                bail!("a step gave no logits");
            };
            said.logits.push(line.to_vec());
            let best = (0u32..)
                .zip(line)
                .max_by(|(_, a), (_, b)| a.total_cmp(b))
                .map(|(token, _)| token);
            let token = match told {
                Some(told) => told[at],
                None => best.unwrap_or_default(),
            };
            said.tokens.push(token);
            logits = model.step(&mut pool, &[row(&blocks, &[token], prompt.len() + at, 1)])?;
        }
        Ok(said)
    }

    fn pairs<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        let lines = self.logits.iter().zip(&other.logits);
        lines.map(|(a, b)| (a.as_slice(), b.as_slice()))
    }

    fn distance(&self, other: &Self) -> f64 {
        let distances = self
            .pairs(other)
            .flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())));
        distances.fold(0.0, |worst, distance| {
            if distance.is_nan() {
                f64::INFINITY
            } else {
                f64::max(worst, distance)
            }
        })
    }

    fn cosine(&self, other: &Self) -> f64 {
        let cosine = |(a, b): (&[f32], &[f32])| {
            let product = |a: &[f32], b: &[f32]| -> f64 {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum()
            };
            product(a, b) / (product(a, a) * product(b, b)).sqrt()
        };
        let cosines = self.pairs(other).map(cosine);
        cosines.fold(1.0, |worst, cosine| {
            if cosine.is_nan() {
                -1.0
            } else {
                f64::min(worst, cosine)
            }
        })
    }
}

fn whisper(device: &Device) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    WHISPER.write(folder.path())?;
    let said = |device: &Device| -> Result<Vec<Vec<u32>>> {
        let model = Whisper::load(folder.path(), device)?;
        let options = WhisperOptions {
            exact_tokens: Some(REPLY),
            ..WhisperOptions::default()
        };
        [3000, 16_000, 50_000]
            .iter()
            .map(|samples| {
                let pcm: Vec<f32> = (0..*samples)
                    .map(|at| (at as f32 * 0.05).sin() * (at as f32 * 0.0007).sin() * 0.5)
                    .collect();
                Ok(model.transcribe(&pcm, &options)?.tokens)
            })
            .collect()
    };
    let (expected, found) = (said(&cpu())?, said(device)?);
    Ok(say(
        expected == found && expected.iter().all(|said| !said.is_empty()),
        &format!(
            "{}: the same {REPLY} tokens of three utterances",
            WHISPER.name
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_computes_as_the_processor() {
        assert!(run(&cpu()).unwrap());
    }

    #[test]
    fn another_network_says_something_else() {
        let said = |window| {
            let shape = LlamaShape { window, ..LLAMA };
            let folder = tempfile::tempdir().unwrap();
            shape.write(folder.path()).unwrap();
            let model = Llama::load_as(folder.path(), &cpu(), ComputePlan::Dense).unwrap();
            Said::by(&model, &shape, None).unwrap()
        };
        let (all, near) = (said(None), said(Some(8)));
        assert!(all.distance(&near) > DISTANCE);
        assert!(all.cosine(&near) < COSINE);
    }
}
