//! Whole workflows: read, refused, and walked.

mod any_input;
mod front_desk;
mod interpreter;
mod problems;
mod rig;
