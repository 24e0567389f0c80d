//! MySQL option files (`~/.my.cnf`): the `[client]` group as an [`Endpoint`].
//!
//! Syntax as in the MySQL manual, "Using Option Files": `key=value`, `-` and `_` alike, values
//! bare or quoted, backslash escapes, comments with `#` and `;`. `!include` is refused rather than
//! skipped, because a skipped line could hold the setting that matters.

use super::{Endpoint, Secret};
use crate::error::{Error, Result, Wrap};
use std::path::{Path, PathBuf};

/// Reads the `[client]` group (and `[tidelog]`, which overrides it) of an option file; keys that
/// concern other programs are left alone.
///
/// # Errors
/// [`Config`](crate::error::ErrorKind::Config) when the file cannot be read, a line cannot be
/// understood, or no user is given.
pub fn read_option_file(path: &Path) -> Result<Endpoint> {
    let text = std::fs::read_to_string(path)
        .wrap(|| Error::config("read option file").field("path", path.display()))?;
    parse(&text)
        .map_err(|(line, what)| {
            Error::config("read option file")
                .field("path", path.display())
                .field("line", line)
                .hint(what)
        })?
        .validate()
        .map_err(|e| e.field("path", path.display()))
}

type Bad = (usize, &'static str);

fn parse(text: &str) -> Result<Endpoint, Bad> {
    let mut endpoint = Endpoint::default();
    for group in ["client", "tidelog"] {
        let mut current = "";
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let bad = |what| (index + 1, what);
            if line.starts_with('!') {
                return Err(bad(
                    "!include is not followed: copy the [client] lines here",
                ));
            }
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                let name = name.split_once(']').map(|(name, _)| name);
                current = name.ok_or_else(|| bad("close the group name by ]"))?.trim();
                continue;
            }
            if current == group {
                set(&mut endpoint, line).map_err(bad)?;
            }
        }
    }
    Ok(endpoint)
}

fn set(endpoint: &mut Endpoint, line: &str) -> Result<(), &'static str> {
    let (key, value) = line.split_once('=').unwrap_or((line, ""));
    let value = unquote(value.trim())?;
    let path = || Some(PathBuf::from(&value));
    match key.trim().replace('_', "-").as_str() {
        "user" => endpoint.user = value,
        "password" => endpoint.password = Secret::new(value),
        "host" => endpoint.host = value,
        "port" => endpoint.port = value.parse().map_err(|_| "port is a number up to 65535")?,
        "socket" => endpoint.socket = path(),
        "ssl-ca" => endpoint.ssl_ca = path(),
        "ssl-cert" => endpoint.ssl_cert = path(),
        "ssl-key" => endpoint.ssl_key = path(),
        "ssl-mode" => {
            endpoint.ssl_mode = value.parse().map_err(
                |_| "ssl-mode is disabled, preferred, required, verify-ca or verify-full",
            )?;
        }
        _ => {}
    }
    Ok(())
}

/// Takes quotes off, a trailing comment away and resolves the escapes of option files.
fn unquote(value: &str) -> Result<String, &'static str> {
    let mut chars = value.chars();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    if quote.is_some() {
        chars.next();
    }
    let mut out = String::new();
    while let Some(c) = chars.next() {
        match c {
            _ if Some(c) == quote => return Ok(out),
            '#' if quote.is_none() => break,
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('b') => out.push('\u{8}'),
                Some('r') => out.push('\r'),
                Some('s') => out.push(' '),
                Some(c @ ('\\' | '"' | '\'')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            _ => out.push(c),
        }
    }
    match quote {
        Some(_) => Err("close the quote"),
        None => Ok(out.trim_end().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SslMode;
    use std::io::Write;

    fn read(text: &str) -> Result<Endpoint> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        read_option_file(file.path())
    }

    #[test]
    fn the_client_group_is_read_and_tidelog_overrides_it() {
        let endpoint = read(
            "# comment\n[mysqld]\nport=1\nuser=mysql\n[tidelog]\nport = 3310\n[client]\n\
             user = backup # who\npassword=\"p#w\\\\\\\"x\"\nhost=db\nport=3306\nssl_ca=/ca.pem\n\
             ssl-mode=VERIFY_IDENTITY\ndefault-character-set=utf8mb4\nquick\n",
        )
        .expect("an endpoint");
        assert_eq!(endpoint.user, "backup");
        assert_eq!(endpoint.password.reveal(), "p#w\\\"x");
        assert_eq!(endpoint.address(), "db:3310");
        assert_eq!(endpoint.ssl_mode, SslMode::VerifyFull);
        assert_eq!(endpoint.ssl_ca, Some(PathBuf::from("/ca.pem")));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_its_line() {
        for (text, line) in [
            ("[client]\nuser=u\nport=x", Some("3")),
            ("[client]\npassword='secret", Some("2")),
            ("[client\nuser=u", Some("1")),
            ("!include /etc/other.cnf\n[client]\nuser=u", Some("1")),
            ("[client]\nssl-mode=maybe", Some("2")),
            ("[mysqld]\nuser=u", None),
        ] {
            let error = read(text).expect_err(text);
            assert_eq!(error.get("line"), line, "{text}");
            assert!(!format!("{error:?}").contains("secret"));
        }
        assert!(read_option_file(Path::new("/nonexistent/my.cnf")).is_err());
    }
}
