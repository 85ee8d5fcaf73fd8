//! Everything that can be found wrong before the first call.

mod graph;
mod names;
mod texts;

pub(crate) use graph::graph;
pub(crate) use names::names;
pub(crate) use texts::{
    FAILED_FAREWELL, GOODBYE_FAREWELL, SILENT_FAREWELL, TIME_UP_FAREWELL, speaks, texts,
};
