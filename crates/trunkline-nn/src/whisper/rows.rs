//! Continuous batching: windows join the decoder when a slot is free, all of them move on by one
//! token a step, and each leaves when its text is complete.
//!
//! A row's result depends on its own window and options only, whatever is decoded beside it.
//! Who may join first is decided by who calls [`Whisper::join`].

use super::Whisper;
use super::decoder::Feed;
use super::options::WhisperOptions;
use super::passage::Passage;
use super::row::{Next, Row};
use super::slots::Slots;
use super::window::Window;
use crate::NnError;

/// The rows of one decoder.
pub struct Rows {
    slots: Slots,
    rows: Vec<Option<Row>>,
    generations: Vec<u64>,
}

/// One row, as long as it lasts. The number of a row that has ended means no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    slot: usize,
    generation: u64,
}

impl Rows {
    /// Slots that are free.
    pub fn free(&self) -> usize {
        self.rows.iter().filter(|row| row.is_none()).count()
    }

    /// Rows that are being decoded.
    pub fn active(&self) -> usize {
        self.rows.len() - self.free()
    }

    /// Ends a row without a result; one that has ended already is left alone. Its slot is free
    /// at once.
    pub fn cancel(&mut self, id: RowId) {
        if self.generations.get(id.slot) == Some(&id.generation) {
            self.rows[id.slot] = None;
        }
    }

    fn id(&self, slot: usize) -> RowId {
        RowId {
            slot,
            generation: self.generations[slot],
        }
    }
}

/// A row that ended, with what it heard.
pub type Ended = (RowId, Result<Passage, NnError>);

impl Whisper {
    /// Room for `slots` rows. The memory of a slot is taken from the system when it is first used.
    ///
    /// # Errors
    /// [`NnError::Compute`] when the device has no room.
    pub fn rows(&self, slots: usize) -> Result<Rows, NnError> {
        Ok(Rows {
            slots: self.decoder.slots(slots)?,
            rows: (0..slots).map(|_| None).collect(),
            generations: vec![0; slots],
        })
    }

    /// Encodes windows of one length together and gives each a row. Options that cannot be
    /// served fail their own window only.
    ///
    /// # Errors
    /// [`NnError::NoRoom`] when there are more windows than free slots; nothing has joined then,
    /// nor when the computation fails.
    pub fn join(
        &self,
        rows: &mut Rows,
        windows: Vec<(&Window, WhisperOptions)>,
    ) -> Result<Vec<Result<RowId, NnError>>, NnError> {
        if windows.len() > rows.free() {
            return Err(NnError::NoRoom {
                rows: rows.rows.len(),
            });
        }
        let made: Vec<_> = windows
            .into_iter()
            .map(|(window, options)| {
                let row = Row::new(&self.vocabulary, options, window.samples, self.positions);
                (window, row)
            })
            .collect();
        let heard: Vec<&Window> = made
            .iter()
            .filter(|(_, row)| row.is_ok())
            .map(|(window, _)| *window)
            .collect();
        let free: Vec<usize> = (0..rows.rows.len())
            .filter(|slot| rows.rows[*slot].is_none())
            .take(heard.len())
            .collect();
        self.hear(&mut rows.slots, &heard, &free)?;
        let mut free = free.into_iter();
        let joined = made.into_iter().map(|(_, row)| {
            let row = row?;
            let slot = free.next().ok_or(NnError::NoRoom { rows: 0 })?;
            rows.rows[slot] = Some(row);
            rows.generations[slot] += 1;
            Ok(rows.id(slot))
        });
        Ok(joined.collect())
    }

    /// Encodes windows into slots, as many at a time as the device gains by.
    fn hear(&self, slots: &mut Slots, windows: &[&Window], into: &[usize]) -> Result<(), NnError> {
        let Some(first) = windows.first() else {
            return Ok(());
        };
        if windows.iter().any(|window| window.frames != first.frames) {
            return Err(NnError::WindowsDiffer);
        }
        let at_once = self.windows_at_once(first.frames);
        for (windows, into) in windows.chunks(at_once).zip(into.chunks(at_once)) {
            let features: Vec<&[f32]> = windows
                .iter()
                .map(|window| window.features.as_slice())
                .collect();
            let encoded = self.encoder.forward(&features, first.frames)?;
            self.decoder.listen(slots, &encoded, into)?;
        }
        Ok(())
    }

    /// Moves every row on by a token. Gives the rows that ended with what they heard.
    ///
    /// # Errors
    /// A failure of the computation, after which no row can go on.
    pub fn step(&self, rows: &mut Rows) -> Result<Vec<Ended>, NnError> {
        let feeds: Vec<Feed<'_>> = rows
            .rows
            .iter()
            .enumerate()
            .filter_map(|(slot, row)| Some(row.as_ref()?.feed(slot)))
            .collect();
        if feeds.is_empty() {
            return Ok(Vec::new());
        }
        let mut logits = self.decoder.step(&mut rows.slots, &feeds)?.into_rows();
        let mut ended = Vec::new();
        for slot in 0..rows.rows.len() {
            let Some(row) = &mut rows.rows[slot] else {
                continue;
            };
            let mut own: Vec<Vec<f32>> = logits.by_ref().take(row.wants()).collect();
            match row.take(&self.vocabulary, &mut own) {
                Ok(Next::Step) => {}
                Ok(Next::Again) => rows.slots.rewind(slot, row.kept),
                Ok(Next::Done) => {
                    let passage = self.passage(&mut rows.slots, slot, row);
                    ended.push((rows.id(slot), passage));
                    rows.rows[slot] = None;
                }
                Err(error) => {
                    ended.push((rows.id(slot), Err(error)));
                    rows.rows[slot] = None;
                }
            }
        }
        Ok(ended)
    }
}
