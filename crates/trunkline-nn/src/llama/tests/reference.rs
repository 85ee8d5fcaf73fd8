//! The network written the slow and obvious way, in f64, without a cache; and the comparison.

use std::collections::HashMap;

use super::made::{LAYERS, LLAMA, LLAMA_3, MISTRAL, QWEN_2, QWEN_3, Shape, VOCABULARY, weights};
use super::*;

type Matrix = Vec<Vec<f64>>;

struct Reference {
    shape: Shape,
    tensors: HashMap<String, (Vec<f64>, usize)>,
}

impl Reference {
    fn new(shape: Shape) -> Self {
        let tensors = weights(shape)
            .into_iter()
            .map(|(name, tensor)| {
                let columns = *tensor.dims().last().unwrap();
                let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                (name, (values.into_iter().map(f64::from).collect(), columns))
            })
            .collect();
        Self { shape, tensors }
    }

    fn rows(&self, name: &str) -> Matrix {
        let (values, columns) = &self.tensors[name];
        values.chunks(*columns).map(<[f64]>::to_vec).collect()
    }

    fn times(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let dot = |row: &Vec<f64>| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>();
        let mut product: Vec<f64> = self
            .rows(&format!("{name}.weight"))
            .iter()
            .map(dot)
            .collect();
        if let Some((bias, _)) = self.tensors.get(&format!("{name}.bias")) {
            product.iter_mut().zip(bias).for_each(|(p, b)| *p += b);
        }
        product
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        let scale = (mean + 1e-5).sqrt();
        let (weight, _) = &self.tensors[&format!("{name}.weight")];
        x.iter().zip(weight).map(|(v, w)| v / scale * w).collect()
    }

    fn frequency(&self, pair: usize) -> f64 {
        let width = self.shape.head_width as f64;
        let plain = 10_000f64.powf(-2.0 * pair as f64 / width);
        if !self.shape.stretched {
            return plain;
        }
        // Llama 3.1's rule in the words of its paper: by wavelength, in three cases.
        let wavelength = std::f64::consts::TAU / plain;
        let (trained, low, high, factor) = (64.0, 1.0, 4.0, 8.0);
        if wavelength < trained / high {
            plain
        } else if wavelength > trained / low {
            plain / factor
        } else {
            let smooth = (trained / wavelength - low) / (high - low);
            (1.0 - smooth) * plain / factor + smooth * plain
        }
    }

    fn rotated(&self, head: &[f64], position: usize) -> Vec<f64> {
        let half = head.len() / 2;
        let mut turned = head.to_vec();
        for pair in 0..half {
            let (sine, cosine) = (position as f64 * self.frequency(pair)).sin_cos();
            turned[pair] = head[pair] * cosine - head[pair + half] * sine;
            turned[pair + half] = head[pair + half] * cosine + head[pair] * sine;
        }
        turned
    }

    /// A head of a query or key, normed where the family does so.
    fn normed(&self, layer: usize, part: &str, head: Vec<f64>) -> Vec<f64> {
        if self.shape.head_norms {
            self.norm(
                &format!("model.layers.{layer}.self_attn.{part}_norm"),
                &head,
            )
        } else {
            head
        }
    }

    fn attention(&self, layer: usize, x: &Matrix) -> Matrix {
        let name = |part: &str| format!("model.layers.{layer}.self_attn.{part}_proj");
        let width = self.shape.head_width;
        let project =
            |part: &str| -> Matrix { x.iter().map(|x| self.times(&name(part), x)).collect() };
        let (queries, keys, values) = (project("q"), project("k"), project("v"));
        let part = |row: &[f64], head: usize| row[head * width..(head + 1) * width].to_vec();
        let shared = self.shape.heads / self.shape.kv_heads;
        (0..x.len())
            .map(|at| {
                let mut found = Vec::new();
                let seen = (at + 1).saturating_sub(self.shape.window.unwrap_or(usize::MAX))..=at;
                for head in 0..self.shape.heads {
                    let query = self.normed(layer, "q", part(&queries[at], head));
                    let query = self.rotated(&query, at);
                    let scores: Vec<f64> = seen
                        .clone()
                        .map(|other| {
                            let key = self.normed(layer, "k", part(&keys[other], head / shared));
                            let key = self.rotated(&key, other);
                            let dot: f64 = query.iter().zip(&key).map(|(a, b)| a * b).sum();
                            (dot / (width as f64).sqrt()).exp()
                        })
                        .collect();
                    let total: f64 = scores.iter().sum();
                    for column in 0..width {
                        let weighted = |(other, score): (usize, &f64)| {
                            let other = &values[seen.start() + other];
                            score * other[head / shared * width + column]
                        };
                        found.push(scores.iter().enumerate().map(weighted).sum::<f64>() / total);
                    }
                }
                self.times(&name("o"), &found)
            })
            .collect()
    }

    fn logits(&self, tokens: &[u32]) -> Matrix {
        let embedding = self.rows("model.embed_tokens.weight");
        let mut x: Matrix = tokens
            .iter()
            .map(|t| embedding[*t as usize].clone())
            .collect();
        let add = |x: &mut Matrix, y: Matrix| {
            for (x, y) in x.iter_mut().flatten().zip(y.into_iter().flatten()) {
                *x += y;
            }
        };
        for layer in 0..LAYERS {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let normed = |x: &Matrix, part: &str| -> Matrix {
                x.iter().map(|x| self.norm(&name(part), x)).collect()
            };
            let found = self.attention(layer, &normed(&x, "input_layernorm"));
            add(&mut x, found);
            let inner = normed(&x, "post_attention_layernorm");
            let inner = inner.iter().map(|x| {
                let gate = self.times(&name("mlp.gate_proj"), x);
                let up = self.times(&name("mlp.up_proj"), x);
                let gated: Vec<f64> = gate
                    .iter()
                    .zip(&up)
                    .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                    .collect();
                self.times(&name("mlp.down_proj"), &gated)
            });
            let inner = inner.collect();
            add(&mut x, inner);
        }
        let head = if self.shape.tied {
            "model.embed_tokens"
        } else {
            "lm_head"
        };
        x.iter()
            .map(|x| self.times(head, &self.norm("model.norm", x)))
            .collect()
    }
}

fn tokens() -> Vec<u32> {
    (0..24).map(|n| (n * 37 + 11) % VOCABULARY as u32).collect()
}

#[test]
fn every_member_of_the_family_equals_the_reference() {
    let windowed = Shape {
        window: Some(7),
        ..MISTRAL
    };
    for shape in [LLAMA, LLAMA_3, QWEN_2, QWEN_3, MISTRAL, windowed] {
        let model = made::load(shape, ComputePlan::Dense);
        let found = logits_of(&model.network, &tokens());
        let expected = Reference::new(shape).logits(&tokens());
        for (found, expected) in found.iter().zip(&expected) {
            let expected: Vec<f32> = expected.iter().map(|v| *v as f32).collect();
            assert_close(found, &expected, 2e-4);
        }
    }
}

#[test]
fn eight_bits_stay_near_the_reference() {
    let model = made::load(QWEN_2, ComputePlan::Packed);
    let found = logits_of(&model.network, &tokens());
    let expected = Reference::new(QWEN_2).logits(&tokens());
    for (found, expected) in found.iter().zip(&expected) {
        let expected: Vec<f32> = expected.iter().map(|v| *v as f32).collect();
        assert_close(found, &expected, 0.1);
    }
}
