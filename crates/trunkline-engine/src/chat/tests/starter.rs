use super::*;

/// The starter language model, where `trunkline models pull smollm2-135m` has brought it. The
/// demo, which always has it, checks the same and more.
fn starter() -> Option<LlamaChat> {
    let folder = crate::default_models_dir();
    let catalog = crate::Catalog::embedded().unwrap();
    let store = crate::ModelStore::open(&folder, catalog).unwrap();
    let installed = match store.locate("smollm2-135m") {
        Ok(installed) => installed,
        Err(EngineError::NotInstalled { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    Some(LlamaChat::load(&installed).unwrap())
}

#[test]
fn the_starter_model_chooses_and_replies_where_it_is_installed() {
    let Some(model) = starter() else { return };
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

/// What a front desk would be asked, with so much of the question.
fn question(text: &str) -> ChatRequest {
    ChatRequest {
        messages: vec![
            ChatMessage::system(
                "You are the receptionist of Riverside Clinic. You speak on the telephone. Answer \
                 in one short sentence, only from the facts.\nFacts:\nThere is free parking behind \
                 the clinic.",
            ),
            ChatMessage::user(text),
        ],
        max_tokens: 12,
        ..ChatRequest::default()
    }
}

#[test]
fn what_a_caller_says_is_computed_while_it_is_said_and_changed_where_it_was_misheard() {
    let Some(model) = starter() else { return };
    let asked = question("Where can I park my car when I come to the clinic on Friday?");
    let mut ahead = model.anticipate();
    let partials = [
        "Where can I",
        "Where can I bark my card",
        "Where can I park my car when I come to",
        "Where can I park my car when I come to the clinic on Friday",
    ];
    for partial in partials {
        ahead.expect(&question(partial).messages);
        // Work of the same class, behind it: when it is answered, the partial is computed.
        let behind = ChatRequest {
            urgency: trunkline_inference::Urgency::Background,
            max_tokens: 1,
            ..question(partial)
        };
        hear(model.generate(behind).unwrap()).end.unwrap();
    }
    let open = encode::to_messages(&question(partials[3]).messages);
    let partial_tokens = model.model.open_prompt(&open).unwrap().len();
    let stream = model.generate(asked.clone()).unwrap();
    let account = ahead.end().unwrap().blocking_recv().unwrap();
    let said = hear(stream);
    let end = said.end.unwrap();
    assert!(
        end.cached >= partial_tokens,
        "{end:?}, {partial_tokens} heard"
    );
    assert!(end.prompt - end.cached < BLOCK_TOKENS, "{end:?}");
    assert!(
        account.used > 0 && account.computed > account.used,
        "{account:?}"
    );
    let cold = hear(starter().unwrap().generate(asked).unwrap());
    assert_eq!((said.text, cold.end.unwrap().cached), (cold.text, 0));
}
