//! Whoever else is on the model, and whatever becomes of them, a reply is the same.

use super::*;

/// Numbers that look random and are the same each time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

const WORDS: [&str; 12] = [
    "the", "little", "girl", "saw", "a", "big", "red", "ball", "and", "her", "mom", "was",
];

/// A request of any length, warm or cold; some begin alike.
fn request(numbers: &mut Numbers) -> ChatRequest {
    let mut text = format!(
        "Once upon a time, {} lived here.",
        WORDS[numbers.below(3) as usize]
    );
    for _ in 0..numbers.below(60) {
        text.push(' ');
        text.push_str(WORDS[numbers.below(12) as usize]);
    }
    ChatRequest {
        sampling: Sampling {
            temperature: [0.0, 0.8][numbers.below(2) as usize],
            seed: numbers.below(100),
            ..Sampling::default()
        },
        ..ask(&text, 1 + numbers.below(24) as usize)
    }
}

#[test]
fn replies_beside_others_are_the_replies_alone() {
    let mut numbers = Numbers(1);
    let requests: Vec<ChatRequest> = (0..24).map(|_| request(&mut numbers)).collect();
    let bench = Bench::new();
    let together: Vec<ChatStream> = requests
        .iter()
        .map(|request| bench.chat.generate(request.clone()).unwrap())
        .collect();
    let together: Vec<Said> = together.into_iter().map(hear).collect();
    for (request, beside) in requests.iter().zip(&together) {
        // Cold each time: what a cache has changes nothing either.
        let alone = Bench::new().say(request.clone());
        assert_eq!(beside.text, alone.text, "{request:?}");
        assert_eq!(beside.end.clone().unwrap().reply, alone.end.unwrap().reply);
    }
}

#[test]
fn cancelled_neighbours_change_nothing() {
    // Little room, so that blocks are soon used again.
    let settings = ChatSettings {
        kv_bytes: 40 * BLOCK_TOKENS * 5 * 2 * 4 * 16 * 4,
        prefill_tokens: 40,
        waiting_rows: 200,
        ..ChatSettings::default()
    };
    for seed in 0..4 {
        let mut numbers = Numbers(seed);
        let bench = Bench::with(settings, None);
        let mut kept = Vec::new();
        for _ in 0..40 {
            let request = request(&mut numbers);
            let mut stream = bench.chat.generate(request.clone()).unwrap();
            match numbers.below(4) {
                0 => drop(stream),
                1 => {
                    // Heard a little of, then dropped; it may have failed or ended by then.
                    stream.deltas.blocking_recv();
                }
                2 => drop(
                    bench
                        .chat
                        .choose(choice(&request.messages[0].content, None))
                        .unwrap(),
                ),
                _ => kept.push((request, stream)),
            }
        }
        for (request, stream) in kept {
            let said = hear(stream);
            assert!(said.end.is_ok(), "{:?}", said.end);
            let alone = Bench::new().say(request);
            assert_eq!(said.text, alone.text);
        }
        let idle = bench.say(ask("The end", 3));
        assert!(idle.end.is_ok());
    }
}
