//! A sentence encoder behind [`Embedder`].
//!
//! One worker thread holds the model. Whatever requests came in while it computed are computed
//! together next. Nobody on a call waits for a vector, so there are no classes here: first come,
//! first served.

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use tokio::sync::oneshot;
use trunkline_inference::{
    EmbedRequest, Embedder, Embeddings, InferenceError, ModelInfo, PendingEmbeddings,
};
use trunkline_nn::NnError;
use trunkline_nn::bert::{Bert, Embedding};

use crate::{EngineError, InstalledModel};

/// Requests that may wait.
const MAX_WAITING: usize = 64;
/// Texts that are computed together: more cost memory and win nothing on a processor.
const MAX_TEXTS: usize = 32;

/// A sentence encoder on a worker thread, which ends when this is dropped.
#[derive(Debug)]
pub struct BertEmbedder {
    name: String,
    dimensions: usize,
    jobs: SyncSender<Job>,
}

#[derive(Debug)]
struct Job {
    texts: Vec<String>,
    answer: oneshot::Sender<Result<Embeddings, InferenceError>>,
}

impl BertEmbedder {
    /// Loads a model and starts its worker.
    ///
    /// # Errors
    /// [`EngineError::Start`] naming what is wrong with which file.
    pub fn load(model: &InstalledModel) -> Result<Self, EngineError> {
        Self::start(&model.manifest.name, &model.folder)
    }

    fn start(name: &str, folder: &Path) -> Result<Self, EngineError> {
        let refused = |reason: String| EngineError::Start {
            name: name.to_owned(),
            reason,
        };
        let bert =
            Bert::load(folder, &trunkline_nn::cpu()).map_err(|error| refused(error.to_string()))?;
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let worker = Worker {
            name: name.to_owned(),
            bert,
        };
        let dimensions = worker.bert.dimensions();
        std::thread::Builder::new()
            .name(format!("embed {name}"))
            .spawn(move || worker.run(&waiting))
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            name: name.to_owned(),
            dimensions,
            jobs,
        })
    }
}

impl Embedder for BertEmbedder {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.name.clone(),
            engine: "candle-cpu".to_owned(),
        }
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn embed(&self, request: EmbedRequest) -> Result<PendingEmbeddings, InferenceError> {
        let (answer, pending) = oneshot::channel();
        let job = Job {
            texts: request.texts,
            answer,
        };
        let model = self.name.clone();
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => InferenceError::Overloaded { model },
            TrySendError::Disconnected(_) => InferenceError::Unavailable {
                model,
                reason: "its worker is gone".to_owned(),
            },
        })?;
        Ok(pending)
    }
}

struct Worker {
    name: String,
    bert: Bert,
}

impl Worker {
    /// Serves until nobody can ask any more.
    fn run(&self, waiting: &Receiver<Job>) {
        while let Ok(first) = waiting.recv() {
            let mut texts = first.texts.len();
            let mut jobs = vec![first];
            while texts < MAX_TEXTS
                && let Ok(job) = waiting.try_recv()
            {
                texts += job.texts.len();
                jobs.push(job);
            }
            jobs.retain(|job| !job.answer.is_closed());
            self.serve(jobs);
        }
    }

    /// Computes some requests together. When one of them is at fault, each by itself.
    fn serve(&self, jobs: Vec<Job>) {
        let began = Instant::now();
        let texts: Vec<String> = jobs.iter().flat_map(|job| job.texts.clone()).collect();
        match self.compute(&texts) {
            Ok(vectors) => {
                let mut vectors = vectors.into_iter();
                for job in jobs {
                    let own = vectors.by_ref().take(job.texts.len()).collect();
                    // Nobody waits any more when this fails.
                    let _ = job.answer.send(Ok(answer(own, began)));
                }
            }
            Err(_) if jobs.len() > 1 => {
                for job in jobs {
                    self.serve(vec![job]);
                }
            }
            Err(error) => {
                for job in jobs {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// In portions that fit.
    fn compute(&self, texts: &[String]) -> Result<Vec<Embedding>, InferenceError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for texts in texts.chunks(MAX_TEXTS) {
            // The model has no state that a panic could spoil.
            let computed = catch_unwind(AssertUnwindSafe(|| self.bert.embed(texts)));
            let model = self.name.clone();
            match computed {
                Ok(Ok(more)) => vectors.extend(more),
                Ok(Err(error @ (NnError::PromptTooLong { .. } | NnError::Tokenizer(_)))) => {
                    let reason = error.to_string();
                    return Err(InferenceError::BadRequest { model, reason });
                }
                Ok(Err(error)) => {
                    let reason = error.to_string();
                    return Err(InferenceError::Failed { model, reason });
                }
                Err(_) => {
                    let reason = "the encoder panicked".to_owned();
                    return Err(InferenceError::Failed { model, reason });
                }
            }
        }
        Ok(vectors)
    }
}

fn answer(vectors: Vec<Embedding>, began: Instant) -> Embeddings {
    Embeddings {
        tokens: vectors.iter().map(|each| each.tokens).sum(),
        vectors: vectors.into_iter().map(|each| each.vector).collect(),
        compute: began.elapsed(),
    }
}
