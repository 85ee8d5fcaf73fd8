//! The language model: decoding by rows, prompts, and many rows that share a prompt.

use std::path::Path;

use anyhow::Result;
use candle_core::Device;
use serde_json::{Value, json};
use trunkline_nn::llama::{KvPool, Llama, Row};

use super::ceilings::Ceilings;
use super::{quantile, times};
use trunkline_engine_cuda::checkpoint::LlamaShape;

pub(super) const SHAPES: [LlamaShape; 3] = [
    LlamaShape {
        name: "qwen2.5-0.5b",
        model_type: "qwen2",
        width: 896,
        layers: 24,
        heads: 14,
        kv_heads: 2,
        head_width: 64,
        inner: 4864,
        vocabulary: 151_936,
        tied: true,
        bias: true,
        head_norms: false,
        window: None,
    },
    LlamaShape {
        name: "llama-3.2-1b",
        model_type: "llama",
        width: 2048,
        layers: 16,
        heads: 32,
        kv_heads: 8,
        head_width: 64,
        inner: 8192,
        vocabulary: 128_256,
        tied: true,
        bias: false,
        head_norms: false,
        window: None,
    },
    LlamaShape {
        name: "llama-3.1-8b",
        model_type: "llama",
        width: 4096,
        layers: 32,
        heads: 32,
        kv_heads: 8,
        head_width: 128,
        inner: 14_336,
        vocabulary: 128_256,
        tied: false,
        bias: false,
        head_norms: false,
        window: None,
    },
];

const BLOCK: usize = 32;
/// Tokens that each row has behind it when it decodes.
const BEHIND: usize = 512;
/// Tokens decoded in a measurement.
const DECODED: usize = 48;
/// Rows of a measurement.
const ROWS: [usize; 4] = [1, 8, 64, 128];
/// The prompt that many rows share, and what each says after it.
const SHARED: usize = 1504;
const OWN: usize = 16;
const SHARING: usize = 64;

pub(super) fn measure(
    shape: &LlamaShape,
    device: &Device,
    ceilings: &Ceilings,
    scratch: &Path,
) -> Result<Value> {
    let model = {
        let folder = tempfile::tempdir_in(scratch)?;
        shape.write(folder.path())?;
        Llama::load(folder.path(), device)?
    };
    let per_row = (BEHIND + DECODED + BLOCK).div_ceil(BLOCK);
    let blocks = (ROWS[3] * per_row).max(SHARED / BLOCK + SHARING + 1);
    let mut pool = model.new_pool(blocks, BLOCK)?;
    let mut decode = serde_json::Map::new();
    for rows in ROWS {
        let figures = decoding(&model, &mut pool, shape, ceilings, rows, per_row)?;
        println!("{} decode {rows} rows: {figures}", shape.name);
        decode.insert(rows.to_string(), figures);
    }
    let prefill = prompt(&model, &mut pool, shape, ceilings)?;
    println!("{} prompt: {prefill}", shape.name);
    let shared = shared_prompt(&model, &mut pool, shape)?;
    println!("{} shared prompt: {shared}", shape.name);
    Ok(json!({ "decode": decode, "prompt": prefill, "shared_prompt": shared }))
}

fn tokens(shape: &LlamaShape, count: usize, seed: usize) -> Vec<u32> {
    (0..count)
        .map(|at| ((at * 7919 + seed * 104_729) % shape.vocabulary) as u32)
        .collect()
}

/// The blocks of row `row` when each has so many.
fn own_blocks(row: usize, per_row: usize) -> Vec<u32> {
    (row * per_row..(row + 1) * per_row)
        .map(|block| block as u32)
        .collect()
}

fn decoding(
    model: &Llama,
    pool: &mut KvPool,
    shape: &LlamaShape,
    ceilings: &Ceilings,
    rows: usize,
    per_row: usize,
) -> Result<Value> {
    let blocks: Vec<Vec<u32>> = (0..rows).map(|row| own_blocks(row, per_row)).collect();
    for (row, blocks) in blocks.iter().enumerate() {
        let behind = tokens(shape, BEHIND, row);
        let row = Row {
            tokens: &behind,
            start: 0,
            blocks,
            logits: 0,
        };
        model.step(pool, &[row])?;
    }
    let said = tokens(shape, DECODED, 7);
    let warm = 4;
    let taken = times(warm, DECODED - warm, |at| {
        let rows: Vec<Row<'_>> = blocks
            .iter()
            .map(|blocks| Row {
                tokens: &said[at..=at],
                start: BEHIND + at,
                blocks,
                logits: 1,
            })
            .collect();
        model.step(pool, &rows)?;
        Ok(())
    })?;
    let step = quantile(&taken, 0.5);
    let read = 2 * shape.multiplied() + rows * (BEHIND + DECODED / 2) * shape.kept_bytes();
    // The floor is of reading; a copy reads half of the bytes it moves, at the same rate.
    let floor = read as f64 / ceilings.bytes_per_s;
    Ok(json!({
        "step_p50_ms": step * 1e3,
        "step_p95_ms": quantile(&taken, 0.95) * 1e3,
        "tokens_per_s": rows as f64 / step,
        "share_of_bandwidth_floor": floor / step,
    }))
}

fn prompt(
    model: &Llama,
    pool: &mut KvPool,
    shape: &LlamaShape,
    ceilings: &Ceilings,
) -> Result<Value> {
    let prompt = tokens(shape, SHARED, 3);
    let blocks = own_blocks(0, SHARED / BLOCK);
    let taken = times(1, 5, |_| {
        let row = Row {
            tokens: &prompt,
            start: 0,
            blocks: &blocks,
            logits: 1,
        };
        model.step(pool, &[row])?;
        Ok(())
    })?;
    let step = quantile(&taken, 0.5);
    let layers = shape.multiplied() - shape.vocabulary * shape.width;
    let flop = 2.0 * SHARED as f64 * layers as f64;
    Ok(json!({
        "tokens": SHARED,
        "step_p50_ms": step * 1e3,
        "tokens_per_s": SHARED as f64 / step,
        "share_of_matmul_ceiling": flop / step / ceilings.flop_per_s,
    }))
}

/// All rows have one prompt behind them, computed once, and say something of their own: the step
/// after which each has its first token.
fn shared_prompt(model: &Llama, pool: &mut KvPool, shape: &LlamaShape) -> Result<Value> {
    let prompt = tokens(shape, SHARED, 3);
    let common = own_blocks(0, SHARED / BLOCK);
    let row = Row {
        tokens: &prompt,
        start: 0,
        blocks: &common,
        logits: 0,
    };
    model.step(pool, &[row])?;
    let own: Vec<Vec<u32>> = (0..SHARING).map(|row| tokens(shape, OWN, row)).collect();
    let blocks: Vec<Vec<u32>> = (0..SHARING)
        .map(|row| {
            let last = (common.len() + row) as u32;
            common.iter().copied().chain([last]).collect()
        })
        .collect();
    let taken = times(2, 20, |_| {
        let rows: Vec<Row<'_>> = own
            .iter()
            .zip(&blocks)
            .map(|(tokens, blocks)| Row {
                tokens,
                start: SHARED,
                blocks,
                logits: 1,
            })
            .collect();
        model.step(pool, &rows)?;
        Ok(())
    })?;
    Ok(json!({
        "rows": SHARING,
        "shared_tokens": SHARED,
        "own_tokens": OWN,
        "step_p50_ms": quantile(&taken, 0.5) * 1e3,
        "step_p95_ms": quantile(&taken, 0.95) * 1e3,
    }))
}
