//! The house rules, checked by reading the source: who may use whom, what stays pure, how long a file may be.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Who may use what of ours, beside itself. `cli` and `dev` put everything together.
const ARROWS: &[(&str, &[&str])] = &[
    ("rules", &[]),
    ("protocol", &["rules"]),
    ("runtime", &["protocol", "rules"]),
    ("crd", &["protocol", "rules"]),
    ("operator", &["crd", "protocol", "rules", "runtime"]),
    ("backend", &["protocol", "rules", "runtime"]),
];

/// What a kind never says: it is two pure functions.
const IMPURE: &[&str] = &["async", "await", "Client", "Api", "finalizer", "finalizers", "requeue"];

/// Lines of a file without its tests.
const LONGEST_FILE: usize = 400;

struct Source {
    /// From the root of the repository.
    path: PathBuf,
    text: String,
}

impl Source {
    /// Without comments and string literals.
    fn code(&self) -> String {
        self.text.lines().map(|line| code_of(line) + "\n").collect()
    }

    fn tests_only(&self) -> bool {
        self.path.starts_with("tests") || self.path.iter().any(|part| part == "tests" || part == "tests.rs")
    }

    /// Lines before the tests in the same file.
    fn length(&self) -> usize {
        let lines: Vec<_> = self.text.lines().collect();
        let tests =
            |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{');
        lines.windows(2).position(tests).unwrap_or(lines.len())
    }
}

/// All Rust files below a folder, in order.
fn sources(folder: &str) -> io::Result<Vec<Source>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path)?;
                found.push(Source { path: path.strip_prefix(root).map(Path::to_owned).unwrap_or(path), text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// One line without its comment and without what stands in string literals.
fn code_of(line: &str) -> String {
    let (mut code, mut chars) = (String::new(), line.chars().peekable());
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => drop(chars.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            c if !quoted => code.push(c),
            _ => {}
        }
    }
    code
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The parts of our crate that some code names: `crate::a::B` and `crate::{a::B, c}`.
fn parts_used(code: &str) -> BTreeSet<&str> {
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => used.extend(heads(group)),
            None => used.extend(words(after).next()),
        }
    }
    used
}

/// The first words of the members of a brace group whose opening brace has been read.
fn heads(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.extend(words(&group[start..at]).next());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn arrows_point_one_way() -> io::Result<()> {
    let mut wrong = Vec::new();
    let parts: BTreeSet<_> = ["backend", "cli", "crd", "dev", "operator", "protocol", "rules", "runtime"].into();
    for (part, allowed) in ARROWS {
        for source in sources(&format!("src/{part}"))? {
            let code = source.code();
            for used in parts_used(&code).intersection(&parts).filter(|used| *used != part && !allowed.contains(used)) {
                wrong.push(format!("{} uses {used}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "see the arrows in src/lib.rs:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn kinds_are_pure() -> io::Result<()> {
    let mut wrong = Vec::new();
    for source in sources("src/operator/kinds")? {
        let code = source.code();
        for (number, line) in (1..).zip(code.lines()) {
            for word in words(line).filter(|word| IMPURE.contains(word)) {
                wrong.push(format!("{}:{number} says {word}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "a kind neither talks nor waits, the engine does:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn files_fit_in_a_head() -> io::Result<()> {
    let long = |source: &Source| !source.tests_only() && source.length() >= LONGEST_FILE;
    let wrong: Vec<_> = sources("src")?.into_iter().filter(long).collect();
    let wrong: Vec<_> = wrong.iter().map(|source| format!("{}: {}", source.path.display(), source.length())).collect();
    assert!(wrong.is_empty(), "{LONGEST_FILE} lines and more without tests:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_test_runs() -> io::Result<()> {
    let mut wrong = Vec::new();
    for source in sources("src")?.into_iter().chain(sources("tests")?) {
        let ignores = |line: &str| code_of(line).trim_start().starts_with("#[ignore");
        wrong.extend(source.text.lines().filter(|line| ignores(line)).map(|_| source.path.display().to_string()));
    }
    assert!(wrong.is_empty(), "tests that are left out:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_reader_of_these_rules_sees() {
    let code = "use crate::{protocol::{Problem, crd}, rules};\nlet x = crate::backend::store(); // crate::dev\n";
    let code: String = code.lines().map(|line| code_of(line) + "\n").collect();
    assert_eq!(parts_used(&code), ["backend", "protocol", "rules"].into());
    assert_eq!(code_of(r#"say("async \" // no", x) // await"#), "say(, x) ");
}
