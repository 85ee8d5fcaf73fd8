//! How the threads of the current pool share a product: by rows where there are many, else by
//! columns.

use std::ops::Range;

use rayon::prelude::*;

/// A part is not worth a thread of its own below so many products.
const PART_PRODUCTS: usize = 150_000;
/// From so many rows for each part on, the rows are split between threads, not the outputs.
const PARTS_OF_ROWS: usize = 8;

/// The size of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Outputs that are computed together.
    pub(crate) tile: usize,
    /// A part has at most so many rows, so that its activations stay near.
    pub(crate) rows_near: usize,
}

/// Fills `rows * outputs` numbers, part by part. `product` is given the tiles and the rows of a
/// part, and room for a line of these outputs for each of these rows.
pub(crate) fn share(
    size: Size,
    product: impl Fn(Range<usize>, Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    let Size { rows, outputs, .. } = size;
    let mut out = vec![0f32; rows * outputs];
    let threads = rayon::current_num_threads();
    let wanted = rows * size.inputs * outputs / PART_PRODUCTS;
    let parts = if threads > 1 {
        wanted.clamp(1, 2 * threads)
    } else {
        1
    };
    let tiles = outputs.div_ceil(size.tile);
    if rows >= PARTS_OF_ROWS * parts {
        let each = rows.div_ceil(parts).min(size.rows_near);
        let lines = out.par_chunks_mut(each * outputs).enumerate();
        lines.for_each(|(part, out)| {
            let first = part * each;
            product(0..tiles, first..rows.min(first + each), out);
        });
    } else if parts == 1 {
        product(0..tiles, 0..rows, &mut out);
    } else {
        by_columns(size, tiles.div_ceil(parts), product, &mut out);
    }
    out
}

/// Each thread computes some of the outputs of all rows.
fn by_columns(
    size: Size,
    each: usize,
    product: impl Fn(Range<usize>, Range<usize>, &mut [f32]) + Sync,
    out: &mut [f32],
) {
    let Size {
        rows,
        outputs,
        tile,
        ..
    } = size;
    let tiles = outputs.div_ceil(tile);
    let range = |part: usize| part * each..tiles.min((part + 1) * each);
    if rows == 1 {
        let parts = out.par_chunks_mut(each * tile).enumerate();
        return parts.for_each(|(part, out)| product(range(part), 0..1, out));
    }
    let parts: Vec<Vec<f32>> = (0..tiles.div_ceil(each))
        .into_par_iter()
        .map(|part| {
            let columns = outputs.min(range(part).end * tile) - part * each * tile;
            let mut found = vec![0f32; rows * columns];
            product(range(part), 0..rows, &mut found);
            found
        })
        .collect();
    for (row, line) in out.chunks_exact_mut(outputs).enumerate() {
        let pieces = line.chunks_mut(each * tile).zip(&parts);
        for (piece, part) in pieces {
            let columns = piece.len();
            piece.copy_from_slice(&part[row * columns..(row + 1) * columns]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_is_asked_for_once_and_lands_in_its_place() {
        for (rows, inputs, outputs) in [
            (1, 900, 1_000),
            (3, 2_000, 333),
            (5, 4, 7),
            (700, 300, 50),
            (1_000, 2, 3),
        ] {
            let size = Size {
                rows,
                inputs,
                outputs,
                tile: 16,
                rows_near: 64,
            };
            let found = share(size, |tiles, rows, out| {
                let (first, last) = (tiles.start * 16, outputs.min(tiles.end * 16));
                assert_eq!(out.len(), rows.len() * (last - first));
                for (row, line) in rows.zip(out.chunks_exact_mut(last - first)) {
                    for (column, out) in (first..).zip(line) {
                        *out += (row * outputs + column + 1) as f32;
                    }
                }
            });
            let wrong = found.iter().zip(1..).position(|(x, n)| *x != n as f32);
            assert_eq!(wrong, None, "{rows} rows of {outputs}");
        }
    }
}
