//! Chance that comes out the same for the same seed.

/// A stream of numbers (the splitmix64 sequence).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `most`.
    pub(crate) const fn below(&mut self, most: u64) -> u64 {
        self.next() % if most == 0 { 1 } else { most }
    }

    /// From `low` to `high`.
    pub(crate) const fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a thousand.
    pub(crate) const fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// Around `middle`, now and then several times as much: how long things take and how large they are.
    pub(crate) const fn around(&mut self, middle: u64) -> u64 {
        let scale = match self.below(10) {
            0 => 20,
            1 => 40,
            2 => 60,
            3 => 80,
            4 => 90,
            5 => 100,
            6 => 110,
            7 => 130,
            8 => 170,
            _ => 350,
        };
        middle * scale / 100 * self.within(80, 120) / 100
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.below(from.len() as u64);
        &from[usize::try_from(at).expect("invariant: below a length")]
    }
}
