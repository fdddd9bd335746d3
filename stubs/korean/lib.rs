//! EUC-KR without its table.

/// KS X 1001.
pub mod euc_kr {
    /// The code point for `pointer`: never known.
    pub fn forward(_: u16) -> u32 {
        0xffff
    }

    /// The pointer for a code point: never known.
    pub fn backward(_: u32) -> u16 {
        u16::MAX
    }
}
