//! The page of the manual that tells of every option, written from the same definitions as the example file.

use std::fmt::Write as _;

use toml::Value;

use super::{
    SECTIONS,
    section::{Form, OptionInfo, SectionInfo},
};

/// What stands before the sections.
const INTRODUCTION: &str = "\
# Configuration reference

Every option of the configuration file. A test writes this page from the program's own definitions: what stands here is what the program reads.

- The file is TOML. `--config FILE` names it, or the variable `PLAYHOUSE_CONFIG`. Without a file every option has its default.
- Every option can be set by an environment variable too, which goes before the file. A variable that is empty says nothing. Lists are separated by
  commas, switches are `true` or `false` (or `on`, `off`, `yes`, `no`, `1`, `0`), tables are written as TOML.
- A section, key or variable (`PLAYHOUSE_…`) that does not exist is refused, and the nearest one is proposed. `playhouse config check` reads file and
  environment and says what is wrong.
- A running server reads certificates from files, the log level and the apps of the push gateway again on SIGHUP. Everything else needs a restart.
- `playhouse config new` writes a file in which every option stands as a comment, with a signing key and fresh secrets.
";

/// The text of the page.
fn reference() -> String {
    let mut text = String::from(INTRODUCTION);
    for section in SECTIONS {
        write_section(&mut text, section);
    }
    text
}

fn write_section(text: &mut String, section: &SectionInfo) {
    let defaults = (section.defaults)();
    push_line(text, format_args!("\n## [{}]\n", section.name));
    write_doc(text, section.doc);
    for option in section.options {
        push_line(
            text,
            format_args!("\n### [{}] {}\n", section.name, option.key),
        );
        write_doc(text, option.doc);
        let kind = kind(option.form);
        let value = match defaults.get(option.key) {
            Some(default) => format!("default `{default}`"),
            None => format!(
                "absent by default, for example `{}`",
                Value::from(option.sample)
            ),
        };
        let variables = variables(section, option);
        push_line(text, format_args!("\n{kind}, {value}. {variables}."));
    }
}

fn write_doc(text: &mut String, doc: &[&str]) {
    for line in doc {
        push_line(text, format_args!("{}", line.trim_start()));
    }
}

fn kind(form: Form) -> &'static str {
    match form {
        Form::Text => "Text",
        Form::Number => "Number",
        Form::Switch => "Switch",
        Form::List => "List of texts",
        Form::Tables => "Tables",
    }
}

/// All variables by which an option can be set, the one that follows from its name last.
fn variables(section: &SectionInfo, option: &OptionInfo) -> String {
    let derived = option.variable(section.name);
    let mut names: Vec<&str> = option.variables.to_vec();
    if !names.contains(&derived.as_str()) {
        names.push(&derived);
    }
    let word = match names.len() {
        1 => "Variable",
        _ => "Variables",
    };
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("{word} {}", names.join(", "))
}

fn push_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

#[test]
fn reference_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/docs/configuration.md");
    let generated = reference();
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    if stored != generated {
        std::fs::write(path, generated).unwrap();
        panic!("ops/docs/configuration.md was out of date; it has been written anew, commit it");
    }
}

#[test]
fn every_option_is_told_with_its_variable() {
    let text = reference();
    for section in SECTIONS {
        for option in section.options {
            let heading = format!("\n### [{}] {}\n", section.name, option.key);
            assert!(text.contains(&heading), "{heading}");
            let variable = format!("`{}`", option.variable(section.name));
            assert!(text.contains(&variable), "{variable}");
        }
    }
}
