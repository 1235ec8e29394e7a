//! Attributes of items and users as numbers that a model can read.
//!
//! `config` says what each attribute is, `infer` proposes that, `numeric` and `categorical` learn
//! one column each, `encoder` puts them together, `encoded` holds what comes out and `report`
//! accounts for every cell.

mod categorical;
mod config;
mod encoded;
mod encoder;
mod infer;
mod numeric;
mod report;

use std::collections::BTreeMap;

pub use categorical::FittedCategorical;
pub use config::{AttributeColumn, AttributeConfig, CategoricalEncoding, NumericScale};
pub use encoded::{CategoricalColumn, EncodedAttributes};
pub use encoder::{AttributeEncoder, FittedColumn};
pub use infer::{InferredColumn, InferredKind};
pub use numeric::FittedNumeric;
pub use report::{AttributeReport, BadCell, ColumnReport, LISTED_CELLS};

use crate::{Item, User};

/// Something that has attributes by name.
pub trait Attributed {
    /// Id in the outside world, for reports.
    fn id(&self) -> &str;
    /// The attributes.
    fn attributes(&self) -> &BTreeMap<String, String>;
    /// What an attribute says, without the blanks around it; none when it is absent or blank.
    fn cell(&self, name: &str) -> Option<&str> {
        self.attributes().get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }
}

impl Attributed for Item {
    fn id(&self) -> &str {
        &self.id
    }

    fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }
}

impl Attributed for User {
    fn id(&self) -> &str {
        &self.id
    }

    fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }
}

#[cfg(test)]
mod tests;
