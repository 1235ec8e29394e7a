//! From the vectors of tokens to one of the text.

use burn::prelude::*;
use serde::{Deserialize, Serialize};

/// How the tokens of a text become one vector (Reimers and Gurevych, "Sentence-BERT", 2019).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The first token.
    Cls,
    /// The mean of all tokens.
    Mean,
    /// The largest number in each place.
    Max,
    /// The sum of all tokens over the root of their number.
    MeanSqrtLen,
    /// The last token.
    Last,
}

impl Pooling {
    /// `[tokens, dim]` of sequences that lie one after the other to `[sequences, dim]`.
    ///
    /// # Panics
    /// When a sequence is empty, or the lengths do not add up to the number of tokens.
    pub fn forward(self, tokens: Tensor<2>, lengths: &[usize]) -> Tensor<2> {
        let [n, dim] = tokens.dims();
        assert_eq!(lengths.iter().sum::<usize>(), n, "the lengths of {n} tokens");
        let mut start = 0;
        let rows = lengths
            .iter()
            .map(|&length| {
                assert!(length > 0, "a sequence without tokens");
                let range = start..start + length;
                start = range.end;
                let some = |range: std::ops::Range<usize>| tokens.clone().slice([range, 0..dim]);
                match self {
                    Self::Cls => some(range.start..range.start + 1),
                    Self::Last => some(range.end - 1..range.end),
                    Self::Mean => some(range).mean_dim(0),
                    Self::Max => some(range).max_dim(0),
                    Self::MeanSqrtLen => some(range).sum_dim(0) / (length as f32).sqrt(),
                }
            })
            .collect();
        Tensor::cat(rows, 0)
    }
}

/// Rows brought to length 1, `[rows, dim]`.
pub(crate) fn unit_length(rows: Tensor<2>) -> Tensor<2> {
    let length = (rows.clone() * rows.clone()).sum_dim(1).sqrt();
    rows / length.clamp_min(1e-12)
}

/// `1_Pooling/config.json` of sentence-transformers. Several modes at once would be joined there;
/// exactly one is read here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PoolingConfig {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_lasttoken: bool,
    /// The newer way of saying it.
    pooling_mode: Option<String>,
}

impl PoolingConfig {
    pub(crate) fn pooling(&self) -> Result<Pooling, String> {
        let modes = [
            (self.pooling_mode_cls_token, Pooling::Cls, "cls"),
            (self.pooling_mode_mean_tokens, Pooling::Mean, "mean"),
            (self.pooling_mode_max_tokens, Pooling::Max, "max"),
            (self.pooling_mode_mean_sqrt_len_tokens, Pooling::MeanSqrtLen, "mean_sqrt_len_tokens"),
            (self.pooling_mode_lasttoken, Pooling::Last, "lasttoken"),
        ];
        let named = |(on, _, name): &&(bool, Pooling, &str)| {
            self.pooling_mode.as_deref().map_or(*on, |mode| mode == *name)
        };
        match modes.iter().filter(named).collect::<Vec<_>>()[..] {
            [(_, pooling, _)] => Ok(*pooling),
            ref found => {
                let names: Vec<&str> = found.iter().map(|m| m.2).collect();
                Err(format!("expected one mode of pooling, found {names:?}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tolerance;

    #[test]
    fn poolings_by_hand() {
        let tokens = Tensor::<2>::from_data(
            TensorData::new(vec![1.0f32, 2.0, 3.0, -2.0, 5.0, 0.0], [3, 2]),
            &Device::flex(),
        );
        // The first sequence has two tokens, the second one.
        let of = |pooling: Pooling, want: [f32; 4]| {
            let got = pooling.forward(tokens.clone(), &[2, 1]).into_data();
            let want = TensorData::new(want.to_vec(), [2, 2]);
            got.assert_approx_eq(&want, Tolerance::<f32>::absolute(1e-6));
        };
        of(Pooling::Cls, [1.0, 2.0, 5.0, 0.0]);
        of(Pooling::Last, [3.0, -2.0, 5.0, 0.0]);
        of(Pooling::Mean, [2.0, 0.0, 5.0, 0.0]);
        of(Pooling::Max, [3.0, 2.0, 5.0, 0.0]);
        of(Pooling::MeanSqrtLen, [4.0 / 2f32.sqrt(), 0.0, 5.0, 0.0]);
    }

    #[test]
    fn one_mode_is_read_in_both_spellings() {
        let read = |json: &str| serde_json::from_str::<PoolingConfig>(json).unwrap().pooling();
        assert_eq!(read(r#"{"pooling_mode_cls_token": true, "other": 3}"#), Ok(Pooling::Cls));
        assert_eq!(read(r#"{"pooling_mode": "mean"}"#), Ok(Pooling::Mean));
        let two = r#"{"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}"#;
        assert!(read(two).unwrap_err().contains("[\"cls\", \"max\"]"));
        assert!(read("{}").unwrap_err().contains("found []"));
    }
}
