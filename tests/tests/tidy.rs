//! House rules that a compiler does not know. Each test names what it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the crate lies in the repository")
        .to_owned()
}

/// A file of the repository that is text.
struct File {
    /// Path from the top, with `/`.
    path: String,
    text: String,
}

/// Every text file of the repository.
fn files() -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut left = vec![root.clone()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).expect("a directory").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && name != ".ci";
            if hidden || name == "target" || name == "node_modules" {
                continue;
            }
            if path.is_dir() {
                left.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).expect("below the top");
                found.push(File {
                    path: path.to_string_lossy().into_owned(),
                    text,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust_files() -> Vec<File> {
    files()
        .into_iter()
        .filter(|file| file.path.ends_with(".rs"))
        .collect()
}

/// Fails with everything that is wrong, one thing per line.
fn expect_none(rule: &str, offenders: Vec<String>) {
    assert!(
        offenders.is_empty(),
        "{rule}:\n  {}",
        offenders.join("\n  ")
    );
}

/// Lines with their numbers from 1, without remarks.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let code = line.split("//").next().unwrap_or("");
        (!code.trim().is_empty()).then_some((index + 1, code))
    })
}

/// Whether `word` stands alone in `line`.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

#[test]
fn unsafe_code_stands_only_in_files_that_say_why() {
    // Files of the loader say it in their own header.
    let list = include_str!("tidy/unsafe.txt");
    let allowed: BTreeMap<&str, &str> = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').expect("`path reason` on each line"))
        .collect();
    let mut holders = BTreeSet::new();
    let mut offenders = Vec::new();
    for file in rust_files() {
        // A string that mentions the word, and lint names, are no unsafe code.
        let holds = |line: &str| {
            has_word(line, "unsafe") && !line.contains("\"unsafe") && !line.contains("unsafe ==")
        };
        let Some((line, _)) = code_lines(&file.text).find(|(_, line)| holds(line)) else {
            continue;
        };
        if file.path.starts_with("tests/tests/tidy") {
            continue;
        }
        if file.path.starts_with("loader/src/") && file.text.contains("//! # Safety") {
            continue;
        }
        let listed = allowed.keys().find(|path| {
            file.path == **path || path.ends_with('/') && file.path.starts_with(**path)
        });
        match listed {
            Some(path) => drop(holders.insert(*path)),
            None => offenders.push(format!("{}:{line}", file.path)),
        }
    }
    let stale = allowed.keys().filter(|path| !holders.contains(*path));
    offenders.extend(stale.map(|path| format!("{path} holds none: take it off the list")));
    expect_none(
        "unsafe code outside of tests/tests/tidy/unsafe.txt",
        offenders,
    );
}

#[test]
fn crates_without_unsafe_code_forbid_it() {
    for name in ["abi", "compiler", "wasi-shim"] {
        let lib = fs::read_to_string(root().join(name).join("src/lib.rs")).expect("a crate");
        assert!(
            lib.contains("#![forbid(unsafe_code)]"),
            "{name} does not forbid unsafe code"
        );
    }
}

/// The crates of this repository that the manifest at `path` depends on: (name, for tests only).
fn own_dependencies(path: &Path) -> Vec<(String, bool)> {
    let manifest = fs::read_to_string(path).expect("a manifest");
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            continue;
        }
        // The crate's own name, where it is called by another.
        let line = line
            .split_once("package = \"")
            .map_or(line, |(_, name)| name);
        let name: String = line
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '-')
            .collect();
        if section.ends_with("dependencies") && name.starts_with("precast") {
            found.push((name, section.ends_with("dev-dependencies")));
        }
    }
    found
}

#[test]
fn crates_see_only_what_the_architecture_allows() {
    let allowed: [(&str, &[&str]); 6] = [
        ("abi", &[]),
        ("compiler", &["precast-abi"]),
        ("loader", &["precast-abi"]),
        ("wasi-shim", &["precast"]),
        ("capi", &["precast", "precast-wasi"]),
        (
            "cli",
            &["precast-abi", "precast-compiler", "precast", "precast-wasi"],
        ),
    ];
    let mut offenders = Vec::new();
    for (folder, may_see) in allowed {
        for (dependency, for_tests) in own_dependencies(&root().join(folder).join("Cargo.toml")) {
            if !for_tests && !may_see.contains(&dependency.as_str()) {
                offenders.push(format!("{folder} depends on {dependency}"));
            }
        }
    }
    expect_none("dependencies against the architecture", offenders);
}

#[test]
fn nothing_is_left_to_do_or_to_debug() {
    let words = ["todo!", "dbg!", "unimplemented!", "#[ignore"];
    let mut offenders = Vec::new();
    for file in rust_files()
        .iter()
        .filter(|file| !file.path.ends_with("tidy.rs"))
    {
        for (line, code) in code_lines(&file.text) {
            if words.iter().any(|word| code.contains(word)) {
                offenders.push(format!("{}:{line}: {}", file.path, code.trim()));
            }
        }
    }
    expect_none("left behind", offenders);
}

#[test]
fn long_files_give_their_reason() {
    const LONGEST: usize = 800;
    const REASON: &str = "long because";
    let mut offenders = Vec::new();
    for file in rust_files() {
        let lines = file.text.lines().count();
        if lines > LONGEST && !file.text.contains(REASON) {
            offenders.push(format!("{}: {lines} lines", file.path));
        }
    }
    expect_none(
        "files that want to become two, or to say that they are long because …",
        offenders,
    );
}

#[test]
fn no_path_of_anyones_machine_is_mentioned() {
    // Put together, so that this file does not mention them either.
    let paths = ["/ho", "/ro", "/wo", "/Us"]
        .iter()
        .zip(["me/", "ot/", "rk/", "ers/"]);
    let paths: Vec<String> = paths.map(|(a, b)| format!("{a}{b}")).collect();
    let mut offenders = Vec::new();
    for file in files() {
        for (index, line) in file.text.lines().enumerate() {
            for path in &paths {
                let starts = line.match_indices(path).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/~".contains(c))
                });
                if starts {
                    offenders.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
                }
            }
        }
    }
    expect_none("absolute paths", offenders);
}

/// What stands between backquotes in a line, fences left out.
fn quoted(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_fence = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        } else if !in_fence {
            found.extend(
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(|word| (index + 1, word)),
            );
        }
    }
    found
}

/// The targets of links in a text.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or("");
            if !target.is_empty() && !target.contains("://") {
                found.push((index + 1, target));
            }
        }
    }
    found
}

#[test]
fn the_abi_is_the_one_that_is_documented() {
    let sources: String = rust_files()
        .iter()
        .filter(|file| file.path.starts_with("abi/src/"))
        .map(|file| format!("{}\n{}", file.path, file.text))
        .collect();
    // FNV-1a: to notice changes, not attackers.
    let hash = sources
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    let page = fs::read_to_string(root().join("docs/abi.md")).expect("a page");
    let line = format!("ABI sources: `{hash:016x}`");
    assert!(
        page.lines().any(|found| found == line),
        "the crate `abi` has changed: bring docs/abi.md up to date (and the version, unless it \
         is words only), and make its last line: {line}"
    );
}

#[test]
fn files_that_the_documentation_names_exist() {
    let root = root();
    let top: BTreeSet<String> = fs::read_dir(&root)
        .expect("the top")
        .flatten()
        .filter(|entry| entry.path().is_dir() && entry.file_name() != "target")
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let mut offenders = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".md")) {
        let dir = root.join(&file.path);
        let dir = dir.parent().expect("a directory");
        for (line, target) in links(&file.text) {
            if !dir.join(target).exists() {
                offenders.push(format!("{}:{line}: {target}", file.path));
            }
        }
        for (line, word) in quoted(&file.text) {
            let plain = word
                .chars()
                .all(|c| c.is_alphanumeric() || "._-/".contains(c));
            let in_tree = word
                .split_once('/')
                .is_some_and(|(first, _)| top.contains(first));
            if plain && in_tree && !root.join(word).exists() {
                offenders.push(format!("{}:{line}: {word}", file.path));
            }
        }
    }
    expect_none("named in the documentation, and not there", offenders);
}

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a readme");
    let example = fs::read_to_string(root().join("examples/embed.rs")).expect("an example");
    let code = example
        .split_once("use precast")
        .expect("code after the remarks");
    assert!(
        readme.contains(&format!("```rust\nuse precast{}```", code.1)),
        "README.md and examples/embed.rs differ"
    );
}

#[test]
fn every_make_target_is_there_and_ci_uses_them() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("a Makefile");
    for target in [
        "run",
        "test",
        "check",
        "spec",
        "bench",
        "doc",
        "ci",
        "fuzz",
        "bless",
        "real",
        "figures",
        "versus",
        "edge-test",
    ] {
        assert!(
            makefile.contains(&format!("\n{target}:")),
            "no target {target}"
        );
    }
    let ci = fs::read_to_string(root().join(".ci/run")).expect("the CI script");
    for target in ["check", "test", "edge-test"] {
        assert!(
            ci.contains(&format!("make {target}\n")),
            "CI does not {target}"
        );
    }
}
