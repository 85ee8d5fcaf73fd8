//! What was said before, bounded in bytes; what was unused for longest makes room.

use std::collections::HashMap;
use std::sync::Arc;

/// What makes two clauses sound alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) voice: String,
    pub(super) text: String,
    /// Speed in hundredths.
    pub(super) speed_percent: u32,
}

impl Key {
    pub(super) fn new(voice: &str, text: &str, speed: f32) -> Self {
        Self {
            voice: voice.to_owned(),
            text: text.to_owned(),
            speed_percent: (speed * 100.0).round() as u32,
        }
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    kept: HashMap<Key, Kept>,
    bytes: usize,
    limit: usize,
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    pcm: Arc<[i16]>,
    used: u64,
}

impl Cache {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            kept: HashMap::new(),
            bytes: 0,
            limit: limit_bytes,
            clock: 0,
        }
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<Arc<[i16]>> {
        self.clock += 1;
        let kept = self.kept.get_mut(key)?;
        kept.used = self.clock;
        Some(Arc::clone(&kept.pcm))
    }

    pub(super) fn insert(&mut self, key: Key, pcm: Arc<[i16]>) {
        let bytes = cost(&key, &pcm);
        if bytes > self.limit {
            return;
        }
        self.forget(&key);
        while self.bytes + bytes > self.limit {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.forget(&oldest);
        }
        self.clock += 1;
        self.bytes += bytes;
        self.kept.insert(
            key,
            Kept {
                pcm,
                used: self.clock,
            },
        );
    }

    fn forget(&mut self, key: &Key) {
        if let Some(kept) = self.kept.remove(key) {
            self.bytes -= cost(key, &kept.pcm);
        }
    }
}

fn cost(key: &Key, pcm: &[i16]) -> usize {
    key.text.len() + size_of_val(pcm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_makes_room() {
        let mut cache = Cache::new(250);
        let key = |text: &str| Key::new("slt", text, 1.0);
        for text in ["a", "b"] {
            cache.insert(key(text), vec![0; 50].into());
        }
        assert!(cache.get(&key("a")).is_some());
        cache.insert(key("c"), vec![0; 50].into());
        assert!(cache.get(&key("b")).is_none());
        assert!(cache.get(&key("a")).is_some() && cache.get(&key("c")).is_some());
        cache.insert(key("a"), vec![0; 60].into());
        assert_eq!(cache.bytes, 101 + 121);
        cache.insert(key("too long"), vec![0; 500].into());
        assert!(cache.get(&key("too long")).is_none());
    }

    #[test]
    fn speed_and_voice_are_part_of_the_key() {
        assert_ne!(Key::new("slt", "a", 1.0), Key::new("slt", "a", 1.2));
        assert_ne!(Key::new("slt", "a", 1.0), Key::new("rms", "a", 1.0));
    }
}
