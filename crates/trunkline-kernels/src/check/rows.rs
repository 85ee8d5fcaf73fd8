//! Checks of the operations on rows.

use super::Extent;
use super::compare::{Outcome, compare, poison};
use super::random::Random;
use crate::{Argument, KernelError, Machine, Number, reference, rows};

const EPSILON: f32 = 1e-5;

/// Rows and columns to try.
fn shapes(extent: Extent) -> &'static [(usize, usize)] {
    match extent {
        Extent::Small => &[(1, 1), (2, 31), (3, 32), (1, 33), (2, 576), (1, 1100)],
        Extent::Full => &[
            (1, 1),
            (3, 33),
            (1, 4096),
            (64, 4096),
            (2048, 896),
            (7, 14336),
        ],
    }
}

pub(super) fn add_rms_norm<M: Machine>(
    machine: &mut M,
    number: Number,
    extent: Extent,
) -> Result<Vec<Outcome>, KernelError> {
    let mut random = Random::new(1);
    let mut outcomes = Vec::new();
    for (rows, width) in shapes(extent).iter().copied() {
        let x = random.numbers(rows * width, number);
        let delta = random.numbers(rows * width, number);
        let weight = random.numbers(width, number);
        let out = machine.upload(&poison(number, 2 * rows * width))?;
        let (x_there, delta_there) = (
            machine.upload(&number.encode(&x))?,
            machine.upload(&number.encode(&delta))?,
        );
        let weight_there = machine.upload(&number.encode(&weight))?;
        machine.run(
            &rows::add_rms_norm(number, rows, width),
            &[
                Argument::Buffer(&out),
                Argument::Buffer(&x_there),
                Argument::Buffer(&delta_there),
                Argument::Buffer(&weight_there),
                Argument::Number(rows as u32),
                Argument::Number(width as u32),
                Argument::Float(EPSILON),
            ],
        )?;
        let sums: Vec<f64> = reference::add(&x, &delta)
            .iter()
            .map(|sum| number.round(*sum))
            .collect();
        let norms = sums
            .chunks_exact(width)
            .flat_map(|row| reference::rms_norm(row, &weight, f64::from(EPSILON)));
        let expected: Vec<f64> = sums.iter().copied().chain(norms).collect();
        let found = number.decode(&machine.download(&out)?);
        let case = format!("add_rms_norm {} ({rows}, {width})", number.name());
        outcomes.push(compare(case, number, &found, &expected));
    }
    Ok(outcomes)
}

pub(super) fn swiglu<M: Machine>(
    machine: &mut M,
    number: Number,
    extent: Extent,
) -> Result<Vec<Outcome>, KernelError> {
    let mut random = Random::new(2);
    let mut outcomes = Vec::new();
    for (rows, width) in shapes(extent).iter().copied() {
        let x: Vec<f64> = random.numbers(rows * 2 * width, number);
        // Gates far from zero as well, where the exponential is huge or nothing.
        let x: Vec<f64> = x.iter().map(|x| number.round(x * 60.0)).collect();
        let out = machine.upload(&poison(number, rows * width))?;
        let there = machine.upload(&number.encode(&x))?;
        machine.run(
            &rows::swiglu(number, rows, width),
            &[
                Argument::Buffer(&out),
                Argument::Buffer(&there),
                Argument::Number(width as u32),
            ],
        )?;
        let expected: Vec<f64> = x
            .chunks_exact(2 * width)
            .flat_map(reference::swiglu)
            .collect();
        let found = number.decode(&machine.download(&out)?);
        let case = format!("swiglu {} ({rows}, {width})", number.name());
        outcomes.push(compare(case, number, &found, &expected));
    }
    Ok(outcomes)
}
