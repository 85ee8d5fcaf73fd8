//! OpenAI's own Python client, unmodified, against the engine with the starter models.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use trunkline_tests::{Engine, python_with_openai, run};

fn client_holds(args: &[&str]) -> Result<()> {
    let script = std::path::absolute("openai/client.py")?;
    let client = run(Command::new(python_with_openai()?).arg(script).args(args))?;
    ensure!(client.code == Some(0), "{}{}", client.stdout, client.stderr);
    Ok(())
}

#[test]
fn openais_client_works_over_tcp() -> Result<()> {
    let mut engine = Engine::start("127.0.0.1:0")?;
    client_holds(&[&format!("http://{}/v1", engine.address())])?;
    ensure!(
        engine.terminate()? == Some(0),
        "the engine did not stop well"
    );
    Ok(())
}

#[test]
fn openais_client_works_over_a_unix_socket_that_is_gone_afterwards() -> Result<()> {
    let mut engine = Engine::start("unix:./run/engine.sock")?;
    let socket = engine.folder().join("run/engine.sock");
    let path = socket.to_str().context("a path that is not Unicode")?;
    client_holds(&["http://localhost/v1", path])?;
    ensure!(
        engine.terminate()? == Some(0),
        "the engine did not stop well"
    );
    ensure!(!socket.exists(), "the socket was left behind");
    Ok(())
}
