//! Steps, schedules and running means by hand.

use super::*;
use crate::Weight;
use quintet_core::Matrix;

struct One(Weight);

impl Layer for One {
    fn weights(&self) -> Vec<(String, &Weight)> {
        vec![("w".into(), &self.0)]
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        vec![&mut self.0]
    }
}

fn start() -> One {
    let device = Device::flex().autodiff();
    One(Weight::new(&Matrix::from_vec(1, 2, vec![1.0, -2.0]).unwrap(), &device))
}

/// The gradient of `½ Σ x²` is `x`.
fn gradients(layer: &One) -> WeightGradients {
    let mut grads = (layer.0.tensor().powi_scalar(2).sum() * 0.5).backward();
    WeightGradients::take(layer, &mut grads)
}

fn values(layer: &One) -> Vec<f32> {
    layer.0.to_matrix().unwrap().into_vec()
}

fn after(config: OptimiserConfig, steps: usize) -> Vec<f32> {
    let mut layer = start();
    let mut optimiser = Optimiser::new(config, 0.1);
    for _ in 0..steps {
        let grads = gradients(&layer);
        optimiser.push(&mut layer, grads).unwrap();
    }
    values(&layer)
}

fn close(found: &[f32], expected: &[f32]) {
    let close = found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-5);
    assert!(close, "{found:?} {expected:?}");
}

#[test]
fn steps_by_hand() {
    let of = |kind| OptimiserConfig { kind, ..OptimiserConfig::default() };
    close(&after(of(OptimiserKind::Sgd), 1), &[0.9, -1.8]);
    // v = 1, then 0.5 + 0.9 = 1.4: 1 - 0.1 - 0.14.
    let momentum = OptimiserConfig { momentum: 0.5, ..of(OptimiserKind::Sgd) };
    close(&after(momentum, 2), &[0.76, -1.52]);
    // The first step of Adagrad and Adam is the step size.
    close(&after(of(OptimiserKind::Adagrad), 1), &[0.9, -1.9]);
    close(&after(of(OptimiserKind::Adam), 1), &[0.9, -1.9]);
    // 1 - 0.1 · (1 + 0.5 · 1).
    let decay = OptimiserConfig { weight_decay: 0.5, ..of(OptimiserKind::Sgd) };
    close(&after(decay, 1), &[0.85, -1.7]);
    let decoupled = OptimiserConfig { weight_decay: 0.5, ..of(OptimiserKind::AdamW) };
    close(&after(decoupled, 1), &[0.95 - 0.1, -1.9 + 0.1]);
}

#[test]
fn gradients_are_cut_together_and_kept_for_several_batches() {
    let sgd = || OptimiserConfig { kind: OptimiserKind::Sgd, ..OptimiserConfig::default() };
    // The norm of (1, -2) is √5.
    let clipped = OptimiserConfig { clip_norm: Some(1.0), ..sgd() };
    let root = 5f32.sqrt();
    close(&after(clipped, 1), &[1.0 - 0.1 / root, -2.0 + 0.2 / root]);
    let every_other = OptimiserConfig { accumulate: 2, ..sgd() };
    close(&after(every_other.clone(), 1), &[1.0, -2.0]);
    close(&after(every_other.clone(), 2), &[0.9, -1.8]);
    let mut layer = start();
    let mut optimiser = Optimiser::new(every_other, 0.1);
    let grads = gradients(&layer);
    optimiser.push(&mut layer, grads).unwrap();
    optimiser.flush(&mut layer).unwrap();
    close(&values(&layer), &[0.9, -1.8]);
}

#[test]
fn the_mean_of_the_weights_is_kept_and_saved() {
    let config = OptimiserConfig {
        kind: OptimiserKind::Sgd,
        momentum: 0.5,
        ema: Some(0.5),
        ..OptimiserConfig::default()
    };
    let mut layer = start();
    let mut optimiser = Optimiser::new(config.clone(), 0.1);
    for _ in 0..2 {
        let grads = gradients(&layer);
        optimiser.push(&mut layer, grads).unwrap();
    }
    let mut state = ModelState::new("test");
    optimiser.save("o.", &mut state).unwrap();
    let mut other = Optimiser::new(config, 0.1);
    other.load(&layer, "o.", &state, &Device::flex().autodiff()).unwrap();
    let mut mean = start();
    other.put_mean(&mut mean);
    // After the steps 0.9 and 0.76.
    close(&values(&mean), &[0.83, -1.66]);
    let (mut a, mut b) = (start(), start());
    a.0.set(layer.0.tensor());
    b.0.set(layer.0.tensor());
    let (g, h) = (gradients(&a), gradients(&b));
    optimiser.push(&mut a, g).unwrap();
    other.push(&mut b, h).unwrap();
    assert_eq!(values(&a), values(&b));
}

#[test]
fn schedules_by_hand() {
    let close = |s: Schedule, passed, expected: f32| {
        assert!((s.factor(passed) - expected).abs() < 1e-6, "{s:?} {passed}");
    };
    close(Schedule::Constant, 9, 1.0);
    close(Schedule::Exponential { factor: 0.25, every: 2.0 }, 1, 0.5);
    close(Schedule::Step { factor: 0.5, every: 3 }, 7, 0.25);
    close(Schedule::Cosine { epochs: 4, floor: 0.0 }, 2, 0.5);
    close(Schedule::Cosine { epochs: 4, floor: 0.1 }, 9, 0.1);
    close(Schedule::Linear { epochs: 4, floor: 0.2 }, 2, 0.6);
}

#[test]
fn settings_out_of_range_are_named() {
    for (text, key) in [
        (r#"{"momentum": 1.0}"#, "momentum"),
        (r#"{"clip_norm": 0.0}"#, "clip_norm"),
        (r#"{"accumulate": 0}"#, "accumulate"),
        (r#"{"ema": 1.5}"#, "ema"),
        (r#"{"schedule": {"step": {"factor": 2.0, "every": 1}}}"#, "schedule"),
        (r#"{"mirror": {"every": 0}}"#, "mirror"),
    ] {
        let config: OptimiserConfig = serde_json::from_str(text).unwrap();
        let error = config.check("m").unwrap_err().to_string();
        assert!(error.contains(&format!("optimiser.{key}")), "{error}");
    }
}
