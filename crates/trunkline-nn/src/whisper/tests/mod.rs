//! What is relied on in the recogniser, by subject.

mod decoding;
mod invariance;
mod parity;
mod starter;

use std::path::PathBuf;

use candle_core::Device;

use super::*;

const FOLDER: &str = "../../models/starter/whisper-starter";

fn folder() -> PathBuf {
    PathBuf::from(FOLDER)
}

fn starter() -> Whisper {
    Whisper::load(&folder(), &Device::Cpu).unwrap()
}

fn full_window() -> WhisperOptions {
    WhisperOptions {
        language: Some("en".to_owned()),
        full_window: true,
        guards: Guards::once(),
        ..WhisperOptions::default()
    }
}

/// Samples at 16 kHz; files at 8 kHz are resampled.
fn read_wav(file: &str) -> Vec<f32> {
    let mut reader = hound::WavReader::open(folder().join(file)).unwrap();
    let rate = reader.spec().sample_rate;
    let pcm: Vec<f32> = reader
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32768.0)
        .collect();
    match rate {
        16_000 => pcm,
        8_000 => doubled(&pcm),
        other => panic!("{file} is at {other} Hz"),
    }
}

/// Twice the rate, by a windowed sinc.
fn doubled(pcm: &[f32]) -> Vec<f32> {
    const REACH: isize = 16;
    let at = |n: isize| usize::try_from(n).ok().and_then(|n| pcm.get(n)).copied();
    let between = |n: usize| -> f32 {
        (1 - REACH..=REACH)
            .map(|tap| {
                let x = std::f32::consts::PI * (0.5 - tap as f32);
                let window = (x / (2 * REACH) as f32).cos().powi(2);
                at(n as isize + tap).unwrap_or(0.0) * x.sin() / x * window
            })
            .sum()
    };
    (0..pcm.len()).flat_map(|n| [pcm[n], between(n)]).collect()
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from("tests/fixtures/whisper").join(name)
}

/// The numbers that the script of the fixtures makes for the same seed.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A window full of noise.
fn window(mels: usize, frames: usize, seed: u32) -> Window {
    Window {
        features: noise(mels * frames, seed),
        frames,
        samples: frames * HOP,
    }
}

/// What a window gives when nothing else is decoded.
fn alone(model: &Whisper, window: &Window, options: &WhisperOptions) -> Passage {
    let mut rows = model.rows(1).unwrap();
    model
        .join(&mut rows, vec![(window, options.clone())])
        .unwrap();
    loop {
        if let Some((_, passage)) = model.step(&mut rows).unwrap().pop() {
            return passage.unwrap();
        }
    }
}
