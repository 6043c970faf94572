//! Damage to bytes.

use super::rng::Rng;

/// Changes `bytes` in one to eight ways.
pub(super) fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(8) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len());
        match rng.below(6) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next() as u8,
            2 => bytes[at] = rng.pick(&[0, 1, 0x7f, 0x80, 0xfe, 0xff]),
            3 => bytes.truncate(at),
            4 => drop(bytes.remove(at)),
            _ => {
                let end = (at + 1 + rng.below(16)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = rng.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
}
