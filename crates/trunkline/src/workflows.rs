//! The workflows that numbers can be routed to: the starter workflow, which is part of the
//! program, and those of the configured folder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use trunkline_agent::PublishedWorkflow;
use trunkline_gateway::NumberConfig;
use trunkline_inference::{ChatMessage, ChatRole};
use trunkline_workflow::{Prompt, PromptRole, Workflow};

/// The name of the starter workflow.
pub(crate) const STARTER: &str = "front-desk";

/// Its document.
const STARTER_DOCUMENT: &str = include_str!("../../../workflows/front-desk.json");

/// Reads and checks every workflow.
pub(crate) fn load(dir: Option<&Path>) -> Result<BTreeMap<String, PublishedWorkflow>> {
    let mut workflows = BTreeMap::new();
    workflows.insert(STARTER.to_owned(), publish(STARTER, STARTER_DOCUMENT)?);
    let Some(dir) = dir else {
        return Ok(workflows);
    };
    let entries = fs::read_dir(dir)
        .with_context(|| format!("cannot read workflows.dir {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let (Some(name), Some("json")) = (stem, path.extension().and_then(|e| e.to_str())) else {
            continue;
        };
        let document = fs::read_to_string(&path)
            .with_context(|| format!("cannot read the workflow {}", path.display()))?;
        let workflow = publish(&path.display().to_string(), &document)?;
        workflows.insert(name.to_owned(), workflow);
    }
    Ok(workflows)
}

/// Says whether every number leads to a workflow that is there.
pub(crate) fn check_numbers(
    numbers: &[NumberConfig],
    workflows: &BTreeMap<String, PublishedWorkflow>,
) -> Result<()> {
    for route in numbers {
        if !workflows.contains_key(&route.workflow) {
            let known: Vec<&str> = workflows.keys().map(String::as_str).collect();
            bail!(
                "number.{}.workflow: there is no workflow {:?}; there is {}",
                route.number,
                route.workflow,
                known.join(", ")
            );
        }
    }
    Ok(())
}

/// Checks one document; `shown` names it in the message.
pub(crate) fn publish(shown: &str, document: &str) -> Result<PublishedWorkflow> {
    if let Err(problems) = Workflow::parse(document) {
        let mut list = String::new();
        for problem in &problems {
            // Writing to a String cannot fail.
            let _ = write!(list, "\n  {problem}");
        }
        bail!("the workflow {shown} is not valid:{list}");
    }
    Ok(PublishedWorkflow {
        version: version(document),
        document: document.to_owned(),
    })
}

/// The beginnings of conversations that are the same in every call, to be computed ahead.
pub(crate) fn constant_prompts(
    workflows: &BTreeMap<String, PublishedWorkflow>,
) -> Vec<Vec<ChatMessage>> {
    workflows
        .values()
        .filter_map(|workflow| Workflow::parse(&workflow.document).ok())
        .flat_map(|workflow| workflow.constant_prompts())
        .map(conversation)
        .collect()
}

fn conversation(prompt: Prompt) -> Vec<ChatMessage> {
    prompt
        .into_iter()
        .map(|said| match said.role {
            PromptRole::System => ChatMessage::new(ChatRole::System, said.text),
            PromptRole::User => ChatMessage::new(ChatRole::User, said.text),
            PromptRole::Assistant => ChatMessage::new(ChatRole::Assistant, said.text),
        })
        .collect()
}

/// Tells texts apart: the beginning of the sha256.
fn version(document: &str) -> String {
    let mut text = String::new();
    for byte in &Sha256::digest(document.as_bytes())[..6] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
