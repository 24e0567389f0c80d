//! What is known of a server before anything is judged, and the lines of the judgement.

use super::grants::Grants;
use super::{CheckLine, Report, Severity};
use crate::error::Result;
use crate::position::Flavor;
use crate::source::SqlClient;
use std::collections::HashMap;

/// A server as it presents itself to the account.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) flavor: Flavor,
    pub(super) version: String,
    pub(super) grants: Grants,
    /// Global variables, names in lower case.
    variables: HashMap<String, String>,
}

impl Server {
    pub(super) async fn read(client: &mut SqlClient) -> Result<Server> {
        let rows = client.query_rows("SHOW GLOBAL VARIABLES").await?;
        let variables = rows.iter().filter_map(|row| match row.as_slice() {
            [Some(name), value] => Some((
                String::from_utf8_lossy(name).to_ascii_lowercase(),
                String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned(),
            )),
            _ => None,
        });
        Ok(Server {
            flavor: client.flavor(),
            version: client.version().to_owned(),
            grants: Grants::read(client).await?,
            variables: variables.collect(),
        })
    }

    /// A global variable; `None` where the server does not know it.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A variable that is a number.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.variable(name)?.parse().ok()
    }

    /// Major and minor version.
    pub(super) fn release(&self) -> Option<(u32, u32)> {
        release(&self.version)
    }

    /// The statement that sets a global variable for good; `value` as SQL.
    ///
    /// MariaDB forgets it at the next start, so that the option file is named as well.
    pub(super) fn set(&self, name: &str, value: &str) -> String {
        match self.flavor {
            Flavor::MySql => format!("SET PERSIST {name} = {value}"),
            Flavor::MariaDb => {
                let plain = value.trim_matches('\'');
                format!("SET GLOBAL {name} = {value} /* and in my.cnf, [mysqld]: {name}={plain} */")
            }
        }
    }

    pub(super) fn report(self, address: &str, lines: Lines) -> Report {
        Report {
            address: address.to_owned(),
            flavor: self.flavor,
            version: self.version,
            lines: lines.0,
        }
    }
}

/// Major and minor of a version text. `5.5.5-` is what MariaDB puts before its own for clients
/// that would not take two digits.
pub(super) fn release(version: &str) -> Option<(u32, u32)> {
    let version = match version.strip_prefix("5.5.5-") {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ => version,
    };
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((major, minor))
}

/// The lines so far, in the order of checking.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<CheckLine>);

impl Lines {
    /// Adds a line that is as wanted.
    pub(super) fn ok(&mut self, name: &str, found: impl Into<String>, wanted: impl Into<String>) {
        self.add(Severity::Ok, name, found, wanted, None);
    }

    /// Adds a line that is as wanted when `met`, else of this severity with this fix.
    pub(super) fn judge(
        &mut self,
        met: bool,
        severity: Severity,
        name: &str,
        found: impl Into<String>,
        wanted: impl Into<String>,
        fix: impl Into<String>,
    ) {
        match met {
            true => self.ok(name, found, wanted),
            false => self.add(severity, name, found, wanted, Some(fix.into())),
        }
    }

    /// Adds a line.
    pub(super) fn add(
        &mut self,
        severity: Severity,
        name: &str,
        found: impl Into<String>,
        wanted: impl Into<String>,
        fix: Option<String>,
    ) {
        self.0.push(CheckLine {
            name: name.to_owned(),
            found: found.into(),
            wanted: wanted.into(),
            fix,
            severity,
        });
    }

    /// Adds a line for the right to any of `accepted`; the first is what the fix gives.
    pub(super) fn privilege(&mut self, server: &Server, severity: Severity, accepted: &[&str]) {
        let name = accepted.first().copied().unwrap_or_default();
        let met = server.grants.has_any(accepted);
        self.judge(
            met,
            severity,
            &format!("privilege {name}"),
            if met { "granted" } else { "missing" },
            format!("{} on *.*", accepted.join(" or ")),
            server.grants.statement(&[name]),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_from_version_texts() {
        for (text, wanted) in [
            ("9.7.4", Some((9, 7))),
            ("8.0.45-0ubuntu0.22.04.1", Some((8, 0))),
            ("10.11.19-MariaDB-0+deb12u1-log", Some((10, 11))),
            ("5.5.5-10.6.12-MariaDB", Some((10, 6))),
            ("5.5.5-log", Some((5, 5))),
            ("12.3", Some((12, 3))),
            ("12", None),
            ("", None),
            ("x.1", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(release(text), wanted, "{text}");
        }
    }
}
