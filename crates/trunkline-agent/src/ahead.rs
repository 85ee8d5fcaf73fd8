//! The driver's side of computing ahead: keeps the conversation that the core expects, and hands
//! it to the model.

use trunkline_inference::{Anticipation, ChatMessage, ChatModel, PendingAnticipated};

/// The expected conversation of one call; open while a turn of the caller is.
#[derive(Default)]
pub(crate) struct Ahead {
    messages: Vec<ChatMessage>,
    open: Option<Box<dyn Anticipation>>,
}

impl Ahead {
    /// So many messages stay; these follow.
    pub(crate) fn expect(&mut self, chat: &dyn ChatModel, kept: usize, rest: Vec<ChatMessage>) {
        self.messages.truncate(kept);
        self.messages.extend(rest);
        let open = self.open.get_or_insert_with(|| chat.anticipate());
        open.expect(&self.messages);
    }

    /// The turn is over; gives the account of it, where the model keeps one.
    pub(crate) fn end(&mut self) -> Option<PendingAnticipated> {
        self.messages.clear();
        self.open.take()?.end()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use trunkline_inference::{
        ChatRequest, ChatStream, ChoiceRequest, InferenceError, ModelInfo, PendingChoice,
    };

    use super::*;

    /// Notes what is expected of it.
    #[derive(Default, Clone)]
    struct Noting(Arc<Mutex<Vec<String>>>);

    impl Anticipation for Noting {
        fn expect(&mut self, messages: &[ChatMessage]) {
            let texts: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
            self.0.lock().unwrap().push(texts.join("/"));
        }
    }

    impl Drop for Noting {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("over".to_owned());
        }
    }

    struct Model(Arc<Mutex<Vec<String>>>);

    impl ChatModel for Model {
        fn info(&self) -> ModelInfo {
            ModelInfo {
                name: "noting".to_owned(),
                engine: "test".to_owned(),
            }
        }

        fn generate(&self, _: ChatRequest) -> Result<ChatStream, InferenceError> {
            let model = "noting".to_owned();
            Err(InferenceError::Overloaded { model })
        }

        fn choose(&self, _: ChoiceRequest) -> Result<PendingChoice, InferenceError> {
            let model = "noting".to_owned();
            Err(InferenceError::Overloaded { model })
        }

        fn anticipate(&self) -> Box<dyn Anticipation> {
            Box::new(Noting(Arc::clone(&self.0)))
        }
    }

    #[test]
    fn a_turn_is_one_conversation_of_which_the_end_may_change() {
        let noted = Arc::new(Mutex::new(Vec::new()));
        let model = Model(Arc::clone(&noted));
        let mut ahead = Ahead::default();
        let said = |text: &str| vec![ChatMessage::user(text)];
        let first = vec![ChatMessage::system("be brief"), ChatMessage::user("is")];
        ahead.expect(&model, 0, first);
        ahead.expect(&model, 1, said("is there"));
        assert!(ahead.end().is_none());
        ahead.expect(&model, 0, said("another turn"));
        drop(ahead);
        assert_eq!(
            *noted.lock().unwrap(),
            [
                "be brief/is",
                "be brief/is there",
                "over",
                "another turn",
                "over"
            ]
        );
    }
}
