//! A phone that sends exactly what a test tells it to.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

use super::within;
use crate::random;
use crate::wire::{Headers, Message, Method, NameAddr, Request, Response, Transport, inspect};

/// One UDP socket and the state of one call.
pub(super) struct Phone {
    socket: UdpSocket,
    gateway: SocketAddr,
    call_id: String,
    tag: String,
    pub(super) cseq: u32,
    /// The gateway's tag, from its last response that had one.
    pub(super) to_tag: Option<String>,
    /// The gateway's Contact.
    target: Option<String>,
}

impl Phone {
    pub(super) async fn at(address: &str, gateway: SocketAddr) -> Self {
        Self {
            socket: UdpSocket::bind(address).await.unwrap(),
            gateway,
            call_id: random::token(),
            tag: random::token(),
            cseq: 0,
            to_tag: None,
            target: None,
        }
    }

    pub(super) async fn new(gateway: SocketAddr) -> Self {
        Self::at("127.0.0.1:0", gateway).await
    }

    /// Whom to talk to, for a phone that had to be there first.
    pub(super) fn set_gateway(&mut self, gateway: SocketAddr) {
        self.gateway = gateway;
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A request in the phone's dialog, ready to be changed and sent.
    pub(super) fn request(&mut self, method: &str) -> Request {
        if !matches!(method, "ACK" | "CANCEL") {
            self.cseq += 1;
        }
        let local = self.address();
        let to_tag = self.to_tag.as_deref().filter(|_| method != "CANCEL");
        let to_tag = to_tag.map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let mut headers = Headers::default();
        let branch = random::branch();
        headers.push("Via", format!("SIP/2.0/UDP {local};branch={branch}"));
        headers.push("Max-Forwards", "70");
        headers.push("From", format!("<sip:phone@{local}>;tag={}", self.tag));
        headers.push("To", format!("<sip:4000@{}>{to_tag}", self.gateway));
        headers.push("Call-ID", self.call_id.clone());
        headers.push("CSeq", format!("{} {method}", self.cseq));
        headers.push("Contact", format!("<sip:phone@{local}>"));
        let fixed = format!("sip:4000@{}", self.gateway);
        Request {
            method: Method::from_token(method),
            uri: self
                .target
                .clone()
                .filter(|_| to_tag.len() > 1)
                .unwrap_or(fixed),
            headers,
            body: Vec::new(),
        }
    }

    /// An INVITE with an offer of these streams.
    pub(super) fn invite(&mut self, streams: &str) -> Request {
        let mut invite = self.request("INVITE");
        set_sdp(&mut invite, streams);
        invite
    }

    pub(super) async fn send(&self, request: &Request) {
        self.send_bytes(&request.to_bytes()).await;
    }

    pub(super) async fn send_bytes(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.gateway).await.unwrap();
    }

    pub(super) async fn message(&mut self) -> Message {
        let mut buffer = vec![0; 65_535];
        let (length, _) = within(self.socket.recv_from(&mut buffer)).await.unwrap();
        let message = inspect(&buffer[..length], Transport::Udp)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&buffer[..length])));
        if let Message::Response(response) = &message {
            let to = response.headers.get("To").and_then(NameAddr::parse);
            if let Some(tag) = to.and_then(|to| to.tag().map(str::to_owned)) {
                self.to_tag = Some(tag);
            }
            let contact = response.headers.get("Contact").and_then(NameAddr::parse);
            self.target = contact.map(|contact| contact.uri).or(self.target.take());
        }
        message
    }

    /// Whether something has arrived by now.
    pub(super) fn has_heard(&self) -> bool {
        let mut buffer = [0; 16];
        self.socket.try_recv(&mut buffer).is_ok()
    }

    /// The next response but 100.
    pub(super) async fn response(&mut self) -> Response {
        loop {
            match self.message().await {
                Message::Response(response) if response.status == 100 => {}
                Message::Response(response) => return response,
                Message::Request(request) => panic!("{} instead of a response", request.method),
            }
        }
    }

    /// The next request, with 200 sent for it unless it is an ACK.
    pub(super) async fn incoming(&mut self) -> Request {
        match self.message().await {
            Message::Request(request) => {
                self.answer(&request, 200, None).await;
                request
            }
            Message::Response(response) => panic!("{} instead of a request", response.line()),
        }
    }

    /// Answers a request, with an SDP body when streams are given.
    pub(super) async fn answer(&self, request: &Request, status: u16, streams: Option<&str>) {
        if request.method == Method::Ack {
            return;
        }
        let mut response = crate::wire::reply(request, status, &self.tag);
        let local = self.address();
        response
            .headers
            .push("Contact", format!("<sip:phone@{local}>"));
        if let Some(streams) = streams {
            response.headers.push("Content-Type", "application/sdp");
            response.body = sdp(streams);
        }
        self.send_bytes(&response.to_bytes()).await;
    }

    /// Acknowledges the 2xx to the last INVITE, with an answer when streams are given.
    pub(super) async fn ack(&mut self, streams: Option<&str>) {
        let mut ack = self.request("ACK");
        if let Some(streams) = streams {
            set_sdp(&mut ack, streams);
        }
        self.send(&ack).await;
    }
}

pub(super) const PCMU: &str =
    "m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

pub(super) fn sdp(streams: &str) -> Vec<u8> {
    format!("v=0\r\no=p 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{streams}")
        .into_bytes()
}

pub(super) fn set_sdp(request: &mut Request, streams: &str) {
    request.headers.set("Content-Type", "application/sdp");
    request.body = sdp(streams);
}
