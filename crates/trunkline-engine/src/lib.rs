//! The models of the product: what exists, what is on this disk, and the workers that serve
//! it behind the traits of `trunkline-inference`.
//!
//! A model's way through this crate:
//! - [`Catalog`]: a manifest a model, compiled in from `models/catalog/`, extended by a folder.
//! - [`ModelStore`]: the models folder on disk: list, pull, import, verify, remove. The only
//!   part that opens a network connection, and only when asked to pull.
//! - [`Models::load`]: checks the files and starts one worker a model: a [`WhisperTranscriber`],
//!   a [`LlamaChat`], a [`FliteVoice`], or the measuring tools of [`instant`].
//! - [`HotSwapChat`] and [`HotSwapTranscriber`]: their places, in which they can be exchanged while
//!   they serve.
//!
//! Deliberately not here: the networks themselves (`trunkline-nn`), cutting text into clauses
//! (`trunkline-inference`), what runs when (`trunkline-scheduler`), progress bars and printing.
#![forbid(unsafe_code)]

mod catalog;
mod chat;
mod embedder;
mod error;
mod hot_swap;
pub mod instant;
mod models;
mod recogniser;
mod sessions;
mod store;
mod voice;
mod work_queue;

pub use catalog::{Architecture, Catalog, Manifest, ManifestFile, Source, Task};
pub use chat::{ChatSettings, LlamaChat};
pub use embedder::BertEmbedder;
pub use error::EngineError;
pub use hot_swap::{Exchanged, HotSwapChat, HotSwapTranscriber};
pub use models::{Elsewhere, InstantConfig, Models, ModelsConfig, load_embedder};
pub use recogniser::WhisperTranscriber;
pub use store::{
    Access, FileReport, InstalledModel, ModelState, ModelStatus, ModelStore, Pin, Progress, Step,
    Trust, default_models_dir,
};
pub use trunkline_nn::ENVIRONMENT as CPU_ENVIRONMENT;
pub use voice::FliteVoice;
