//! What an operator relies on when models start.

use trunkline_inference::ChatRequest;

use super::*;

fn instant_but(change: impl FnOnce(&mut ModelsConfig)) -> ModelsConfig {
    let mut config = ModelsConfig {
        stt: instant::NAME.to_owned(),
        llm: instant::NAME.to_owned(),
        tts: instant::NAME.to_owned(),
        ..ModelsConfig::default()
    };
    change(&mut config);
    config
}

fn refusal(config: &ModelsConfig) -> String {
    let folder = tempfile::tempdir().unwrap();
    Models::load(config, folder.path()).unwrap_err().to_string()
}

#[test]
fn measuring_tools_start_without_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = instant_but(|config| config.instant.reply = "Done.".to_owned());
    assert_eq!(config.names().count(), 0);
    let models = Models::load(&config, folder.path()).unwrap();
    assert_eq!(models.transcriber.info().engine, "instant");
    let mut reply = models
        .chat
        .generate(ChatRequest {
            messages: vec![ChatMessage::user("hello")],
            max_tokens: 5,
            ..ChatRequest::default()
        })
        .unwrap();
    let first = reply.deltas.try_recv().unwrap();
    assert_eq!(
        first,
        trunkline_inference::ChatDelta::Text("Done.".to_owned())
    );
}

#[test]
fn a_missing_model_names_the_command_that_installs_it() {
    let config = instant_but(|config| config.llm = "smollm2-360m".to_owned());
    assert_eq!(
        refusal(&config),
        "the model smollm2-360m is not installed: run `trunkline models pull smollm2-360m`"
    );
}

#[test]
fn a_model_in_the_wrong_place_or_without_an_engine_is_refused() {
    let config = instant_but(|config| config.stt = "flite".to_owned());
    assert_eq!(
        refusal(&config),
        "the model flite is for speech synthesis, not for speech recognition"
    );
    let config = instant_but(|config| config.tts = "kokoro".to_owned());
    assert!(refusal(&config).contains("did you mean \"kokoro-82m\"?"));
}

#[test]
fn a_corrupt_file_of_an_installed_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = instant_but(|config| config.stt = "whisper-starter".to_owned());
    Models::load(&config, folder.path()).unwrap();
    let weights = folder.path().join("whisper-starter/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    bytes[100_000] ^= 0xff;
    std::fs::write(&weights, bytes).unwrap();
    let error = Models::load(&config, folder.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("wrong checksum of") && error.contains("model.safetensors"),
        "{error}"
    );
}

#[test]
fn an_unknown_key_of_the_configuration_is_an_error() {
    let error = toml::from_str::<ModelsConfig>("sst = \"whisper-tiny\"").unwrap_err();
    assert!(error.to_string().contains("sst"));
    let config: ModelsConfig = toml::from_str("llm = \"instant\"").unwrap();
    assert_eq!(config.stt, "whisper-starter");
}
