//! Hashing files, and the cheap look that tells whether a file was touched since.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::{Pin, Progress, Step};
use crate::error::at;
use crate::{EngineError, ManifestFile};

/// Bytes read at a time; large enough that the calls do not count.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;

/// What can be seen of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) size: u64,
    pub(super) changed_us: u64,
}

pub(super) fn stamp(path: &Path) -> Result<Stamp, EngineError> {
    let found = fs::metadata(path).map_err(at(path))?;
    let changed = found.modified().map_err(at(path))?;
    let since_epoch = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Stamp {
        size: found.len(),
        changed_us: u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX),
    })
}

/// Whether a file looks as it did when its pin was written, and the pin is still what the
/// manifest asks for.
pub(super) fn matches_stamp(pin: &Pin, found: &Stamp, file: &ManifestFile) -> bool {
    pin.size == found.size
        && pin.changed_us == found.changed_us
        && file.sha256.as_ref().is_none_or(|hash| *hash == pin.sha256)
}

pub(super) fn require_size(path: &Path, expected: u64, actual: u64) -> Result<(), EngineError> {
    if expected == actual {
        return Ok(());
    }
    Err(EngineError::Size {
        file: path.display().to_string(),
        expected,
        actual,
    })
}

/// The checksum of a whole file, in lower-case hexadecimal.
pub(super) fn sha256_of_file(
    path: &Path,
    label: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<String, EngineError> {
    let mut file = File::open(path).map_err(at(path))?;
    let total = file.metadata().map_err(at(path))?.len();
    let mut hash = Sha256::new();
    let mut report = |done| {
        progress(Progress {
            step: Step::Check,
            file: label,
            done,
            total: Some(total),
        });
    };
    copy_blocks(&mut file, &mut report, |block| {
        hash.update(block);
        Ok(())
    })
    .map_err(at(path))?;
    Ok(hex(&hash.finalize()))
}

/// Reads to the end in blocks; `report` hears the bytes so far after each one.
pub(super) fn copy_blocks(
    from: &mut dyn Read,
    report: &mut dyn FnMut(u64),
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut done = 0;
    loop {
        let count = match from.read(&mut block) {
            Ok(0) => return Ok(done),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sink(&block[..count])?;
        done += count as u64;
        report(done);
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
