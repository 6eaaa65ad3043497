//! What a search tries: lists and ranges of parameters, and the trials that are made of them.

use crate::Settings;
use std::collections::BTreeSet;
use tilewise_base::{Error, Result};
use tilewise_kernels::random::Philox;

/// Draws for one trial before it is given up as one that was there already.
const DRAWS: u64 = 64;
/// The most trials of a search: each is kept with its scores, and told.
pub const MOST_TRIALS: usize = 100_000;

const ACCEPTED: &str = "key=a,b,c (a list; apart by semicolons where values have commas), key=low..high (a range of numbers, \
                        whole ones if both ends are) and key=low..high:log (equal ratios are equally likely) are";

/// The values of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// One of some words.
    List(Vec<String>),
    /// A whole number of a range, both ends included.
    Whole {
        /// The lower end.
        low: i64,
        /// The upper end.
        high: i64,
        /// Whether equal ratios, and not equal distances, are equally likely.
        log: bool,
    },
    /// A number of a range, to four digits.
    Number {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
        /// Whether equal ratios, and not equal distances, are equally likely.
        log: bool,
    },
}

impl Values {
    /// Whether it is a range whose ratios are equally likely.
    pub fn is_log(&self) -> bool {
        matches!(self, Self::Whole { log: true, .. } | Self::Number { log: true, .. })
    }

    fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }

    fn parse(key: &str, text: &str) -> Result<Self> {
        let refuse =
            |what: &str| Error::parameter("search", format!("{key}={text}"), format!("{what}; {ACCEPTED}"));
        let Some((low, rest)) = text.split_once("..") else {
            let separator = if text.contains(';') { ';' } else { ',' };
            let list: Vec<String> = text.split(separator).map(|value| value.trim().to_owned()).collect();
            if list.iter().any(String::is_empty) {
                return Err(refuse("a value is empty"));
            }
            if let Some(twice) = list.iter().enumerate().find(|(i, value)| list[..*i].contains(value)) {
                return Err(refuse(&format!("{:?} is there twice", twice.1)));
            }
            return Ok(Self::List(list));
        };
        let (high, log) = match rest.split_once(':') {
            None => (rest, false),
            Some((high, "log")) => (high, true),
            Some((_, word)) => return Err(refuse(&format!("{word:?} is not log"))),
        };
        let (low, high) = (low.trim(), high.trim());
        let number = |text: &str| {
            let number = text.parse::<f64>().ok().filter(|x| x.is_finite());
            number.ok_or_else(|| refuse(&format!("{text:?} is not a number")))
        };
        let (least, most) = (number(low)?, number(high)?);
        if least >= most {
            return Err(refuse("the lower end comes first, and they differ"));
        }
        if log && least <= 0.0 {
            return Err(refuse("a range with :log is above 0"));
        }
        Ok(match (low.parse(), high.parse()) {
            (Ok(low), Ok(high)) => Self::Whole { low, high, log },
            _ => Self::Number { low: least, high: most, log },
        })
    }

    /// The value at `u`, from 0 to below 1.
    fn at(&self, u: f64) -> String {
        let between = |low: f64, high: f64, log: bool| match log {
            true => (low.ln() + u * (high.ln() - low.ln())).exp(),
            false => low + u * (high - low),
        };
        match self {
            Self::List(list) => list[((u * list.len() as f64) as usize).min(list.len() - 1)].clone(),
            Self::Whole { low, high, log } => {
                let x = between(*low as f64, *high as f64 + 1.0, *log).floor();
                (x as i64).clamp(*low, *high).to_string()
            }
            Self::Number { low, high, log } => {
                // Four digits say as much as a search can tell, and can be typed again.
                let text = format!("{:.3e}", between(*low, *high, *log));
                text.parse::<f64>().unwrap_or(*low).clamp(*low, *high).to_string()
            }
        }
    }
}

/// The parameters that a search varies, in the order given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space(Vec<(String, Values)>);

/// The values of one trial, in the order of the space.
pub type Point = Vec<String>;

impl Space {
    /// Reads `key=a,b,c`, `key=low..high` and `key=low..high:log`. Numbers without a point or an exponent at both ends make a range
    /// of whole numbers.
    ///
    /// # Errors
    /// When there is none, one has another form, a range is empty, or a key or a value is given twice.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self> {
        let mut space = Self::default();
        for text in texts {
            let Some((key, values)) = text.as_ref().split_once('=') else {
                return Err(Error::parameter("search", format!("{:?}", text.as_ref()), ACCEPTED));
            };
            let (key, values) = (key.trim(), values.trim());
            if space.0.iter().any(|(other, _)| other == key) {
                return Err(Error::parameter("search", text.as_ref(), format!("{key} is given twice")));
            }
            space.0.push((key.to_owned(), Values::parse(key, values)?));
        }
        if space.0.is_empty() {
            return Err(Error::parameter("search", "nothing", ACCEPTED));
        }
        Ok(space)
    }

    /// Keys and their values.
    pub fn parameters(&self) -> &[(String, Values)] {
        &self.0
    }

    /// Whether there are lists only, so that a grid can hold all combinations.
    pub fn is_finite(&self) -> bool {
        self.0.iter().all(|(_, values)| values.is_list())
    }

    /// Combinations of lists; `None` when there is a range, or more of them than can be counted.
    pub fn combinations(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |product, (_, values)| match values {
            Values::List(list) => product.checked_mul(list.len()),
            _ => None,
        })
    }

    /// All combinations, the last key changing fastest.
    ///
    /// # Errors
    /// When there is a range, or there are more than [`MOST_TRIALS`].
    pub fn grid(&self) -> Result<Vec<Point>> {
        if let Some((key, _)) = self.0.iter().find(|(_, values)| !values.is_list()) {
            let what = format!(
                "of a range such as that of {key} it cannot try all; random and halving are, or a list"
            );
            return Err(Error::parameter("method", "grid", what));
        }
        let Some(all) = self.combinations().filter(|all| *all <= MOST_TRIALS) else {
            let what =
                format!("it has more than {MOST_TRIALS} combinations; random and halving try some of them");
            return Err(Error::parameter("method", "grid", what));
        };
        let point = |mut i: usize| {
            let mut point = vec![String::new(); self.0.len()];
            for (place, (_, values)) in self.0.iter().enumerate().rev() {
                if let Values::List(list) = values {
                    point[place] = list[i % list.len()].clone();
                    i /= list.len();
                }
            }
            point
        };
        Ok((0..all).map(point).collect())
    }

    /// `trials` different points, drawn by the seed: the first of more are the points of fewer. Fewer only where that many different
    /// ones were not met; of lists that have no more combinations than trials, all of them in the order of the grid.
    ///
    /// # Errors
    /// When `trials` is 0 or above [`MOST_TRIALS`].
    pub fn random(&self, trials: usize, seed: u64) -> Result<Vec<Point>> {
        const TRIALS: u64 = Philox::purpose("trials of a search");
        if !(1..=MOST_TRIALS).contains(&trials) {
            return Err(Error::parameter(
                "trials",
                trials,
                format!("a whole number from 1 to {MOST_TRIALS} is"),
            ));
        }
        if self.combinations().is_some_and(|all| all <= trials) {
            return self.grid();
        }
        let keys = Philox::new(seed, TRIALS);
        let mut met = BTreeSet::new();
        let mut points = Vec::with_capacity(trials);
        for trial in 0..trials as u64 {
            let draw = |draw: u64| {
                let first = (trial * DRAWS + draw) * self.0.len() as u64;
                let value = |(i, (_, values)): (u64, &(String, Values))| values.at(keys.uniform(first + i));
                (0..).zip(&self.0).map(value).collect::<Point>()
            };
            if let Some(point) = (0..DRAWS).map(draw).find(|point| !met.contains(point)) {
                met.insert(point.clone());
                points.push(point);
            }
        }
        Ok(points)
    }

    /// The settings of a point.
    pub fn settings(&self, fixed: &Settings, point: &Point) -> Settings {
        self.0.iter().zip(point).fold(fixed.clone(), |settings, ((key, _), value)| settings.with(key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(texts: &[&str]) -> Space {
        Space::parse(texts).unwrap()
    }

    #[test]
    fn a_grid_holds_every_combination_once() {
        let grid = space(&["a=1,2", "b = x, y,z"]).grid().unwrap();
        let text: Vec<String> = grid.iter().map(|point| point.concat()).collect();
        assert_eq!(text, ["1x", "1y", "1z", "2x", "2y", "2z"]);
        assert_eq!(space(&["q=0.1,0.9;0.5"]).grid().unwrap(), [["0.1,0.9"], ["0.5"]]);
        let refused = space(&["a=1,2", "b=0.1..2"]).grid().unwrap_err().to_string();
        assert!(refused.contains("that of b") && refused.contains("random"), "{refused}");
    }

    #[test]
    fn draws_lie_in_their_ranges_and_reach_their_ends() {
        let space = space(&["n=1..4", "m=2..2000:log", "x=-1..1.5", "r=0.001..1:log", "w=a,b"]);
        let points = space.random(2000, 5).unwrap();
        assert_eq!(points.len(), 2000);
        let numbers = |i: usize| points.iter().map(|p| p[i].parse::<f64>().unwrap()).collect::<Vec<_>>();
        let share = |values: &[f64], is: &dyn Fn(f64) -> bool| {
            values.iter().filter(|x| is(**x)).count() as f64 / values.len() as f64
        };
        let whole = numbers(0);
        assert!(points.iter().all(|p| p[0].parse::<u8>().is_ok() && p[1].parse::<u16>().is_ok()));
        // Shares of 2000 have a standard deviation of 0.011 at most: five of them.
        for n in 1..=4 {
            assert!((share(&whole, &|x| x == f64::from(n)) - 0.25).abs() < 0.055);
        }
        let log = numbers(1);
        assert!(log.iter().all(|x| (2.0..=2000.0).contains(x)));
        // Half of the ratios lie below the geometric mean of both ends, of which the upper counts as 2001.
        assert!((share(&log, &|x| x < (2.0f64 * 2001.0).sqrt().floor()) - 0.5).abs() < 0.055);
        let plain = numbers(2);
        assert!(plain.iter().all(|x| (-1.0..=1.5).contains(x)));
        assert!((share(&plain, &|x| x < 0.0) - 0.4).abs() < 0.055);
        let ratio = numbers(3);
        assert!(ratio.iter().all(|x| (0.001..=1.0).contains(x)));
        assert!((share(&ratio, &|x| x < 0.01) - 1.0 / 3.0).abs() < 0.055);
        assert!(points.iter().all(|p| p[3].trim_start_matches(['0', '.']).len() <= 4), "four digits");
        assert_eq!(space.random(7, 5).unwrap(), points[..7]);
        assert_ne!(space.random(7, 6).unwrap(), points[..7]);
    }

    #[test]
    fn no_point_is_tried_twice() {
        let few = space(&["a=1,2,3", "b=1..3"]);
        let points = few.random(9, 1).unwrap();
        assert_eq!(points.iter().collect::<BTreeSet<_>>().len(), points.len());
        assert_eq!(points.len(), 9);
        assert_eq!(few.random(100, 1).unwrap().len(), 9);
        let lists = space(&["a=1,2,3", "b=1,2"]);
        assert_eq!(lists.random(6, 1).unwrap(), lists.grid().unwrap());
        assert_eq!(lists.random(5, 1).unwrap().len(), 5);
    }

    #[test]
    fn other_forms_are_refused_with_those_that_are_accepted() {
        for (text, part) in [
            ("alpha", "key=a,b,c"),
            ("alpha=", "empty"),
            ("alpha=1,,2", "empty"),
            ("alpha=1,2,1", "\"1\" is there twice"),
            ("alpha=2..1", "lower end"),
            ("alpha=1..1", "lower end"),
            ("alpha=0..1:log", "above 0"),
            ("alpha=1..2:lin", "\"lin\""),
            ("alpha=a..2", "\"a\" is not a number"),
            ("alpha=1..inf", "\"inf\" is not a number"),
        ] {
            let message = Space::parse(&[text]).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("low..high:log"), "{text}: {message}");
        }
        assert!(Space::parse::<&str>(&[]).is_err());
        assert!(Space::parse(&["a=1", "a=2"]).unwrap_err().to_string().contains("twice"));
        assert!(space(&["a=1..2"]).random(0, 0).is_err());
    }
}
