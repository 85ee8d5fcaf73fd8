//! The product beside others on the same machine, with the same weights, in the same run.
//!
//! Both are warm and take turns, so that whatever else runs on the machine slows both down; the
//! best of each counts. The peers are installed by pip into the cache folder.
//!
//! The language model is compared with llama.cpp's library, driven as its server drives it. Rows
//! come all at once: so many tokens a second are made in all. Times to the first token are the
//! product's own: calls whose turns begin one after another, each with a beginning that all
//! share. The recogniser is compared with faster-whisper and whisper.cpp.

#[path = "peers/language.rs"]
mod language;
#[path = "peers/llamacpp.rs"]
mod llamacpp;
#[path = "peers/peer.rs"]
mod peer;
#[path = "peers/whisper.rs"]
mod whisper;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;
use trunkline_benches::Report;
use trunkline_nn::{ENVIRONMENT, environment_is_set};

fn main() -> anyhow::Result<()> {
    if !environment_is_set() {
        let environment = ENVIRONMENT.iter().copied();
        let failed = Command::new(std::env::current_exe()?)
            .envs(environment)
            .exec();
        return Err(failed).context("the bench cannot start itself with the variables it needs");
    }
    let mut report = Report::new("peers");
    whisper::measure(&mut report)?;
    language::measure(&mut report)?;
    report.finish()?;
    Ok(())
}
