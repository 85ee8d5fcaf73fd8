//! One whole call on this machine: the appliance in one process, a synthetic caller in another,
//! SIP over UDP and G.711 between them. What both sides saw is put together into one report, and
//! the gates of the scenario decide the exit code.

mod appliance;
mod gates;
mod report;
mod table;
mod words;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{self, Background, StopFlag};
use crate::setup;
use crate::tree::Tree;

use appliance::Appliance;

const SCENARIO: &str = "crates/trunkline-caller/scenarios/front-desk.toml";

/// The models that the default configuration names.
const MODELS: &[&str] = &["whisper-starter", "smollm2-135m"];

/// The caller has its own limits; this is for a caller that hangs.
const CALL_LIMIT: Duration = Duration::from_secs(300);

/// The live view ends by itself when the call does.
const WATCH_LIMIT: Duration = Duration::from_secs(5);

/// `cargo xtask demo [--keep]`
pub(crate) fn run(tree: &Tree, args: &[String]) -> Result<ExitCode> {
    let keep = match args {
        [] => false,
        [flag] if flag == "--keep" => true,
        _ => bail!("usage: cargo xtask demo [--keep]"),
    };
    let stop = StopFlag::install()?;
    setup::packages(&[setup::BUILD, setup::DEMO])?;
    build(tree)?;

    let folder = tree.reports("demo")?;
    let mut appliance = Appliance::prepare(tree, &folder)?;
    appliance.pull_models(MODELS)?;
    appliance.start(&stop)?;

    let passed = call(tree, &appliance, &folder, &stop);
    if let Err(error) = &passed {
        eprintln!("xtask: {error:#}");
        appliance.show_log();
    }
    if keep && passed.is_ok() {
        appliance.invite(&stop)?;
    }
    appliance.stop()?;
    Ok(if passed? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn build(tree: &Tree) -> Result<()> {
    println!("==> building trunkline and trunkline-caller");
    process::run(&mut tree.cargo([
        "build",
        "--release",
        "--bin",
        "trunkline",
        "--bin",
        "trunkline-caller",
    ]))
}

/// Places the call, writes the report and prints the table; true when every gate holds.
fn call(tree: &Tree, appliance: &Appliance, folder: &Path, stop: &StopFlag) -> Result<bool> {
    println!("==> calling {}\n", appliance.uri());
    let caller_report = folder.join("caller.json");
    remove_if_there(&caller_report)?;
    let mut watch = appliance.watch()?;
    let caller_said = std::fs::File::create(folder.join("caller.log"))?;
    let mut caller = Background::start(
        Command::new(tree.program("trunkline-caller"))
            .arg("--scenario")
            .arg(tree.root().join(SCENARIO))
            .args(["--to", &appliance.uri()])
            .arg("--report")
            .arg(&caller_report)
            .arg("--record")
            .arg(folder.join("caller.wav"))
            .stdout(caller_said.try_clone()?)
            .stderr(caller_said),
    )?;
    // How the call went stands in the report; the exit status says no more.
    caller.wait(CALL_LIMIT, stop)?;
    if let Err(error) = watch.wait(WATCH_LIMIT, stop) {
        eprintln!("xtask: the live view did not end with the call: {error:#}");
    }

    let caller = read_json(&caller_report).with_context(|| {
        let said = std::fs::read_to_string(folder.join("caller.log")).unwrap_or_default();
        format!("the caller left no report; it said: {}", said.trim())
    })?;
    let server = appliance.call_of(&caller)?;
    let files = appliance.export(&server, folder)?;
    let report = report::merge(&caller, &server, &files, &tree.commit())?;
    let path = folder.join("report.json");
    std::fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
    table::print(&report);
    println!("report        {}", path.display());
    Ok(report["passed"] == true)
}

/// The files of an exported call.
struct CallFiles {
    recording: Option<PathBuf>,
    transcript: PathBuf,
    event_log: PathBuf,
}

fn read_json(path: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
