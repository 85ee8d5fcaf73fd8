//! The manifests that are compiled in. A test compares this list with the folder.

macro_rules! manifests {
    ($($name:literal),* $(,)?) => {
        &[$((
            concat!($name, ".toml"),
            include_str!(concat!("../../../../models/catalog/", $name, ".toml")),
        )),*]
    };
}

/// File name and text.
pub(super) const MANIFESTS: &[(&str, &str)] = manifests![
    "flite",
    "kokoro-82m",
    "llama-3.1-8b",
    "llama-3.2-1b",
    "llama-3.2-3b",
    "minilm-l6",
    "qwen2.5-0.5b",
    "silero-vad",
    "smollm2-1.7b",
    "smollm2-135m",
    "smollm2-360m",
    "whisper-base",
    "whisper-large-v3-turbo",
    "whisper-starter",
    "whisper-tiny",
];
