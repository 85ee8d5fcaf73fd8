//! What is wrong with a workflow, and how to mend it.

use std::fmt;

/// One fault of a workflow definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `node "help"`, `edge 3 (help -> book)`, `slot "doctor"`, or empty for the document.
    pub place: String,
    /// The id of the node at fault, or from which the edge at fault starts.
    pub node: Option<String>,
    /// The field at fault, as a path such as `say` or `settings.max_idle`; empty for the whole place.
    pub field: String,
    /// What is wrong.
    pub why: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}", self.place)?;
            if !self.field.is_empty() {
                write!(f, ", ")?;
            }
        }
        if !self.field.is_empty() {
            write!(f, "field {:?}", self.field)?;
        }
        if !self.place.is_empty() || !self.field.is_empty() {
            write!(f, ": ")?;
        }
        write!(f, "{}; {}", self.why, self.mend)
    }
}

impl std::error::Error for Problem {}

/// Where a problem is, to be completed by what it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub(crate) text: String,
    pub(crate) node: Option<String>,
}

impl Place {
    pub(crate) fn document() -> Self {
        Self::default()
    }

    pub(crate) fn node(id: &str) -> Self {
        Self {
            text: format!("node {id:?}"),
            node: Some(id.to_owned()),
        }
    }

    pub(crate) fn edge(number: usize, from: &str, to: &str) -> Self {
        Self {
            text: format!("edge {number} ({from} -> {to})"),
            node: (!from.is_empty()).then(|| from.to_owned()),
        }
    }

    pub(crate) fn named(kind: &str, name: &str) -> Self {
        Self {
            text: format!("{kind} {name:?}"),
            node: None,
        }
    }

    pub(crate) fn problem(
        &self,
        field: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Problem {
        Problem {
            place: self.text.clone(),
            node: self.node.clone(),
            field: field.into(),
            why: why.into(),
            mend: mend.into(),
        }
    }
}

/// "did you mean ...?" when a known name is near, else the list of the known ones.
pub(crate) fn suggest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = known.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    let nearest = names
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(wrong, name), *name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, name)) if likeness >= 0.5 => format!("did you mean {name:?}?"),
        Some(_) => format!("use one of: {}", names.join(", ")),
        None => "there is none to choose from, define one first".to_owned(),
    }
}
