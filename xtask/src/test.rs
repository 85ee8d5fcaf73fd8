//! Every check, in the order in which failures are cheapest to learn. All steps run, whatever
//! fails before them, and the end is a table; only a failed build stops what needs the build.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::tree::Tree;
use crate::{cuda, demo, fuzz, setup, tidy};

/// How long each fuzz target runs here. A day of fuzzing is another job.
const FUZZ_SECONDS: u64 = 10;

struct Step {
    name: &'static str,
    purpose: &'static str,
    needs_build: bool,
    run: fn(&Tree) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step {
        name: "setup",
        purpose: "packages and tools",
        needs_build: false,
        run: set_up,
    },
    Step {
        name: "fmt",
        purpose: "rustfmt, nothing to change",
        needs_build: false,
        run: check_format,
    },
    Step {
        name: "tidy",
        purpose: "the house rules",
        needs_build: false,
        run: check_tidy,
    },
    Step {
        name: "deny",
        purpose: "licences, sources and bans of dependencies",
        needs_build: false,
        run: check_dependencies,
    },
    Step {
        name: "clippy",
        purpose: "all targets, warnings are errors",
        needs_build: false,
        run: check_lints,
    },
    Step {
        name: "build",
        purpose: "all programs",
        needs_build: false,
        run: build,
    },
    Step {
        name: "tests",
        purpose: "unit tests and end-to-end tests with real peers",
        needs_build: true,
        run: run_tests,
    },
    Step {
        name: "doctests",
        purpose: "the examples in the documentation",
        needs_build: true,
        run: run_doctests,
    },
    Step {
        name: "kernels",
        purpose: "our CUDA kernels compile to PTX, where nvcc is at hand",
        needs_build: false,
        run: cuda::check_kernels,
    },
    Step {
        name: "fuzz",
        purpose: "each fuzz target for a short time",
        needs_build: false,
        run: run_fuzz,
    },
    Step {
        name: "demo",
        purpose: "one whole call with its gates",
        needs_build: true,
        run: run_demo,
    },
];

enum Verdict {
    Passed(Duration),
    Failed(Duration),
    NotRun,
}

/// `cargo xtask test [--only <step>] [--list]`
pub(crate) fn run(tree: &Tree, args: &[String]) -> Result<ExitCode> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let chosen: Vec<&Step> = match args[..] {
        [] => STEPS.iter().collect(),
        ["--list"] => {
            for step in STEPS {
                println!("{:<9} {}", step.name, step.purpose);
            }
            return Ok(ExitCode::SUCCESS);
        }
        ["--only", name] => {
            let step = STEPS.iter().find(|step| step.name == name);
            vec![step.with_context(|| format!("there is no step {name:?}; see --list"))?]
        }
        _ => bail!("usage: cargo xtask test [--only <step>] [--list]"),
    };

    let mut verdicts = Vec::new();
    let mut is_built = true;
    for step in chosen {
        if step.needs_build && !is_built {
            verdicts.push((step, Verdict::NotRun));
            continue;
        }
        println!("\n==> {}: {}", step.name, step.purpose);
        let start = Instant::now();
        let outcome = (step.run)(tree);
        let took = start.elapsed();
        match outcome {
            Ok(()) => verdicts.push((step, Verdict::Passed(took))),
            Err(error) => {
                eprintln!("xtask: {} failed: {error:#}", step.name);
                is_built &= step.name != "build";
                verdicts.push((step, Verdict::Failed(took)));
            }
        }
    }
    Ok(summarise(&verdicts))
}

fn summarise(verdicts: &[(&Step, Verdict)]) -> ExitCode {
    println!();
    let mut total = Duration::ZERO;
    let mut all_passed = true;
    for (step, verdict) in verdicts {
        let (word, took) = match verdict {
            Verdict::Passed(took) => ("ok", *took),
            Verdict::Failed(took) => ("FAILED", *took),
            Verdict::NotRun => ("not run", Duration::ZERO),
        };
        all_passed &= matches!(verdict, Verdict::Passed(_));
        total += took;
        println!("{:<9} {word:<8} {:>8.1} s", step.name, took.as_secs_f64());
    }
    let word = if all_passed { "ok" } else { "FAILED" };
    println!("{:<9} {word:<8} {:>8.1} s", "all", total.as_secs_f64());
    if all_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn set_up(tree: &Tree) -> Result<()> {
    setup::packages(&[setup::BUILD, setup::DEMO, setup::PEERS])?;
    setup::cargo_deny(tree)?;
    setup::openai_client(tree)?;
    Ok(())
}

fn check_format(tree: &Tree) -> Result<()> {
    process::run(&mut tree.cargo(["fmt", "--all", "--check"]))?;
    if fuzz::manifest(tree).is_file() {
        process::run(
            tree.cargo(["fmt", "--check", "--manifest-path"])
                .arg(fuzz::manifest(tree)),
        )?;
    }
    Ok(())
}

fn check_tidy(tree: &Tree) -> Result<()> {
    let problems = tidy::problems(tree)?;
    tidy::print(&problems);
    if problems.is_empty() {
        Ok(())
    } else {
        bail!("{} house rules broken", problems.len())
    }
}

fn check_dependencies(tree: &Tree) -> Result<()> {
    let deny = setup::cargo_deny(tree)?;
    // cargo-deny runs cargo itself; as a cargo subcommand it would be found on PATH only.
    process::run(
        std::process::Command::new(deny)
            .args([
                "--locked",
                "--log-level",
                "error",
                "check",
                "bans",
                "licenses",
                "sources",
            ])
            .current_dir(tree.root()),
    )
}

fn check_lints(tree: &Tree) -> Result<()> {
    process::run(&mut tree.cargo([
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn build(tree: &Tree) -> Result<()> {
    process::run(&mut tree.cargo(["build", "--release", "--workspace", "--bins"]))
}

fn run_tests(tree: &Tree) -> Result<()> {
    let runner: &[&str] = if setup::has_nextest() {
        &["nextest", "run", "--no-fail-fast"]
    } else {
        &["test", "--no-fail-fast", "--lib", "--bins", "--tests"]
    };
    process::run(tree.cargo(runner).args(["--release", "--workspace"]))
}

fn run_doctests(tree: &Tree) -> Result<()> {
    process::run(&mut tree.cargo(["test", "--quiet", "--release", "--workspace", "--doc"]))
}

fn run_fuzz(tree: &Tree) -> Result<()> {
    fuzz::all(tree, FUZZ_SECONDS)
}

fn run_demo(tree: &Tree) -> Result<()> {
    if demo::run(tree, &[])? == ExitCode::SUCCESS {
        Ok(())
    } else {
        bail!("the demo's gates do not hold")
    }
}
