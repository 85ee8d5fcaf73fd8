//! SIP signalling: trunks, registrations and calls, each handed on as a [`CallLeg`].
//!
//! # What is here
//! - [`GatewayConfig`] says who may call, where numbers lead and how to reach out.
//! - [`Gateway`] opens the listeners, keeps the registrations, turns each INVITE into a
//!   [`CallLeg`] and places calls.
//! - [`wire`] reads and judges messages before anything believes them; [`sdp`] does so with
//!   session descriptions.
//!
//! Requests from addresses that belong to no trunk get no answer of any kind, on purpose: a
//! scanner must not learn that somebody lives here.
//!
//! # What is deliberately not here
//! Audio (`trunkline-media`), what is said on a call (`trunkline-agent`), TLS and SRTP (a later
//! room), and the transaction state machines: those are rsipstack's, behind the private module
//! `stack`, which is the only one that names it.
//!
//! [`CallLeg`]: trunkline_leg::CallLeg
#![forbid(unsafe_code)]

mod acl;
mod call;
mod config;
mod dialog;
mod digest;
mod error;
mod gateway;
mod random;
mod registration;
mod router;
pub mod sdp;
mod session_timer;
mod stack;
pub mod wire;

#[cfg(test)]
mod tests;

pub use acl::PeerNet;
pub use config::{
    Credentials, GatewayConfig, NumberConfig, RegistrationConfig, SipConfig, TrunkConfig,
};
pub use error::GatewayError;
pub use gateway::{Gateway, OutboundCall};
pub use registration::RegistrationState;
