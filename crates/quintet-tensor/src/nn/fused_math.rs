//! Functions that the compiler turns into vectors, unlike those of the standard library.

/// `eˣ` to 2 units in the last place: `2ⁿ · e^r` with `|r| ≤ ln 2 / 2` (Cody and Waite, 1980).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Beyond these the result is 0 or the largest power of two, never infinite.
    let x = x.clamp(-87.0, 88.0);
    // Adding and taking away 1.5 · 2²³ rounds to the nearest whole number, and leaves it in the
    // lowest bits of the sum: a conversion would not be done on vectors.
    const ROUND: f32 = 12_582_912.0;
    let sum = x * std::f32::consts::LOG2_E + ROUND;
    let n = sum - ROUND;
    // ln 2 in two parts, the first of few bits, so that the difference is exact.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_2e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let e = (p * r * r + r) + 1.0;
    let power = f32::from_bits((sum.to_bits() << 23).wrapping_add(127 << 23));
    e * power
}

#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    // Near 0 the quotient would lose digits.
    let e = exp(2.0 * x.clamp(-15.0, 15.0));
    let far = (e - 1.0) / (e + 1.0);
    let square = x * x;
    let near = x * (1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * (17.0 / 315.0))));
    if x.abs() < 0.1 { near } else { far }
}

/// The error function to 5e-7 (Abramowitz and Stegun, 1964, 7.1.26: 1.5e-7 but for rounding).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152_1;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    (1.0 - p * t * exp(-a * a)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_are_those_of_the_standard_library() {
        for at in -12_000..12_000 {
            let x = at as f32 * 1e-3;
            let close = |got: f32, want: f64, absolute: f64| {
                let error = (f64::from(got) - want).abs();
                assert!(error <= absolute + 3e-7 * want.abs(), "{x}: {got} for {want}");
            };
            close(exp(x), f64::from(x).exp(), 0.0);
            close(tanh(x), f64::from(x).tanh(), 2e-7);
            close(erf(x), erf_by_series(f64::from(x)), 5e-7);
        }
        assert!(exp(-1e9) >= 0.0 && exp(-1e9) < 1e-37 && exp(1e9).is_finite());
        assert_eq!(exp(0.0), 1.0);
    }

    /// Kummer's series, summed until nothing is added.
    fn erf_by_series(x: f64) -> f64 {
        let a = x.abs();
        if a > 6.0 {
            return x.signum();
        }
        let (mut term, mut total, mut n) = (a, a, 0.0);
        while term > 1e-18 * total {
            n += 1.0;
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            total += term;
        }
        x.signum() * total * (-a * a).exp() * 2.0 / std::f64::consts::PI.sqrt()
    }
}
