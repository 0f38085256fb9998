//! The layout rules that a compiler does not check.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use syn::{UseTree, visit::Visit};

/// A file may have so many lines.
const FILE_LINES_MAX: usize = 500;

/// The order of modules in `actors/`: one imports only from those before it.
const ACTOR_MODULES: &[&str] = &[
    "env",
    "trace",
    "kernel",
    "writers",
    "cluster",
    "room",
    "alias",
    "user",
    "active_users",
    "backup",
    "media",
    "purges",
    "joins",
    "registration",
    "reports",
    "admins",
    "threepid",
    "delays",
    "gateway",
    "passes",
    "oauth",
    "externals",
    "peer_keys",
    "peer_users",
    "server",
    "followers",
    "pushers",
    "desks",
    "house",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the file can be read")
}

/// Tests beside the code may stand on anything.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.iter().any(|part| part == "tests")
}

fn name(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Every path that a file's `use` items and expressions begin with, as written: `crate::room`, `actix_web::web`.
#[derive(Default)]
struct Paths(BTreeSet<String>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        collect(&item.tree, String::new(), &mut self.0);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.0.insert(segments.join("::"));
        syn::visit::visit_path(self, path);
    }
}

fn collect(tree: &UseTree, prefix: String, found: &mut BTreeSet<String>) {
    let join = |ident: &syn::Ident| {
        if prefix.is_empty() {
            ident.to_string()
        } else {
            format!("{prefix}::{ident}")
        }
    };
    match tree {
        UseTree::Path(path) => collect(&path.tree, join(&path.ident), found),
        UseTree::Name(name) => drop(found.insert(join(&name.ident))),
        UseTree::Rename(rename) => drop(found.insert(join(&rename.ident))),
        UseTree::Glob(_) => drop(found.insert(prefix)),
        UseTree::Group(group) => group
            .items
            .iter()
            .for_each(|item| collect(item, prefix.clone(), found)),
    }
}

fn paths(file: &Path) -> BTreeSet<String> {
    let parsed =
        syn::parse_file(&read(file)).unwrap_or_else(|error| panic!("{}: {error}", name(file)));
    let mut paths = Paths::default();
    paths.visit_file(&parsed);
    paths.0
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = ["src", "actors", "schema", "tests", "ops"]
        .into_iter()
        .flat_map(rust_files)
        .filter_map(|path| {
            let lines = read(&path).lines().count();
            (lines > FILE_LINES_MAX).then(|| format!("{} has {lines} lines", name(&path)))
        })
        .collect();
    assert!(
        long.is_empty(),
        "files over {FILE_LINES_MAX} lines: {long:#?}"
    );
}

#[test]
fn actors_import_only_from_the_left() {
    let mut wrong = Vec::new();
    for file in rust_files("actors")
        .into_iter()
        .filter(|file| !is_test(file))
    {
        let relative = file
            .strip_prefix(root().join("actors"))
            .expect("it is inside");
        let module = relative
            .iter()
            .next()
            .and_then(|first| first.to_str())
            .unwrap_or_default()
            .trim_end_matches(".rs");
        let Some(place) = ACTOR_MODULES.iter().position(|known| *known == module) else {
            continue;
        };
        for path in paths(&file) {
            let Some(other) = path
                .strip_prefix("crate::")
                .and_then(|rest| rest.split("::").next())
            else {
                continue;
            };
            if ACTOR_MODULES
                .iter()
                .position(|known| *known == other)
                .is_some_and(|other| other > place)
            {
                wrong.push(format!("{} uses {path}", name(&file)));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports against the order {ACTOR_MODULES:?}: {wrong:#?}"
    );
}

#[test]
fn libraries_stay_where_they_belong() {
    let rules: [(&str, &[&str]); 7] = [
        ("actix_web", &["src/"]),
        ("actix", &["src/", "actors/writers/"]),
        ("rusqlite", &["schema/drivers/"]),
        ("tokio_postgres", &["schema/drivers/"]),
        ("playhouse_actors", &["src/", "tests/", "ops/"]),
        // The wire shows ractor an actor of its own: the gate.
        ("ractor", &["actors/", "src/cluster/wire/"]),
        ("ractor_cluster", &["src/cluster/wire/"]),
    ];
    let mut wrong = Vec::new();
    for file in ["src", "actors", "schema"].into_iter().flat_map(rust_files) {
        let file_name = name(&file);
        let used = paths(&file);
        for (library, places) in rules {
            let uses = used
                .iter()
                .any(|path| path.split("::").next() == Some(library));
            if uses && !places.iter().any(|place| file_name.starts_with(place)) {
                wrong.push(format!("{file_name} uses {library}"));
            }
        }
        if file_name.starts_with("actors/") && used.iter().any(|path| path.starts_with("ruma::api"))
        {
            wrong.push(format!("{file_name} uses ruma::api"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sql_stands_in_schema_only() {
    let words = ["INSERT INTO ", "SELECT ", "DELETE FROM ", "CREATE TABLE "];
    let wrong: Vec<_> = ["src", "actors"]
        .into_iter()
        .flat_map(rust_files)
        .filter(|path| !is_test(path) && words.iter().any(|word| read(path).contains(word)))
        .map(|path| name(&path))
        .collect();
    assert!(wrong.is_empty(), "SQL outside schema/: {wrong:#?}");
}

#[test]
fn endpoints_are_mounted() {
    let mut wrong = Vec::new();
    for file in ["src/client"].into_iter().flat_map(rust_files) {
        let stem = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if stem == "mod" || !read(&file).contains("pub(crate) async fn handle") {
            continue;
        }
        let folder = read(&file.with_file_name("mod.rs"));
        if !folder.contains(&format!("{stem}::handle")) {
            wrong.push(name(&file));
        }
    }
    assert!(wrong.is_empty(), "endpoints that nobody mounts: {wrong:#?}");
}
