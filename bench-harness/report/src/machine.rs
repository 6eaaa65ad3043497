//! The machine that a measurement ran on: what a reader needs to judge the numbers, and nothing that names a person or
//! a place (no paths, no host name).

use crate::{Table, bytes};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A cache level as one core sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// 1, 2, 3 ...
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// The machine, the system and the build. Unknown things are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Model name of the processor; on x86 with family and model, because virtual machines often hide its generation.
    pub cpu: String,
    /// Logical cores this process may use.
    pub cores: usize,
    /// Instruction sets of interest that the processor has.
    pub features: Vec<String>,
    /// Caches of core 0.
    pub caches: Vec<Cache>,
    /// Main memory in bytes.
    pub memory: u64,
    /// Name and version of the operating system.
    pub os: String,
    /// Version of its kernel, without what the builder appended.
    pub kernel: String,
    /// Setting of transparent huge pages.
    pub huge_pages: String,
    /// Clock governor of core 0.
    pub governor: String,
    /// The compiler that built this program.
    pub rustc: String,
    /// What was measured, see [`commit`].
    pub commit: String,
    /// When, as given.
    pub date: String,
}

impl Machine {
    /// Looks around. The date is the caller's, so that reports can be made again.
    pub fn detect(date: impl Into<String>) -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        Self {
            cpu: cpu_model(&cpuinfo),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            features: features(&cpuinfo),
            caches: (0..8).map_while(cache).collect(),
            memory: memory(&read("/proc/meminfo"))
                .or_else(|| sysctl("hw.memsize")?.parse().ok())
                .unwrap_or(0),
            os: os_name(&read("/etc/os-release")),
            kernel: version(&command("uname", &["-r"]).unwrap_or_default()),
            huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            rustc: env!("TILEWISE_RUSTC").into(),
            commit: String::new(),
            date: date.into(),
        }
    }

    /// The same with the commit that was measured.
    pub fn at_commit(self, commit: Option<String>) -> Self {
        Self { commit: commit.unwrap_or_default(), ..self }
    }

    /// A name for a folder: the processor's in lower case, words joined by `-`, e.g. `amd-epyc-family-25-model-17-2-cores`.
    pub fn slug(&self) -> String {
        let cpu = self.cpu.replace("(R)", "").replace("(TM)", "");
        let text = format!("{cpu} {} cores", self.cores);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
    }

    /// What is known, as names and values in reading order.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let caches = self.caches.iter().filter(|cache| cache.kind != "Instruction");
        let caches: Vec<String> = caches.map(|c| format!("L{} {}", c.level, bytes(c.bytes))).collect();
        let facts = [
            ("Processor", self.cpu.clone()),
            ("Cores used", self.cores.to_string()),
            ("Instruction sets", self.features.join(" ")),
            ("Caches", caches.join(", ")),
            ("Memory", if self.memory > 0 { bytes(self.memory) } else { String::new() }),
            ("System", [self.os.as_str(), self.kernel.as_str()].join(" ").trim().to_string()),
            ("Huge pages", self.huge_pages.clone()),
            ("Governor", self.governor.clone()),
            ("Compiler", self.rustc.clone()),
            ("Commit", self.commit.clone()),
            ("Date", self.date.clone()),
        ];
        facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// The facts as a table of two columns.
    pub fn table(&self) -> Table {
        let mut table = Table::new("", &["<machine", "<"]);
        self.facts().into_iter().for_each(|(name, value)| table.push([name.to_string(), value]));
        table
    }
}

/// The short commit of the repository that holds `folder`, with `+` when tracked files differ from it; `None` outside
/// a repository or without git.
pub fn commit(folder: &Path) -> Option<String> {
    let folder = folder.to_str()?;
    let hash =
        command("git", &["-C", folder, "rev-parse", "--short=12", "HEAD"]).filter(|hash| !hash.is_empty())?;
    let changed = command("git", &["-C", folder, "status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { hash } else { format!("{hash}+") })
}

fn command(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn sysctl(name: &str) -> Option<String> {
    if cfg!(target_os = "macos") { command("sysctl", &["-n", name]) } else { None }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_string()).unwrap_or_default()
}

/// The first value of a `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn cpu_model(cpuinfo: &str) -> String {
    // Arm kernels print numbers where others print a name.
    let arm =
        || Some(format!("Arm {} part {}", field(cpuinfo, "CPU implementer")?, field(cpuinfo, "CPU part")?));
    let x86 = || {
        let name = field(cpuinfo, "model name")?;
        let numbers = field(cpuinfo, "cpu family").zip(field(cpuinfo, "model"));
        Some(numbers.map_or(name.into(), |(family, model)| format!("{name}, family {family}, model {model}")))
    };
    let name = x86().or_else(arm);
    name.or_else(|| sysctl("machdep.cpu.brand_string")).unwrap_or_else(|| std::env::consts::ARCH.into())
}

fn features(cpuinfo: &str) -> Vec<String> {
    let flags = field(cpuinfo, "flags").or_else(|| field(cpuinfo, "Features")).unwrap_or_default();
    let interesting =
        ["avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "asimd", "sve", "sve2"];
    let has = |name: &&str| flags.split_whitespace().any(|flag| flag == *name);
    interesting.iter().filter(|name| has(name)).map(|name| name.to_string()).collect()
}

fn cache(index: usize) -> Option<Cache> {
    let file = |name: &str| read(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}"));
    Some(Cache { level: file("level").parse().ok()?, kind: file("type"), bytes: size(&file("size"))? })
}

/// Bytes in a text such as `32K` or `8M`.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].chars().next() {
        None => 1,
        Some('K') => 1 << 10,
        Some('M') => 1 << 20,
        Some('G') => 1 << 30,
        Some(_) => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn memory(meminfo: &str) -> Option<u64> {
    let kib = field(meminfo, "MemTotal")?.split_whitespace().next()?.parse::<u64>().ok()?;
    kib.checked_mul(1024)
}

fn os_name(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| std::env::consts::OS.into(), |name| name.trim_matches('"').to_string())
}

/// The digits and dots that a release such as `6.1.0-18-amd64` begins with.
fn version(release: &str) -> String {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    release[..end].to_string()
}

/// The word in brackets of a setting such as `always [madvise] never`.
fn chosen(setting: &str) -> String {
    setting
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(word, _)| word)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_files_are_understood() {
        let x86 = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 fma avx512fake\n";
        assert_eq!(cpu_model(x86), "AMD EPYC, family 25, model 17");
        assert_eq!(cpu_model("model name : virtual\n"), "virtual");
        assert_eq!(features(x86), ["avx2", "fma"]);
        let arm = "processor : 0\nFeatures : fp asimd sve\nCPU implementer : 0x41\nCPU part : 0xd40\n";
        assert_eq!(cpu_model(arm), "Arm 0x41 part 0xd40");
        assert_eq!(features(arm), ["asimd", "sve"]);
        assert_eq!(
            (size("512K"), size("32M"), size("x"), size("7")),
            (Some(512 << 10), Some(32 << 20), None, Some(7))
        );
        assert_eq!(memory("MemTotal:       24684096 kB\n"), Some(24_684_096 * 1024));
        assert_eq!((version("6.1.0-18-amd64"), version("23.5.0")), ("6.1.0".into(), "23.5.0".into()));
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(os_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
    }

    #[test]
    fn the_slug_is_a_folder_name() {
        let cpu = "Intel(R) Xeon(R) CPU @ 2.60GHz, family 6, model 85".into();
        let machine = Machine { cpu, cores: 2, ..Machine::default() };
        assert_eq!(machine.slug(), "intel-xeon-cpu-2-60ghz-family-6-model-85-2-cores");
        assert_eq!(Machine { cpu: "../../x".into(), cores: 1, ..Machine::default() }.slug(), "x-1-cores");
    }

    #[test]
    fn detection_knows_the_essentials_and_keeps_the_date() {
        let machine = Machine::detect("2026-01-02");
        assert!(
            machine.cores >= 1 && !machine.cpu.is_empty() && machine.rustc.starts_with("rustc "),
            "{machine:?}"
        );
        assert_eq!(machine.facts().last(), Some(&("Date", "2026-01-02".to_string())));
    }
}
