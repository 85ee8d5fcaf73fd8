//! One model's manifest: what it does, which files it has, and where they come from.
//!
//! A manifest comes from a folder or a bundle that someone else wrote, so its names are checked
//! before they become paths: nothing in a manifest can point outside the model's own folder.

use serde::{Deserialize, Serialize};

use crate::EngineError;

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Speech to text.
    Stt,
    /// Language model.
    Llm,
    /// Text to speech.
    Tts,
    /// Voice activity detection.
    Vad,
    /// Texts to vectors.
    Embedding,
}

impl Task {
    /// In words, for messages.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Stt => "speech recognition",
            Self::Llm => "language",
            Self::Tts => "speech synthesis",
            Self::Vad => "voice activity",
            Self::Embedding => "embeddings",
        }
    }
}

/// Which network, or which program, the files are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Whisper: encoder and decoder over log-mel spectra.
    Whisper,
    /// The Llama family.
    Llama,
    /// Qwen2: Llama with biases on the attention's inputs.
    Qwen2,
    /// Kokoro: StyleTTS 2.
    Kokoro,
    /// Silero's voice activity network.
    SileroVad,
    /// The program Flite.
    Flite,
    /// BERT as a sentence encoder.
    Bert,
}

/// Where the files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A repository of a model hub.
    Hub {
        /// Owner and name, e.g. `openai/whisper-tiny`.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// Whether the hub asks for an access token.
        #[serde(default)]
        gated: bool,
    },
    /// A package of the Python index; the files are members of its wheel.
    PythonPackage {
        /// Name of the package.
        package: String,
        /// Exact version.
        version: String,
        /// Checksum of the wheel, lower-case hexadecimal.
        #[serde(skip_serializing_if = "Option::is_none")]
        archive_sha256: Option<String>,
    },
    /// A program of the operating system. Nothing is stored here.
    DebianPackage {
        /// The package that holds the program.
        package: String,
        /// The program.
        program: String,
    },
    /// Compiled into the product.
    Bundled {
        /// Where the files lie in the product's repository.
        path: String,
    },
    /// Only from a bundle that somebody imports.
    Import,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Relative to the model's folder, with `/`; for a hub, the path in the repository too.
    pub path: String,
    /// The path inside a wheel, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Bytes; unknown until the first pull when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Lower-case hexadecimal; pinned on first pull when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// One model of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Catalog name: lower-case letters, digits, `.` and `-`.
    pub name: String,
    /// For people.
    pub title: String,
    /// What it does.
    pub task: Task,
    /// Which network or program.
    pub architecture: Architecture,
    /// SPDX expression, or the licence's name.
    pub licence: String,
    /// ISO 639-1 codes, or `multilingual`.
    pub languages: Vec<String>,
    /// What a loaded model needs on the CPU, roughly.
    pub memory_mib: u64,
    /// What else one should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where the files come from.
    pub source: Source,
    /// The files; none when a program of the operating system serves.
    #[serde(default)]
    pub files: Vec<ManifestFile>,
}

impl Manifest {
    /// Reads a manifest; `file` is for the message.
    ///
    /// # Errors
    /// [`EngineError::Manifest`] naming the file and what is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, EngineError> {
        let invalid = |reason: String| EngineError::Manifest {
            file: file.to_owned(),
            reason,
        };
        let manifest: Self = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        manifest.check().map_err(invalid)?;
        Ok(manifest)
    }

    /// As the text of a manifest file.
    ///
    /// # Errors
    /// [`EngineError::Manifest`] when it cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, EngineError> {
        toml::to_string(self).map_err(|error| EngineError::Manifest {
            file: self.name.clone(),
            reason: error.to_string(),
        })
    }

    /// Whether every file's checksum is known before the first pull. When not, the files are
    /// trusted on first use and pinned from then on.
    pub fn is_pinned(&self) -> bool {
        self.files.iter().all(|file| file.sha256.is_some())
    }

    /// The command that installs the model.
    pub fn install_command(&self) -> String {
        match &self.source {
            Source::DebianPackage { package, .. } => format!("apt-get install {package}"),
            Source::Import => format!("trunkline models import <bundle of {}>", self.name),
            _ => format!("trunkline models pull {}", self.name),
        }
    }

    fn check(&self) -> Result<(), String> {
        if !is_plain_name(&self.name) {
            return Err(format!(
                "the name {:?} may only hold lower-case letters, digits, '.' and '-'",
                self.name
            ));
        }
        let needs_files = !matches!(self.source, Source::DebianPackage { .. });
        if needs_files && self.files.is_empty() {
            return Err("it lists no files".to_owned());
        }
        for (index, file) in self.files.iter().enumerate() {
            if !is_inner_path(&file.path) {
                return Err(format!("the path {:?} leads outside", file.path));
            }
            if self.files[..index]
                .iter()
                .any(|other| other.path == file.path)
            {
                return Err(format!("the path {:?} is listed twice", file.path));
            }
            if let Some(hash) = file.sha256.as_ref().filter(|hash| !is_sha256(hash)) {
                return Err(format!("{hash:?} is not a sha256 of {:?}", file.path));
            }
        }
        self.check_source()
    }

    fn check_source(&self) -> Result<(), String> {
        match &self.source {
            Source::Hub {
                repository,
                revision,
                ..
            } => {
                if repository.split('/').count() != 2 || !is_inner_path(repository) {
                    return Err(format!("{repository:?} is not an owner and a name"));
                }
                if !is_inner_path(revision) {
                    return Err(format!("{revision:?} is not a revision"));
                }
            }
            Source::PythonPackage {
                package,
                version,
                archive_sha256,
            } => {
                // These become arguments of a program: nothing that it could take for an option.
                let plain = |text: &String| {
                    text.starts_with(|c: char| c.is_ascii_alphanumeric())
                        && text
                            .chars()
                            .all(|c| c.is_ascii_alphanumeric() || "._-+!".contains(c))
                };
                if !plain(package) || !plain(version) {
                    return Err(format!("{package:?} {version:?} is not a package"));
                }
                if let Some(hash) = archive_sha256.as_ref().filter(|hash| !is_sha256(hash)) {
                    return Err(format!("{hash:?} is not a sha256 of the archive"));
                }
            }
            Source::DebianPackage { .. } | Source::Bundled { .. } | Source::Import => {}
        }
        Ok(())
    }
}

fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-')
}

/// Whether a relative path with `/` stays inside its folder on any file system and is
/// unambiguous in a URL.
fn is_inner_path(path: &str) -> bool {
    path.split('/').all(|part| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
    })
}

/// Whether a text is a sha256 in lower-case hexadecimal.
fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
