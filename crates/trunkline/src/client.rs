//! The commands that talk to the running server over its loopback operations page.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trunkline_types::CallId;

use crate::config::Config;
use crate::http::{PlaceCall, Placed, ReloadModel, ReloadedModel};

/// Connecting on one machine takes no time; a server that hangs is told apart from a slow one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The server.
pub(crate) struct Server {
    url: String,
    agent: ureq::Agent,
}

/// The body of every refusal.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
}

impl Server {
    /// At `url`, or where the configuration says.
    pub(crate) fn new(url: Option<&str>, config: &Config) -> Self {
        let url = match url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", config.http.listen),
        };
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .new_agent();
        Self { url, agent }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for a call to be placed.
    pub(crate) fn place_call(&self, call: &PlaceCall) -> Result<Placed> {
        self.post("/v1/calls", call)
    }

    /// Exchanges a model; returns when the new one serves.
    pub(crate) fn reload_model(&self, name: &str, wanted: &ReloadModel) -> Result<ReloadedModel> {
        self.post(&format!("/v1/models/{name}/reload"), wanted)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let mut answer = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .send(serde_json::to_string(body)?)
            .with_context(|| self.unreachable())?;
        let body = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            bail!("{}", refusal(&body));
        }
        serde_json::from_str(&body).with_context(|| self.stranger())
    }

    /// The live feed: the data of each event, one after the other, until the server ends it.
    pub(crate) fn events(
        &self,
        call: Option<CallId>,
    ) -> Result<impl Iterator<Item = Result<String>>> {
        let mut url = format!("{}/v1/events", self.url);
        if let Some(call) = call {
            url = format!("{url}?call={call}");
        }
        let mut answer = self
            .agent
            .get(url)
            .header("accept", "text/event-stream")
            .call()
            .with_context(|| self.unreachable())?;
        if !answer.status().is_success() {
            bail!("{}", refusal(&answer.body_mut().read_to_string()?));
        }
        let lines = BufReader::new(answer.into_body().into_reader()).lines();
        // Every event of ours is one `data:` line; comments keep the connection alive.
        Ok(lines.filter_map(|line| match line {
            Ok(line) => line
                .strip_prefix("data:")
                .map(|data| Ok(data.trim_start().to_owned())),
            Err(error) => Some(Err(error).context("the live feed broke off")),
        }))
    }

    fn unreachable(&self) -> String {
        format!(
            "cannot reach the server at {}; is `trunkline serve` running?",
            self.url
        )
    }

    fn stranger(&self) -> String {
        format!("what answers at {} is not a trunkline server", self.url)
    }
}

fn refusal(body: &str) -> String {
    match serde_json::from_str::<Refusal>(body) {
        Ok(refusal) => refusal.error,
        Err(_) => "the server refused, without saying why".to_owned(),
    }
}
