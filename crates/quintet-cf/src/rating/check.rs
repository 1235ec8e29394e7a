//! Checks of parameters, with a sentence that names the key.

/// At least one.
pub(crate) fn at_least_one(key: &str, found: usize) -> Result<(), String> {
    if found > 0 { Ok(()) } else { Err(format!("{key}: expected at least 1, found 0")) }
}

/// A finite number of at least zero.
pub(crate) fn not_negative(key: &str, found: f32) -> Result<(), String> {
    if found.is_finite() && found >= 0.0 {
        Ok(())
    } else {
        Err(format!("{key}: expected a number of at least 0, found {found}"))
    }
}

/// A finite number above zero.
pub(crate) fn positive(key: &str, found: f32) -> Result<(), String> {
    if found.is_finite() && found > 0.0 {
        Ok(())
    } else {
        Err(format!("{key}: expected a number above 0, found {found}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_and_the_value_are_named() {
        assert_eq!(at_least_one("k", 0).unwrap_err(), "k: expected at least 1, found 0");
        assert!(not_negative("l2", f32::NAN).unwrap_err().contains("l2"));
        assert!(not_negative("l2", 0.0).is_ok() && positive("l2", 0.0).is_err());
    }
}
