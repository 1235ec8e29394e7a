//! Names to implementations, registered explicitly.

use std::collections::BTreeMap;

use thiserror::Error;

/// Something that can be registered under a name.
pub trait Named {
    /// The registry key, such as `"lightgcn"`.
    fn name(&self) -> &str;
}

/// What can go wrong with names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No entry has this name.
    #[error("unknown {kind} {name:?}; known: {known}")]
    Unknown {
        /// What was looked up, such as `model`.
        kind: &'static str,
        /// The name that came.
        name: String,
        /// All known names, separated by commas.
        known: String,
    },
    /// Two entries have the same name.
    #[error("{kind} {name:?} is registered twice")]
    Duplicate {
        /// What was registered.
        kind: &'static str,
        /// The name.
        name: String,
    },
}

/// All implementations of one kind, by name.
///
/// There is no global registry: a crate offers `register(&mut Registry<…>)`, and whoever builds
/// the program calls it.
#[derive(Debug)]
pub struct Registry<T> {
    kind: &'static str,
    entries: BTreeMap<String, T>,
}

impl<T: Named> Registry<T> {
    /// An empty registry; `kind` is the word its errors use.
    pub fn new(kind: &'static str) -> Self {
        Self { kind, entries: BTreeMap::new() }
    }

    /// Adds one entry.
    ///
    /// # Errors
    /// [`RegistryError::Duplicate`] when the name is taken.
    pub fn add(&mut self, entry: T) -> Result<(), RegistryError> {
        let name = entry.name().to_owned();
        if self.entries.contains_key(&name) {
            return Err(RegistryError::Duplicate { kind: self.kind, name });
        }
        self.entries.insert(name, entry);
        Ok(())
    }

    /// Finds an entry.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`], which lists the known names.
    pub fn get(&self, name: &str) -> Result<&T, RegistryError> {
        self.entries.get(name).ok_or_else(|| RegistryError::Unknown {
            kind: self.kind,
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The entries, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Entry(&'static str);
    impl Named for Entry {
        fn name(&self) -> &str {
            self.0
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones_and_a_duplicate_is_refused() {
        let mut r = Registry::new("model");
        r.add(Entry("bpr")).unwrap();
        r.add(Entry("vbpr")).unwrap();
        assert_eq!(r.get("bpr").unwrap().name(), "bpr");
        let err = r.get("brp").unwrap_err().to_string();
        assert_eq!(err, "unknown model \"brp\"; known: bpr, vbpr");
        assert!(matches!(r.add(Entry("bpr")), Err(RegistryError::Duplicate { .. })));
    }
}
