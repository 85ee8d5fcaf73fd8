//! The WAV header (RIFF, PCM format 1) of our recordings, and its repair.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use crate::StoreError;

const SAMPLE_RATE_HZ: u32 = 16_000;
const CHANNELS: u16 = 2;

/// Bytes before the first sample.
pub(super) const HEADER_BYTES: u64 = 44;

/// Bytes of one sample of both channels.
pub(super) const FRAME_BYTES: u64 = 4;

/// How long `frames` play.
pub(super) fn duration(frames: u64) -> Duration {
    Duration::from_micros(frames.saturating_mul(1_000_000) / u64::from(SAMPLE_RATE_HZ))
}

/// The header of a file with this many frames. RIFF counts in 32 bits: past 18 hours the sizes
/// stay at their largest, which players read as "to the end of the file".
pub(super) fn header(frames: u64) -> [u8; HEADER_BYTES as usize] {
    let data = u32::try_from(frames.saturating_mul(FRAME_BYTES)).unwrap_or(u32::MAX);
    let riff = data.saturating_add(36);
    let block = 2 * CHANNELS;
    let mut header = [0; HEADER_BYTES as usize];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &riff.to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &CHANNELS.to_le_bytes(),
        &SAMPLE_RATE_HZ.to_le_bytes(),
        &(SAMPLE_RATE_HZ * u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        &16_u16.to_le_bytes(),
        b"data",
        &data.to_le_bytes(),
    ];
    let mut at = 0;
    for field in fields {
        header[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    }
    header
}

/// Cuts the file to whole frames and makes its header true. Returns the frames in it. A file that
/// died before its header was written becomes an empty recording.
pub(super) fn repair(path: &Path) -> Result<u64, StoreError> {
    let failed = |doing| move |error| StoreError::file(doing, path, error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed("open"))?;
    let bytes = file.metadata().map_err(failed("measure"))?.len();
    if bytes >= HEADER_BYTES {
        let mut magic = [0; 4];
        file.read_exact_at(&mut magic, 0).map_err(failed("read"))?;
        if &magic != b"RIFF" {
            return Err(StoreError::NotARecording {
                path: path.to_owned(),
                why: "it does not begin with RIFF",
            });
        }
    }
    let frames = bytes.saturating_sub(HEADER_BYTES) / FRAME_BYTES;
    file.set_len(HEADER_BYTES + frames * FRAME_BYTES)
        .map_err(failed("cut"))?;
    file.write_all_at(&header(frames), 0)
        .map_err(failed("write"))?;
    file.sync_all().map_err(failed("flush"))?;
    Ok(frames)
}
