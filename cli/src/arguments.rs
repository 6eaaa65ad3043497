//! Options that several commands share.

use crate::failure::{Failure, note};
use crate::output::is_standard;
use clap::Args;
use std::path::{Path, PathBuf};
use tilewise_base::pool::{WorkerCommand, Workers};
use tilewise_base::replace::Replacement;
use tilewise_base::{Dataset, Engine, Field, Kind, Model, Roles, Schema, SparseTable, Storage};
use tilewise_data::{Format, ReadOptions, files, read_files, read_sparse};

/// How a table is read.
#[derive(Args)]
#[command(next_help_heading = "Reading the table")]
pub(crate) struct Table {
    /// The table: a file, a folder of files, or - for stdin (CSV unless --format tells otherwise). Can be given again: files of one
    /// format and the same columns (csv, parquet, arrow) are one table, in the order given, those of a folder in that of their names
    #[arg(long, value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    /// csv, parquet, arrow or libsvm; by default what the file's extension says
    #[arg(long)]
    format: Option<Format>,
    /// The first line of a CSV file is data, not names
    #[arg(long)]
    no_header: bool,
    /// Names of the columns of a CSV file, apart by commas, instead of those in the file
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    columns: Option<Vec<String>>,
    /// Text that means missing, besides an empty cell, NA, NaN, null and the like; can be given again
    #[arg(long, value_name = "TEXT")]
    na: Vec<String>,
    /// What stands between the cells of a CSV file (tab for tabs); by default found out
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        &[byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && byte != b'"' => Ok(byte),
        _ => Err("a single character such as , or ; or the word tab is accepted".into()),
    }
}

impl Table {
    /// The name of the file or folder, for messages; of several the first file and how many more there are.
    pub(crate) fn name(&self) -> String {
        match &self.data[..] {
            [] => String::new(),
            [only] if is_standard(only) => "<stdin>".into(),
            [only] => only.display().to_string(),
            [first, ..] => {
                let files = self.files();
                let first = files.first().unwrap_or(first).display();
                format!("{first} and {} more", files.len().saturating_sub(1))
            }
        }
    }

    /// The folder of the table that a file with this path would be a part of, the next time it is read; names that begin with a dot or an
    /// underscore are passed over.
    fn folder_of(&self, path: &Path) -> Option<&Path> {
        let name = path.file_name()?.as_encoded_bytes();
        if is_standard(path) || name.first().is_some_and(|first| b"._".contains(first)) {
            return None;
        }
        let parent = path.parent()?;
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let parent = parent.canonicalize().ok()?;
        let is_parent = |data: &&PathBuf| {
            !is_standard(data) && data.is_dir() && data.canonicalize().is_ok_and(|data| data == parent)
        };
        self.data.iter().find(is_parent).map(PathBuf::as_path)
    }

    /// The files of the table. What cannot be found out is told when it is read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.data.iter().flat_map(|path| files(path).unwrap_or_else(|_| vec![path.clone()])).collect()
    }

    /// Reads the table; columns named in `categorical` are categories even if they look like numbers, those in
    /// `ignored` are left out. Columns lie where `storage` puts them.
    pub(crate) fn read_to(
        &self,
        storage: &Storage,
        categorical: &[String],
        ignored: Vec<String>,
    ) -> Result<Dataset, Failure> {
        let (categorical, storage) = (categorical.to_vec(), storage.clone());
        let options = ReadOptions { categorical, columns_ignored: ignored, storage, ..self.options() };
        read_files(&self.data, &options).map_err(Failure::from)
    }

    /// Reads the columns that a model needs, with the kinds it needs, its offset among them, and the columns called
    /// `others`; they lie where `storage` puts them.
    pub(crate) fn read_for(
        &self,
        inputs: &[Field],
        offset: Option<&str>,
        others: &[&str],
        storage: Storage,
    ) -> Result<Dataset, Failure> {
        let offset = offset.map(|name| Field { name: name.to_owned(), kind: Kind::Numeric });
        let schema = Schema { fields: inputs.iter().cloned().chain(offset).collect() };
        let others = others.iter().map(|&name| name.to_owned());
        let wanted = schema.fields.iter().map(|field| field.name.clone()).chain(others).collect();
        let columns_wanted = Some(wanted);
        let options = ReadOptions { schema: Some(&schema), columns_wanted, storage, ..self.options() };
        read_files(&self.data, &options).map_err(Failure::from)
    }

    /// A libsvm file that is better kept sparse, with so many inputs if that is given; nothing of any other table.
    pub(crate) fn read_sparse(&self, width: Option<usize>) -> Result<Option<SparseTable>, Failure> {
        match &self.data[..] {
            [only] if !only.is_dir() => read_sparse(only, &self.options(), width).map_err(Failure::from),
            _ => Ok(None),
        }
    }

    fn options(&self) -> ReadOptions<'static> {
        ReadOptions {
            format: self.format,
            delimiter: self.delimiter,
            header: !self.no_header,
            columns: self.columns.clone(),
            na: self.na.clone(),
            ..ReadOptions::default()
        }
    }
}

/// How much memory may be taken by what is as long as the table.
#[derive(Args)]
#[command(next_help_heading = "Memory")]
pub(crate) struct Memory {
    /// How much memory to take, such as 2G or 500M: half of it is for columns of the table and what is made of them, and what does not
    /// fit lies in files that are mapped, so that a table may be larger than memory. No answer and no model depends on it
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_limit: Option<u64>,
    /// The folder of these files, which have no names and are gone when the command ends; by default that for temporary files
    #[arg(long, value_name = "FOLDER", requires = "memory_limit")]
    temp_dir: Option<PathBuf>,
}

/// A number of bytes: a number, and K, M, G or T for multiples of 1024.
fn size(text: &str) -> Result<u64, String> {
    let accepted = || {
        format!(
            "{text:?} is no size; a number of bytes is accepted, or one with K, M, G or T behind it, such as 2G"
        )
    };
    let upper = text.trim().to_ascii_uppercase();
    let bare = upper.strip_suffix('B').unwrap_or(&upper);
    let bare = bare.strip_suffix('I').unwrap_or(bare);
    let digits = bare.trim_end_matches(['K', 'M', 'G', 'T']);
    let unit = match &bare[digits.len()..] {
        "" => 1.0,
        "K" => 1024.0,
        "M" => 1024.0 * 1024.0,
        "G" => 1024.0 * 1024.0 * 1024.0,
        "T" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(accepted()),
    };
    let bytes = digits.trim().parse::<f64>().map_err(|_| accepted())? * unit;
    // Up to 2^53 bytes, which no machine has, are exact.
    if (1.0..9_007_199_254_740_992.0).contains(&bytes) { Ok(bytes as u64) } else { Err(accepted()) }
}

impl Memory {
    /// Where arrays are put.
    pub(crate) fn storage(&self) -> Result<Storage, Failure> {
        let Some(limit) = self.memory_limit else { return Ok(Storage::default()) };
        let folder = self.temp_dir.clone().unwrap_or_else(std::env::temp_dir);
        let storage = Storage::limited(limit / 2, &folder)?;
        if storage.files_are_in_memory() {
            let what = "is a folder in memory, so the limit saves none; give --temp-dir a folder on a disk";
            note("warning", format!("{} {what}", folder.display()));
        }
        Ok(storage)
    }

    /// Tells what lies in files.
    pub(crate) fn tell(storage: &Storage) {
        if storage.in_files() > 0 {
            let size = crate::output::size(storage.in_files() as usize);
            note("written", format!("{size} to files that are mapped (--memory-limit)"));
        }
    }

    /// Refuses a limit for a table that is kept sparse.
    pub(crate) fn is_for_dense(&self, file: &str) -> Result<(), Failure> {
        match self.memory_limit {
            None => Ok(()),
            Some(_) => Err(Failure::Told(format!(
                "{file}: is kept sparse, in memory; --memory-limit is for tables of columns (csv, parquet, arrow)"
            ))),
        }
    }
}

/// Columns with a part of their own besides the target.
#[derive(Args)]
#[command(next_help_heading = "Columns")]
pub(crate) struct Columns {
    /// Column that tells how much a row counts
    #[arg(long, value_name = "COLUMN")]
    pub(crate) weight: Option<String>,
    /// Column that is added to the linear predictor; the model remembers it
    #[arg(long, value_name = "COLUMN")]
    pub(crate) offset: Option<String>,
}

impl Columns {
    pub(crate) fn roles(&self, targets: Vec<String>) -> Roles {
        Roles { targets, weight: self.weight.clone(), offset: self.offset.clone(), ..Roles::default() }
    }
}

/// What was given for `--target`, each time a column or several apart by commas.
#[derive(Clone, Copy)]
pub(crate) struct Targets<'a>(pub(crate) &'a [String]);

impl<'a> Targets<'a> {
    /// Every name that may be meant, since a column's name can have commas in it.
    pub(crate) fn candidates(self) -> impl Iterator<Item = &'a str> {
        let parts = |text: &'a String| text.split(',').chain(text.contains(',').then_some(&text[..]));
        self.0.iter().flat_map(parts)
    }

    /// The columns of a table that are meant: one of exactly this name, if there is one, else those between the commas.
    pub(crate) fn of(self, table: &Dataset) -> Vec<String> {
        let mut names = Vec::new();
        for text in self.0 {
            match table.names().contains(text) {
                true => names.push(text.clone()),
                false => names.extend(text.split(',').map(String::from)),
            }
        }
        names
    }

    /// The columns with the answers of a model: its own targets where nothing was given. Commas are what stands between names only
    /// where fewer were given than the model has targets.
    pub(crate) fn of_model(self, model: &dyn Model) -> Vec<String> {
        let own = model.targets();
        if self.0.is_empty() {
            own.into_iter().map(String::from).collect()
        } else if self.0.len() < own.len() {
            self.0.iter().flat_map(|text| text.split(',')).map(String::from).collect()
        } else {
            self.0.to_vec()
        }
    }
}

/// How many threads work.
#[derive(Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct Threads {
    /// Threads to use; by default one for each core. The result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Threads {
    /// Runs `f` with the threads asked for.
    pub(crate) fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        tilewise_kernels::parallel::with_threads(self.threads.map_or_else(all, usize::from), f)
    }
}

/// Where pieces of training are done.
#[derive(Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct Running {
    /// Where training is done: by threads, or by processes that share the columns in memory (linear models, trees, forests, gbdt)
    #[arg(long, default_value = "threads", value_name = "ENGINE", value_parser = ["threads", "processes"])]
    engine: String,
    /// Worker processes of --engine processes; by default as many as threads
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
}

impl Running {
    /// The engine that was asked for; to be called with the threads that were.
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        if self.engine == "processes" {
            let count = self.workers.map_or_else(tilewise_kernels::parallel::threads, usize::from);
            return Ok(Engine::Processes(Workers { command: WorkerCommand::this_program()?, count }));
        }
        match self.workers {
            Some(_) => {
                Err(Failure::Told("--workers is for --engine processes; threads have --threads".into()))
            }
            None => Ok(Engine::Threads),
        }
    }
}

/// Tries whether files can be written, so that a folder that cannot costs no work; `outputs` are options and what they name. None may
/// be one of the files of `table`.
pub(crate) fn try_outputs(table: &Table, outputs: &[(&str, &Option<PathBuf>)]) -> Result<(), Failure> {
    let given: Vec<(&str, &PathBuf)> =
        outputs.iter().filter_map(|(option, path)| path.as_ref().map(|path| (*option, path))).collect();
    let files = table.files();
    for (i, (option, path)) in given.iter().enumerate() {
        let refuse = |what: String| Failure::Told(format!("{}: {what}", path.display()));
        if is_standard(path) {
            return Err(refuse(format!(
                "it goes to a file, not to stdout, where results are told; give {option} a name"
            )));
        }
        if let Some((other, _)) = given[..i].iter().find(|(_, other)| other == path) {
            return Err(refuse(format!("is named by {other} and {option}; give each a name of its own")));
        }
        if files.iter().any(|file| is_file(path, file)) {
            let what = "is the file of --data, which would be lost; give it another name";
            return Err(refuse(format!("{option} {what}")));
        }
        if let Some(folder) = table.folder_of(path) {
            return Err(refuse(joined(option, folder)));
        }
        drop(Replacement::new(path)?);
    }
    Ok(())
}

/// Why an output may not lie in a folder of the table.
fn joined(option: &str, folder: &Path) -> String {
    format!(
        "{option} is in {}, a folder of --data, all files of which are the table; name another folder, or a file that begins with _",
        folder.display()
    )
}

/// Whether a path is that of a file that is there.
fn is_file(path: &Path, file: &Path) -> bool {
    let found = |path: &Path| (!is_standard(path)).then(|| path.canonicalize().ok()).flatten();
    found(path).is_some_and(|path| found(file) == Some(path))
}

/// Refuses an output that is the model or one of the files of the table, which writing would destroy, or that would become one of them.
pub(crate) fn keep_apart(out: &Path, table: Option<&Table>, model: &Path) -> Result<(), Failure> {
    let lost = match () {
        () if table.is_some_and(|table| table.files().iter().any(|file| is_file(out, file))) => "--data",
        () if is_file(out, model) => "--model",
        () => {
            let told = |folder| Failure::Told(format!("{}: {}", out.display(), joined("--out", folder)));
            return table.and_then(|table| table.folder_of(out)).map_or(Ok(()), |folder| Err(told(folder)));
        }
    };
    let what = format!("--out is the file of {lost}, which would be lost; give it another name");
    Err(Failure::Told(format!("{}: {what}", out.display())))
}

/// The model in a file.
pub(crate) fn load(path: &Path) -> Result<Box<dyn Model>, Failure> {
    Ok(tilewise_models::load(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is counted are files, of folders too.
    #[test]
    fn the_name_of_a_table_counts_files() {
        let folder = std::env::temp_dir().join(format!("tilewise-name-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        ["a.csv", "b.csv", "c.csv", "_d"]
            .iter()
            .for_each(|name| std::fs::write(folder.join(name), "x\n").unwrap());
        let name = |data: &[&Path]| {
            let data = data.iter().map(|path| path.to_path_buf()).collect();
            Table { data, format: None, no_header: false, columns: None, na: Vec::new(), delimiter: None }
                .name()
        };
        let [first, other] = [folder.join("a.csv"), PathBuf::from("other.csv")];
        let told =
            [name(&[&folder, &other]), name(&[&other, &folder]), name(&[&other, &first]), name(&[&folder])];
        std::fs::remove_dir_all(&folder).unwrap();
        let first = first.display();
        assert_eq!(told[0], format!("{first} and 3 more"));
        assert_eq!(
            told[1..],
            ["other.csv and 3 more", "other.csv and 1 more", &folder.display().to_string()]
        );
    }
}
