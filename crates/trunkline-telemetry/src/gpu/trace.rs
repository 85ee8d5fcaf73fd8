//! Readings that were written down, one JSON list of cards a line.

use super::{GpuError, GpuReading, GpuSource};

/// Plays readings back, the last one for ever.
#[derive(Debug, Clone)]
pub struct Trace {
    moments: Vec<Vec<GpuReading>>,
    next: usize,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// [`GpuError::Trace`], also when there is no line.
    pub fn parse(text: &str) -> Result<Self, GpuError> {
        let moments = text
            .lines()
            .enumerate()
            .map(|(at, line)| {
                serde_json::from_str(line).map_err(|error| GpuError::Trace {
                    line: at + 1,
                    reason: error.to_string(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if moments.is_empty() {
            let reason = "there is none".to_owned();
            return Err(GpuError::Trace { line: 1, reason });
        }
        Ok(Self { moments, next: 0 })
    }
}

impl GpuSource for Trace {
    fn read(&mut self) -> Result<Vec<GpuReading>, GpuError> {
        let last = self.moments.len() - 1;
        let moment = self.moments[self.next.min(last)].clone();
        self.next += 1;
        Ok(moment)
    }
}
