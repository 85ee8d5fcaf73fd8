//! How near a result is to its reference.

use std::fmt;

use crate::Number;

/// What one case of a check came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What was tried, with its shape.
    pub case: String,
    /// The largest distance, as a share of the reference's size or of 1, whichever is larger.
    pub worst: f64,
    /// How large it may be.
    pub allowed: f64,
    /// The cosine between result and reference.
    pub cosine: f64,
}

impl Outcome {
    /// Whether it is near enough.
    pub fn passed(&self) -> bool {
        // A comparison with a number that is none fails.
        self.worst <= self.allowed
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed() { "ok" } else { "WRONG" };
        write!(
            f,
            "{word:<5} {} worst {:.1e} of {:.0e} allowed, cosine {:.7}",
            self.case, self.worst, self.allowed, self.cosine
        )
    }
}

/// A result that was never written is poison, and fails.
pub(super) fn compare(case: String, number: Number, found: &[f64], expected: &[f64]) -> Outcome {
    let allowed = match number {
        Number::F32 => 2e-5,
        // Half a step of the last of eight bits is 2e-3 of a number.
        Number::BF16 => 8e-3,
    };
    let mut worst: f64 = if found.len() == expected.len() {
        0.0
    } else {
        f64::INFINITY
    };
    let (mut product, mut a, mut b) = (0.0, 0.0, 0.0);
    for (found, expected) in found.iter().zip(expected) {
        let distance = (found - expected).abs() / expected.abs().max(1.0);
        worst = if distance.is_nan() {
            f64::INFINITY
        } else {
            worst.max(distance)
        };
        product += found * expected;
        a += found * found;
        b += expected * expected;
    }
    Outcome {
        case,
        worst,
        allowed,
        cosine: if a == b {
            product / a.max(f64::MIN_POSITIVE)
        } else {
            product / (a * b).sqrt()
        },
    }
}

/// Memory of so many numbers that are none.
pub(super) fn poison(number: Number, count: usize) -> Vec<u8> {
    number.encode(&vec![f64::NAN; count])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poison_fails_wherever_it_stands() {
        for at in 0..3 {
            let mut found = vec![1.0; 3];
            found[at] = f64::NAN;
            let outcome = compare(String::new(), Number::F32, &found, &[1.0; 3]);
            assert!(!outcome.passed());
        }
    }

    #[test]
    fn a_result_that_is_too_short_fails() {
        assert!(!compare(String::new(), Number::F32, &[1.0], &[1.0; 2]).passed());
    }
}
