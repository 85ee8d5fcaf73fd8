//! Small pieces of the SIP grammar (RFC 3261 section 25): tokens, parameters, quoted strings.

/// Whether every character may stand in a token, and there is at least one.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

/// Splits at `separator` where it stands outside quoted strings and angle brackets. `None` when
/// a quoted string or a bracket is never closed.
pub(crate) fn split_outside(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped, mut in_brackets) = (0, false, false, false);
    for (at, c) in text.char_indices() {
        if quoted {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match c {
            '"' => quoted = true,
            '<' if in_brackets => return None,
            '<' => in_brackets = true,
            '>' if !in_brackets => return None,
            '>' => in_brackets = false,
            c if c == separator && !in_brackets => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!quoted && !in_brackets).then_some(parts)
}

/// Header or URI parameters in order: names as written, values unquoted not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(pub(crate) Vec<(String, Option<String>)>);

impl Params {
    /// Reads `;name=value;name` without the first semicolon already cut. Empty parameters, odd
    /// names and values with spaces are refused.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Some(Self::default());
        }
        let rest = text.strip_prefix(';')?;
        let mut params = Vec::new();
        for part in split_outside(rest, ';')? {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (part.trim(), None),
            };
            if !is_token(name) || !value.is_none_or(is_value) {
                return None;
            }
            params.push((name.to_owned(), value.map(str::to_owned)));
        }
        Some(Self(params))
    }

    /// The value of the first parameter of that name; empty for one without value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_deref().unwrap_or(""))
    }

    /// How often the name occurs.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.0
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .count()
    }
}

/// A parameter value: a quoted string, or anything printable without space or quote.
fn is_value(value: &str) -> bool {
    if let Some(inner) = value.strip_prefix('"') {
        return inner.len() >= value.len() - 1 && is_quoted_tail(inner);
    }
    !value.is_empty()
        && value
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && !"\"<>,;".contains(c))
}

/// Whether the text closes the quoted string that was opened before it, and ends there.
pub(crate) fn is_quoted_tail(inner: &str) -> bool {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1 == inner.len(),
            _ => {}
        }
    }
    false
}

/// The value of a parameter in a raw header value such as `1800;refresher=uac`.
pub(crate) fn parameter(header: &str, name: &str) -> Option<String> {
    let (_, rest) = header.split_once(';')?;
    rest.split(';').find_map(|part| {
        let (known, value) = part.split_once('=')?;
        known
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// A whole number of digits only, no sign, no larger than `most`. Leading zeros are allowed.
pub(crate) fn number(text: &str, most: u64) -> Option<u64> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|value| *value <= most)
}
