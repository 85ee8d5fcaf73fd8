//! What build scripts start as `nvcc`.
//!
//! For a build: a front of NVIDIA's compiler that leaves out candle's kernels for quantized
//! matrices. They are three quarters of the time and of the program, and the engine never
//! multiplies quantized weights on a card: it holds them in bf16 there. In their place stand
//! functions that end the program with a sentence. For a check of types: a stand-in that writes
//! empty files, so that no compiler of NVIDIA's is needed.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::write_if_changed;

/// Writes the front to `folder/bin/nvcc`.
pub(super) fn front(folder: &Path, nvcc: &Path, candle_kernels: &Path) -> Result<()> {
    let file = candle_kernels.join("ffi.rs");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let functions = foreign_functions(&text);
    if functions.is_empty() {
        bail!("{} declares no functions", file.display());
    }
    let left_out = folder.join("left_out.c");
    write_if_changed(&left_out, &left_out_source(&functions))?;
    let script = format!(
        r#"#!/bin/sh
# Written by `cargo xtask cuda`.
out= next= kind=
for argument; do
    [ -z "$next" ] || out=$argument
    next=
    case $argument in
    -o) next=1 ;;
    *mmvq_gguf.cu) kind=functions ;;
    *moe/*.cu | *mmq_gguf/*.cu) kind=nothing ;;
    esac
done
case $kind in
functions) exec cc -fPIC -c -o "$out" '{left_out}' ;;
nothing) exec cc -fPIC -x c -c -o "$out" /dev/null ;;
esac
exec '{nvcc}' "$@"
"#,
        left_out = left_out.display(),
        nvcc = nvcc.display(),
    );
    executable(&folder.join("bin"), &script)
}

/// Writes the stand-in to `folder/bin/nvcc`.
pub(super) fn stand_in(folder: &Path) -> Result<()> {
    let script = r#"#!/bin/sh
# Written by `cargo xtask cuda --check`: compiles nothing, so that types can be checked.
case $1 in
--version)
    printf 'nvcc: stand-in\n\n\nCuda compilation tools, release 13.0, V13.0.0\n'
    exit ;;
--list-gpu-code) exit ;;
esac
next= folder=
for argument; do
    case $next in
    file) : >"$argument" ;;
    folder) folder=$argument ;;
    esac
    next=
    case $argument in
    -o) next=file ;;
    --output-directory) next=folder ;;
    *.cu) [ -z "$folder" ] || : >"$folder/$(basename "$argument" .cu).ptx" ;;
    esac
done
"#;
    executable(&folder.join("bin"), script)
}

fn executable(folder: &Path, script: &str) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let file = folder.join("nvcc");
    write_if_changed(&file, script)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", file.display()))
}

/// The functions of a file of declarations.
fn foreign_functions(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let (name, _) = line.trim().strip_prefix("pub fn ")?.split_once('(')?;
            Some(name.to_owned())
        })
        .collect()
}

fn left_out_source(functions: &[String]) -> String {
    let mut source = String::from(
        "// Written by `cargo xtask cuda`.\n\
         #include <stdio.h>\n#include <stdlib.h>\n\
         static void left_out(const char *name) {\n    \
             fprintf(stderr, \"%s: products with quantized weights are not in this build\\n\", name);\n    \
             abort();\n}\n",
    );
    for function in functions {
        // Writing to a String cannot fail.
        let _ = writeln!(
            source,
            "void {function}(void) {{ left_out(\"{function}\"); }}"
        );
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_functions_are_found_and_written() {
        let text = "extern \"C\" {\n    pub fn moe_gemm(\n        x: i32,\n    );\n    pub fn launch(x: i32);\n}\n";
        let functions = foreign_functions(text);
        assert_eq!(functions, ["moe_gemm", "launch"]);
        let source = left_out_source(&functions);
        assert!(source.contains("void moe_gemm(void) { left_out(\"moe_gemm\"); }"));
    }
}
