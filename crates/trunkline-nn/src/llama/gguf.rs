//! GGUF files: metadata by name, tensors by name, errors that name the file.

use std::cell::RefCell;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{DType, Device};

use crate::NnError;
use crate::files::expect_shape;

/// An open GGUF file.
pub(super) struct Gguf {
    file: PathBuf,
    content: Content,
    reader: RefCell<BufReader<File>>,
}

impl Gguf {
    pub(super) fn open(file: &Path) -> Result<Self, NnError> {
        let opened = File::open(file).and_then(|opened| {
            let length = opened.metadata()?.len();
            Ok((opened, length))
        });
        let (opened, length) = opened.map_err(|source| NnError::Read {
            file: file.to_owned(),
            source,
        })?;
        let mut reader = BufReader::new(opened);
        let content = Content::read(&mut reader).map_err(|error| NnError::damaged(file, error))?;
        let gguf = Self {
            file: file.to_owned(),
            content,
            reader: RefCell::new(reader),
        };
        gguf.check_length(length)?;
        Ok(gguf)
    }

    /// Finds a download that stopped early before any time is spent on loading it.
    fn check_length(&self, length: u64) -> Result<(), NnError> {
        for (name, tensor) in &self.content.tensor_infos {
            // The numbers are whatever the file says, so that nothing here may overflow.
            let dimensions = tensor.shape.dims().iter();
            let elements = dimensions.fold(1u64, |all, n| all.saturating_mul(*n as u64));
            let block = tensor.ggml_dtype.block_size() as u64;
            let bytes = (elements / block).saturating_mul(tensor.ggml_dtype.type_size() as u64);
            let start = self
                .content
                .tensor_data_offset
                .saturating_add(tensor.offset);
            let end = start.saturating_add(bytes);
            if end > length {
                let reason = format!("tensor {name} ends at byte {end}, the file at {length}");
                return Err(NnError::damaged(&self.file, reason));
            }
        }
        Ok(())
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    fn missing(&self, field: &str) -> NnError {
        NnError::MissingField {
            file: self.file.clone(),
            field: field.to_owned(),
        }
    }

    fn value(&self, key: &str) -> Result<&Value, NnError> {
        self.content
            .metadata
            .get(key)
            .ok_or_else(|| self.missing(key))
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, NnError> {
        let text = self.value(key)?.to_string();
        Ok(text.map_err(|_| self.missing(key))?.as_str())
    }

    /// A whole number, however wide it was written.
    pub(super) fn number(&self, key: &str) -> Result<usize, NnError> {
        let value = self.value(key)?;
        let number = match value {
            Value::I32(n) => u64::try_from(*n).ok(),
            Value::I64(n) => u64::try_from(*n).ok(),
            _ => value.to_u64().ok(),
        };
        number
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| self.missing(key))
    }

    /// A token id, if the file names one.
    pub(super) fn token(&self, key: &str) -> Option<u32> {
        u32::try_from(self.number(key).ok()?).ok()
    }

    pub(super) fn float(&self, key: &str) -> Result<f64, NnError> {
        match self.value(key)? {
            Value::F32(x) => Ok(f64::from(*x)),
            Value::F64(x) => Ok(*x),
            _ => Err(self.missing(key)),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.value(key).ok()?.to_bool().ok()
    }

    fn list<'a, T>(
        &'a self,
        key: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Vec<T>, NnError> {
        let values = self.value(key)?.to_vec().map_err(|_| self.missing(key))?;
        let list: Option<Vec<T>> = values.iter().map(read).collect();
        list.ok_or_else(|| self.missing(key))
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>, NnError> {
        self.list(key, |value| value.to_string().ok().map(String::as_str))
    }

    pub(super) fn integers(&self, key: &str) -> Result<Vec<i32>, NnError> {
        self.list(key, |value| value.to_i32().ok())
    }

    pub(super) fn floats(&self, key: &str) -> Result<Vec<f32>, NnError> {
        self.list(key, |value| value.to_f32().ok())
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    pub(super) fn tensor_shape(&self, name: &str) -> Result<&[usize], NnError> {
        let tensor = self.content.tensor_infos.get(name);
        let tensor = tensor.ok_or_else(|| NnError::MissingTensor {
            file: self.file.clone(),
            tensor: name.to_owned(),
        })?;
        Ok(tensor.shape.dims())
    }

    pub(super) fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        device: &Device,
    ) -> Result<QTensor, NnError> {
        expect_shape(&self.file, name, self.tensor_shape(name)?, shape)?;
        let mut reader = self.reader.borrow_mut();
        let tensor = self.content.tensor(&mut *reader, name, device);
        tensor.map_err(|error| NnError::damaged(&self.file, format!("tensor {name}: {error}")))
    }

    /// What Llama 3 divides its rotary frequencies by; a tensor in GGUF.
    pub(super) fn rotary_divisors(&self) -> Result<Option<Vec<f64>>, NnError> {
        const NAME: &str = "rope_freqs.weight";
        if !self.contains(NAME) {
            return Ok(None);
        }
        let shape = self.tensor_shape(NAME)?.to_vec();
        let tensor = self.tensor(NAME, &shape, &Device::Cpu)?;
        let values = tensor.dequantize(&Device::Cpu)?.to_dtype(DType::F64)?;
        Ok(Some(values.flatten_all()?.to_vec1()?))
    }
}
