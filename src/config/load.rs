//! Reads file and environment into a [`Config`].

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, SECTIONS, section::OptionInfo};

/// Variables that are ours but no options.
const OTHER_VARIABLES: &[&str] = &["PLAYHOUSE_CONFIG"];

/// Variables of the test-suite.
const TEST_PREFIX: &str = "PLAYHOUSE_TEST_";

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// Something is set that does not exist.
    #[error("{0}")]
    Unknown(String),
    /// A value makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl Config {
    /// Reads a file, if given (or named by `PLAYHOUSE_CONFIG`), and the process's environment.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let variables: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with("PLAYHOUSE_"))
            .map(|(name, value)| match value.into_string() {
                Ok(value) => Ok((name, value)),
                Err(_) => Err(ConfigError::Invalid(format!("{name} is not UTF-8"))),
            })
            .collect::<Result<_, _>>()?;
        let named = variables
            .iter()
            .find(|(name, _)| name == "PLAYHOUSE_CONFIG")
            .map(|(_, path)| PathBuf::from(path));
        let text = match path.map(Path::to_owned).or(named) {
            Some(path) => std::fs::read_to_string(&path)
                .map_err(|error| ConfigError::Unreadable { path, error })?,
            None => String::new(),
        };
        Self::parse(&text, variables)
    }

    /// Reads the text of a file and some variables.
    pub fn parse(
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| ConfigError::Syntax(error.to_string()))?;
        refuse_unknown_keys(&table)?;
        for (name, value) in variables {
            overlay(&mut table, &name, &value)?;
        }
        let config: Config = Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::Invalid(error.to_string()))?;
        config.check()?;
        Ok(config)
    }
}

fn refuse_unknown_keys(table: &Table) -> Result<(), ConfigError> {
    for (name, value) in table {
        let Some(section) = SECTIONS.iter().find(|section| section.name == name) else {
            let names = SECTIONS.iter().map(|section| section.name);
            return Err(ConfigError::Unknown(format!(
                "unknown section [{name}]{}",
                suggestion(name, names)
            )));
        };
        let Value::Table(keys) = value else {
            return Err(ConfigError::Invalid(format!(
                "`{name}` must be a section: write [{name}]"
            )));
        };
        for key in keys.keys() {
            if !section.options.iter().any(|option| option.key == key) {
                let names = section.options.iter().map(|option| option.key);
                return Err(ConfigError::Unknown(format!(
                    "unknown key `{key}` in section [{name}]{}",
                    suggestion(key, names)
                )));
            }
        }
    }
    Ok(())
}

fn overlay(table: &mut Table, name: &str, value: &str) -> Result<(), ConfigError> {
    if OTHER_VARIABLES.contains(&name) || name.starts_with(TEST_PREFIX) {
        return Ok(());
    }
    let Some((section, option)) = option_of_variable(name) else {
        let names: Vec<_> = all_variables().collect();
        return Err(ConfigError::Unknown(format!(
            "unknown variable {name}{}",
            suggestion(name, names.iter().map(String::as_str))
        )));
    };
    // Scripts pass on variables that may be empty: such a variable says nothing.
    if value.is_empty() {
        return Ok(());
    }
    let value = option
        .read(value)
        .map_err(|error| ConfigError::Invalid(format!("{name}: {error}")))?;
    if let Value::Table(keys) = table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()))
    {
        keys.insert(option.key.to_owned(), value);
    }
    Ok(())
}

fn option_of_variable(name: &str) -> Option<(&'static str, &'static OptionInfo)> {
    SECTIONS.iter().find_map(|section| {
        let option = section.options.iter().find(|option| {
            option.variables.contains(&name) || option.variable(section.name) == name
        })?;
        Some((section.name, option))
    })
}

fn all_variables() -> impl Iterator<Item = String> {
    SECTIONS.iter().flat_map(|section| {
        section.options.iter().flat_map(|option| {
            let fixed = option.variables.iter().map(|name| (*name).to_owned());
            fixed.chain([option.variable(section.name)])
        })
    })
}

/// The nearest name, when one is near enough to be meant.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map_or_else(String::new, |(_, known)| {
            format!(", did you mean `{known}`?")
        })
}
