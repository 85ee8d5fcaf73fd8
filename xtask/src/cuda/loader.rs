//! What the engine links in place of CUDA's libraries, so that it starts where there are none.
//!
//! candle asks the linker for `libcuda`, `libcublas` and others; a program that is linked with
//! them does not start on a machine without a driver, and the system's loader says why in its own
//! words. So the linker gets an archive in which every function of theirs is a jump through a
//! table. Before `main` the table is filled from the libraries, where they are; where they are
//! not, every function returns an error. CUDA's runtime comes as a static library.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::toolkit::Toolkit;
use super::{front, write_if_changed};
use crate::process;
use crate::tree::Tree;

/// A library: as the linker is asked for it, where cudarc declares its functions, and what they
/// return when it is not there.
struct Library {
    name: &'static str,
    module: &'static str,
    /// With the major version of CUDA, unless the library counts by itself.
    soname: fn(u32) -> String,
    absent: u32,
}

/// In the order in which they are loaded: a later one needs an earlier one.
const LIBRARIES: [Library; 5] = [
    Library {
        name: "cuda",
        module: "driver",
        soname: |_| "libcuda.so.1".to_owned(),
        // CUDA_ERROR_STUB_LIBRARY
        absent: 34,
    },
    Library {
        name: "cublasLt",
        module: "cublaslt",
        soname: |major| format!("libcublasLt.so.{major}"),
        // CUBLAS_STATUS_NOT_INITIALIZED
        absent: 1,
    },
    Library {
        name: "cublas",
        module: "cublas",
        soname: |major| format!("libcublas.so.{major}"),
        absent: 1,
    },
    Library {
        name: "curand",
        module: "curand",
        soname: |_| "libcurand.so.10".to_owned(),
        // CURAND_STATUS_NOT_INITIALIZED
        absent: 101,
    },
    Library {
        name: "nvrtc",
        module: "nvrtc",
        soname: |major| format!("libnvrtc.so.{major}"),
        // NVRTC_ERROR_INTERNAL_ERROR
        absent: 11,
    },
];

/// A folder that looks like a toolkit, whose libraries are the ones described above.
pub(super) fn prepare(tree: &Tree, toolkit: &Toolkit) -> Result<PathBuf> {
    let folder = tree
        .cache()
        .join("cuda")
        .join(format!("link-{}", toolkit.version()));
    let libraries = folder.join("lib");
    std::fs::create_dir_all(&libraries)
        .with_context(|| format!("cannot create {}", libraries.display()))?;
    link(&toolkit.home().join("include"), &folder.join("include"))?;
    let sources = Sources::of(tree)?;
    front::front(&folder, &toolkit.nvcc(), &sources.candle_kernels)?;
    let source = loader_source(&sources.cudarc, toolkit.major())?;
    write_if_changed(&folder.join("loader.c"), &source)?;
    let object = folder.join("loader.o");
    process::run(
        Command::new("cc")
            .args(["-O2", "-fPIC", "-Wall", "-Werror", "-c", "-o"])
            .arg(&object)
            .arg(folder.join("loader.c")),
    )?;
    let archive = libraries.join("libtrunkline_cuda_loader.a");
    if archive.exists() {
        std::fs::remove_file(&archive)
            .with_context(|| format!("cannot replace {}", archive.display()))?;
    }
    process::run(Command::new("ar").arg("rcs").arg(&archive).arg(&object))?;
    for library in &LIBRARIES {
        stand_in(&libraries, library.name, &archive)?;
    }
    stand_in(&libraries, "cudart", &static_runtime(toolkit)?)?;
    Ok(folder)
}

/// `libNAME.so` as a script that hands the linker an archive instead.
fn stand_in(folder: &Path, name: &str, archive: &Path) -> Result<()> {
    let script = format!("INPUT({})\n", archive.display());
    write_if_changed(&folder.join(format!("lib{name}.so")), &script)
}

fn static_runtime(toolkit: &Toolkit) -> Result<PathBuf> {
    let places = ["lib", "lib64", "targets/x86_64-linux/lib"];
    let found = places
        .iter()
        .map(|place| toolkit.home().join(place).join("libcudart_static.a"))
        .find(|file| file.is_file());
    found.with_context(|| format!("{} has no libcudart_static.a", toolkit.home().display()))
}

fn link(to: &Path, at: &Path) -> Result<()> {
    if std::fs::read_link(at).is_ok_and(|there| there == to) || !to.exists() {
        return Ok(());
    }
    if at.is_symlink() {
        std::fs::remove_file(at).with_context(|| format!("cannot replace {}", at.display()))?;
    }
    std::os::unix::fs::symlink(to, at).with_context(|| format!("cannot link {}", at.display()))
}

fn loader_source(cudarc: &Path, major: u32) -> Result<String> {
    let mut source = String::from(HEAD);
    for library in &LIBRARIES {
        let file = cudarc.join(library.module).join("sys").join("mod.rs");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let functions = functions(&text);
        if functions.is_empty() {
            bail!("{} declares no functions", file.display());
        }
        write_library(&mut source, library, major, &functions);
    }
    source.push_str("__attribute__((constructor)) static void load_all(void) {\n");
    for library in &LIBRARIES {
        // Writing to a String cannot fail.
        let _ = writeln!(source, "    load_{}();", library.name);
    }
    source.push_str("}\n");
    Ok(source)
}

const HEAD: &str = r#"// Written by `cargo xtask cuda`.
#include <dlfcn.h>
#include <stddef.h>

// The message where a function returns one.
static const char *absent_text(void) { return "the library is not loaded"; }

#if defined(__x86_64__)
#define JUMP(name, table, at) \
    __asm__(".text\n.globl " #name "\n.type " #name ",@function\n" #name ":\n" \
            "    jmp *" #table "+8*" #at "(%rip)\n.size " #name ",.-" #name "\n")
#elif defined(__aarch64__)
#define JUMP(name, table, at) \
    __asm__(".text\n.globl " #name "\n.type " #name ",%function\n" #name ":\n" \
            "    adrp x16, " #table "+8*" #at "\n" \
            "    ldr x16, [x16, #:lo12:" #table "+8*" #at "]\n    br x16\n")
#endif
"#;

fn write_library(source: &mut String, library: &Library, major: u32, functions: &[String]) {
    let name = library.name;
    let count = functions.len();
    // Writing to a String cannot fail.
    let _ = write!(
        source,
        "\nstatic int absent_{name}(void) {{ return {}; }}\n\
         __attribute__((visibility(\"hidden\"))) void *trunkline_{name}[{count}];\n\
         static const char *const names_{name}[{count}] = {{\n",
        library.absent
    );
    for function in functions {
        let _ = writeln!(source, "    \"{function}\",");
    }
    source.push_str("};\n");
    for (at, function) in functions.iter().enumerate() {
        let _ = writeln!(source, "JUMP({function}, trunkline_{name}, {at});");
    }
    let _ = write!(
        source,
        "static void load_{name}(void) {{\n    \
             void *library = dlopen(\"{}\", RTLD_NOW | RTLD_LOCAL);\n    \
             for (size_t at = 0; at < {count}; ++at) {{\n        \
                 void *found = library ? dlsym(library, names_{name}[at]) : NULL;\n        \
                 trunkline_{name}[at] = found ? found : (void *)absent_{name};\n    \
             }}\n",
        (library.soname)(major)
    );
    for (at, function) in functions.iter().enumerate() {
        if returns_text(function) {
            let _ = writeln!(
                source,
                "    if (trunkline_{name}[{at}] == (void *)absent_{name}) trunkline_{name}[{at}] = (void *)absent_text;"
            );
        }
    }
    source.push_str("}\n");
}

/// Whether a function returns a string, not a status.
fn returns_text(function: &str) -> bool {
    [
        "nvrtcGetErrorString",
        "cublasGetStatusName",
        "cublasGetStatusString",
        "cublasLtGetStatusName",
        "cublasLtGetStatusString",
    ]
    .contains(&function)
}

/// The functions that a file of cudarc wants the linker to find.
fn functions(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "extern \"C\" {" {
            continue;
        }
        let declared = lines.next().and_then(|line| {
            let (name, _) = line.trim().strip_prefix("fn ")?.split_once('(')?;
            Some(name.to_owned())
        });
        names.extend(declared);
    }
    names.sort();
    names.dedup();
    names
}

/// The `src` folders of the crates that the lock file names.
struct Sources {
    cudarc: PathBuf,
    candle_kernels: PathBuf,
}

impl Sources {
    fn of(tree: &Tree) -> Result<Self> {
        let text = process::capture(&mut tree.cargo([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--all-features",
        ]))?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
        let source = |name: &str| -> Result<PathBuf> {
            let packages = metadata["packages"].as_array().into_iter().flatten();
            let manifest = packages
                .filter(|package| package["name"] == name)
                .find_map(|package| package["manifest_path"].as_str())
                .with_context(|| format!("the lock file has no {name}"))?;
            Ok(Path::new(manifest).with_file_name("src"))
        };
        Ok(Self {
            cudarc: source("cudarc")?,
            candle_kernels: source("candle-kernels")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &str = "\
pub unsafe fn cuInit(Flags: u32) -> CUresult {
    #[cfg(not(feature = \"dynamic-loading\"))]
    {
        extern \"C\" {
            fn cuInit(Flags: u32) -> CUresult;
        }
        cuInit(Flags)
    }
}
pub type F = unsafe extern \"C\" fn(a: u32);
";

    #[test]
    fn functions_are_read_from_their_declarations() {
        assert_eq!(functions(DECLARED), ["cuInit"]);
    }

    #[test]
    fn every_function_has_its_own_place_in_the_table() {
        let mut source = String::new();
        let names = ["cublasCreate_v2", "cublasGetStatusName"].map(str::to_owned);
        write_library(&mut source, &LIBRARIES[2], 13, &names);
        assert!(source.contains("JUMP(cublasCreate_v2, trunkline_cublas, 0);"));
        assert!(source.contains("JUMP(cublasGetStatusName, trunkline_cublas, 1);"));
        assert!(source.contains("dlopen(\"libcublas.so.13\""));
        assert!(source.contains("trunkline_cublas[1] = (void *)absent_text;"));
    }
}
