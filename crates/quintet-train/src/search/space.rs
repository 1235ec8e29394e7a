//! What a search may try.
//!
//! In TOML: a list is its values, a table with one of four keys is a range, any other table is a
//! parameter with parameters of its own:
//!
//! ```toml
//! lr = { log = [1e-4, 1e-2] }        # even in the logarithm
//! dim = [32, 64]                     # one of these
//! l2 = { uniform = [0.0, 0.1] }
//! layers = { int = [1, 4] }          # whole numbers, both ends among them
//! batch_size = { log_int = [256, 4096] }
//! fusion_params = { dropout = { uniform = [0.0, 0.5] } }
//! ```

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// What one parameter may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Axis {
    /// One of these.
    Choice(Vec<Value>),
    /// A number between these.
    Uniform(f64, f64),
    /// A number between these, even in its logarithm.
    Log(f64, f64),
    /// A whole number from the first to the last.
    Int(i64, i64),
    /// A whole number from the first to the last, even in its logarithm.
    LogInt(i64, i64),
}

/// One value for every axis, in their order.
pub type Point = Vec<Value>;

/// All axes, by the paths of their parameters.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Space {
    axes: Vec<(String, Axis)>,
}

impl Axis {
    /// How many values there are; none where there are any number.
    pub fn n_values(&self) -> Option<usize> {
        match self {
            Axis::Choice(values) => Some(values.len()),
            _ => None,
        }
    }

    /// The name in TOML.
    pub fn as_str(&self) -> &'static str {
        match self {
            Axis::Choice(_) => "a list",
            Axis::Uniform(..) => "uniform",
            Axis::Log(..) => "log",
            Axis::Int(..) => "int",
            Axis::LogInt(..) => "log_int",
        }
    }

    /// Values that show whether a model takes what the axis has: all of a list, the ends of a
    /// range.
    pub fn ends(&self) -> Vec<Value> {
        match self {
            Axis::Choice(values) => values.clone(),
            _ => vec![self.at(0.0), self.at(1.0)],
        }
    }

    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Value {
        match self {
            Axis::Choice(values) => values[rng.random_range(0..values.len())].clone(),
            _ => self.at(rng.random_range(0.0..1.0)),
        }
    }

    /// The value at a place between 0 and 1 of a range. Whole numbers have equal shares of it.
    pub(super) fn at(&self, place: f64) -> Value {
        let place = place.clamp(0.0, 1.0);
        let between = |low: f64, high: f64| low + place * (high - low);
        let whole = |x: f64, low: i64, high: i64| Value::from((x as i64).clamp(low, high));
        match *self {
            Axis::Choice(_) => Value::Null,
            Axis::Uniform(low, high) => between(low, high).into(),
            Axis::Log(low, high) => between(low.ln(), high.ln()).exp().clamp(low, high).into(),
            Axis::Int(low, high) => {
                whole(between(low as f64, high as f64 + 1.0).floor(), low, high)
            }
            Axis::LogInt(low, high) => {
                let (from, to) = ((low as f64).ln(), (high as f64 + 1.0).ln());
                whole(between(from, to).exp().floor(), low, high)
            }
        }
    }

    /// The place between 0 and 1 of a value of a range; the middle of its share for a whole one.
    pub(super) fn place(&self, value: &Value) -> f64 {
        let x = value.as_f64().unwrap_or(f64::NAN);
        let share = |x: f64, low: f64, high: f64| match high > low {
            true => ((x - low) / (high - low)).clamp(0.0, 1.0),
            false => 0.5,
        };
        match *self {
            Axis::Choice(_) => 0.5,
            Axis::Uniform(low, high) => share(x, low, high),
            Axis::Log(low, high) => share(x.ln(), low.ln(), high.ln()),
            Axis::Int(low, high) => share(x + 0.5, low as f64, high as f64 + 1.0),
            Axis::LogInt(low, high) => {
                share((x + 0.5).ln(), (low as f64).ln(), (high as f64 + 1.0).ln())
            }
        }
    }

    fn read(path: &str, value: &Value) -> Result<Option<Self>, String> {
        let wrong = |expected: &str| Err(format!("{path}: expected {expected}, found {value}"));
        match value {
            Value::Array(values) if values.is_empty() => wrong("a value to try"),
            Value::Array(values) => {
                let twice = values.iter().enumerate().any(|(i, v)| values[..i].contains(v));
                if twice {
                    wrong("each value once")
                } else {
                    Ok(Some(Axis::Choice(values.clone())))
                }
            }
            Value::Object(table) if table.len() == 1 => {
                let (key, ends) = table.iter().next().map_or(("", &Value::Null), |(k, v)| (k, v));
                let two = ends.as_array().filter(|ends| ends.len() == 2);
                let numbers = two.map(|e| (e[0].as_f64(), e[1].as_f64()));
                let Some((Some(low), Some(high))) = numbers else { return Ok(None) };
                let whole = two.map(|e| (e[0].as_i64(), e[1].as_i64()));
                let ordered = low < high;
                match (key, whole) {
                    ("uniform", _) if ordered => Ok(Some(Axis::Uniform(low, high))),
                    ("log", _) if ordered && low > 0.0 => Ok(Some(Axis::Log(low, high))),
                    ("int", Some((Some(l), Some(h)))) if l < h => Ok(Some(Axis::Int(l, h))),
                    ("log_int", Some((Some(l), Some(h)))) if 0 < l && l < h => {
                        Ok(Some(Axis::LogInt(l, h)))
                    }
                    ("uniform", _) => wrong("two numbers, the smaller one first"),
                    ("log", _) => wrong("two numbers above 0, the smaller one first"),
                    ("int", _) => wrong("two whole numbers, the smaller one first"),
                    ("log_int", _) => wrong("two whole numbers above 0, the smaller one first"),
                    _ => Ok(None),
                }
            }
            Value::Object(_) => Ok(None),
            _ => wrong("a list of values, or {uniform|log|int|log_int = [low, high]}"),
        }
    }

    fn write(&self) -> Value {
        match self {
            Axis::Choice(values) => Value::Array(values.clone()),
            Axis::Uniform(low, high) | Axis::Log(low, high) => {
                serde_json::json!({ self.as_str(): [low, high] })
            }
            Axis::Int(low, high) | Axis::LogInt(low, high) => {
                serde_json::json!({ self.as_str(): [low, high] })
            }
        }
    }
}

impl Space {
    /// Axes by the paths of their parameters, `fusion_params.dropout` for a nested one; sorted,
    /// so that a search is the same however they are written.
    pub fn new(mut axes: Vec<(String, Axis)>) -> Self {
        axes.sort_by(|a, b| a.0.cmp(&b.0));
        Self { axes }
    }

    /// The axes with their paths.
    pub fn axes(&self) -> &[(String, Axis)] {
        &self.axes
    }

    /// Whether there is nothing to try.
    pub fn is_empty(&self) -> bool {
        self.axes.is_empty()
    }

    /// How many points there are; none where there are any number.
    pub fn n_points(&self) -> Option<usize> {
        let count = |(_, axis): &(String, Axis)| axis.n_values();
        self.axes.iter().map(count).try_fold(1usize, |n, values| n.checked_mul(values?))
    }

    /// Point number `number` of a space of lists; the last axis turns fastest.
    pub(super) fn grid(&self, mut number: usize) -> Point {
        let mut point = vec![Value::Null; self.axes.len()];
        for (slot, (_, axis)) in point.iter_mut().zip(&self.axes).rev() {
            if let Axis::Choice(values) = axis {
                *slot = values[number % values.len()].clone();
                number /= values.len();
            }
        }
        point
    }

    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Point {
        self.axes.iter().map(|(_, axis)| axis.draw(rng)).collect()
    }

    /// Parameters with the values of a point in their places; others stay.
    pub fn params(&self, base: &Value, point: &[Value]) -> Value {
        let mut params = if base.is_object() { base.clone() } else { Value::Object(Map::new()) };
        for ((path, _), value) in self.axes.iter().zip(point) {
            let mut place = &mut params;
            for key in path.split('.') {
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                place = &mut place[key];
            }
            *place = value.clone();
        }
        params
    }

    fn collect(
        prefix: &str,
        table: &Map<String, Value>,
        axes: &mut Vec<(String, Axis)>,
    ) -> Result<(), String> {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match (Axis::read(&path, value)?, value) {
                (Some(axis), _) => axes.push((path, axis)),
                (None, Value::Object(inner)) if !inner.is_empty() => {
                    Self::collect(&path, inner, axes)?;
                }
                (None, _) => {
                    return Err(format!(
                        "{path}: expected a list of values, or {{uniform|log|int|log_int = [low, \
                         high]}}, found {value}"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Space {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut axes = Vec::new();
        Self::collect("", &Map::deserialize(from)?, &mut axes).map_err(D::Error::custom)?;
        Ok(Self::new(axes))
    }
}

impl Serialize for Space {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let values: Vec<Value> = self.axes.iter().map(|(_, axis)| axis.write()).collect();
        self.params(&Value::Object(Map::new()), &values).serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;
    use serde_json::json;

    fn space(text: &str) -> Result<Space, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_space_is_read_and_written() {
        let text = "lr = {log = [1e-4, 1e-2]}\ndim = [32, 64]\nreg = {uniform = [0, 1]}\n\
                    n = {int = [1, 3]}\nb = {log_int = [2, 9]}\nfusion_params.dropout = [0.5]";
        let space = space(text).unwrap();
        let names: Vec<&str> = space.axes().iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(names, ["b", "dim", "fusion_params.dropout", "lr", "n", "reg"]);
        let again: Space = toml::from_str(&toml::to_string(&space).unwrap()).unwrap();
        assert_eq!(again, space);
        let point = [json!(4), json!(32), json!(0.5), json!(0.001), json!(2), json!(0.25)];
        let base = json!({"fusion_params": {"dim": 8}, "lr": 1.0, "epochs": 3});
        assert_eq!(
            space.params(&base, &point),
            json!({"fusion_params": {"dim": 8, "dropout": 0.5}, "lr": 0.001, "epochs": 3,
                   "b": 4, "dim": 32, "n": 2, "reg": 0.25})
        );
        assert_eq!(space.n_points(), None);
    }

    #[test]
    fn mistakes_name_their_parameter() {
        for (text, part) in [
            ("lr = 3", "lr: expected a list"),
            ("lr = []", "a value to try"),
            ("lr = [1, 1]", "each value once"),
            ("lr = {log = [0, 1]}", "above 0"),
            ("lr = {uniform = [1, 0]}", "smaller one first"),
            ("lr = {int = [1.5, 3]}", "whole numbers"),
            ("a.b = {logg = [1, 2]}", "a.b.logg"),
            ("a = {}", "a: expected"),
        ] {
            let found = space(text);
            if text.contains("logg") {
                // A key that is no range is a parameter, here one of two values.
                assert_eq!(found.unwrap().axes()[0].0, "a.b.logg");
                continue;
            }
            let error = found.unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn values_lie_in_their_ranges_and_come_back_to_their_places() {
        let axes = [
            Axis::Uniform(-1.0, 3.0),
            Axis::Log(1e-4, 1e-2),
            Axis::Int(1, 4),
            Axis::LogInt(2, 900),
        ];
        let mut rng = SeedStream::new(1).rng("space", 0);
        for axis in axes {
            let ends = axis.ends();
            for _ in 0..500 {
                let value = axis.draw(&mut rng);
                let x = value.as_f64().unwrap();
                assert!(
                    ends[0].as_f64() <= Some(x) && Some(x) <= ends[1].as_f64(),
                    "{axis:?}: {x}"
                );
                let again = axis.at(axis.place(&value)).as_f64().unwrap();
                assert!((again - x).abs() <= 1e-9 * x.abs(), "{axis:?}: {x} {again}");
            }
        }
        assert_eq!(Axis::Int(1, 4).ends(), [json!(1), json!(4)]);
        // Half of an even range in the logarithm lies below the geometric mean.
        assert!((Axis::Log(1e-4, 1e-2).at(0.5).as_f64().unwrap() - 1e-3).abs() < 1e-12);
    }

    #[test]
    fn a_grid_has_every_point_once() {
        let space = space("a = [1, 2]\nb = ['x', 'y', 'z']").unwrap();
        assert_eq!(space.n_points(), Some(6));
        let points: Vec<Point> = (0..6).map(|n| space.grid(n)).collect();
        assert_eq!(points[0], [json!(1), json!("x")]);
        assert_eq!(points[5], [json!(2), json!("z")]);
        assert!((0..6).all(|i| !points[..i].contains(&points[i])));
    }
}
