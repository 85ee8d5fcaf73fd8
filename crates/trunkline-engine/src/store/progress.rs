//! How far a pull, an import or a check has come. Whoever calls draws the bar.

/// One report. Reports of a file come in order and end with `done == total`, unless it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub step: Step,
    /// The file, or the package, it is done to.
    pub file: &'a str,
    /// Bytes so far, those of an earlier attempt included.
    pub done: u64,
    /// Bytes in all, when known.
    pub total: Option<u64>,
}

/// What is being done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Comes from a hub or a package index.
    Fetch,
    /// Comes out of an archive, a bundle or the program itself.
    Unpack,
    /// Is being hashed.
    Check,
}
