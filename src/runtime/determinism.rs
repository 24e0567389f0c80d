//! What a simulation needs to run twice the same way: identities and random bits from a seed, and
//! heavy work done in place instead of on other threads. For the thread that asks for it.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// On for this thread until dropped.
#[derive(Debug)]
pub(crate) struct Determinism(());

impl Determinism {
    pub(crate) fn from_seed(seed: u64) -> Determinism {
        STATE.set(Some(seed));
        Determinism(())
    }
}

impl Drop for Determinism {
    fn drop(&mut self) {
        STATE.set(None);
    }
}

pub(super) fn is_on() -> bool {
    STATE.get().is_some()
}

/// The next bits, where it is on (SplitMix64).
pub(super) fn bits() -> Option<u64> {
    let state = STATE.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(Some(state));
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some(z ^ (z >> 31))
}
