//! One numeric attribute: cells to numbers, numbers to one size.

use serde::{Deserialize, Serialize};

use super::{Attributed, NumericScale};

/// What was learned of a numeric attribute. `x` becomes `(f(x) - offset) / divisor`, where `f` is
/// `ln(1 + x)` for [`NumericScale::Log1pZScore`] and nothing otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedNumeric {
    /// The attribute.
    pub name: String,
    /// How numbers are brought to one size.
    pub scale: NumericScale,
    /// What is taken away.
    pub offset: f64,
    /// What is divided by, above 0.
    pub divisor: f64,
    /// Whether the fitting rows have no two different numbers, so that there is nothing to scale
    /// by: every number becomes 0. Never with [`NumericScale::None`].
    pub constant: bool,
    /// Smallest and largest number of the fitting rows; none when they have none.
    pub range: Option<(f64, f64)>,
    /// Fitting rows with a number.
    pub values: usize,
    /// Fitting rows with a cell that is no usable number.
    pub bad: usize,
}

/// Why a cell is no usable number: what was expected.
pub(super) type Expected = &'static str;

impl FittedNumeric {
    pub(super) fn fit<R: Attributed>(name: &str, scale: NumericScale, rows: &[&R]) -> Self {
        let cells: Vec<&str> = rows.iter().filter_map(|row| row.cell(name)).collect();
        let numbers: Vec<f64> = cells.iter().filter_map(|c| number(c, scale).ok()).collect();
        let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let curved: Vec<f64> = numbers.iter().map(|x| curve(scale, *x)).collect();
        let n = curved.len().max(1) as f64;
        let mean = curved.iter().sum::<f64>() / n;
        let spread = (curved.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let (offset, divisor) = match scale {
            NumericScale::None => (0.0, 1.0),
            NumericScale::MinMax => (min, max - min),
            NumericScale::ZScore | NumericScale::Log1pZScore => (mean, spread),
        };
        // A sum of equal numbers can be rounded, so that their spread is not exactly 0. Numbers
        // so close that their spread is 0 are constant too.
        let nothing_to_scale_by = numbers.is_empty() || min == max || divisor <= 0.0;
        let constant = scale != NumericScale::None && nothing_to_scale_by;
        let (offset, divisor) = if constant { (0.0, 1.0) } else { (offset, divisor) };
        Self {
            name: name.to_owned(),
            scale,
            offset,
            divisor,
            constant,
            range: (!numbers.is_empty()).then_some((min, max)),
            values: numbers.len(),
            bad: cells.len() - numbers.len(),
        }
    }

    /// The input of a model for a number.
    pub fn apply(&self, x: f64) -> f64 {
        if self.constant { 0.0 } else { (curve(self.scale, x) - self.offset) / self.divisor }
    }

    /// The number for an input of a model; the way back of [`FittedNumeric::apply`]. None for a
    /// constant, from which there is no way back.
    pub fn invert(&self, y: f64) -> Option<f64> {
        let curved = y * self.divisor + self.offset;
        let straight = match self.scale {
            NumericScale::Log1pZScore => curved.exp_m1(),
            _ => curved,
        };
        (!self.constant).then_some(straight)
    }

    /// The input for a cell, and whether its number lies beyond those of the fitting rows.
    pub(super) fn cell(&self, text: &str) -> Result<(f32, bool), Expected> {
        let x = number(text, self.scale)?;
        let y = self.apply(x) as f32;
        if !y.is_finite() {
            return Err("a number that 32 bits hold after scaling");
        }
        Ok((y, self.range.is_some_and(|(min, max)| x < min || x > max)))
    }

    /// What of a fitted column from a stranger is out of its range.
    pub(super) fn flaw(&self) -> Option<String> {
        let finite = self.offset.is_finite() && self.divisor.is_finite();
        (!finite || self.divisor <= 0.0)
            .then(|| format!("{:?} with a divisor of {}", self.name, self.divisor))
    }
}

/// The number of a cell, within what 32 bits hold.
pub(super) fn number(text: &str, scale: NumericScale) -> Result<f64, Expected> {
    let x: f64 = text.parse().map_err(|_| "a number")?;
    if x.is_nan() || x.abs() > f64::from(f32::MAX) {
        return Err("a finite number that 32 bits hold");
    }
    if scale == NumericScale::Log1pZScore && x <= -1.0 {
        return Err("a number above -1, as its logarithm is taken");
    }
    Ok(x)
}

fn curve(scale: NumericScale, x: f64) -> f64 {
    match scale {
        NumericScale::Log1pZScore => x.ln_1p(),
        _ => x,
    }
}
