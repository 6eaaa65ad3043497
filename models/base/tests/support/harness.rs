//! The `main` of test programs that are also the workers they test (`harness = false`): runs tests by name, with the arguments and
//! the summary of Rust's own test programs. A test that fails ends the program by its panic.

/// Options that are followed by a value, as those of Rust's own test programs are.
const WITH_VALUE: [&str; 7] =
    ["--test-threads", "--skip", "--logfile", "--color", "--format", "--shuffle-seed", "-Z"];
const FLAGS: [&str; 16] = [
    "--list",
    "--exact",
    "--ignored",
    "--include-ignored",
    "--nocapture",
    "--no-capture",
    "--show-output",
    "--quiet",
    "-q",
    "--test",
    "--bench",
    "--report-time",
    "--ensure-time",
    "--shuffle",
    "--exclude-should-panic",
    "--force-run-in-process",
];

/// A test and its name.
pub(crate) type Named = (&'static str, fn());

/// What the arguments ask for.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    /// Parts of names of tests that are to run; all where there are none.
    wanted: Vec<String>,
    /// Parts of names of those that are not.
    skipped: Vec<String>,
    exact: bool,
    list: bool,
    /// No test is marked to be ignored, so nothing is to run.
    only_ignored: bool,
}

impl Asked {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut asked = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (option, joined) = match argument.split_once('=') {
                Some((option, value)) if option.starts_with('-') => (option, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            if WITH_VALUE.contains(&option) {
                let value = joined.or_else(|| arguments.next().cloned());
                let value = value.ok_or_else(|| format!("{option} needs a value"))?;
                if option == "--skip" {
                    asked.skipped.push(value);
                }
            } else if FLAGS.contains(&option) || option.starts_with("-Z") {
                asked.exact |= option == "--exact";
                asked.list |= option == "--list";
                asked.only_ignored |= option == "--ignored";
            } else if option.starts_with('-') {
                return Err(format!("{option} is no option that is known here"));
            } else {
                asked.wanted.push(argument.clone());
            }
        }
        Ok(asked)
    }

    fn picks(&self, name: &str) -> bool {
        let fits = |part: &String| if self.exact { name == part } else { name.contains(part.as_str()) };
        let wanted = self.wanted.is_empty() || self.wanted.iter().any(fits);
        wanted && !self.skipped.iter().any(fits) && !self.only_ignored
    }
}

/// Runs the tests that the arguments ask for, and one of how these are read.
pub(crate) fn run(tests: &[Named], arguments: &[String]) {
    let own: Named = ("arguments_are_read_as_by_other_tests", arguments_are_read_as_by_other_tests);
    let asked = Asked::parse(arguments).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(101)
    });
    let all = tests.len() + 1;
    let picked: Vec<&Named> = tests.iter().chain([&own]).filter(|(name, _)| asked.picks(name)).collect();
    if asked.list {
        picked.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let s = if picked.len() == 1 { "" } else { "s" };
    println!("\nrunning {} test{s}", picked.len());
    for (name, test) in &picked {
        test();
        println!("test {name} ... ok");
    }
    let (passed, left_out) = (picked.len(), all - picked.len());
    println!(
        "\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; {left_out} filtered out\n"
    );
}

fn arguments_are_read_as_by_other_tests() {
    let picked = |arguments: &str| {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let asked = Asked::parse(&arguments)?;
        Ok::<_, String>(["a", "ab", "c"].into_iter().filter(|name| asked.picks(name)).collect::<String>())
    };
    for (arguments, names) in [
        ("", "aabc"),
        ("a", "aab"),
        ("b c", "abc"),
        ("elsewhere", ""),
        ("--test-threads 1", "aabc"),
        ("--test-threads=1 --nocapture", "aabc"),
        ("--exact a --color never", "a"),
        ("--skip b", "ac"),
        ("a --skip=b -Z unstable-options", "a"),
        ("--ignored", ""),
    ] {
        assert_eq!(picked(arguments).as_deref(), Ok(names), "{arguments}");
    }
    assert!(picked("--tests-threads 1").is_err() && picked("--skip").is_err());
}
