use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use pulp::NullaryFnOnce;
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};

use super::lanes::Plain;
use super::product::Job;
use super::*;

fn matrix(outputs: usize, inputs: usize) -> Tensor {
    Tensor::randn(0f32, 0.05, (outputs, inputs), &Device::Cpu).unwrap()
}

fn rows(count: usize, inputs: usize) -> Vec<f32> {
    let x = Tensor::randn(0f32, 1.0, count * inputs, &Device::Cpu).unwrap();
    x.to_vec1().unwrap()
}

/// The largest difference from the exact product, relative to the largest output.
fn error(found: &[f32], weights: &Tensor, x: &[f32]) -> f32 {
    let inputs = weights.dim(1).unwrap();
    let x = Tensor::from_slice(x, (x.len() / inputs, inputs), &Device::Cpu).unwrap();
    let exact = x.matmul(&weights.t().unwrap()).unwrap();
    let exact = exact.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(found.len(), exact.len());
    let top = exact.iter().fold(0f32, |top, value| top.max(value.abs()));
    let differences = found.iter().zip(&exact).map(|(a, b)| (a - b).abs());
    differences.fold(0f32, f32::max) / top
}

#[test]
fn formats_of_files_lose_nothing() {
    for dtype in [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q4K,
        GgmlDType::Q8_0,
    ] {
        let stored = QTensor::quantize(&matrix(75, 512), dtype).unwrap();
        let exact = stored.dequantize(&Device::Cpu).unwrap();
        let held = AffineMatrix::new(512, &Blocks::of_file(&stored).unwrap());
        assert_eq!((held.inputs(), held.outputs()), (512, 75));
        for count in [1, 3, 40] {
            let x = rows(count, 512);
            let error = error(&held.forward(&x), &exact, &x);
            assert!(error < 1e-4, "{dtype:?}: {error}");
        }
    }
}

#[test]
fn floats_and_finer_formats_become_eight_bits() {
    let floats = matrix(90, 100);
    let held = AffineMatrix::new(100, &Blocks::of_floats(&floats).unwrap());
    let x = rows(5, 100);
    assert!(error(&held.forward(&x), &floats, &x) < 1e-2);
    for dtype in [
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
        GgmlDType::F16,
    ] {
        let stored = QTensor::quantize(&matrix(33, 256), dtype).unwrap();
        let exact = stored.dequantize(&Device::Cpu).unwrap();
        let held = AffineMatrix::new(256, &Blocks::of_file(&stored).unwrap());
        let x = rows(2, 256);
        let error = error(&held.forward(&x), &exact, &x);
        assert!(error < 1e-2, "{dtype:?}: {error}");
    }
}

#[test]
fn matrices_of_two_formats_follow_one_another() {
    let (first, second) = (matrix(20, 64), matrix(30, 64));
    let first = QTensor::quantize(&first, GgmlDType::Q4_1).unwrap();
    let exact = Tensor::cat(&[&first.dequantize(&Device::Cpu).unwrap(), &second], 0).unwrap();
    let first = Blocks::of_file(&first).unwrap();
    let blocks = first.followed_by(Blocks::of_floats(&second).unwrap());
    let held = AffineMatrix::new(64, &blocks);
    let x = rows(1, 64);
    assert!(error(&held.forward(&x), &exact, &x) < 1e-2);
}

#[test]
fn a_row_comes_out_the_same_bit_for_bit_whatever_the_others_are() {
    // Enough weights for several threads.
    let held = AffineMatrix::new(640, &Blocks::of_floats(&matrix(1_203, 640)).unwrap());
    let x = rows(67, 640);
    let all = held.forward(&x);
    for count in [1, 2, 3, 5, 8, 31] {
        let some = held.forward(&x[..count * 640]);
        assert!(some == all[..count * 1_203], "{count} rows");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn all_widths_of_vectors_agree() {
    let stored = QTensor::quantize(&matrix(40, 96), GgmlDType::Q4_1).unwrap();
    for blocks in [Blocks::of_file(&stored), Blocks::of_floats(&matrix(40, 96))] {
        let held = AffineMatrix::new(96, &blocks.unwrap());
        let x = Activations::new(&rows(7, 96), 96);
        let mut plain = vec![0.0; 7 * 40];
        Job(Plain, &held, 0..3, &x, 0..7, &mut plain).call();
        let mut found = vec![0.0; 7 * 40];
        if let Some(lanes) = V3::try_new() {
            lanes.vectorize(Job(lanes, &held, 0..3, &x, 0..7, &mut found));
            assert!(near(&found, &plain));
        }
        if let Some(lanes) = V4::try_new() {
            found.fill(0.0);
            lanes.vectorize(Job(lanes, &held, 0..3, &x, 0..7, &mut found));
            assert!(near(&found, &plain));
        }
    }
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn nothing_times_anything_is_nothing() {
    let held = AffineMatrix::new(32, &Blocks::of_floats(&matrix(16, 32)).unwrap());
    assert_eq!(held.forward(&[0.0; 32]), [0.0; 16]);
    assert!(held.forward(&[]).is_empty());
}
