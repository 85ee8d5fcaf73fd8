//! Import: a model that was carried here, as a folder, a `.tar` or a `.zip`.
//!
//! A bundle holds the files of a model and its manifest, `trunkline-model.toml`, beside them.
//! A plain folder named like a model of the catalog needs no manifest. A model that the
//! catalog knows must be as the catalog says; any other brings its own manifest, which is kept.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::check::stamp;
use super::lock::LockFile;
use super::stage::Stage;
use super::{InstalledModel, KEPT_MANIFEST, ModelStore, Progress, Trust};
use crate::error::at;
use crate::{EngineError, Manifest, ManifestFile};

/// A manifest is a page of text.
const MANIFEST_LIMIT_BYTES: u64 = 1 << 20;

impl ModelStore {
    /// Installs a model from a folder, a `.tar` or a `.zip`. What lies in the bundle beside
    /// the files that its manifest lists is left there.
    ///
    /// # Errors
    /// [`EngineError::Bundle`] when it is none, [`EngineError::Checksum`] or
    /// [`EngineError::FileMissing`] naming the file. Nothing is half-installed after any of them.
    pub fn import(
        &mut self,
        path: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<InstalledModel, EngineError> {
        let bundle = Bundle::open(path)?;
        let (own, prefix) = bundle.manifest()?;
        let name = match &own {
            Some(manifest) => manifest.name.clone(),
            None => folder_name(path)?,
        };
        let known = self.catalog.get(&name).ok().cloned();
        let manifest = known.clone().or_else(|| own.clone()).ok_or_else(|| {
            bundle.refuse(format!(
                "it has no {KEPT_MANIFEST} and {name:?} is not in the catalog"
            ))
        })?;
        fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
        let mut lock = LockFile::read(&self.lock_path(&manifest))?;
        let stage = Stage::begin(&self.folder, &manifest.name)?;
        let staged = stage_files(
            &bundle,
            &prefix,
            &manifest,
            own.as_ref(),
            &stage,
            &mut lock,
            progress,
        );
        if let Err(refusal) = staged {
            stage.discard()?;
            return Err(refusal);
        }
        if known.is_none() {
            let text = manifest.to_toml()?;
            stage.write(KEPT_MANIFEST, &mut text.as_bytes(), None, &mut |_| {})?;
            self.catalog.insert(manifest.clone());
        }
        lock.write(&self.lock_path(&manifest))?;
        stage.install()?;
        tracing::info!(model = manifest.name, "model imported");
        Ok(self.installed(&manifest, &lock, true))
    }
}

/// Copies the listed files out of the bundle, checking each against the bundle's own manifest
/// and against the catalog or the pins.
fn stage_files(
    bundle: &Bundle<'_>,
    prefix: &str,
    manifest: &Manifest,
    own: Option<&Manifest>,
    stage: &Stage,
    lock: &mut LockFile,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), EngineError> {
    let mut missing: Vec<&ManifestFile> = manifest.files.iter().collect();
    bundle.visit(&mut |path, size, content| {
        let Some(inner) = path.strip_prefix(prefix) else {
            return Ok(());
        };
        let Some(index) = missing.iter().position(|file| file.path == inner) else {
            return Ok(());
        };
        let file = missing.swap_remove(index);
        let actual = stage.write(&file.path, content, Some(size), progress)?;
        let label = format!("{}:{path}", bundle.path.display());
        let found = stamp(&stage.path(&file.path)?)?;
        if let Some(own) = own
            && let Some(listed) = own.files.iter().find(|other| other.path == file.path)
        {
            LockFile::default().accept(listed, &label, actual.clone(), found, Trust::FirstUse)?;
        }
        let pin = lock.accept(file, &label, actual, found, Trust::FirstUse)?;
        lock.set(&file.path, pin);
        Ok(())
    })?;
    match missing.first() {
        None => Ok(()),
        Some(file) => Err(bundle.refuse(format!("the file {} is missing", file.path))),
    }
}

fn folder_name(path: &Path) -> Result<String, EngineError> {
    let absolute = path.canonicalize().map_err(at(path))?;
    Ok(absolute
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default())
}

/// What is imported.
struct Bundle<'a> {
    path: &'a Path,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Folder,
    Tar,
    Zip,
}

/// Path inside the bundle with `/`, size in bytes, content.
type Visitor<'v> = dyn FnMut(&str, u64, &mut dyn Read) -> Result<(), EngineError> + 'v;

impl<'a> Bundle<'a> {
    fn open(path: &'a Path) -> Result<Self, EngineError> {
        let found = fs::metadata(path).map_err(at(path))?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        let kind = match extension {
            _ if found.is_dir() => Kind::Folder,
            Some("tar") => Kind::Tar,
            Some("zip") => Kind::Zip,
            _ => {
                return Err(EngineError::Bundle {
                    path: path.to_owned(),
                    reason: "it is neither a folder nor a .tar nor a .zip".to_owned(),
                });
            }
        };
        Ok(Self { path, kind })
    }

    /// The bundle's manifest and the folder in the bundle where it lies.
    fn manifest(&self) -> Result<(Option<Manifest>, String), EngineError> {
        let mut found = None;
        self.visit(&mut |path, _, content| {
            let prefix = match path.strip_suffix(KEPT_MANIFEST) {
                Some(prefix) if prefix.is_empty() || prefix.ends_with('/') => prefix,
                _ => return Ok(()),
            };
            if found.is_some() {
                return Err(self.refuse(format!("it has more than one {KEPT_MANIFEST}")));
            }
            let mut text = String::new();
            content
                .take(MANIFEST_LIMIT_BYTES)
                .read_to_string(&mut text)
                .map_err(at(self.path))?;
            let label = format!("{}:{path}", self.path.display());
            found = Some((Manifest::parse(&label, &text)?, prefix.to_owned()));
            Ok(())
        })?;
        Ok(match found {
            Some((manifest, prefix)) => (Some(manifest), prefix),
            None => (None, String::new()),
        })
    }

    /// Shows every file. A link in an archive is never followed.
    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<(), EngineError> {
        match self.kind {
            Kind::Folder => visit_folder(self.path, "", visitor),
            Kind::Tar => self.visit_tar(visitor),
            Kind::Zip => self.visit_zip(visitor),
        }
    }

    fn visit_tar(&self, visitor: &mut Visitor<'_>) -> Result<(), EngineError> {
        let broken = |error: io::Error| self.refuse(error.to_string());
        let mut archive = tar::Archive::new(File::open(self.path).map_err(at(self.path))?);
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let size = entry.size();
            visitor(path.trim_start_matches("./"), size, &mut entry)?;
        }
        Ok(())
    }

    fn visit_zip(&self, visitor: &mut Visitor<'_>) -> Result<(), EngineError> {
        let broken = |error: zip::result::ZipError| self.refuse(error.to_string());
        let file = File::open(self.path).map_err(at(self.path))?;
        let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(broken)?;
            if entry.is_file() {
                let path = entry.name().map_err(broken)?.into_owned();
                let size = entry.size();
                visitor(&path, size, &mut entry)?;
            }
        }
        Ok(())
    }

    fn refuse(&self, reason: String) -> EngineError {
        EngineError::Bundle {
            path: self.path.to_owned(),
            reason,
        }
    }
}

fn visit_folder(folder: &Path, prefix: &str, visitor: &mut Visitor<'_>) -> Result<(), EngineError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(at(&path))?;
        // Links to files are followed, since a hub's own cache is made of them; links to
        // folders are not, since they may lead in a circle.
        if kind.is_dir() {
            visit_folder(&path, &format!("{name}/"), visitor)?;
        } else if path.is_file() {
            let mut file = File::open(&path).map_err(at(&path))?;
            let size = file.metadata().map_err(at(&path))?.len();
            visitor(&name, size, &mut file)?;
        }
    }
    Ok(())
}
