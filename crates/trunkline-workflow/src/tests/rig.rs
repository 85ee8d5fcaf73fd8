//! A caller on paper: says and keys, and keeps what the agent does.

use std::sync::Arc;

use trunkline_types::{CallTime, Digit, EndReason};

use crate::{CallContext, Expecting, FlowInput, FlowOutput, Interpreter, Provenance, Workflow};

pub(super) struct Rig {
    pub(super) interpreter: Interpreter,
    pub(super) now: CallTime,
    /// What the last input led to.
    pub(super) out: Vec<FlowOutput>,
}

impl Rig {
    pub(super) fn new(json: &str) -> Self {
        let workflow = Workflow::parse(json).unwrap_or_else(|problems| {
            panic!(
                "{}",
                problems
                    .iter()
                    .map(|p| format!("{p}\n"))
                    .collect::<String>()
            )
        });
        let mut rig = Self {
            interpreter: Interpreter::new(Arc::new(workflow), CallContext::default()),
            now: CallTime::ZERO,
            out: Vec::new(),
        };
        rig.input(FlowInput::Started);
        rig
    }

    pub(super) fn front_desk() -> Self {
        Self::new(super::front_desk::FRONT_DESK)
    }

    pub(super) fn input(&mut self, input: FlowInput) -> &mut Self {
        self.out.clear();
        self.interpreter.handle(self.now, input, &mut self.out);
        self
    }

    pub(super) fn says(&mut self, text: &str) -> &mut Self {
        let text = text.to_owned();
        self.input(FlowInput::CallerSaid { text })
    }

    pub(super) fn keys(&mut self, keys: &str) -> &mut Self {
        for key in keys.chars() {
            let digit = Digit::try_from(key).unwrap();
            self.input(FlowInput::Digit { digit });
        }
        self
    }

    /// The model scores option `best` with this probability.
    pub(super) fn scores(&mut self, best: usize, probability: f32) -> &mut Self {
        let (request, options) = self.choice();
        let mut probabilities = vec![(1.0 - probability) / options.len() as f32; options.len()];
        probabilities[best] = probability;
        self.input(FlowInput::Chosen {
            request,
            best,
            probabilities,
        })
    }

    pub(super) fn choice(&self) -> (u32, Vec<String>) {
        self.out
            .iter()
            .find_map(|output| match output {
                FlowOutput::Choose {
                    request, options, ..
                } => Some((*request, options.clone())),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no choice in {:?}", self.out))
    }

    pub(super) fn generates(&mut self, text: &str) -> &mut Self {
        let request = self
            .out
            .iter()
            .find_map(|output| match output {
                FlowOutput::Generate { request, .. } => Some(*request),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no free answer in {:?}", self.out));
        let text = text.to_owned();
        self.input(FlowInput::Generated { request, text })
    }

    /// The line spoken last is heard to its end.
    pub(super) fn hears_all(&mut self) -> &mut Self {
        let (line, heard) = self
            .out
            .iter()
            .rev()
            .find_map(|output| match output {
                FlowOutput::Say { line, text, .. } => Some((*line, text.clone())),
                _ => None,
            })
            .unwrap();
        self.input(FlowInput::LineDone {
            line,
            heard,
            interrupted: false,
        })
    }

    /// The lines that the last input led to.
    pub(super) fn lines(&self) -> Vec<&str> {
        self.out
            .iter()
            .filter_map(|output| match output {
                FlowOutput::Say { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn at(&self) -> &str {
        self.interpreter.node()
    }

    pub(super) fn value(&self, variable: &str) -> String {
        match &self.interpreter.variables()[variable] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    pub(super) fn source(&self, wanted: &str) -> Option<Provenance> {
        self.out.iter().rev().find_map(|output| match output {
            FlowOutput::Set {
                variable, source, ..
            } if variable == wanted => Some(*source),
            _ => None,
        })
    }

    pub(super) fn expecting(&self) -> Option<Expecting> {
        self.out.iter().rev().find_map(|output| match output {
            FlowOutput::Listen { expecting, .. } => Some(*expecting),
            _ => None,
        })
    }

    pub(super) fn hung_up(&self) -> Option<EndReason> {
        self.out.iter().find_map(|output| match output {
            FlowOutput::Hangup { reason } => Some(*reason),
            _ => None,
        })
    }
}
