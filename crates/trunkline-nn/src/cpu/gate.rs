//! The gated unit between the two halves of a feed-forward layer (SwiGLU, Shazeer 2020), in one
//! pass over memory.

use rayon::prelude::*;

use super::softmax::exp;

/// Lines of less are not worth a second thread.
const PARALLEL_FROM: usize = 32_768;

/// Each row of `x` is a gate and what it lets through, of `inner` numbers each: gives
/// `gate * sigmoid(gate) * through`.
pub(crate) fn swiglu(x: &[f32], inner: usize) -> Vec<f32> {
    let mut out = vec![0f32; x.len() / 2];
    let line = |(out, x): (&mut [f32], &[f32])| {
        let (gate, through) = x.split_at(inner);
        pulp::Arch::new().dispatch(|| {
            for ((out, gate), through) in out.iter_mut().zip(gate).zip(through) {
                // The exponential of a negative number only, so that nothing overflows.
                let small = exp(-gate.abs());
                let share = if *gate < 0.0 { small } else { 1.0 };
                *out = gate * through * share / (1.0 + small);
            }
        });
    };
    if out.len() < PARALLEL_FROM {
        let lines = out.chunks_exact_mut(inner).zip(x.chunks_exact(2 * inner));
        lines.for_each(line);
    } else {
        let lines = out
            .par_chunks_exact_mut(inner)
            .zip(x.par_chunks_exact(2 * inner));
        lines.for_each(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_gate_times_its_sigmoid_times_what_it_lets_through() {
        for rows in [1, 3, 2_000] {
            let number = |at: usize| ((at * 37 + 11) % 401) as f32 / 10.0 - 20.0;
            let x: Vec<f32> = (0..rows * 2 * 24).map(number).collect();
            for (row, found) in swiglu(&x, 24).chunks_exact(24).enumerate() {
                for (column, found) in found.iter().enumerate() {
                    let gate = f64::from(x[row * 48 + column]);
                    let through = f64::from(x[row * 48 + 24 + column]);
                    let expected = gate / (1.0 + (-gate).exp()) * through;
                    let error = (f64::from(*found) - expected).abs();
                    assert!(
                        error <= 1e-6 * expected.abs().max(1e-3),
                        "{found} {expected}"
                    );
                }
            }
        }
    }
}
