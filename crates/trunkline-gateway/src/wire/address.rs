//! Address headers: `"Display" <uri>;params` (From, To, Contact, Route and their like).

use super::grammar::{Params, is_quoted_tail, is_token, split_outside};
use super::uri::SipUri;

/// One address with its header parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameAddr {
    /// The URI as written.
    pub(crate) uri: String,
    /// Parameters of the header, such as `tag`.
    pub(crate) params: Params,
}

impl NameAddr {
    /// Reads one address. `None` when it is not well formed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // The semicolon split both finds the parameters and proves that quotes are closed.
        let first = *split_outside(text, ';')?.first()?;
        let params = Params::parse(&text[first.len()..])?;
        let first = first.trim();
        let uri = match bracket(first) {
            Some(at) => {
                let (display, rest) = first.split_at(at);
                if !is_display_name(display.trim()) {
                    return None;
                }
                rest.strip_prefix('<')?.strip_suffix('>')?
            }
            // Without brackets a question mark or comma would belong to the header.
            None if first.contains(['?', ',', '"']) => return None,
            None => first,
        };
        if uri.is_empty() || !uri.contains(':') || uri.chars().any(char::is_whitespace) {
            return None;
        }
        let scheme = uri.split(':').next().unwrap_or("").to_ascii_lowercase();
        if matches!(scheme.as_str(), "sip" | "sips") && SipUri::parse(uri).is_none() {
            return None;
        }
        Some(Self {
            uri: uri.to_owned(),
            params,
        })
    }

    /// Reads a comma-separated list. `None` when any member is not well formed.
    pub(crate) fn parse_list(text: &str) -> Option<Vec<Self>> {
        split_outside(text, ',')?
            .into_iter()
            .map(Self::parse)
            .collect()
    }

    /// The `tag` parameter.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The URI when it is a SIP one.
    pub(crate) fn sip(&self) -> Option<SipUri> {
        SipUri::parse(&self.uri)
    }

    /// The user part, or the number of a `tel:` URI.
    pub(crate) fn user(&self) -> Option<String> {
        if let Some(number) = self.uri.strip_prefix("tel:") {
            return number.split(';').next().map(str::to_owned);
        }
        self.sip()?.plain_user()
    }
}

/// Where the opening bracket outside quotes stands.
fn bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn is_display_name(name: &str) -> bool {
    match name.strip_prefix('"') {
        Some(inner) => is_quoted_tail(inner),
        None => name.split_whitespace().all(is_token),
    }
}
