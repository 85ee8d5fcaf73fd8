//! What can go wrong with models on disk and on their way to it. Each message is one that an
//! operator can act on; the detail of a library's error is its source or stands in brackets.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model could not be found, fetched, checked or started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No manifest has this name.
    #[error("there is no model named {name:?}{}", suggestion(.nearest))]
    UnknownModel {
        /// As asked for.
        name: String,
        /// The nearest name in the catalog, when one is near.
        nearest: Option<String>,
    },
    /// The model exists but its files are not on this disk.
    #[error("the model {name} is not installed: run `{command}`")]
    NotInstalled {
        /// Catalog name.
        name: String,
        /// What installs it.
        command: String,
    },
    /// The model does something else than what it is configured for.
    #[error("the model {name} is for {task}, not for {wanted}")]
    WrongTask {
        /// Catalog name.
        name: String,
        /// What it does.
        task: &'static str,
        /// What it was configured for.
        wanted: &'static str,
    },
    /// The model can be stored but not run.
    #[error("the model {name} cannot run here: {reason}")]
    NotRunnable {
        /// Catalog name.
        name: String,
        /// What is missing.
        reason: String,
    },
    /// The files are right but the model does not start.
    #[error("the model {name} does not start: {reason}")]
    Start {
        /// Catalog name.
        name: String,
        /// The detail.
        reason: String,
    },
    /// A manifest cannot be used.
    #[error("the manifest {file} is not valid: {reason}")]
    Manifest {
        /// Path, or name of an embedded one.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A file does not hold what it must.
    #[error("wrong checksum of {file}: expected sha256 {expected}, got {actual}")]
    Checksum {
        /// The file.
        file: String,
        /// Lower-case hexadecimal.
        expected: String,
        /// Lower-case hexadecimal.
        actual: String,
    },
    /// A file is cut short or too long.
    #[error("wrong size of {file}: expected {expected} bytes, got {actual}")]
    Size {
        /// The file.
        file: String,
        /// Bytes.
        expected: u64,
        /// Bytes.
        actual: u64,
    },
    /// A file of an installed model or of a bundle is gone.
    #[error("the file {file} of the model {name} is missing: run `trunkline models pull {name}`")]
    FileMissing {
        /// Catalog name.
        name: String,
        /// The file.
        file: String,
    },
    /// The disk is full, or a quota is used up.
    #[error("no space left on the disk while writing {}", .path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another process works on the same model.
    #[error("the model {name} is being installed or removed by another process")]
    Busy {
        /// Catalog name.
        name: String,
    },
    /// The memory does not hold a model beside those that are loaded.
    #[error(
        "the model {name} needs {needed_mib} MiB of memory and there are {left_mib} MiB left beside {beside}: raise models.memory_mib if the machine has more, or stop the program and start it with {name} instead"
    )]
    NoMemory {
        /// Catalog name.
        name: String,
        /// Rounded up.
        needed_mib: u64,
        /// Rounded down.
        left_mib: u64,
        /// The models that are loaded.
        beside: String,
    },
    /// The model is being exchanged already.
    #[error("the model {name} is being exchanged already: wait until that is done")]
    ExchangeUnderWay {
        /// What it is served as.
        name: String,
    },
    /// The model cannot be exchanged while it serves.
    #[error("{name} cannot be exchanged while it serves: {reason}")]
    NotExchangeable {
        /// What it is served as.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The hub answered with an error, or not at all.
    #[error("cannot fetch {url}: {reason}")]
    Fetch {
        /// What was asked for.
        url: String,
        /// The answer.
        reason: String,
    },
    /// The hub wants to know who asks.
    #[error(
        "the repository {repository} is gated: accept its licence on the hub and set HF_TOKEN or a token file ({status})"
    )]
    Gated {
        /// Owner and name.
        repository: String,
        /// The answer.
        status: u16,
    },
    /// A program of the operating system is missing.
    #[error("the program {program} is missing: install it with `apt-get install {package}`")]
    ProgramMissing {
        /// Name of the program.
        program: String,
        /// Debian package that holds it.
        package: String,
    },
    /// A program of the operating system failed.
    #[error("{program} failed: {detail}")]
    ProgramFailed {
        /// Name of the program.
        program: String,
        /// The end of what it said.
        detail: String,
    },
    /// The voice is none of the model's.
    #[error("{model} has no voice named {voice:?}; it has {known}")]
    UnknownVoice {
        /// Catalog name.
        model: String,
        /// As asked for.
        voice: String,
        /// The voices it has.
        known: String,
    },
    /// What is to be imported is not a bundle.
    #[error("{} is not a model bundle: {reason}", .path.display())]
    Bundle {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl EngineError {
    /// An error of the disk; a full one is told apart, since its cure is another one.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path: path.to_owned(),
            },
            _ => Self::Io {
                path: path.to_owned(),
                source,
            },
        }
    }
}

/// For `map_err` on an operation on `path`.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> EngineError + '_ {
    move |source| EngineError::io(path, source)
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}
