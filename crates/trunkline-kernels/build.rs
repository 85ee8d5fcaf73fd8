//! With the feature `cuda`, compiles `kernels/*.cu` to PTX by nvcc, for the compute capability
//! in `CUDA_COMPUTE_CAP`. Without it, nothing.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files that have kernels in them.
const MODULES: [&str; 3] = ["paged", "rows", "slots"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    println!("cargo::rerun-if-changed=../../kernels");
    println!("cargo::rerun-if-env-changed=CUDA_COMPUTE_CAP");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let capability = std::env::var("CUDA_COMPUTE_CAP").map_err(|_| {
        "set CUDA_COMPUTE_CAP, as `cargo xtask cuda --compute-cap 90` does, or build without the feature cuda"
    })?;
    let nvcc = match std::env::var_os("CUDA_HOME") {
        Some(home) => Path::new(&home).join("bin").join("nvcc"),
        None => PathBuf::from("nvcc"),
    };
    let version = Command::new(&nvcc)
        .arg("--version")
        .output()
        .map_err(|error| format!("cannot start {}: {error}", nvcc.display()))?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let major = version
        .split("release ")
        .nth(1)
        .and_then(|rest| rest.split('.').next())
        .ok_or("nvcc does not say its release")?;
    println!("cargo::rustc-env=TRUNKLINE_CUDA_MAJOR={major}");
    println!("cargo::rustc-env=TRUNKLINE_COMPUTE_CAP={capability}");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let kernels = Path::new("../../kernels");
    let mut list = String::from("pub(super) const MODULES: &[(&str, &str)] = &[\n");
    for module in MODULES {
        let ptx = out.join(format!("{module}.ptx"));
        let status = Command::new(&nvcc)
            .args(["-ptx", "-std=c++17", "-O3"])
            .arg(format!("-arch=compute_{capability}"))
            .arg("-o")
            .arg(&ptx)
            .arg(kernels.join(format!("{module}.cu")))
            .status()?;
        if !status.success() {
            return Err(format!("nvcc failed on {module}.cu: {status}").into());
        }
        list += &format!(
            "    ({module:?}, include_str!({:?})),\n",
            ptx.display().to_string()
        );
    }
    list += "];\n";
    std::fs::write(out.join("modules.rs"), list)?;
    Ok(())
}
