//! Products with weights of 32 bits, laid out once so that nothing is packed when they are
//! used.
//!
//! For many rows this is as quick as a general product; for the few rows of a decoder's step it
//! reads the weights in the order in which they lie, on all threads. An output is computed in
//! the same order whatever the other rows are, bit for bit.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::parts::{Size, share};
use super::tile::add_product;

/// Outputs that are computed together: two of the widest vectors.
const PANEL: usize = 32;
/// Rows that meet a panel together.
const ROWS: usize = 8;
/// Rows of a part: their activations and a panel fit the second cache.
const ROWS_NEAR: usize = 96;

/// A matrix `(inputs, outputs)`, panel by panel of its outputs.
pub(crate) struct DenseMatrix {
    inputs: usize,
    outputs: usize,
    /// For each panel and input: the weights of its outputs, zeros after the last.
    panels: Vec<f32>,
}

impl DenseMatrix {
    /// `weights` are `inputs` rows of `outputs` numbers.
    pub(crate) fn new(inputs: usize, outputs: usize, weights: &[f32]) -> Self {
        let count = outputs.div_ceil(PANEL);
        let mut panels = vec![0f32; count * inputs * PANEL];
        for (n, panel) in panels.chunks_exact_mut(inputs * PANEL).enumerate() {
            let columns = n * PANEL..outputs.min((n + 1) * PANEL);
            let rows = weights.chunks_exact(outputs);
            for (to, row) in panel.chunks_exact_mut(PANEL).zip(rows) {
                to[..columns.len()].copy_from_slice(&row[columns.clone()]);
            }
        }
        Self {
            inputs,
            outputs,
            panels,
        }
    }

    /// Length of a row of output.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Multiplies rows of activations, one after another, on the threads of the current pool.
    /// `finish` is called once for each piece of a row of the result, with the number of the row
    /// and of the first column.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        finish: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let size = Size {
            rows: x.len() / self.inputs.max(1),
            inputs: self.inputs,
            outputs: self.outputs,
            tile: PANEL,
            rows_near: ROWS_NEAR,
        };
        let arch = Arch::new();
        share(size, |panels, rows, out| {
            arch.dispatch(Part {
                matrix: self,
                panels,
                x,
                rows,
                finish: &finish,
                out,
            });
        })
    }
}

struct Part<'a, F> {
    matrix: &'a DenseMatrix,
    panels: Range<usize>,
    x: &'a [f32],
    rows: Range<usize>,
    finish: &'a F,
    out: &'a mut [f32],
}

impl<F: Fn(usize, usize, &mut [f32])> WithSimd for Part<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let inputs = self.matrix.inputs;
        let from = self.panels.start * PANEL;
        let width = self.matrix.outputs.min(self.panels.end * PANEL) - from;
        for panel in self.panels {
            let weights = &self.matrix.panels[panel * inputs * PANEL..][..inputs * PANEL];
            let column = panel * PANEL - from;
            let columns = PANEL.min(width - column);
            for first in self.rows.clone().step_by(ROWS) {
                let rows = first..self.rows.end.min(first + ROWS);
                let x = &self.x[rows.start * inputs..rows.end * inputs];
                let mut found = [0f32; ROWS * PANEL];
                let found = &mut found[..rows.len() * PANEL];
                add_product(simd, x, inputs, weights, PANEL, found);
                for (row, found) in rows.zip(found.chunks_exact_mut(PANEL)) {
                    let found = &mut found[..columns];
                    (self.finish)(row, from + column, found);
                    let start = (row - self.rows.start) * width + column;
                    self.out[start..start + columns].copy_from_slice(found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: usize) -> f32 {
        ((n * 37 + 11) % 101) as f32 / 50.0 - 1.0
    }

    #[test]
    fn it_is_the_product_for_any_size_and_the_finish_sees_each_output_once() {
        for (rows, inputs, outputs) in [(1, 7, 5), (2, 64, 1_000), (9, 33, 96), (300, 64, 70)] {
            let weights: Vec<f32> = (0..inputs * outputs).map(number).collect();
            let x: Vec<f32> = (0..rows * inputs).map(|n| number(n + 5)).collect();
            let matrix = DenseMatrix::new(inputs, outputs, &weights);
            let found = matrix.forward(&x, |row, column, piece| {
                for (n, x) in piece.iter_mut().enumerate() {
                    *x += (row * outputs + column + n) as f32;
                }
            });
            assert_eq!(found.len(), rows * outputs);
            for (at, found) in found.iter().enumerate() {
                let (row, column) = (at / outputs, at % outputs);
                let sum: f32 = (0..inputs)
                    .map(|k| x[row * inputs + k] * weights[k * outputs + column])
                    .sum();
                let expected = sum + at as f32;
                assert!((found - expected).abs() < 1e-4 + expected * 1e-6);
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let weights: Vec<f32> = (0..64 * 1_000).map(number).collect();
        let matrix = DenseMatrix::new(64, 1_000, &weights);
        let x: Vec<f32> = (0..23 * 64).map(|n| number(3 * n + 1)).collect();
        let all = matrix.forward(&x, |_, _, _| {});
        for (x, together) in x.chunks_exact(64).zip(all.chunks_exact(1_000)) {
            assert_eq!(matrix.forward(x, |_, _, _| {}), together);
        }
    }
}
