#![doc = include_str!("../README.md")]

mod bag;
mod bert;
mod bilstm;
mod clip;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod gpt2;
mod gru;
mod guarded;
mod hashing;
mod modules;
mod network;
mod open;
mod packed;
mod params;
mod pooling;
mod pretrained;
mod recurrent_text;
mod segment;
mod sparse;
mod svd;
mod textcnn;
mod tfidf;
mod tfidf_svd;
mod tfidf_terms;
mod tokenize;
mod trained;
mod vocabulary;
mod word_vectors;

pub use bag::{Bag, BagConfig, BagPooling, NAME as BAG};
pub use bert::{Bert, BertConfig, BertLayout};
pub use bilstm::BiLstmConfig;
pub use clip::{ClipText, ClipTextConfig};
pub use gpt2::{Gpt2, Gpt2Config};
pub use gru::GruConfig;
pub use hashing::{Hashing, HashingConfig, NAME as HASHING};
pub use open::{MAX_TEXT_BYTES, open_text};
pub use pooling::Pooling;
pub use pretrained::{LongText, NAME as BERT, PretrainedText, PretrainedTextConfig, TokenIds};
pub use recurrent_text::{RecurrentText, StatePooling};
pub use sparse::{SparseRows, SparseVector};
pub use svd::TruncatedSvd;
pub use textcnn::{TextCnn, TextCnnConfig};
pub use tfidf::{TermChoice, TermRank, Tfidf};
pub use tfidf_svd::{NAME as TFIDF_SVD, TfidfSvd, TfidfSvdConfig};
pub use tfidf_terms::{NAME as TFIDF, TfidfTerms, TfidfTermsConfig};
pub use tokenize::{Tokenizer, TokenizerConfig, is_stop_word};
pub use vocabulary::Vocabulary;
pub use word_vectors::WordVectors;

use quintet_core::{Registry, RegistryError};
use quintet_tensor::EncoderEntry;

/// Registers the text encoders.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<EncoderEntry>) -> Result<(), RegistryError> {
    r.add(tfidf_terms::entry())?;
    r.add(tfidf_svd::entry())?;
    r.add(hashing::entry())?;
    r.add(bag::entry())?;
    r.add(trained::entry::<TextCnnConfig>())?;
    r.add(trained::entry::<BiLstmConfig>())?;
    r.add(trained::entry::<GruConfig>())?;
    r.add(pretrained::entry())?;
    Ok(())
}
