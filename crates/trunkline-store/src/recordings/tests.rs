//! Recordings read back by an independent reader.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;
use trunkline_types::{CallId, Timestamp};

use super::{Recorder, RecordingWriter, recover};
use crate::StoreError;

fn id(number: u8) -> CallId {
    CallId::new(Timestamp::from_micros(1_700_000_000_000_000), [number; 10])
}

fn samples(path: &Path) -> Vec<i16> {
    let reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    assert_eq!(
        (spec.channels, spec.sample_rate, spec.bits_per_sample),
        (2, 16_000, 16)
    );
    reader.into_samples::<i16>().map(Result::unwrap).collect()
}

#[test]
fn the_caller_is_left_and_the_agent_right() {
    let dir = TempDir::new().unwrap();
    let mut writer = RecordingWriter::create(&dir.path().join("new"), id(1)).unwrap();
    writer.push(&[1, 2, 3], &[-1, -2]).unwrap();
    let finished = writer.finish().unwrap();
    assert!(finished.fault.is_none());
    assert_eq!(samples(&finished.path), [1, -1, 2, -2, 3, 0]);
}

#[test]
fn a_growing_recording_already_plays_but_for_the_last_half_second() {
    let dir = TempDir::new().unwrap();
    let mut writer = RecordingWriter::create(dir.path(), id(1)).unwrap();
    for _ in 0..100 {
        writer.push(&[5; 320], &[6; 320]).unwrap();
    }
    let growing = fs::read_dir(dir.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let playable = samples(&growing).len() / 2;
    assert!((24_000..=32_000).contains(&playable), "{playable}");
}

#[test]
fn what_a_crash_tore_is_cut_to_whole_samples_and_closed() {
    let dir = TempDir::new().unwrap();
    let mut writer = RecordingWriter::create(dir.path(), id(1)).unwrap();
    writer.push(&[5; 6_400], &[6; 6_400]).unwrap();
    let growing = fs::read_dir(dir.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    // Power went while a block was being written: samples without a header that knows of them.
    OpenOptions::new()
        .append(true)
        .open(&growing)
        .unwrap()
        .write_all(&[9, 9, 9, 9, 9, 9, 9])
        .unwrap();
    drop(writer);

    let recovered = recover(dir.path()).unwrap();
    let recording = recovered.into_iter().next().unwrap().unwrap();
    assert_eq!(recording.call_id, id(1));
    assert_eq!(samples(&recording.path).len(), 2 * 6_401);
    assert!(!growing.exists());
}

#[test]
fn recovery_names_what_it_leaves_alone_and_goes_on() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(format!("{}.wav.part", id(1))), [b'x'; 100]).unwrap();
    fs::write(dir.path().join(format!("{}.wav.part", id(2))), b"RI").unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let results = recover(dir.path()).unwrap();
    assert_eq!(results.len(), 2);
    assert!(matches!(
        &results[0],
        Err((_, StoreError::NotARecording { .. }))
    ));
    let empty = results[1].as_ref().unwrap();
    assert!(samples(&empty.path).is_empty());
    assert!(recover(&dir.path().join("nowhere")).unwrap().is_empty());
}

#[test]
fn a_second_recording_of_a_call_does_not_overwrite_the_first() {
    let dir = TempDir::new().unwrap();
    let _first = RecordingWriter::create(dir.path(), id(1)).unwrap();
    let second = RecordingWriter::create(dir.path(), id(1));
    assert!(matches!(
        second,
        Err(StoreError::File {
            doing: "create",
            ..
        })
    ));
}

#[tokio::test]
async fn the_recorder_keeps_the_recordings_of_calls_apart() {
    let dir = TempDir::new().unwrap();
    let recorder = Recorder::start(dir.path()).unwrap();
    let mut calls: Vec<_> = (0..10_u8).map(|n| (n, recorder.begin(id(n)))).collect();
    for _ in 0..60 {
        for (number, call) in &mut calls {
            let tone = [i16::from(*number); 320];
            call.push(&tone, &[-1; 320]);
        }
    }
    for (number, call) in calls {
        let finished = call.finish().await.unwrap();
        let kept = samples(&finished.path);
        assert_eq!(kept.len(), 2 * 60 * 320);
        assert!(
            kept.iter()
                .step_by(2)
                .all(|sample| *sample == i16::from(number))
        );
        assert_eq!(finished.duration.as_millis(), 1_200);
    }
    recorder.close().await;
}

#[tokio::test]
async fn a_dropped_recording_is_closed_as_well() {
    let dir = TempDir::new().unwrap();
    let recorder = Recorder::start(dir.path()).unwrap();
    let mut call = recorder.begin(id(1));
    call.push(&[3; 320], &[4; 320]);
    drop(call);
    recorder.close().await;
    assert_eq!(samples(&super::finished_path(dir.path(), id(1))).len(), 640);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_at_the_end_not_during_the_call() {
    let dir = TempDir::new().unwrap();
    let blocked = dir.path().join("file");
    fs::write(&blocked, "not a folder").unwrap();
    let recorder = Recorder::start(&blocked).unwrap();
    let mut call = recorder.begin(id(1));
    call.push(&[3; 16_000], &[4; 16_000]);
    let error = call.finish().await.unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error}");
}

/// `/dev/full` refuses every write as a full disk does.
#[test]
fn a_full_disk_has_its_own_error() {
    let full = Path::new("/dev/full");
    let refused = OpenOptions::new()
        .write(true)
        .open(full)
        .unwrap()
        .write_all(&[0])
        .unwrap_err();
    assert!(matches!(
        StoreError::file("write", full, refused),
        StoreError::DiskFull(_)
    ));
}
