use super::*;

/// The starter language model, where `trunkline models pull smollm2-135m` has brought it. The
/// demo, which always has it, checks the same and more.
#[test]
fn the_starter_model_chooses_and_replies_where_it_is_installed() {
    let folder = crate::default_models_dir();
    let catalog = crate::Catalog::embedded().unwrap();
    let store = crate::ModelStore::open(&folder, catalog).unwrap();
    let installed = match store.locate("smollm2-135m") {
        Ok(installed) => installed,
        Err(EngineError::NotInstalled { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let model = LlamaChat::load(&installed).unwrap();
    let chosen = model
        .choose(ChoiceRequest {
            messages: vec![ChatMessage::user("What is the capital of France?")],
            options: ["Rome", "Paris", "Tokyo"].map(str::to_owned).to_vec(),
            ..ChoiceRequest::default()
        })
        .unwrap()
        .blocking_recv()
        .unwrap()
        .unwrap();
    assert_eq!(chosen.best, 1, "{:?}", chosen.probabilities);
    eprintln!("choice: {:?}", chosen.compute);
    let mut computed = Vec::new();
    for _ in 0..2 {
        let said = hear(model.generate(ask("Say hello to Susan.", 10)).unwrap());
        let end = said.end.unwrap();
        assert!((1..=10).contains(&end.reply));
        computed.push(end.prompt - end.cached);
        eprintln!("reply: {}", said.text);
    }
    // What is left of a block is computed again; whole blocks were known the second time.
    assert!(computed[1] <= BLOCK_TOKENS, "computed {computed:?}");
}
