//! A product of two small matrices that stay in the nearest cache: a few queries by a block of
//! keys, or their weights by a block of values.

use pulp::Simd;

/// Columns come in multiples of this, the floats of the widest vector.
pub(crate) const COLUMNS: usize = 16;
/// Rows that are computed together; so many sums stay in registers, of which there are twice as
/// many where vectors are widest.
const ROWS: usize = 4;
const ROWS_OF_WIDEST: usize = 8;

/// `out[r][c] += sum over k of a[r][k] * b[k][c]`, all row by row; `a` has `inner` columns, `b`
/// and `out` have `columns`, a multiple of [`COLUMNS`].
///
/// Each sum is taken in the order of `k`, whatever the other rows are.
#[inline(always)]
pub(crate) fn add_product<S: Simd>(
    simd: S,
    a: &[f32],
    inner: usize,
    b: &[f32],
    columns: usize,
    out: &mut [f32],
) {
    let vectors = columns / S::F32_LANES;
    let (b, _) = S::as_simd_f32s(b);
    let mut left = a.len() / inner.max(1);
    let (mut a, mut out) = (a, out);
    while left > 0 {
        let rows = if S::F32_LANES == COLUMNS && left >= ROWS_OF_WIDEST {
            ROWS_OF_WIDEST
        } else {
            left.min(ROWS)
        };
        let (a_now, a_later) = a.split_at(rows * inner);
        let (out_now, out_later) = out.split_at_mut(rows * columns);
        let (sums, _) = S::as_mut_simd_f32s(out_now);
        match rows {
            8 => rows_of::<S, 8>(simd, a_now, inner, b, vectors, sums),
            4 => rows_of::<S, 4>(simd, a_now, inner, b, vectors, sums),
            3 => rows_of::<S, 3>(simd, a_now, inner, b, vectors, sums),
            2 => rows_of::<S, 2>(simd, a_now, inner, b, vectors, sums),
            _ => rows_of::<S, 1>(simd, a_now, inner, b, vectors, sums),
        }
        (a, out) = (a_later, out_later);
        left -= rows;
    }
}

#[inline(always)]
fn rows_of<S: Simd, const R: usize>(
    simd: S,
    a: &[f32],
    inner: usize,
    b: &[S::f32s],
    vectors: usize,
    sums: &mut [S::f32s],
) {
    let mut at = 0;
    while at + 2 <= vectors {
        panel::<S, R, 2>(simd, a, inner, b, vectors, at, sums);
        at += 2;
    }
    if at < vectors {
        panel::<S, R, 1>(simd, a, inner, b, vectors, at, sums);
    }
}

#[inline(always)]
fn panel<S: Simd, const R: usize, const C: usize>(
    simd: S,
    a: &[f32],
    inner: usize,
    b: &[S::f32s],
    vectors: usize,
    at: usize,
    sums: &mut [S::f32s],
) {
    let rows: [&[f32]; R] = std::array::from_fn(|r| &a[r * inner..(r + 1) * inner]);
    let mut found = [[simd.splat_f32s(0.0); C]; R];
    for (k, row) in b.chunks_exact(vectors).enumerate().take(inner) {
        let row = &row[at..at + C];
        for r in 0..R {
            let x = simd.splat_f32s(rows[r][k]);
            for c in 0..C {
                found[r][c] = simd.mul_add_f32s(x, row[c], found[r][c]);
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            let sum = &mut sums[r * vectors + at + c];
            *sum = simd.add_f32s(*sum, found[r][c]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Product<'a>(&'a [f32], usize, &'a [f32], usize, &'a mut [f32]);

    impl pulp::WithSimd for Product<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            add_product(simd, self.0, self.1, self.2, self.3, self.4);
        }
    }

    #[test]
    fn it_is_the_product_for_any_number_of_rows_and_vectors() {
        let number = |n: usize| ((n * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        for rows in 1..=9 {
            for (inner, columns) in [(1, 16), (7, 32), (64, 48)] {
                let a: Vec<f32> = (0..rows * inner).map(number).collect();
                let b: Vec<f32> = (0..inner * columns).map(|n| number(n + 5)).collect();
                let mut out = vec![1.0; rows * columns];
                pulp::Arch::new().dispatch(Product(&a, inner, &b, columns, &mut out));
                for (at, found) in out.iter().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let sum: f32 = (0..inner)
                        .map(|k| a[row * inner + k] * b[k * columns + column])
                        .sum();
                    assert!((found - 1.0 - sum).abs() < 1e-4);
                }
            }
        }
    }
}
