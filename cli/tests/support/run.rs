//! Running the command in a folder of one's own, and 60 people to learn from.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of one test's own, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tilewise-cli-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
    /// What lies in the folder, hidden files too.
    #[allow(dead_code, reason = "not all programs of tests ask")]
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn tilewise(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tilewise")).args(args).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn works(args: &[&str]) -> String {
    let output = tilewise(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs, expects exit code 1 and a single line of error that holds all of `parts`.
pub(crate) fn fails(args: &[&str], parts: &[&str]) {
    let output = tilewise(args);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
    let last = error.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && !error.contains("panicked"), "{args:?}: {error}");
    for part in parts {
        assert!(last.contains(part), "{args:?}: {part:?} is not in {last:?}");
    }
}

/// 60 rows: a number with missing cells, a category, a boolean, a price and a class that follow from them.
#[allow(dead_code, reason = "not all programs of tests ask")]
pub(crate) fn people(order: &[&str]) -> String {
    let mut csv = order.join(",") + "\n";
    for i in 0..60 {
        let age = 20 + (i * 7) % 41;
        let job = ["clerk", "nurse", "smith"][i % 3];
        let member = i % 4 == 0;
        let price = 10.0 + 0.5 * age as f64 + [0.0, 4.0, -3.0][i % 3] + (i as f64 * 1.7).sin();
        let cell = |name: &&str| match *name {
            "age" if i % 13 == 5 => String::new(),
            "age" => age.to_string(),
            "job" => job.to_owned(),
            "member" => member.to_string(),
            "price" => price.to_string(),
            "class" => (if price > 30.0 { "dear" } else { "cheap" }).to_owned(),
            _ => i.to_string(),
        };
        csv += &(order.iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
    }
    csv
}
