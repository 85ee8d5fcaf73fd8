//! Workflow files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_workflow::Workflow;

fuzz_target!(|json: &str| {
    let _ = Workflow::parse(json);
});
