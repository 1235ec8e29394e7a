//! Sources of a known layout: the tables of a run file that name a folder and little else.

use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::config::{IngestConfig, TimeUnit, config};
use crate::config_sql::SqlConfig;

/// A folder of RecBole's atomic files (Zhao et al., "RecBole", CIKM 2021): `NAME.inter`, and
/// `NAME.item` and `NAME.user` where they are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecBoleConfig {
    /// The folder, relative to the data root.
    pub folder: String,
    /// What the files are called; the only `*.inter` of the folder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A folder of MMRec (Zhou, "MMRec", 2023): `NAME.inter` with `userID`, `itemID` and `x_label`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MmRecConfig {
    /// The folder, relative to the data root.
    pub folder: String,
    /// What the file is called; the only `*.inter` of the folder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether users and items are called by the ids of `u_id_mapping.csv` and
    /// `i_id_mapping.csv`. Otherwise they keep their numbers, which are the rows of the feature
    /// matrices, and the ids are the attribute `original_id`.
    #[serde(default)]
    pub original_ids: bool,
}

/// A folder of LightGCN (He et al., SIGIR 2020): `train.txt`, `test.txt` and perhaps `valid.txt`,
/// a line `user item item …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LightGcnConfig {
    /// The folder, relative to the data root.
    pub folder: String,
}

/// Amazon reviews (McAuley et al., 2014 and 2018; Hou et al., 2023), whose edition the keys of
/// the first record tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmazonConfig {
    /// The reviews, relative to the data root.
    pub reviews: String,
    /// What is sold; items have nothing but an id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Whether items without a review are kept too.
    #[serde(default)]
    pub all_items: bool,
}

/// Check-ins at places with coordinates. Doing so again is an event of its own: give
/// `duplicates = "keep_all"` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckinsConfig {
    /// A folder with `*checkins*` and `*poi_coos*` files; give either this or `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The check-ins, relative to the data root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The places; without it, `columns` says where the coordinates are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<String>,
    /// What separates two fields; a tab, or a comma in a `.csv`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// Whether the first line names the columns; no when absent, but yes when `columns` are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// The columns of the check-ins; user, place and unix time in this order when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<CheckinColumns>,
    /// The columns of the places; id, latitude and longitude in this order when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place_columns: Option<PlaceColumns>,
}

/// The columns of a file of check-ins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckinColumns {
    /// The user's id.
    pub user: String,
    /// The place's id.
    pub place: String,
    /// When; check-ins have no time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The unit of `timestamp`; never guessed.
    #[serde(default)]
    pub time_unit: TimeUnit,
    /// The place's latitude, degrees; only without a file of places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<String>,
    /// The place's longitude, degrees; only without a file of places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<String>,
    /// What kind of place; only without a file of places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

impl CheckinColumns {
    /// User, place and unix time, in a file without a header line.
    pub(crate) fn numbered() -> Self {
        Self {
            user: "1".to_owned(),
            place: "2".to_owned(),
            timestamp: Some("3".to_owned()),
            time_unit: TimeUnit::S,
            lat: None,
            lon: None,
            category: None,
        }
    }
}

/// The columns of a file of places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceColumns {
    /// The place's id.
    pub id: String,
    /// Latitude, degrees from -90 to 90.
    pub lat: String,
    /// Longitude, degrees from -180 to 180.
    pub lon: String,
    /// What kind of place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

impl PlaceColumns {
    /// Id, latitude and longitude, in a file without a header line.
    pub(crate) fn numbered() -> Self {
        let [id, lat, lon] = ["1", "2", "3"].map(str::to_owned);
        Self { id, lat, lon, category: None }
    }
}

impl CheckinsConfig {
    fn validate(&self) -> Result<(), IngestError> {
        match (&self.folder, &self.file) {
            (Some(_), Some(_)) => return Err(config("checkins", "`folder` or `file`", "both")),
            (None, None) => return Err(config("checkins", "`folder` or `file`", "neither")),
            (Some(_), None) if self.places.is_some() => {
                return Err(config("checkins.places", "`places` beside `file` only", "`folder`"));
            }
            _ => {}
        }
        let of_rows =
            self.columns.as_ref().map_or((None, None), |c| (c.lat.as_ref(), c.lon.as_ref()));
        let with_places = self.folder.is_some() || self.places.is_some();
        match (with_places, of_rows) {
            (true, (None, None)) | (false, (Some(_), Some(_))) => Ok(()),
            (true, _) => {
                let expected = "coordinates in the file of places alone";
                Err(config("checkins.columns", expected, "`lat` or `lon`"))
            }
            (false, _) => {
                let expected = "`places`, or `lat` and `lon` in `columns`";
                Err(config("checkins", expected, "neither"))
            }
        }
    }
}

impl IngestConfig {
    /// The keys of the sources that are given; exactly one in a valid configuration.
    pub(crate) fn sources(&self) -> Vec<&'static str> {
        [
            ("movielens", self.movielens.is_some()),
            ("tables", self.tables.is_some()),
            ("recbole", self.recbole.is_some()),
            ("mmrec", self.mmrec.is_some()),
            ("lightgcn", self.lightgcn.is_some()),
            ("amazon", self.amazon.is_some()),
            ("checkins", self.checkins.is_some()),
            ("sql", self.sql.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, given)| given.then_some(key))
        .collect()
    }

    pub(crate) fn validate_source(&self) -> Result<(), IngestError> {
        let sources = self.sources();
        if sources.len() != 1 {
            let expected = "exactly one of `movielens`, `tables`, `recbole`, `mmrec`, `lightgcn`, \
                            `amazon`, `checkins` and `sql`";
            let found = if sources.is_empty() { "none".to_owned() } else { sources.join(" and ") };
            return Err(config("source", expected, &found));
        }
        self.checkins.as_ref().map_or(Ok(()), CheckinsConfig::validate)?;
        self.sql.as_ref().map_or(Ok(()), SqlConfig::validate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        toml::from_str::<IngestConfig>(text).unwrap().validate().unwrap_err().to_string()
    }

    #[test]
    fn exactly_one_source_is_given() {
        assert!(error("").ends_with("found none"));
        let two = error("mmrec = { folder = \"a\" }\nlightgcn = { folder = \"a\" }");
        assert!(two.ends_with("found mmrec and lightgcn"), "{two}");
    }

    #[test]
    fn coordinates_come_from_one_place() {
        assert!(error("checkins = {}").ends_with("found neither"));
        assert!(error("checkins = { file = \"c.txt\" }").contains("`lat` and `lon`"));
        assert!(error("checkins = { folder = \".\", file = \"c\" }").ends_with("found both"));
        let both = "checkins = { file = \"c\", places = \"p\", columns = { user = \"u\", place = \
                    \"p\", lat = \"y\", lon = \"x\" } }";
        assert!(error(both).contains("places alone"));
    }
}
