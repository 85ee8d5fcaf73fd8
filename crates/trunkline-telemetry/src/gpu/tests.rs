use metrics_exporter_prometheus::PrometheusBuilder;
use nvml_wrapper::bitmasks::device::ThrottleReasons;

use super::nvml::throttled_by;
use super::*;

/// Made by hand in the shape of an H200's readings: idle, under load, and cut by MIG.
const TRACE: &str = include_str!("trace.jsonl");

/// What the metrics say after so many looks at the trace.
fn after(looks: usize) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let mut monitor = GpuMonitor::of(Trace::parse(TRACE).unwrap());
        for _ in 0..looks {
            monitor.update();
        }
    });
    handle.render()
}

#[test]
fn a_card_under_load_shows_its_load_and_what_holds_it_down() {
    let text = after(2);
    for line in [
        "trunkline_gpu_monitored 1",
        "trunkline_gpu_busy_ratio{gpu=\"0\"} 0.97",
        "trunkline_gpu_memory_used_bytes{gpu=\"0\"} 96636764160",
        "trunkline_gpu_power_w{gpu=\"0\"} 698.2",
        "trunkline_gpu_processes{gpu=\"0\"} 1",
        "trunkline_gpu_throttled{gpu=\"0\",reason=\"power\"} 1",
        "trunkline_gpu_throttled{gpu=\"0\",reason=\"heat\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_held_a_card_down_is_taken_back_when_it_is_over() {
    let text = after(3);
    assert!(text.contains("trunkline_gpu_throttled{gpu=\"0\",reason=\"power\"} 0"));
    assert!(text.contains("trunkline_gpu_uncorrected_errors{gpu=\"0\"} 2"));
    assert!(text.contains("trunkline_gpu_mig{gpu=\"0\"} 1"));
}

struct Silent;

impl GpuSource for Silent {
    fn read(&mut self) -> Result<Vec<GpuReading>, GpuError> {
        Err(GpuError::NoAnswer("gpu is lost".to_owned()))
    }
}

#[test]
fn a_driver_that_does_not_answer_is_told_and_nothing_fails() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let state = metrics::with_local_recorder(&recorder, || GpuMonitor::of(Silent).update());
    let GpuState::Silent { reason } = state else {
        panic!("{state:?}");
    };
    assert!(reason.contains("gpu is lost"));
    assert!(handle.render().contains("trunkline_gpu_monitored 0"));
}

#[test]
fn a_trace_names_the_line_that_is_none() {
    let error = Trace::parse("[]\n[{}]\n").unwrap_err().to_string();
    assert!(error.starts_with("line 2 of the trace"), "{error}");
    assert!(Trace::parse("").is_err());
}

#[test]
fn an_idle_card_is_not_held_down() {
    assert_eq!(throttled_by(ThrottleReasons::GPU_IDLE), []);
    assert_eq!(
        throttled_by(ThrottleReasons::HW_THERMAL_SLOWDOWN | ThrottleReasons::HW_SLOWDOWN),
        [Throttle::Heat, Throttle::Hardware]
    );
}

#[test]
fn a_reason_is_spelt_one_way() {
    for reason in Throttle::ALL {
        let spelt = serde_json::to_string(&reason).unwrap();
        assert_eq!(spelt, format!("\"{}\"", reason.name()));
    }
}
