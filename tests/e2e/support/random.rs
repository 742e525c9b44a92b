//! A fixed sequence of random numbers, so that a failure can be run again.

/// xorshift64.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new() -> Self {
        Self(0x5eed)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a fraction of a millisecond does not matter"
    )]
    pub fn next_fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
