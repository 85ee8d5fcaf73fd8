//! Operations on rows of activations.

/// `x + delta`.
pub fn add(x: &[f64], delta: &[f64]) -> Vec<f64> {
    x.iter().zip(delta).map(|(x, delta)| x + delta).collect()
}

/// A row brought to a root mean square of 1, its columns weighed (Zhang and Sennrich 2019).
pub fn rms_norm(row: &[f64], weight: &[f64], epsilon: f64) -> Vec<f64> {
    let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
    let scale = (mean + epsilon).sqrt().recip();
    row.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
}

/// `silu(gate) * up` of a row of gates, then as many values (Shazeer 2020).
pub fn swiglu(row: &[f64]) -> Vec<f64> {
    let (gates, ups) = row.split_at(row.len() / 2);
    let unit = |gate: f64, up: f64| gate / (1.0 + (-gate).exp()) * up;
    gates.iter().zip(ups).map(|(g, u)| unit(*g, *u)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_has_a_root_mean_square_of_one() {
        let out = rms_norm(&[3.0, 4.0], &[1.0, 1.0], 0.0);
        assert!((out[0] * out[0] + out[1] * out[1] - 2.0).abs() < 1e-12);
        assert!((out[0] / out[1] - 0.75).abs() < 1e-12);
    }

    #[test]
    fn a_gate_at_zero_is_shut_and_a_large_one_is_open() {
        assert_eq!(swiglu(&[0.0, 7.0]), [0.0]);
        assert!((swiglu(&[40.0, 0.5])[0] - 20.0).abs() < 1e-9);
    }
}
