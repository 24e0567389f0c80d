//! Wiring and supervision: what turns the stages into running processes.

mod run;
mod status;
pub mod throwaway;

pub use run::Service;
pub use status::{
    CapturedFrom, Gap, OpenBarrier, Parent, PreparedXa, Status, Stretch, TimelineStatus, status,
};
