//! The four classes of work, and a table with one entry for each.
//!
//! A class says what waits for the work, not how long it takes. Inside a class the earliest
//! deadline goes first, with a fair share for each tenant.

use std::ops::{Index, IndexMut};

/// What waits for the work. The order is the order of service: less is more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The caller has stopped speaking and hears silence until this is done.
    TurnCritical,
    /// The caller hears the beginning of an utterance while its rest is made.
    Playing,
    /// Done ahead of need, perhaps in vain: partial transcripts, prefill of an unfinished turn.
    /// The first to be shed.
    Speculative,
    /// Nobody is on the line: batch transcription, summaries, evaluation.
    Background,
}

impl Class {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [
        Self::TurnCritical,
        Self::Playing,
        Self::Speculative,
        Self::Background,
    ];

    /// Whether work of this class is given up under pressure instead of refusing what a caller
    /// waits for.
    pub const fn is_sheddable(self) -> bool {
        matches!(self, Self::Speculative | Self::Background)
    }

    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TurnCritical => "turn_critical",
            Self::Playing => "playing",
            Self::Speculative => "speculative",
            Self::Background => "background",
        }
    }
}

/// One value for each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerClass<T>([T; 4]);

impl<T> PerClass<T> {
    /// Values in the order of [`Class::ALL`].
    pub const fn new(values: [T; 4]) -> Self {
        Self(values)
    }

    /// Each class with its value, the most urgent first.
    pub fn iter(&self) -> impl Iterator<Item = (Class, &T)> {
        Class::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Class> for PerClass<T> {
    type Output = T;

    fn index(&self, class: Class) -> &T {
        &self.0[class as usize]
    }
}

impl<T> IndexMut<Class> for PerClass<T> {
    fn index_mut(&mut self, class: Class) -> &mut T {
        &mut self.0[class as usize]
    }
}
