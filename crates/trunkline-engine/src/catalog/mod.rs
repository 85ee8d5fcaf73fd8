//! The catalog: every model the product knows by name.
//!
//! The manifests of `models/catalog/` are compiled in, so that the program is one file and
//! `trunkline models list` works on a closed machine; a folder of the operator's own manifests
//! extends or replaces them. The catalog knows nothing of what is on the disk.

mod bundled;
mod embedded;
mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub(crate) use bundled::bundled_file;
pub use manifest::{Architecture, Manifest, ManifestFile, Source, Task};

use crate::EngineError;
use crate::error::at;

/// All manifests by name.
#[derive(Debug, Clone)]
pub struct Catalog {
    manifests: BTreeMap<String, Manifest>,
}

impl Catalog {
    /// The manifests that are compiled in.
    ///
    /// # Errors
    /// [`EngineError::Manifest`], which would be a fault of the build; a test guards it.
    pub fn embedded() -> Result<Self, EngineError> {
        let mut manifests = BTreeMap::new();
        for (file, text) in embedded::MANIFESTS {
            let manifest = Manifest::parse(file, text)?;
            manifests.insert(manifest.name.clone(), manifest);
        }
        Ok(Self { manifests })
    }

    /// Adds every `*.toml` of a folder. A name that exists already is replaced.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the folder cannot be read, [`EngineError::Manifest`] naming
    /// the file that is not valid.
    pub fn extend_from_folder(&mut self, folder: &Path) -> Result<(), EngineError> {
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let path = entry.map_err(at(folder))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                let text = fs::read_to_string(&path).map_err(at(&path))?;
                self.insert(Manifest::parse(&path.display().to_string(), &text)?);
            }
        }
        Ok(())
    }

    /// Adds one manifest; one of the same name is replaced.
    pub fn insert(&mut self, manifest: Manifest) {
        self.manifests.insert(manifest.name.clone(), manifest);
    }

    /// The manifest of this name.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`] with the nearest name.
    pub fn get(&self, name: &str) -> Result<&Manifest, EngineError> {
        self.manifests
            .get(name)
            .ok_or_else(|| EngineError::UnknownModel {
                name: name.to_owned(),
                nearest: self.nearest(name),
            })
    }

    /// All manifests, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.values()
    }

    fn nearest(&self, name: &str) -> Option<String> {
        self.manifests
            .keys()
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known.clone())
    }
}
