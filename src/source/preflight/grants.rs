//! What the account may do on the whole server, read from `SHOW GRANTS`.

use crate::error::Result;
use crate::schema::quote_identifier;
use crate::source::{SYSTEM_DATABASES, SqlClient};
use std::collections::BTreeSet;

/// Rights on `*.*`, those of active roles included.
///
/// Rights on single databases do not count: capture and restore need the whole server.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// The account in quotes, as `GRANT` takes it.
    account: String,
    everything: bool,
    global: BTreeSet<String>,
}

impl Grants {
    pub(super) async fn read(client: &mut SqlClient) -> Result<Grants> {
        let account = client.query_string("SELECT CURRENT_USER()").await?;
        // Both servers show the active roles' rights along with the account's own.
        let rows = client.query_rows("SHOW GRANTS").await?;
        let lines = rows.iter().filter_map(|row| row.first()?.as_ref());
        let lines: Vec<String> = lines
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        Ok(Grants::parse(&account.unwrap_or_default(), &lines))
    }

    /// Reads the lines of `SHOW GRANTS`. What is not understood grants nothing.
    ///
    /// The lines of MariaDB hold password hashes: nothing of a line is kept but privilege names.
    pub(super) fn parse(account: &str, lines: &[String]) -> Grants {
        let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
        let mut grants = Grants {
            account: format!("{}@{}", quote_identifier(user), quote_identifier(host)),
            ..Grants::default()
        };
        for line in lines {
            if let Some((list, _)) = split_statement(line, "GRANT ", "*.* TO ") {
                let everything = |p: &String| p == "ALL PRIVILEGES" || p == "ALL";
                let found = privileges(list);
                grants.everything |= found.iter().any(everything);
                grants.global.extend(found);
            }
        }
        // Partial revokes (MySQL) name one database; it then is not the whole server any more.
        for line in lines {
            let Some((list, rest)) = split_statement(line, "REVOKE ", "") else {
                continue;
            };
            let system = |db: &str| rest.starts_with(&format!("`{db}`.* "));
            if !SYSTEM_DATABASES.iter().any(|db| system(db)) {
                for privilege in privileges(list) {
                    grants.global.remove(&privilege);
                }
            }
        }
        grants
    }

    /// Whether the account has any of these, in upper case, on the whole server.
    pub(super) fn has_any(&self, privileges: &[&str]) -> bool {
        self.everything || privileges.iter().any(|p| self.global.contains(*p))
    }

    /// The statement that gives these.
    pub(super) fn statement(&self, privileges: &[&str]) -> String {
        format!("GRANT {} ON *.* TO {}", privileges.join(", "), self.account)
    }
}

/// The privilege list and what follows the object of `<verb> <list> ON <object>...`.
///
/// No privilege name holds ` ON `, so the first one ends the list; a role's name could hold
/// anything, but is quoted, and a line that begins with a quote grants a role.
fn split_statement<'a>(line: &'a str, verb: &str, object: &str) -> Option<(&'a str, &'a str)> {
    let (list, rest) = line.strip_prefix(verb)?.split_once(" ON ")?;
    let is_role = list.starts_with(['`', '\'', '"']);
    let rest = rest.strip_prefix(object)?;
    (!is_role).then_some((list, rest))
}

/// Names in upper case; column lists belong to single tables and never appear here.
fn privileges(list: &str) -> Vec<String> {
    list.split(',')
        .map(|name| name.trim().to_ascii_uppercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Grants {
        let lines: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        Grants::parse("a`b@c@%", &lines)
    }

    #[test]
    fn rights_on_the_server_count_and_no_others() {
        let grants = parse(&[
            "GRANT SELECT, RELOAD, REPLICATION SLAVE ON *.* TO `a`@`%`",
            "GRANT BINLOG_ADMIN,SHOW_ROUTINE ON *.* TO `a`@`%` WITH GRANT OPTION",
            "GRANT ALL PRIVILEGES ON `dd`.* TO `a`@`%`",
            "GRANT TRIGGER ON `x *.* TO `.* TO `a`@`%`",
            "GRANT ` ON *.* TO `@`%` TO `a`@`%`",
            "GRANT EXECUTE ON PROCEDURE `d`.`*.* TO ` TO `a`@`%`",
        ]);
        for has in [
            "SELECT",
            "REPLICATION SLAVE",
            "BINLOG_ADMIN",
            "SHOW_ROUTINE",
        ] {
            assert!(grants.has_any(&[has]), "{has}");
        }
        for lacks in ["REPLICATION CLIENT", "TRIGGER", "EXECUTE", "INSERT", "`"] {
            assert!(!grants.has_any(&[lacks]), "{lacks}");
        }
        assert!(grants.has_any(&["SUPER", "BINLOG_ADMIN"]));
        assert!(!grants.has_any(&[]));
    }

    #[test]
    fn everything_is_everything_and_secrets_are_not_kept() {
        let grants = parse(&[
            "GRANT ALL PRIVILEGES ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*ABCDEF' WITH GRANT OPTION",
        ]);
        assert!(grants.has_any(&["BINLOG REPLAY"]));
        assert!(!format!("{grants:?}").contains("ABCDEF"));
    }

    #[test]
    fn a_right_revoked_on_a_user_database_is_not_a_right_on_the_server() {
        let grants = parse(&[
            "GRANT SELECT, EVENT ON *.* TO `b`@`%`",
            "REVOKE SELECT ON `dd`.* FROM `b`@`%`",
            "REVOKE EVENT ON `mysql`.* FROM `b`@`%`",
        ]);
        assert!(!grants.has_any(&["SELECT"]));
        assert!(grants.has_any(&["EVENT"]));
    }

    #[test]
    fn the_account_is_quoted() {
        assert_eq!(
            parse(&[]).statement(&["SELECT", "EVENT"]),
            "GRANT SELECT, EVENT ON *.* TO `a``b@c`@`%`"
        );
    }
}
