//! The worker around a tiny encoder; and the real one, where it is installed.

use std::path::Path;

use trunkline_inference::{EmbedRequest, Embedder, Embeddings, InferenceError};

use super::{BertEmbedder, MAX_TEXTS};
use crate::{Catalog, EngineError, ModelStore};

fn tiny() -> BertEmbedder {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = crate_folder.join("../trunkline-nn/tests/fixtures/bert/mean");
    BertEmbedder::start("tiny", &folder).unwrap()
}

fn ask(texts: &[&str]) -> EmbedRequest {
    EmbedRequest {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        ..EmbedRequest::default()
    }
}

fn vectors(model: &BertEmbedder, texts: &[&str]) -> Result<Embeddings, InferenceError> {
    model.embed(ask(texts))?.blocking_recv().unwrap()
}

fn likeness(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn each_text_gets_its_vector_however_many_come_at_once() {
    let model = tiny();
    let alone = vectors(&model, &["good morning"]).unwrap();
    assert_eq!(
        (alone.tokens, model.dimensions()),
        (4, alone.vectors[0].len())
    );
    let many: Vec<&str> = (0..MAX_TEXTS + 5)
        .map(|n| if n % 2 == 0 { "good morning" } else { "visit" })
        .collect();
    let waiting: Vec<_> = (0..9).map(|_| model.embed(ask(&many)).unwrap()).collect();
    for answer in waiting {
        let answer = answer.blocking_recv().unwrap().unwrap();
        assert_eq!(answer.vectors.len(), many.len());
        for (text, vector) in many.iter().zip(&answer.vectors) {
            let like = likeness(vector, &alone.vectors[0]);
            assert_eq!(like > 0.999_99, *text == "good morning", "{text}: {like}");
        }
    }
}

#[test]
fn a_request_that_is_at_fault_does_not_spoil_its_neighbours() {
    let model = tiny();
    let long = "book ".repeat(50);
    let asked: Vec<_> = (0..8)
        .map(|n| match n % 2 {
            0 => model.embed(ask(&["visit"])).unwrap(),
            _ => model.embed(ask(&["visit", &long])).unwrap(),
        })
        .collect();
    for (n, answer) in asked.into_iter().enumerate() {
        match answer.blocking_recv().unwrap() {
            Ok(_) => assert_eq!(n % 2, 0),
            Err(InferenceError::BadRequest { .. }) => assert_eq!(n % 2, 1),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn what_nobody_waits_for_is_not_an_error() {
    let model = tiny();
    for _ in 0..20 {
        drop(model.embed(ask(&["visit"])));
    }
    assert!(vectors(&model, &["visit"]).is_ok());
}

/// Checked where the model was pulled; its weights are no part of the repository.
#[test]
fn texts_of_like_meaning_have_like_vectors() {
    let folder = crate::default_models_dir();
    let store = ModelStore::open(&folder, Catalog::embedded().unwrap()).unwrap();
    let installed = match store.locate("minilm-l6") {
        Ok(installed) => installed,
        Err(EngineError::NotInstalled { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let model = BertEmbedder::load(&installed).unwrap();
    let texts = [
        "I want to book an appointment",
        "Can I see the doctor on Monday?",
        "Bananas are yellow",
    ];
    let got = vectors(&model, &texts).unwrap().vectors;
    let (like, unlike) = (likeness(&got[0], &got[1]), likeness(&got[0], &got[2]));
    assert!(like > 0.3 && unlike < 0.15, "{like} {unlike}");
    eprintln!("like {like:.3}, unlike {unlike:.3}");
}
