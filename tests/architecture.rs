//! Who may import whom (`ARCHITECTURE.md`), and how long a file may be.

#![expect(clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each layer may import of this package, besides itself.
const LAYERS: [(&str, &[&str]); 11] = [
    ("types", &[]),
    ("api", &["types"]),
    ("admin", &["types"]),
    ("validate", &["types", "api"]),
    ("observe", &["types", "api", "admin"]),
    ("plan", &["types", "api", "admin", "validate", "observe"]),
    ("build", &["types", "api", "validate", "plan", "observe"]),
    ("status", &["types", "api", "validate", "observe", "plan", "render"]),
    ("render", &["types", "api", "observe", "plan"]),
    ("effects", &["types", "api", "admin", "observe", "plan", "build", "status"]),
    ("kube_io", &["types", "api"]),
];
/// A file that is longer than this is not read by anybody.
const LINES: usize = 800;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|e| e == "rs") {
            found.push(entry);
        }
    }
    found
}

/// The modules of this package that a file names, tests inside it left out.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_layer_imports_one_above_it() {
    let mut wrong = Vec::new();
    for (layer, allowed) in LAYERS {
        for file in sources(&Path::new("src").join(layer)) {
            let text = fs::read_to_string(&file).expect("a file");
            let modules: BTreeSet<&str> = LAYERS
                .iter()
                .map(|(l, _)| *l)
                .chain(["controllers", "metrics", "operator", "program", "server", "telemetry", "testkit"])
                .collect();
            wrong.extend(
                imports(&text)
                    .into_iter()
                    .filter(|m| modules.contains(m.as_str()) && m != layer && !allowed.contains(&m.as_str()))
                    .map(|m| format!("{} imports {m}", file.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_too_long_and_each_says_what_it_is() {
    for file in sources(Path::new("src")) {
        let text = fs::read_to_string(&file).expect("a file");
        assert!(text.lines().count() <= LINES, "{} has more than {LINES} lines", file.display());
        assert!(text.starts_with("//!"), "{} does not say what it is", file.display());
    }
}
