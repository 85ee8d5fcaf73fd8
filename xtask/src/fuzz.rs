//! Short runs of the fuzz targets in fuzz/, which stays a plain cargo-fuzz crate for long runs.
//!
//! cargo-fuzz itself is not needed for a short run: its compiler flags without a sanitizer work
//! on the stable toolchain, and the targets are safe Rust, where a sanitizer would find little.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup;
use crate::tree::Tree;

/// Coverage feedback for libFuzzer, the cfg that cargo-fuzz sets, and arithmetic that panics.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions";

/// The manifest of the fuzz crate, which is not a member of the workspace.
pub(crate) fn manifest(tree: &Tree) -> PathBuf {
    tree.root().join("fuzz").join("Cargo.toml")
}

/// `cargo xtask fuzz [target] [--seconds <n>]`
pub(crate) fn run(tree: &Tree, args: &[String]) -> Result<ExitCode> {
    let mut target = None;
    let mut seconds = 30;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--seconds" {
            let value = rest.next().context("--seconds needs a number")?;
            seconds = value
                .parse()
                .with_context(|| format!("{value:?} is not a number of seconds"))?;
        } else if arg.starts_with('-') || target.is_some() {
            bail!("usage: cargo xtask fuzz [target] [--seconds <n>]");
        } else {
            target = Some(arg.as_str());
        }
    }
    fuzz(tree, target, seconds)?;
    Ok(ExitCode::SUCCESS)
}

/// Every target for `seconds` each.
pub(crate) fn all(tree: &Tree, seconds: u64) -> Result<()> {
    fuzz(tree, None, seconds)
}

fn fuzz(tree: &Tree, only: Option<&str>, seconds: u64) -> Result<()> {
    setup::packages(&[setup::BUILD])?;
    let known = targets(tree)?;
    let chosen: Vec<&String> = known
        .iter()
        .filter(|name| only.is_none_or(|only| only == name.as_str()))
        .collect();
    if chosen.is_empty() {
        bail!("no such fuzz target; there are: {}", known.join(", "));
    }
    let host = host_triple()?;
    let products = tree.cache().join("fuzz");
    println!("==> building {} fuzz targets", chosen.len());
    process::run(
        tree.cargo([
            "build",
            "--release",
            "--bins",
            "--target",
            &host,
            "--manifest-path",
        ])
        .arg(manifest(tree))
        .env("CARGO_TARGET_DIR", &products)
        .env("RUSTFLAGS", FLAGS),
    )?;
    let mut failed = Vec::new();
    for name in chosen {
        println!("==> fuzzing {name} for {seconds} s");
        let corpus = tree.root().join("fuzz").join("corpus").join(name);
        let artifacts = tree.root().join("fuzz").join("artifacts").join(name);
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        let mut command = Command::new(products.join(&host).join("release").join(name));
        command
            .arg(&corpus)
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(format!("-max_total_time={seconds}"))
            .args([
                "-timeout=5",
                "-rss_limit_mb=2048",
                "-print_final_stats=1",
                "-verbosity=0",
            ])
            .current_dir(tree.root());
        let seeds = tree.root().join("fuzz").join("seeds").join(name);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        if let Err(error) = process::run(&mut command) {
            eprintln!("xtask: {error:#}; the input is in {}", artifacts.display());
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("fuzz targets failed: {}", failed.join(", "))
    }
}

/// The binaries of the fuzz crate.
fn targets(tree: &Tree) -> Result<Vec<String>> {
    if !manifest(tree).is_file() {
        bail!("there is no {}", manifest(tree).display());
    }
    tree.binaries(&manifest(tree))
}

fn host_triple() -> Result<String> {
    let text = process::capture(Command::new("rustc").arg("-vV"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc -vV names no host")
}
