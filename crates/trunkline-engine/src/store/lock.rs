//! The pins of one model: which bytes its files hold, and who vouched for them.
//!
//! A pin is also the memory of the last check (size and time of change), so that a start need
//! not hash gigabytes that nobody touched.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::check::Stamp;
use crate::error::at;
use crate::{EngineError, ManifestFile};

/// Who says that a file's checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The catalog, or the manifest of an imported bundle.
    Catalog,
    /// Nobody but the hub that sent it the first time.
    FirstUse,
}

/// What a file held when it was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Who vouched for it.
    pub trust: Trust,
    /// Time of change at the last check, in microseconds since 1970.
    pub changed_us: u64,
}

/// The pins of a model's files by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LockFile {
    /// The commit that a hub's branch meant at the first pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, Pin>,
}

impl LockFile {
    /// Empty when there is none yet.
    pub(super) fn read(path: &Path) -> Result<Self, EngineError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(EngineError::io(path, error)),
        };
        toml::from_str(&text).map_err(|error| EngineError::Manifest {
            file: path.display().to_string(),
            reason: error.to_string(),
        })
    }

    /// Replaces the file by one rename.
    pub(super) fn write(&self, path: &Path) -> Result<(), EngineError> {
        let text = toml::to_string(self).map_err(|error| EngineError::Manifest {
            file: path.display().to_string(),
            reason: error.to_string(),
        })?;
        let draft = path.with_extension("lock.part");
        let mut file = fs::File::create(&draft).map_err(at(&draft))?;
        file.write_all(b"# Written by trunkline. Delete this file to trust the next pull anew.\n")
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .map_err(at(&draft))?;
        fs::rename(&draft, path).map_err(at(path))
    }

    pub(super) fn get(&self, file: &str) -> Option<&Pin> {
        self.files.get(file)
    }

    pub(super) fn set(&mut self, file: &str, pin: Pin) {
        self.files.insert(file.to_owned(), pin);
    }

    /// The checksum that a file must have, when anybody knows: the catalog's word goes before
    /// an older pin, so that a new release of the product may bring a new version.
    pub(super) fn expected<'a>(&'a self, file: &'a ManifestFile) -> Option<&'a str> {
        file.sha256
            .as_deref()
            .or_else(|| self.get(&file.path).map(|pin| pin.sha256.as_str()))
    }

    /// A pin for a file that was just hashed, or the refusal. `unknown` is who is trusted
    /// when nobody knew the checksum before.
    pub(super) fn accept(
        &self,
        file: &ManifestFile,
        label: &str,
        actual: String,
        stamp: Stamp,
        unknown: Trust,
    ) -> Result<Pin, EngineError> {
        if let Some(expected) = self.expected(file).filter(|expected| *expected != actual) {
            return Err(EngineError::Checksum {
                file: label.to_owned(),
                expected: expected.to_owned(),
                actual,
            });
        }
        let trust = match (&file.sha256, self.get(&file.path)) {
            (Some(_), _) => Trust::Catalog,
            (None, Some(pin)) => pin.trust,
            (None, None) => unknown,
        };
        Ok(Pin {
            sha256: actual,
            size: stamp.size,
            trust,
            changed_us: stamp.changed_us,
        })
    }
}
