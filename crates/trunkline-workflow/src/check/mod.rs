//! Everything that can be found wrong before the first call.

mod graph;
mod names;
mod texts;

pub(crate) use graph::graph;
pub(crate) use names::names;
pub(crate) use texts::{SILENT_FAREWELL, speaks, texts};
