//! What the end-to-end tests share: the built appliance with a configuration of its own, real
//! SIP peers, and an RTP end whose audio is checked by signal.
//!
//! Everything runs on loopback with free ports, and is stopped when it is dropped.

mod appliance;
mod engine;
mod http;
mod ports;
mod programs;
mod rtp_end;
mod sipp;
mod storyteller;

pub use appliance::{Appliance, Settings};
pub use engine::{Engine, python_with_openai};
pub use http::{Answer, Answering, Ask, Connection};
pub use ports::free_udp_port;
pub use programs::{Finished, Signal, pause, program, run, scenario_file, signal};
pub use rtp_end::{Heard, RtpEnd};
pub use sipp::{RunningCall, Sipp};
pub use storyteller::{STORYTELLER, models_with_storyteller};
