//! Settings: flag, environment, file, default, in this order.
//!
//! Every setting is a flag with an environment variable `TIDELOG_<SECTION>_<KEY>`. A file gives
//! the same settings as `[section]` tables; its values become the defaults of the flags of the
//! same name, so there is one list of settings and `--help` shows what is in force. A key that no
//! command knows is an error, never ignored.

use crate::error::{Error, Result, Wrap};
use clap::Command;
use std::collections::BTreeMap;
use std::path::Path;

/// Settings of a file by the name of their environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSettings {
    values: BTreeMap<String, String>,
}

impl FileSettings {
    /// Reads a settings file.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) when it cannot be read or is not TOML of
    /// sections with plain values.
    pub fn read(path: &Path) -> Result<FileSettings> {
        let text = std::fs::read_to_string(path)
            .wrap(|| Error::config("read settings file").field("path", path.display()))?;
        Self::parse(&text).map_err(|error| error.field("path", path.display()))
    }

    /// Parses the text of a settings file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(text: &str) -> Result<FileSettings> {
        let table: toml::Table = text.parse().wrap(|| Error::config("parse settings file"))?;
        let mut values = BTreeMap::new();
        for (section, value) in table {
            let toml::Value::Table(keys) = value else {
                return Err(Error::config(
                    "parse settings file: a setting stands outside of a section",
                )
                .field("key", section)
                .hint("write [section] and key = value below it"));
            };
            for (key, value) in keys {
                let text = match value {
                    toml::Value::String(text) => text,
                    toml::Value::Integer(number) => number.to_string(),
                    toml::Value::Boolean(flag) => flag.to_string(),
                    _ => {
                        return Err(Error::config("parse settings file: a value is not plain")
                            .field("key", format!("{section}.{key}")));
                    }
                };
                values.insert(variable(&section, &key), text);
            }
        }
        Ok(FileSettings { values })
    }

    /// Makes the file's values the defaults of the flags of the same name, in a command and its
    /// subcommands.
    ///
    /// # Errors
    /// [`Config`](crate::error::ErrorKind::Config) for a key that no command knows.
    pub fn apply(&self, mut command: Command) -> Result<Command> {
        let mut unknown: BTreeMap<&str, ()> =
            self.values.keys().map(|k| (k.as_str(), ())).collect();
        command = self.apply_to(command, &mut unknown);
        match unknown.keys().next() {
            None => Ok(command),
            Some(name) => Err(Error::config("apply settings file: no such setting")
                .field("variable", name)
                .hint("`tidelog help COMMAND` lists every setting with its variable")),
        }
    }

    fn apply_to(&self, mut command: Command, unknown: &mut BTreeMap<&str, ()>) -> Command {
        let known: Vec<(clap::Id, String)> = command
            .get_arguments()
            .filter_map(|arg| {
                let variable = arg.get_env()?.to_str()?;
                let value = self.values.get(variable)?;
                unknown.remove(variable);
                Some((arg.get_id().clone(), value.clone()))
            })
            .collect();
        for (id, value) in known {
            command = command.mut_arg(id, |arg| arg.default_value(value).required(false));
        }
        let names: Vec<String> = command
            .get_subcommands()
            .map(|c| c.get_name().to_owned())
            .collect();
        for name in names {
            command = command.mut_subcommand(name, |sub| self.apply_to(sub, unknown));
        }
        command
    }
}

/// `TIDELOG_<SECTION>_<KEY>`.
fn variable(section: &str, key: &str) -> String {
    format!("TIDELOG_{section}_{key}")
        .to_ascii_uppercase()
        .replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn command() -> Command {
        Command::new("t").subcommand(
            Command::new("run")
                .arg(
                    Arg::new("source")
                        .long("source")
                        .env("TIDELOG_TESTSOURCE_URL")
                        .required(true),
                )
                .arg(
                    Arg::new("age")
                        .long("age")
                        .env("TIDELOG_TESTCAPTURE_AGE")
                        .default_value("60"),
                ),
        )
    }

    fn run(file: &str, args: &[&str]) -> (String, String) {
        let command = FileSettings::parse(file)
            .expect("file")
            .apply(command())
            .expect("known keys");
        let matches = command.try_get_matches_from(args).expect("arguments");
        let (_, sub) = matches.subcommand().expect("subcommand");
        let get = |id| sub.get_one::<String>(id).cloned().expect("a value");
        (get("source"), get("age"))
    }

    #[test]
    fn flag_wins_over_file_and_file_over_default() {
        let file = "[testsource]\nurl = \"mysql://a/\"\n[testcapture]\nage = 5\n";
        assert_eq!(run(file, &["t", "run"]), ("mysql://a/".into(), "5".into()));
        assert_eq!(run(file, &["t", "run", "--age", "7"]).1, "7");
        assert_eq!(
            run("", &["t", "run", "--source", "x"]),
            ("x".into(), "60".into())
        );
    }

    #[test]
    fn unknown_keys_and_loose_values_are_refused() {
        let unknown = FileSettings::parse("[testcapture]\nagee = 5")
            .expect("file")
            .apply(command());
        assert_eq!(
            unknown.expect_err("no such key").get("variable"),
            Some("TIDELOG_TESTCAPTURE_AGEE")
        );
        assert!(FileSettings::parse("age = 5").is_err());
        assert!(FileSettings::parse("[a]\nb = [1]").is_err());
    }
}
