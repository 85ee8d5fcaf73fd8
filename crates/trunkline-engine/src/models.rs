//! From the configuration to running models: checks the files, starts the workers.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkline_inference::{ChatMessage, ChatModel, Embedder, Synthesizer, Transcriber};

use crate::hot_swap::{
    Candidate, Exchanged, Find, HotSwapChat, HotSwapTranscriber, MemoryBudget, bytes_of,
};
use crate::instant::{self, InstantChat, InstantTranscriber, InstantVoice};
use crate::{
    Architecture, BertEmbedder, Catalog, ChatSettings, EngineError, FliteVoice, InstalledModel,
    LlamaChat, ModelStore, Source, Task, WhisperTranscriber,
};

/// The models of a deployment, by their names in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// Speech to text; `instant` is a measuring tool.
    pub stt: String,
    /// Language model; `instant` is a measuring tool.
    pub llm: String,
    /// Text to speech; `instant` is a measuring tool.
    pub tts: String,
    /// Voice of the synthesizer; its own when absent.
    pub voice: Option<String>,
    /// Texts to vectors, for `trunkline engine` alone; none when absent.
    pub embeddings: Option<String>,
    /// A folder of further manifests.
    pub catalog: Option<PathBuf>,
    /// The most memory, in MiB, that recogniser and language model may take together; what the
    /// machine has when absent.
    pub memory_mib: Option<u64>,
    /// What the measuring tools say.
    pub instant: InstantConfig,
}

/// What the models named `instant` say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstantConfig {
    /// What the transcriber hears.
    pub text: String,
    /// What the language model replies.
    pub reply: String,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            stt: "whisper-starter".to_owned(),
            llm: "smollm2-135m".to_owned(),
            tts: "flite".to_owned(),
            voice: None,
            embeddings: None,
            catalog: None,
            memory_mib: None,
            instant: InstantConfig::default(),
        }
    }
}

impl Default for InstantConfig {
    fn default() -> Self {
        Self {
            text: instant::DEFAULT_TRANSCRIPT.to_owned(),
            reply: instant::DEFAULT_REPLY.to_owned(),
        }
    }
}

impl ModelsConfig {
    /// The names of the catalog that the configuration uses, without the measuring tools.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.stt, &self.llm, &self.tts]
            .into_iter()
            .chain(&self.embeddings)
            .map(String::as_str)
            .filter(|name| *name != instant::NAME)
    }

    /// The catalog that the configuration sees.
    ///
    /// # Errors
    /// [`EngineError::Manifest`] or [`EngineError::Io`] about the folder of further manifests.
    pub fn open_catalog(&self) -> Result<Catalog, EngineError> {
        let mut catalog = Catalog::embedded()?;
        if let Some(folder) = &self.catalog {
            catalog.extend_from_folder(folder)?;
        }
        Ok(catalog)
    }
}

/// The parts that are not loaded here, since something else serves them.
#[derive(Clone, Default)]
pub struct Elsewhere {
    /// Speech to text.
    pub transcriber: Option<Arc<dyn Transcriber>>,
    /// Language model.
    pub chat: Option<Arc<dyn ChatModel>>,
    /// Text to speech.
    pub voice: Option<Arc<dyn Synthesizer>>,
}

/// Architectures that the language model's engine runs.
const LLAMA_FAMILY: [Architecture; 4] = [
    Architecture::Llama,
    Architecture::Qwen2,
    Architecture::Qwen3,
    Architecture::Mistral,
];

/// The running models of a deployment.
#[derive(Clone)]
pub struct Models {
    /// Speech to text.
    pub transcriber: Arc<dyn Transcriber>,
    /// Language model.
    pub chat: Arc<dyn ChatModel>,
    /// Text to speech.
    pub voice: Arc<dyn Synthesizer>,
    llama: Option<Arc<HotSwapChat>>,
    whisper: Option<Arc<HotSwapTranscriber>>,
}

/// Starts the configured model that turns texts into vectors, if one is configured.
///
/// # Errors
/// As [`Models::load`].
pub fn load_embedder(
    config: &ModelsConfig,
    models_dir: &Path,
) -> Result<Option<Arc<dyn Embedder>>, EngineError> {
    let Some(name) = &config.embeddings else {
        return Ok(None);
    };
    let store = ModelStore::open(models_dir, config.open_catalog()?)?;
    let model = ready(&store, name, Task::Embedding)?;
    require(&model, &[Architecture::Bert])?;
    Ok(Some(Arc::new(BertEmbedder::load(&model)?)))
}

impl Models {
    /// Checks the files of the configured models and starts them. Takes as long as reading
    /// the weights. A model that comes with the product is put in place when it is not there.
    ///
    /// # Errors
    /// [`EngineError::NotInstalled`] with the command that installs the model, a damaged file
    /// by name, [`EngineError::WrongTask`], [`EngineError::NotRunnable`],
    /// [`EngineError::NoMemory`] or [`EngineError::Start`].
    pub fn load(config: &ModelsConfig, models_dir: &Path) -> Result<Self, EngineError> {
        Self::load_beside(Elsewhere::default(), config, models_dir)
    }

    /// As [`Models::load`], but for the parts that something else serves.
    ///
    /// # Errors
    /// As [`Models::load`].
    pub fn load_beside(
        elsewhere: Elsewhere,
        config: &ModelsConfig,
        models_dir: &Path,
    ) -> Result<Self, EngineError> {
        let store = ModelStore::open(models_dir, config.open_catalog()?)?;
        let memory = Arc::new(MemoryBudget::new(config.memory_mib));
        let whisper = if elsewhere.transcriber.is_some() || config.stt == instant::NAME {
            None
        } else {
            let find = whispers(config.clone(), models_dir.to_owned());
            let ears = HotSwapTranscriber::load(&config.stt, find, Arc::clone(&memory))?;
            Some(Arc::new(ears))
        };
        let transcriber: Arc<dyn Transcriber> = match (elsewhere.transcriber, &whisper) {
            (Some(given), _) => given,
            (None, Some(ears)) => Arc::clone(ears) as Arc<dyn Transcriber>,
            (None, None) => Arc::new(InstantTranscriber::new(&config.instant.text)?),
        };
        let llama = if elsewhere.chat.is_some() || config.llm == instant::NAME {
            None
        } else {
            let find = llamas(config.clone(), models_dir.to_owned());
            let chat = HotSwapChat::load(&config.llm, find, memory)?;
            Some(Arc::new(chat))
        };
        let voice: Arc<dyn Synthesizer> = if let Some(given) = elsewhere.voice {
            given
        } else if config.tts == instant::NAME {
            Arc::new(InstantVoice)
        } else {
            let model = ready(&store, &config.tts, Task::Tts)?;
            require(&model, &[Architecture::Flite])?;
            Arc::new(FliteVoice::load(&model, config.voice.as_deref())?)
        };
        Ok(Self {
            transcriber,
            chat: match (elsewhere.chat, &llama) {
                (Some(given), _) => given,
                (None, Some(chat)) => Arc::clone(chat) as Arc<dyn ChatModel>,
                (None, None) => Arc::new(InstantChat::new(&config.instant.reply)),
            },
            voice,
            llama,
            whisper,
        })
    }

    /// Puts another model, or the same one as it lies on the disk now, in the place of the one
    /// that is served as `name`; see [`HotSwapChat::exchange`].
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`] for a name that is not served,
    /// [`EngineError::NotExchangeable`] for one that has to stay, and as
    /// [`HotSwapChat::exchange`].
    pub fn exchange(&self, name: &str, with: Option<&str>) -> Result<Exchanged, EngineError> {
        let (chat, ears) = (self.chat.info().name, self.transcriber.info().name);
        match (&self.llama, &self.whisper) {
            (Some(place), _) if chat == name => return place.exchange(with),
            (_, Some(place)) if ears == name => return place.exchange(with),
            _ => {}
        }
        let name = name.to_owned();
        Err(match [chat, ears, self.voice.info().name].contains(&name) {
            true => EngineError::NotExchangeable {
                name,
                reason: "only a language model or a recogniser of this process can; stop the \
                         program and start it with the other one"
                    .to_owned(),
            },
            false => EngineError::UnknownModel {
                name,
                nearest: None,
            },
        })
    }

    /// Computes the beginnings of conversations ahead of the first call, in the background.
    pub fn warm_up(&self, conversations: Vec<Vec<ChatMessage>>) {
        if let Some(chat) = &self.llama {
            for messages in conversations {
                chat.warm_up(&messages);
            }
        }
    }

    /// Scores the options of choices where nothing was said ahead of the first call, in the
    /// background; see [`trunkline_inference::ChoiceRequest::neutral`].
    pub fn warm_up_choices(&self, choices: Vec<(Vec<ChatMessage>, Vec<String>)>) {
        if let Some(chat) = &self.llama {
            for (neutral, options) in choices {
                chat.warm_up_choice(&neutral, &options);
            }
        }
    }
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models")
            .field("transcriber", &self.transcriber.info())
            .field("chat", &self.chat.info())
            .field("voice", &self.voice.info())
            .finish()
    }
}

/// Finds language models as they lie on the disk at that moment.
fn llamas(config: ModelsConfig, models_dir: PathBuf) -> Find<LlamaChat> {
    Box::new(move |name| {
        let store = ModelStore::open(&models_dir, config.open_catalog()?)?;
        let model = ready(&store, name, Task::Llm)?;
        require(&model, &LLAMA_FAMILY)?;
        let settings = ChatSettings::default();
        Ok(Candidate {
            bytes: taken_by(&model) + settings.kv_bytes as u64,
            load: Box::new(move || LlamaChat::load_with(&model, settings)),
        })
    })
}

/// Finds recognisers as they lie on the disk at that moment.
fn whispers(config: ModelsConfig, models_dir: PathBuf) -> Find<WhisperTranscriber> {
    Box::new(move |name| {
        let store = ModelStore::open(&models_dir, config.open_catalog()?)?;
        let model = ready(&store, name, Task::Stt)?;
        require(&model, &[Architecture::Whisper])?;
        Ok(Candidate {
            bytes: taken_by(&model),
            load: Box::new(move || WhisperTranscriber::load(&model)),
        })
    })
}

/// What a loaded model takes: what its manifest says, and its weights at the least.
fn taken_by(model: &InstalledModel) -> u64 {
    bytes_of(&model.folder).max(model.manifest.memory_mib << 20)
}

fn ready(store: &ModelStore, name: &str, wanted: Task) -> Result<InstalledModel, EngineError> {
    let manifest = store.catalog().get(name)?;
    if manifest.task != wanted {
        return Err(EngineError::WrongTask {
            name: name.to_owned(),
            task: manifest.task.in_words(),
            wanted: wanted.in_words(),
        });
    }
    match store.locate(name) {
        Err(EngineError::NotInstalled { .. })
            if matches!(manifest.source, Source::Bundled { .. }) =>
        {
            store.pull(name, &mut |_| {})
        }
        other => other,
    }
}

fn require(model: &InstalledModel, known: &[Architecture]) -> Result<(), EngineError> {
    if known.contains(&model.manifest.architecture) {
        return Ok(());
    }
    Err(EngineError::NotRunnable {
        name: model.manifest.name.clone(),
        reason: format!(
            "no engine of this release runs the architecture {:?}",
            model.manifest.architecture
        ),
    })
}
