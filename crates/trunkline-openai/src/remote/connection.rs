//! Connections to one endpoint, kept open between requests.
//!
//! A connection goes where the configuration says and nowhere else: there are no redirects, no
//! proxies and no other hosts here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::config::EndpointConfig;
use super::target::{Place, Target};
use crate::OpenAiError;

/// Connections that are kept for later.
const KEPT: usize = 32;

type Sender = SendRequest<Full<Bytes>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// No connection in time.
    #[error("no connection within {0:?}")]
    TooSlow(Duration),
    /// No connection.
    #[error("no connection: {0}")]
    Refused(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broke(#[from] hyper::Error),
}

/// The connections to one endpoint.
pub(super) struct Connections {
    target: Target,
    tls: Option<TlsConnector>,
    idle: Arc<Mutex<Vec<Sender>>>,
}

impl Connections {
    /// Connects to nothing yet.
    pub(super) fn new(config: &EndpointConfig) -> Result<Self, OpenAiError> {
        let target = Target::parse(&config.url)?;
        let tls = match &target.place {
            Place::Host { is_tls: true, .. } => Some(connector(config)?),
            Place::Host { .. } | Place::Unix(_) => None,
        };
        Ok(Self {
            target,
            tls,
            idle: Arc::default(),
        })
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a request and waits for the head of its answer. `within` bounds the connection only.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<(Response<Incoming>, Lease), ConnectionError> {
        let mut request = request;
        while let Some(mut sender) = self.take_idle() {
            // The far end may have closed it since; then nothing was sent, and a new one serves.
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, self.lease(sender))),
                Err(mut unsent) => match unsent.take_message() {
                    Some(again) => request = again,
                    None => return Err(unsent.into_error().into()),
                },
            }
        }
        let mut sender = match timeout(within, self.connect()).await {
            Ok(connected) => connected?,
            Err(_) => return Err(ConnectionError::TooSlow(within)),
        };
        let response = sender.send_request(request).await?;
        Ok((response, self.lease(sender)))
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        idle.pop()
    }

    fn lease(&self, sender: Sender) -> Lease {
        Lease {
            sender: Some(sender),
            idle: Arc::clone(&self.idle),
        }
    }

    async fn connect(&self) -> Result<Sender, ConnectionError> {
        let refused = |error: std::io::Error| ConnectionError::Refused(error.to_string());
        match &self.target.place {
            Place::Unix(path) => speak(UnixStream::connect(path).await.map_err(refused)?).await,
            Place::Host { name, port, .. } => {
                let stream = TcpStream::connect((name.as_str(), *port));
                let stream = stream.await.map_err(refused)?;
                // Requests are small and waited for.
                stream.set_nodelay(true).map_err(refused)?;
                match &self.tls {
                    None => speak(stream).await,
                    Some(tls) => {
                        let name = ServerName::try_from(name.clone())
                            .map_err(|error| ConnectionError::Refused(error.to_string()))?;
                        speak(tls.connect(name, stream).await.map_err(refused)?).await
                    }
                }
            }
        }
    }
}

/// Begins HTTP on a stream. The connection lives as long as its sender.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Sender, ConnectionError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to an endpoint ended");
        }
    });
    Ok(sender)
}

/// TLS with the public authorities, or with those of the endpoint.
fn connector(config: &EndpointConfig) -> Result<TlsConnector, OpenAiError> {
    let mut roots = RootCertStore::empty();
    match &config.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let refused = |reason: String| OpenAiError::Certificates {
                path: path.clone(),
                reason,
            };
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| refused(error.to_string()))?;
                roots
                    .add(certificate)
                    .map_err(|error| refused(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(refused("there is no certificate in it".to_owned()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenAiError::Address {
            address: config.url.clone(),
            reason: error.to_string(),
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection whose answer is still being read. Given back it serves the next request; dropped
/// it is closed, so that the far end stops working on an answer that nobody wants.
pub(super) struct Lease {
    sender: Option<Sender>,
    idle: Arc<Mutex<Vec<Sender>>>,
}

impl Lease {
    /// The answer was read to its end.
    pub(super) fn give_back(mut self) {
        let Some(sender) = self.sender.take() else {
            return;
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && !sender.is_closed() {
            idle.push(sender);
        }
    }
}
