use proptest::prelude::*;

use super::*;

const FRAME: Duration = Duration::from_millis(20);
const UNITS: u32 = 160;

fn buffer() -> JitterBuffer {
    JitterBuffer::new(JitterConfig::default(), 8000, FRAME)
}

fn ms(millis: u64) -> CallTime {
    CallTime::from_millis(millis)
}

/// Puts packet `n` of a steady stream in; its payload is its number.
fn put(buffer: &mut JitterBuffer, now: CallTime, n: u64) -> Inserted {
    let timed = Timed {
        timestamp: 1000 + n as i64 * i64::from(UNITS),
        units: UNITS,
        payload_type: 0,
        payload: &n.to_be_bytes(),
    };
    buffer.insert(now, 100 + n, timed)
}

fn number(due: &Due) -> Option<u64> {
    match due {
        Due::Packet { payload, .. } => payload.as_slice().try_into().ok().map(u64::from_be_bytes),
        _ => None,
    }
}

/// Plays `arrivals` (time in ms, packet) against a poll each 20 ms; returns what each poll gave.
fn play(arrivals: &[(u64, u64)], polls: u64) -> Vec<Due> {
    let mut buffer = buffer();
    let mut arrivals = arrivals.to_vec();
    arrivals.sort_unstable();
    let mut waiting = arrivals.into_iter().peekable();
    let mut given = Vec::new();
    for poll in 0..polls {
        let now = poll * 20;
        while let Some((at, n)) = waiting.next_if(|(at, _)| *at <= now) {
            put(&mut buffer, ms(at), n);
        }
        given.push(buffer.next(ms(now)));
    }
    given
}

fn numbers(given: &[Due]) -> Vec<u64> {
    given.iter().filter_map(number).collect()
}

#[test]
fn a_steady_stream_plays_whole_with_at_most_one_frame_of_delay() {
    let arrivals: Vec<_> = (0..100).map(|n| (n * 20 + 7, n)).collect();
    let given = play(&arrivals, 110);
    assert_eq!(numbers(&given), (0..100).collect::<Vec<_>>());
    let first = given.iter().position(|due| number(due).is_some()).unwrap();
    // Arrived before poll 1.
    assert!(first <= 2, "{first}");
}

#[test]
fn a_reordered_packet_waits_for_its_turn_and_a_duplicate_is_known() {
    let mut buffer = buffer();
    // Jitter of 30 ms tells the buffer to wait.
    put(&mut buffer, ms(0), 0);
    put(&mut buffer, ms(50), 1);
    put(&mut buffer, ms(51), 3);
    put(&mut buffer, ms(52), 2);
    assert_eq!(put(&mut buffer, ms(53), 3), Inserted::Duplicate);
    let given: Vec<Due> = (3..9).map(|poll| buffer.next(ms(poll * 20))).collect();
    assert_eq!(numbers(&given), [0, 1, 2, 3]);
    assert_eq!(put(&mut buffer, ms(180), 1), Inserted::Duplicate);
}

#[test]
fn a_lost_packet_is_told_as_lost_and_a_pause_as_silence() {
    let mut arrivals: Vec<_> = (0..10).map(|n| (n * 20, n)).collect();
    arrivals.remove(5);
    let given = play(&arrivals, 12);
    assert!(given.contains(&Due::Lost(UNITS)));
    assert_eq!(numbers(&given), [0, 1, 2, 3, 4, 6, 7, 8, 9]);

    // The sender is silent for 20 frames; its numbers go on without a gap.
    let mut buffer = buffer();
    for n in 0..5 {
        put(&mut buffer, ms(n * 20), n);
        buffer.next(ms(n * 20));
    }
    for poll in 5..25 {
        buffer.next(ms(poll * 20));
    }
    let timed = Timed {
        timestamp: 1000 + 25 * i64::from(UNITS),
        units: UNITS,
        payload_type: 0,
        payload: &25u64.to_be_bytes(),
    };
    buffer.insert(ms(500), 105, timed);
    let given: Vec<Due> = (25..29).map(|poll| buffer.next(ms(poll * 20))).collect();
    assert_eq!(numbers(&given), [25]);
    assert_eq!(given[0], Due::Silent(UNITS));
}

#[test]
fn the_delay_follows_the_jitter_up_and_down_again() {
    let mut buffer = buffer();
    let mut late = 0;
    let mut polled = 0;
    let mut lag_at_worst = 0;
    let feed = |buffer: &mut JitterBuffer, at: u64, n: u64, polled: &mut u64| {
        while *polled * 20 < at {
            let now = ms(*polled * 20);
            let surplus = buffer.surplus(now);
            buffer.next(now);
            if surplus >= i64::from(UNITS) && !buffer.is_empty() {
                buffer.next(now);
            }
            *polled += 1;
        }
        put(buffer, ms(at), n)
    };
    for n in 0..250 {
        // Every tenth packet takes 80 ms longer.
        let delay = if n % 10 == 9 { 80 } else { 0 };
        if n % 10 == 9 {
            continue;
        }
        if n >= 4 && n % 10 == 3 {
            let straggler = n - 4;
            let outcome = feed(&mut buffer, straggler * 20 + 80, straggler, &mut polled);
            late += u32::from(outcome == Inserted::Late && n > 50);
        }
        feed(&mut buffer, n * 20 + delay, n, &mut polled);
        lag_at_worst = lag_at_worst.max(buffer.len());
    }
    assert_eq!(late, 0, "after the first stragglers none comes late");
    assert!(buffer.target() >= Duration::from_millis(79));
    for n in 250..600 {
        feed(&mut buffer, n * 20, n, &mut polled);
    }
    assert_eq!(buffer.target(), JitterConfig::default().min);
    assert!(buffer.len() <= 3, "{} packets wait", buffer.len());
    assert!(lag_at_worst >= 4);
}

#[test]
fn a_timeline_that_jumps_is_taken_up_within_five_packets() {
    for jump in [-8_000_000i64, -40_000, -4000, 40_000, 8_000_000] {
        let mut buffer = buffer();
        let mut heard_after = 0;
        for n in 0..100u64 {
            let timestamp = 10_000_000 + n as i64 * 160 + if n >= 50 { jump } else { 0 };
            let timed = Timed {
                timestamp,
                units: UNITS,
                payload_type: 0,
                payload: &n.to_be_bytes(),
            };
            buffer.insert(ms(n * 20), n + 10, timed);
            let due = buffer.next(ms(n * 20));
            heard_after += u32::from(number(&due).is_some_and(|n| n >= 50));
        }
        assert!(heard_after >= 40, "jump {jump}: {heard_after} of 50");
    }
}

#[test]
fn a_burst_after_a_stall_leaves_no_lasting_delay() {
    let mut buffer = buffer();
    for n in 0..50 {
        put(&mut buffer, ms(n * 20), n);
        buffer.next(ms(n * 20));
    }
    for poll in 50..90 {
        buffer.next(ms(poll * 20));
    }
    for n in 50..90 {
        put(&mut buffer, ms(1800), n);
    }
    let most = JitterConfig::default().max + OVERFULL + FRAME;
    for n in 90..120 {
        put(&mut buffer, ms(n * 20), n);
        buffer.next(ms(n * 20));
        let waiting = FRAME * u32::try_from(buffer.len()).unwrap();
        assert!(waiting <= most, "{waiting:?}");
    }
}

/// One hour of a sender whose clock is off by `ppm`; returns (packets not played, most waiting).
fn hour_of_drift(ppm: i64) -> (u64, usize) {
    let mut buffer = buffer();
    let packets = 3600 * 50u64;
    let (mut played, mut most, mut next) = (0, 0, 0u64);
    for poll in 0..packets {
        let now_us = poll * 20_000 + 5000;
        loop {
            let sent_us = next * 20_000;
            let drifted = sent_us as i64 - sent_us as i64 / 1000 * ppm / 1000;
            if drifted as u64 > now_us {
                break;
            }
            put(&mut buffer, CallTime::from_micros(drifted as u64), next);
            next += 1;
        }
        let now = CallTime::from_micros(now_us);
        let surplus = buffer.surplus(now) >= i64::from(UNITS);
        played += u64::from(number(&buffer.next(now)).is_some());
        if surplus && !buffer.is_empty() {
            played += u64::from(number(&buffer.next(now)).is_some());
        }
        most = most.max(buffer.len());
    }
    (next - played - buffer.len() as u64, most)
}

#[test]
fn an_hour_of_clock_drift_neither_starves_nor_fills_the_buffer() {
    for ppm in [-100, 100] {
        let (unplayed, most) = hour_of_drift(ppm);
        assert_eq!(unplayed, 0, "{ppm} ppm");
        assert!(most <= 4, "{ppm} ppm: {most} packets");
    }
}

#[test]
fn events_between_packets_are_not_taken_for_losses() {
    let mut buffer = buffer();
    put(&mut buffer, ms(0), 0);
    assert!(buffer.pass_by(101));
    assert!(!buffer.pass_by(101));
    assert!(buffer.pass_by(102));
    put(&mut buffer, ms(60), 3);
    let given: Vec<Due> = (0..6).map(|poll| buffer.next(ms(60 + poll * 20))).collect();
    assert_eq!(numbers(&given), [0, 3]);
    let last = given.iter().rposition(|due| number(due).is_some()).unwrap();
    let lost = given[..last].iter().any(|due| matches!(due, Due::Lost(_)));
    assert!(!lost, "{given:?}");
}

proptest! {
    /// Whatever the network does: order is kept, nothing plays twice, memory is bounded.
    #[test]
    fn packets_play_in_order_and_once(
        network in prop::collection::vec((0u64..300, 0u8..10), 1..300),
    ) {
        let mut arrivals = Vec::new();
        for (n, (delay, fate)) in network.iter().enumerate() {
            let n = n as u64;
            // One in ten is lost, one in ten comes twice.
            if *fate > 0 {
                arrivals.push((n * 20 + delay, n));
            }
            if *fate == 9 {
                arrivals.push((n * 20 + delay + 30, n));
            }
        }
        let given = play(&arrivals, network.len() as u64 + 40);
        let numbers = numbers(&given);
        prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", numbers);
    }

    /// Jitter below the allowed maximum loses nothing once the buffer knows it.
    #[test]
    fn jitter_that_is_allowed_costs_no_packet_after_a_while(
        seed in prop::collection::vec(0u64..60, 400),
    ) {
        let arrivals: Vec<_> = seed
            .iter()
            .enumerate()
            .map(|(n, delay)| (n as u64 * 20 + delay, n as u64))
            .collect();
        let given = play(&arrivals, 420);
        let late: Vec<u64> = (100..400).filter(|n| !numbers(&given).contains(n)).collect();
        prop_assert!(late.len() <= 3, "{:?}", late);
    }

    #[test]
    fn no_packet_panics(
        packets in prop::collection::vec((any::<u32>(), 0u64..200_000, any::<i64>(), 0u32..1600), 0..50),
    ) {
        let mut buffer = buffer();
        for (at, sequence, timestamp, units) in packets {
            let now = CallTime::from_micros(u64::from(at));
            let timed = Timed { timestamp: timestamp >> 8, units, payload_type: 0, payload: &[] };
            buffer.insert(now, sequence, timed);
            for _ in 0..5 {
                buffer.next(now);
            }
            prop_assert!(buffer.len() <= MAX_PACKETS);
        }
    }
}
