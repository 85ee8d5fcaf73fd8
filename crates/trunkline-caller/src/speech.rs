//! The caller's words as audio: spoken by the `flite` program, cut to where the voice is, and
//! passed through the band of a telephone line.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use trunkline_audio::{Wav, rms_dbfs};
use trunkline_leg::SAMPLE_RATE_HZ;

use crate::band::telephone_band;
use crate::scenario::Scenario;
use crate::voice::{BLOCK, VOICED_DBFS};

/// How loud the caller speaks: the usual active speech level of a telephone line.
const LEVEL_DBFS: f64 = -20.0;

/// The audio of each step, in their order; empty where a step has no words. 16 kHz.
pub(crate) async fn speak_all(scenario: &Scenario) -> Result<Vec<Vec<i16>>> {
    let folder = tempfile::tempdir().context("cannot make a folder for speech")?;
    let mut lines = Vec::with_capacity(scenario.steps.len());
    for step in &scenario.steps {
        lines.push(match step.text() {
            Some(text) => speak(&scenario.voice, text, folder.path()).await?,
            None => Vec::new(),
        });
    }
    Ok(lines)
}

async fn speak(voice: &str, text: &str, folder: &Path) -> Result<Vec<i16>> {
    let file = folder.join("line.wav");
    let output = Command::new("flite")
        .args(["-voice", voice, "-t", text, "-o"])
        .arg(&file)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start flite, the caller's voice; on Debian: apt-get install flite")?;
    if !output.status.success() {
        bail!("flite: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let bytes = std::fs::read(&file).context("flite wrote no audio")?;
    let mut pcm = Wav::parse(&bytes)?.mono_at(SAMPLE_RATE_HZ)?;
    telephone_band(&mut pcm);
    let mut pcm = trimmed(&pcm).to_vec();
    if pcm.is_empty() {
        bail!("flite said nothing for {text:?}");
    }
    set_level(&mut pcm);
    Ok(pcm)
}

/// Without the silence before and after, so that a turn ends when its voice does.
fn trimmed(pcm: &[i16]) -> &[i16] {
    let is_voiced = |block: &[i16]| rms_dbfs(block) >= VOICED_DBFS;
    let first = pcm.chunks(BLOCK).position(is_voiced);
    let last = pcm.chunks(BLOCK).rposition(is_voiced);
    match (first, last) {
        (Some(first), Some(last)) => &pcm[first * BLOCK..((last + 1) * BLOCK).min(pcm.len())],
        _ => &[],
    }
}

fn set_level(pcm: &mut [i16]) {
    let gain = 10f64.powf((LEVEL_DBFS - rms_dbfs(pcm)) / 20.0);
    for sample in pcm {
        *sample = (f64::from(*sample) * gain).clamp(-32_000.0, 32_000.0) as i16;
    }
}

#[cfg(test)]
mod tests {
    use trunkline_audio::Tone;

    use super::*;

    #[test]
    fn silence_around_the_voice_is_cut_and_the_level_is_set() {
        let mut pcm = vec![0; BLOCK * 10];
        pcm.extend(Tone::new(1000.0, -30.0, SAMPLE_RATE_HZ).take(BLOCK * 20));
        pcm.extend(vec![0; BLOCK * 7]);
        let mut voice = trimmed(&pcm).to_vec();
        assert_eq!(voice.len(), BLOCK * 20);
        set_level(&mut voice);
        assert!((rms_dbfs(&voice) - LEVEL_DBFS).abs() < 0.1);
        assert_eq!(trimmed(&[0; 500]), [0i16; 0]);
    }
}
