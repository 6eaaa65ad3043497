//! Models of tables in pieces against those of one memory.

use super::*;
use crate::{load_bytes, train};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tilewise_base::{Column, Context, Dataset, MISSING_CODE, StoredTable};

/// Numbers of both widths with missing ones, text, a flag, weights, and targets of all kinds.
fn table(rows: usize) -> Dataset {
    let noise = |row: usize, of: usize| ((row * 7919 + of * 104_729) % 1009) as f64 / 1009.0;
    let column = |f: &dyn Fn(usize) -> f64| (0..rows).map(f).collect::<Vec<f64>>();
    let x = column(&|i| if i % 11 == 3 { f64::NAN } else { (noise(i, 1) * 40.0).floor() });
    let single = (0..rows).map(|i| noise(i, 2) as f32).collect::<Vec<f32>>();
    let codes = (0..rows).map(|i| if i % 13 == 5 { MISSING_CODE } else { ((i / 3 + i / 7) % 4) as u32 });
    let dictionary = ["a", "b", "c", "ü"].map(str::to_owned).to_vec();
    let flag: Vec<Option<bool>> = (0..rows).map(|i| (i % 5 != 0).then_some(i % 3 == 0)).collect();
    let y = column(&|i| (noise(i, 1) * 8.0).floor() + noise(i, 3) + f64::from(u8::from(i % 3 == 0)) + 0.25);
    let words = (0..rows).map(|i| (y[i] > 4.0) as u32 + u32::from(i % 17 == 0)).collect::<Vec<u32>>();
    let classes = ["no", "perhaps", "yes"].map(str::to_owned).to_vec();
    let weight = column(&|i| [1.0, 0.5, 0.0, 2.25][i % 4]);
    let id = column(&|i| i as f64);
    Dataset::new(vec![
        ("x".into(), Column::F64(x.into())),
        ("single".into(), Column::F32(single.into())),
        ("word".into(), Column::Categorical { codes: codes.collect::<Vec<u32>>().into(), dictionary }),
        ("flag".into(), Column::Boolean(flag.into())),
        ("y".into(), Column::F64(y.into())),
        ("class".into(), Column::Categorical { codes: words.into(), dictionary: classes }),
        ("w".into(), Column::F64(weight.into())),
        ("id".into(), Column::F64(id.into())),
    ])
    .unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tilewise-pieces-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The rows of a range, with dictionaries of the values that they have.
fn part_of(table: &Dataset, rows: Range<usize>) -> Dataset {
    let part = table.take(&rows.collect::<Vec<_>>());
    let column = |column: &Column| match column {
        Column::Categorical { codes, dictionary } => {
            let mut has: Vec<u32> = codes.iter().copied().filter(|&code| code != MISSING_CODE).collect();
            has.sort_unstable();
            has.dedup();
            let place = |code: &u32| has.binary_search(code).map_or(MISSING_CODE, |place| place as u32);
            let codes: Vec<u32> = codes.iter().map(place).collect();
            let dictionary = has.iter().map(|&code| dictionary[code as usize].clone()).collect();
            Column::Categorical { codes: codes.into(), dictionary }
        }
        column => column.clone(),
    };
    let columns = part.names().iter().cloned().zip(part.columns().iter().map(column));
    Dataset::new(columns.collect()).unwrap()
}

const NAMES: [&str; 4] = ["x", "single", "word", "flag"];

/// Trains on pieces that are stored; `lose` says in which rounds the first of them is opened anew, as another process would.
fn in_pieces(
    family: &str,
    settings: &Settings,
    roles: &Roles,
    seed: u64,
    pieces: &[(u64, PathBuf)],
    lose: impl Fn(usize) -> bool,
) -> Result<Vec<u8>> {
    let open = |path: &Path| StoredTable::open(path).unwrap();
    let mut tables: Vec<(u64, StoredTable)> =
        pieces.iter().map(|(number, path)| (*number, open(path))).collect();
    let mut trainer = trainer(family, settings, NAMES.map(str::to_owned).to_vec(), roles, seed)?;
    let mut round = 0;
    while let Some(request) = trainer.request()? {
        if lose(round) {
            tables[0].1 = open(&pieces[0].1);
        }
        let answer = |(number, table): &(u64, StoredTable)| piece(&request, Piece { table, number: *number });
        trainer.advance(&tables.iter().map(answer).collect::<Result<Vec<_>>>()?)?;
        round += 1;
    }
    trainer.finish()?.to_bytes()
}

/// The model of one memory, which is to have the same columns.
fn in_memory(family: &str, settings: &Settings, roles: &Roles, seed: u64, table: &Dataset) -> Vec<u8> {
    let used = [&NAMES[..], &["y", "class", "w"]].concat();
    let used = table.names().iter().zip(table.columns()).filter(|(name, _)| used.contains(&name.as_str()));
    let table = Dataset::new(used.map(|(name, column)| (name.clone(), column.clone())).collect()).unwrap();
    let other = if roles.targets[0] == "y" { "class" } else { "y" };
    let mut roles = Roles { ignore: vec![other.into()], ..roles.clone() };
    if roles.weight.is_none() && roles.offset.is_none() {
        roles.ignore.push("w".into());
    }
    let context = Context { seed, ..Context::default() };
    train(family, &table, &roles, settings, &context).unwrap().to_bytes().unwrap()
}

fn settings(text: &str) -> Settings {
    text.split_whitespace().fold(Settings::default(), |all, word| {
        let (key, value) = word.split_once('=').unwrap();
        all.with(key, value)
    })
}

#[test]
fn trees_of_pieces_are_those_of_memory_byte_for_byte() {
    let folder = folder("trees");
    let all = table(700);
    let store = |name: &str, rows: Range<usize>| {
        let path = folder.join(name);
        StoredTable::create(&path, &part_of(&all, rows)).unwrap();
        path
    };
    let whole = vec![(0, store("whole.part", 0..700))];
    // One piece has one row, one none; numbers have gaps.
    let cut = [(1, 0..1), (3, 1..300), (4, 300..300), (9, 300..700)];
    let cut: Vec<_> =
        cut.into_iter().map(|(number, rows)| (number, store(&format!("{number}.part"), rows))).collect();
    // Rows know their numbers, and pieces come in another order.
    let numbered = |name: &str, rows: Range<usize>| {
        let path = folder.join(name);
        let mut order: Vec<usize> = rows.collect();
        order.reverse();
        let piece = StoredTable::create_numbered(&path, &all.take(&order), "id").unwrap().unwrap();
        assert_eq!(piece.first(), order.last().map(|&row| row as u64));
        path
    };
    let numbered = vec![(5, numbered("b.part", 250..700)), (7, numbered("a.part", 0..250))];
    for (family, target, weight, of) in [
        ("tree", "class", Some("w"), "max_depth=5"),
        ("tree", "y", None, "max_features=2 max_leaves=9"),
        ("forest", "class", None, "trees=5 max_depth=6"),
        ("forest", "y", Some("w"), "trees=40 max_leaves=8"),
        ("extra-trees", "y", None, "trees=3 max_depth=4"),
        ("gbdt", "class", Some("w"), "stages=4 max_leaves=6"),
        ("gbdt", "y", None, "stages=12 subsample=0.7 early_stopping=3 monotone=x:up"),
        ("gbdt", "y", None, "stages=3 loss=gamma task=regression"),
    ] {
        let (roles, settings) =
            (Roles { weight: weight.map(str::to_owned), ..Roles::target(target) }, settings(of));
        let memory = in_memory(family, &settings, &roles, 7, &all);
        let what = format!("{family} {target} {of}");
        for pieces in [&whole, &cut, &numbered] {
            let bytes = in_pieces(family, &settings, &roles, 7, pieces, |_| false).unwrap();
            assert!(bytes == memory, "{what}, {} pieces", pieces.len());
        }
        let lost = in_pieces(family, &settings, &roles, 7, &cut, |round| round % 5 >= 3).unwrap();
        assert!(lost == memory, "{what}, pieces lost");
        assert_eq!(load_bytes(&memory).unwrap().kind(), family);
    }
    let offset = Roles { offset: Some("w".into()), ..Roles::target("y") };
    let settings = settings("stages=3");
    let memory = in_memory("gbdt", &settings, &offset, 7, &all);
    assert!(in_pieces("gbdt", &settings, &offset, 7, &cut, |_| false).unwrap() == memory);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn families_that_are_trained_on_pieces_give_their_model() {
    let folder = folder("families");
    let path = folder.join("0.part");
    let all = table(90);
    StoredTable::create(&path, &all).unwrap();
    let mut tried = Vec::new();
    for family in FAMILIES.iter().filter(|family| family.pieces.is_some()) {
        let (roles, settings) =
            (Roles::target(if family.name == "logistic" { "class" } else { "y" }), Settings::default());
        let bytes = in_pieces(family.name, &settings, &roles, 0, &[(0, path.clone())], |_| false).unwrap();
        assert_eq!(bytes, in_memory(family.name, &settings, &roles, 0, &all), "{}", family.name);
        tried.push(family.name);
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let linear = ["linear", "ridge", "logistic", "poisson", "gamma", "tweedie", "huber"];
    assert_eq!(tried, [&linear[..], &["tree", "forest", "extra-trees", "gbdt"]].concat());
}

#[test]
fn pieces_that_do_not_belong_together_are_refused() {
    let folder = folder("refused");
    let all = table(60);
    let with = |name: &str, column: Column| {
        let columns = all.names().iter().cloned().zip(all.columns().iter().cloned());
        let changed = columns.map(|(n, c)| if n == name { (n, column.clone()) } else { (n, c) });
        Dataset::new(changed.collect()).unwrap()
    };
    let numbers = || Column::F64(vec![1.0; 60].into());
    let told = |other: &Dataset, target: &str, number: u64, of: &str| {
        let (a, b) = (folder.join("a.part"), folder.join("b.part"));
        StoredTable::create(&a, &all).unwrap();
        StoredTable::create(&b, other).unwrap();
        let error =
            in_pieces("gbdt", &settings(of), &Roles::target(target), 0, &[(0, a), (number, b)], |_| false);
        error.unwrap_err().to_string()
    };
    assert!(told(&with("word", numbers()), "y", 1, "").contains("input 2 is"));
    assert!(told(&with("class", numbers()), "class", 1, "").contains("number in one piece"));
    assert!(told(&with("y", Column::F64(vec![f64::NAN; 60].into())), "y", 1, "").contains("\"y\""));
    assert!(told(&with("y", Column::F64(vec![-1.0; 60].into())), "y", 1, "loss=poisson").contains("\"y\""));
    assert!(told(&all, "y", 0, "").contains("two pieces of the table have number 0"));
    assert!(told(&all, "y", 1, "growth=oblivious").contains("oblivious"));
    let numbered = folder.join("numbered.part");
    StoredTable::create_numbered(&numbered, &all, "id").unwrap().unwrap();
    let pieces = [(0, numbered.clone()), (1, folder.join("b.part"))];
    let tell = |pieces: &[(u64, PathBuf)]| {
        in_pieces("gbdt", &Settings::default(), &Roles::target("y"), 0, pieces, |_| false)
            .unwrap_err()
            .to_string()
    };
    assert!(tell(&pieces).contains("others do not"), "{}", tell(&pieces));
    // The same rows twice.
    let pieces = [(0, numbered.clone()), (1, numbered)];
    assert!(tell(&pieces).contains("row 0 where row 60"), "{}", tell(&pieces));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_query_in_two_pieces_is_refused() {
    let folder = folder("queries");
    let all = table(60);
    let of = |start: usize, text: bool| {
        let number = |row: usize| ((row + start) / 20).to_string();
        let names: Vec<String> = (0..60).map(number).collect();
        let query = if text {
            let mut dictionary = names.clone();
            dictionary.sort_unstable();
            dictionary.dedup();
            let code = |name: &String| dictionary.iter().position(|other| other == name).unwrap() as u32;
            Column::Categorical { codes: names.iter().map(code).collect::<Vec<_>>().into(), dictionary }
        } else {
            Column::F64(names.iter().map(|name| name.parse().unwrap()).collect::<Vec<f64>>().into())
        };
        let relevance = Column::F64((0..60).map(|row| f64::from(row % 3)).collect::<Vec<f64>>().into());
        let columns = all.names().iter().cloned().zip(all.columns().iter().cloned());
        let more = [("query".to_owned(), query), ("relevance".to_owned(), relevance)];
        Dataset::new(columns.chain(more).collect()).unwrap()
    };
    let roles = Roles { group: Some("query".into()), ..Roles::target("relevance") };
    for text in [true, false] {
        let tell = |starts: [usize; 2]| {
            let pieces = [0, 1].map(|i| {
                let path = folder.join(format!("{i}.part"));
                StoredTable::create(&path, &of(starts[i], text)).unwrap();
                (i as u64, path)
            });
            let settings = settings("loss=lambda_rank stages=2");
            in_pieces("gbdt", &settings, &roles, 0, &pieces, |_| false).err().map(|e| e.to_string())
        };
        assert_eq!(tell([0, 60]), None);
        // Query 2 ends the first piece and begins the second; and query 0 comes back.
        for starts in [[0, 40], [0, 0]] {
            let message = tell(starts).unwrap_or_default();
            assert!(
                message.contains("\"query\"") && message.contains("one query in two pieces"),
                "{message}"
            );
        }
    }
    let without = Roles { group: None, ..roles };
    let ranks = settings("loss=lambda_rank");
    let refused = trainer("gbdt", &ranks, vec!["x".into()], &without, 0).err().unwrap().to_string();
    assert!(refused.contains("a group column"), "{refused}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn others_are_refused_by_name() {
    let told = |name: &str, settings: &Settings, inputs: &[&str]| {
        let inputs = inputs.iter().map(ToString::to_string).collect();
        let trainer = trainer(name, settings, inputs, &Roles::target("y"), 0);
        trainer.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let none = Settings::default();
    assert!(told("network", &none, &["x"]).contains("of pieces are trained linear, ridge, logistic"));
    assert!(told("lasso", &none, &["x"]).contains("lasso"));
    assert!(told("lineal", &none, &["x"]).contains("lineal"));
    assert!(told("linear", &none, &[]).contains("no column is left"));
    assert!(told("linear", &none.clone().with("errors", "classical"), &["x"]).contains("errors"));
    assert!(told("linear", &none.clone().with("solver", "gradient-descent"), &["x"]).contains("one memory"));
    assert!(told("linear", &none.clone().with("alpha", 1), &["x"]).contains("alpha"));
    assert!(told("gbdt", &none.with("monotone", "z:up"), &["x"]).contains("the name of an input is: x"));
    let offset = Roles { offset: Some("o".into()), ..Roles::target("y") };
    let refused = trainer("forest", &Settings::default(), vec!["x".into()], &offset, 0);
    assert!(refused.err().unwrap().to_string().contains("no linear predictor"));
}
