//! Checks of attention over slots.

use super::Extent;
use super::compare::{Outcome, compare, poison};
use super::random::Random;
use crate::reference::{Sequence, attend_slots};
use crate::{Argument, KernelError, Machine, Number, slots};

struct Case {
    heads: usize,
    width: usize,
    positions: usize,
    /// How much of each query's slot counts; a slot a query, in reverse.
    lengths: Vec<usize>,
}

fn cases(extent: Extent) -> Vec<Case> {
    let case = |heads, width, positions, lengths: &[usize]| Case {
        heads,
        width,
        positions,
        lengths: lengths.to_vec(),
    };
    match extent {
        Extent::Small => vec![
            case(1, 64, 4, &[1]),
            case(2, 64, 70, &[70, 32, 33]),
            case(1, 80, 150, &[150, 2]),
        ],
        Extent::Full => vec![
            case(6, 64, 448, &[1, 32, 129, 448]),
            case(20, 64, 1500, &[1500; 16]),
            case(8, 128, 300, &[299, 300]),
        ],
    }
}

pub(super) fn slots<M: Machine>(
    machine: &mut M,
    number: Number,
    extent: Extent,
) -> Result<Vec<Outcome>, KernelError> {
    let mut random = Random::new(4);
    cases(extent)
        .iter()
        .map(|case| slots_case(machine, number, case, &mut random))
        .collect()
}

fn slots_case<M: Machine>(
    machine: &mut M,
    number: Number,
    case: &Case,
    random: &mut Random,
) -> Result<Outcome, KernelError> {
    let count = case.lengths.len();
    let line = case.heads * case.width;
    let queries = random.numbers(count * line, number);
    let mut keys = random.numbers(count * case.positions * line, number);
    let mut values = random.numbers(count * case.positions * line, number);
    let slot = |query: usize| count - 1 - query;
    let mut asks = Vec::new();
    for (query, length) in case.lengths.iter().enumerate() {
        asks.extend([slot(query) as u32, *length as u32]);
        // What does not count must not be looked at.
        let start = slot(query) * case.positions * line;
        let rest = start + length * line..start + case.positions * line;
        keys[rest.clone()].fill(f64::NAN);
        values[rest].fill(f64::NAN);
    }
    let out = machine.upload(&poison(number, count * line))?;
    let there = [&queries, &keys, &values].map(|numbers| machine.upload(&number.encode(numbers)));
    let [queries_there, keys_there, values_there] = there;
    let bytes: Vec<u8> = asks.iter().flat_map(|x| x.to_le_bytes()).collect();
    let asks_there = machine.upload(&bytes)?;
    machine.run(
        &slots::attend(number, count, case.heads, case.width)?,
        &[
            Argument::Buffer(&out),
            Argument::Buffer(&queries_there?),
            Argument::Buffer(&keys_there?),
            Argument::Buffer(&values_there?),
            Argument::Buffer(&asks_there),
            Argument::Number(case.heads as u32),
            Argument::Number(case.width as u32),
            Argument::Number(case.positions as u32),
        ],
    )?;
    let mut expected = Vec::new();
    for (query, length) in case.lengths.iter().enumerate() {
        for head in 0..case.heads {
            let part = |from: &[f64], at: usize| {
                from[at * line + head * case.width..][..case.width].to_vec()
            };
            let first = slot(query) * case.positions;
            let sequence = Sequence {
                keys: (first..first + length).map(|at| part(&keys, at)).collect(),
                values: (first..first + length)
                    .map(|at| part(&values, at))
                    .collect(),
            };
            expected.extend(attend_slots(&part(&queries, query), &sequence, *length));
        }
    }
    let found = number.decode(&machine.download(&out)?);
    let name = format!(
        "attend_slots {} {} heads of {}, {count} queries of {} positions",
        number.name(),
        case.heads,
        case.width,
        case.positions
    );
    Ok(compare(name, number, &found, &expected))
}
