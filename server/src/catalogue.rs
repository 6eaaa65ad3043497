//! The models that are served at a moment: a table that never changes. A reload puts another in its place.

use crate::failure::{Failure, Result};
use crate::served::Served;
use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tilewise_base::Model;

/// Where the present table is found. Readers take no lock and wait for nobody (`arc_swap`).
pub(crate) type Current = Arc<ArcSwap<Catalogue>>;

/// The models that are served at a moment.
#[derive(Default)]
pub(crate) struct Catalogue {
    /// By name.
    pub(crate) models: Vec<Entry>,
    /// What the last attempt to load a version came to, where it failed.
    pub(crate) troubles: BTreeMap<(String, u64), String>,
}

/// A model: its versions, the latest first; one at least.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) versions: Vec<Version>,
}

/// A version of a model.
pub(crate) struct Version {
    pub(crate) served: Arc<Served>,
    /// The reply to `GET /v2/models/{name}/versions/{version}`.
    pub(crate) metadata: Bytes,
}

impl Entry {
    /// `versions` are sorted, the latest first.
    pub(crate) fn new(name: &str, versions: Vec<Arc<Served>>) -> Self {
        let numbers: Vec<u64> = versions.iter().map(|served| served.version).collect();
        let versions = versions.into_iter().map(|served| {
            let metadata = crate::metadata::model(&served, &numbers);
            Version { served, metadata }
        });
        Self { name: name.to_owned(), versions: versions.collect() }
    }
}

impl Catalogue {
    /// The latest version of each model, by name.
    pub(crate) fn latest(&self) -> Vec<(String, Arc<dyn Model>)> {
        let latest = |entry: &Entry| (entry.name.clone(), Arc::clone(&entry.versions[0].served.model));
        self.models.iter().map(latest).collect()
    }

    /// A model's version; the latest where none is named.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Result<&Version> {
        let place = self.models.binary_search_by(|entry| entry.name.as_str().cmp(name));
        let Ok(place) = place else { return Err(self.unknown(name)) };
        let versions = &self.models[place].versions;
        match version {
            None => Ok(&versions[0]),
            Some(text) => {
                let number = version_number(text);
                let found = versions.iter().find(|v| Some(v.served.version) == number);
                found.ok_or_else(|| self.unknown_version(name, text, versions))
            }
        }
    }

    #[cold]
    fn unknown(&self, name: &str) -> Failure {
        if self.troubles.keys().any(|(known, _)| known == name) {
            let message =
                format!("model {name:?} could not be loaded; POST /v2/repository/index tells the reason");
            return Failure::new(StatusCode::SERVICE_UNAVAILABLE, message);
        }
        const LISTED: usize = 12;
        let mut names: Vec<_> = self.models.iter().take(LISTED).map(|m| m.name.as_str()).collect();
        let more = format!("... ({} in all)", self.models.len());
        if self.models.len() > LISTED {
            names.push(&more);
        }
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Failure::new(StatusCode::NOT_FOUND, format!("there is no model {name:?}; there are {there}"))
    }

    #[cold]
    fn unknown_version(&self, name: &str, version: &str, versions: &[Version]) -> Failure {
        if version_number(version).is_some_and(|v| self.troubles.contains_key(&(name.to_owned(), v))) {
            let message = format!(
                "version {version} of model {name:?} could not be loaded; POST /v2/repository/index tells the reason"
            );
            return Failure::new(StatusCode::SERVICE_UNAVAILABLE, message);
        }
        let numbers: Vec<_> = versions.iter().map(|v| v.served.version.to_string()).collect();
        let message = format!("model {name:?} has no version {version:?}; there are {}", numbers.join(", "));
        Failure::new(StatusCode::NOT_FOUND, message)
    }

    /// The reply to `POST /v2/repository/index`: every version that is served or could not be loaded. A version whose
    /// new file failed is served as it was before: it is ready, and has a reason.
    pub(crate) fn index(&self, only_ready: bool) -> Bytes {
        let mut rows = BTreeMap::new();
        for ((name, version), reason) in &self.troubles {
            if !only_ready {
                rows.insert((name.as_str(), *version), ("UNAVAILABLE", reason.as_str()));
            }
        }
        for entry in &self.models {
            for version in &entry.versions {
                let key = (entry.name.as_str(), version.served.version);
                let reason = self.troubles.get(&(entry.name.clone(), key.1)).map_or("", String::as_str);
                rows.insert(key, ("READY", reason));
            }
        }
        let rows: Vec<_> = rows
            .into_iter()
            .map(|((name, version), (state, reason))| {
                json!({"name": name, "version": version.to_string(), "state": state, "reason": reason})
            })
            .collect();
        serde_json::Value::from(rows).to_string().into()
    }
}

/// A version as paths and folders name it: a number from 1, in digits, without leading zeros.
pub(crate) fn version_number(text: &str) -> Option<u64> {
    let plain = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain && !text.starts_with('0') { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions_have_one_spelling() {
        assert_eq!(version_number("1"), Some(1));
        assert_eq!(version_number("999999999999999999"), Some(999_999_999_999_999_999));
        for text in
            ["", "0", "01", "+1", "-1", "1.0", " 1", "1 ", "x", "..", "1/2", "9999999999999999999", "١"]
        {
            assert_eq!(version_number(text), None, "{text}");
        }
    }
}
