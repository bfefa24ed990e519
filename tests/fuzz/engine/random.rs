//! Numbers that follow from a seed.

use sha2::{Digest, Sha256};

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// The numbers of one input of one parser.
    pub fn new(name: &str, seed: u64, number: u64) -> Self {
        let digest = Sha256::new().chain_update(name).chain_update(seed.to_be_bytes());
        let digest = digest.chain_update(number.to_be_bytes()).finalize();
        Self(u64::from_be_bytes(digest[..8].try_into().expect("eight bytes")))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).expect("it fits")
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// Once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Small most of the time.
    pub fn size(&mut self, most: usize) -> usize {
        let bits = self.below(most.max(1).ilog2() as usize + 2);
        self.below((1 << bits).min(most + 1))
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
