//! Settings and what belongs into spool and tail.

use super::*;

#[test]
fn policies_have_names() {
    use DurabilityPolicy::{Both, None, Spool, Store};
    for policy in [None, Spool, Store, Both] {
        assert_eq!(policy.name().parse(), Ok(policy));
    }
    assert_eq!(
        [None, Spool, Store, Both].map(|p| (p.uses_spool(), p.uses_tail())),
        [(false, false), (true, false), (false, true), (true, true)]
    );
    assert!(DurabilityPolicy::from_str("disk").is_err());
}

#[test]
fn what_the_dump_thread_made_is_not_spooled() {
    let event = |code: u8, log_pos: u8, flags: u8| {
        let mut event = vec![0_u8; 23];
        event[0] = log_pos;
        event[4] = code;
        event[13] = log_pos;
        event[17] = flags;
        event
    };
    for (code, log_pos, flags, wanted) in [
        (kind::QUERY, 9, 0, true),
        (kind::QUERY, 0, 0, true),
        (kind::ROTATE, 0, 0x20, false),
        (kind::ROTATE, 0, 0, false),
        (kind::ROTATE, 9, 0, true),
        (kind::FORMAT_DESCRIPTION, 0, 0, false),
        (kind::FORMAT_DESCRIPTION, 9, 0, true),
        (kind::GTID_LIST, 9, 0x20, false),
        (kind::HEARTBEAT, 9, 0, false),
        (kind::START_ENCRYPTION, 9, 0, false),
    ] {
        assert_eq!(is_spooled(&event(code, log_pos, flags)), wanted, "{code}");
    }
    assert!(!is_spooled(&[]));
}
