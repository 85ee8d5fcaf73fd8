//! Checks of attention over blocks: new keys and values are stored, all are asked, blocks are
//! copied.

use super::Extent;
use super::compare::{Outcome, compare, poison};
use super::random::Random;
use crate::paged::{Shape, copy_block};
use crate::reference::{Sequence, attend_tokens, turned};
use crate::{Argument, KernelError, Machine, Number};

struct Case {
    shape: Shape,
    norms: bool,
    splits: usize,
    /// Tokens that each sequence has stored, and new ones.
    rows: Vec<(usize, usize)>,
}

fn case(
    (heads, kv_heads, width): (usize, usize, usize),
    block_tokens: usize,
    window: Option<usize>,
    norms: bool,
    splits: usize,
    rows: &[(usize, usize)],
) -> Case {
    Case {
        shape: Shape {
            heads,
            kv_heads,
            width,
            padded: width.next_multiple_of(16),
            block_tokens,
            window,
            epsilon: 1e-6,
        },
        norms,
        splits,
        rows: rows.to_vec(),
    }
}

fn cases(extent: Extent) -> Vec<Case> {
    match extent {
        Extent::Small => vec![
            case((1, 1, 2), 16, None, false, 1, &[(0, 1)]),
            case((4, 2, 24), 16, None, true, 1, &[(0, 3), (17, 1), (31, 2)]),
            case((3, 1, 64), 32, Some(5), false, 1, &[(40, 1), (0, 1)]),
            case((7, 1, 64), 32, None, false, 3, &[(130, 1), (2, 1)]),
            case((2, 2, 80), 48, Some(40), true, 2, &[(95, 2)]),
            case((9, 1, 130), 32, None, false, 2, &[(33, 1)]),
        ],
        Extent::Full => vec![
            case((1, 1, 2), 16, None, false, 1, &[(0, 1)]),
            case(
                (32, 8, 128),
                32,
                None,
                false,
                1,
                &[(0, 40), (700, 1), (31, 1)],
            ),
            case((32, 8, 128), 32, None, true, 7, &[(3000, 1), (0, 1)]),
            case((14, 2, 64), 32, None, false, 4, &[(1500, 1); 8]),
            case(
                (32, 8, 128),
                32,
                Some(100),
                false,
                2,
                &[(900, 3), (98, 4), (0, 1)],
            ),
            case((9, 3, 64), 16, None, false, 1, &[(0, 300), (64, 33)]),
            case((8, 1, 256), 32, None, false, 3, &[(400, 2)]),
        ],
    }
}

pub(super) fn paged<M: Machine>(
    machine: &mut M,
    number: Number,
    extent: Extent,
) -> Result<Vec<Outcome>, KernelError>
where
    M::Buffer: 'static,
{
    let mut random = Random::new(3);
    let mut outcomes = Vec::new();
    for case in cases(extent) {
        let trial = Trial::new(&case, number, &mut random);
        outcomes.extend(trial.run(machine)?);
    }
    Ok(outcomes)
}

/// A case with its numbers.
struct Trial<'a> {
    case: &'a Case,
    number: Number,
    /// The blocks of each sequence.
    tables: Vec<Vec<usize>>,
    /// Of each new token its sequence and position.
    tokens: Vec<(usize, usize)>,
    keys: Vec<f64>,
    values: Vec<f64>,
    projected: Vec<f64>,
    turns: Vec<f64>,
    query_norm: Vec<f64>,
    key_norm: Vec<f64>,
}

impl<'a> Trial<'a> {
    fn new(case: &'a Case, number: Number, random: &mut Random) -> Self {
        let shape = &case.shape;
        let needed = |(start, count): &(usize, usize)| (start + count).div_ceil(shape.block_tokens);
        // One block more than is used: it must stay as it is, and takes the copy.
        let blocks = case.rows.iter().map(needed).sum::<usize>() + 1;
        let mut order = random.order(blocks - 1).into_iter();
        let tables = case
            .rows
            .iter()
            .map(|row| order.by_ref().take(needed(row)).collect())
            .collect();
        let tokens: Vec<(usize, usize)> = (case.rows.iter().enumerate())
            .flat_map(|(row, (start, count))| (*start..start + count).map(move |at| (row, at)))
            .collect();
        let mut turns = Vec::new();
        for (_, position) in &tokens {
            let angle = |at: usize| *position as f64 * 0.9f64.powi(at as i32);
            turns.extend((0..shape.width / 2).map(|at| Number::F32.round(angle(at).cos())));
            turns.extend((0..shape.width / 2).map(|at| Number::F32.round(angle(at).sin())));
        }
        let mut trial = Self {
            case,
            number,
            tables,
            keys: vec![f64::NAN; blocks * shape.block_keys()],
            values: vec![f64::NAN; blocks * shape.block_values()],
            projected: random.numbers(tokens.len() * shape.columns(), number),
            turns,
            query_norm: random.numbers(shape.width, Number::F32),
            key_norm: random.numbers(shape.width, Number::F32),
            tokens,
        };
        for (row, (start, _)) in case.rows.iter().enumerate() {
            for position in 0..*start {
                for head in 0..shape.kv_heads {
                    let key = random.numbers(shape.width, number);
                    let value = random.numbers(shape.width, number);
                    trial.put(row, position, head, &key, &value);
                }
            }
        }
        trial
    }

    /// Where a column of a key lies.
    fn key_at(&self, row: usize, position: usize, head: usize, column: usize) -> usize {
        let shape = &self.case.shape;
        let block = self.tables[row][position / shape.block_tokens];
        let line = (block * shape.kv_heads + head) * shape.width + column;
        line * shape.block_tokens + position % shape.block_tokens
    }

    /// Where a column of a value lies.
    fn value_at(&self, row: usize, position: usize, head: usize, column: usize) -> usize {
        let shape = &self.case.shape;
        let block = self.tables[row][position / shape.block_tokens];
        let line = (block * shape.kv_heads + head) * shape.block_tokens;
        (line + position % shape.block_tokens) * shape.padded + column
    }

    fn put(&mut self, row: usize, position: usize, head: usize, key: &[f64], value: &[f64]) {
        for column in 0..key.len() {
            let at = self.key_at(row, position, head, column);
            self.keys[at] = key[column];
            let at = self.value_at(row, position, head, column);
            self.values[at] = value[column];
        }
    }

    /// A head of what is projected for a token: queries, then keys, then values.
    fn head(&self, token: usize, head: usize) -> &[f64] {
        let shape = &self.case.shape;
        &self.projected[token * shape.columns() + head * shape.width..][..shape.width]
    }

    fn turned(&self, token: usize, head: usize, norm: &[f64]) -> Vec<f64> {
        let shape = &self.case.shape;
        let norm = self.case.norms.then_some((norm, f64::from(shape.epsilon)));
        let turns = &self.turns[token * shape.width..][..shape.width];
        turned(self.head(token, head), norm, turns)
    }

    fn name(&self, kernel: &str) -> String {
        let shape = &self.case.shape;
        format!(
            "{kernel} {} {}/{} heads of {}, blocks of {}, window {:?}, splits {}, rows {:?}",
            self.number.name(),
            shape.heads,
            shape.kv_heads,
            shape.width,
            shape.block_tokens,
            shape.window,
            self.case.splits,
            &self.case.rows[..self.case.rows.len().min(3)],
        )
    }

    fn run<M: Machine>(mut self, machine: &mut M) -> Result<Vec<Outcome>, KernelError>
    where
        M::Buffer: 'static,
    {
        let (number, shape) = (self.number, self.case.shape);
        shape.check()?;
        let keys = machine.upload(&number.encode(&self.keys))?;
        let values = machine.upload(&number.encode(&self.values))?;
        let projected = machine.upload(&number.encode(&self.projected))?;
        let turns = machine.upload(&Number::F32.encode(&self.turns))?;
        let stored = self.store(machine, &keys, &values, &projected, &turns)?;
        let attended = self.attend(machine, &keys, &values, &projected, &turns)?;
        let copied = self.copy(machine, &keys)?;
        Ok(vec![stored, attended, copied])
    }

    /// Afterwards the numbers here are those of the machine.
    fn store<M: Machine>(
        &mut self,
        machine: &mut M,
        keys: &M::Buffer,
        values: &M::Buffer,
        projected: &M::Buffer,
        turns: &M::Buffer,
    ) -> Result<Outcome, KernelError>
    where
        M::Buffer: 'static,
    {
        let (number, shape) = (self.number, self.case.shape);
        let slots: Vec<u8> = (self.tokens.iter())
            .flat_map(|(row, position)| {
                let block = self.tables[*row][position / shape.block_tokens];
                let slot = block * shape.block_tokens + position % shape.block_tokens;
                (slot as u32).to_le_bytes()
            })
            .collect();
        let slots = machine.upload(&slots)?;
        let norm = machine.upload(&Number::F32.encode(&self.key_norm))?;
        let mut arguments = vec![
            Argument::Buffer(keys),
            Argument::Buffer(values),
            Argument::Buffer(projected),
            Argument::Buffer(turns),
            if self.case.norms {
                Argument::Buffer(&norm)
            } else {
                Argument::Nothing
            },
            Argument::Buffer(&slots),
        ];
        arguments.extend(shape.arguments());
        machine.run(&shape.store(number, self.tokens.len()), &arguments)?;
        let tokens = self.tokens.clone();
        for (token, (row, position)) in tokens.into_iter().enumerate() {
            for head in 0..shape.kv_heads {
                let key = self.turned(token, shape.heads + head, &self.key_norm);
                let value = self
                    .head(token, shape.heads + shape.kv_heads + head)
                    .to_vec();
                self.put(row, position, head, &key, &value);
            }
        }
        // Poison here and there counts as equal, anything else in its place does not.
        let plain = |numbers: &[f64]| -> Vec<f64> {
            numbers
                .iter()
                .map(|x| if x.is_nan() { 1e9 } else { *x })
                .collect()
        };
        let found_keys = number.decode(&machine.download(keys)?);
        let found_values = number.decode(&machine.download(values)?);
        let found = [plain(&found_keys), plain(&found_values)].concat();
        let expected = [plain(&self.keys), plain(&self.values)].concat();
        let outcome = compare(self.name("store"), number, &found, &expected);
        (self.keys, self.values) = (found_keys, found_values);
        Ok(outcome)
    }

    fn attend<M: Machine>(
        &self,
        machine: &mut M,
        keys: &M::Buffer,
        values: &M::Buffer,
        projected: &M::Buffer,
        turns: &M::Buffer,
    ) -> Result<Outcome, KernelError>
    where
        M::Buffer: 'static,
    {
        let (number, shape, splits) = (self.number, self.case.shape, self.case.splits);
        let count = self.tokens.len();
        let mut starts = Vec::new();
        let mut table: Vec<u32> = Vec::new();
        for blocks in &self.tables {
            starts.push(table.len());
            table.extend(blocks.iter().map(|block| *block as u32));
        }
        let queries: Vec<(usize, usize)> = (self.tokens.iter())
            .map(|(row, position)| (*position, starts[*row]))
            .collect();
        let bytes =
            |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|x| x.to_le_bytes()).collect() };
        let asks = machine.upload(&bytes(&shape.asks(&queries, splits)))?;
        let table = machine.upload(&bytes(&table))?;
        let norm = machine.upload(&Number::F32.encode(&self.query_norm))?;
        let out = machine.upload(&poison(number, count * shape.heads * shape.width))?;
        let parts = machine.upload(&poison(Number::F32, shape.parts(count, splits)))?;
        let mut arguments = vec![
            Argument::Buffer(&out),
            Argument::Buffer(&parts),
            Argument::Buffer(projected),
            Argument::Buffer(keys),
            Argument::Buffer(values),
            Argument::Buffer(turns),
            if self.case.norms {
                Argument::Buffer(&norm)
            } else {
                Argument::Nothing
            },
            Argument::Buffer(&asks),
            Argument::Buffer(&table),
        ];
        arguments.extend(shape.arguments());
        machine.run(&shape.attend(number, count, splits), &arguments)?;
        if splits > 1 {
            let mut arguments = vec![
                Argument::Buffer(&out),
                Argument::Buffer(&parts),
                Argument::Number(splits as u32),
            ];
            arguments.extend(shape.arguments());
            machine.run(&shape.combine(number, count), &arguments)?;
        }
        let found = number.decode(&machine.download(&out)?);
        Ok(compare(self.name("attend"), number, &found, &self.found()))
    }

    /// What the queries find, from the keys and values that are stored now.
    fn found(&self) -> Vec<f64> {
        let shape = &self.case.shape;
        let mut sequences = Vec::new();
        for (row, (start, count)) in self.case.rows.iter().enumerate() {
            for head in 0..shape.kv_heads {
                let columns = 0..shape.width;
                let key = |at: usize| {
                    let column = |c| self.keys[self.key_at(row, at, head, c)];
                    columns.clone().map(column).collect()
                };
                let value = |at: usize| {
                    let column = |c| self.values[self.value_at(row, at, head, c)];
                    columns.clone().map(column).collect()
                };
                sequences.push(Sequence {
                    keys: (0..start + count).map(key).collect(),
                    values: (0..start + count).map(value).collect(),
                });
            }
        }
        let mut found = Vec::new();
        for (token, (row, position)) in self.tokens.iter().enumerate() {
            let first = match shape.window {
                Some(window) => (position + 1).saturating_sub(window),
                None => 0,
            };
            for head in 0..shape.heads {
                let query = self.turned(token, head, &self.query_norm);
                let own = row * shape.kv_heads + head * shape.kv_heads / shape.heads;
                found.extend(attend_tokens(&query, &sequences[own], first..=*position));
            }
        }
        found
    }

    /// The first block onto the last.
    fn copy<M: Machine>(&self, machine: &mut M, keys: &M::Buffer) -> Result<Outcome, KernelError> {
        let numbers = self.case.shape.block_keys();
        let last = self.keys.len() / numbers - 1;
        machine.run(
            &copy_block(self.number, numbers),
            &[
                Argument::Buffer(keys),
                Argument::Number(0),
                Argument::Number(last as u32),
                Argument::Number(numbers as u32),
            ],
        )?;
        let bytes = machine.download(keys)?;
        let block = numbers * self.number.bytes();
        let same = bytes[..block] == bytes[last * block..];
        Ok(Outcome {
            case: self.name("copy_block"),
            worst: if same { 0.0 } else { f64::INFINITY },
            allowed: 0.0,
            cosine: if same { 1.0 } else { 0.0 },
        })
    }
}
