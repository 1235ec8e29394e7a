//! Parameters from tables, and the errors about them.

use quintet_tensor::EncodeError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads the parameters of an encoder; `null` gives the defaults.
pub(crate) fn parse<T>(encoder: &str, params: &Value) -> Result<T, EncodeError>
where
    T: DeserializeOwned + Default,
{
    match params {
        Value::Null => Ok(T::default()),
        Value::Object(_) => T::deserialize(params).map_err(|e| refused(encoder, e.to_string())),
        other => Err(refused(encoder, format!("expected a table of parameters, found {other}"))),
    }
}

/// Numbers that count something are at least 1.
pub(crate) fn at_least_one(encoder: &str, numbers: &[(&str, usize)]) -> Result<(), EncodeError> {
    match numbers.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(refused(encoder, format!("{name} is at least 1, found 0"))),
        None => Ok(()),
    }
}

/// The error about a parameter.
pub(crate) fn refused(encoder: &str, reason: String) -> EncodeError {
    EncodeError::Config { encoder: encoder.to_owned(), reason }
}
