//! Reading model folders: JSON files and safetensors, with errors that name what is wrong.

use std::path::{Path, PathBuf};

use candle_core::safetensors::BufferedSafetensors;
use candle_core::{DType, Device, Tensor};
use serde::de::DeserializeOwned;

use crate::NnError;

/// Reads a file whole.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, NnError> {
    std::fs::read(file).map_err(|source| NnError::Read {
        file: file.to_owned(),
        source,
    })
}

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T, NnError> {
    serde_json::from_slice(&read(file)?).map_err(|error| NnError::damaged(file, error))
}

/// Reads a JSON file that a model may come without.
pub(crate) fn read_json_if_there<T: DeserializeOwned + Default>(file: &Path) -> Result<T, NnError> {
    if file.exists() {
        read_json(file)
    } else {
        Ok(T::default())
    }
}

/// Reads a `tokenizer.json`.
pub(crate) fn read_tokenizer(file: &Path) -> Result<tokenizers::Tokenizer, NnError> {
    tokenizers::Tokenizer::from_bytes(read(file)?).map_err(|error| NnError::damaged(file, error))
}

/// The weights of a model folder: one safetensors file, or several.
pub(crate) struct Safetensors {
    /// What errors name: the file, or the folder when there are several.
    origin: PathBuf,
    shards: Vec<(PathBuf, BufferedSafetensors)>,
}

impl Safetensors {
    /// Opens all `*.safetensors` of a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, NnError> {
        let files = files_with_extension(folder, "safetensors")?;
        let origin = match files.as_slice() {
            [] => {
                return Err(NnError::Read {
                    file: folder.join("model.safetensors"),
                    source: std::io::ErrorKind::NotFound.into(),
                });
            }
            [one] => one.clone(),
            _ => folder.to_owned(),
        };
        let shards = files
            .into_iter()
            .map(|file| {
                let shard = BufferedSafetensors::new(read(&file)?)
                    .map_err(|error| NnError::damaged(&file, error))?;
                Ok((file, shard))
            })
            .collect::<Result<_, NnError>>()?;
        Ok(Self { origin, shards })
    }

    /// What errors should name.
    pub(crate) fn origin(&self) -> &Path {
        &self.origin
    }

    /// Whether a tensor of this name is there.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.shards.iter().any(|(_, shard)| shard.get(name).is_ok())
    }

    /// Loads a tensor of a known shape.
    pub(crate) fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor, NnError> {
        let Some((file, shard)) = self
            .shards
            .iter()
            .find(|(_, shard)| shard.get(name).is_ok())
        else {
            return Err(NnError::MissingTensor {
                file: self.origin.clone(),
                tensor: name.to_owned(),
            });
        };
        let tensor = shard.load(name, device)?;
        expect_shape(file, name, tensor.dims(), shape)?;
        Ok(tensor.to_dtype(dtype)?)
    }
}

/// Refuses a tensor of another shape.
pub(crate) fn expect_shape(
    file: &Path,
    name: &str,
    found: &[usize],
    expected: &[usize],
) -> Result<(), NnError> {
    if found == expected {
        return Ok(());
    }
    Err(NnError::WrongShape {
        file: file.to_owned(),
        tensor: name.to_owned(),
        expected: expected.to_vec(),
        found: found.to_vec(),
    })
}

/// The files of a folder with an extension, sorted by name.
pub(crate) fn files_with_extension(
    folder: &Path,
    extension: &str,
) -> Result<Vec<PathBuf>, NnError> {
    let unreadable = |source| NnError::Read {
        file: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
