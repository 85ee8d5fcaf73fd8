//! `trunkline watch`: the conversations of the running server on this terminal, as they happen.
//!
//! On a terminal the words of whoever speaks are renewed in place until they are final; anywhere
//! else only what is final is printed, one line each.

mod latency;
mod screen;
#[cfg(test)]
mod tests;
mod view;

use std::process::ExitCode;

use anyhow::{Result, bail};
use trunkline_agent::log::LiveEntry;

use crate::cli::WatchArgs;
use crate::client::Server;
use crate::config::Config;
use crate::terminal::Paint;

pub(crate) use latency::LatencyParts;
use screen::Screen;
use view::View;

pub(crate) fn run(args: &WatchArgs, config: &Config) -> Result<ExitCode> {
    let server = Server::new(args.url.as_deref(), config);
    let events = server.events(args.call)?;
    let one_call = args.once || args.call.is_some();
    let screen = Screen::new();
    let mut view = View::new(Paint::for_stdout());
    screen.line(&format!("watching {}", server.url()))?;
    for data in events {
        // What is not an entry is news about the feed itself, or an entry of a newer server.
        let Ok(entry) = serde_json::from_str::<LiveEntry>(&data?) else {
            continue;
        };
        let ended = screen.show(view.take(&entry))?;
        if ended && one_call {
            screen.finish();
            return Ok(ExitCode::SUCCESS);
        }
    }
    screen.finish();
    if one_call {
        bail!("the server stopped before the call ended");
    }
    screen.line("the server has stopped")?;
    Ok(ExitCode::SUCCESS)
}
