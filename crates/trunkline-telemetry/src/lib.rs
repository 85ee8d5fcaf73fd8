//! What the appliance says about itself: logs and metrics.
//!
//! [`init_logs`] sets up logging once for the process, [`Metrics::install`] the Prometheus
//! registry that the `metrics` macros write to. [`names`] holds every metric and attribute name,
//! so that a name is spelt once. [`gpu`] watches the cards. Deliberately not here: an HTTP listener (the program renders the
//! metrics on its own page) and anything that leaves the machine.
#![forbid(unsafe_code)]

pub mod gpu;
mod logs;
mod metrics;
pub mod names;

pub use logs::{LogError, LogFormat, check_filter, init_logs};
pub use metrics::{Metrics, MetricsError};
