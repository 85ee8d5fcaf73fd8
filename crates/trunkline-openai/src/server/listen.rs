//! Where the server listens: a unix socket, or TCP on loopback.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use axum::{Router, middleware};
use serde::Deserialize;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::access;
use crate::OpenAiError;

/// `unix:<path>` or a loopback address with its port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// A socket in the file system: whoever may open the file may ask.
    Unix(PathBuf),
    /// TCP on this machine.
    Loopback(SocketAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Loopback(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for Address {
    type Err = OpenAiError;

    fn from_str(text: &str) -> Result<Self, OpenAiError> {
        let wrong = |reason: &str| OpenAiError::Address {
            address: text.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err(wrong("it names no file")),
                false => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| wrong("write unix:/path/of/the.socket or 127.0.0.1:8089"))?;
        match address.ip().is_loopback() {
            true => Ok(Self::Loopback(address)),
            false => Err(wrong("it can be reached from other machines")),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = OpenAiError;

    fn try_from(text: String) -> Result<Self, OpenAiError> {
        text.parse()
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Listening {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener, Unlink),
    Tcp(TcpListener),
}

/// Removes the socket's file.
#[derive(Debug)]
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        // Somebody who removed it before us did what we want.
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds. A unix socket that nobody listens on any more is replaced; only the owner and the
/// group may open the new one.
///
/// # Errors
/// [`OpenAiError::Listen`].
pub async fn listen(address: &Address) -> Result<Listening, OpenAiError> {
    let refused = |source| OpenAiError::Listen {
        address: address.to_string(),
        source,
    };
    match address {
        Address::Loopback(wanted) => {
            let listener = TcpListener::bind(wanted).await.map_err(refused)?;
            let bound = listener.local_addr().map_err(refused)?;
            Ok(Listening {
                socket: Socket::Tcp(listener),
                address: Address::Loopback(bound),
            })
        }
        Address::Unix(path) => {
            clear_stale(path).await;
            let listener = UnixListener::bind(path).map_err(refused)?;
            let unlink = Unlink(path.clone());
            fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(refused)?;
            Ok(Listening {
                socket: Socket::Unix(listener, unlink),
                address: address.clone(),
            })
        }
    }
}

/// A server that was killed leaves its socket behind.
async fn clear_stale(path: &Path) {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && UnixStream::connect(path).await.is_err() {
        // If it cannot be removed, binding says so.
        let _ = fs::remove_file(path);
    }
}

impl Listening {
    /// Where it listens, with the port that was really taken.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves until `stop` completes; open answers are then brought to their end.
    ///
    /// # Errors
    /// [`OpenAiError::Listen`] when the socket fails.
    pub async fn serve(
        self,
        router: Router,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), OpenAiError> {
        let refused = |source| OpenAiError::Listen {
            address: self.address.to_string(),
            source,
        };
        match self.socket {
            Socket::Tcp(listener) => {
                let router = router.layer(middleware::from_fn(access::only_this_machine));
                axum::serve(listener, router)
                    .with_graceful_shutdown(stop)
                    .await
                    .map_err(refused)
            }
            Socket::Unix(listener, _unlink) => axum::serve(listener, router)
                .with_graceful_shutdown(stop)
                .await
                .map_err(refused),
        }
    }
}
