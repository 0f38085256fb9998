//! The manual: every page is in the book, what links point to is there, and options and messages are those of the program.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// A part of a message that is shorter says too little to be looked for.
const MESSAGE_PART_MIN: usize = 6;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    let text = std::fs::read_to_string(path);
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn manual() -> PathBuf {
    root().join("ops/docs")
}

/// All pages whose links are looked at.
fn pages() -> Vec<PathBuf> {
    let mut pages = files(&manual(), "md");
    pages.push(root().join("README.md"));
    pages
}

/// The lines of a page that are text, without what is quoted.
fn text_lines(page: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_quoted = !is_quoted;
        } else if !is_quoted && !line.starts_with("    ") {
            lines.push(line);
        }
    }
    lines
}

/// A line without what stands in backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// Where the links of a page lead.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text_lines(page) {
        let line = without_code(line);
        for after in line.split("](").skip(1) {
            if let Some((target, _)) = after.split_once(')') {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// What a heading is called in links, as mdBook and GitHub do it.
fn anchor(heading: &str) -> String {
    let letters = heading.trim().chars().filter_map(|letter| {
        if letter.is_alphanumeric() || letter == '_' || letter == '-' {
            Some(letter.to_ascii_lowercase())
        } else {
            letter.is_whitespace().then_some('-')
        }
    });
    letters.collect()
}

/// What links to a page may name.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for line in text_lines(page) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let name = anchor(heading);
        let before = times.entry(name.clone()).or_default();
        found.insert(match *before {
            0 => name,
            before => format!("{name}-{before}"),
        });
        *before += 1;
    }
    found
}

#[test]
fn every_page_is_in_the_book() {
    let summary = manual().join("SUMMARY.md");
    let named: Vec<String> = links(&read(&summary));
    let once: BTreeSet<&String> = named.iter().collect();
    assert_eq!(once.len(), named.len(), "a page is named twice");
    let missing: Vec<String> = files(&manual(), "md")
        .iter()
        .filter(|page| **page != summary)
        .filter_map(|page| page.strip_prefix(manual()).ok())
        .map(|page| page.display().to_string())
        .filter(|page| !once.contains(page))
        .collect();
    assert!(missing.is_empty(), "not in SUMMARY.md: {missing:?}");
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = read(&page);
        let folder = page.parent().expect("a page is in a folder");
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, name) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let target = match file {
                "" => page.clone(),
                file => folder.join(file),
            };
            let is_there =
                target.exists() && (name.is_empty() || anchors(&read(&target)).contains(name));
            if !is_there {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links to nothing: {wrong:#?}");
}

/// What stands in backticks in the first column of a table.
fn messages(page: &str) -> Vec<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|message| !message.starts_with("M_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn messages_are_those_of_the_program() {
    let mut program = String::new();
    for folder in ["src", "actors", "schema"] {
        for file in files(&root().join(folder), "rs") {
            let mut continues = false;
            for line in read(&file).lines() {
                // A text may go on in the next line.
                let line = if continues { line.trim_start() } else { line };
                continues = line.ends_with('\\');
                program.push_str(line.trim_end_matches('\\'));
                if !continues {
                    program.push('\n');
                }
            }
        }
    }
    let page = read(&manual().join("troubleshooting.md"));
    let told = messages(&page);
    assert!(told.len() > 100, "{} messages", told.len());
    let strange: Vec<&String> = told
        .iter()
        .filter(|message| {
            message
                .split('…')
                .map(|part| part.trim_matches([' ', ':', ',', '.', '(', ')', '[', ']']))
                .any(|part| part.len() >= MESSAGE_PART_MIN && !program.contains(part))
        })
        .collect();
    assert!(
        strange.is_empty(),
        "in troubleshooting.md, and nowhere in the program: {strange:#?}"
    );
}

/// The variables of the configuration that a text names.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words
        .filter(|word| word.starts_with("PLAYHOUSE_") && !word.starts_with("PLAYHOUSE_TEST_"))
        .collect()
}

/// The options that a text names, as `[section] key` in backticks, perhaps with a value.
fn options(text: &str) -> BTreeSet<&str> {
    let code = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let options = code.filter_map(|code| {
        let option = code.split(" = ").next()?;
        let (section, key) = option.strip_prefix('[')?.split_once("] ")?;
        let is_name = |text: &str| {
            let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            !text.is_empty() && text.chars().all(is_letter)
        };
        (is_name(section) && is_name(key)).then_some(option)
    });
    options.collect()
}

#[test]
fn named_options_exist() {
    // Which another test holds to the program.
    let reference = read(&manual().join("configuration.md"));
    let known_variables = variables(&reference);
    let headings = reference
        .lines()
        .filter_map(|line| line.strip_prefix("### "));
    let known_options: BTreeSet<&str> = headings.collect();
    let sections = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## "));
    let sections: BTreeSet<&str> = sections.collect();
    // Pages for developers name those of other files, too.
    let is_ours = |option: &str| {
        let section = option.split(' ').next();
        section.is_some_and(|section| sections.contains(section))
    };
    let mut all = pages();
    all.extend(files(&root().join("ops/compose"), "yaml"));
    all.extend(files(&root().join("ops/systemd"), "service"));
    all.push(root().join("ops/docker/Dockerfile"));
    let mut wrong = Vec::new();
    for page in all {
        let text = read(&page);
        for name in variables(&text) {
            if !known_variables.contains(name) {
                wrong.push(format!("{}: {name}", page.display()));
            }
        }
        for name in options(&text) {
            if is_ours(name) && !known_options.contains(name) {
                wrong.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "no options: {wrong:#?}");
}

#[test]
fn anchors_are_those_of_the_book() {
    let page = "# One `two`\n\n## [listen] client\n\n## One two\n\n```\n# none\n```\n";
    let expected = ["listen-client", "one-two", "one-two-1"];
    assert!(anchors(page).iter().eq(expected.iter()));
    assert_eq!(links("[a](b.md#c) `[d](e)` [f](#g)"), ["b.md#c", "#g"]);
}
