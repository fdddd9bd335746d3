//! JIS X 0208 and JIS X 0212 without their tables.

/// JIS X 0208.
pub mod jis0208 {
    /// The code point for `pointer`: never known.
    pub fn forward(_: u16) -> u32 {
        0xffff
    }

    /// The pointer for a code point: never known.
    pub fn backward(_: u32) -> u16 {
        u16::MAX
    }

    /// As [`backward`], in Shift_JIS.
    pub fn backward_remapped(_: u32) -> u16 {
        u16::MAX
    }
}

/// JIS X 0212.
pub mod jis0212 {
    /// The code point for `pointer`: never known.
    pub fn forward(_: u16) -> u32 {
        0xffff
    }

    /// The pointer for a code point: never known.
    pub fn backward(_: u32) -> u16 {
        u16::MAX
    }
}
