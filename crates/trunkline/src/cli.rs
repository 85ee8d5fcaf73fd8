//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use trunkline_types::{CallId, DialledNumber};

/// Answers and places phone calls with speech and language models that run on this machine
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The configuration file; ./trunkline.toml or the defaults when not given
    #[arg(long, global = true, env = "TRUNKLINE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the appliance until SIGTERM or SIGINT
    Serve,
    /// Serve the models alone, by OpenAI's API on a socket, until SIGTERM or SIGINT
    Engine,
    /// Check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check workflows
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// List, install and exchange models
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Look at the calls that were kept
    #[command(subcommand)]
    Calls(CallsCommand),
    /// Place a call through the running server
    Call(CallArgs),
    /// Show the conversations of the running server as they happen
    Watch(WatchArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration is right, with its workflows
    Check,
    /// Print the configuration as it is in force
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkflowCommand {
    /// Say whether a workflow is right, or everything that is wrong with it
    Check {
        /// The JSON file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Every model of the catalog and how it stands on this disk
    List,
    /// Fetch a model from where its manifest says
    Pull {
        /// Name in the catalog
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Install a model from a folder, a .tar or a .zip
    Import {
        /// The bundle
        bundle: PathBuf,
    },
    /// Hash the files of installed models again
    Verify {
        /// Names in the catalog; every installed model when none is given
        names: Vec<String>,
    },
    /// Put another model, or a new version, in a model's place while the running server goes on
    Reload {
        /// The model that is served, as configured
        name: String,
        /// The model that is to serve, by its name in the catalog; the same one, as it lies on the
        /// disk now, when not given
        #[arg(long, value_name = "MODEL")]
        with: Option<String>,
        /// Where the server's operations page is; as configured when not given
        #[arg(long)]
        url: Option<String>,
    },
    /// Delete the files of a model
    Remove {
        /// Name in the catalog
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CallsCommand {
    /// The newest calls
    List {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Only calls older than this one
        #[arg(long, value_name = "ID")]
        before: Option<CallId>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// One call with its transcript and turns
    Show {
        /// The call
        id: CallId,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the recording, the transcript and the event log of a call into a folder
    Export {
        /// The call
        id: CallId,
        /// The folder
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Feed the event log of a call through the core again and compare every decision
    Replay {
        /// The call
        id: CallId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// Whom to call
    pub(crate) number: DialledNumber,
    /// By which trunk; the first that can place calls when not given
    #[arg(long)]
    pub(crate) trunk: Option<String>,
    /// The workflow that speaks
    #[arg(long, default_value = "front-desk")]
    pub(crate) workflow: String,
    /// Where the server's operations page is; as configured when not given
    #[arg(long)]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Where the server's operations page is; as configured when not given
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Only this call
    #[arg(long, value_name = "ID")]
    pub(crate) call: Option<CallId>,
    /// Stop after the first call that ends
    #[arg(long)]
    pub(crate) once: bool,
}
