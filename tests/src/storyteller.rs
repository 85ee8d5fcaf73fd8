//! A second language model for tests: so small that it is loaded in no time, and all it can do is
//! to go on with stories.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{program, run};

/// Its name in the catalog.
pub const STORYTELLER: &str = "storyteller";

const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// Makes a models folder in `folder`, with the installed starter models and the storyteller.
///
/// # Errors
/// The starter models are not installed, or the import failed.
pub fn models_with_storyteller(folder: &Path) -> Result<()> {
    let models = folder.join("models");
    std::fs::create_dir_all(&models)?;
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let installed = Path::new(&home).join(".cache/trunkline/models");
    for name in ["smollm2-135m", "smollm2-135m.lock"] {
        let source = installed.join(name);
        ensure!(
            source.exists(),
            "{} is missing: run `trunkline models pull smollm2-135m`",
            source.display()
        );
        std::os::unix::fs::symlink(source, models.join(name))?;
    }
    let bundle = folder.join("storyteller-bundle");
    std::fs::create_dir_all(&bundle)?;
    let weights = Path::new("../crates/trunkline-nn/tests/fixtures/stories260K");
    for file in FILES {
        std::fs::copy(weights.join(file), bundle.join(file))?;
    }
    let template =
        "{{ bos_token }}{% for message in messages %}{{ message['content'] }}\n{% endfor %}";
    let about = serde_json::json!({ "bos_token": "<s>", "chat_template": template });
    std::fs::write(bundle.join("tokenizer_config.json"), about.to_string())?;
    let mut manifest = format!(
        "name = {STORYTELLER:?}\ntitle = \"Tells stories\"\ntask = \"llm\"\n\
         architecture = \"llama\"\nlicence = \"MIT\"\nlanguages = [\"en\"]\nmemory_mib = 2\n\
         [source]\nkind = \"import\"\n"
    );
    for file in FILES.into_iter().chain(["tokenizer_config.json"]) {
        manifest.push_str(&format!("[[files]]\npath = {file:?}\n"));
    }
    std::fs::write(bundle.join("trunkline-model.toml"), manifest)?;
    let imported = run(Command::new(program("trunkline")?)
        .current_dir(folder)
        .env("TRUNKLINE__NODE__MODELS_DIR", &models)
        .args(["models", "import", "storyteller-bundle"]))?;
    ensure!(imported.code == Some(0), "{}", imported.stderr);
    Ok(())
}
