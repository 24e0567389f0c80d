//! Query events: u32 thread id, u32 seconds it took, u8 length of the database name, u16 error
//! code, u16 length of the status variables; the variables, the name, a zero byte, the text.

use super::cursor::Cursor;
use std::ops::Range;

/// What a query event says; ranges are offsets in the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) thread_id: u32,
    pub(crate) error_code: u16,
    pub(crate) status_vars: Range<usize>,
    pub(crate) db: Range<usize>,
    pub(crate) text: Range<usize>,
}

const MICROSECONDS_MYSQL: u8 = 13;
const MICROSECONDS_MARIADB: u8 = 128;

/// Parses `event` whose body is `event[body]`; `post_header` is the length the format
/// description says.
pub(crate) fn parse(event: &[u8], body: Range<usize>, post_header: usize) -> Option<Query> {
    let base = body.start;
    let end = body.end;
    let mut cursor = Cursor::new(event.get(body)?);
    let thread_id = cursor.u32()?;
    cursor.u32()?;
    let db_length = usize::from(cursor.u8()?);
    let error_code = cursor.u16()?;
    let vars_length = usize::from(cursor.u16()?);
    cursor.take(post_header.checked_sub(13)?)?;
    let vars_at = base + cursor.at();
    cursor.take(vars_length)?;
    let db_at = base + cursor.at();
    cursor.take(db_length)?;
    if cursor.u8()? != 0 {
        return None;
    }
    Some(Query {
        thread_id,
        error_code,
        status_vars: vars_at..db_at,
        db: db_at..db_at + db_length,
        text: base + cursor.at()..end,
    })
}

/// What a text does to the transaction it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb<'a> {
    Begin,
    Commit,
    Rollback,
    XaStart,
    XaEnd,
    /// `XA COMMIT` with its identifier.
    XaCommit(&'a [u8]),
    /// `XA ROLLBACK` with its identifier.
    XaRollback(&'a [u8]),
    /// Anything else: a statement.
    Other,
}

/// Recognizes the texts that servers write themselves (any case).
pub(crate) fn verb(text: &[u8]) -> Verb<'_> {
    let word = |wanted: &str| text.eq_ignore_ascii_case(wanted.as_bytes());
    let after = |wanted: &str| {
        let (head, tail) = text.split_at_checked(wanted.len())?;
        head.eq_ignore_ascii_case(wanted.as_bytes()).then_some(tail)
    };
    match text.first() {
        Some(b'B' | b'b') if word("BEGIN") => Verb::Begin,
        Some(b'C' | b'c') if word("COMMIT") => Verb::Commit,
        Some(b'R' | b'r') if word("ROLLBACK") => Verb::Rollback,
        Some(b'X' | b'x') => {
            if after("XA START ").is_some() {
                Verb::XaStart
            } else if after("XA END ").is_some() {
                Verb::XaEnd
            } else if let Some(xid) = after("XA COMMIT ") {
                Verb::XaCommit(xid.strip_suffix(b" ONE PHASE").unwrap_or(xid))
            } else if let Some(xid) = after("XA ROLLBACK ") {
                Verb::XaRollback(xid)
            } else {
                Verb::Other
            }
        }
        _ => Verb::Other,
    }
}

/// The session a statement ran in, as far as it changes what the statement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatusVars<'a> {
    pub(crate) sql_mode: Option<u64>,
    /// Collation id of `character_set_client`.
    pub(crate) charset: Option<u16>,
    /// Ids of `collation_connection` and `collation_server`.
    pub(crate) collations: Option<(u16, u16)>,
    /// `auto_increment_increment` and `auto_increment_offset`.
    pub(crate) auto_increment: Option<(u16, u16)>,
    /// `time_zone`, where the statement used it.
    pub(crate) time_zone: Option<&'a [u8]>,
    /// Number of `lc_time_names`.
    pub(crate) lc_time_names: Option<u16>,
    /// Id of `collation_database`, where it is not that of the default database.
    pub(crate) collation_database: Option<u16>,
    /// Microseconds to add to the header's timestamp.
    pub(crate) microseconds: u32,
    /// `explicit_defaults_for_timestamp` (MySQL).
    pub(crate) explicit_defaults: Option<bool>,
    /// Id of `default_collation_for_utf8mb4` (MySQL).
    pub(crate) utf8mb4_collation: Option<u16>,
    /// `default_table_encryption` (MySQL).
    pub(crate) table_encryption: Option<bool>,
    /// Flags of MariaDB's GTID extension: 2 a two-phase ALTER starts, 4 it commits, 8 it is
    /// rolled back.
    pub(crate) alter_flags: u8,
    /// `character_set_collations` (MariaDB): pairs of collation ids, little endian; the first
    /// stands for the character set.
    pub(crate) character_set_collations: &'a [u8],
    /// Whether all of them were understood.
    pub(crate) complete: bool,
}

/// Reads the variables up to the end or the first unknown one, whose length nobody knows.
///
/// Codes and lengths: mysql-server `statement_events.h` (`Query_event_status_vars`) and MariaDB
/// `sql/log_event.h` (128 and up).
pub(crate) fn status_vars(bytes: &[u8]) -> StatusVars<'_> {
    let mut vars = StatusVars::default();
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        if status_var(&mut cursor, &mut vars).is_none() {
            return vars;
        }
    }
    vars.complete = true;
    vars
}

/// Where among the status variables the microseconds of the statement stand: three bytes.
pub(crate) fn microseconds_at(bytes: &[u8]) -> Option<usize> {
    let mut cursor = Cursor::new(bytes);
    loop {
        let at = cursor.at();
        let code = *bytes.get(at)?;
        status_var(&mut cursor, &mut StatusVars::default())?;
        if matches!(code, MICROSECONDS_MYSQL | MICROSECONDS_MARIADB) {
            return Some(at + 1);
        }
    }
}

fn status_var<'a>(cursor: &mut Cursor<'a>, vars: &mut StatusVars<'a>) -> Option<()> {
    match cursor.u8()? {
        1 => vars.sql_mode = Some(cursor.u64()?),
        3 => vars.auto_increment = Some((cursor.u16()?, cursor.u16()?)),
        4 => {
            vars.charset = Some(cursor.u16()?);
            vars.collations = Some((cursor.u16()?, cursor.u16()?));
        }
        MICROSECONDS_MYSQL | MICROSECONDS_MARIADB => vars.microseconds = cursor.uint(3)? as u32,
        0 | 10 => drop(cursor.take(4)?),
        2 => {
            cursor.short_bytes()?;
            cursor.u8()?;
        }
        5 => vars.time_zone = Some(cursor.short_bytes()?),
        6 => drop(cursor.short_bytes()?),
        7 => vars.lc_time_names = Some(cursor.u16()?),
        8 => vars.collation_database = Some(cursor.u16()?),
        18 => vars.utf8mb4_collation = Some(cursor.u16()?),
        9 | 17 | 129 => drop(cursor.take(8)?),
        11 => {
            cursor.short_bytes()?;
            cursor.short_bytes()?;
        }
        12 => {
            let count = cursor.u8()?;
            // 254: too many databases, none is listed.
            for _ in 0..if count == 254 { 0 } else { count } {
                while cursor.u8()? != 0 {}
            }
        }
        16 => vars.explicit_defaults = Some(cursor.u8()? != 0),
        19 => drop(cursor.u8()?),
        20 => vars.table_encryption = Some(cursor.u8()? != 0),
        // Its commit and rollback name the start.
        130 => {
            vars.alter_flags = cursor.u8()?;
            if vars.alter_flags & 12 != 0 {
                cursor.u64()?;
            }
        }
        131 => {
            let count = usize::from(cursor.u8()?);
            vars.character_set_collations = cursor.take(count * 4)?;
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_server_are_recognized_whole() {
        assert_eq!(verb(b"BEGIN"), Verb::Begin);
        assert_eq!(verb(b"begin"), Verb::Begin);
        assert_eq!(verb(b"BEGIN;"), Verb::Other);
        assert_eq!(verb(b"COMMIT"), Verb::Commit);
        assert_eq!(verb(b"ROLLBACK TO `s`"), Verb::Other);
        assert_eq!(
            verb(b"XA COMMIT X'61',X'',1"),
            Verb::XaCommit(b"X'61',X'',1")
        );
        assert_eq!(verb(b"XA END X'61',X'',1"), Verb::XaEnd);
        assert_eq!(verb(b""), Verb::Other);
    }

    #[test]
    fn status_variables_in_any_order_up_to_an_unknown_one() {
        let mode = [&[1_u8][..], &7_u64.to_le_bytes()].concat();
        let charset = [4, 0xff, 0, 46, 0, 8, 0];
        let collations = [131, 2, 45, 0, 0x2b, 0x09, 8, 0, 8, 0];
        let bytes = [
            &collations[..],
            &mode,
            &[5, 1, b'Z'],
            &charset,
            &[13, 1, 0, 0],
        ]
        .concat();
        let vars = status_vars(&bytes);
        assert_eq!(vars.sql_mode, Some(7));
        assert_eq!((vars.charset, vars.microseconds), (Some(255), 1));
        assert!(vars.complete);
        assert_eq!(vars.time_zone, Some(&b"Z"[..]));
        assert_eq!(vars.collations, Some((46, 8)));
        assert_eq!(vars.character_set_collations.len(), 8);
        let unknown = [&[99_u8][..], &mode].concat();
        assert_eq!(status_vars(&unknown), StatusVars::default());
        let cut = status_vars(bytes.get(..12).unwrap());
        assert_eq!(cut.sql_mode, None);
    }
}
