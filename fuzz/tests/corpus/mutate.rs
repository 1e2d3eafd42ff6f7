//! Mutations of seeds, the same ones in each run.

use strait_fuzz::Dice;

/// Bytes at which lengths, opcodes and flags change their meaning.
const TURNING_POINTS: [u8; 14] = [0, 1, 2, 3, 8, 0x0a, 0x0d, 0x7d, 0x7e, 0x7f, 0x80, 0x82, 0xfe, 0xff];

/// One of the seeds with one to four changes.
pub(crate) fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seeds[dice.roll(seeds.len())].clone();
    for _ in 0..=dice.roll(4) {
        change(&mut bytes, seeds, dice);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.roll(bytes.len());
    let end = at + dice.roll((bytes.len() - at).min(64) + 1);
    match dice.roll(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.roll(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = TURNING_POINTS[dice.roll(TURNING_POINTS.len())];
            }
        }
        2 => bytes.insert(at, dice.roll(256) as u8),
        3 => _ = bytes.drain(at..end),
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = dice.roll(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        5 => bytes.truncate(end),
        6 => {
            let other = &seeds[dice.roll(seeds.len())];
            let from = dice.roll(other.len());
            let to = from + dice.roll((other.len() - from).min(64) + 1);
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            // The options and the cuts.
            if let Some(byte) = bytes.get_mut(dice.roll(2)) {
                *byte = dice.roll(256) as u8;
            }
        }
    }
}
