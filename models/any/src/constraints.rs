//! Constraints of trees by the names of columns.

use crate::{Setting, Settings};
use tilewise_base::{Error, Result};
use tilewise_tree::DecisionTree;

pub(crate) const MONOTONE: Setting = Setting {
    key: "monotone",
    default: "none",
    accepted: "none or a list such as age:up,debt:down",
    doc: "columns with which predictions never fall (up) or never rise (down)",
};
pub(crate) const INTERACTIONS: Setting = Setting {
    key: "interactions",
    default: "none",
    accepted: "none, alone, or groups of two names or more such as age,height;debt,income",
    doc: "columns that may meet on a path; a column of no group meets none, and alone lets no two meet",
};

/// That both settings are read.
pub(crate) fn check(settings: &Settings) -> Result<()> {
    monotone(settings).and(interactions(settings)).map(|_| ())
}

fn refused(setting: &Setting, word: &str) -> Error {
    Error::parameter(setting.key, word, format!("{} is", setting.accepted))
}

fn monotone(settings: &Settings) -> Result<Vec<(String, i8)>> {
    let text: String = settings.get(&MONOTONE)?;
    if text == MONOTONE.default {
        return Ok(Vec::new());
    }
    let of_column = |word: &str| match word.rsplit_once(':') {
        Some((name, "up")) => Ok((name.to_owned(), 1)),
        Some((name, "down")) => Ok((name.to_owned(), -1)),
        _ => Err(refused(&MONOTONE, word)),
    };
    text.split(',').map(of_column).collect()
}

/// What lets no two columns meet.
const ALONE: &str = "alone";

fn interactions(settings: &Settings) -> Result<Vec<Vec<String>>> {
    let text: String = settings.get(&INTERACTIONS)?;
    if [INTERACTIONS.default, ALONE].contains(&text.as_str()) {
        return Ok(Vec::new());
    }
    groups(&INTERACTIONS, &text)
}

/// Groups of two names or more.
pub(crate) fn groups(setting: &Setting, text: &str) -> Result<Vec<Vec<String>>> {
    let group = |word: &str| {
        let names: Vec<String> = word.split(',').map(str::to_owned).collect();
        let is_repeated = |i: usize| names[..i].contains(&names[i]);
        if names.len() < 2 || (0..names.len()).any(is_repeated) {
            return Err(refused(setting, word));
        }
        Ok(names)
    };
    text.split(';').map(group).collect()
}

/// Puts the constraints into `params`, by the places of columns among the inputs.
pub(crate) fn resolve(settings: &Settings, inputs: &[String], params: &mut DecisionTree) -> Result<()> {
    let place = |setting: &Setting, name: &str| {
        inputs.iter().position(|input| input == name).ok_or_else(|| {
            let accepted = format!("the name of an input is: {}", inputs.join(", "));
            Error::parameter(setting.key, name, accepted)
        })
    };
    let named = monotone(settings)?;
    if !named.is_empty() {
        params.monotone = vec![0; inputs.len()];
        for (i, (name, sign)) in named.iter().enumerate() {
            if named[..i].iter().any(|(other, _)| other == name) {
                return Err(Error::parameter(MONOTONE.key, name, "each name once is"));
            }
            params.monotone[place(&MONOTONE, name)?] = *sign;
        }
    }
    let group = |names: &Vec<String>| {
        names.iter().map(|name| place(&INTERACTIONS, name).map(|place| place as u32)).collect()
    };
    params.interactions = interactions(settings)?.iter().map(group).collect::<Result<_>>()?;
    if settings.get::<String>(&INTERACTIONS)? == ALONE {
        params.interactions = (0..inputs.len() as u32).map(|place| vec![place]).collect();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn names_become_places_and_others_are_refused() {
        let inputs = ["a", "b", "c:d"].map(str::to_owned);
        let resolved = |monotone: &str, interactions: &str| {
            let settings = Settings::default().with("monotone", monotone).with("interactions", interactions);
            let mut params = DecisionTree::default();
            resolve(&settings, &inputs, &mut params).map(|()| (params.monotone, params.interactions))
        };
        assert_eq!(resolved("none", "none").unwrap(), (vec![], vec![]));
        let (monotone, groups) = resolved("c:d:down,a:up", "a,b;b,c:d").unwrap();
        assert_eq!((monotone, groups), (vec![1, 0, -1], vec![vec![0, 1], vec![1, 2]]));
        assert_eq!(resolved("none", "alone").unwrap().1, [[0], [1], [2]]);
        for (monotone, interactions, told) in [
            ("a", "none", "age:up"),
            ("a:sideways", "none", "age:up"),
            ("a:up,a:down", "none", "once"),
            ("none", "a,a", "two names"),
            ("z:up", "none", "a, b, c:d"),
            ("y:up", "none", "a, b, c:d"),
            ("none", "a", "two names"),
            ("none", "a,z", "a, b, c:d"),
        ] {
            let message = resolved(monotone, interactions).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
    }
}
