//! Networks over pixels while their weights learn.

use quintet_tensor::nn::{Loader, Precision};
use quintet_tensor::{
    BuildTuned, EncodeError, EncoderLearner, LearnerStart, TunedEncoder, files_beside,
};
use serde::Deserialize;
use serde_json::json;

use crate::network::{Architecture, NetworkEncoder, NetworkParams};
use crate::open::open_image;

/// The architecture that is small enough to begin from nothing.
const FROM_NOTHING: &str = "cnn";

/// Begins from the weights that the parameters name, or from nothing without any.
pub(crate) fn learner(
    architecture: &'static Architecture,
    start: &LearnerStart<'_>,
) -> Result<Box<dyn EncoderLearner>, EncodeError> {
    let name = architecture.name;
    let wrong = |reason: String| EncodeError::Config { encoder: name.to_owned(), reason };
    let new = start.params.get("weights").is_none();
    if new && name != FROM_NOTHING {
        let files = architecture.files;
        return Err(wrong(format!(
            "learns from `weights`, {files}; of the networks over pixels only \"{FROM_NOTHING}\" \
             begins from nothing"
        )));
    }
    let mut params = if start.params.is_object() { start.params.clone() } else { json!({}) };
    if new {
        params["weights"] = start.folder.to_string_lossy().into();
    }
    let params = NetworkParams::deserialize(&params).map_err(|e| wrong(e.to_string()))?;
    if params.precision != Precision::F32 {
        return Err(wrong("precision: weights learn in \"f32\" alone".to_owned()));
    }
    if !new {
        start.without_sizes(name)?;
    }
    let sizes = if start.sizes.is_null() { json!({}) } else { start.sizes.clone() };
    let loader = || match new {
        true => Ok(Loader::random(start.seed, start.device)),
        false => Loader::open(&params.file(), start.device),
    };
    let beside = match !new && params.weights.is_dir() {
        true => files_beside(&params.weights)?,
        false => Vec::new(),
    };
    let of = {
        let params = params.clone();
        move |arrays: &quintet_tensor::nn::Params<'_>| {
            let sizes = new.then_some(&sizes);
            NetworkEncoder::of(architecture, &params, arrays, sizes)
        }
    };
    let (_, ignored) = of(&loader()?.root())?;
    let build: BuildTuned<NetworkEncoder> = Box::new(move |arrays| Ok(of(arrays)?.0));
    let learner = TunedEncoder::new(start, loader()?, build, (name, ignored), open_image)?;
    Ok(Box::new(learner.with_files(beside)))
}
