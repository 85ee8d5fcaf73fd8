//! The queue with a clock that is moved by hand, and the worker with a recogniser that does as it
//! is told.

mod queue;
mod worker;

fn voice(ms: usize) -> Vec<i16> {
    (0..ms * 16)
        .map(|i| if i % 20 < 10 { 4000 } else { -4000 })
        .collect()
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * 16]
}
