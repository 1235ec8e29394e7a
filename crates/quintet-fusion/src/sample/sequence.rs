//! Multimodal sequences: what users did, in order, with the features of every item.
//!
//! Rows are users, padded to the longest history among them: blocks `[batch, seq, dim]` for every
//! modality, who has what `[batch, seq, n_modalities]`, and where an item is at all `[batch, seq]`.
//! A fusion layer reads all places of all users at once ([`SequenceViews::fuse`]).
//! Cost: `O(batch · seq · Σ d_m)`; no parameters.

use burn::prelude::*;
use burn::tensor::TensorData;
use quintet_core::{CoreError, FeatureSet, ItemIdx, Modality, Sequences, UserIdx};
use quintet_tensor::{FitError, Fusion, Views};
use serde::{Deserialize, Serialize};

const NAME: &str = "multimodal sequences";

/// On which side of a short history the empty places lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Behind the last item: a causal network does not see them.
    #[default]
    End,
    /// Before the first item: the last place is the last item of every user.
    Start,
}

/// Parameters of [`SequenceViews::gather`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SequenceParams {
    /// Most items of a user, at least 1; of a longer history the last ones.
    pub max_len: usize,
    /// Where the empty places lie.
    pub padding: Padding,
}

impl Default for SequenceParams {
    fn default() -> Self {
        Self { max_len: 50, padding: Padding::End }
    }
}

/// Histories of a batch of users with the features of their items.
#[derive(Debug, Clone)]
pub struct SequenceViews {
    /// The modalities, in canonical order.
    pub modalities: Vec<Modality>,
    /// One `[batch, seq, d_m]` a modality, zero where the item lacks it and where there is none.
    pub features: Vec<Tensor<3>>,
    /// `[batch, seq, n_modalities]`: 1 where the item has the modality, else 0.
    pub present: Tensor<3>,
    /// `[batch, seq]`: 1 where there is an item, else 0.
    pub mask: Tensor<2>,
    /// `[batch][seq]`: the items, none in empty places.
    pub items: Vec<Vec<Option<ItemIdx>>>,
}

impl SequenceViews {
    /// The histories of `users`, in their order; `seq` is the longest of them, at most `max_len`,
    /// and at least 1.
    ///
    /// # Errors
    /// `max_len` is 0, no user or no modality, a user out of range, or features of another number
    /// of items.
    pub fn gather(
        sequences: &Sequences,
        features: &FeatureSet,
        users: &[UserIdx],
        params: SequenceParams,
        device: &Device,
    ) -> Result<Self, FitError> {
        check(sequences, features, users, params)?;
        let items = padded(sequences, users, params);
        let (batch, seq) = (items.len(), items[0].len());
        let places = || items.iter().flatten();
        let mut blocks = Vec::with_capacity(features.len());
        let mut present = vec![0.0f32; batch * seq * features.len()];
        for (m, f) in features.iter().enumerate() {
            let mut data = vec![0.0f32; batch * seq * f.dim()];
            for (place, item) in places().enumerate() {
                // Rows of absent items are zero in a feature set, and so is what they leave here.
                if let Some(item) = item.filter(|item| f.present[item.index()]) {
                    let row = f.matrix.row(item.index());
                    data[place * f.dim()..][..f.dim()].copy_from_slice(row);
                    present[place * features.len() + m] = 1.0;
                }
            }
            let data = TensorData::new(data, [batch, seq, f.dim()]);
            blocks.push(Tensor::from_data(data, device));
        }
        let present = TensorData::new(present, [batch, seq, features.len()]);
        let mask: Vec<f32> = places().map(|item| f32::from(u8::from(item.is_some()))).collect();
        Ok(Self {
            modalities: features.iter().map(|f| f.modality).collect(),
            features: blocks,
            present: Tensor::from_data(present, device),
            mask: Tensor::from_data(TensorData::new(mask, [batch, seq]), device),
            items,
        })
    }

    /// All places one below the other, user by user: views of `batch · seq` items.
    pub fn views(&self) -> Views {
        let [batch, seq, n] = self.present.dims();
        let flat = self.features.iter().map(|block| {
            let dim = block.dims()[2];
            block.clone().reshape([batch * seq, dim])
        });
        let mask = self.present.clone().reshape([batch * seq, n]);
        Views::new(self.modalities.clone(), flat.collect(), mask)
    }

    /// One vector for every place, `[batch, seq, d_out]`; zero where there is no item.
    ///
    /// # Panics
    /// When the layer was built for other modalities or widths.
    pub fn fuse(&self, layer: &dyn Fusion) -> Tensor<3> {
        let [batch, seq] = self.mask.dims();
        let fused = layer.forward(&self.views()).reshape([batch, seq, layer.d_out()]);
        fused * self.mask.clone().reshape([batch, seq, 1])
    }
}

fn check(
    sequences: &Sequences,
    features: &FeatureSet,
    users: &[UserIdx],
    params: SequenceParams,
) -> Result<(), FitError> {
    if params.max_len == 0 {
        let reason = "max_len is 0, expected at least 1".into();
        return Err(FitError::Config { model: NAME.into(), reason });
    }
    let data = |reason: &str| FitError::Data { model: NAME.into(), reason: reason.into() };
    if users.is_empty() {
        return Err(data("there are no users, at least one is needed"));
    }
    if features.is_empty() {
        return Err(data("there are no features in any modality, at least one is needed"));
    }
    if features.n_items() != sequences.n_items() {
        return Err(CoreError::Shape {
            what: "items of the features of multimodal sequences".into(),
            expected: sequences.n_items(),
            found: features.n_items(),
        }
        .into());
    }
    let len = sequences.n_users();
    match users.iter().find(|user| user.index() >= len) {
        Some(user) => Err(CoreError::OutOfRange { what: "user", index: user.index(), len }.into()),
        None => Ok(()),
    }
}

/// The last items of every user, and empty places; all rows of one length, at least 1.
fn padded(
    sequences: &Sequences,
    users: &[UserIdx],
    params: SequenceParams,
) -> Vec<Vec<Option<ItemIdx>>> {
    let last = |user: &UserIdx| {
        let all = sequences.items(*user);
        all[all.len().saturating_sub(params.max_len)..].to_vec()
    };
    let histories: Vec<Vec<ItemIdx>> = users.iter().map(last).collect();
    let seq = histories.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let pad = |history: Vec<ItemIdx>| {
        let mut row = vec![None; seq];
        let start = if params.padding == Padding::Start { seq - history.len() } else { 0 };
        row[start..].iter_mut().zip(history).for_each(|(place, item)| *place = Some(item));
        row
    };
    histories.into_iter().map(pad).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Weighted, WeightedParams};
    use quintet_core::{Matrix, ModalityFeatures, SeedStream};
    use quintet_tensor::{FusionShape, tensor_to_vec};

    /// Four items; item 2 has no image.
    fn features() -> FeatureSet {
        let text = Matrix::from_vec(4, 1, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let image = Matrix::from_vec(4, 2, (0..8).map(|v| v as f32 * 10.0).collect()).unwrap();
        let mut set = FeatureSet::new(4);
        set.push(ModalityFeatures::new(Modality::Text, text, vec![true; 4]).unwrap()).unwrap();
        let has = vec![true, true, false, true];
        set.push(ModalityFeatures::new(Modality::Image, image, has).unwrap()).unwrap();
        set
    }

    /// User 0: items 3, 2, 0; user 1: nothing; user 2: item 1.
    fn sequences() -> Sequences {
        let at = |user, item, time| (UserIdx(user), ItemIdx(item), time);
        Sequences::from_events(3, 4, [at(0, 0, 9), at(0, 3, 1), at(2, 1, 4), at(0, 2, 5)]).unwrap()
    }

    fn gather(users: &[u32], max_len: usize, padding: Padding) -> Result<SequenceViews, FitError> {
        let users: Vec<UserIdx> = users.iter().copied().map(UserIdx).collect();
        let params = SequenceParams { max_len, padding };
        SequenceViews::gather(&sequences(), &features(), &users, params, &Device::flex())
    }

    fn items(views: &SequenceViews) -> Vec<Vec<Option<u32>>> {
        views.items.iter().map(|row| row.iter().map(|i| i.map(|i| i.0)).collect()).collect()
    }

    #[test]
    fn histories_are_cut_padded_and_masked() {
        let views = gather(&[2, 0, 1], 2, Padding::End).unwrap();
        assert_eq!(items(&views), [[Some(1), None], [Some(2), Some(0)], [None, None]]);
        let read = |t: Tensor<3>| tensor_to_vec(t).unwrap();
        assert_eq!(read(views.features[0].clone()), [2.0, 0.0, 3.0, 1.0, 0.0, 0.0]);
        let image = [20.0, 30.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(read(views.features[1].clone()), image);
        let present = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(read(views.present.clone()), present);
        assert_eq!(tensor_to_vec(views.mask.clone()).unwrap(), [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        let first = gather(&[2, 0], 9, Padding::Start).unwrap();
        assert_eq!(items(&first), [[None, None, Some(1)], [Some(3), Some(2), Some(0)]]);
        // Nobody did anything: one empty place, so that no tensor is empty.
        assert_eq!(items(&gather(&[1], 9, Padding::End).unwrap()), [[None]]);
    }

    #[test]
    fn a_layer_reads_every_place_and_leaves_empty_ones_zero() {
        let features = features().only(&[Modality::Image]);
        let shape = FusionShape { modalities: vec![(Modality::Image, 2)], d_out: 3 };
        let device = Device::flex();
        let params = WeightedParams::default();
        let layer = Weighted::new(&params, &shape, SeedStream::new(1), &device).unwrap();
        let users = [UserIdx(2), UserIdx(0)];
        let params = SequenceParams::default();
        let views = SequenceViews::gather(&sequences(), &features, &users, params, &device);
        let fused = tensor_to_vec(views.unwrap().fuse(&layer)).unwrap();
        let alone = layer.forward(&Views::gather(&features, &[1, 3, 2, 0], &device));
        let alone = tensor_to_vec(alone).unwrap();
        assert_eq!(fused[..3], alone[..3]);
        assert_eq!(fused[3..9], [0.0; 6]);
        assert_eq!(fused[9..], alone[3..]);
    }

    #[test]
    fn what_cannot_be_gathered_is_named() {
        let refusal = |r: Result<SequenceViews, FitError>| r.unwrap_err().to_string();
        assert!(refusal(gather(&[0], 0, Padding::End)).contains("max_len is 0"));
        assert!(refusal(gather(&[], 5, Padding::End)).contains("no users"));
        let far = refusal(gather(&[0, 3], 5, Padding::End));
        assert!(far.contains("user index 3 is out of range: there are 3"), "{far}");
        let gather = |features: &FeatureSet| {
            let params = SequenceParams::default();
            SequenceViews::gather(&sequences(), features, &[UserIdx(0)], params, &Device::flex())
        };
        assert!(refusal(gather(&FeatureSet::new(4))).contains("no features"));
        let mut other = FeatureSet::new(3);
        let text = ModalityFeatures::new(Modality::Text, Matrix::zeros(3, 1), vec![true; 3]);
        other.push(text.unwrap()).unwrap();
        assert!(refusal(gather(&other)).contains("expected 4, found 3"));
    }
}
