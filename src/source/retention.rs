//! How long a source keeps its binlog, and whether capture may be too late for it.

use super::history::{BinlogFile, files};
use super::{FIRST_OFFSET, SqlClient};
use crate::error::Result;
use crate::position::BinlogPosition;
use serde::Serialize;
use std::collections::HashMap;

/// Settings that say when a binlog file is deleted.
const SETTINGS: [&str; 4] = [
    "binlog_expire_logs_seconds",
    "expire_logs_days",
    "binlog_expire_logs_auto_purge",
    "max_binlog_total_size",
];

/// What a source says of the binlog that it keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retention {
    /// Files older than this are deleted; `None` where they are not.
    pub seconds: Option<f64>,
    /// The oldest files are deleted beyond this many bytes of all (MariaDB 11.4 and later).
    pub bytes: Option<u64>,
    /// The files that are there, oldest first; `None` where asking would wait for ourselves.
    pub files: Option<Vec<BinlogFile>>,
}

/// What lies between capture and the end of what the source keeps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Headroom {
    /// Files older than this are deleted; `None` where they are not.
    pub kept_seconds: Option<f64>,
    /// The oldest files are deleted beyond this many bytes of all.
    pub kept_bytes: Option<u64>,
    /// The oldest file that is still there.
    pub oldest_file: Option<String>,
    /// Bytes of binlog that were not captured yet.
    pub behind_bytes: Option<u64>,
    /// Why a deletion may come before capture, or has.
    pub warnings: Vec<String>,
}

impl Retention {
    /// Asks a source.
    ///
    /// # Errors
    /// As [`SqlClient::query_rows`]; `Config` where the right to list binlog files is missing.
    pub async fn read(client: &mut SqlClient) -> Result<Retention> {
        let names = SETTINGS.join("','");
        let query = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('{names}')");
        let mut settings = HashMap::new();
        for row in client.query_rows(&query).await? {
            if let [name, value, ..] = row.as_slice() {
                settings.insert(SqlClient::text(name), SqlClient::text(value));
            }
        }
        let setting = |name: &str| settings.get(name).map(String::as_str);
        let bytes = setting("max_binlog_total_size").and_then(|text| text.parse().ok());
        let flavor = client.flavor();
        Ok(Retention {
            seconds: kept_seconds(setting),
            bytes: bytes.filter(|bytes| *bytes > 0),
            files: files(client, flavor).await?,
        })
    }

    /// Compares it with where capture stands and by how many seconds it is behind.
    #[must_use]
    pub fn headroom(&self, at: &BinlogPosition, lag_seconds: Option<f64>) -> Headroom {
        let files = self.files.as_deref().unwrap_or_default();
        let start = |file: &BinlogFile| BinlogPosition::new(&file.name, FIRST_OFFSET);
        let own = BinlogPosition::new(&at.file, FIRST_OFFSET);
        let left: Vec<&BinlogFile> = files
            .iter()
            .filter(|file| start(file).order(&own).is_some_and(|order| order.is_ge()))
            .collect();
        let left_bytes: u64 = left.iter().map(|file| file.bytes).sum();
        let read = left.iter().any(|file| file.name == at.file);
        let behind = left_bytes.saturating_sub(if read { at.offset } else { 0 });
        let behind_bytes = self.files.is_some().then_some(behind);
        let mut warnings = Vec::new();
        let oldest = files.first();
        if let Some(oldest) = oldest
            && start(oldest).order(&own).is_some_and(|order| order.is_gt())
        {
            warnings.push(format!(
                "the source has deleted {}, which was not captured to its end: its oldest file is \
                 {}; take a new base once capture has marked the gap",
                at.file, oldest.name
            ));
        }
        if let (Some(kept), Some(lag)) = (self.seconds, lag_seconds)
            && behind_bytes != Some(0)
            && lag > kept / 2.0
        {
            warnings.push(format!(
                "capture is {lag:.0} s behind and the source deletes binlog files after {kept:.0} s: \
                 raise binlog_expire_logs_seconds (expire_logs_days) until capture has caught up"
            ));
        }
        // Whole files are deleted, and the one at hand goes with all that is in it.
        if let Some(kept) = self.bytes
            && behind > 0
            && left_bytes > kept / 2
        {
            warnings.push(format!(
                "capture has {left_bytes} bytes of binlog files left to read and the source deletes \
                 files beyond {kept} bytes: raise max_binlog_total_size until it has caught up"
            ));
        }
        Headroom {
            kept_seconds: self.seconds,
            kept_bytes: self.bytes,
            oldest_file: oldest.map(|file| file.name.clone()),
            behind_bytes,
            warnings,
        }
    }
}

/// Seconds for which binlog files are kept, by the server's settings; `None` for ever.
pub(super) fn kept_seconds<'a>(setting: impl Fn(&str) -> Option<&'a str>) -> Option<f64> {
    let number = |name: &str| setting(name)?.parse::<f64>().ok();
    if setting("binlog_expire_logs_auto_purge") == Some("OFF") {
        return None;
    }
    // Either counts when the other is 0; MariaDB shows one value under both names.
    let seconds = number("binlog_expire_logs_seconds").filter(|seconds| *seconds > 0.0);
    let days = number("expire_logs_days").filter(|days| *days > 0.0);
    seconds.or(days.map(|days| days * 24.0 * 3600.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(seconds: Option<f64>, bytes: Option<u64>) -> Retention {
        let file = |(name, bytes): (&str, u64)| BinlogFile {
            name: name.to_owned(),
            bytes,
        };
        let files = [("b.000009", 1_000), ("b.000010", 500), ("b.000011", 200)];
        Retention {
            seconds,
            bytes,
            files: Some(files.map(file).to_vec()),
        }
    }

    fn warnings(of: &Retention, file: &str, offset: u64, lag: f64) -> Vec<String> {
        let at = BinlogPosition::new(file, offset);
        of.headroom(&at, Some(lag)).warnings
    }

    #[test]
    fn what_is_left_to_read_is_counted_from_where_capture_stands() {
        let behind = |file: &str, offset| {
            let at = BinlogPosition::new(file, offset);
            retention(None, None).headroom(&at, None).behind_bytes
        };
        assert_eq!(behind("b.000009", 400), Some(1_300));
        assert_eq!(behind("b.000011", 200), Some(0));
        assert_eq!(behind("b.000008", 77), Some(1_700));
        let unknown = Retention::default();
        let at = BinlogPosition::new("b.000001", 4);
        assert_eq!(unknown.headroom(&at, Some(1e9)).behind_bytes, None);
        assert!(warnings(&unknown, "b.000001", 4, 1e9).is_empty());
    }

    #[test]
    fn a_deletion_is_warned_of_before_it_comes() {
        let by_time = retention(Some(3_600.0), None);
        assert!(warnings(&by_time, "b.000010", 4, 1_700.0).is_empty());
        let late = warnings(&by_time, "b.000010", 4, 1_900.0);
        assert!(late[0].contains("1900 s behind"), "{late:?}");
        // Nothing is missing, however long ago the last commit was.
        assert!(warnings(&by_time, "b.000011", 200, 1e6).is_empty());
        let by_size = retention(None, Some(1_500));
        assert!(warnings(&by_size, "b.000010", 4, 0.0).is_empty());
        let late = warnings(&by_size, "b.000009", 900, 0.0);
        assert!(late[0].contains("max_binlog_total_size"), "{late:?}");
        let gone = warnings(&retention(None, None), "b.000008", 4, 0.0);
        assert!(gone[0].contains("has deleted b.000008"), "{gone:?}");
        // A file of another server says nothing.
        assert!(warnings(&by_time, "other.000001", 4, 0.0).is_empty());
    }

    #[test]
    fn either_setting_counts_and_none_means_for_ever() {
        let kept = |settings: &[(&str, &'static str)]| {
            let all: HashMap<String, &'static str> = settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect();
            kept_seconds(|name| all.get(name).copied())
        };
        let (seconds, days) = ("binlog_expire_logs_seconds", "expire_logs_days");
        assert_eq!(kept(&[(seconds, "60"), (days, "0")]), Some(60.0));
        assert_eq!(kept(&[(seconds, "0"), (days, "0.5")]), Some(43_200.0));
        assert_eq!(kept(&[(seconds, "0"), (days, "0")]), None);
        assert_eq!(kept(&[]), None);
        let off = ("binlog_expire_logs_auto_purge", "OFF");
        assert_eq!(kept(&[(seconds, "60"), off]), None);
    }
}
