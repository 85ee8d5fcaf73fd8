//! Running `flite`: text by its standard input, audio by a file in memory.
//!
//! No shell is involved, and the text is not an argument, which every user of the machine
//! could read in the list of processes. The audio goes through a file because the program
//! seeks in what it writes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;
use trunkline_audio::{Wav, resample};
use trunkline_inference::SAMPLE_RATE_HZ;

use super::cache::Key;
use crate::EngineError;
use crate::error::at;
use crate::store::require_program;

/// A file system in memory, present on every Linux.
const MEMORY_FOLDER: &str = "/dev/shm";
/// The longest text takes a second or two on a slow machine; beyond this the program hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether the program ended.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The program and what it can do.
#[derive(Debug, Clone)]
pub(super) struct Flite {
    path: PathBuf,
    voices: Vec<String>,
}

impl Flite {
    pub(super) fn find(program: &str, package: &str) -> Result<Self, EngineError> {
        let path = require_program(program, package)?;
        let listed = Command::new(&path).arg("-lv").stdin(Stdio::null()).output();
        let listed = listed.map_err(at(&path))?;
        Ok(Self {
            voices: voices_of(&String::from_utf8_lossy(&listed.stdout)),
            path,
        })
    }

    pub(super) fn voices(&self) -> &[String] {
        &self.voices
    }

    /// The program itself takes its first voice when it does not know one, so we ask first.
    pub(super) fn has_voice(&self, voice: &str) -> bool {
        self.voices.iter().any(|known| known == voice)
    }

    /// Speaks a clause; 16 kHz whatever the voice's own rate.
    pub(super) fn speak(&self, key: &Key) -> Result<Vec<i16>, EngineError> {
        let folder = Path::new(MEMORY_FOLDER);
        let audio = if folder.is_dir() {
            NamedTempFile::new_in(folder)
        } else {
            NamedTempFile::new()
        }
        .map_err(at(folder))?;
        let stretch = 100.0 / f64::from(key.speed_percent.max(1));
        let mut flite = Command::new(&self.path)
            .args(["-voice", &key.voice])
            .args(["--setf", &format!("duration_stretch={stretch:.3}")])
            .args(["-f", "-", "-o"])
            .arg(audio.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(at(&self.path))?;
        if let Some(mut input) = flite.stdin.take() {
            // A program that died early is judged by its status below.
            let _ = input.write_all(key.text.as_bytes());
            let _ = input.write_all(b"\n");
        }
        let status = self.wait(&mut flite)?;
        if !status.success() {
            return Err(self.failed(format!("it ended with {status}")));
        }
        let file = fs::read(audio.path()).map_err(at(audio.path()))?;
        let wav = Wav::parse(&file).map_err(|error| self.failed(error.to_string()))?;
        let rate = wav.format.sample_rate_hz;
        if rate == SAMPLE_RATE_HZ {
            return Ok(wav.samples);
        }
        resample(&wav.samples, rate, SAMPLE_RATE_HZ).map_err(|error| self.failed(error.to_string()))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of the pool, and nothing else to wait on"
    )]
    fn wait(&self, flite: &mut Child) -> Result<ExitStatus, EngineError> {
        let begun = Instant::now();
        loop {
            if let Some(status) = flite.try_wait().map_err(at(&self.path))? {
                return Ok(status);
            }
            if begun.elapsed() > PATIENCE {
                flite
                    .kill()
                    .and_then(|()| flite.wait())
                    .map_err(at(&self.path))?;
                return Err(self.failed(format!("it took longer than {PATIENCE:?}")));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn failed(&self, detail: String) -> EngineError {
        EngineError::ProgramFailed {
            program: self.path.display().to_string(),
            detail,
        }
    }
}

/// The names after the colon of "Voices available: kal awb slt".
fn voices_of(listed: &str) -> Vec<String> {
    listed
        .split_once(':')
        .map(|(_, names)| names.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default()
}
