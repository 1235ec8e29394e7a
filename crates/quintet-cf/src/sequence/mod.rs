//! What models of the next item share: stretches of histories, batches of like length, the output
//! layer over the items, the trainer around a network, and the fitted model.
//!
//! A network reads vectors of items in the order of time and gives a hidden state after each. The
//! score of an item is the product of the last state with the item's vector, which is also its
//! input vector. Networks are layers of `quintet-tensor` under autodiff; the output layer, most of
//! the work with many items, is a kernel on plain slices ([`next_item`]) whose gradient enters the
//! graph at the hidden states. A fitted model is factors: the last state of each user, and the
//! items. Newcomers are read by a host form of the network ([`Reader`]), without tensors.

pub(crate) mod model;
pub(crate) mod next_item;
#[cfg(test)]
pub(crate) mod parity;
pub(crate) mod product;
pub(crate) mod rivals;
pub(crate) mod trainer;
pub(crate) mod windows;

pub(crate) use model::{NextItem, Reader};
pub use next_item::NextItemLoss;
pub(crate) use quintet_tensor::Dropout;
pub(crate) use trainer::{BatchShape, Network, SequenceTrainer, Setup};
pub use windows::Stretches;
