//! Rules about single files.

use super::Problem;
use super::layers::layer_of_file;
use super::lexer::code_only;

/// A Rust file may have this many lines.
const LONGEST: usize = 1000;

/// Nine in ten Rust files have fewer lines than this.
const USUALLY_UNDER: usize = 500;

/// Files that may say `unsafe`, with the reason.
const UNSAFE_ROOMS: &[(&str, &str)] = &[
    (
        "crates/trunkline-kernels/src/cuda/card.rs",
        "asks the driver about its cards",
    ),
    (
        "crates/trunkline-kernels/src/cuda/function.rs",
        "launches kernels: a launch is as sound as its arguments",
    ),
    (
        "crates/trunkline-kernels/src/cuda/libraries.rs",
        "loads the driver to see whether it is there",
    ),
    (
        "crates/trunkline-kernels/src/cuda/machine.rs",
        "launches what a check asks for",
    ),
    (
        "crates/trunkline-kernels/src/cuda/paged.rs",
        "takes memory that a kernel fills, and launches it",
    ),
    (
        "crates/trunkline-kernels/src/cuda/rows.rs",
        "takes memory that a kernel fills, and launches it",
    ),
    (
        "crates/trunkline-kernels/src/cuda/slots.rs",
        "takes memory that a kernel fills, and launches it",
    ),
];

/// Words that bring a clock, randomness or I/O into layer 0.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "getrandom",
    "rand::",
    "tokio",
];

/// Marks of unfinished work, and checks that never run.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore"];

/// Folders of the machines that people work on. Written apart, so that this file keeps the rule.
const MACHINE_FOLDERS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Kinds of files that people write, where a trailing space is an oversight.
const WRITTEN: &[&str] = &["md", "py", "rs", "sh", "sql", "toml", "xml", "yaml", "yml"];

/// What is wrong in one file.
pub(super) fn problems(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = written_problems(path, text);
    if path.ends_with(".rs") {
        problems.extend(rust_problems(path, text));
    }
    problems
}

/// What is wrong with the lengths of all Rust files together.
pub(super) fn length_problems(mut lengths: Vec<usize>) -> Option<Problem> {
    lengths.sort_unstable();
    let p90 = *lengths.get(lengths.len() * 9 / 10)?;
    (p90 >= USUALLY_UNDER).then(|| {
        Problem::of(
            "*.rs",
            0,
            format!(
                "one file in ten has {p90} lines or more: keep nine in ten under {USUALLY_UNDER}"
            ),
        )
    })
}

fn written_problems(path: &str, text: &str) -> Vec<Problem> {
    let is_written = path
        .rsplit_once('.')
        .is_some_and(|(_, kind)| WRITTEN.contains(&kind));
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if is_written && line.ends_with([' ', '\t']) {
            problems.push(Problem::of(path, number, "trailing space"));
        }
        for folder in MACHINE_FOLDERS {
            if line.contains(folder) {
                problems.push(Problem::of(
                    path,
                    number,
                    format!("names {folder}, a folder of one machine"),
                ));
            }
        }
    }
    if is_written && !text.is_empty() && !text.ends_with('\n') {
        problems.push(Problem::of(path, 0, "no line end at the end of the file"));
    }
    problems
}

fn rust_problems(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let length = text.lines().count();
    if length > LONGEST {
        problems.push(Problem::of(
            path,
            0,
            format!("has {length} lines: split it before {LONGEST}"),
        ));
    }
    // The name of tests.rs says what it is for.
    if !text.starts_with("//!") && !is_test_file(path) {
        problems.push(Problem::of(
            path,
            1,
            "does not begin with //!: say what it is for and what it deliberately does not do",
        ));
    }
    let code = code_only(text);
    let is_pure = layer_of_file(path) == Some(0);
    if is_pure && path.ends_with("/src/lib.rs") && !code.contains("#![forbid(unsafe_code)]") {
        problems.push(Problem::of(path, 0, "layer 0 says #![forbid(unsafe_code)]"));
    }
    let mut in_tests = is_test_file(path);
    for (index, line) in code.lines().enumerate() {
        let number = index + 1;
        in_tests |= line.trim() == "#[cfg(test)]";
        if has_word(line, "unsafe") && !UNSAFE_ROOMS.iter().any(|(room, _)| path == *room) {
            problems.push(Problem::of(
                path,
                number,
                "unsafe outside of its rooms; they are listed in xtask/src/tidy/source.rs",
            ));
        }
        for word in UNFINISHED.iter().filter(|word| has_word(line, word)) {
            problems.push(Problem::of(path, number, format!("{word} is left")));
        }
        for word in IMPURE.iter().filter(|_| is_pure && !in_tests) {
            if has_word(line, word) {
                problems.push(Problem::of(
                    path,
                    number,
                    format!("{word} in layer 0: take time, randomness and input as arguments"),
                ));
            }
        }
    }
    problems
}

/// Test code may use clocks and files. Where tests stand in the file itself, they stand last.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Whether `word` occurs in `line`, not as a part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let joins_before = word.starts_with(is_name) && before.is_some_and(is_name);
        let joins_after = word.ends_with(is_name) && after.is_some_and(is_name);
        !joins_before && !joins_after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &str, text: &str) -> Vec<String> {
        problems(path, text)
            .into_iter()
            .map(|problem| problem.to_string())
            .collect()
    }

    #[test]
    fn a_file_in_order_passes() {
        let text = "//! Rooms.\n\n/// Not unsafe, and no todo!().\npub fn room() {}\n";
        assert_eq!(texts("crates/trunkline-agent/src/room.rs", text), [""; 0]);
    }

    #[test]
    fn a_module_without_a_word_at_its_top_is_named() {
        let found = texts("xtask/src/room.rs", "fn room() {}\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("xtask/src/room.rs:1: does not begin with //!"));
        assert_eq!(texts("xtask/src/room/tests.rs", "use super::*;\n"), [""; 0]);
    }

    #[test]
    fn a_file_of_1000_lines_passes_and_one_more_does_not() {
        let mut text = "//! Long.\n".repeat(1000);
        assert_eq!(texts("xtask/src/long.rs", &text), [""; 0]);
        text.push_str("// one more\n");
        assert!(texts("xtask/src/long.rs", &text)[0].contains("1001 lines"));
    }

    #[test]
    fn nine_files_in_ten_are_short() {
        let mut lengths = vec![100; 19];
        lengths.push(900);
        assert_eq!(length_problems(lengths.clone()), None);
        lengths.extend([600, 700]);
        assert!(length_problems(lengths).is_some());
        assert_eq!(length_problems(Vec::new()), None);
    }

    #[test]
    fn unsafe_code_is_found_with_its_line() {
        let found = texts("xtask/src/a.rs", "//! A.\nfn f() { unsafe { g() } }\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("xtask/src/a.rs:2: unsafe outside"));
        assert_eq!(
            texts("xtask/src/a.rs", "//! A.\n#![forbid(unsafe_code)]\n"),
            [""; 0]
        );
    }

    #[test]
    fn clocks_are_refused_in_layer_0_outside_of_tests() {
        let used = "//! T.\nfn f() { std::time::Instant::now(); }\n";
        assert_eq!(texts("crates/trunkline-turn/src/a.rs", used).len(), 1);
        assert_eq!(texts("crates/trunkline-turn/src/tests.rs", used), [""; 0]);
        assert_eq!(texts("crates/trunkline-media/src/a.rs", used), [""; 0]);
        let tested = "//! T.\n#[cfg(test)]\nmod tests { fn f() { std::fs::read(\"a\"); } }\n";
        assert_eq!(texts("crates/trunkline-turn/src/a.rs", tested), [""; 0]);
    }

    #[test]
    fn layer_0_forbids_unsafe_code() {
        assert_eq!(
            texts("crates/trunkline-rtp/src/lib.rs", "//! R.\n").len(),
            1
        );
        assert_eq!(
            texts("crates/trunkline-leg/src/lib.rs", "//! L.\n"),
            [""; 0]
        );
    }

    #[test]
    fn unfinished_work_is_found() {
        for line in [
            "todo!()",
            "dbg!(x)",
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "unimplemented!()",
        ] {
            assert_eq!(
                texts("xtask/src/a.rs", &format!("//! A.\n{line}\n")).len(),
                1,
                "{line}"
            );
        }
    }

    #[test]
    fn folders_of_a_machine_are_found_in_any_file() {
        let line = format!("see {}notes\n", MACHINE_FOLDERS[0]);
        assert_eq!(texts("docs/a.txt", &line).len(), 1);
    }

    #[test]
    fn trailing_space_counts_where_people_write() {
        assert_eq!(
            texts("docs/a.md", "a \nb\t\nc"),
            [
                "docs/a.md:1: trailing space",
                "docs/a.md:2: trailing space",
                "docs/a.md: no line end at the end of the file",
            ]
        );
        assert_eq!(texts("tests/fixtures/torture.sip", "a \r\nb"), [""; 0]);
    }
}
