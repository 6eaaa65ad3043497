//! Parameters as text: `key=value` pairs, checked against what a family declares.

use std::collections::BTreeMap;
use std::str::FromStr;
use tilewise_base::{Error, Result};

/// A parameter that a family accepts.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// Its value when it is not given.
    pub default: &'static str,
    /// What is accepted, as in "`alpha` is a number of 0 or more".
    pub accepted: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// Parameters by name, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Reads `key=value` pairs.
    ///
    /// # Errors
    /// When one has no `=` or a key is given twice.
    pub fn parse<S: AsRef<str>>(pairs: &[S]) -> Result<Self> {
        let mut settings = Self::default();
        for pair in pairs {
            let Some((key, value)) = pair.as_ref().split_once('=') else {
                return Err(Error::parameter("set", format!("{:?}", pair.as_ref()), "key=value is"));
            };
            if settings.0.insert(key.trim().to_owned(), value.trim().to_owned()).is_some() {
                return Err(Error::parameter(key.trim(), value.trim(), "it is given twice"));
            }
        }
        Ok(settings)
    }

    /// The same settings with `key` set to `value`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }

    /// Keys and values, by key.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Checks that `declared` has every key given.
    pub(crate) fn check(&self, family: &str, declared: &[&[Setting]]) -> Result<()> {
        let known = || declared.iter().copied().flatten();
        for (key, value) in &self.0 {
            if !known().any(|s| s.key == key) {
                let keys = known().map(|s| s.key).collect::<Vec<_>>().join(", ");
                let what = format!("model {family} has no such parameter; it has {keys}");
                return Err(Error::parameter(key, value, what));
            }
        }
        Ok(())
    }

    /// The same with the default of a setting where it is not given, for those who read it by another declaration.
    pub(crate) fn or(mut self, setting: &Setting) -> Self {
        self.0.entry(setting.key.to_owned()).or_insert_with(|| setting.default.to_owned());
        self
    }

    /// Whether a declared setting is given.
    pub(crate) fn has(&self, setting: &Setting) -> bool {
        self.0.contains_key(setting.key)
    }

    /// Whether a declared setting is given, and not as its default.
    pub(crate) fn changes(&self, setting: &Setting) -> bool {
        self.0.get(setting.key).is_some_and(|value| value != setting.default)
    }

    /// The value of a declared setting, or its default.
    pub(crate) fn get<T: FromStr>(&self, setting: &Setting) -> Result<T> {
        let value = self.0.get(setting.key).map_or(setting.default, String::as_str);
        value.parse().map_err(|_| Error::parameter(setting.key, value, format!("{} is", setting.accepted)))
    }

    /// As [`get`](Self::get), for a number that `fits`.
    pub(crate) fn number(&self, setting: &Setting, fits: impl Fn(f64) -> bool) -> Result<f64> {
        let number: f64 = self.get(setting)?;
        if fits(number) {
            return Ok(number);
        }
        Err(Error::parameter(setting.key, number, format!("{} is", setting.accepted)))
    }

    /// As [`get`](Self::get), for one of some words.
    pub(crate) fn word<T: Clone>(&self, setting: &Setting, words: &[(&str, T)]) -> Result<T> {
        let value: String = self.get(setting)?;
        match words.iter().find(|(word, _)| *word == value) {
            Some((_, meaning)) => Ok(meaning.clone()),
            None => Err(Error::parameter(setting.key, value, format!("{} is", setting.accepted))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHA: Setting = Setting {
        key: "alpha",
        default: "1",
        accepted: "a number of 0 or more",
        doc: "weight of the penalty",
    };

    #[test]
    fn pairs_become_checked_values() {
        let settings = Settings::parse(&["alpha = 0.5"]).unwrap();
        assert_eq!(settings.number(&ALPHA, |x| x >= 0.0).unwrap(), 0.5);
        assert_eq!(Settings::default().number(&ALPHA, |x| x >= 0.0).unwrap(), 1.0);
        for bad in ["-1", "much", "", "inf", "nan"] {
            let message = Settings::default()
                .with("alpha", bad)
                .number(&ALPHA, |x| x >= 0.0 && x.is_finite())
                .unwrap_err()
                .to_string();
            assert!(message.contains("alpha") && message.contains("0 or more"), "{message}");
        }
        assert!(Settings::parse(&["alpha"]).unwrap_err().to_string().contains("key=value"));
        assert!(Settings::parse(&["alpha=1", "alpha=2"]).is_err());
        let message = settings.check("linear", &[&[]]).unwrap_err().to_string();
        assert!(message.contains("alpha") && message.contains("linear"), "{message}");
        settings.check("ridge", &[&[], &[ALPHA]]).unwrap();
    }
}
