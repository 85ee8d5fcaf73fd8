//! The language model: tokens a second of many rows beside llama.cpp, and times to the first
//! token.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use trunkline_benches::{Better, Report};
use trunkline_engine::{Catalog, LlamaChat, ModelStore};
use trunkline_inference::{ChatDelta, ChatMessage, ChatModel as _, ChatRequest};
use trunkline_nn::llama::{Llama, Message, Role};

use crate::llamacpp::{self, Job, Outcome, Waiting};
use crate::peer::Peer;

const MODEL: &str = "smollm2-135m";
/// Each row is continued by so many tokens.
const TOKENS: usize = 48;
/// The best of so many runs counts.
const RUNS: usize = 4;
/// Turns that each of the calls takes where times to the first token are measured.
const TURNS: usize = 6;

const ROWS: [(usize, &str, &str, f64); 4] = [
    (1, "llm_rows1_vs_llamacpp", "llm_ttft_rows1_p95_ms", 0.8),
    (4, "llm_rows4_vs_llamacpp", "llm_ttft_rows4_p95_ms", 1.0),
    (8, "llm_rows8_vs_llamacpp", "llm_ttft_rows8_p95_ms", 1.0),
    (16, "llm_rows16_vs_llamacpp", "llm_ttft_rows16_p95_ms", 1.0),
];

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let store = ModelStore::open(
        &trunkline_engine::default_models_dir(),
        Catalog::embedded()?,
    )?;
    let installed = store.locate(MODEL)?;
    let chat = LlamaChat::load(&installed)?;
    let tokenizer = Llama::load(&installed.folder, &trunkline_nn::cpu())?;
    let weights = weights(&installed.folder)?;
    // Whichever does better on this machine at this hour is the peer.
    let mut peers = [
        llamacpp::start(&weights, Waiting::Spinning)?,
        llamacpp::start(&weights, Waiting::Sleeping)?,
    ];
    for (rows, ratio, _, goal) in ROWS {
        let (ours, theirs) = throughput(&chat, &tokenizer, &mut peers, rows)?;
        println!("{rows} rows: {ours:.1} tok/s, llama.cpp {theirs:.1} tok/s");
        report.add(ratio, ours / theirs, "x", goal, Better::Higher);
    }
    drop(peers);
    let mut alone = Duration::MAX;
    for (rows, _, first, _) in ROWS {
        let p95 = first_token_p95(&chat, rows)?;
        report.add(first, p95.as_secs_f64() * 1000.0, "ms", None, Better::Lower);
        if rows == 1 {
            alone = p95;
        }
        if rows == 8 {
            let slower = p95.as_secs_f64() / alone.as_secs_f64();
            report.add("llm_ttft_rows8_vs_rows1", slower, "x", 3.0, Better::Lower);
        }
    }
    let speedup = prefix_speedup(&chat)?;
    report.add("prefix_ttft_speedup", speedup, "x", 5.0, Better::Higher);
    Ok(())
}

fn weights(folder: &std::path::Path) -> anyhow::Result<PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == "gguf") {
            return Ok(path);
        }
    }
    bail!("{} has no GGUF file", folder.display())
}

/// A conversation that is like no other, whose reply is long.
fn conversation(run: usize, row: usize) -> String {
    format!(
        "Story {run}, part {row}. Tell me a long story about the sea, the wind and a small boat."
    )
}

/// Tokens a second of all rows together, ours and theirs.
fn throughput(
    chat: &LlamaChat,
    tokenizer: &Llama,
    peers: &mut [Peer],
    rows: usize,
) -> anyhow::Result<(f64, f64)> {
    let (mut ours, mut theirs) = (0f64, 0f64);
    for run in 0..RUNS {
        let texts: Vec<String> = (0..rows)
            .map(|row| conversation(100 * rows + run, row))
            .collect();
        let begun = Instant::now();
        let replies: Vec<_> = texts
            .iter()
            .map(|text| chat.generate(ask(vec![ChatMessage::user(text)], TOKENS)))
            .collect::<Result<_, _>>()?;
        let mut said = 0;
        for mut reply in replies {
            said += end_of(&mut reply.deltas)?.reply;
        }
        ours = ours.max(said as f64 / begun.elapsed().as_secs_f64());
        let prompts: Vec<Vec<u32>> = texts
            .into_iter()
            .map(|content| {
                let role = Role::User;
                tokenizer.prompt(&[Message { role, content }])
            })
            .collect::<Result<_, _>>()?;
        let job = Job {
            prompts: &prompts,
            tokens: TOKENS,
        };
        for peer in &mut *peers {
            let outcome: Outcome = peer.run(&job)?;
            let said: usize = outcome.replies.iter().map(Vec::len).sum();
            theirs = theirs.max(said as f64 / outcome.seconds);
        }
    }
    Ok((ours, theirs))
}

/// The 95th percentile of the time to the first token when so many calls take turns, each with
/// a beginning that all share and a few words of its own.
fn first_token_p95(chat: &LlamaChat, rows: usize) -> anyhow::Result<Duration> {
    let system = ChatMessage::system(front_desk(8));
    chat.warm_up(std::slice::from_ref(&system));
    // One call alone says how long a turn takes; the others begin evenly within it.
    let turn = |row: usize, turn: usize| -> anyhow::Result<(Duration, Duration)> {
        let asked = ChatMessage::user(format!("I am caller {row} and ask {turn} times for rooms."));
        let begun = Instant::now();
        let mut reply = chat.generate(ask(vec![system.clone(), asked], 24))?;
        let end = end_of(&mut reply.deltas)?;
        Ok((end.first, begun.elapsed()))
    };
    turn(0, 0)?;
    let (_, alone) = turn(0, 1)?;
    let mut firsts: Vec<Duration> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..rows)
            .map(|row| {
                scope.spawn(move || {
                    #[expect(clippy::disallowed_methods, reason = "a thread that paces itself")]
                    std::thread::sleep(alone * row as u32 / rows as u32);
                    (0..TURNS)
                        .map(|number| turn(row, 2 + number).map(|(first, _)| first))
                        .collect::<anyhow::Result<Vec<Duration>>>()
                })
            })
            .collect();
        let mut all = Vec::new();
        for call in calls {
            let firsts = call
                .join()
                .map_err(|_| anyhow::anyhow!("a call panicked"))?;
            all.extend(firsts?);
        }
        anyhow::Ok(all)
    })?;
    firsts.sort();
    let at = (firsts.len() * 95).div_ceil(100).saturating_sub(1);
    firsts.get(at).copied().context("no turn was taken")
}

/// How much sooner a reply starts when 1,500 tokens of its prompt are known.
fn prefix_speedup(chat: &LlamaChat) -> anyhow::Result<f64> {
    let mut best = [Duration::MAX; 2];
    for run in 0..RUNS {
        let system = ChatMessage::system(format!("Desk {run}. {}", front_desk(95)));
        for (at, best) in best.iter_mut().enumerate() {
            let asked = ChatMessage::user(format!("Which {at} rooms are free?"));
            let mut reply = chat.generate(ask(vec![system.clone(), asked], 2))?;
            let end = end_of(&mut reply.deltas)?;
            if at == 1 && end.cached + 100 < end.prompt {
                bail!("only {} of {} tokens were known", end.cached, end.prompt);
            }
            *best = (*best).min(end.first);
        }
    }
    Ok(best[0].as_secs_f64() / best[1].as_secs_f64())
}

/// The instructions of a front desk, so many sentences long.
fn front_desk(sentences: usize) -> String {
    "The clinic is open from eight until six, and the pharmacy until seven. ".repeat(sentences)
}

fn ask(messages: Vec<ChatMessage>, max_tokens: usize) -> ChatRequest {
    ChatRequest {
        messages,
        max_tokens,
        ..ChatRequest::default()
    }
}

struct End {
    prompt: usize,
    cached: usize,
    reply: usize,
    first: Duration,
}

fn end_of(deltas: &mut tokio::sync::mpsc::UnboundedReceiver<ChatDelta>) -> anyhow::Result<End> {
    loop {
        match deltas.blocking_recv().context("a reply just ended")? {
            ChatDelta::Done {
                prompt_tokens,
                cached_tokens,
                reply_tokens,
                first_token,
                ..
            } => {
                return Ok(End {
                    prompt: prompt_tokens,
                    cached: cached_tokens,
                    reply: reply_tokens,
                    first: first_token,
                });
            }
            ChatDelta::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
}
