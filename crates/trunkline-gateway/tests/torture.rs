//! The torture messages of RFC 4475 and RFC 5118, judged as datagrams and on a stream.
//!
//! Each file in `torture/` puts the question of the RFC's message of that name, in our own words;
//! `torture/verdicts.tsv` holds the verdicts and their reasons. In the files a line ends with LF,
//! which is sent as CRLF; `<hex 00 ff>` stands for those bytes and `<times 3 ab>` for `ababab`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail with the test"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use trunkline_gateway::wire::{Framed, Transport, Verdict, check_message, next_frame};

struct Case {
    name: String,
    bytes: Vec<u8>,
    datagram: String,
    stream: String,
}

fn folder() -> PathBuf {
    PathBuf::from("tests/torture")
}

fn cases() -> Vec<Case> {
    let table = std::fs::read_to_string(folder().join("verdicts.tsv")).unwrap();
    let rows = table.lines().skip(1);
    rows.map(|row| {
        let [name, _source, datagram, stream, _reason] =
            row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        Case {
            name: name.to_owned(),
            bytes: message(&folder().join(name).with_extension("sip")),
            datagram: datagram.to_owned(),
            stream: stream.to_owned(),
        }
    })
    .collect()
}

fn message(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let text = text.replace('\n', "\r\n");
    let text = replace_marks(text.as_bytes(), b"<times ", |inner| {
        let (count, repeated) = inner.split_once(' ').unwrap();
        repeated.repeat(count.parse().unwrap()).into_bytes()
    });
    replace_marks(&text, b"<hex ", |inner| {
        let bytes = inner.split(' ').map(|hex| u8::from_str_radix(hex, 16));
        bytes.map(Result::unwrap).collect()
    })
}

fn replace_marks(text: &[u8], mark: &[u8], written_out: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        let end = at + rest[at..].iter().position(|byte| *byte == b'>').unwrap();
        let inner = std::str::from_utf8(&rest[at + mark.len()..end]).unwrap();
        plain.extend_from_slice(&rest[..at]);
        plain.extend(written_out(inner));
        rest = &rest[end + 1..];
    }
    plain.extend_from_slice(rest);
    plain
}

fn word(verdict: Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Respond(status, _) => status.to_string(),
        Verdict::Drop(_) => "drop".to_owned(),
    }
}

/// The verdicts on what a stream of these bytes holds, then whether it waits or has to be closed.
fn on_a_stream(mut bytes: &[u8]) -> String {
    let mut words = Vec::new();
    while !bytes.is_empty() {
        match next_frame(bytes) {
            Framed::Message { skip, length } => {
                let framed = &bytes[skip..skip + length];
                words.push(word(check_message(framed, Transport::Tcp)));
                bytes = &bytes[skip + length..];
            }
            Framed::Broken { length } => {
                words.push(word(check_message(&bytes[..length], Transport::Tcp)));
                words.push("close".to_owned());
                break;
            }
            Framed::Incomplete => {
                words.push("incomplete".to_owned());
                break;
            }
        }
    }
    words.join(" ")
}

#[test]
fn every_torture_message_gets_its_verdict() {
    let mut wrong = Vec::new();
    for case in cases() {
        let verdict = check_message(&case.bytes, Transport::Udp);
        if word(verdict.clone()) != case.datagram {
            let name = &case.name;
            wrong.push(format!("{name}: {verdict:?}, not {}", case.datagram));
        }
        let stream = on_a_stream(&case.bytes);
        if stream != case.stream {
            let name = &case.name;
            wrong.push(format!("{name} on a stream: {stream}, not {}", case.stream));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_has_a_row_and_every_row_a_reason() {
    let files = std::fs::read_dir(folder()).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let messages: BTreeSet<String> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "sip"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let table = std::fs::read_to_string(folder().join("verdicts.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split('\t').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == 5 && !row[4].is_empty()));
    let named: BTreeSet<String> = rows[1..].iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(named, messages);
    assert_eq!(named.len(), rows.len() - 1, "a message has two rows");
}

/// The announced lengths are the true ones wherever the message is not about that.
#[test]
fn an_accepted_message_is_whole_on_a_stream_too() {
    for case in cases() {
        if case.datagram == "accept" {
            assert!(case.stream.starts_with("accept"), "{}", case.name);
        }
    }
}

#[test]
fn no_truncation_of_a_torture_message_breaks_the_reader() {
    for case in cases() {
        for length in 0..case.bytes.len() {
            let cut = &case.bytes[..length];
            let _ = check_message(cut, Transport::Udp);
            let _ = on_a_stream(cut);
        }
    }
}

#[test]
fn no_change_of_one_byte_of_a_torture_message_breaks_the_reader() {
    for case in cases() {
        let mut changed = case.bytes.clone();
        // The one very long message repeats itself.
        let step = 1 + changed.len() / 2000;
        for at in (0..changed.len()).step_by(step) {
            let was = changed[at];
            for byte in *b"\0\r\n \"<>;:,@%\\=0\x80\xff" {
                changed[at] = byte;
                let _ = check_message(&changed, Transport::Udp);
            }
            changed[at] = was ^ 0x20;
            let _ = on_a_stream(&changed);
            changed[at] = was;
        }
    }
}
