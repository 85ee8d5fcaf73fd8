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

use trunkline_benches::{Report, with_environment};

fn main() -> anyhow::Result<()> {
    with_environment()?;
    let mut report = Report::new("peers");
    whisper::measure(&mut report)?;
    language::measure(&mut report)?;
    report.finish()?;
    Ok(())
}
