//! The entropy-coded bits of a JPEG scan (ITU-T T.81, annex F): Huffman codes, numbers, restart markers.

/// Why a stream is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The stream ends, or a marker comes, before the last block.
    Truncated,
    /// What contradicts the standard.
    Corrupt(&'static str),
}

/// Bits that are there after any [`Bits::fill`] that meets no marker.
pub(super) const ZEROS: u32 = 57;

/// Codes of up to this many bits are looked up at once.
const SHORT: u32 = 9;

/// A canonical Huffman code.
pub(super) struct Code {
    /// How many codes have 1 to 16 bits.
    counts: [u8; 16],
    /// In the order of their codes.
    values: Vec<u8>,
    /// For the next [`SHORT`] bits the length of the code that they begin with, and its value; 0 for a longer one.
    short: Vec<(u8, u8)>,
}

impl Code {
    fn new(counts: [u8; 16], values: Vec<u8>) -> Self {
        let mut short = vec![(0, 0); 1 << SHORT];
        let (mut at, mut value) = (0, values.iter());
        for (size, &count) in (1_u8..=SHORT as u8).zip(&counts) {
            for &value in value.by_ref().take(count.into()) {
                let end = at + (1 << (SHORT - u32::from(size)));
                // Codes beyond the last one of their length: such a table is damaged, and they are never met.
                if let Some(places) = short.get_mut(at..end) {
                    places.fill((size, value));
                }
                at = end;
            }
        }
        Self { counts, values, short }
    }
}

/// Reads a segment of Huffman tables (T.81, B.2.4.2) into `codes`: four for DC, four for AC.
pub(super) fn codes(mut segment: &[u8], codes: &mut [Option<Code>; 8]) -> Result<(), Fault> {
    while let Some((&kind, rest)) = segment.split_first() {
        let counts: [u8; 16] = rest.get(..16).and_then(|bytes| bytes.try_into().ok()).ok_or(Fault::Truncated)?;
        let total = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
        let values = rest.get(16..16 + total).ok_or(Fault::Truncated)?.to_vec();
        if kind >> 4 > 1 || kind & 15 > 3 {
            return Err(Fault::Corrupt("Huffman table"));
        }
        codes[usize::from((kind >> 4) * 4 + (kind & 15))] = Some(Code::new(counts, values));
        segment = &rest[16 + total..];
    }
    Ok(())
}

/// The bits of one scan, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The first byte that is not in `word`.
    at: usize,
    /// The next bits, from the top; zeros behind them.
    word: u64,
    /// How many bits of `word` are from the stream.
    left: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, word: 0, left: 0 }
    }

    /// T.81, F.2.2.5: a zero byte is stuffed behind 0xFF; anything else there is a marker, where the bits stop.
    fn fill(&mut self) {
        while self.left <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xFF {
                if self.bytes.get(self.at + 1) != Some(&0) {
                    return;
                }
                self.at += 1;
            }
            self.at += 1;
            self.word |= u64::from(byte) << (56 - self.left);
            self.left += 8;
        }
    }

    fn take(&mut self, count: u32) -> Result<(), Fault> {
        self.left = self.left.checked_sub(count).ok_or(Fault::Truncated)?;
        self.word <<= count;
        Ok(())
    }

    /// T.81, F.2.2.3.
    #[inline]
    pub(super) fn symbol(&mut self, code: &Code) -> Result<u8, Fault> {
        if self.left < 16 {
            self.fill();
        }
        let (size, value) = code.short[(self.word >> (64 - SHORT)) as usize];
        if size > 0 {
            self.take(size.into())?;
            return Ok(value);
        }
        let (mut first, mut index) = (0_usize, 0_usize);
        for (size, &count) in (1..).zip(&code.counts) {
            let (word, count) = ((self.word >> (64 - size)) as usize, usize::from(count));
            if word < first + count {
                self.take(size)?;
                let place = (index + word).checked_sub(first);
                return place.and_then(|place| code.values.get(place)).copied().ok_or(Fault::Corrupt("Huffman code"));
            }
            index += count;
            first = (first + count) << 1;
        }
        Err(if self.left < 16 { Fault::Truncated } else { Fault::Corrupt("Huffman code") })
    }

    /// The next `size` bits, at most 16.
    #[inline]
    pub(super) fn bits(&mut self, size: u8) -> Result<u32, Fault> {
        let size = u32::from(size);
        if self.left < size {
            self.fill();
        }
        // In two steps, since no bits at all would be a shift by 64.
        let value = (self.word >> 1 >> (63 - size)) as u32;
        self.take(size)?;
        Ok(value)
    }

    /// How many bits are read, stuffed ones among them, and whether at least the next [`ZEROS`] bits are zero.
    pub(super) fn place(&mut self) -> (usize, bool) {
        self.fill();
        (8 * self.at - self.left as usize, self.word == 0 && self.left >= ZEROS)
    }

    /// A number of `size` bits, at most 15, the upper half positive (T.81, F.2.2.1, EXTEND).
    pub(super) fn number(&mut self, size: u8) -> Result<i32, Fault> {
        let value = self.bits(size)? as i32;
        Ok(if size > 0 && value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    /// Steps over the restart marker behind the intervals 0 to `interval` (T.81, E.1.4 and F.2.1.3.1): they are
    /// numbered modulo 8.
    pub(super) fn restart(&mut self, interval: usize) -> Result<(), Fault> {
        let rest = self.end()?;
        let &[marker, ref rest @ ..] = rest else { return Err(Fault::Truncated) };
        if marker != 0xD0 + (interval % 8) as u8 {
            let early = !(0xD0..=0xD7).contains(&marker);
            return Err(if early { Fault::Truncated } else { Fault::Corrupt("restart markers out of order") });
        }
        *self = Self::new(rest);
        Ok(())
    }

    /// What follows the bits from the code of the next marker on; nothing at the end of the file. Less than one byte
    /// of padding may be left (T.81, F.1.2.3), and 0xFF may be repeated before a marker (B.1.1.2).
    pub(super) fn end(&mut self) -> Result<&'a [u8], Fault> {
        self.fill();
        if self.left >= 8 {
            return Err(Fault::Corrupt("data left over behind the last block of a scan or restart interval"));
        }
        let rest = &self.bytes[self.at..];
        Ok(rest.iter().position(|&byte| byte != 0xFF).map_or(&[], |code| &rest[code..]))
    }
}
