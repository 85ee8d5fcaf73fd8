//! Text as the program can read it.

/// One line without control characters, with the marks of typesetters as plain ones. Empty
/// when there is nothing to say aloud.
pub(super) fn speakable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '’' | '‘' | '`' => line.push('\''),
            '“' | '”' | '„' | '«' | '»' => line.push('"'),
            '–' | '—' | '…' => line.push_str(", "),
            '€' => line.push_str(" euros "),
            '£' => line.push_str(" pounds "),
            '*' | '#' | '_' | '|' | '<' | '>' | '\\' => line.push(' '),
            c if c.is_control() || c.is_whitespace() => line.push(' '),
            c => line.push(c),
        }
    }
    if !line.chars().any(char::is_alphanumeric) {
        return String::new();
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_markup_are_not_spoken() {
        assert_eq!(
            speakable("I’ll\u{0} call\n\tyou *back*\u{1b}[0m"),
            "I'll call you back [0m"
        );
        assert_eq!(speakable("yes — now"), "yes , now");
    }

    #[test]
    fn nothing_to_say_is_nothing() {
        assert_eq!(speakable(" … \u{7} - "), "");
    }
}
