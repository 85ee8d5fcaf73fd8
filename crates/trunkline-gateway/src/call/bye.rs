//! Ending a dialog, and saying why (RFC 3326).

use std::sync::Arc;
use std::time::Duration;

use trunkline_types::EndReason;

use super::Shared;
use crate::dialog::Dialog;
use crate::router::Trunk;
use crate::stack::{Flow, Gate as _};
use crate::wire::{Headers, Method, Transport};

/// How long the answer to a BYE is waited for. It is retransmitted longer than that.
const PATIENCE: Duration = Duration::from_secs(4);

/// The Reason header for an end.
pub(super) fn reason_header(reason: EndReason) -> &'static str {
    match reason {
        EndReason::MediaTimeout => "Q.850;cause=27;text=\"No media received\"",
        EndReason::SessionExpired => "SIP;cause=408;text=\"Session timer expired\"",
        EndReason::ShutDown => "Q.850;cause=31;text=\"Service going down\"",
        EndReason::AgentFailed => "Q.850;cause=41;text=\"Temporary failure\"",
        EndReason::NoAnswer => "Q.850;cause=19;text=\"No answer\"",
        _ => "Q.850;cause=16;text=\"Normal call clearing\"",
    }
}

/// What the far end's Reason headers say.
pub(super) fn reason_of(headers: &Headers) -> Option<String> {
    let reasons: Vec<&str> = headers.all("Reason").collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// Sends BYE and waits a while for the answer, with credentials if they are asked for.
pub(super) async fn send_bye(
    shared: &Arc<Shared>,
    trunk: &Trunk,
    dialog: &mut Dialog,
    flow: &Flow,
    reason: EndReason,
) {
    let mut bye = dialog.request(Method::Bye);
    bye.headers.push("Reason", reason_header(reason));
    let sent = shared.stack.send(bye.clone(), flow);
    let Ok(Some(response)) = tokio::time::timeout(PATIENCE, sent.last()).await else {
        return;
    };
    if !matches!(response.status, 401 | 407) {
        return;
    }
    let answered = trunk
        .authorizer
        .as_ref()
        .is_some_and(|authorizer| authorizer.answer(&response, &mut bye));
    if answered {
        bye.headers
            .set("CSeq", format!("{} BYE", dialog.next_cseq()));
        let again = shared.stack.send(bye, flow);
        let _ = tokio::time::timeout(PATIENCE, again.last()).await;
    }
}

/// The way for requests inside a dialog: straight to the far end's Contact or Route when that is
/// an address of a trunk, else the way that the call came. Nobody can aim us at a third party.
pub(super) async fn in_dialog_flow(shared: &Arc<Shared>, dialog: &Dialog, flow: &Flow) -> Flow {
    let Some(hop) = dialog
        .next_hop()
        .filter(|hop| shared.router.admits(hop.ip()))
    else {
        return flow.clone();
    };
    // An open stream is used again rather than another one opened to the same host.
    let usable = match flow.transport {
        Transport::Udp => hop == flow.remote,
        Transport::Tcp => hop.ip() == flow.remote.ip() && shared.stack.is_open(flow),
    };
    if usable {
        return flow.clone();
    }
    shared
        .stack
        .flow(flow.transport, hop)
        .await
        .unwrap_or_else(|_| flow.clone())
}
