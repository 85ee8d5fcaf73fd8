//! Speech recognition: utterances of many callers in shared steps.

use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use serde_json::{Value, json};
use trunkline_nn::{Whisper, WhisperOptions, Window};

use super::{quantile, times};
use trunkline_engine_cuda::checkpoint::WhisperShape;

pub(super) const SHAPES: [WhisperShape; 1] = [WhisperShape {
    name: "whisper-large-v3-turbo",
    width: 1280,
    heads: 20,
    encoder_layers: 32,
    decoder_layers: 4,
    inner: 5120,
    mels: 128,
    vocabulary: 51_866,
}];

/// A caller's turn, and how much is said in it.
const SECONDS: usize = 5;
const TOKENS: usize = 20;
const ROWS: [usize; 3] = [1, 16, 64];

pub(super) fn measure(shape: &WhisperShape, device: &Device, scratch: &Path) -> Result<Value> {
    let model = {
        let folder = tempfile::tempdir_in(scratch)?;
        shape.write(folder.path())?;
        Whisper::load(folder.path(), device)?
    };
    let options = WhisperOptions {
        exact_tokens: Some(TOKENS),
        ..WhisperOptions::default()
    };
    let pcm: Vec<f32> = (0..SECONDS * 16_000)
        .map(|at| (at as f32 * 0.05).sin() * (at as f32 * 0.0007).sin() * 0.5)
        .collect();
    let window = model.window(&pcm, &options)?;
    let mut figures = serde_json::Map::new();
    let mut alone = 0.0;
    for rows in ROWS {
        let taken = times(1, 4, |_| together(&model, &window, &options, rows))?;
        let time = quantile(&taken, 0.5);
        let per_s = rows as f64 / time;
        if rows == 1 {
            alone = per_s;
        }
        let figure = json!({
            "batch_p50_ms": time * 1e3,
            "utterances_per_s": per_s,
            "audio_s_per_s": per_s * SECONDS as f64,
            "vs_one_at_a_time": per_s / alone,
        });
        println!("{} {rows} utterances: {figure}", shape.name);
        figures.insert(rows.to_string(), figure);
    }
    Ok(json!({ "utterance_s": SECONDS, "tokens": TOKENS, "rows": figures }))
}

/// From spectra to text, all in shared steps.
fn together(model: &Whisper, window: &Window, options: &WhisperOptions, rows: usize) -> Result<()> {
    let mut slots = model.rows(rows)?;
    let windows = (0..rows).map(|_| (window, options.clone())).collect();
    for joined in model.join(&mut slots, windows)? {
        joined?;
    }
    while slots.active() > 0 {
        model.step(&mut slots)?;
    }
    Ok(())
}
