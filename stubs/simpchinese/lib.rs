//! GB 18030 without its tables.

/// Two bytes.
pub mod gb18030 {
    /// The code point for `pointer`: never known.
    pub fn forward(_: u16) -> u32 {
        0xffff
    }

    /// The pointer for a code point: never known.
    pub fn backward(_: u32) -> u16 {
        u16::MAX
    }
}

/// Four bytes.
pub mod gb18030_ranges {
    /// The code point for `pointer`: never known.
    pub fn forward(_: u32) -> u32 {
        u32::MAX
    }

    /// The pointer for a code point: never known.
    pub fn backward(_: u32) -> u32 {
        u32::MAX
    }
}
