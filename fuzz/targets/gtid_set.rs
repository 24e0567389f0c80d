//! Any text as GTIDs and sets of them: what parses is printed and parsed to the same; sets obey
//! the laws of sets.
//!
//! Input: choices, then two sets with a line break between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidelog::position::{BinlogPosition, Gtid, GtidSet};
use tidelog_fuzz::choices;

fuzz_target!(|data: &[u8]| {
    let Some((choices, text)) = choices(data) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let (left, right) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(position) = left.parse::<BinlogPosition>() {
        assert_eq!(position.to_string().parse::<BinlogPosition>().ok(), Some(position));
    }
    let gtid = right.parse::<Gtid>();
    if let Ok(gtid) = &gtid {
        assert_eq!(gtid.to_string().parse::<Gtid>().as_ref().ok(), Some(gtid));
    }
    let flavor = choices.flavor();
    let Ok(mut set) = GtidSet::parse(flavor, left) else {
        return;
    };
    assert_eq!(GtidSet::parse(flavor, &set.to_string()).ok().as_ref(), Some(&set));
    if let Ok(gtid) = gtid
        && let Ok(is_new) = set.add(&gtid)
    {
        assert!(set.contains(&gtid) && !set.add(&gtid).expect("same flavor"), "{is_new}");
    }
    let Ok(other) = GtidSet::parse(flavor, right) else {
        return;
    };
    let mut both = set.clone();
    both.union(&other).expect("same flavor");
    assert!(set.is_subset(&both) && other.is_subset(&both), "{set} + {other} = {both}");
    if let (GtidSet::MySql(set), GtidSet::MySql(other)) = (&set, &other) {
        let rest = set.subtract(other);
        assert!(rest.is_subset(set));
        let mut again = rest.clone();
        again.union(other);
        assert!(set.is_subset(&again));
        assert_eq!(rest.subtract(other), rest);
        assert!(!set.encode().is_empty());
    }
});
