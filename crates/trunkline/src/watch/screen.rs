//! Where the lines go: a terminal with one live line at its foot, or a plain stream.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::view::Shown;

/// Often enough to follow speech.
const REDRAWS_HZ: u8 = 20;

pub(super) struct Screen {
    /// The live line; `None` where there is no terminal.
    live: Option<ProgressBar>,
}

impl Screen {
    pub(super) fn new() -> Self {
        if !io::stdout().is_terminal() {
            return Self { live: None };
        }
        let target = ProgressDrawTarget::stdout_with_hz(REDRAWS_HZ);
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Self { live: Some(bar) }
    }

    /// Prints what is shown; says whether a call has ended.
    pub(super) fn show(&self, shown: Vec<Shown>) -> io::Result<bool> {
        let mut ended = false;
        for part in shown {
            match part {
                Shown::Live(text) => {
                    if let Some(bar) = &self.live {
                        bar.set_message(text);
                        bar.tick();
                    }
                }
                Shown::Line(text) => {
                    if let Some(bar) = &self.live {
                        bar.set_message("");
                    }
                    self.line(&text)?;
                }
                Shown::Ended(text) => {
                    self.line(&text)?;
                    ended = true;
                }
            }
        }
        Ok(ended)
    }

    /// Prints one line that stays.
    pub(super) fn line(&self, text: &str) -> io::Result<()> {
        match &self.live {
            Some(bar) => {
                bar.println(text);
                Ok(())
            }
            None => {
                let mut out = io::stdout().lock();
                writeln!(out, "{text}")?;
                out.flush()
            }
        }
    }

    /// Takes the live line away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }
}
