//! The rules of the house as an ordinary test: who may import whom, where `unsafe` may be, what a file looks like.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A file is one noun; longer ones hold two.
const MOST_LINES: usize = 600;

/// The families of models that exist or are planned; forests and boosting are made of trees.
const FAMILIES: [&str; 5] =
    ["tilewise-linear", "tilewise-tree", "tilewise-forest", "tilewise-gbdt", "tilewise-network"];

/// Rooms that `room` may have among its dependencies; `None` when it may have any that may be imported at all.
fn may_import(room: &str) -> Option<Vec<&'static str>> {
    Some(match room {
        "tilewise-kernels" | "tilewise-report" => vec![],
        "tilewise-base" => vec!["tilewise-kernels"],
        "tilewise-data" => vec!["tilewise-base"],
        "tilewise-picture" => vec!["tilewise-base", "tilewise-report"],
        "tilewise-linear" | "tilewise-tree" | "tilewise-network" => vec!["tilewise-base", "tilewise-kernels"],
        "tilewise-forest" | "tilewise-gbdt" => vec!["tilewise-base", "tilewise-kernels", "tilewise-tree"],
        // Kernels for their threads and random numbers.
        "tilewise-models" => [&["tilewise-base", "tilewise-kernels"], &FAMILIES[..]].concat(),
        // Kernels for its threads.
        "tilewise-server" => vec!["tilewise-models", "tilewise-base", "tilewise-data", "tilewise-kernels"],
        _ => return None,
    })
}

/// Rooms that nothing imports.
const LAST: [&str; 3] = ["tilewise-bench", "tilewise-python", "tilewise-tests"];

/// Where `unsafe` may stand; folders end in a slash.
const MAY_BE_UNSAFE: [&str; 5] = [
    "kernels/",
    "models/base/src/mapped.rs",
    "python/src/ffi.rs",
    "bench-harness/peers/",
    "tests/counting.rs",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the workspace")
}

/// Files below the root whose names end in `ending`, as (path from the root, content).
fn files(ending: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    walk(&path, ending, found);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), ending, &mut found);
    found.sort();
    let named = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path.strip_prefix(root()).unwrap().display().to_string().replace('\\', "/"), text)
    };
    found.into_iter().map(named).collect()
}

/// The parts of a manifest, without comments.
fn sections(manifest: &str) -> Vec<Section> {
    let mut sections = vec![(String::new(), Vec::new())];
    for line in manifest.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            sections.push((name.trim_end_matches(']').trim_matches('[').to_owned(), Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push(line.to_owned());
        }
    }
    sections
}

/// A part of a Cargo.toml: its name and its lines.
type Section = (String, Vec<String>);

/// The manifest's path, the crate's name, and the parts of the manifest of every crate.
fn crates() -> Vec<(String, String, Vec<Section>)> {
    let mut crates = Vec::new();
    for (path, text) in files("Cargo.toml") {
        let parts = sections(&text);
        let package = parts.iter().find(|(name, _)| name == "package");
        let name = package.and_then(|(_, lines)| lines.iter().find_map(|l| l.strip_prefix("name = ")));
        if let Some(name) = name {
            let name = name.trim_matches('"').to_owned();
            crates.push((path, name, parts));
        }
    }
    assert!(crates.len() >= 10, "only {} crates were found below {}", crates.len(), root().display());
    crates
}

/// Names in the sections called `dependencies`, `build-dependencies` and the like, of all targets: as lines, as
/// sections of their own, and those behind another name.
fn dependencies(parts: &[Section], dev: bool) -> Vec<String> {
    let wanted = |section: &str| {
        if dev {
            section == "dev-dependencies"
        } else {
            ["dependencies", "build-dependencies"].contains(&section)
        }
    };
    let bare = |name: &str| name.trim().trim_matches(['"', '\'']).to_owned();
    let renamed = |line: &String| {
        let (_, value) = line.split_once("package")?;
        Some(bare(value.trim_start().strip_prefix('=')?.split([',', '}']).next()?))
    };
    let mut names = Vec::new();
    for (section, lines) in parts {
        let (before, last) = section.rsplit_once('.').unwrap_or(("", section));
        if wanted(last) {
            names.extend(lines.iter().map(|line| bare(line.split(['=', '.']).next().unwrap_or_default())));
        } else if wanted(before.rsplit('.').next().unwrap_or_default()) {
            names.push(bare(last));
        } else {
            continue;
        }
        names.extend(lines.iter().filter_map(renamed));
    }
    names
}

#[test]
fn dependencies_are_found_in_every_form() {
    let manifest = "[dependencies]\na = \"1\"\nb.workspace = true\n\"c\" = { version = \"1\", package = \"d\" }\n\
        [dependencies.e]\nversion = \"1\"\n[target.'cfg(unix)'.dependencies.f]\npackage = \"g\"\n\
        [target.'cfg(unix)'.build-dependencies]\nh = \"1\"\n[dev-dependencies.i]\nversion = \"1\"\n[features]\nj = []\n";
    let parts = sections(manifest);
    assert_eq!(dependencies(&parts, true), ["i"]);
    let mut others = dependencies(&parts, false);
    others.retain(|name| name != "version");
    assert_eq!(others, ["a", "b", "c", "d", "e", "f", "g", "h"]);
}

fn report(rule: &str, broken: String) {
    assert!(broken.is_empty(), "{rule}\n{broken}");
}

#[test]
fn rooms_import_only_what_they_may() {
    let mut broken = String::new();
    // Foreign products bring what they like; they are a workspace of their own.
    for (path, room, parts) in
        crates().into_iter().filter(|(path, ..)| !path.starts_with("bench-harness/peers/"))
    {
        for other in dependencies(&parts, false).iter().filter(|d| d.starts_with("tilewise")) {
            if may_import(&room).is_some_and(|may| !may.contains(&other.as_str())) {
                let _ = writeln!(broken, "{path}: {room} may not import {other}");
            }
        }
        let all = [dependencies(&parts, false), dependencies(&parts, true)].concat();
        for other in all.iter().filter(|d| LAST.contains(&d.as_str())) {
            let _ = writeln!(broken, "{path}: nothing imports {other}, tests neither");
        }
        if dependencies(&parts, false).contains(&"rayon".to_owned()) && room != "tilewise-kernels" {
            let _ =
                writeln!(broken, "{path}: parallel work goes through tilewise_kernels::parallel, not rayon");
        }
    }
    report("Rooms import only towards the kernels (the import rule of ARCHITECTURE.md):", broken);
}

#[test]
fn every_crate_is_described_and_linted() {
    let mut broken = String::new();
    for (path, _, parts) in crates() {
        if path.starts_with("bench-harness/peers/") {
            continue;
        }
        let has = |section: &str, line: &str| {
            parts.iter().any(|(name, lines)| name == section && lines.iter().any(|l| l.starts_with(line)))
        };
        for (section, line) in [
            ("package", "description = "),
            ("package", "license.workspace = true"),
            ("package", "rust-version.workspace = true"),
            ("package", "edition.workspace = true"),
            ("lints", "workspace = true"),
        ] {
            if !has(section, line) {
                let _ = writeln!(broken, "{path}: [{section}] lacks `{line}`");
            }
        }
    }
    report(
        "Every crate has a description and takes licence, edition, Rust version, lints of the workspace:",
        broken,
    );
}

#[test]
fn unsafe_stays_where_it_is_allowed() {
    let mut broken = String::new();
    for (path, text) in files(".rs") {
        let allowed = MAY_BE_UNSAFE
            .iter()
            .any(|place| if place.ends_with('/') { path.starts_with(place) } else { path == *place });
        for (i, line) in text.lines().enumerate() {
            let code = &code(line);
            if !allowed && has_word(code, "unsafe") {
                let _ = writeln!(broken, "{path}:{}: {}", i + 1, line.trim());
            }
        }
    }
    report(
        "`unsafe` stands only in the kernels and the few files that tests/tidy.rs lists. Use a kernel instead:",
        broken,
    );
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for lint in ["undocumented_unsafe_blocks = \"deny\"", "unsafe_op_in_unsafe_fn = \"deny\""] {
        assert!(
            manifest.contains(lint),
            "the workspace's lints ask for a SAFETY comment on each block: {lint}"
        );
    }
}

#[test]
fn only_kernels_name_threads_and_instructions() {
    let mut broken = String::new();
    for (path, text) in files(".rs") {
        for (i, line) in text.lines().enumerate() {
            let code = &code(line);
            let arch = ["core", "std"].iter().any(|s| code.contains(&format!("{s}::arch::")));
            // A peer may take vectors as arguments.
            if arch && !["kernels/", "bench-harness/peers/"].iter().any(|room| path.starts_with(room)) {
                let _ = writeln!(broken, "{path}:{}: instructions of a CPU are the kernels' business", i + 1);
            }
            if has_word(code, "rayon")
                && path != "kernels/src/parallel.rs"
                && !path.starts_with("bench-harness/peers/")
            {
                let _ = writeln!(
                    broken,
                    "{path}:{}: threads come from tilewise_kernels::parallel, not rayon",
                    i + 1
                );
            }
        }
    }
    report("Only kernels/src/parallel.rs names rayon, and only the kernels name core::arch:", broken);
}

#[test]
fn files_are_short_documented_and_clean() {
    let mut broken = String::new();
    let unfinished = ["todo", "dbg", "unimplemented"].map(|name| format!("{name}!("));
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]].map(|parts| parts.concat());
    for (path, text) in files(".rs") {
        let mut say = |line: usize, what: &str| {
            let _ = writeln!(broken, "{path}:{line}: {what}");
        };
        if path.ends_with("/mod.rs") {
            say(1, "a module's file is named after it, beside its folder: x.rs and x/");
        }
        let first = text.lines().find(|l| !l.starts_with("#![") || l.starts_with("#![doc"));
        if !first.is_some_and(|l| l.starts_with("//!") || l.starts_with("#![doc")) {
            say(1, "the file starts with //! and what it is about (for an algorithm: method and source)");
        }
        if text.lines().count() > MOST_LINES {
            say(MOST_LINES, &format!("a file is one noun of at most {MOST_LINES} lines: divide it"));
        }
        if !text.ends_with('\n') || text.ends_with("\n\n") {
            say(text.lines().count(), "the file ends with one line feed");
        }
        for (i, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                say(i + 1, "spaces at the end of the line");
            }
            if unfinished.iter().any(|mark| line.contains(mark))
                || marks.iter().any(|mark| line.contains(mark))
            {
                say(i + 1, "finish it, or open an issue; the code holds no marks of unfinished work");
            }
        }
    }
    report("Files have one look:", broken);
}

/// A line without its comment and without what stands in quotes.
fn code(line: &str) -> String {
    let (mut code, mut rest) = (String::new(), line);
    while let Some(c) = rest.chars().next().filter(|_| !rest.starts_with("//")) {
        // A quote as a character begins no text.
        let quote = ["'\"'", "'\\\"'"].into_iter().find(|quote| rest.starts_with(quote));
        let mut taken = quote.map_or(c.len_utf8(), str::len);
        code.push(c);
        if c == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            taken = end.map_or(rest.len(), |end| end + 2);
            code.push('"');
        }
        rest = &rest[taken..];
    }
    code
}

#[test]
fn code_is_what_stands_outside_quotes_and_comments() {
    for (line, expected) in [
        (r#"let x = rayon::join("a"); // rayon"#, r#"let x = rayon::join(""); "#),
        (r#"f("http://a \" b", c)"#, r#"f("", c)"#),
        (r#"x == '"' && rayon"#, "x == ' && rayon"),
        (r#"say("begun"#, r#"say("""#),
    ] {
        assert_eq!(code(line), expected);
    }
    assert!(has_word(&code(r#"rayon::spawn(|| log("x"))"#), "rayon"));
    assert!(!has_word(&code(r#"log("not rayon")"#), "rayon"));
}

/// Whether `word` stands in code, not as a part of a longer name and not in a lint's name or in quotes.
fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '"' || c == '`';
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (code[..at].chars().next_back(), code[at + word.len()..].chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}
