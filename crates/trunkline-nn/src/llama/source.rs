//! One view of both file formats: tensors by the names of Hugging Face, in its layout.

use std::path::Path;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{DType, Device, Tensor};

use super::config::Config;
use super::gguf::Gguf;
use crate::NnError;
use crate::files::Safetensors;

/// Where weights come from.
pub(super) enum Source {
    Gguf(Gguf),
    Safetensors(Safetensors),
}

/// A matrix as the file has it. Always on the CPU: it may have to be rearranged.
pub(super) enum Matrix {
    Dense(Tensor),
    Quantized(QTensor),
}

impl Matrix {
    pub(super) fn dense(&self) -> Result<Tensor, NnError> {
        Ok(match self {
            Self::Dense(tensor) => tensor.clone(),
            Self::Quantized(tensor) => tensor.dequantize(&Device::Cpu)?,
        })
    }
}

impl Source {
    pub(super) fn file(&self) -> &Path {
        match self {
            Self::Gguf(gguf) => gguf.file(),
            Self::Safetensors(file) => file.origin(),
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Gguf(gguf) => gguf.contains(&gguf_name(name)),
            Self::Safetensors(file) => file.contains(name),
        }
    }

    /// A vector in f32.
    pub(super) fn vector(
        &self,
        name: &str,
        length: usize,
        config: &Config,
    ) -> Result<Tensor, NnError> {
        let vector = match self {
            Self::Gguf(gguf) => {
                let tensor = gguf.tensor(&gguf_name(name), &[length], &Device::Cpu)?;
                tensor.dequantize(&Device::Cpu)?
            }
            Self::Safetensors(file) => file.tensor(name, &[length], DType::F32, &Device::Cpu)?,
        };
        match self.row_order(name, config) {
            Some(order) => Ok(vector.index_select(&Tensor::new(order, &Device::Cpu)?, 0)?),
            None => Ok(vector),
        }
    }

    /// A matrix of `outputs` rows of `inputs` weights.
    pub(super) fn matrix(
        &self,
        name: &str,
        outputs: usize,
        inputs: usize,
        config: &Config,
    ) -> Result<Matrix, NnError> {
        let shape = [outputs, inputs];
        match self {
            Self::Safetensors(file) => Ok(Matrix::Dense(file.tensor(
                name,
                &shape,
                DType::F32,
                &Device::Cpu,
            )?)),
            Self::Gguf(gguf) => {
                let tensor = gguf.tensor(&gguf_name(name), &shape, &Device::Cpu)?;
                Ok(Matrix::Quantized(match self.row_order(name, config) {
                    Some(order) => select_rows(&tensor, &order)?,
                    None => tensor,
                }))
            }
        }
    }

    /// GGUF files of the Llama architecture store the rows of queries and keys such that the
    /// two halves of a rotated pair are neighbours. Here a pair is half a head apart, as in
    /// Hugging Face's files and in GGUF files of Qwen. This gives, for each row here, its row
    /// in the file.
    fn row_order(&self, name: &str, config: &Config) -> Option<Vec<u32>> {
        let Self::Gguf(gguf) = self else { return None };
        if gguf.text("general.architecture").ok()?.starts_with("qwen") {
            return None;
        }
        let heads = if name.contains("self_attn.q_proj") {
            config.heads
        } else if name.contains("self_attn.k_proj") {
            config.kv_heads
        } else {
            return None;
        };
        let width = config.head_width;
        let row = move |head: usize, at: usize| {
            let (pair, half) = (at % (width / 2), at / (width / 2));
            (head * width + 2 * pair + half) as u32
        };
        let rows = (0..heads).flat_map(|head| (0..width).map(move |at| row(head, at)));
        Some(rows.collect())
    }
}

/// The rows of a quantized matrix in another order, or some of them, bit for bit.
fn select_rows(tensor: &QTensor, rows: &[u32]) -> Result<QTensor, NnError> {
    let (_, inputs) = tensor.shape().dims2()?;
    let dtype = tensor.dtype();
    let row_bytes = inputs / dtype.block_size() * dtype.type_size();
    let data = tensor.data()?;
    let mut selected = Vec::with_capacity(rows.len() * row_bytes);
    for row in rows {
        let start = *row as usize * row_bytes;
        selected.extend_from_slice(&data[start..start + row_bytes]);
    }
    let storage = QStorage::from_data(selected.into(), &Device::Cpu, dtype)?;
    Ok(QTensor::new(storage, (rows.len(), inputs))?)
}

/// The name in GGUF of a tensor of Hugging Face.
fn gguf_name(name: &str) -> String {
    let whole = [
        ("model.embed_tokens.", "token_embd."),
        ("model.norm.", "output_norm."),
        ("lm_head.", "output."),
    ];
    for (from, to) in whole {
        if let Some(rest) = name.strip_prefix(from) {
            return format!("{to}{rest}");
        }
    }
    let in_block = [
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
    ];
    let name = name.replacen("model.layers.", "blk.", 1);
    for (from, to) in in_block {
        if name.contains(from) {
            return name.replacen(from, to, 1);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::*;

    #[test]
    fn names_translate() {
        let pairs = [
            ("model.embed_tokens.weight", "token_embd.weight"),
            ("lm_head.weight", "output.weight"),
            ("model.layers.7.self_attn.q_proj.bias", "blk.7.attn_q.bias"),
            (
                "model.layers.0.input_layernorm.weight",
                "blk.0.attn_norm.weight",
            ),
            (
                "model.layers.12.post_attention_layernorm.weight",
                "blk.12.ffn_norm.weight",
            ),
        ];
        for (ours, theirs) in pairs {
            assert_eq!(gguf_name(ours), theirs);
        }
    }

    #[test]
    fn selected_rows_are_those_of_the_dense_matrix() {
        let dense = Tensor::rand(-1f32, 1.0, (8, 64), &Device::Cpu).unwrap();
        let quantized = QTensor::quantize(&dense, GgmlDType::Q4_1).unwrap();
        let all = quantized.dequantize(&Device::Cpu).unwrap();
        let some = select_rows(&quantized, &[6, 1]).unwrap();
        let some = some.dequantize(&Device::Cpu).unwrap().to_vec2::<f32>();
        let all = all.to_vec2::<f32>().unwrap();
        assert_eq!(some.unwrap(), [all[6].clone(), all[1].clone()]);
    }
}
