//! The configuration as operators get it wrong.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use trunkline_engine::ModelsConfig;
use trunkline_gateway::SipConfig;
use trunkline_media::MediaConfig;
use trunkline_openai::remote::RemoteConfig;
use trunkline_openai::server::ServerConfig;

use super::shape::{Document, HttpConfig, LogConfig, NodeConfig, RecordingConfig, WorkflowsConfig};
use super::{Config, ConfigError, DEFAULTS, Loaded, load};

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("trunkline.toml");
    fs::write(&file, text).unwrap();
    load(Some(&file), owned(variables))
}

fn owned(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> + use<> {
    let owned: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    owned.into_iter()
}

fn complaint(text: &str, variables: &[(&str, &str)]) -> String {
    load_text(text, variables).unwrap_err().to_string()
}

#[test]
fn the_commented_file_says_what_the_program_does_without_it() {
    let written: Document = toml::from_str(DEFAULTS).unwrap();
    assert_eq!(written.node, NodeConfig::default());
    assert_eq!(written.media, MediaConfig::default());
    assert_eq!(written.models, ModelsConfig::default());
    assert_eq!(written.engine, ServerConfig::default());
    assert_eq!(written.remote, RemoteConfig::default());
    assert_eq!(written.workflows, WorkflowsConfig::default());
    assert_eq!(written.recording, RecordingConfig::default());
    assert_eq!(written.http, HttpConfig::default());
    assert_eq!(written.log, LogConfig::default());
    // Only the listener is the program's own: the gateway by itself listens nowhere.
    let sip = SipConfig {
        listen_udp: vec!["127.0.0.1:5060".parse().unwrap()],
        ..SipConfig::default()
    };
    assert_eq!(written.sip, sip);
}

#[test]
fn the_settings_that_are_commented_out_exist() {
    let all: String = DEFAULTS
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting)
                if setting
                    .split_once(" = ")
                    .is_some_and(|(key, _)| is_key(key)) =>
            {
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(all.contains("\nmodels_dir = "), "{all}");
    toml::from_str::<Document>(&all).unwrap();
}

fn is_key(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// The example of a table that stands indented in a comment.
fn example(name: &str) -> String {
    let lines = DEFAULTS.lines().skip_while(|line| !line.contains(name));
    lines
        .map_while(|line| line.strip_prefix('#'))
        .map(|line| format!("{}\n", line.trim()))
        .collect()
}

#[test]
fn the_examples_of_remote_models_are_right() {
    for (part, endpoints) in [("stt", 1), ("llm", 2)] {
        let text = example(&format!("[remote.{part}]"));
        let remote = load_text(&text, &[]).unwrap().config.remote;
        let pool = if part == "stt" {
            remote.stt
        } else {
            remote.llm
        };
        assert_eq!(pool.unwrap().endpoint.len(), endpoints);
    }
}

#[test]
fn what_is_wrong_with_a_remote_model_is_named_by_its_key() {
    let pool = "[remote.llm]\nmodel = \"m\"\n";
    let at = |more: &str| format!("{pool}[[remote.llm.endpoint]]\n{more}\n");
    let cases = [
        (format!("{pool}endpoint = []\n"), "remote.llm.endpoint: "),
        (at("url = \"ftp://x\""), "remote.llm.endpoint.0.url: "),
        (
            at("url = \"http://key@x\""),
            "a key does not stand in a URL",
        ),
        (
            at("url = \"http://x\"\nmax_requests = 0"),
            "remote.llm.endpoint.0.max_requests: ",
        ),
        (
            at("url = \"http://x\"\nkey = [{api_key = \"hunter2\"}]"),
            "api_key_env = ",
        ),
        (at("url = \"http://x\"\nurls = 1"), "did you mean \"url\"?"),
        (
            "[remote.vad]\nmodel = \"m\"\n".to_owned(),
            "unknown key \"vad\"",
        ),
        (
            format!("{pool}first_ms = 0\nendpoint = [{{url = \"http://x\"}}]\n"),
            "remote.llm.first_ms: ",
        ),
    ];
    for (text, expected) in cases {
        let message = complaint(&text, &[]);
        assert!(
            message.contains(expected),
            "{message:?} should contain {expected:?}"
        );
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_file_and_the_environment_are_laid_over_the_defaults() {
    let text = "[http]\nlisten = \"127.0.0.1:9000\"\n[sip]\nmax_calls = 3\n";
    let variables = [
        ("TRUNKLINE__SIP__MAX_CALLS", "5"),
        ("TRUNKLINE__SIP__LISTEN_UDP", "[\"127.0.0.1:0\"]"),
        ("TRUNKLINE__LOG__FORMAT", "json"),
        ("TRUNKLINE__NODE__DATA_DIR", "1234"),
        ("TRUNKLINE_CONFIG", "not ours"),
    ];
    let Config {
        gateway,
        http,
        node,
        ..
    } = load_text(text, &variables).unwrap().config;
    assert_eq!(http.listen.port(), 9000);
    assert_eq!(gateway.sip.max_calls, 5);
    assert_eq!(gateway.sip.listen_udp[0].port(), 0);
    assert_eq!(node.data_dir, Path::new("1234"));
    assert_eq!(gateway.trunks[0].name, "local");
    assert_eq!(gateway.numbers[0].workflow, "front-desk");
}

#[test]
fn a_list_in_the_file_replaces_the_default_list() {
    let text = "[[trunk]]\nname = \"carrier\"\npeers = [\"192.0.2.1\"]\n";
    let config = load_text(text, &[]).unwrap().config;
    assert_eq!(config.gateway.trunks.len(), 1);
    assert_eq!(config.gateway.trunks[0].name, "carrier");
}

#[test]
fn what_is_wrong_in_a_file_is_named_by_line_and_column_and_with_the_cure() {
    let trunk = "[[trunk]]\nname = \"a\"\npeers = [\"192.0.2.1\"]\n";
    let cases = [
        (
            "[sip]\nlisten_ucp = []\n",
            ":2:1: unknown key \"listen_ucp\"; did you mean \"listen_udp\"?",
        ),
        (
            "[sipp]\n",
            ":1:2: unknown key \"sipp\"; did you mean \"sip\"?",
        ),
        ("[http]\n  listen = \"nowhere\"\n", ":2:12: "),
        ("[media]\nthreads = \"two\"\n", ":2:11: "),
        (
            "[log]\nformat = \"yaml\"\n",
            "\"yaml\" is not one of text, json",
        ),
        ("[sip]\nmax_calls = = 3\n", ":2:"),
        ("[[trunk]]\npeers = []\n", "\"name\" is missing"),
        ("[[trunk]]\nname = \"a\"\npeers = [\"300.1.1.1\"]\n", ":3:"),
        (
            &format!("{trunk}password = \"hunter2\"\n"),
            "password_file = ",
        ),
        (
            &format!("{trunk}inbound_auth = {{ username = \"u\", password = \"hunter2\" }}\n"),
            "password_env = ",
        ),
        ("[engine]\napi_key = \"hunter2\"\n", "api_key_env = "),
        (
            "[engine]\nlisten = \"0.0.0.0:80\"\n",
            "can be reached from other machines",
        ),
    ];
    for (text, expected) in cases {
        let message = complaint(text, &[]);
        assert!(message.contains("trunkline.toml:"), "{message}");
        assert!(
            message.contains(expected),
            "{message:?} should contain {expected:?}"
        );
        assert!(!message.contains("hunter2"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn values_that_cannot_work_are_named_by_their_key() {
    let cases = [
        ("[http]\nlisten = \"0.0.0.0:8088\"\n", "http.listen: "),
        ("[sip]\nmax_calls = 0\n", "sip.max_calls: "),
        ("[media]\ndscp = 99\n", "media.dscp: "),
        ("[engine]\nmax_requests = 0\n", "engine.max_requests: "),
        ("[log]\nfilter = \"trunkline=loud\"\n", "log.filter: "),
        (
            "[[number]]\nnumber = \"1\"\nworkflow = \"w\"\ntrunk = \"x\"\n",
            "number.1.trunk: ",
        ),
    ];
    for (text, expected) in cases {
        let message = complaint(text, &[]);
        assert!(
            message.contains(expected),
            "{message:?} should contain {expected:?}"
        );
    }
}

#[test]
fn what_is_wrong_in_the_environment_is_named_by_its_variable() {
    let cases = [
        (
            "TRUNKLINE__SIP__MAX_CALL",
            "5",
            "did you mean \"max_calls\"?",
        ),
        (
            "TRUNKLINE__SIP__MAX_CALLS",
            "many",
            "TRUNKLINE__SIP__MAX_CALLS",
        ),
        ("TRUNKLINE__TRUNK__NAME", "x", "not a table"),
        ("TRUNKLINE__NODE", "x", "TRUNKLINE__NODE"),
    ];
    for (variable, value, expected) in cases {
        let message = complaint("", &[(variable, value)]);
        assert!(message.contains(variable), "{message}");
        assert!(
            message.contains(expected),
            "{message:?} should contain {expected:?}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(Some(Path::new("/nowhere/t.toml")), owned(&[])).unwrap_err();
    assert!(error.to_string().contains("/nowhere/t.toml"), "{error}");
}
