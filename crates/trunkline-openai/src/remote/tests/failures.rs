//! Endpoints that fail: what is tried elsewhere, what is not, and how it ends.

use std::time::{Duration, Instant};

use trunkline_inference::{ChatDelta, ChatModel, InferenceError};

use super::stand_in::{Act, End, StandIn, error, event, reply, word};
use super::{a_moment, deltas, hello, pool, remote, said, yes_or_no};
use crate::KeySource;

#[tokio::test]
async fn whatever_breaks_before_the_first_word_is_tried_at_the_next_endpoint() {
    let good = StandIn::with((0..20).map(|_| reply("fine"))).await;
    let stalled_stream = Act::Pieces(Vec::new(), End::Stall);
    for fault in [
        error(500, ""),
        error(503, "Retry-After: 1\r\n"),
        error(429, "Retry-After: 30\r\n"),
        error(401, ""),
        error(302, "Location: http://192.0.2.1/\r\n"),
        Act::Status(502, "", "<html>Bad Gateway</html>".to_owned()),
        Act::HangUp,
        Act::Garbage,
        Act::Stall,
        stalled_stream,
        Act::Pieces(Vec::new(), End::Cut),
    ] {
        let shown = format!("{fault:?}");
        let bad = StandIn::with([fault]).await;
        let mut config = pool(&[&bad.url, &good.url]);
        config.connect_ms = 100;
        config.first_ms = 200;
        assert_eq!(
            said(&remote(&config)).await.as_deref(),
            Ok("fine"),
            "{shown}"
        );
        assert_eq!(bad.asked().len(), 1, "{shown}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_passed_over() {
    let good = StandIn::with([reply("fine")]).await;
    let chat = remote(&pool(&[
        "http://127.0.0.1:1/v1",
        "unix:/nowhere/at/all.sock",
        &good.url,
    ]));
    assert_eq!(said(&chat).await.as_deref(), Ok("fine"));
}

#[tokio::test]
async fn a_request_that_is_wrong_itself_is_not_tried_elsewhere() {
    for status in [400, 404, 413, 422] {
        let first = StandIn::with([error(status, "")]).await;
        let second = StandIn::with([reply("fine")]).await;
        let failed = said(&remote(&pool(&[&first.url, &second.url])))
            .await
            .unwrap_err();
        let InferenceError::BadRequest { reason, .. } = &failed else {
            panic!("{failed}");
        };
        assert!(reason.contains("because"), "{reason}");
        assert!(!failed.is_retryable() && second.asked().is_empty());
    }
}

#[tokio::test]
async fn keys_take_turns_and_one_over_its_limit_rests_as_long_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, name).unwrap();
        KeySource {
            api_key_file: Some(file),
            api_key_env: None,
        }
    };
    let script = [
        error(429, "Retry-After: 60\r\n"),
        reply("1"),
        reply("2"),
        reply("3"),
    ];
    let far = StandIn::with(script).await;
    let mut config = pool(&[&far.url]);
    config.endpoint[0].key = vec![key("first"), key("second")];
    let chat = remote(&config);
    for text in ["1", "2", "3"] {
        assert_eq!(said(&chat).await.as_deref(), Ok(text));
    }
    let asked = far.asked();
    let keys: Vec<&str> = asked.iter().filter_map(|request| request.key()).collect();
    assert_eq!(keys, ["first", "second", "second", "second"]);
    assert!(!format!("{chat:?}").contains("first"), "a key is shown");
}

#[tokio::test]
async fn a_short_wait_is_waited_for_and_a_long_one_is_not() {
    let far = StandIn::with([error(429, "Retry-After: 0.2\r\n"), reply("later")]).await;
    assert_eq!(
        said(&remote(&pool(&[&far.url]))).await.as_deref(),
        Ok("later")
    );
    let far = StandIn::with([error(429, "Retry-After: 100\r\n"), reply("never")]).await;
    let began = Instant::now();
    let failed = said(&remote(&pool(&[&far.url]))).await.unwrap_err();
    assert!(
        matches!(failed, InferenceError::Overloaded { .. }),
        "{failed}"
    );
    assert!(failed.is_retryable() && began.elapsed() < Duration::from_secs(1));
    assert_eq!(far.asked().len(), 1);
}

#[tokio::test]
async fn when_everything_fails_the_error_says_what_and_that_it_may_work_later() {
    let broken = StandIn::with((0..9).map(|_| error(500, ""))).await;
    let failed = said(&remote(&pool(&[&broken.url]))).await.unwrap_err();
    assert!(matches!(failed, InferenceError::Unavailable { .. }) && failed.is_retryable());
    assert!(failed.to_string().contains("because"), "{failed}");
    assert_eq!(
        broken.asked().len(),
        2,
        "each endpoint and key is tried twice"
    );

    let stalled = StandIn::with([Act::Stall, Act::Stall]).await;
    let mut config = pool(&[&stalled.url]);
    (config.connect_ms, config.first_ms) = (50, 100);
    let failed = said(&remote(&config)).await.unwrap_err();
    assert!(matches!(failed, InferenceError::TimedOut { .. }) && failed.is_retryable());
}

#[tokio::test]
async fn a_broken_endpoint_is_left_alone_after_three_failures() {
    let bad = StandIn::with((0..50).map(|_| error(500, ""))).await;
    let good = StandIn::with((0..50).map(|_| reply("fine"))).await;
    let chat = remote(&pool(&[&bad.url, &good.url]));
    for _ in 0..10 {
        assert_eq!(said(&chat).await.as_deref(), Ok("fine"));
    }
    assert_eq!(bad.asked().len(), 3);
}

#[tokio::test]
async fn a_reply_that_breaks_off_after_its_first_word_fails_and_is_not_said_twice() {
    let refusal = event(&serde_json::json!({"error": {"message": "out of memory"}}));
    for (pieces, end) in [
        (vec![word("Hel")], End::Cut),
        (vec![word("Hel")], End::Well),
        (vec![word("Hel"), b"data: nonsense\n\n".to_vec()], End::Well),
        (vec![word("Hel"), refusal], End::Well),
    ] {
        let far = StandIn::with([Act::Pieces(pieces, end), reply("again")]).await;
        let got = deltas(remote(&pool(&[&far.url])).generate(hello()).unwrap()).await;
        assert_eq!(got[0], ChatDelta::Text("Hel".to_owned()));
        let [_, ChatDelta::Failed(error)] = got.as_slice() else {
            panic!("{got:?}");
        };
        assert!(error.is_retryable(), "{error}");
        assert_eq!(far.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_reply_that_stalls_ends_with_the_whole_budget() {
    let far = StandIn::with([Act::Pieces(vec![word("Hel")], End::Stall)]).await;
    let mut config = pool(&[&far.url]);
    config.total_ms = 300;
    let failed = said(&remote(&config)).await.unwrap_err();
    assert!(
        matches!(failed, InferenceError::TimedOut { .. }),
        "{failed}"
    );
}

#[tokio::test]
async fn dropping_a_reply_or_a_choice_closes_its_connection() {
    let mut far = StandIn::with([
        Act::Pieces(vec![word("Hel")], End::Stall),
        Act::Stall,
        Act::Stall,
    ])
    .await;
    let mut config = pool(&[&far.url]);
    config.first_ms = 60_000;
    let chat = remote(&config);
    let mut stream = chat.generate(hello()).unwrap();
    assert!(stream.deltas.recv().await.is_some());
    drop(stream);
    far.left.recv().await.unwrap();
    for request in 1..3 {
        let stream = chat.generate(hello());
        let choice = chat.choose(yes_or_no());
        while far.asked().len() <= request {
            a_moment().await;
        }
        drop((stream, choice));
        far.left.recv().await.unwrap();
        if far.rest() == 0 {
            break;
        }
    }
}

#[tokio::test]
async fn a_key_serves_no_more_requests_at_once_than_it_may() {
    let far = StandIn::with([Act::Stall, reply("second")]).await;
    let mut config = pool(&[&far.url]);
    config.endpoint[0].max_requests = 1;
    config.first_ms = 60_000;
    let chat = remote(&config);
    let first = chat.generate(hello()).unwrap();
    while far.asked().is_empty() {
        a_moment().await;
    }
    let second = chat.generate(hello()).unwrap();
    a_moment().await;
    assert_eq!(far.asked().len(), 1, "the second waits");
    drop(first);
    let got = deltas(second).await;
    assert_eq!(got[0], ChatDelta::Text("second".to_owned()));
}

#[tokio::test]
async fn connections_are_kept_and_one_that_died_meanwhile_is_replaced() {
    let script = [reply("1"), reply("2"), Act::HangUp, reply("3")];
    let far = StandIn::with(script).await;
    let chat = remote(&pool(&[&far.url]));
    for text in ["1", "2", "3"] {
        assert_eq!(said(&chat).await.as_deref(), Ok(text));
    }
}
