//! The log read back: transactions and row changes in commit order, the received events rebuilt
//! from them, and the check that all of it is what was written.

mod changes;
mod images;
mod rebuild;
mod render;
mod verify;

pub use changes::{ChangeRef, SegmentChanges, StatementRef, Versions};
pub use rebuild::{RebuiltTransaction, count_events, rebuild_segment};
pub use render::{images_to_json, value};
pub use verify::{Damage, VerifyOptions, VerifyReport, verify};
