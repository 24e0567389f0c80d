//! GTIDs, sets and positions as servers write them.

use super::*;
use std::cmp::Ordering;
use uuid::Uuid;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> MySqlGtidSet {
    text.parse().expect("a gtid set")
}

#[test]
fn mysql_set_round_trips_and_melts_intervals() {
    let text = format!("{A}:1-5:7:tag_a:1-3:9");
    assert_eq!(set(&text).to_string(), text);
    let mut grown = set(&format!("{A}:1-5:7"));
    let uuid = Uuid::parse_str(A).expect("uuid");
    assert!(grown.add(uuid, &Tag::default(), 6));
    assert!(!grown.add(uuid, &Tag::default(), 6));
    assert_eq!(grown.to_string(), format!("{A}:1-7"));
    assert!(set(&format!("{A}:2-3")).is_subset(&grown));
    assert!(!set(&format!("{A}:7-8")).is_subset(&grown));
    assert_eq!(
        set(&format!("{A}:1-10"))
            .subtract(&set(&format!("{A}:3:5-6")))
            .to_string(),
        format!("{A}:1-2:4:7-10")
    );
}

#[test]
fn mysql_binary_form_has_exclusive_ends() {
    let bytes = set(&format!("{A}:1-5")).encode();
    assert_eq!(bytes.len(), 8 + 16 + 8 + 16);
    assert_eq!(&bytes[..8], &1u64.to_le_bytes());
    assert_eq!(&bytes[40..], &6u64.to_le_bytes());
    let tagged = set(&format!("{A}:1-5,{A}:x:1")).encode();
    assert_eq!((tagged[7], tagged[1], tagged[0]), (1, 2, 1));
}

#[test]
fn bad_sets_are_refused() {
    for text in [
        "x",
        "3e11fa47:1",
        &format!("{A}:5-1"),
        &format!("{A}:0"),
        &format!("{A}:a-b:1"),
    ] {
        assert!(text.parse::<MySqlGtidSet>().is_err(), "{text}");
    }
    assert!("1-2".parse::<MariaDbGtidPos>().is_err());
    assert!("1-2-x".parse::<Gtid>().is_err());
}

#[test]
fn mariadb_position_keeps_the_last_of_each_domain() {
    let mut set = GtidSet::parse(Flavor::MariaDb, "0-1-100,5-2-7").expect("position");
    assert!(
        set.add(&"0-3-101".parse().expect("gtid"))
            .expect("same flavor")
    );
    assert!(
        !set.add(&"5-9-7".parse().expect("gtid"))
            .expect("same flavor")
    );
    assert_eq!(set.to_string(), "0-3-101,5-2-7");
    let json = serde_json::to_string(&set).expect("json");
    assert_eq!(serde_json::from_str::<GtidSet>(&json).expect("back"), set);
}

#[test]
fn positions_order_by_file_number() {
    let early: BinlogPosition = "binlog.999999:900".parse().expect("position");
    let late = BinlogPosition::new("binlog.1000000", 4);
    assert_eq!(early.order(&late), Some(Ordering::Less));
    assert_eq!(early.order(&BinlogPosition::new("other.1", 4)), None);
    assert!("binlog.000001".parse::<BinlogPosition>().is_err());
}
