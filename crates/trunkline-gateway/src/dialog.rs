//! The state that two user agents share once an INVITE has an answer (RFC 3261 section 12).
//!
//! Pure. It knows who is who, the sequence numbers and the route; what the requests are for is
//! the call's business.

use std::net::SocketAddr;

use crate::wire::{Headers, Method, NameAddr, Request, Response, SipUri};

/// One dialog, early or confirmed.
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    call_id: String,
    /// Our From value, with our tag.
    local: String,
    /// Their To value, with their tag.
    remote: String,
    remote_tag: String,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    /// Their Contact.
    target: String,
    /// Route values, in the order in which they are written.
    route: Vec<String>,
}

/// What a request's sequence number says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// As it should be.
    InOrder,
    /// Older than one seen before: 500 (RFC 3261 section 12.2.2).
    Old,
    /// From another branch of the call.
    OtherDialog,
}

impl Dialog {
    /// The dialog that our answer to an INVITE makes. `None` when the INVITE lacks what a dialog
    /// needs, a Contact above all.
    pub(crate) fn as_server(invite: &Request, local_tag: &str) -> Option<Self> {
        let from = invite.headers.get("From")?;
        let remote_tag = NameAddr::parse(from)?.tag()?.to_owned();
        Some(Self {
            call_id: invite.headers.get("Call-ID")?.to_owned(),
            local: format!("{};tag={local_tag}", invite.headers.get("To")?),
            remote: from.to_owned(),
            remote_tag,
            local_cseq: 0,
            remote_cseq: invite.cseq(),
            target: contact(&invite.headers)?,
            route: record_route(&invite.headers),
        })
    }

    /// The dialog that a response to our INVITE makes. `None` when it has no tag or no Contact.
    pub(crate) fn as_client(invite: &Request, response: &Response) -> Option<Self> {
        let to = response.headers.get("To")?;
        let remote_tag = NameAddr::parse(to)?.tag()?.to_owned();
        let mut route = record_route(&response.headers);
        route.reverse();
        Some(Self {
            call_id: invite.headers.get("Call-ID")?.to_owned(),
            local: invite.headers.get("From")?.to_owned(),
            remote: to.to_owned(),
            remote_tag,
            local_cseq: invite.cseq()?,
            remote_cseq: None,
            target: contact(&response.headers)?,
            route,
        })
    }

    /// The far end's tag, which tells the branches of a forked call apart.
    pub(crate) fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// A request inside the dialog.
    pub(crate) fn request(&mut self, method: Method) -> Request {
        self.local_cseq += 1;
        let mut headers = Headers::default();
        for route in &self.route {
            headers.push("Route", route.clone());
        }
        headers.push("From", self.local.clone());
        headers.push("To", self.remote.clone());
        headers.push("Call-ID", self.call_id.clone());
        headers.push("CSeq", format!("{} {method}", self.local_cseq));
        Request {
            method,
            uri: self.target.clone(),
            headers,
            body: Vec::new(),
        }
    }

    /// Takes a request's number into account.
    pub(crate) fn take(&mut self, request: &Request) -> Sequence {
        let from = request.headers.get("From").and_then(NameAddr::parse);
        if from
            .and_then(|from| from.tag().map(str::to_owned))
            .as_deref()
            != Some(&self.remote_tag)
        {
            return Sequence::OtherDialog;
        }
        match (request.cseq(), self.remote_cseq) {
            (Some(new), Some(last)) if new <= last => Sequence::Old,
            (new, _) => {
                self.remote_cseq = new.or(self.remote_cseq);
                Sequence::InOrder
            }
        }
    }

    /// Takes over a new Contact from a target refresh: re-INVITE or UPDATE, or their 2xx.
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Some(target) = contact(headers) {
            self.target = target;
        }
    }

    /// Skips a number: the request was sent again with credentials.
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Goes on counting where the early dialog of the same branch stopped.
    pub(crate) fn continue_from(&mut self, early: &Self) {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = early.remote_cseq;
    }

    /// The address of the next hop, when it is an address and not a name.
    pub(crate) fn next_hop(&self) -> Option<SocketAddr> {
        let route = self.route.first().and_then(|route| NameAddr::parse(route));
        let uri = route.map_or_else(|| self.target.clone(), |route| route.uri);
        SipUri::parse(&uri)?.socket()
    }
}

fn contact(headers: &Headers) -> Option<String> {
    let list = NameAddr::parse_list(headers.get("Contact")?)?;
    let uri = list.into_iter().next()?.uri;
    SipUri::parse(&uri).map(|_| uri)
}

fn record_route(headers: &Headers) -> Vec<String> {
    headers
        .all("Record-Route")
        .filter_map(NameAddr::parse_list)
        .flatten()
        .map(|address| format!("<{}>", address.uri))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Message, Transport, inspect};

    fn request(lines: &str) -> Request {
        let text = format!("{}\r\n\r\n", lines.trim().replace('\n', "\r\n"));
        match inspect(text.as_bytes(), Transport::Udp).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a response"),
        }
    }

    const INVITE: &str = "INVITE sip:4000@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1
Record-Route: <sip:192.0.2.8;lr>, <sip:192.0.2.7;lr>
From: <sip:alice@192.0.2.9>;tag=a
To: <sip:4000@192.0.2.1>
Call-ID: c1
CSeq: 7 INVITE
Contact: <sip:alice@192.0.2.9:5070>";

    #[test]
    fn the_answering_side_goes_back_by_the_recorded_route_to_the_contact() {
        let mut dialog = Dialog::as_server(&request(INVITE), "b").unwrap();
        let bye = dialog.request(Method::Bye);
        let routes: Vec<&str> = bye.headers.all("Route").collect();
        assert_eq!(routes, ["<sip:192.0.2.8;lr>", "<sip:192.0.2.7;lr>"]);
        assert_eq!(bye.uri, "sip:alice@192.0.2.9:5070");
        assert_eq!(bye.headers.get("From"), Some("<sip:4000@192.0.2.1>;tag=b"));
        assert_eq!(bye.headers.get("CSeq"), Some("1 BYE"));
        assert_eq!(dialog.next_hop(), Some("192.0.2.8:5060".parse().unwrap()));
    }

    #[test]
    fn the_calling_side_turns_the_route_around() {
        let invite = request(INVITE);
        let mut headers = invite.headers.clone();
        headers.set("To", "<sip:4000@192.0.2.1>;tag=b");
        headers.set("Contact", "<sip:desk@192.0.2.1>");
        let response = Response {
            status: 200,
            reason: String::new(),
            headers,
            body: Vec::new(),
        };
        let mut dialog = Dialog::as_client(&invite, &response).unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.headers.get("Route"), Some("<sip:192.0.2.7;lr>"));
        assert_eq!(bye.headers.get("CSeq"), Some("8 BYE"));
        assert_eq!(dialog.remote_tag(), "b");
    }

    #[test]
    fn an_old_number_and_a_foreign_branch_are_told_apart() {
        let mut dialog = Dialog::as_server(&request(INVITE), "b").unwrap();
        let later = INVITE.replace("CSeq: 7", "CSeq: 8");
        assert_eq!(dialog.take(&request(&later)), Sequence::InOrder);
        assert_eq!(dialog.take(&request(INVITE)), Sequence::Old);
        let foreign = later.replace(";tag=a", ";tag=z");
        assert_eq!(dialog.take(&request(&foreign)), Sequence::OtherDialog);
    }

    #[test]
    fn an_invite_without_contact_makes_no_dialog() {
        let bare = INVITE.replace("\nContact: <sip:alice@192.0.2.9:5070>", "");
        assert!(Dialog::as_server(&request(&bare), "b").is_none());
    }
}
