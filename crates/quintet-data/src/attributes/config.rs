//! What each attribute is: a number or one or more of some words.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::impute_config::bad;

/// Which attributes become input, in the order of their columns. Others are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttributeConfig {
    /// One entry an attribute.
    pub columns: Vec<AttributeColumn>,
}

/// One attribute. In TOML: `name = "year"`, `kind = "numeric"` and the keys of the kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum AttributeColumn {
    /// A number.
    Numeric {
        /// The attribute.
        name: String,
        /// How numbers are brought to one size.
        #[serde(default)]
        scale: NumericScale,
    },
    /// A word, or several with a separator between them.
    Categorical {
        /// The attribute.
        name: String,
        /// What stands between two values of a cell, such as `|` or `,`; blanks around a value
        /// do not count. None: the whole cell is one value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        separator: Option<String>,
        /// Fewest fitting rows that must have a value; rarer ones are unknown.
        #[serde(default = "one")]
        min_count: usize,
        /// Most values, the most frequent ones; the others are unknown.
        #[serde(default = "thousand")]
        max_size: usize,
        /// What comes out.
        #[serde(default)]
        encoding: CategoricalEncoding,
    },
}

fn one() -> usize {
    1
}

fn thousand() -> usize {
    1000
}

impl AttributeColumn {
    /// A categorical attribute with the defaults of the run file.
    pub fn categorical(name: impl Into<String>, separator: Option<&str>) -> Self {
        let encoding = match separator {
            None => CategoricalEncoding::OneHot,
            Some(_) => CategoricalEncoding::MultiHot,
        };
        Self::Categorical {
            name: name.into(),
            separator: separator.map(str::to_owned),
            min_count: one(),
            max_size: thousand(),
            encoding,
        }
    }

    /// The attribute.
    pub fn name(&self) -> &str {
        match self {
            Self::Numeric { name, .. } | Self::Categorical { name, .. } => name,
        }
    }

    fn validate(&self) -> Result<(), DataError> {
        let Self::Categorical { separator, min_count, max_size, encoding, .. } = self else {
            return Ok(());
        };
        if *min_count == 0 || *max_size == 0 {
            let key = if *min_count == 0 { "min_count" } else { "max_size" };
            return Err(bad(key, "at least 1", 0));
        }
        match (separator.as_deref(), encoding) {
            (Some(separator), _) if separator.trim().is_empty() => {
                let expected = "one or more characters that are not blank";
                Err(bad("separator", expected, format!("{separator:?}")))
            }
            (Some(_), CategoricalEncoding::OneHot) => {
                Err(bad("encoding", "multi_hot or index, as there is a separator", "one_hot"))
            }
            (None, CategoricalEncoding::MultiHot) => {
                Err(bad("separator", "a separator, as the encoding is multi_hot", "none"))
            }
            _ => Ok(()),
        }
    }
}

/// How numbers are brought to one size. What is learned is learned from the fitting rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumericScale {
    /// As they are.
    None,
    /// `(x - min) / (max - min)`. Numbers beyond those of the fitting rows lie outside 0 to 1;
    /// they are not cut, but counted.
    MinMax,
    /// `(x - mean) / sd`, with the standard deviation of the population.
    #[default]
    #[serde(rename = "z_score")]
    ZScore,
    /// The same of `ln(1 + x)`, for counts and prices, which have a long tail. A number of -1 or
    /// less is a bad cell.
    #[serde(rename = "log1p_z_score")]
    Log1pZScore,
}

/// What comes out of a categorical attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CategoricalEncoding {
    /// A column of zeros and ones for each value; one is 1. Needs a cell to be one value.
    #[default]
    OneHot,
    /// The same where several can be 1. Needs a separator.
    MultiHot,
    /// Positions in the vocabulary, for a table of learned vectors.
    Index,
}

impl AttributeConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// An attribute without a name or named twice, an empty separator, an encoding that does not
    /// fit the separator, or a vocabulary that must be empty.
    pub fn validate(&self) -> Result<(), DataError> {
        let mut seen = BTreeSet::new();
        for column in &self.columns {
            if column.name().is_empty() || !seen.insert(column.name()) {
                let found = format!("{:?}", column.name());
                return Err(bad("columns.name", "each attribute once, by its name", found));
            }
            column.validate()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_strictly() {
        let read = toml::from_str::<AttributeConfig>;
        let config = read(
            "[[columns]]\nkind = 'numeric'\nname = 'price'\nscale = 'log1p_z_score'\n\
             [[columns]]\nkind = 'categorical'\nname = 'genre'\nseparator = '|'\n\
             encoding = 'multi_hot'",
        )
        .unwrap();
        let price =
            AttributeColumn::Numeric { name: "price".into(), scale: NumericScale::Log1pZScore };
        assert_eq!(config.columns, [price, AttributeColumn::categorical("genre", Some("|"))]);
        assert!(config.validate().is_ok());
        assert!(read("[[columns]]\nkind = 'numeric'\nname = 'a'\nmin_count = 3").is_err());
        assert!(read("[[columns]]\nkind = 'moon'\nname = 'a'").is_err());
    }

    #[test]
    fn settings_that_contradict_are_named() {
        let genre = || AttributeColumn::categorical("genre", Some("|"));
        let message = |columns: Vec<AttributeColumn>| {
            AttributeConfig { columns }.validate().unwrap_err().to_string()
        };
        assert!(message(vec![genre(), genre()]).starts_with("columns.name is \"genre\""));
        let made = |separator: Option<&str>, encoding, min_count, max_size| {
            let (name, separator) = ("a".to_owned(), separator.map(str::to_owned));
            vec![AttributeColumn::Categorical { name, separator, min_count, max_size, encoding }]
        };
        let (one_hot, multi_hot) = (CategoricalEncoding::OneHot, CategoricalEncoding::MultiHot);
        assert!(message(made(Some("|"), one_hot, 1, 9)).contains("encoding is one_hot"));
        assert!(message(made(None, multi_hot, 1, 9)).contains("separator is none"));
        assert!(message(made(Some(" "), multi_hot, 1, 9)).contains("not blank"));
        assert!(message(made(None, one_hot, 0, 9)).contains("min_count is 0"));
        assert!(message(made(None, one_hot, 1, 0)).contains("max_size is 0"));
    }
}
