//! TCP listeners and streams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rsipstack::transport::SipConnection;
use rsipstack::transport::stream::StreamConnection as _;
use rsipstack::transport::tcp::TcpConnection;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;
use trunkline_telemetry::names;

use super::{Stack, convert};
use crate::error::GatewayError;
use crate::wire::{Framed, Transport, next_frame};

/// An open stream.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) local: SocketAddr,
    pub(super) connection: TcpConnection,
}

/// How long a stream may lie idle. Far above any session refresh.
const IDLE: Duration = Duration::from_secs(3600);
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// Streams open at once.
const MAX_STREAMS: usize = 1024;

pub(super) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), GatewayError> {
    let listen_error = |source: io::Error| GatewayError::Listen {
        transport: Transport::Tcp,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let local = listener.local_addr().map_err(listen_error)?;
    Ok((listener, local))
}

/// Takes connections until the stack stops. A stranger's is closed without a word.
pub(super) async fn accept(stack: Arc<Stack>, listener: TcpListener, local: SocketAddr) {
    let mut stop = stack.stop.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                let room = stack.lock_streams().len() < MAX_STREAMS;
                if !stack.gate.admits(remote.ip()) {
                    metrics::counter!(names::SIP_STRANGERS_TOTAL).increment(1);
                } else if room {
                    let _ = adopt(&stack, stream, local, remote).await;
                }
            }
            Err(error) => {
                // Out of file descriptors, mostly; a pause lets others close theirs.
                debug!(%error, "tcp accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The open stream to an address, or a new one.
pub(super) async fn connected(stack: &Stack, remote: SocketAddr) -> io::Result<Stream> {
    let open = stack.lock_streams().get(&remote).cloned();
    if let Some(stream) = open {
        return Ok(stream);
    }
    let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(remote));
    let socket = connecting.await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, "no answer to the TCP connection")
    })??;
    let local = socket.local_addr()?;
    adopt(stack, socket, local, remote).await
}

async fn adopt(
    stack: &Stack,
    socket: TcpStream,
    local: SocketAddr,
    remote: SocketAddr,
) -> io::Result<Stream> {
    let _ = socket.set_nodelay(true);
    let address = convert::address(Transport::Tcp, local);
    let connection = TcpConnection::from_stream(socket, address, None)
        .map_err(|error| io::Error::other(error.to_string()))?;
    // Taking the reading half away from the connection leaves it with the writing one only.
    let reader = connection.inner.read_half.lock().await.take();
    let Some(reader) = reader else {
        return Err(io::Error::other("the stream has no reading half"));
    };
    let stream = Stream { local, connection };
    stack.lock_streams().insert(remote, stream.clone());
    let Some(stack_again) = stack.myself.upgrade() else {
        return Err(io::Error::other("the stack has stopped"));
    };
    stack.spawn(read(stack_again, stream.clone(), reader, remote));
    Ok(stream)
}

async fn read(
    stack: Arc<Stack>,
    stream: Stream,
    mut reader: tokio::io::ReadHalf<TcpStream>,
    remote: SocketAddr,
) {
    let mut stop = stack.stop.subscribe();
    let mut buffer = Vec::new();
    let mut chunk = vec![0; 8192];
    loop {
        let read = tokio::select! {
            read = tokio::time::timeout(IDLE, reader.read(&mut chunk)) => read,
            _ = stop.changed() => break,
        };
        let Ok(Ok(length @ 1..)) = read else {
            break;
        };
        buffer.extend_from_slice(&chunk[..length]);
        if !take_frames(&stack, &stream, &mut buffer, remote).await {
            break;
        }
    }
    stack.lock_streams().remove(&remote);
    let _ = stream.connection.close().await;
}

/// Takes every whole message out of the buffer. `false` when the stream cannot be read further.
async fn take_frames(
    stack: &Stack,
    stream: &Stream,
    buffer: &mut Vec<u8>,
    remote: SocketAddr,
) -> bool {
    loop {
        let (skip, length, goes_on) = match next_frame(buffer) {
            Framed::Incomplete => return true,
            Framed::Message { skip, length } => (skip, length, true),
            Framed::Broken { length } => (0, length, false),
        };
        let connection = SipConnection::Tcp(stream.connection.clone());
        let answer = stack
            .take_in(
                &buffer[skip..skip + length],
                Transport::Tcp,
                connection,
                remote,
            )
            .await;
        if let Some((bytes, _)) = answer
            && stream.connection.send_raw(&bytes).await.is_err()
        {
            return false;
        }
        if !goes_on {
            return false;
        }
        buffer.drain(..skip + length);
    }
}
