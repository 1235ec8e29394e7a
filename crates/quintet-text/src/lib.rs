#![doc = include_str!("../README.md")]

mod bert;
#[doc(hidden)]
pub mod fuzzing;
mod gpt2;
mod guarded;
mod network;
mod open;
mod pooling;
mod pretrained;
mod sparse;
mod svd;
mod tfidf;
mod tfidf_svd;
mod tokenize;

pub use bert::{Bert, BertConfig, BertLayout};
pub use gpt2::{Gpt2, Gpt2Config};
pub use open::{MAX_TEXT_BYTES, open_text};
pub use pooling::Pooling;
pub use pretrained::{LongText, NAME as BERT, PretrainedText, PretrainedTextConfig, TokenIds};
pub use sparse::{SparseRows, SparseVector};
pub use svd::TruncatedSvd;
pub use tfidf::Tfidf;
pub use tfidf_svd::{NAME as TFIDF_SVD, TfidfSvd, TfidfSvdConfig};
pub use tokenize::{Tokenizer, is_stop_word};

use quintet_core::{Registry, RegistryError};
use quintet_tensor::EncoderEntry;

/// Registers the text encoders.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<EncoderEntry>) -> Result<(), RegistryError> {
    r.add(tfidf_svd::entry())?;
    r.add(pretrained::entry())?;
    Ok(())
}
