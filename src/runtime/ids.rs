//! Identities and randomness.

#![allow(clippy::disallowed_methods, reason = "the one place for them")]

use uuid::Uuid;

/// A new random identity.
#[must_use]
pub fn new_uuid() -> Uuid {
    #[cfg(test)]
    if let Some((high, low)) = super::determinism::bits().zip(super::determinism::bits()) {
        return Uuid::from_u64_pair(high, low);
    }
    Uuid::new_v4()
}

/// 64 random bits, for names that must not collide and for jitter.
#[must_use]
pub fn random_u64() -> u64 {
    // Two of the 128 bits' six fixed ones are in each half: the halves are mixed.
    let (high, low) = new_uuid().as_u64_pair();
    high.rotate_left(32) ^ low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_varies() {
        let (mut ones, mut zeros) = (0_u64, 0_u64);
        for _ in 0..256 {
            let bits = random_u64();
            ones |= bits;
            zeros |= !bits;
        }
        assert_eq!((ones, zeros), (u64::MAX, u64::MAX));
    }
}
