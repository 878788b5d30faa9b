//! The modules of a crate have an order, and no import climbs it: a module knows only those below.

use std::fs;
use std::path::{Path, PathBuf};

/// The engine's top modules from bottom to top.
const ENGINE: [&str; 21] = [
    "choice",
    "error",
    "format",
    "files",
    "cpu",
    "gpu",
    "diffusion",
    "device",
    "models",
    "tokenizer",
    "checkpoint",
    "concepts",
    "prompt",
    "losses",
    "paint",
    "recipe",
    "images",
    "memory",
    "pipeline",
    "inspect",
    "session",
];

/// The app's top modules from bottom to top.
const APP: [&str; 6] = ["ui", "hub", "library", "features", "window", "cli"];

#[test]
fn no_import_of_the_engine_climbs() {
    check("engine", &ENGINE);
}

#[test]
fn no_import_of_the_app_climbs() {
    check("app", &APP);
}

fn check(name: &str, order: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut modules = top_modules(&root);
    modules.sort();
    let mut known = order.to_vec();
    known.sort_unstable();
    assert_eq!(modules, known, "each top module of {name} has its place in the order");
    let mut climbs = Vec::new();
    for (file, module) in files_of(&root) {
        let source = fs::read_to_string(&file).expect("a source file reads");
        climbs.extend(climbing_imports(order, &module, &source).into_iter().map(|(line, target)| {
            format!("{}:{line}: {} imports {target}, which is above it", file.display(), module[0])
        }));
    }
    assert!(climbs.is_empty(), "{}", climbs.join("\n"));
}

/// The files beside `lib.rs`, and the folders with a `mod.rs`.
fn top_modules(root: &Path) -> Vec<String> {
    let paths = fs::read_dir(root).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let is_file = |path: &PathBuf| path.extension().is_some_and(|end| end == "rs");
    let modules = paths.filter(|path| is_file(path) || path.join("mod.rs").is_file());
    let names = modules.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned());
    names.filter(|name| !["lib", "main"].contains(&name.as_str())).collect()
}

/// Each file of a crate below its root, with the path of its module.
fn files_of(root: &Path) -> Vec<(PathBuf, Vec<String>)> {
    let mut files = Vec::new();
    for name in top_modules(root) {
        let (file, folder) = (root.join(format!("{name}.rs")), root.join(&name));
        if file.is_file() {
            files.push((file, vec![name.clone()]));
        }
        if folder.is_dir() {
            gather(&folder, &[name], &mut files);
        }
    }
    files
}

fn gather(folder: &Path, module: &[String], files: &mut Vec<(PathBuf, Vec<String>)>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            gather(&path, &[module, &[stem]].concat(), files);
        } else if stem == "mod" {
            files.push((path, module.to_vec()));
        } else if path.extension().is_some_and(|end| end == "rs") && stem != "tests" {
            files.push((path, [module, &[stem]].concat()));
        }
    }
}

/// The imports of a module from above it: the line, counted from 1, and the top module that is imported.
/// Comments, strings and what is compiled for tests alone do not count.
fn climbing_imports(order: &[&str], module: &[String], source: &str) -> Vec<(usize, String)> {
    let code = without_tests(&without_texts(source));
    let place = |name: &str| order.iter().position(|known| *known == name);
    let own = place(&module[0]);
    let mut climbs = Vec::new();
    for (start, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        // A path begins here: neither `pub(crate)::` nor the second `super` of two.
        if code[..start].ends_with(|c: char| c.is_alphanumeric() || "_$:".contains(c)) {
            continue;
        }
        let line = 1 + code[..start].matches('\n').count();
        for name in top_names(&code[start..], module.len()) {
            if place(name) > own {
                climbs.push((line, name.to_owned()));
            }
        }
    }
    climbs.sort();
    climbs
}

/// The names that a path beginning with `crate::` or `super::` finds at the crate's root, from a module at
/// this depth.
fn top_names(path: &str, depth: usize) -> Vec<&str> {
    let mut rest = path;
    let mut climbed = 0;
    while let Some(after) = rest.strip_prefix("super::") {
        (rest, climbed) = (after, climbed + 1);
    }
    match rest.strip_prefix("crate::") {
        Some(after) => rest = after,
        None if climbed < depth => return Vec::new(),
        None => {}
    }
    let Some(group) = rest.strip_prefix('{') else { return vec![first_name(rest)] };
    let (mut names, mut nested, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => nested += 1,
            '}' if nested > 0 => nested -= 1,
            ',' | '}' if nested == 0 => {
                names.push(first_name(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn first_name(path: &str) -> &str {
    path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The code with blanks in place of comments, strings and character literals, line by line as before.
fn without_texts(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let raw_string = rest.strip_prefix('r').map(|text| text.trim_start_matches('#'));
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if raw_string.is_some_and(|text| text.starts_with('"')) && !code.ends_with(is_of_word) {
            let hashes = rest[1..].find('"').expect("a quote");
            let end = format!("\"{}", "#".repeat(hashes));
            rest[hashes + 2..].find(&end).map_or(rest.len(), |at| hashes + 2 + at + end.len())
        } else if c == '"' {
            quoted_len(rest, '"')
        } else if c == '\'' && is_character(rest) {
            quoted_len(rest, '\'')
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        code.extend(rest[..len].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[len..];
    }
    code
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a quote begins a character and not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

/// From one quote to the next that no backslash precedes.
fn quoted_len(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    rest.len()
}

/// The code with blanks in place of every item behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        let item = &rest[start..];
        let mut nested = 0;
        let end = item.char_indices().find_map(|(at, c)| {
            match c {
                '{' => nested += 1,
                '}' => nested -= 1,
                _ => {}
            }
            let is_end = nested == 0 && (c == ';' || c == '}');
            is_end.then_some(at + 1)
        });
        let end = end.unwrap_or(item.len());
        kept.push_str(&rest[..start]);
        kept.extend(item[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &item[end..];
    }
    kept + rest
}

#[test]
fn an_import_from_above_is_found_however_it_is_written() {
    const ORDER: [&str; 3] = ["low", "middle", "high"];
    let found = |module: &[&str], source: &str| {
        let module: Vec<String> = module.iter().map(|&name| name.to_owned()).collect();
        climbing_imports(&ORDER, &module, source)
    };
    let high = |line: usize| vec![(line, "high".to_owned())];
    for (line, source) in [
        (1, "use crate::high::Thing;"),
        (2, "\nfn f() { crate::high::g() }"),
        (1, "use crate::{low::{A, B}, high};"),
        (1, "use crate::{\n    low,\n    high::Thing,\n};"),
        (1, "use super::super::high::Thing;"),
        (3, "#[cfg(test)]\nmod tests { use crate::high::A; }\nuse crate::high::B;"),
        (1, "const QUOTE: char = '\"'; type A<'a> = crate::high::Thing<'a>;"),
    ] {
        assert_eq!(found(&["middle", "part"], source), high(line), "{source}");
    }
    assert_eq!(found(&["middle"], "use super::high::Thing;"), high(1));
    assert_eq!(found(&["low"], "use crate::{high, middle};").len(), 2);
    for source in [
        "use crate::low::Thing;",
        "use crate::middle::other::Thing;",
        "use super::high::Thing;",
        "use crate::{low, middle::{high, other}};",
        "// use crate::high::Thing;",
        "/// As in [`crate::high`].\nfn f() {}",
        "#[cfg(test)]\nuse crate::high::Thing;",
        "#[cfg(test)]\nmod tests {\n    fn f() { crate::high::g() }\n}",
        "const TEXT: &str = \"crate::high\"; const RAW: &str = r#\"use \"crate::high\";\"#;",
        "pub(crate) fn f() {}",
        "use other_crate::high::Thing;",
    ] {
        assert_eq!(found(&["middle", "part"], source), [], "{source}");
    }
}
