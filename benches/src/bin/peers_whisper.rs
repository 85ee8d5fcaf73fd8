//! The recogniser beside others on the same machine, with the same weights, in the same run.
//!
//! All are warm and take turns, so that whatever else runs on the machine slows all of them
//! down; the best of each counts.

#[path = "peers/whisper.rs"]
mod whisper;

use trunkline_benches::Report;

fn main() -> anyhow::Result<()> {
    let mut report = Report::new("peers-whisper");
    whisper::measure(&mut report)?;
    report.finish()?;
    Ok(())
}
