//! The endpoints of one model: sends a request to the best of them, and to the next one when it
//! fails, within the time that there is.
//!
//! A request is retried as long as nothing of its answer was handed on. Each endpoint and key is
//! tried twice at most. What is the request's own fault (other 4xx) is not retried.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::Full;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use trunkline_inference::{InferenceError, Tenant, Urgency};
use trunkline_types::Secret;

use super::answer::Answer;
use super::config::{Budgets, EndpointConfig, PoolConfig};
use super::connection::Connections;
use super::failure::Failure;
use super::rotation::{Outcome, Pick, Rotation, Slot};
use crate::OpenAiError;
use crate::server::{TENANT, URGENCY};

/// How often each endpoint and key is tried for one request.
const ROUNDS: usize = 2;

/// All endpoints of a model.
pub(super) struct Pool {
    model: String,
    endpoints: Vec<Endpoint>,
    budgets: Budgets,
    rotation: Mutex<Rotation>,
    /// A request has ended, so there may be room.
    freed: Notify,
    began: Instant,
}

struct Endpoint {
    connections: Connections,
    model: String,
    /// `None` for an endpoint that asks for no key.
    keys: Vec<Option<Secret<String>>>,
}

/// A request, but for where it goes.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// After the base of the URL, e.g. `/chat/completions`.
    pub(super) path: &'static str,
    pub(super) content_type: String,
    pub(super) body: Bytes,
    pub(super) urgency: Urgency,
    pub(super) tenant: Tenant,
    /// Whether the answer is handed on as it comes.
    pub(super) streamed: bool,
}

impl Endpoint {
    fn new(config: &EndpointConfig, model: &str) -> Result<Self, OpenAiError> {
        let mut keys = Vec::new();
        for source in &config.key {
            keys.push(source.read()?);
        }
        if keys.is_empty() {
            keys.push(None);
        }
        Ok(Self {
            connections: Connections::new(config)?,
            model: config.model.clone().unwrap_or_else(|| model.to_owned()),
            keys,
        })
    }
}

impl Pool {
    /// Reads the keys; connects to nothing yet.
    pub(super) fn new(config: &PoolConfig) -> Result<Arc<Self>, OpenAiError> {
        let endpoints = config.endpoint.iter();
        let endpoints: Vec<Endpoint> = endpoints
            .map(|endpoint| Endpoint::new(endpoint, &config.model))
            .collect::<Result<_, _>>()?;
        let sizes = endpoints.iter().zip(&config.endpoint);
        let sizes = sizes.map(|(endpoint, config)| (endpoint.keys.len(), config.max_requests));
        Ok(Arc::new(Self {
            model: config.model.clone(),
            rotation: Mutex::new(Rotation::new(sizes)),
            endpoints,
            budgets: config.budgets(),
            freed: Notify::new(),
            began: Instant::now(),
        }))
    }

    /// What the model is called.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// The endpoints in words.
    pub(super) fn places(&self) -> String {
        let places = self.endpoints.iter();
        let places: Vec<String> = places
            .map(|endpoint| endpoint.connections.target().to_string())
            .collect();
        places.join(" ")
    }

    /// When a request that begins now has to be over.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.budgets.total
    }

    /// Sends what `ask` makes of the model's name at the endpoint.
    pub(super) async fn send(
        self: &Arc<Self>,
        deadline: Instant,
        ask: impl Fn(&str) -> Ask,
    ) -> Result<Answer, Failure> {
        let mut tried: Vec<Slot> = Vec::new();
        let mut last = None;
        let most = ROUNDS * self.lock().slots();
        while tried.len() < most {
            let slot = match self.slot(&tried, deadline).await {
                Ok(slot) => slot,
                Err(none) => return Err(last.unwrap_or(none)),
            };
            tried.push(slot);
            let ticket = Ticket {
                pool: Arc::clone(self),
                slot: Some(slot),
            };
            match self.attempt(ticket, deadline, &ask).await {
                Err(failure) if failure.is_retryable() => {
                    let place = self.endpoints[slot.endpoint].connections.target();
                    tracing::warn!(model = self.model, %place, key = slot.key, %failure, "an endpoint failed");
                    last = Some(failure);
                }
                answered => return answered,
            }
        }
        Err(last.unwrap_or_else(|| Failure::Broken("there is no endpoint".to_owned())))
    }

    /// Waits for an endpoint and a key, no longer than a caller would for the first word.
    async fn slot(&self, tried: &[Slot], deadline: Instant) -> Result<Slot, Failure> {
        let patience = deadline.min(Instant::now() + self.budgets.first);
        loop {
            let freed = self.freed.notified();
            let pick = self.lock().pick(tried, self.began.elapsed());
            let until = match pick {
                Pick::Use(slot) => return Ok(slot),
                Pick::Full => patience,
                Pick::WaitUntil(at) => {
                    let at = self.began + at;
                    if at > patience {
                        let left = at.saturating_duration_since(Instant::now());
                        return Err(Failure::Throttled(Some(left), "no endpoint is free".into()));
                    }
                    at
                }
            };
            let is_over = timeout_at(until, freed).await.is_err();
            if is_over && Instant::now() >= patience {
                return Err(Failure::Throttled(None, "all endpoints are in use".into()));
            }
        }
    }

    /// One request to one endpoint, up to the first bytes of its answer or all of them.
    async fn attempt(
        &self,
        mut ticket: Ticket,
        deadline: Instant,
        ask: &impl Fn(&str) -> Ask,
    ) -> Result<Answer, Failure> {
        let Some(slot) = ticket.slot else {
            return Err(Failure::Broken("it was given back already".to_owned()));
        };
        let endpoint = &self.endpoints[slot.endpoint];
        let asked = ask(&endpoint.model);
        let streamed = asked.streamed;
        let request = match request(endpoint, slot.key, asked) {
            Ok(request) => request,
            Err(error) => return Err(Failure::Refused(StatusCode::BAD_REQUEST, error.to_string())),
        };
        let first_by = deadline.min(Instant::now() + self.budgets.connect + self.budgets.first);
        let begun = async {
            let (response, lease) = endpoint
                .connections
                .send(request, self.budgets.connect)
                .await?;
            Answer::begin(response, lease).await
        };
        let begun = match timeout_at(first_by, begun).await {
            Ok(begun) => begun,
            Err(_) => Err(Failure::TooLate("the first piece of the answer".to_owned())),
        };
        match begun {
            Ok(mut answer) => {
                answer.own(ticket, deadline);
                match streamed {
                    true => Ok(answer),
                    false => answer.gather().await,
                }
            }
            Err(failure) => {
                ticket.end(failure.outcome());
                Err(failure)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rotation> {
        // The rotation is whole between calls; a panic elsewhere does not spoil it.
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error that the agent sees.
    pub(super) fn error(&self, failure: Failure) -> InferenceError {
        let model = self.model.clone();
        let reason = failure.to_string();
        match failure {
            Failure::Throttled(..) => InferenceError::Overloaded { model },
            Failure::TooLate(_) => InferenceError::TimedOut { model, reason },
            Failure::KeyRefused(_) | Failure::Broken(_) => {
                InferenceError::Unavailable { model, reason }
            }
            Failure::Refused(..) => InferenceError::BadRequest { model, reason },
        }
    }
}

fn request(
    endpoint: &Endpoint,
    key: usize,
    ask: Ask,
) -> Result<Request<Full<Bytes>>, axum::http::Error> {
    let target = endpoint.connections.target();
    let mut request = Request::post(format!("{}{}", target.base, ask.path))
        .header(header::HOST, &target.authority)
        .header(header::CONTENT_TYPE, ask.content_type)
        .header(header::USER_AGENT, "trunkline")
        .header(URGENCY, urgency_word(ask.urgency));
    if ask.tenant != Tenant::default() {
        request = request.header(TENANT, ask.tenant.0);
    }
    if let Some(Some(key)) = endpoint.keys.get(key) {
        let mut value = axum::http::HeaderValue::from_str(&format!("Bearer {}", key.expose()))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(Full::new(ask.body))
}

fn urgency_word(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::TurnCritical => "turn_critical",
        Urgency::Playing => "playing",
        Urgency::Speculative => "speculative",
        Urgency::Background => "background",
    }
}

/// A place in the rotation, held until the answer is over.
pub(super) struct Ticket {
    pool: Arc<Pool>,
    slot: Option<Slot>,
}

impl Ticket {
    /// Says how the request went.
    pub(super) fn end(&mut self, outcome: Outcome) {
        if let Some(slot) = self.slot.take() {
            let now = self.pool.began.elapsed();
            self.pool.lock().end(slot, outcome, now);
            self.pool.freed.notify_waiters();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(Outcome::Abandoned);
    }
}

/// Waits for work that must be over by then.
pub(super) async fn by<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match timeout_at(deadline, work).await {
        Ok(done) => done,
        Err(_) => Err(Failure::TooLate("the end of the answer".to_owned())),
    }
}

/// Waits for a while that is short beside any budget.
pub(super) async fn briefly<T>(work: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::from_secs(2), work).await.ok()
}
