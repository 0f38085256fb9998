//! The commented file that shows every option.

use std::fmt::Write as _;

use toml::Value;

use super::{SECTIONS, section::SectionInfo};

/// Values that stand in the file instead of being comments: section, key, value.
pub type Filled<'a> = &'a [(&'a str, &'a str, Value)];

/// The text of a configuration file: every option with its documentation and default as a comment, some filled in.
pub fn example(filled: Filled<'_>) -> String {
    let mut text = String::from(
        "# Playhouse's configuration. What is commented out shows the default, or a sample where there is none.\n\
         # Every option can be set by an environment variable too: PLAYHOUSE_SECTION_KEY.\n",
    );
    for section in SECTIONS {
        write_section(&mut text, section, filled);
    }
    text
}

fn write_section(text: &mut String, section: &SectionInfo, filled: Filled<'_>) {
    let defaults = (section.defaults)();
    text.push('\n');
    for line in section.doc {
        push_line(text, format_args!("#{line}"));
    }
    push_line(text, format_args!("[{}]", section.name));
    for option in section.options {
        text.push('\n');
        for line in option.doc {
            push_line(text, format_args!("#{line}"));
        }
        if !option.variables.is_empty() {
            push_line(
                text,
                format_args!("# Also {}.", option.variables.join(", ")),
            );
        }
        let value = filled
            .iter()
            .find(|(name, key, _)| *name == section.name && *key == option.key);
        match (value, defaults.get(option.key)) {
            (Some((.., value)), _) => push_line(text, format_args!("{} = {value}", option.key)),
            (None, Some(default)) => push_line(text, format_args!("#{} = {default}", option.key)),
            (None, None) => push_line(
                text,
                format_args!("#{} = {}", option.key, Value::from(option.sample)),
            ),
        }
    }
}

fn push_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}
