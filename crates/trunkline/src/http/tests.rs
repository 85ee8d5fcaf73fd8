//! Who may ask.

use super::is_this_machine;

#[test]
fn only_names_of_loopback_are_served() {
    for host in [
        "localhost",
        "LocalHost:8088",
        "127.0.0.1",
        "127.0.0.2:1",
        "[::1]",
        "[::1]:8088",
    ] {
        assert!(is_this_machine(host), "{host}");
    }
    for host in [
        "",
        "evil.example",
        "evil.example:8088",
        "192.0.2.1",
        "localhost.evil.example",
        "0.0.0.0:1",
    ] {
        assert!(!is_this_machine(host), "{host}");
    }
}
