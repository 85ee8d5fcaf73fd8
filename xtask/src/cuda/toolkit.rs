//! NVIDIA's compiler: an installed toolkit, or the one of NVIDIA's Python wheels in the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup;
use crate::tree::Tree;

/// What the newest driver of a data centre's long-lived branch (580) runs; a newer compiler
/// writes PTX that it does not read.
const WHEELS: &str = "13.0";

/// NVIDIA's packages, with their versions of that release.
const PACKAGES: [&str; 8] = [
    "nvidia-cuda-nvcc==13.0.*",
    "nvidia-nvvm==13.0.*",
    "nvidia-cuda-crt==13.0.*",
    "nvidia-cuda-runtime==13.0.*",
    "nvidia-cuda-cccl==13.0.*",
    "nvidia-cuda-nvrtc==13.0.*",
    "nvidia-curand==10.4.0.*",
    "nvidia-cublas==13.0.*",
];

/// A folder with `bin/nvcc`, `include` and the libraries.
#[derive(Debug)]
pub(super) struct Toolkit {
    home: PathBuf,
    release: (u32, u32),
    is_ours: bool,
}

impl Toolkit {
    fn at(home: PathBuf, is_ours: bool) -> Result<Option<Self>> {
        let nvcc = home.join("bin").join("nvcc");
        if !nvcc.is_file() {
            return Ok(None);
        }
        let text = process::capture(Command::new(&nvcc).arg("--version"))?;
        let release = release(&text)
            .with_context(|| format!("{} does not say its release", nvcc.display()))?;
        Ok(Some(Self {
            home,
            release,
            is_ours,
        }))
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn nvcc(&self) -> PathBuf {
        self.home.join("bin").join("nvcc")
    }

    /// The major version, as libraries are numbered.
    pub(super) fn major(&self) -> u32 {
        self.release.0
    }

    pub(super) fn version(&self) -> String {
        format!("{}.{}", self.release.0, self.release.1)
    }

    pub(super) fn origin(&self) -> String {
        let kind = if self.is_ours {
            "NVIDIA's Python wheels"
        } else {
            "the installed toolkit"
        };
        format!("{kind} in {}", self.home.display())
    }
}

/// `(13, 0)` of what nvcc says.
fn release(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("release ")?;
    let (release, _) = rest.split_once(',')?;
    let (major, minor) = release.split_once('.')?;
    Some((major.parse().ok()?, minor.trim().parse().ok()?))
}

/// The toolkit that is there: where `CUDA_HOME` says, in the cache, on PATH, or where NVIDIA's
/// installer puts it.
pub(super) fn find(tree: &Tree) -> Result<Option<Toolkit>> {
    if let Some(home) = std::env::var_os("CUDA_HOME").filter(|home| !home.is_empty()) {
        return match Toolkit::at(PathBuf::from(&home), false)? {
            Some(toolkit) => Ok(Some(toolkit)),
            None => bail!("CUDA_HOME is {}, but there is no bin/nvcc", home.display()),
        };
    }
    if let Some(toolkit) = Toolkit::at(wheels_home(tree), true)? {
        return Ok(Some(toolkit));
    }
    let on_path = setup::on_path("nvcc")
        .and_then(|nvcc| nvcc.canonicalize().ok())
        .and_then(|nvcc| Some(nvcc.parent()?.parent()?.to_owned()));
    match on_path {
        Some(home) => Toolkit::at(home, false),
        None => Toolkit::at(PathBuf::from("/usr/local/cuda"), false),
    }
}

/// The toolkit that is there, or the wheels.
pub(super) fn find_or_download(tree: &Tree) -> Result<Toolkit> {
    if let Some(toolkit) = find(tree)? {
        return Ok(toolkit);
    }
    let folder = wheels_folder(tree);
    println!("==> getting NVIDIA's compiler and libraries, CUDA {WHEELS} (680 MB, once)");
    // Put in place when it is whole, so that an interrupted download is begun again.
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)
            .with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    process::run(
        Command::new("python3")
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--no-cache-dir"])
            .args(["--no-deps", "--no-compile", "--target"])
            .arg(&unfinished)
            .args(PACKAGES),
    )?;
    std::fs::rename(&unfinished, &folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Toolkit::at(wheels_home(tree), true)?
        .with_context(|| format!("the wheels in {} have no nvcc", folder.display()))
}

fn wheels_folder(tree: &Tree) -> PathBuf {
    tree.cache().join("cuda").join(WHEELS)
}

fn wheels_home(tree: &Tree) -> PathBuf {
    wheels_folder(tree).join("nvidia").join("cu13")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_a_compiler_is_read() {
        let text = "nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release 13.0, V13.0.88\n";
        assert_eq!(release(text), Some((13, 0)));
        assert_eq!(release("clang version 19"), None);
    }
}
