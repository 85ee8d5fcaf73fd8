//! The bytes that each token stands for.

use serde_json::Value;
use tokenizers::Tokenizer;

/// Bytes by token; of markers none.
pub(super) fn spellings(tokenizer: &Tokenizer) -> Vec<Vec<u8>> {
    let by_byte = is_byte_level(tokenizer);
    let added = tokenizer.get_added_tokens_decoder();
    let count = u32::try_from(tokenizer.get_vocab_size(true)).unwrap_or(u32::MAX);
    let highest = added.keys().max().map_or(0, |id| id + 1);
    (0..count.max(highest))
        .map(|id| match (added.get(&id), tokenizer.id_to_token(id)) {
            (Some(marker), _) if marker.special => Vec::new(),
            (Some(word), _) => word.content.clone().into_bytes(),
            (None, Some(token)) if by_byte => token.chars().filter_map(byte_of).collect(),
            (None, Some(token)) => sentence_piece(&token),
            (None, None) => Vec::new(),
        })
        .collect()
}

/// Whether the vocabulary is written in GPT-2's letters for bytes.
fn is_byte_level(tokenizer: &Tokenizer) -> bool {
    let decoder = serde_json::to_value(tokenizer.get_decoder()).unwrap_or(Value::Null);
    let several = decoder["decoders"].as_array().cloned().unwrap_or_default();
    let is = |step: &Value| step["type"] == "ByteLevel";
    is(&decoder) || several.iter().any(is)
}

/// GPT-2 writes printable bytes as themselves, and the others, in order, as the letters from 256.
fn byte_of(letter: char) -> Option<u8> {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let code = u32::from(letter);
    if code < 256 {
        return printable(code).then_some(code as u8);
    }
    let mut others = (0..=255u8).filter(|byte| !printable(u32::from(*byte)));
    others.nth(code as usize - 256)
}

/// SentencePiece writes spaces as `▁` and single bytes as `<0x2E>`.
fn sentence_piece(token: &str) -> Vec<u8> {
    let byte = token
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'));
    match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        Some(byte) => vec![byte],
        None => token.replace('▁', " ").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stand_for_bytes() {
        for (letter, byte) in [('A', 65), ('Ġ', b' '), ('Ċ', b'\n'), ('ÿ', 255), ('Ń', 173)] {
            assert_eq!(byte_of(letter), Some(byte), "{letter}");
        }
        assert_eq!(byte_of(' '), None);
    }

    #[test]
    fn pieces_stand_for_text() {
        assert_eq!(sentence_piece("▁hello"), b" hello");
        assert_eq!(sentence_piece("<0x0A>"), b"\n");
        assert_eq!(sentence_piece("<0x"), b"<0x");
    }
}
