//! One definition for each option: its type, default, documentation and variable names serve the file, the environment and the example alike.

use toml::Value;

/// What an option holds, so that an environment variable can be read as the file would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`; `on`, `off`, `yes`, `no`, `1` and `0` are understood too.
    Switch,
    /// Texts; in a variable separated by commas.
    List,
    /// Tables; in a variable written as TOML.
    Tables,
}

/// A Rust type that an option may have.
pub(crate) trait Setting {
    /// How it is written.
    const FORM: Form;
}

impl Setting for String {
    const FORM: Form = Form::Text;
}

impl Setting for u64 {
    const FORM: Form = Form::Number;
}

impl Setting for bool {
    const FORM: Form = Form::Switch;
}

impl Setting for Vec<String> {
    const FORM: Form = Form::List;
}

impl<T: Setting> Setting for Option<T> {
    const FORM: Form = T::FORM;
}

/// What is known of an option without a configuration at hand.
pub(crate) struct OptionInfo {
    /// Its key within the section.
    pub(crate) key: &'static str,
    /// Its documentation, one entry for each line.
    pub(crate) doc: &'static [&'static str],
    /// Fixed variable names beside the one that follows from section and key.
    pub(crate) variables: &'static [&'static str],
    /// What it holds.
    pub(crate) form: Form,
    /// What the example shows when there is no default.
    pub(crate) sample: &'static str,
}

/// A section of the configuration.
pub(crate) struct SectionInfo {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// Its documentation.
    pub(crate) doc: &'static [&'static str],
    /// Its options in order.
    pub(crate) options: &'static [OptionInfo],
    /// The defaults; options that are absent by default are missing.
    pub(crate) defaults: fn() -> toml::Table,
}

impl OptionInfo {
    /// The variable that follows from section and key.
    pub(crate) fn variable(&self, section: &str) -> String {
        format!("PLAYHOUSE_{section}_{}", self.key).to_ascii_uppercase()
    }

    /// Reads a variable's text as the file would be read.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        match self.form {
            Form::Text => Ok(Value::String(text.to_owned())),
            Form::Number => text
                .trim()
                .parse()
                .map(Value::Integer)
                .map_err(|_| format!("`{text}` is not a whole number")),
            Form::Switch => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Ok(Value::Boolean(true)),
                "false" | "off" | "no" | "0" => Ok(Value::Boolean(false)),
                _ => Err(format!("`{text}` is neither true nor false")),
            },
            Form::List => Ok(Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Value::String(item.to_owned()))
                    .collect(),
            )),
            Form::Tables => format!("value = {text}")
                .parse::<toml::Table>()
                .map_err(|error| error.message().to_owned())
                .and_then(|mut table| table.remove("value").ok_or_else(|| "empty".to_owned())),
        }
    }
}

/// Defines a section: the struct, its defaults and its [`SectionInfo`], from one list.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])*
        $name:literal $struct:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $type:ty = $default:expr $(, sample $sample:literal)? $(, variable $variable:literal)* ;
            )*
        }
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $struct {
            $(
                $(#[doc = $doc])*
                #[serde(skip_serializing_if = "crate::config::section::is_absent")]
                pub $key: $type,
            )*
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $struct {
            pub(crate) const INFO: $crate::config::section::SectionInfo = $crate::config::section::SectionInfo {
                name: $name,
                doc: &[$($section_doc,)*],
                options: &[$(
                    $crate::config::section::OptionInfo {
                        key: stringify!($key),
                        doc: &[$($doc,)*],
                        variables: &[$($variable,)*],
                        form: <$type as $crate::config::section::Setting>::FORM,
                        sample: concat!($($sample)?),
                    },
                )*],
                defaults: || toml::Table::try_from($struct::default())
                    .expect("defaults are text, numbers, switches and lists"),
            };
        }
    };
}

pub(crate) use section;

/// Whether an option is absent; options that cannot be absent never are.
pub(crate) fn is_absent<T: serde::Serialize>(value: &T) -> bool {
    // TOML cannot write `None`: that is how an absent option is told.
    Value::try_from(value).is_err()
}
