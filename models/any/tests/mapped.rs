//! A model whose file is mapped is the model that is read: it predicts the same bits, tells the same and stores the same bytes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tilewise_base::model_file::ModelFile;
use tilewise_base::{Column, Context, Dataset, Model, Roles, predict_dataset};
use tilewise_kernels::random::Philox;
use tilewise_models::{Settings, load, map, train};

const ROWS: usize = 700;

/// Two numbers, one of them missing now and then, a category, and targets of each kind.
fn table() -> Dataset {
    let random = Philox::new(11, 0);
    let draw = |at: usize, below: u64| random.below(at as u64, below);
    let x: Vec<f64> = (0..ROWS).map(|i| draw(i, 1000) as f64 / 8.0).collect();
    let z: Vec<f64> =
        (0..ROWS).map(|i| if draw(ROWS + i, 9) == 0 { f64::NAN } else { x[(i * 7) % ROWS] }).collect();
    let word: Vec<u32> = (0..ROWS).map(|i| draw(2 * ROWS + i, 5) as u32).collect();
    let y: Vec<f64> = (0..ROWS)
        .map(|i| (x[i] / 9.0).sin() + f64::from(word[i] % 2) + draw(3 * ROWS + i, 8) as f64 / 9.0)
        .collect();
    let of_three: Vec<u32> = y.iter().map(|y| (y * 1.4) as u32 % 3).collect();
    let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
    let dictionary = names(&["a", "b", "c", "d", "e"]);
    Dataset::new(vec![
        ("x".into(), Column::F64(x.into())),
        ("z".into(), Column::F64(z.into())),
        ("word".into(), Column::Categorical { codes: word.into(), dictionary }),
        (
            "class".into(),
            Column::Categorical { codes: of_three.into(), dictionary: names(&["one", "three", "two"]) },
        ),
        ("y".into(), Column::F64(y.into())),
    ])
    .unwrap()
}

/// A folder that is gone when the test is.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tilewise-mapped-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file, which nobody may write to afterwards.
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        read_only(&path, true);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read_only(path: &Path, yes: bool) {
    fs::set_permissions(path, Permissions::from_mode(if yes { 0o444 } else { 0o644 })).unwrap();
}

fn trained(family: &str, target: &str, settings: Settings, table: &Dataset) -> Box<dyn Model> {
    let drop = if target == "y" { "class" } else { "y" };
    let roles = Roles { ignore: vec![drop.into()], ..Roles::target(target) };
    train(family, table, &roles, &settings, &Context::default()).unwrap()
}

#[test]
fn mapped_models_are_those_that_are_read() {
    let (table, folder) = (table(), Folder::new("models"));
    let with = |pairs: &[(&str, &str)]| {
        pairs.iter().fold(Settings::default(), |all, (key, value)| all.with(key, value))
    };
    for (family, target, settings) in [
        ("tree", "class", with(&[])),
        ("tree", "y", with(&[("max_depth", "5")])),
        ("forest", "class", with(&[("trees", "7")])),
        ("forest", "y", with(&[("trees", "4"), ("quantiles", "0.1,0.9")])),
        ("extra-trees", "y", with(&[("trees", "5")])),
        ("gbdt", "class", with(&[("stages", "6")])),
        ("gbdt", "y", with(&[("stages", "9")])),
        ("ridge", "y", with(&[])),
    ] {
        let model = trained(family, target, settings, &table);
        let path = folder.write("model", &model.to_bytes().unwrap());
        let (read, mapped) = (load(&path).unwrap(), map(&path).unwrap());
        // One row takes another way than many.
        for rows in [1, ROWS] {
            let some = table.take(&(0..rows).collect::<Vec<_>>());
            let predicted = |model: &dyn Model| predict_dataset(model, &some, None).unwrap();
            let bits = |model| predicted(model).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&*mapped), bits(&*read), "{family} {target} {rows}");
        }
        assert_eq!(mapped.describe(), read.describe());
        // What is explained is read when it is asked.
        let outline = |model: &dyn Model| model.outline(0).map(|outline| format!("{outline:?}")).ok();
        assert_eq!(outline(&*mapped), outline(&*read));
        // The file has besides what its writer adds.
        let told = ModelFile::load(&path).unwrap().all_metadata();
        let said = mapped.metadata().unwrap();
        assert!(said.as_object().unwrap().iter().all(|(key, said)| *said == told[key]), "{said} {told}");
        let added = |key: &&String| said[key.as_str()].is_null() && !told[key.as_str()].is_null();
        assert!(told.as_object().unwrap().keys().filter(added).all(|key| key == "format" || key == "kind"));
        assert!(mapped.to_bytes().unwrap() == fs::read(&path).unwrap(), "{family} {target}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_may_change_is_not_mapped() {
    let folder = Folder::new("refused");
    let bytes = trained("tree", "y", Settings::default(), &table()).to_bytes().unwrap();
    let path = folder.write("model", &bytes);
    assert!(ModelFile::map(&path).unwrap().is_mapped() && !ModelFile::load(&path).unwrap().is_mapped());
    read_only(&path, false);
    let message = map(&path).err().unwrap().to_string();
    assert!(message.contains("chmod a-w") && message.contains("model"), "{message}");
    let refused = |name: &str, bytes: &[u8]| map(folder.write(name, bytes)).err().unwrap().to_string();
    let message = refused("cut", &bytes[..bytes.len() - 1]);
    assert!(message.contains("checksum"), "{message}");
    let message = refused("lightgbm", b"tree\nversion=v4\n");
    assert!(message.contains("another library"), "{message}");
}
