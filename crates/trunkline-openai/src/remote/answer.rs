//! The answer of an endpoint on its way in.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::connection::Lease;
use super::failure::Failure;
use super::pool::{Ticket, briefly, by};
use super::rotation::Outcome;
use crate::wire::ErrorBody;

/// An answer in one piece is at most this long: some minutes of speech.
const LONGEST_WHOLE: usize = 32 << 20;
/// What is read of the reason of a refusal.
const LONGEST_REASON: usize = 64 << 10;
const SHOWN_REASON: usize = 300;

/// An answer of which the first bytes are there. Dropping it closes the connection, by which
/// the endpoint learns that nobody wants the rest.
pub(super) struct Answer {
    first: Option<Bytes>,
    rest: Option<(Incoming, Lease)>,
    ticket: Option<Ticket>,
    deadline: Instant,
}

impl Answer {
    /// Judges the head of an answer, and waits for the first bytes of a good one.
    pub(super) async fn begin(response: Response<Incoming>, lease: Lease) -> Result<Self, Failure> {
        let (head, mut body) = response.into_parts();
        if head.status != StatusCode::OK {
            let message = reason(&mut body).await;
            let wait = retry_after(&head.headers);
            return Err(Failure::of_status(head.status, wait, message));
        }
        let first = next(&mut body).await?;
        if first.is_none() {
            return Err(Failure::Broken("the answer is empty".to_owned()));
        }
        Ok(Self {
            first,
            rest: Some((body, lease)),
            ticket: None,
            deadline: Instant::now(),
        })
    }

    /// Takes over the place in the rotation until the answer is over.
    pub(super) fn own(&mut self, ticket: Ticket, deadline: Instant) {
        self.ticket = Some(ticket);
        self.deadline = deadline;
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn bytes(&mut self) -> Result<Option<Bytes>, Failure> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some((body, _)) = &mut self.rest else {
            return Ok(None);
        };
        let piece = by(self.deadline, next(body)).await;
        match &piece {
            Ok(Some(_)) => {}
            Ok(None) => self.end(Outcome::Answered),
            Err(failure) => self.end(failure.outcome()),
        }
        piece
    }

    /// Everything of the answer is here; more of it would mean nothing.
    pub(super) fn complete(&mut self) {
        self.end(Outcome::Answered);
    }

    /// What came was no answer.
    pub(super) fn spoilt(&mut self) {
        self.rest = None;
        self.end(Outcome::Broken);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(mut ticket) = self.ticket.take() {
            ticket.end(outcome);
        }
        if let Some((body, lease)) = self.rest.take()
            && hyper::body::Body::is_end_stream(&body)
        {
            lease.give_back();
        }
    }

    /// Reads the whole answer now, so that one that breaks off can be tried elsewhere.
    pub(super) async fn gather(mut self) -> Result<Self, Failure> {
        let mut whole = Vec::new();
        while let Some(piece) = self.bytes().await? {
            whole.extend_from_slice(&piece);
            if whole.len() > LONGEST_WHOLE {
                self.spoilt();
                return Err(Failure::Broken("the answer has no end".to_owned()));
            }
        }
        self.first = Some(whole.into());
        Ok(self)
    }

    /// The bytes of an answer that was gathered.
    pub(super) fn whole(mut self) -> Bytes {
        self.first.take().unwrap_or_default()
    }
}

/// The next piece of a body.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Failure::Broken(format!("it broke off: {error}"))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                // Trailers say nothing.
                Err(_) => {}
            },
        }
    }
}

/// What an endpoint says about a refusal.
async fn reason(body: &mut Incoming) -> String {
    let mut text = Vec::new();
    let reading = async {
        while let Ok(Some(piece)) = next(body).await {
            text.extend_from_slice(&piece);
            if text.len() > LONGEST_REASON {
                break;
            }
        }
    };
    // Without its end it is still the best that is known.
    let _ = briefly(reading).await;
    let message = match serde_json::from_slice::<ErrorBody>(&text) {
        Ok(body) => body.error.message,
        Err(_) => String::from_utf8_lossy(&text).trim().to_owned(),
    };
    match message.is_empty() {
        true => "it gives no reason".to_owned(),
        false => message.chars().take(SHOWN_REASON).collect(),
    }
}

/// `Retry-After` in seconds; as a date it is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
