//! Every verdict on a history, and what a stream may begin with.

use super::*;
use crate::source::BinlogFile;
use std::collections::BTreeMap;
use uuid::Uuid;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn identity(flavor: Flavor, server: u32) -> SourceIdentity {
    let uuid = [A, B][server as usize - 1];
    let mysql = flavor == Flavor::MySql;
    SourceIdentity {
        flavor,
        version: "1".to_owned(),
        server_uuid: mysql.then(|| Uuid::parse_str(uuid).expect("a uuid")),
        server_id: server,
        gtid_domain_id: (!mysql).then_some(0),
        settings: BTreeMap::from([("gtid_mode".to_owned(), "ON".to_owned())]),
    }
}

fn set(flavor: Flavor, text: &str) -> GtidSet {
    let text = text.replace('A', A).replace('B', B);
    GtidSet::parse(flavor, &text).expect("a set")
}

/// A source with three files, the last one `binlog.000007`.
fn source(flavor: Flavor, server: u32, executed: &str, state: &str, purged: &str) -> SourceHistory {
    let file = |number: u32| BinlogFile {
        name: format!("binlog.{number:06}"),
        bytes: 1_000,
    };
    let state = state.split(',').filter(|g| !g.is_empty());
    SourceHistory {
        identity: identity(flavor, server),
        end: BinlogPosition::new("binlog.000007", 1_000),
        executed: set(flavor, executed),
        last_gtids: state.map(|g| g.parse().expect("a gtid")).collect(),
        purged: set(flavor, purged),
        files: Some([5, 6, 7].map(file).to_vec()),
    }
}

/// The verdict on a source by one that was server 1 and stood at `position`.
fn verdict(
    ours: &str,
    position: (u32, u64),
    source: &SourceHistory,
    file: Option<bool>,
) -> Verdict {
    let binlog = Binlog {
        has_our_file: file,
        has_our_last_event: None,
    };
    verdict_where(ours, position, source, binlog)
}

fn verdict_where(
    ours: &str,
    position: (u32, u64),
    source: &SourceHistory,
    binlog: Binlog,
) -> Verdict {
    let flavor = source.identity.flavor;
    let ours = Ours {
        identity: &identity(flavor, 1),
        gtids: &set(flavor, ours),
        position: &BinlogPosition::new(format!("binlog.{:06}", position.0), position.1),
        format_description: &[],
        last_event: None,
    };
    compare(&ours, source, binlog)
}

fn stops(verdict: &Verdict) -> Option<(Why, &str)> {
    match verdict {
        Verdict::Stops(stop) => Some((stop.why, &stop.range)),
        _ => None,
    }
}

#[test]
fn mysql_histories_are_told_apart() {
    let at = |server, executed, purged| source(Flavor::MySql, server, executed, "", purged);
    let ours = |source: &SourceHistory, file| verdict("A:1-10", (6, 500), source, file);
    assert_eq!(ours(&at(1, "A:1-12", ""), Some(true)), Verdict::Continues);
    assert_eq!(ours(&at(1, "A:1-12", "A:1-10"), None), Verdict::Continues);
    assert_eq!(ours(&at(2, "A:1-12,B:1", ""), None), Verdict::FailedOver);
    let range = |from: u32, to: u32| format!("{A}:{from}-{to}");
    let cases = [
        (at(2, "A:1-7", ""), None, Why::Behind, range(8, 10)),
        (at(1, "A:1-7", ""), Some(true), Why::Behind, range(8, 10)),
        (at(2, "A:1-7,B:1", ""), None, Why::Diverged, range(8, 10)),
        (at(1, "A:1-20", "A:1-15"), None, Why::Purged, range(11, 15)),
        (at(2, "A:1-20", "A:1-15"), None, Why::Purged, range(11, 15)),
        (at(1, "", ""), None, Why::Reset, range(1, 10)),
        // More than ours under the same numbers: only the file tells.
        (
            at(1, "A:1-12", ""),
            Some(false),
            Why::Reset,
            "binlog.000006:500".to_owned(),
        ),
        (at(2, "B:1-12", ""), None, Why::Stranger, range(1, 10)),
    ];
    for (source, file, why, range) in cases {
        let found = ours(&source, file);
        assert_eq!(stops(&found), Some((why, range.as_str())), "{source:?}");
    }
    // Files are numbered upwards: one that ends before ours was reset.
    let found = verdict("A:1-10", (8, 4), &at(1, "A:1-12", ""), None);
    assert_eq!(stops(&found).map(|s| s.0), Some(Why::Reset));
}

#[test]
fn mariadb_histories_are_told_apart_by_domain_and_server() {
    let at =
        |server, executed, state, purged| source(Flavor::MariaDb, server, executed, state, purged);
    let ours = |source: &SourceHistory, file| verdict("0-1-10", (6, 500), source, file);
    assert_eq!(
        ours(&at(1, "0-1-12", "0-1-12", "0-1-3"), Some(true)),
        Verdict::Continues
    );
    let promoted = at(2, "0-2-12", "0-1-11,0-2-12", "");
    assert_eq!(ours(&promoted, None), Verdict::FailedOver);
    let cases = [
        (
            at(2, "0-1-7", "0-1-7", ""),
            None,
            Why::Behind,
            "0-1-8..0-1-10",
        ),
        // A higher number, by another server, after less of ours.
        (
            at(2, "0-2-15", "0-1-7,0-2-15", ""),
            None,
            Why::Diverged,
            "0-1-10",
        ),
        (at(2, "0-2-15", "0-2-15", ""), None, Why::Stranger, "0-1-10"),
        (at(1, "", "", ""), None, Why::Reset, "0-1-1..0-1-10"),
        (
            at(1, "0-1-12", "0-1-12", ""),
            Some(false),
            Why::Reset,
            "binlog.000006:500",
        ),
        (
            at(1, "0-1-20", "0-1-20", "0-1-15"),
            None,
            Why::Purged,
            "0-1-11..0-1-15",
        ),
        // A domain of which we have nothing.
        (
            at(1, "0-1-10,7-1-9", "0-1-10,7-1-9", "7-1-3"),
            None,
            Why::Purged,
            "7-1-1..7-1-3",
        ),
    ];
    for (source, file, why, range) in cases {
        let found = ours(&source, file);
        assert_eq!(stops(&found), Some((why, range)), "{source:?}");
    }
    // Of a domain that the source does not know it would stream from its first file.
    let found = verdict(
        "0-1-10,9-1-4",
        (6, 500),
        &at(1, "0-1-12", "0-1-12", ""),
        Some(true),
    );
    let Verdict::Stops(stop) = found else {
        panic!("an unknown domain passes");
    };
    assert_eq!(stop.missing, Some(set(Flavor::MariaDb, "9-1-4")));
}

#[test]
fn without_gtids_only_the_same_server_and_its_files_count() {
    let mut plain = source(Flavor::MySql, 1, "", "", "");
    plain.identity.settings.clear();
    let at = |position| verdict("", position, &plain, None);
    assert_eq!(at((6, 1_000)), Verdict::Continues);
    let range = "binlog.000006:1000..1001";
    assert_eq!(stops(&at((6, 1_001))), Some((Why::Behind, range)));
    let range = "binlog.000003:77..binlog.000005:4";
    assert_eq!(stops(&at((3, 77))), Some((Why::Purged, range)));
    let other = SourceHistory {
        identity: SourceIdentity {
            settings: BTreeMap::new(),
            ..identity(Flavor::MySql, 2)
        },
        ..plain.clone()
    };
    let found = verdict("", (6, 4), &other, None);
    assert_eq!(stops(&found).map(|s| s.0), Some(Why::Stranger));
}

#[test]
fn other_transactions_under_our_numbers_are_seen() {
    let rewritten = Binlog {
        has_our_file: Some(true),
        has_our_last_event: Some(false),
    };
    let same = source(Flavor::MySql, 1, "A:1-12", "", "");
    let found = verdict_where("A:1-10", (6, 500), &same, rewritten);
    assert_eq!(stops(&found), Some((Why::Reset, "binlog.000006:500")));
    // What it lacks says more, and another server's files say nothing.
    let behind = source(Flavor::MySql, 1, "A:1-7", "", "");
    let found = verdict_where("A:1-10", (6, 500), &behind, rewritten);
    assert_eq!(stops(&found).map(|s| s.0), Some(Why::Behind));
    let other = source(Flavor::MySql, 2, "A:1-12", "", "");
    let found = verdict_where("A:1-10", (6, 500), &other, rewritten);
    assert_eq!(found, Verdict::FailedOver);
    let mut plain = same;
    plain.identity.settings.clear();
    let found = verdict_where("", (6, 500), &plain, rewritten);
    assert_eq!(stops(&found).map(|s| s.0), Some(Why::Reset));
}

#[test]
fn errors_name_both_sides_and_the_next_step() {
    let source = source(Flavor::MySql, 2, "A:1-7,B:1", "", "");
    let ours = Ours {
        identity: &identity(Flavor::MySql, 1),
        gtids: &set(Flavor::MySql, "A:1-10"),
        position: &BinlogPosition::new("binlog.000006", 500),
        format_description: &[],
        last_event: None,
    };
    let Verdict::Stops(stop) = compare(&ours, &source, Binlog::default()) else {
        panic!("diverged histories pass");
    };
    let report = stop.error(&ours, &source).report();
    for word in [A, B, ":8-10", "binlog.000006:500", "tidelog timeline fork"] {
        assert!(report.contains(word), "{word} in {report}");
    }
}

#[test]
fn the_format_description_counts_for_the_server_that_wrote_it() {
    let mut event = vec![0; 19];
    event[..4].copy_from_slice(&77_u32.to_le_bytes());
    event[5..9].copy_from_slice(&3_u32.to_le_bytes());
    assert_eq!(begun_by(&event, 3), Some(77));
    assert_eq!(begun_by(&event, 4), None);
    assert_eq!(begun_by(&[], 3), None);
}

/// A format description of a server, begun at a time.
fn description(server_id: u32, begun: u32) -> Vec<u8> {
    let mut event = vec![0; 19];
    event[..4].copy_from_slice(&begun.to_le_bytes());
    event[5..9].copy_from_slice(&server_id.to_le_bytes());
    event
}

#[test]
fn a_stream_that_begins_in_a_new_file_of_an_old_name_is_refused() {
    let (ours, none) = (set(Flavor::MySql, "A:1-10"), GtidSet::empty(Flavor::MySql));
    let held = Ours {
        identity: &identity(Flavor::MySql, 1),
        gtids: &ours,
        position: &BinlogPosition::new("binlog.000006", 500),
        format_description: &description(1, 77),
        last_event: None,
    };
    let check = |server, file: &str, begun| {
        let source = source(Flavor::MySql, server, "A:1-12", "", "");
        let mut start = StreamStart::new(&held, &source);
        let item = LogItem::FormatDescription(description(server, begun).into());
        let at = BinlogPosition::new(file, 4);
        start.check(&item, Some(&at), [&ours, &none])
    };
    assert!(check(1, "binlog.000006", 77).is_ok());
    // We may hold the first event of a later file than the one we stand in.
    assert!(check(1, "binlog.000006", 70).is_ok());
    assert!(check(1, "binlog.000007", 90).is_ok());
    assert!(check(2, "binlog.000001", 90).is_ok());
    for (file, begun) in [("binlog.000006", 78), ("binlog.000001", 90)] {
        let error = check(1, file, begun).expect_err("a reset passes");
        assert_eq!(error.get("history"), Some("reset"));
    }
}
