//! A plain client of HTTP/1.1: what is sent is exactly what the test says, also where no proper
//! client would send it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// No answer of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// From `/` on.
    pub path: String,
    /// Of the body.
    pub content_type: String,
    /// What is sent, whatever it is.
    pub body: Vec<u8>,
    /// What is shown as the key.
    pub key: Option<String>,
}

impl Ask {
    /// Asks for a page.
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            content_type: String::new(),
            body: Vec::new(),
            key: None,
        }
    }

    /// Sends JSON.
    pub fn json(path: &str, body: &Value) -> Self {
        Self::bytes(path, "application/json", body.to_string().into_bytes())
    }

    /// Sends anything.
    pub fn bytes(path: &str, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            method: "POST",
            content_type: content_type.to_owned(),
            body,
            ..Self::get(path)
        }
    }

    /// Sends a file with the name of a model, as a form.
    pub fn file(path: &str, model: &str, file: &[u8]) -> Self {
        let edge = "the-edge-of-a-part";
        let mut body = format!(
            "--{edge}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n\
             --{edge}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(file);
        body.extend_from_slice(format!("\r\n--{edge}--\r\n").as_bytes());
        Self::bytes(path, &format!("multipart/form-data; boundary={edge}"), body)
    }

    /// Shows a key.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    fn write(&self, stream: &mut impl Write) -> Result<()> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
            self.method, self.path
        );
        if let Some(key) = &self.key {
            head.push_str(&format!("Authorization: Bearer {key}\r\n"));
        }
        if self.method == "POST" {
            head.push_str(&format!(
                "Content-Type: {}\r\nContent-Length: {}\r\n",
                self.content_type,
                self.body.len()
            ));
        }
        head.push_str("\r\n");
        // In one piece, so that a slow test is not taken for a slow client.
        stream.write_all(&[head.as_bytes(), &self.body].concat())?;
        Ok(())
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, put together.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A connection to a server under test.
#[derive(Debug)]
pub enum Connection {
    /// Over loopback.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Connection {
    /// Connects over loopback.
    ///
    /// # Errors
    /// Nobody listens.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test looks at a program from outside, without a runtime"
    )]
    pub fn tcp(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::Tcp(stream))
    }

    /// Connects over a unix socket.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn unix(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::Unix(stream))
    }

    /// Asks, and waits for the head of the answer.
    ///
    /// # Errors
    /// The connection broke off.
    pub fn ask(mut self, ask: &Ask) -> Result<Answering> {
        ask.write(&mut self)?;
        let mut reader = BufReader::new(self);
        let status = line(&mut reader)?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.context("no HTTP answer")?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut reader)?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Answering {
            reader,
            status,
            headers,
        })
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buffer),
            Self::Unix(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}

/// An answer whose body is still to come. Dropping it closes the connection.
#[derive(Debug)]
pub struct Answering {
    reader: BufReader<Connection>,
    /// The status.
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Answering {
    /// The rest of the answer.
    ///
    /// # Errors
    /// The connection broke off.
    pub fn whole(mut self) -> Result<Answer> {
        let is_chunked = |(name, value): &(String, String)| {
            name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked")
        };
        let mut body = Vec::new();
        if self.headers.iter().any(is_chunked) {
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
        } else {
            self.reader.read_to_end(&mut body)?;
        }
        Ok(Answer {
            status: self.status,
            headers: self.headers,
            body,
        })
    }

    /// The data of the next server-sent event; `None` after the last.
    ///
    /// # Errors
    /// The connection broke off.
    pub fn event(&mut self) -> Result<Option<String>> {
        // The server sends each event as a chunk of its own.
        let Some(chunk) = self.chunk()? else {
            return Ok(None);
        };
        let text = String::from_utf8(chunk)?;
        let data = text.trim_end().strip_prefix("data: ");
        Ok(Some(data.context("an event without data")?.to_owned()))
    }

    fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let length = usize::from_str_radix(line(&mut self.reader)?.trim(), 16)
            .context("a chunk without its length")?;
        let mut chunk = vec![0; length];
        self.reader.read_exact(&mut chunk)?;
        ensure!(
            line(&mut self.reader)?.is_empty(),
            "a chunk without its end"
        );
        Ok((length > 0).then_some(chunk))
    }
}

fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    ensure!(reader.read_line(&mut line)? > 0, "the connection broke off");
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
