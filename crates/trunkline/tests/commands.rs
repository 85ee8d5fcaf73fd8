//! The built program, as an operator runs it.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn trunkline(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .current_dir(dir)
        .env("TRUNKLINE__HTTP__LISTEN", "127.0.0.1:0")
        .env("TRUNKLINE__SIP__LISTEN_UDP", "[\"127.0.0.1:0\"]")
        .env("TRUNKLINE__MODELS__STT", "instant")
        .env("TRUNKLINE__MODELS__LLM", "instant")
        .env("TRUNKLINE__MODELS__TTS", "instant");
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    trunkline(dir).args(args).output().unwrap()
}

/// The one sentence of a command that failed.
fn complaint(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("trunkline: "), "{said}");
    assert!(
        !said.contains("panicked") && !said.contains("stack backtrace"),
        "{said}"
    );
    said
}

struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(dir: &Path) -> Self {
        let mut child = trunkline(dir)
            .arg("serve")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut ready).unwrap();
        assert!(
            ready.starts_with("trunkline is ready: SIP udp 127.0.0.1:"),
            "{ready:?}"
        );
        let url = ready.trim().rsplit_once(' ').unwrap().1.to_owned();
        Self { child, url }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent();
        let mut answer = agent.get(format!("{}{path}", self.url)).call().unwrap();
        (
            answer.status().as_u16(),
            answer.body_mut().read_to_string().unwrap(),
        )
    }

    fn stop(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_default_configuration_is_right_and_can_be_shown() {
    let dir = TempDir::new().unwrap();
    let checked = run(dir.path(), &["config", "check"]);
    assert!(checked.status.success(), "{checked:?}");
    let shown = run(dir.path(), &["config", "show"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("front-desk") && text.contains("[media]"),
        "{text}"
    );
    fs::write(dir.path().join("again.toml"), text).unwrap();
    let again = run(dir.path(), &["config", "check", "--config", "again.toml"]);
    assert!(
        again.status.success(),
        "what is shown can be read again: {again:?}"
    );
}

#[test]
fn what_is_wrong_before_the_start_is_one_sentence_and_exit_code_1() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("typo.toml"), "[sip]\nlisten_ucp = []\n").unwrap();
    fs::write(
        dir.path().join("route.toml"),
        "[[number]]\nnumber = \"1\"\nworkflow = \"x\"\n",
    )
    .unwrap();
    fs::write(dir.path().join("bad.json"), "{\"schema\": 7}").unwrap();
    let cases: [(&[&str], &str); 6] = [
        (
            &["config", "check", "--config", "typo.toml"],
            "typo.toml:2:1: unknown key",
        ),
        (
            &["config", "check", "--config", "route.toml"],
            "there is no workflow \"x\"",
        ),
        (&["config", "check", "--config", "gone.toml"], "gone.toml"),
        (&["workflow", "check", "bad.json"], "bad.json is not valid"),
        (&["calls", "list"], "no calls were kept yet"),
        (
            &["watch", "--url", "http://127.0.0.1:9"],
            "is `trunkline serve` running?",
        ),
    ];
    for (args, expected) in cases {
        let said = complaint(&run(dir.path(), args));
        assert!(
            said.contains(expected),
            "{said:?} should contain {expected:?}"
        );
    }
}

#[test]
fn a_server_that_cannot_start_says_why_and_what_to_change() {
    let dir = TempDir::new().unwrap();
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let sip = UdpSocket::bind("127.0.0.1:0").unwrap();
    let http_taken = http.local_addr().unwrap().to_string();
    let sip_taken = format!("[\"{}\"]", sip.local_addr().unwrap());
    fs::write(dir.path().join("file"), "not a folder").unwrap();
    let cases = [
        (
            "TRUNKLINE__HTTP__LISTEN",
            http_taken.as_str(),
            "cannot listen for HTTP",
        ),
        (
            "TRUNKLINE__SIP__LISTEN_UDP",
            sip_taken.as_str(),
            "cannot listen for SIP",
        ),
        (
            "TRUNKLINE__NODE__DATA_DIR",
            "file/var",
            "cannot create the data folder file/var",
        ),
        (
            "TRUNKLINE__HTTP__LISTEN",
            "0.0.0.0:0",
            "no authentication yet",
        ),
        (
            "TRUNKLINE__MODELS__STT",
            "whisper-starte",
            "did you mean \"whisper-starter\"?",
        ),
    ];
    for (variable, value, expected) in cases {
        let output = trunkline(dir.path())
            .args(["serve"])
            .env("TRUNKLINE__LOG__FILTER", "off")
            .env(variable, value)
            .output()
            .unwrap();
        let said = complaint(&output);
        assert!(
            said.contains(expected),
            "{said:?} should contain {expected:?}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_running_server_shows_its_health_and_stops_when_told() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path());

    let (status, health) = server.get("/health");
    assert_eq!(status, 200, "{health}");
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["parts"]["store"]["state"], "ok");
    assert_eq!(server.get("/health/ready").0, 200);
    assert!(
        server.get("/metrics").1.contains("# "),
        "metrics are described"
    );
    assert_eq!(server.get("/v1/calls").1, "{\"calls\":[]}");
    assert_eq!(server.get("/v1/calls/42").0, 400);
    assert_eq!(
        server
            .get("/v1/calls/01890a5d-ac96-774b-bcce-b302099a8057")
            .0,
        404
    );
    assert_eq!(server.get("/nowhere").0, 404);

    let second = trunkline(dir.path()).arg("serve").output().unwrap();
    let said = complaint(&second);
    assert!(
        said.contains("another trunkline uses the data folder"),
        "{said}"
    );

    let placed = run(
        dir.path(),
        &["call", "4000", "--workflow", "none", "--url", &server.url],
    );
    assert!(complaint(&placed).contains("there is no workflow \"none\""));
    let listed = run(dir.path(), &["calls", "list"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "no calls\n");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_request_under_a_foreign_name_is_not_served() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path());
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .new_agent();
    let page = format!("{}/v1/calls", server.url);
    let answer = agent
        .get(page)
        .header("host", "evil.example")
        .call()
        .unwrap();
    assert_eq!(answer.status().as_u16(), 421);
    assert_eq!(server.stop(), Some(0));
}
