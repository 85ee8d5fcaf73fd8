//! The figures of each turn, from the two traces of voice.

use trunkline_types::CallTime;

use super::{Conversation, Taken};
use crate::report::{Turn, TurnKind};
use crate::scenario::Step;

/// Every step that was taken, with its figures.
pub(super) fn turns(conversation: &Conversation<'_>) -> Vec<Turn> {
    let taken = &conversation.taken;
    taken
        .iter()
        .enumerate()
        .filter_map(|(index, each)| {
            let next = taken.get(index + 1).map(|next| next.from);
            turn(conversation, *each, next)
        })
        .collect()
}

fn turn(conversation: &Conversation<'_>, taken: Taken, next: Option<CallTime>) -> Option<Turn> {
    let step = conversation.scenario.steps.get(taken.step)?;
    let (kind, said, digits) = match step {
        Step::Say { text } => (TurnKind::Say, Some(text.clone()), None),
        Step::BargeIn { text, .. } => (TurnKind::BargeIn, Some(text.clone()), None),
        Step::Dtmf { digits } => {
            let keys = digits.0.iter().map(|digit| digit.as_char()).collect();
            (TurnKind::Dtmf, None, Some(keys))
        }
        Step::ExpectHangup => return None,
    };
    let onset = conversation
        .caller
        .first_from(taken.from)
        .filter(|_| said.is_some())
        .map_or(taken.from, |voice| voice.start);
    let reply = conversation
        .agent
        .first_from(taken.until)
        .filter(|voice| next.is_none_or(|next| voice.start < next));
    let was_talked_over = conversation.agent.at(taken.until).is_some();
    let reply_ms = reply
        .filter(|_| !was_talked_over)
        .map(|voice| milliseconds(taken.until, voice.start));
    Some(Turn {
        kind,
        said,
        digits,
        started_ms: milliseconds(CallTime::ZERO, onset),
        ended_ms: milliseconds(CallTime::ZERO, taken.until),
        answered: reply.is_some() || was_talked_over,
        talked_over: was_talked_over,
        voice_to_voice_ms: reply_ms.filter(|_| kind != TurnKind::Dtmf),
        reply_after_keys_ms: reply_ms.filter(|_| kind == TurnKind::Dtmf),
        agent_stopped_after_ms: (kind == TurnKind::BargeIn).then(|| {
            conversation
                .agent
                .at(onset)
                .map_or(0.0, |voice| milliseconds(onset, voice.end))
        }),
    })
}

fn milliseconds(from: CallTime, to: CallTime) -> f64 {
    to.since(from).as_secs_f64() * 1000.0
}
