//! Separates Rust code from its comments and texts, so that a rule about code is not fooled by
//! prose. Understands line and nested block comments, plain, byte, C and raw strings, characters
//! and lifetimes; nothing of the grammar.

/// The source with comments and the insides of literals blanked out. Lines stay where they are.
pub(super) fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let length = literal_or_comment(&chars, at);
        if length == 0 {
            code.push(chars[at]);
            at += 1;
        } else {
            for c in &chars[at..at + length] {
                code.push(if *c == '\n' { '\n' } else { ' ' });
            }
            at += length;
        }
    }
    code
}

/// How many characters the comment or literal that begins here has; 0 when none begins.
fn literal_or_comment(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => until(chars, at, |c| c == '\n'),
        '/' if next == Some('*') => block_comment(chars, at),
        '"' => string(chars, at),
        '\'' => character(chars, at),
        'r' | 'b' | 'c' if !follows_identifier(chars, at) => prefixed_string(chars, at),
        _ => 0,
    }
}

fn until(chars: &[char], at: usize, end: impl Fn(char) -> bool) -> usize {
    chars.iter().skip(at).take_while(|c| !end(**c)).count()
}

fn follows_identifier(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => {
                depth += 1;
                at += 2;
            }
            ('*', '/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at - start;
                }
            }
            _ => at += 1,
        }
    }
    chars.len() - start
}

fn string(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1 - start,
            _ => at += 1,
        }
    }
    chars.len() - start
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`, `c"…"`; 0 when the letter is the start of a word.
fn prefixed_string(chars: &[char], start: usize) -> usize {
    let letters = until(chars, start, |c| !"rbc".contains(c));
    let is_raw = chars[start..start + letters].contains(&'r');
    let hashes = until(chars, start + letters, |c| c != '#');
    let quote = start + letters + hashes;
    if chars.get(quote) != Some(&'"') || (hashes > 0 && !is_raw) || letters > 2 {
        return 0;
    }
    if !is_raw {
        return quote - start + string(chars, quote);
    }
    let mut at = quote + 1;
    while at < chars.len() {
        if chars[at] == '"' && until(chars, at + 1, |c| c != '#') >= hashes {
            return at + 1 + hashes - start;
        }
        at += 1;
    }
    chars.len() - start
}

/// A character literal; 0 for a lifetime or a label.
fn character(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => {
            // The character after the backslash may itself be a quote.
            3 + until(chars, start + 3, |c| c == '\'') + 1
        }
        (Some(_), Some('\'')) => 3,
        _ => 0,
    }
    .min(chars.len() - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        code_only(source)
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn comments_go_and_lines_stay() {
        let code = code_only("a // unsafe\n/* unsafe /* nested */ still */ b\n//! doc\nc");
        assert_eq!(code.lines().count(), 4);
        assert_eq!(words(&code), ["a", "b", "c"]);
    }

    #[test]
    fn literals_go_whatever_their_form() {
        assert_eq!(words(r#"f("unsafe \" unsafe") g"#), ["f(", ")", "g"]);
        assert_eq!(
            words("h(r#\"un\"safe\"#, b\"x\", c\"y\", br\"z\") i"),
            ["h(", ",", ",", ",", ")", "i"]
        );
        assert_eq!(
            words(r"j('\'', '\u{41}', '/', '/') k"),
            ["j(", ",", ",", ",", ")", "k"]
        );
    }

    #[test]
    fn lifetimes_raw_names_and_words_in_r_and_b_are_code() {
        assert_eq!(
            words("fn f<'a>(x: &'a str) {}"),
            ["fn", "f<'a>(x:", "&'a", "str)", "{}"]
        );
        assert_eq!(
            words("r#type bar robot 'outer: loop"),
            ["r#type", "bar", "robot", "'outer:", "loop"]
        );
    }

    #[test]
    fn what_is_never_closed_runs_to_the_end() {
        for open in ["a \"b", "a /* b", "a r#\"b\"", "a '\\"] {
            assert_eq!(words(open), ["a"], "{open}");
        }
    }
}
