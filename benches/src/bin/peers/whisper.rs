//! The recogniser: utterances a second beside faster-whisper and whisper.cpp.
//!
//! The same whisper-tiny of random weights, the same number of tokens forced, and the same
//! length of audio for all; 29 seconds, so that nobody gains by a shorter window. Utterances come
//! all at once: faster-whisper takes them as one batch, whisper.cpp, which has none, one after
//! the other on all threads. faster-whisper computes in 32 bits like the product; whisper.cpp
//! reads weights of 16 bits only. What a short utterance gains by a short window is told apart.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::bail;
use serde::Deserialize;
use serde_json::json;
use trunkline_benches::{Better, Report};
use trunkline_nn::{Guards, Whisper, WhisperOptions, Window, cpu};

use crate::peer::{Environment, Peer, run};

const PROGRAM: &str = include_str!("whisper.py");
const ENVIRONMENT: Environment = Environment {
    name: "whisper",
    packages: &[
        "faster-whisper==1.2.1",
        "pywhispercpp==1.5.1",
        "safetensors==0.8.0",
    ],
    modules: "faster_whisper, pywhispercpp, safetensors",
    arguments: &[],
    variables: &[],
};
/// Tokens that each utterance is made to have.
const TOKENS: usize = 30;
/// The best of so many runs counts.
const RUNS: usize = 4;
/// A long utterance fills the window that the peers know only; a short one does not.
const LONG_SECONDS: usize = 29;
const SHORT_SECONDS: usize = 5;

const ROWS: [(usize, &str, &str, Option<f64>); 3] = [
    (
        1,
        "whisper_rows1_vs_faster_whisper",
        "whisper_rows1_vs_whispercpp",
        None,
    ),
    (
        4,
        "whisper_rows4_vs_faster_whisper",
        "whisper_rows4_vs_whispercpp",
        None,
    ),
    (
        8,
        "whisper_rows8_vs_faster_whisper",
        "whisper_rows8_vs_whispercpp",
        Some(1.0),
    ),
];

/// Measures and adds the figures to a report.
pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let home = ENVIRONMENT.install()?;
    let folder = checkpoint(&home)?;
    let model = Whisper::load(&folder, &cpu())?;
    let mut faster = start(&home, "faster-whisper", &folder)?;
    let mut cpp = start(&home, "whisper.cpp", &folder)?;
    for (rows, vs_faster, vs_cpp, goal) in ROWS {
        let best = race(&model, &mut [&mut faster, &mut cpp], rows, LONG_SECONDS)?;
        println!(
            "{rows} utterances of {LONG_SECONDS} s: {:.2} a second, faster-whisper {:.2}, whisper.cpp {:.2}",
            best[0], best[1], best[2]
        );
        report.add(vs_faster, best[0] / best[1], "x", goal, Better::Higher);
        report.add(vs_cpp, best[0] / best[2], "x", None, Better::Higher);
    }
    let best = race(&model, &mut [&mut faster], 8, SHORT_SECONDS)?;
    report.add(
        "whisper_rows8_short_vs_faster_whisper",
        best[0] / best[1],
        "x",
        None,
        Better::Higher,
    );
    Ok(())
}

/// Utterances a second: ours, then each peer's. All take turns.
fn race(
    model: &Whisper,
    peers: &mut [&mut Peer],
    rows: usize,
    seconds: usize,
) -> anyhow::Result<Vec<f64>> {
    let mut best = vec![0f64; peers.len() + 1];
    for _ in 0..RUNS {
        best[0] = best[0].max(rows as f64 / ours(model, rows, seconds)?);
        for (best, peer) in best[1..].iter_mut().zip(&mut *peers) {
            *best = best.max(rows as f64 / theirs(peer, rows, seconds)?);
        }
    }
    Ok(best)
}

/// Seconds from the audio to the last token.
fn ours(model: &Whisper, rows: usize, seconds: usize) -> anyhow::Result<f64> {
    let options = WhisperOptions {
        language: Some("en".to_owned()),
        exact_tokens: Some(TOKENS),
        full_window: seconds == LONG_SECONDS,
        guards: Guards::once(),
        ..WhisperOptions::default()
    };
    let audio: Vec<Vec<f32>> = (0..rows).map(|row| noise(row, seconds * 16_000)).collect();
    let mut slots = model.rows(rows)?;
    let begun = Instant::now();
    let windows = audio
        .iter()
        .map(|pcm| model.window(pcm, &options))
        .collect::<Result<Vec<Window>, _>>()?;
    let windows = windows.iter().map(|window| (window, options.clone()));
    for joined in model.join(&mut slots, windows.collect())? {
        joined?;
    }
    let mut said = 0;
    while slots.active() > 0 {
        for (_, passage) in model.step(&mut slots)? {
            said += passage?.tokens.len();
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    if said != rows * TOKENS {
        bail!("{said} tokens were said, not {}", rows * TOKENS);
    }
    Ok(seconds)
}

/// Another noise for each row.
fn noise(row: usize, samples: usize) -> Vec<f32> {
    let mut state = 1 + row as u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * 0.2
    };
    (0..samples).map(|_| next()).collect()
}

/// What a peer tells of a job.
#[derive(Deserialize)]
struct Outcome {
    seconds: f64,
    tokens: usize,
}

fn start(home: &Path, kind: &str, folder: &Path) -> anyhow::Result<Peer> {
    let threads = std::thread::available_parallelism()?.get();
    Peer::start(
        Command::new(home.join("bin/python"))
            .args(["-c", PROGRAM, kind])
            .arg(folder)
            .arg(threads.to_string()),
    )
}

/// Seconds that a peer takes for so many utterances.
fn theirs(peer: &mut Peer, rows: usize, seconds: usize) -> anyhow::Result<f64> {
    let outcome: Outcome =
        peer.run(&json!({ "seconds": seconds, "rows": rows, "tokens": TOKENS }))?;
    // whisper.cpp counts one more or less.
    if outcome.tokens.abs_diff(rows * TOKENS) > 2 * rows {
        bail!(
            "the peer said {} tokens for {rows} utterances",
            outcome.tokens
        );
    }
    Ok(outcome.seconds)
}

/// The checkpoint in the forms that each reads.
fn checkpoint(home: &Path) -> anyhow::Result<PathBuf> {
    let folder = home.join("checkpoint");
    if !folder.join("model.safetensors").is_file() {
        let python = home.join("bin/python");
        run(Command::new(python)
            .args(["-c", PROGRAM, "prepare"])
            .arg(&folder))?;
    }
    Ok(folder)
}
