//! Runs one bench of the `trunkline-benches` package. The bench prints its table and writes
//! its figures itself; here is only the one way to start it.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::process;
use crate::setup;
use crate::tree::Tree;

/// `cargo xtask bench <name> [args]`
pub(crate) fn run(tree: &Tree, args: &[String]) -> Result<ExitCode> {
    let known = names(tree)?;
    let Some((name, rest)) = args.split_first() else {
        bail!(
            "usage: cargo xtask bench <name>; there are: {}",
            known.join(", ")
        );
    };
    if !known.contains(name) {
        bail!(
            "there is no bench {name:?}; there are: {}",
            known.join(", ")
        );
    }
    setup::packages(&[setup::BUILD, setup::DEMO])?;
    let program = format!("bench-{name}");
    println!("==> building {program}");
    process::run(&mut tree.cargo([
        "build",
        "--release",
        "--package",
        "trunkline-benches",
        "--bin",
        &program,
    ]))?;
    let report = tree.reports("bench")?.join(format!("{name}.json"));
    process::run(
        Command::new(tree.program(&program))
            .args(rest)
            .current_dir(tree.root())
            .env("TRUNKLINE_COMMIT", tree.commit()),
    )?;
    if !report.is_file() {
        bail!("{program} ended well but wrote no {}", report.display());
    }
    println!("figures: {}", report.display());
    Ok(ExitCode::SUCCESS)
}

/// The benches that there are.
fn names(tree: &Tree) -> Result<Vec<String>> {
    let programs = tree.binaries(&tree.root().join("Cargo.toml"))?;
    Ok(programs
        .iter()
        .filter_map(|program| program.strip_prefix("bench-"))
        .map(str::to_owned)
        .collect())
}
