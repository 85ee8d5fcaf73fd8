//! Builds the engine for NVIDIA cards as a program of its own, and checks our kernels.
//!
//! The build needs no card and no driver. It has its own folder among the build products, so
//! that the default build neither waits for it nor is rebuilt by it.

mod front;
mod loader;
mod toolkit;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup;
use crate::tree::Tree;

const PROGRAM: &str = "trunkline-engine-cuda";

/// What the machine code can be made for: A100, L4 and L40S, H100 and H200, RTX PRO Blackwell.
const CAPABILITIES: [&str; 4] = ["80", "89", "90", "120"];
const DEFAULT_CAPABILITY: &str = "90";

/// The stripped program is to stay below.
const SIZE_GOAL_MB: f64 = 48.0;

/// `cargo xtask cuda [--compute-cap 80|89|90|120] | --check`
pub(crate) fn run(tree: &Tree, args: &[String]) -> Result<ExitCode> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let capability = match args[..] {
        [] => DEFAULT_CAPABILITY,
        ["--check"] => {
            check_types(tree)?;
            return Ok(ExitCode::SUCCESS);
        }
        ["--compute-cap", wanted] if CAPABILITIES.contains(&wanted) => wanted,
        _ => bail!(
            "usage: cargo xtask cuda [--compute-cap {}] | --check",
            CAPABILITIES.join("|")
        ),
    };
    setup::packages(&[setup::BUILD])?;
    let toolkit = toolkit::find_or_download(tree)?;
    println!("==> CUDA {} from {}", toolkit.version(), toolkit.origin());
    let link = loader::prepare(tree, &toolkit)?;
    let products = build(tree, &link, capability)?;
    let built = products.join("release").join(PROGRAM);
    let folder = tree.reports("cuda")?;
    let stripped = folder.join(format!("{PROGRAM}-{capability}"));
    process::run(Command::new("strip").arg("-o").arg(&stripped).arg(&built))?;
    let bytes = std::fs::metadata(&stripped)
        .with_context(|| format!("cannot see {}", stripped.display()))?
        .len();
    let mb = bytes as f64 / 1e6;
    println!(
        "==> {}: {mb:.1} MB, goal {SIZE_GOAL_MB} MB",
        stripped.display()
    );
    let needed = needed_libraries(&stripped)?;
    println!("    the system loads with it: {}", needed.join(", "));
    if let Some(library) = needed.iter().find(|name| is_cuda(name)) {
        bail!("the program needs {library} before it can say what is missing");
    }
    println!("    on this machine it says:");
    // A machine without a card is the rule here, so how it ends is not judged.
    Command::new(&stripped)
        .arg("cards")
        .status()
        .with_context(|| format!("cannot start {}", stripped.display()))?;
    Ok(if mb < SIZE_GOAL_MB {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Builds, and gives the folder of the products.
fn build(tree: &Tree, link: &Path, capability: &str) -> Result<PathBuf> {
    let products = tree.products().join(format!("cuda-{capability}"));
    println!(
        "==> building {PROGRAM} for compute capability {capability} into {}",
        products.display()
    );
    println!("    the first time nvcc compiles candle's kernels too, for some minutes");
    let start = Instant::now();
    let mut command = tree.cargo(["build", "--release", "--package", PROGRAM]);
    command
        .args(["--features", "cuda"])
        .env("CARGO_TARGET_DIR", &products)
        .env("CUDA_COMPUTE_CAP", capability);
    for (name, value) in environment(link)? {
        command.env(name, value);
    }
    process::run(&mut command)?;
    println!("    built in {:.0} s", start.elapsed().as_secs_f64());
    Ok(products)
}

/// Checks types and lints of what is only built for cards. Needs no compiler of NVIDIA's.
fn check_types(tree: &Tree) -> Result<()> {
    let folder = tree.cache().join("cuda").join("stand-in");
    front::stand_in(&folder)?;
    let mut command = tree.cargo(["clippy", "--release", "--package", PROGRAM]);
    command
        .args([
            "--all-targets",
            "--features",
            "cuda",
            "--",
            "-D",
            "warnings",
            // candle's quantized tensors are larger with cards than without.
            "-A",
            "clippy::large_enum_variant",
        ])
        .env("CARGO_TARGET_DIR", tree.products().join("cuda-check"))
        .env("CUDA_COMPUTE_CAP", DEFAULT_CAPABILITY);
    for (name, value) in environment(&folder)? {
        command.env(name, value);
    }
    process::run(&mut command)
}

/// What build scripts look for CUDA by.
fn environment(link: &Path) -> Result<[(&'static str, std::ffi::OsString); 3]> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(link.join("bin")).chain(std::env::split_paths(&path));
    Ok([
        ("CUDA_HOME", link.into()),
        ("CUDA_PATH", link.into()),
        ("PATH", std::env::join_paths(folders).context("PATH")?),
    ])
}

/// The libraries that the system loads before the program begins.
fn needed_libraries(program: &Path) -> Result<Vec<String>> {
    let text = process::capture(Command::new("readelf").arg("-dW").arg(program))?;
    Ok(needed_names(&text))
}

fn needed_names(readelf: &str) -> Vec<String> {
    readelf
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| Some(line.split_once('[')?.1.trim_end_matches(']').to_owned()))
        .collect()
}

fn is_cuda(library: &str) -> bool {
    ["libcu", "libnv"]
        .iter()
        .any(|start| library.starts_with(start))
}

/// A file that is as it was keeps its age, so that nothing is built again for it.
fn write_if_changed(file: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// A step of the tests: our kernels compile for every card we build for, and what uses them has
/// its types right. Where nobody has built for cards, it is skipped.
pub(crate) fn check_kernels(tree: &Tree) -> Result<()> {
    let Some(toolkit) = toolkit::find(tree)? else {
        println!("skipped: there is no nvcc; `cargo xtask cuda` gets one");
        return Ok(());
    };
    let kernels = tree.root().join("kernels");
    let out = tree.reports("kernels")?;
    // The oldest and the newest: what both compile, those between do.
    for capability in ["80", "120"] {
        for module in modules(&kernels)? {
            let ptx = out.join(format!("{module}-{capability}.ptx"));
            process::run(
                Command::new(toolkit.nvcc())
                    .args(["-ptx", "-std=c++17", "-O1", "-Werror", "all-warnings"])
                    .arg(format!("-arch=compute_{capability}"))
                    .arg("-o")
                    .arg(&ptx)
                    .arg(kernels.join(format!("{module}.cu"))),
            )?;
        }
    }
    println!("the kernels compile to PTX by {}", toolkit.origin());
    check_types(tree)
}

/// The files of kernels, without their ending.
fn modules(kernels: &Path) -> Result<Vec<String>> {
    let mut modules = Vec::new();
    let entries =
        std::fs::read_dir(kernels).with_context(|| format!("cannot read {}", kernels.display()))?;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        modules.extend(name.strip_suffix(".cu").map(str::to_owned));
    }
    modules.sort();
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_libraries_are_read_and_those_of_cuda_known() {
        let text = " 0x01 (NEEDED)   Shared library: [libcuda.so.1]\n 0x1d (RUNPATH) Library runpath: [$ORIGIN]\n 0x01 (NEEDED)   Shared library: [libc.so.6]\n";
        let names = needed_names(text);
        assert_eq!(names, ["libcuda.so.1", "libc.so.6"]);
        assert!(is_cuda(&names[0]) && !is_cuda(&names[1]));
    }
}
