//! Short runs of the fuzz targets in fuzz/, which stays a plain cargo-fuzz crate for long runs.
//!
//! cargo-fuzz itself is not needed for a short run: its compiler flags without a sanitizer work
//! on the stable toolchain, and the targets are safe Rust, where a sanitizer would find little.

use std::fs::File;
use std::path::{Path, PathBuf};
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

/// How many lines a failed target may say.
const LOG_TAIL: usize = 40;

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
    println!("==> building the fuzz targets");
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
    println!("==> fuzzing each for {seconds} s");
    let folder = products.join(&host).join("release");
    let mut failed = Vec::new();
    for name in chosen {
        if !fuzz_one(tree, &folder.join(name), name, seconds)? {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("fuzz targets failed: {}", failed.join(", "))
    }
}

/// Runs one target; false when it found something.
fn fuzz_one(tree: &Tree, program: &Path, name: &str, seconds: u64) -> Result<bool> {
    let folder = |kind: &str| tree.root().join("fuzz").join(kind).join(name);
    let (corpus, artifacts, seeds) = (folder("corpus"), folder("artifacts"), folder("seeds"));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    let log_path = tree.reports("fuzz")?.join(format!("{name}.log"));
    let log = File::create(&log_path)?;
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .args(seeds.is_dir().then_some(seeds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .current_dir(tree.root())
        .stdout(log.try_clone()?)
        .stderr(log);
    let status = command
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    let said = std::fs::read(&log_path)?;
    let said = String::from_utf8_lossy(&said);
    let figure = |name: &str| {
        said.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map_or("?", str::trim)
    };
    println!(
        "{name:<16} {} inputs, {} a second, {} new in the corpus",
        figure("stat::number_of_executed_units"),
        figure("stat::average_exec_per_sec"),
        figure("stat::new_units_added"),
    );
    if !status.success() {
        let lines: Vec<&str> = said.lines().collect();
        eprintln!(
            "{}",
            lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
        );
        eprintln!(
            "xtask: {name}: {status}; the input is in {}",
            artifacts.display()
        );
    }
    Ok(status.success())
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
