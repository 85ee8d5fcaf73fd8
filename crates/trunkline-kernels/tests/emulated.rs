//! The kernels' own source, compiled for the processor, against their references.
//!
//! Every launch is a run of a small program with the sanitizers on, so that a step out of a
//! buffer, a race to a poisoned number or threads that wait for ever end it.
#![expect(
    clippy::unwrap_used,
    reason = "the functions here that are no tests serve tests only"
)]

use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use trunkline_kernels::check::{Extent, checks};
use trunkline_kernels::{Argument, KernelError, Launch, Machine, Number};

struct Emulator {
    program: PathBuf,
}

impl Emulator {
    /// Compiles the kernels, unless a test before did.
    fn new() -> Self {
        let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels");
        let mut hash = Sha256::new();
        for file in [
            "device.cuh",
            "attention.cuh",
            "paged.cu",
            "rows.cu",
            "slots.cu",
            "emulator/emulator.h",
            "emulator/main.cpp",
        ] {
            hash.update(std::fs::read(kernels.join(file)).unwrap());
        }
        let name: String = hash.finalize()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join(format!("kernels-{name}"));
        // Tests run side by side, in processes of their own.
        let lock = File::create(folder.join("kernels.lock")).unwrap();
        lock.lock().unwrap();
        if !program.is_file() {
            let unfinished = program.with_extension("unfinished");
            let status = Command::new("c++")
                .args(["-std=c++20", "-O0", "-g0", "-Wall", "-Wextra", "-Werror"])
                .args([
                    "-fsanitize=address,undefined",
                    "-fno-sanitize-recover=all",
                    "-o",
                ])
                .arg(&unfinished)
                .arg(kernels.join("emulator/main.cpp"))
                .status()
                .unwrap();
            assert!(status.success(), "the kernels do not compile");
            std::fs::rename(&unfinished, &program).unwrap();
        }
        Self { program }
    }
}

fn request(launch: &Launch, arguments: &[Argument<'_, RefCell<Vec<u8>>>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |bytes: &mut Vec<u8>, x: u32| bytes.extend(x.to_le_bytes());
    number(&mut bytes, launch.kernel.len() as u32);
    bytes.extend(launch.kernel.as_bytes());
    for x in launch.grid {
        number(&mut bytes, x);
    }
    number(&mut bytes, launch.threads);
    number(&mut bytes, launch.shared_bytes);
    number(&mut bytes, arguments.len() as u32);
    for argument in arguments {
        match argument {
            Argument::Number(x) => {
                number(&mut bytes, 0);
                number(&mut bytes, *x);
            }
            Argument::Float(x) => {
                number(&mut bytes, 0);
                number(&mut bytes, x.to_bits());
            }
            Argument::Buffer(buffer) => {
                number(&mut bytes, 1);
                number(&mut bytes, buffer.borrow().len() as u32);
                bytes.extend(buffer.borrow().iter());
            }
            Argument::Nothing => number(&mut bytes, 2),
        }
    }
    bytes
}

impl Machine for Emulator {
    type Buffer = RefCell<Vec<u8>>;

    fn upload(&mut self, bytes: &[u8]) -> Result<Self::Buffer, KernelError> {
        Ok(RefCell::new(bytes.to_vec()))
    }

    fn run(
        &mut self,
        launch: &Launch,
        arguments: &[Argument<'_, Self::Buffer>],
    ) -> Result<(), KernelError> {
        let failed = |reason: String| KernelError::Launch {
            kernel: launch.kernel.clone(),
            reason,
        };
        let mut child = Command::new(&self.program)
            // What it takes is given back by the system when it ends.
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        // It reads everything before it writes anything.
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(&request(launch, arguments))
                .map_err(|error| failed(error.to_string()))?;
        }
        let output = child
            .wait_with_output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let mut rest = output.stdout.as_slice();
        for argument in arguments {
            if let Argument::Buffer(buffer) = argument {
                let mut buffer = buffer.borrow_mut();
                let (own, later) = rest.split_at(buffer.len());
                buffer.copy_from_slice(own);
                rest = later;
            }
        }
        Ok(())
    }

    fn download(&mut self, buffer: &Self::Buffer) -> Result<Vec<u8>, KernelError> {
        Ok(buffer.borrow().clone())
    }
}

fn check(group: &str, number: Number) {
    let mut emulator = Emulator::new();
    let (_, run) = checks::<Emulator>()
        .into_iter()
        .find(|(name, _)| *name == group)
        .unwrap();
    let outcomes = run(&mut emulator, number, Extent::Small).unwrap();
    assert!(!outcomes.is_empty());
    for outcome in &outcomes {
        println!("{outcome}");
    }
    for outcome in outcomes {
        assert!(outcome.passed(), "{outcome}");
    }
}

#[test]
fn a_sum_and_its_norm_are_those_of_the_reference() {
    check("add_rms_norm", Number::F32);
    check("add_rms_norm", Number::BF16);
}

#[test]
fn the_gated_unit_is_that_of_the_reference() {
    check("swiglu", Number::F32);
    check("swiglu", Number::BF16);
}

#[test]
fn paged_attention_in_32_bits_is_that_of_the_reference() {
    check("paged", Number::F32);
}

#[test]
fn paged_attention_in_16_bits_is_that_of_the_reference() {
    check("paged", Number::BF16);
}

#[test]
fn attention_over_slots_is_that_of_the_reference() {
    check("slots", Number::F32);
    check("slots", Number::BF16);
}

#[test]
fn a_kernel_that_reads_beyond_its_buffer_is_found() {
    let mut emulator = Emulator::new();
    let launch = trunkline_kernels::rows::swiglu(Number::F32, 1, 8);
    let out = emulator.upload(&[0; 32]).unwrap();
    let short = emulator.upload(&[0; 60]).unwrap();
    let arguments = [
        Argument::Buffer(&out),
        Argument::Buffer(&short),
        Argument::Number(8),
    ];
    let error = emulator.run(&launch, &arguments).unwrap_err();
    assert!(error.to_string().contains("heap-buffer-overflow"));
}
