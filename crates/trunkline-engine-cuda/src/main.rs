//! The engine for NVIDIA cards.
//!
//! It is a program of its own so that only it needs CUDA, and so that a fault of a card ends it
//! alone. It starts on any machine and says what is missing. So far it finds the cards, checks
//! the kernels and the networks on one, and measures; it does not yet serve.
#![forbid(unsafe_code)]

mod bench;
mod check;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use candle_core::Device;
use clap::{Parser, Subcommand};
use trunkline_engine_cuda::parity;
use trunkline_kernels::cuda::{self, Card};

#[derive(Parser)]
#[command(name = "trunkline-engine-cuda", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the cards of this machine.
    Cards,
    /// Run every kernel on random shapes and compare with its reference.
    Check(Choice),
    /// Run small networks on the card and on the processor, and compare.
    Parity(Choice),
    /// Measure language model and speech recognition with random weights of true sizes.
    Bench(BenchArguments),
}

#[derive(clap::Args)]
struct Choice {
    /// The card: its number, or its UUID as nvidia-smi prints it, or the beginning of that.
    #[arg(long, default_value = "0", env = "TRUNKLINE_CARD")]
    card: String,
    /// Memory that must be free on it, in MiB.
    #[arg(long, default_value_t = 1024)]
    memory_mib: usize,
}

#[derive(clap::Args)]
struct BenchArguments {
    #[command(flatten)]
    choice: Choice,
    /// Where the figures go, as JSON.
    #[arg(long)]
    out: PathBuf,
    /// Models, by name; all when none is named.
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// A folder for the made checkpoints.
    #[arg(long)]
    scratch: Option<PathBuf>,
}

impl Choice {
    fn open(&self) -> Result<(Card, Device)> {
        let cards = cuda::cards()?;
        let card = cuda::choose(&cards, &self.card)?;
        let device = cuda::open(card, self.memory_mib)?;
        Ok((card.clone(), device))
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("trunkline-engine-cuda: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all was well.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Cards => {
            for card in cuda::cards()? {
                println!(
                    "{} {} GPU-{} compute capability {} {} MiB {} multiprocessors",
                    card.index,
                    card.name,
                    card.uuid,
                    card.capability,
                    card.memory_mib,
                    card.multiprocessors
                );
            }
            Ok(true)
        }
        Command::Check(choice) => {
            let (_, device) = choice.open()?;
            check::run(&device)
        }
        Command::Parity(choice) => {
            let (_, device) = choice.open()?;
            parity::run(&device)
        }
        Command::Bench(arguments) => {
            let (card, device) = arguments.choice.open()?;
            let scratch = arguments.scratch.unwrap_or_else(tempfile::env::temp_dir);
            let report = bench::run(&card, &device, &arguments.models, &scratch)?;
            std::fs::write(&arguments.out, format!("{report:#}\n"))
                .with_context(|| format!("cannot write {}", arguments.out.display()))?;
            println!("figures: {}", arguments.out.display());
            Ok(true)
        }
    }
}
