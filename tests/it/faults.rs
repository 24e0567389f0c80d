//! Faults of the network, the source, the store, the disk and the process, one test a row of
//! docs/FAULTS.md: the rows' numbers are in the names.

mod cuts;
mod damage;
mod network;
mod process;
mod source;
mod store;

use std::time::Duration;
use tidelog::runtime::Deadline;

/// Waits for something to become so.
async fn until(is_so: impl Fn() -> bool, what: &str) {
    let deadline = Deadline::after(Duration::from_secs(90));
    while !is_so() {
        assert!(
            !deadline.has_passed(),
            "not so after a minute and a half: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
