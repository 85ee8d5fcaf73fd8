//! One command each for what people do with this repository: see the demo, run every check,
//! measure, and keep the house tidy.
//!
//! Kept light on purpose: a fresh machine builds this program before it has shown anything, so
//! there is no async runtime, no HTTP client and no derive macro here.
#![forbid(unsafe_code)]

mod bench;
mod cuda;
mod demo;
mod fuzz;
mod process;
mod setup;
mod test;
mod tidy;
mod tree;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  demo [--keep]          take one real SIP call, print it live, write target/demo/report.json
  test [--only <step>]   every check: see `cargo xtask test --list`
  bench <name> [args]    run one bench, write target/bench/<name>.json
  cuda [--compute-cap 80|89|90|120]
                         build the engine for NVIDIA cards, no card needed
  cuda --check           types and lints of it, no compiler of NVIDIA's needed
  tidy                   the house rules: layers, file length, module docs, unsafe, paths
  fuzz [target] [--seconds <n>]
                         run fuzz targets for a short time
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = args.split_first() else {
        eprint!("{USAGE}");
        return Ok(ExitCode::FAILURE);
    };
    let tree = tree::Tree::here()?;
    match command.as_str() {
        "demo" => demo::run(&tree, rest),
        "test" => test::run(&tree, rest),
        "bench" => bench::run(&tree, rest),
        "cuda" => cuda::run(&tree, rest),
        "tidy" => tidy::run(&tree),
        "fuzz" => fuzz::run(&tree, rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("unknown command {other:?}\n{USAGE}"),
    }
}
