//! Files that are not what they should be: each gives one error that names the file.

use std::path::Path;

use candle_core::quantized::GgmlDType;

use super::made::LLAMA;
use super::*;

fn load_error(path: &Path) -> String {
    let error = Llama::load(path, &Device::Cpu).err();
    error.unwrap().to_string()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    made::write_folder(folder.path(), LLAMA);
    folder
}

#[test]
fn a_file_cut_short_is_damaged_wherever_it_was_cut() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("model.gguf");
    made::write_gguf(&file, LLAMA, GgmlDType::Q8_0);
    let whole = std::fs::read(&file).unwrap();
    for kept in (0..whole.len() - 1).step_by(whole.len() / 40) {
        std::fs::write(&file, &whole[..kept]).unwrap();
        let error = load_error(&file);
        assert!(error.contains("model.gguf is damaged"), "{kept}: {error}");
    }
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("model.gguf");
    std::fs::write(&file, "<!DOCTYPE html><title>404</title>".repeat(9)).unwrap();
    assert!(load_error(&file).contains("model.gguf is damaged"));
}

#[test]
fn a_missing_tensor_and_a_wrong_shape_are_named() {
    let folder = folder();
    let weights = folder.path().join("model.safetensors");
    let mut tensors = made::weights(LLAMA);
    let norm = tensors.remove("model.norm.weight").unwrap();
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    let error = load_error(folder.path());
    assert!(
        error.ends_with("model.safetensors has no tensor model.norm.weight"),
        "{error}"
    );
    tensors.insert(
        "model.norm.weight".to_owned(),
        norm.narrow(0, 0, 8).unwrap(),
    );
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    let error = load_error(folder.path());
    assert!(
        error.contains("model.norm.weight") && error.contains("[8], expected [64]"),
        "{error}"
    );
}

#[test]
fn a_folder_without_weights_or_with_half_a_configuration_is_named() {
    let folder = folder();
    let config = folder.path().join("config.json");
    std::fs::write(&config, "{\"model_type\": \"llama\"}").unwrap();
    let error = load_error(folder.path());
    assert!(
        error.contains("config.json is damaged") && error.contains("hidden_size"),
        "{error}"
    );
    made::write_folder(folder.path(), LLAMA);
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(load_error(folder.path()).contains("model.safetensors"));
}

#[test]
fn another_family_is_not_supported() {
    let folder = folder();
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"llama\"", "\"gemma3\"")).unwrap();
    let error = load_error(folder.path());
    assert!(
        error.ends_with("config.json is not supported: model_type is gemma3"),
        "{error}"
    );
}
