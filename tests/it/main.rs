//! End-to-end tests: the built appliance against real peers. One module a promise.

mod audio;
mod bad_input;
mod baresip;
mod crash;
mod engine;
mod exchange;
mod openai;
mod outbound;
mod refusals;
mod remote;
mod signalling;
