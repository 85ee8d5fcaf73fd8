use proptest::prelude::*;

use super::*;

fn digit(key: char) -> Digit {
    Digit::try_from(key).unwrap()
}

fn event(key: char, duration: u16, end: bool) -> [u8; 4] {
    EventPayload {
        event: digit(key).event(),
        end,
        volume: 10,
        duration,
    }
    .to_bytes()
}

fn ms(millis: u64) -> CallTime {
    CallTime::from_millis(millis)
}

/// Sends `keys` through a link that drops a packet when `lost` says so; returns what is heard.
fn through_link(keys: &[Digit], mut lost: impl FnMut() -> bool) -> Vec<KeyPress> {
    let mut sender = KeySender::default();
    sender.push(keys);
    let mut receiver = KeyReceiver::default();
    let mut heard = Vec::new();
    let mut now = CallTime::ZERO;
    let mut timestamp = u32::MAX - 4000;
    while sender.is_busy() || receiver.is_pressed() {
        let step = sender.tick(timestamp);
        if let KeyTick::Packet {
            timestamp, payload, ..
        } = step
            && !lost()
        {
            heard.extend(receiver.receive(now, timestamp, &payload));
        }
        heard.extend(receiver.poll(now));
        now = now + TICK;
        timestamp = timestamp.wrapping_add(u32::from(TICK_UNITS));
    }
    heard
}

#[test]
fn keys_through_a_clean_link_come_once_each_with_their_duration() {
    let keys: Vec<Digit> = "1234567890*#ABCD1122".chars().map(digit).collect();
    let heard = through_link(&keys, || false);
    let digits: Vec<Digit> = heard.iter().map(|press| press.digit).collect();
    assert_eq!(digits, keys);
    assert!(
        heard
            .iter()
            .all(|press| press.held == Duration::from_millis(120))
    );
}

#[test]
fn all_keys_survive_the_loss_of_three_packets_in_ten() {
    let keys: Vec<Digit> = (0..1000)
        .filter_map(|n| Digit::from_event((n * 7 % 16) as u8))
        .collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut in_this_key = 0;
    let mut passed = false;
    let heard = through_link(&keys, || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // A key all of whose nine packets are lost (2 in 100,000) cannot be known by anybody.
        in_this_key += 1;
        let last_chance = in_this_key == SENT_TICKS + SENT_ENDS && !passed;
        let lost = state % 10 < 3 && !last_chance;
        passed |= !lost;
        if in_this_key == SENT_TICKS + SENT_ENDS {
            in_this_key = 0;
            passed = false;
        }
        lost
    });
    let digits: Vec<Digit> = heard.iter().map(|press| press.digit).collect();
    assert_eq!(digits, keys);
}

#[test]
fn the_end_is_said_three_times_with_one_timestamp_and_the_marker_leads() {
    let mut sender = KeySender::default();
    sender.push(&[digit('5')]);
    let mut packets = Vec::new();
    let mut clock = 8000;
    while sender.is_busy() {
        if let KeyTick::Packet {
            marker,
            timestamp,
            payload,
        } = sender.tick(clock)
        {
            packets.push((marker, timestamp, EventPayload::parse(&payload).unwrap()));
        }
        clock += u32::from(TICK_UNITS);
    }
    assert_eq!(packets.len(), 9);
    assert!(packets.iter().all(|(_, timestamp, _)| *timestamp == 8000));
    assert_eq!(packets.iter().filter(|(marker, ..)| *marker).count(), 1);
    assert!(packets[0].0);
    assert_eq!(packets.iter().filter(|(.., event)| event.end).count(), 3);
    let durations: Vec<u16> = packets.iter().map(|(.., event)| event.duration).collect();
    assert_eq!(durations, [160, 320, 480, 640, 800, 960, 960, 960, 960]);
}

#[test]
fn a_key_whose_end_is_lost_is_told_by_timeout_or_by_the_next_key() {
    let mut receiver = KeyReceiver::default();
    assert_eq!(receiver.receive(ms(0), 0, &event('1', 400, false)), None);
    assert_eq!(receiver.poll(ms(100)), None);
    let press = receiver.poll(ms(220)).unwrap();
    assert_eq!(press.held, Duration::from_millis(50));
    // A straggler of the same key does not press it again.
    assert_eq!(receiver.receive(ms(230), 0, &event('1', 800, true)), None);
    assert_eq!(receiver.poll(ms(1000)), None);

    receiver.receive(ms(2000), 16_000, &event('2', 400, false));
    let press = receiver.receive(ms(2100), 17_000, &event('2', 160, false));
    assert_eq!(press.unwrap().digit, digit('2'));
    assert!(receiver.is_pressed());
}

#[test]
fn a_press_longer_than_the_duration_field_is_one_key() {
    let mut receiver = KeyReceiver::default();
    receiver.receive(ms(0), 0, &event('9', u16::MAX, false));
    assert_eq!(
        receiver.receive(ms(50), 65_535, &event('9', 400, false)),
        None
    );
    let press = receiver
        .receive(ms(100), 65_535, &event('9', 800, true))
        .unwrap();
    assert_eq!(press.held.as_millis(), 8291);
    assert_eq!(receiver.poll(ms(1000)), None);
}

#[test]
fn events_that_are_not_keys_and_stumps_are_ignored() {
    let mut receiver = KeyReceiver::default();
    let flash = EventPayload {
        event: 16,
        end: true,
        volume: 0,
        duration: 800,
    };
    assert_eq!(receiver.receive(ms(0), 0, &flash.to_bytes()), None);
    assert_eq!(receiver.receive(ms(0), 0, &[1, 2]), None);
    assert!(!receiver.is_pressed());
}

proptest! {
    #[test]
    fn a_key_is_never_told_twice_however_its_packets_are_shuffled(
        order in Just((0..9usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut receiver = KeyReceiver::default();
        let mut told = 0;
        for (at, index) in order.iter().enumerate() {
            let end = *index >= 6;
            let duration = 160 * (*index as u16 + 1).min(6);
            let payload = event('7', duration, end);
            told += usize::from(receiver.receive(ms(at as u64 * 20), 99, &payload).is_some());
        }
        told += usize::from(receiver.poll(ms(5000)).is_some());
        prop_assert_eq!(told, 1);
    }

    #[test]
    fn payloads_read_back(event in any::<u8>(), end: bool, volume in 0u8..64, duration: u16) {
        let payload = EventPayload { event, end, volume, duration };
        prop_assert_eq!(EventPayload::parse(&payload.to_bytes()), Some(payload));
    }
}
