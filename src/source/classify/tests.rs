//! Error packets as servers send them.

use super::*;

fn class(code: u16, text: &str) -> DumpRefusal {
    DumpRefusal::classify(code, text)
}

/// The exact texts of both servers, so that a rewording in the table above shows.
#[test]
fn refusals_are_sorted_by_their_texts() {
    use DumpRefusal as R;
    let cases = [
        (
            1236,
            "Could not find first log file name in binary log index file",
            PURGED,
        ),
        (
            1236,
            "Client requested source to start replication from position > file size",
            R::Diverged,
        ),
        (
            1236,
            "Client requested master to start replication from position > file size",
            R::Diverged,
        ),
        (
            1236,
            "Client requested master to start replication from impossible position",
            R::Diverged,
        ),
        (
            1236,
            "Client requested source to start replication from position < 4",
            R::Bug,
        ),
        (
            1236,
            "binlog truncated in the middle of event; consider out of disk space on source",
            R::SourceCorrupt,
        ),
        (
            1236,
            "binlog truncated in the middle of event; consider out of disk space on master",
            R::SourceCorrupt,
        ),
        (
            1236,
            "bogus data in log event; the first event 'binlog.000001' at 4, the last event read from './binlog.000001' at 200, the last byte read from './binlog.000001' at 219.",
            R::SourceCorrupt,
        ),
        (
            1236,
            "Replica has more GTIDs than the source has, using the source's SERVER_UUID. This may indicate that the end of the binary log was truncated or that the last binary log file was lost, e.g., after a power or disk failure when sync_binlog != 1.",
            R::Diverged,
        ),
        (
            1236,
            "Error: connecting slave requested to start from GTID 0-1-900, which is not in the master's binlog",
            R::Diverged,
        ),
        (
            1236,
            "Error: connecting slave requested to start from GTID 0-2-5, which is not in the master's binlog. Since the master's binlog contains GTIDs with higher sequence numbers, it probably means that the slave has diverged due to executing extra erroneous transactions",
            R::Diverged,
        ),
        (
            1236,
            "The binlog on the master is missing the GTID 0-1-3 requested by the slave (even though a subsequent sequence number does exist), and GTID strict mode is enabled",
            R::Diverged,
        ),
        (
            1236,
            "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old and required binlog files have been purged.",
            PURGED,
        ),
        (
            1236,
            "could not find next log; the first event 'binlog.000002' at 158, the last event read from './binlog.000002' at 500",
            R::Reset,
        ),
        (1773, "Malformed GTID set specification 'x'.", R::Bug),
        (1941, "Could not parse GTID list", R::Bug),
        (
            1236,
            "A replica with the same server_uuid/server_id as this replica has connected to the source; the first event '' at 4",
            R::Collision,
        ),
        (
            1236,
            "A slave with the same server_uuid/server_id as this slave has connected to the master",
            R::Collision,
        ),
        (
            4052,
            "A slave with the same server_uuid/server_id as this slave has connected to the master",
            R::Collision,
        ),
        (
            1236,
            "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source",
            R::SourceCorrupt,
        ),
        (
            1236,
            "event read from binlog did not pass crc check; the first event 'binlog.000001' at 4",
            R::SourceCorrupt,
        ),
        (1236, "I/O error reading log event", R::SourceCorrupt),
        (1236, "event decryption failure", R::SourceCorrupt),
        (
            1236,
            "Slave can not handle replication events with the checksum that master is configured to log",
            R::Bug,
        ),
        (
            1236,
            "Replica can not handle replication events with the checksum that source is configured to log",
            R::Bug,
        ),
        (1236, "Binary log is not open", R::Misconfigured),
        (
            1236,
            "The replication sender thread cannot start in AUTO_POSITION mode: this server has GTID_MODE = OFF instead of ON.",
            R::Misconfigured,
        ),
        (1236, "a sentence that no server says today", R::Other),
        (
            1045,
            "Access denied for user 'x'@'localhost' (using password: YES)",
            R::Auth,
        ),
        (
            1227,
            "Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s) for this operation",
            R::Auth,
        ),
        (1053, "Server shutdown in progress", R::Transient),
        (1927, "Connection was killed", R::Transient),
        (9999, "", R::Other),
    ];
    for (code, text, wanted) in cases {
        assert_eq!(class(code, text), wanted, "{code} {text}");
    }
}

#[test]
fn the_missing_transactions_are_named() {
    let text = "Cannot replicate because the source purged required binary logs. Replicate the \
                missing transactions from elsewhere, or provision a new replica from backup. \
                Consider increasing the source's binary log expiration period. The GTID set sent \
                by the replica is '', and the missing transactions are \
                '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:1'";
    let error = dump_error(
        "start dump",
        &ServerError {
            code: 1236,
            text: text.to_owned(),
        },
    );
    assert_eq!(error.kind(), ErrorKind::Gap);
    assert_eq!(error.get("refusal"), Some("purged"));
    let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,4e11fa47-71ca-11e1-9e33-c80aa9429562:1";
    assert_eq!(error.get("missing"), Some(set));
}

#[test]
fn statements_are_not_read_as_dump_refusals() {
    let error = statement_error("run statement", 1064, "near 'could not find next log'");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert_eq!(statement_error("x", 1142, "").kind(), ErrorKind::Config);
    assert_eq!(
        statement_error("x", 1205, "").kind(),
        ErrorKind::Unavailable
    );
}
