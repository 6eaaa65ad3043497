//! A decision tree as it is shown to people, whichever family grew it: questions, answers, rows; as indented text.

use crate::{Field, Kind, Task};
use std::fmt::Write as _;

/// A tree with the names of its columns and classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// The columns it asks about.
    pub inputs: Vec<Field>,
    /// For each of them the categories of its dictionary that training did not see, by their places, ascending; none of numbers.
    pub unseen: Vec<Vec<usize>>,
    /// What its answers mean.
    pub task: Task,
    /// The root, then each node before those below it.
    pub nodes: Vec<Node>,
}

/// A node of an outline.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Training rows that came here.
    pub rows: u64,
    /// Their weight.
    pub weight: f64,
    /// What it would answer as a leaf: a number, one for each of several targets, or the shares of classes.
    pub values: Vec<f64>,
    /// Where rows go; `None` in leaves.
    pub split: Option<Split>,
}

/// A question and where its answers lead.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The input that is asked about.
    pub feature: usize,
    /// The question.
    pub question: Question,
    /// Whether missing values go left.
    pub missing_left: bool,
    /// Whether categories that training did not see go left; `None` where they go where missing values go, and of numbers.
    pub unseen_left: Option<bool>,
    /// The node of rows that pass.
    pub left: usize,
    /// The node of the others.
    pub right: usize,
}

/// What rows pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Numbers up to this one; all that are not missing where it is infinite.
    UpTo(f64),
    /// These categories that training saw, by their places in the dictionary.
    OneOf(Vec<usize>),
}

/// Categories and targets that are named, of more the first.
const NAMED: usize = 10;
/// Levels that are indented; below them the level is written as a number, as a chain of 100,000 splits would take 20 GB of blanks.
const INDENTED: usize = 40;

impl Outline {
    /// The question of a split in words, such as `age <= 30.5`; `number` writes numbers.
    pub fn question(&self, split: &Split, number: impl Fn(f64) -> String) -> String {
        let name = self.name(split.feature);
        match &split.question {
            Question::UpTo(f64::INFINITY) => format!("{name} is there"),
            Question::UpTo(_) if self.is_boolean(split) => format!("{name} is false"),
            Question::UpTo(threshold) => format!("{name} <= {}", number(*threshold)),
            Question::OneOf(_) => format!("{name} in {}", self.categories(split)),
        }
    }

    /// The answer of a node in words: the number, those of several targets, or the most frequent class (of equals the first) and its
    /// share.
    pub fn answer(&self, node: usize, number: impl Fn(f64) -> String) -> String {
        self.answers(node, number).join(", ")
    }

    /// As [`Outline::answer`], in parts: one for each of several targets, of many for the first ten and how many more there are.
    pub fn answers(&self, node: usize, number: impl Fn(f64) -> String) -> Vec<String> {
        let values = &self.nodes[node].values;
        match &self.task {
            Task::Classification { classes } => {
                let best = self.class(node).unwrap_or(0);
                let share = values.get(best).copied().unwrap_or(f64::NAN);
                vec![format!("{:?} {share:.3}", classes.get(best).map_or("", String::as_str))]
            }
            Task::Outputs { names } => {
                let answer =
                    |(name, value): (&String, &f64)| format!("{} {}", printable(name), number(*value));
                let mut answers: Vec<String> = names.iter().zip(values).take(NAMED).map(answer).collect();
                if values.len() > NAMED {
                    answers.push(format!("{} more", values.len() - NAMED));
                }
                answers
            }
            _ => values.first().map(|value| number(*value)).into_iter().collect(),
        }
    }

    /// The most frequent class of a node, of equals the first; `None` where numbers are predicted.
    pub fn class(&self, node: usize) -> Option<usize> {
        let values = &self.nodes[node].values;
        let classes = matches!(self.task, Task::Classification { .. }).then_some(0..values.len())?;
        classes.rev().max_by(|&a, &b| values[a].total_cmp(&values[b]))
    }

    /// How many nodes are below each.
    pub fn below(&self) -> Vec<usize> {
        let mut below = vec![0; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev() {
            if let Some(Split { left, right, .. }) = node.split {
                below[at] = 2 + below[left] + below[right];
            }
        }
        below
    }

    /// The tree as indented text: a line for each node, left before right; from 40 questions on their number stands before the
    /// line, which is indented no further. What is below `depth` questions is counted, and
    /// so is what comes after `most` lines.
    pub fn text(&self, depth: Option<usize>, most: usize) -> String {
        let below = self.below();
        let mut text = String::new();
        let (mut lines, mut left_out) = (0, 0);
        let mut next = vec![(0, 0)];
        while let Some((at, level)) = next.pop() {
            if lines == most {
                let _ = writeln!(text, "  and {} nodes more", self.nodes.len() - lines - left_out);
                break;
            }
            lines += 1;
            let (node, before) = (&self.nodes[at], indent(level));
            let what = match &node.split {
                None => self.answer(at, |x| x.to_string()),
                Some(split) => {
                    let unseen =
                        split.unseen_left.map_or(String::new(), |left| format!(", unseen {}", side(left)));
                    let question = self.question(split, |x| x.to_string());
                    format!("{question}, missing {}{unseen}", side(split.missing_left))
                }
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{before}{what} ({} rows)", node.rows);
            match &node.split {
                Some(_) if depth == Some(level) => {
                    left_out += below[at];
                    let answer = self.answer(at, |x| x.to_string());
                    let _ =
                        writeln!(text, "{}... {} nodes more, {answer} in all", indent(level + 1), below[at]);
                }
                Some(split) => next.extend([(split.right, level + 1), (split.left, level + 1)]),
                None => {}
            }
        }
        text
    }

    /// The way of a row of cells in words, a line for each node it comes through, which `path` names: what it was asked, what
    /// it answered, and what the leaf says.
    pub fn way(&self, row: &[f64], path: &[usize]) -> Vec<String> {
        let step = |(at, next): (&usize, Option<&usize>)| {
            let node = &self.nodes[*at];
            let (Some(split), Some(next)) = (&node.split, next) else {
                return format!("leaf: {} ({} rows)", self.answer(*at, |x| x.to_string()), node.rows);
            };
            let (name, x) = (self.name(split.feature), row[split.feature]);
            let passes = *next == split.left;
            let side = side(passes);
            let missing = format!("{side}, where missing values go");
            match &split.question {
                _ if x.is_nan() => format!("{name} is missing: {missing}"),
                Question::UpTo(_) if self.is_boolean(split) => format!("{name} is {}: {side}", !passes),
                Question::UpTo(f64::INFINITY) => format!("{name} = {x} is there: {side}"),
                Question::UpTo(threshold) => {
                    format!("{name} = {x} {} {threshold}: {side}", if passes { "<=" } else { ">" })
                }
                Question::OneOf(_) => {
                    let place = (x >= 0.0).then_some(x as usize);
                    let saw =
                        place.is_some_and(|place| self.unseen[split.feature].binary_search(&place).is_err());
                    let unseen = match split.unseen_left {
                        Some(_) => format!("{side}, with the majority"),
                        None => missing,
                    };
                    match place.and_then(|place| self.category(split.feature, place)) {
                        Some(text) if saw => {
                            let not = if passes { "" } else { "not " };
                            format!("{name} = {text:?} is {not}in {}: {side}", self.categories(split))
                        }
                        Some(text) => format!("{name} = {text:?} was not in training: {unseen}"),
                        None => format!("{name} is a category that was not in training: {unseen}"),
                    }
                }
            }
        };
        path.iter().zip(path.iter().skip(1).map(Some).chain([None])).map(step).collect()
    }

    /// Whether false and true part at a split.
    fn is_boolean(&self, split: &Split) -> bool {
        let parts = matches!(split.question, Question::UpTo(threshold) if (0.0..1.0).contains(&threshold));
        parts && self.inputs[split.feature].kind == Kind::Boolean
    }

    fn name(&self, feature: usize) -> String {
        printable(&self.inputs[feature].name)
    }

    fn category(&self, feature: usize, place: usize) -> Option<&str> {
        match &self.inputs[feature].kind {
            Kind::Categorical { dictionary } => dictionary.get(place).map(String::as_str),
            _ => None,
        }
    }

    fn categories(&self, split: &Split) -> String {
        let Question::OneOf(places) = &split.question else { return String::new() };
        let name = |place: &usize| format!("{:?}", self.category(split.feature, *place).unwrap_or_default());
        let mut names: Vec<String> = places.iter().take(NAMED).map(name).collect();
        if places.len() > NAMED {
            names.push(format!("{} more", places.len() - NAMED));
        }
        format!("{{{}}}", names.join(", "))
    }
}

/// A name as a terminal or a picture may show it: names come from files, so control characters are shown as U+FFFD, not obeyed.
pub fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// What stands before a line, by the questions above it.
fn indent(level: usize) -> String {
    let blanks = "  ".repeat(level.min(INDENTED) + 1);
    if level < INDENTED { blanks } else { format!("{blanks}{level}: ") }
}

/// The side of rows that pass, or of the others.
fn side(left: bool) -> &'static str {
    if left { "left" } else { "right" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(rows: u64, values: &[f64]) -> Node {
        Node { rows, weight: rows as f64, values: values.to_vec(), split: None }
    }

    fn split(feature: usize, question: Question, missing_left: bool, left: usize, right: usize) -> Split {
        Split { feature, question, missing_left, unseen_left: None, left, right }
    }

    /// age <= 30.5, then colours on the left; whether there is an age on the right.
    fn outline() -> Outline {
        let field = |name: &str, kind| Field { name: name.into(), kind };
        let dictionary = ["blue", "green", "red"].map(String::from).to_vec();
        let root = split(0, Question::UpTo(30.5), false, 1, 4);
        let colours = split(1, Question::OneOf(vec![0, 2]), true, 2, 3);
        let there = split(0, Question::UpTo(f64::INFINITY), false, 5, 6);
        Outline {
            inputs: vec![field("age", Kind::Numeric), field("colour", Kind::Categorical { dictionary })],
            unseen: vec![vec![], vec![]],
            task: Task::Classification { classes: vec!["no".into(), "yes".into()] },
            nodes: vec![
                Node { split: Some(root), ..leaf(10, &[0.5, 0.5]) },
                Node { split: Some(colours), ..leaf(6, &[0.25, 0.75]) },
                leaf(4, &[0.0, 1.0]),
                leaf(2, &[0.75, 0.25]),
                Node { split: Some(there), ..leaf(4, &[0.875, 0.125]) },
                leaf(3, &[1.0, 0.0]),
                leaf(1, &[0.5, 0.5]),
            ],
        }
    }

    #[test]
    fn text_is_indented_and_what_it_leaves_out_is_counted() {
        let outline = outline();
        let whole = "  age <= 30.5, missing right (10 rows)
    colour in {\"blue\", \"red\"}, missing left (6 rows)
      \"yes\" 1.000 (4 rows)
      \"no\" 0.750 (2 rows)
    age is there, missing right (4 rows)
      \"no\" 1.000 (3 rows)
      \"no\" 0.500 (1 rows)
";
        assert_eq!(outline.text(None, 7), whole);
        assert_eq!(outline.text(Some(2), 100), whole);
        let first: String = whole.split_inclusive('\n').take(3).collect();
        assert_eq!(outline.text(None, 3), first + "  and 4 nodes more\n");
        let root = "  age <= 30.5, missing right (10 rows)\n    ... 6 nodes more, \"no\" 0.500 in all\n";
        assert_eq!(outline.text(Some(0), 100), root);
        // Two lines, two nodes below the second, and three more.
        assert!(outline.text(Some(1), 2).ends_with("  and 3 nodes more\n"));
        assert_eq!(outline.below(), [6, 2, 0, 0, 2, 0, 0]);
    }

    #[test]
    fn deep_levels_are_numbered() {
        let there = |at: usize| split(0, Question::UpTo(f64::INFINITY), false, at + 1, at + 2);
        let node = |at: usize| match at.is_multiple_of(2) && at < 6000 {
            true => Node { split: Some(there(at)), ..leaf(1, &[1.0, 0.0]) },
            false => leaf(1, &[1.0, 0.0]),
        };
        let chain = Outline { nodes: (0..=6000).map(node).collect(), ..outline() };
        let text = chain.text(None, usize::MAX);
        let lines: Vec<&str> = text.lines().collect();
        let at = |level: usize| lines[2 * level];
        assert!(at(39).starts_with(&("  ".repeat(40) + "age is there")), "{}", at(39));
        assert!(at(40).starts_with(&("  ".repeat(41) + "40: age is there")), "{}", at(40));
        assert!(at(3000).starts_with(&("  ".repeat(41) + "3000: \"no\"")), "{}", at(3000));
        assert!(lines.len() == 6001 && lines.iter().all(|line| line.len() < 150));
        let cut = chain.text(Some(39), usize::MAX);
        assert!(cut.contains(&("\n".to_owned() + &"  ".repeat(41) + "40: ... 5922 nodes more")), "{cut}");
    }

    #[test]
    fn a_way_tells_what_was_answered() {
        let outline = outline();
        let way = |row: [f64; 2], path: &[usize]| outline.way(&row, path).join("; ");
        assert_eq!(
            way([30.5, 2.0], &[0, 1, 2]),
            "age = 30.5 <= 30.5: left; colour = \"red\" is in {\"blue\", \"red\"}: left; leaf: \"yes\" 1.000 (4 rows)"
        );
        assert!(
            way([3.0, 1.0], &[0, 1, 3]).contains("colour = \"green\" is not in {\"blue\", \"red\"}: right")
        );
        assert!(way([3.0, -1.0], &[0, 1, 2]).contains("colour is a category that was not in training: left"));
        assert!(
            way([3.0, f64::NAN], &[0, 1, 2]).contains("colour is missing: left, where missing values go")
        );
        assert!(way([31.0, 0.0], &[0, 4, 5]).starts_with("age = 31 > 30.5: right; age = 31 is there: left"));
    }

    #[test]
    fn categories_that_training_did_not_see_go_with_missing_values_or_the_majority() {
        // Nothing in training was green, which the dictionary has; -1 and 3 it lacks.
        let mut outline = outline();
        outline.unseen[1] = vec![1];
        let way = |outline: &Outline, colour: f64, to: usize| {
            outline.way(&[3.0, colour], &[0, 1, to]).swap_remove(1).replace("colour", "")
        };
        let asked = |outline: &Outline| outline.text(None, 9).lines().nth(1).unwrap().trim().to_owned();
        for (unseen_left, to, end) in [
            (None, 2, "left, where missing values go"),
            (Some(true), 2, "left, with the majority"),
            (Some(false), 3, "right, with the majority"),
        ] {
            let colours = outline.nodes[1].split.as_mut().unwrap();
            colours.unseen_left = unseen_left;
            assert_eq!(way(&outline, 1.0, to), format!(" = \"green\" was not in training: {end}"));
            for none in [-1.0, 3.0] {
                assert_eq!(
                    way(&outline, none, to),
                    format!(" is a category that was not in training: {end}")
                );
            }
            // Where it is missing, or was seen, is told as ever.
            assert_eq!(way(&outline, f64::NAN, 2), " is missing: left, where missing values go");
            assert_eq!(way(&outline, 2.0, 2), " = \"red\" is in {\"blue\", \"red\"}: left");
            let behind = unseen_left.map_or("", |left| if left { ", unseen left" } else { ", unseen right" });
            assert_eq!(
                asked(&outline),
                format!("colour in {{\"blue\", \"red\"}}, missing left{behind} (6 rows)")
            );
        }
        // Where missing values go right, so does green, which is no colour beside the set.
        let colours = outline.nodes[1].split.as_mut().unwrap();
        (colours.missing_left, colours.unseen_left) = (false, None);
        assert_eq!(way(&outline, 1.0, 3), " = \"green\" was not in training: right, where missing values go");
    }

    #[test]
    fn booleans_are_true_or_false() {
        let mut outline = outline();
        outline.inputs[0] = Field { name: "member".into(), kind: Kind::Boolean };
        let asked = |outline: &Outline| outline.text(Some(0), 1).lines().next().unwrap().to_owned();
        // Only between false and true are they parted.
        assert!(asked(&outline).contains("member <= 30.5, missing right"), "{}", asked(&outline));
        outline.nodes[0].split = Some(split(0, Question::UpTo(0.5), false, 1, 4));
        assert!(asked(&outline).contains("member is false, missing right"), "{}", asked(&outline));
        assert!(outline.way(&[1.0, 0.0], &[0, 4, 5])[0] == "member is true: right");
        assert!(outline.way(&[0.0, 0.0], &[0, 1, 2])[0] == "member is false: left");
        assert!(outline.way(&[f64::NAN, 0.0], &[0, 4, 5])[0].starts_with("member is missing: right"));
    }

    #[test]
    fn several_numbers_are_named() {
        let mut outline = outline();
        let names = |count: usize| (0..count).map(|i| format!("t{i}\n")).collect();
        outline.task = Task::Outputs { names: names(2) };
        assert_eq!(outline.answer(3, |x| x.to_string()), "t0\u{FFFD} 0.75, t1\u{FFFD} 0.25");
        assert_eq!(outline.class(3), None);
        outline.task = Task::Outputs { names: names(12) };
        outline.nodes[3].values = (0..12).map(f64::from).collect();
        let answer = outline.answer(3, |x| x.to_string());
        assert!(answer.starts_with("t0\u{FFFD} 0, ") && answer.ends_with("t9\u{FFFD} 9, 2 more"), "{answer}");
    }

    #[test]
    fn long_sets_and_hostile_names_are_cut() {
        let mut outline = outline();
        outline.inputs[0].name = "a\nb".into();
        let dictionary = (0..20).map(|i| format!("{i:02}")).collect();
        outline.inputs[1].kind = Kind::Categorical { dictionary };
        let many = split(1, Question::OneOf((3..15).collect()), false, 2, 3);
        let text = outline.question(&many, |x| x.to_string());
        assert!(text.starts_with("colour in {\"03\", ") && text.ends_with("\"12\", 2 more}"), "{text}");
        let up = split(0, Question::UpTo(0.5), false, 1, 2);
        assert_eq!(outline.question(&up, |x| format!("{x:.2}")), "a\u{FFFD}b <= 0.50");
    }
}
