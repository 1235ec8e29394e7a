//! Rating models: means of users and items plus a taste learned by counting, right and with one
//! fault each.

use std::sync::atomic::{AtomicU32, Ordering};

use quintet_core::{
    Capability, CoreError, Fallback, FitRating, Interactions, ItemIdx, Learns, Matrix, ModelState,
    Prediction, RatingEntry, RatingError, RatingPair, RatingPredictor, ScoreError, SeedStream,
    UserIdx,
};
use quintet_testkit::check_rating;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::must_find;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Output {
    scale: Option<[f32; 2]>,
    clip: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Toy {
    /// What is wrong.
    fault: String,
    output: Output,
}

/// Position in a table of all users or items by its length, `None` where it has no ratings.
fn known(
    what: &'static str,
    at: Option<usize>,
    counts: &[f32],
) -> Result<Option<usize>, ScoreError> {
    match at {
        Some(index) if index >= counts.len() => {
            Err(ScoreError::OutOfRange { what, index, len: counts.len() })
        }
        at => Ok(at.filter(|&at| counts[at] > 0.0)),
    }
}

struct Fitted {
    fault: String,
    clip: bool,
    scale: [f32; 2],
    /// Sums and counts of users, then of items: `[4, n]`, padded.
    sides: [Vec<f32>; 4],
    /// Mean residual of users of one parity for items of one parity.
    blocks: [[f32; 2]; 2],
    mean: f32,
}

impl FitRating for Toy {
    fn name(&self) -> &str {
        "toy"
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap()
    }

    fn fit(
        &self,
        ratings: &Interactions,
        _: SeedStream,
    ) -> Result<Box<dyn RatingPredictor>, RatingError> {
        let model = || "toy".to_owned();
        if let Some([low, high]) = self.output.scale {
            if low >= high {
                return Err(RatingError::Config { model: model(), reason: "scale".into() });
            }
            if ratings.iter().any(|t| t.value < low || t.value > high) {
                return Err(RatingError::Data { model: model(), reason: "scale".into() });
            }
        }
        if ratings.nnz() == 0 && self.fault != "fits nothing" {
            return Err(RatingError::Data { model: model(), reason: "no ratings".into() });
        }
        let mut sides =
            [ratings.n_users(), ratings.n_users(), ratings.n_items(), ratings.n_items()]
                .map(|n| vec![0.0f32; n]);
        let ends = ratings
            .iter()
            .fold([f32::INFINITY, f32::NEG_INFINITY], |[l, h], t| [l.min(t.value), h.max(t.value)]);
        for t in ratings.iter() {
            sides[0][t.user.index()] += t.value;
            sides[1][t.user.index()] += 1.0;
            sides[2][t.item.index()] += t.value;
            sides[3][t.item.index()] += 1.0;
        }
        let sum: f32 = ratings.iter().map(|t| t.value).sum();
        let mut fitted = Fitted {
            fault: self.fault.clone(),
            clip: self.output.clip.unwrap_or(true),
            scale: self.output.scale.unwrap_or(ends),
            sides,
            blocks: [[0.0; 2]; 2],
            mean: sum / ratings.nnz().max(1) as f32,
        };
        let mut counts = [[0.0f32; 2]; 2];
        let mut blocks = [[0.0f32; 2]; 2];
        for t in ratings.iter() {
            let (u, i) = (t.user.index(), t.item.index());
            blocks[u % 2][i % 2] += t.value - fitted.level(Some(u), Some(i));
            counts[u % 2][i % 2] += 1.0;
        }
        if self.fault != "learns no taste" {
            let mean = |g: usize, h: usize| blocks[g][h] / counts[g][h].max(1.0);
            fitted.blocks = [[mean(0, 0), mean(0, 1)], [mean(1, 0), mean(1, 1)]];
        }
        if self.fault == "seed" {
            static FITS: AtomicU32 = AtomicU32::new(0);
            fitted.mean += FITS.fetch_add(1, Ordering::Relaxed) as f32 * 1e-3;
        }
        Ok(Box::new(fitted))
    }
}

impl Fitted {
    fn level(&self, user: Option<usize>, item: Option<usize>) -> f32 {
        let mean = |sums: usize, at: Option<usize>| {
            at.map_or(self.mean, |at| self.sides[sums][at] / self.sides[sums + 1][at].max(1.0))
        };
        mean(0, user) + mean(2, item) - self.mean
    }
}

impl RatingPredictor for Fitted {
    fn name(&self) -> &str {
        "toy"
    }

    fn n_users(&self) -> usize {
        self.sides[0].len()
    }

    fn n_items(&self) -> usize {
        self.sides[2].len()
    }

    fn capability(&self) -> Capability {
        Capability::personal()
    }

    fn predict(
        &self,
        user: Option<UserIdx>,
        item: Option<ItemIdx>,
    ) -> Result<Prediction, ScoreError> {
        let user = match known("user", user.map(UserIdx::index), &self.sides[1]) {
            Err(_) if self.fault == "guesses unknown users" => None,
            user => user?,
        };
        let item = known("item", item.map(ItemIdx::index), &self.sides[3])?;
        let fallback = match (user, item) {
            (Some(_), Some(_)) => None,
            _ if self.fault == "says nothing" => None,
            (None, Some(_)) => Some(Fallback::UnknownUser),
            (Some(_), None) => Some(Fallback::UnknownItem),
            (None, None) => Some(Fallback::UnknownBoth),
        };
        let taste = match (user, item) {
            (Some(u), Some(i)) => self.blocks[u % 2][i % 2],
            _ => 0.0,
        };
        let unclipped = self.level(user, item) + taste;
        let clip = self.clip && self.fault != "does not clip";
        let value = if clip { unclipped.clamp(self.scale[0], self.scale[1]) } else { unclipped };
        Ok(Prediction { value, unclipped, fallback })
    }

    fn predict_all(&self, pairs: &[RatingPair]) -> Result<Vec<Prediction>, ScoreError> {
        let mut found: Vec<Prediction> =
            pairs.iter().map(|&(u, i)| self.predict(u, i)).collect::<Result<_, _>>()?;
        if self.fault == "leaks batch mates" {
            found.iter_mut().for_each(|p| p.unclipped += 1e-3 * pairs.len() as f32);
        }
        Ok(found)
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new("toy");
        for (side, values) in self.sides.iter().enumerate() {
            let row = Matrix::from_vec(1, values.len(), values.clone()).unwrap();
            state.put(format!("side{side}"), row);
        }
        let blocks = self.blocks.concat();
        let rest = [self.mean, self.scale[0], self.scale[1], f32::from(u8::from(self.clip))];
        state.put("rest", Matrix::from_vec(1, 8, [&blocks[..], &rest[..]].concat()).unwrap());
        state.meta.insert("fault".into(), self.fault.clone());
        state
    }
}

fn build(params: &Value) -> Result<Box<dyn FitRating>, RatingError> {
    let empty = Value::Object(serde_json::Map::new());
    let params = if params.is_null() { &empty } else { params };
    let toy: Toy = serde_json::from_value(params.clone())
        .map_err(|e| RatingError::Config { model: "toy".into(), reason: e.to_string() })?;
    Ok(Box::new(toy))
}

fn load(state: &ModelState) -> Result<Box<dyn RatingPredictor>, RatingError> {
    let row = |key: &str| Ok::<_, RatingError>(state.matrix(key)?.as_slice().to_vec());
    let sides = [row("side0")?, row("side1")?, row("side2")?, row("side3")?];
    let rest = state.shaped("rest", 1, 8)?.as_slice();
    if sides[0].len() != sides[1].len() || sides[2].len() != sides[3].len() {
        let found = sides[1].len();
        let what = "sides".into();
        return Err(CoreError::Shape { what, expected: sides[0].len(), found }.into());
    }
    Ok(Box::new(Fitted {
        fault: state.text("fault")?.to_owned(),
        clip: rest[7] > 0.0,
        scale: [rest[5], rest[6]],
        sides,
        blocks: [[rest[0], rest[1]], [rest[2], rest[3]]],
        mean: rest[4],
    }))
}

/// Forgets the mean while loading.
fn load_wrong(state: &ModelState) -> Result<Box<dyn RatingPredictor>, RatingError> {
    let mut state = state.clone();
    let mut rest = state.matrix("rest")?.clone();
    rest.row_mut(0)[4] = 0.0;
    state.put("rest", rest);
    load(&state)
}

fn build_any(params: &Value) -> Result<Box<dyn FitRating>, RatingError> {
    let toy: Toy = serde_json::from_value(params.clone()).unwrap_or_default();
    Ok(Box::new(toy))
}

fn entry(tiny: &'static [&'static str]) -> RatingEntry {
    RatingEntry { name: "toy", summary: "a toy", learns: Learns::Taste, build, load, tiny }
}

#[test]
fn right_models_pass() {
    check_rating(&entry(&["{}", r#"{"output": {"scale": [0.5, 5.5]}}"#]));
}

#[test]
fn every_fault_is_found() {
    let cases: [(&[&str], &str); 9] = [
        (&[r#"{"fault": "leaks batch mates"}"#], "batch mates matter"),
        (&[r#"{"fault": "learns no taste"}"#], "the planted world is not learned"),
        (&[r#"{"fault": "says nothing"}"#], "it must say why"),
        (&[r#"{"fault": "guesses unknown users"}"#], "must be ScoreError::OutOfRange"),
        (&[r#"{"fault": "does not clip"}"#], "clipped to the scale"),
        (&[r#"{"fault": "fits nothing"}"#], "no ratings at all must be Data"),
        (&[r#"{"fault": "seed"}"#], "becomes"),
        (&["{}", r#"{"tpyo": 1}"#], "`tiny` is refused"),
        (&[], "no `tiny` parameters"),
    ];
    for (tiny, says) in cases {
        must_find(&format!("{tiny:?}"), || check_rating(&entry(tiny)), says);
    }
    let lost = RatingEntry { load: load_wrong, ..entry(&["{}"]) };
    must_find("forgets the mean", || check_rating(&lost), "after loading");
    let deaf = RatingEntry { build: build_any, ..entry(&["{}"]) };
    must_find("ignores typos", || check_rating(&deaf), "was accepted");
}
