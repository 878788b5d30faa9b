//! The house rules that a program can check.

use std::fs;
use std::path::{Path, PathBuf};

const TOP_LEVEL: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "app",
    "assets",
    "build.rs",
    "engine",
    "tests",
];

#[test]
fn the_engine_knows_no_egui() {
    check_absent("engine", &["egui", "eframe", "rfd", "arboard"]);
}

#[test]
fn the_app_knows_no_burn() {
    check_absent("app", &["burn", "burn_wgpu", "cubecl"]);
}

#[test]
fn a_fact_imports_no_other_fact() {
    for file in rust_files(&["tests/facts"]) {
        for (index, line) in read(&file).lines().enumerate() {
            let is_import = line.trim_start().starts_with("use crate::");
            let is_of_support = line.contains("crate::support::");
            assert!(!is_import || is_of_support, "{}:{}: {line}", file.display(), index + 1);
        }
    }
}

#[test]
fn the_top_level_is_what_the_readme_maps() {
    for entry in fs::read_dir(root()).expect("the root is there") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let known = TOP_LEVEL.contains(&&*name);
        assert!(known || name.starts_with('.') || is_ignored(&name), "the README does not map {name}");
    }
}

/// Words that this code once had for what the field has a name for.
const PRIVATE_WORDS: [&str; 44] = [
    "banded",
    "care",
    "chores",
    "desk",
    "develop",
    "dress",
    "errand",
    "filling",
    "frugal",
    "generous",
    "given",
    "halt",
    "hear",
    "hearing",
    "hindrance",
    "leg",
    "librarian",
    "look",
    "looked",
    "misfit",
    "news",
    "patience",
    "persistence",
    "puppet",
    "reel",
    "relay",
    "rescued",
    "room",
    "seen",
    "shelf",
    "shelves",
    "shot",
    "sparing",
    "spelling",
    "spotlight",
    "standing",
    "stamp",
    "teller",
    "thrift",
    "trouble",
    "walk",
    "walked",
    "way",
    "wish",
];

#[test]
fn nothing_is_named_by_a_private_word() {
    const DEFINITIONS: [&str; 8] = ["struct", "enum", "trait", "type", "fn", "mod", "const", "static"];
    for file in rust_files(&["app", "engine", "tests"]) {
        let text = read(&file);
        for (index, line) in text.lines().enumerate() {
            let mut words =
                line.split(|c: char| !c.is_alphanumeric() && c != '_').skip_while(|word| word.is_empty());
            let place = || format!("{}:{}: {}", file.display(), index + 1, line.trim());
            // `pub(crate) struct Name`, and no word of a comment.
            let is_comment = line.trim_start().starts_with("//");
            while let Some(word) = words.next().filter(|_| !is_comment) {
                if !DEFINITIONS.contains(&word) {
                    continue;
                }
                let name = words.next().unwrap_or_default();
                assert!(!PRIVATE_WORDS.contains(&&*name.to_lowercase()), "{}", place());
                assert!(!name.ends_with("Wish") && !name.ends_with("Desk"), "{}", place());
                assert!(!name.starts_with("MOST_") && !name.starts_with("LEAST_"), "{}", place());
            }
        }
    }
}

/// Fails if a line of code names one of these crates. Comments may.
fn check_absent(folder: &str, crates: &[&str]) {
    for file in rust_files(&[folder]) {
        for (index, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for name in crates {
                let named = code.contains(&format!("{name}::"))
                    || code.trim() == format!("use {name};")
                    || code.contains(&format!("extern crate {name}"));
                assert!(!named, "{}:{} names {name}: {line}", file.display(), index + 1);
            }
        }
    }
    let manifest = if folder == "engine" { "engine/Cargo.toml" } else { "Cargo.toml" };
    for line in read(&root().join(manifest)).lines() {
        let dependency = line.split(['=', '.']).next().unwrap_or_default().trim();
        assert!(!crates.contains(&dependency), "{manifest} depends on {dependency}");
    }
}

/// What git does not carry: build output, virtual environments, a shared folder beside a checkout.
fn is_ignored(name: &str) -> bool {
    let listed = std::process::Command::new("git")
        .args(["ls-files", "--error-unmatch", "--", name])
        .current_dir(root())
        .output();
    // Without git nothing says what it would carry, and only the build output is let through.
    listed.map_or(name == "target", |listed| !listed.status.success())
}

fn rust_files(folders: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "no sources in {folders:?}");
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("a source file reads")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
