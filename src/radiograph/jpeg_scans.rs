//! Whether every scan of a JPEG file is whole: each MCU is read before the next marker, restart markers come in order,
//! nothing is left over, and a progressive file sends every bit of every coefficient (ITU-T T.81, annexes F, G and H).
//!
//! Nothing is transformed, and no value is judged but a sequential block of nothing but zero bits, which is what a lost
//! sector leaves: other damage after which the number of blocks is right again is not seen. What is no Huffman-coded
//! sequential, progressive or lossless frame is left to the decoder to refuse.

use super::huffman::{Bits, Code, Fault, ZEROS, codes};

/// One component of the frame.
struct Component {
    id: u8,
    horizontal: usize,
    vertical: usize,
    /// Blocks of 8 x 8 samples, or samples of a lossless frame, that its own size needs.
    columns: usize,
    rows: usize,
    /// Blocks in a row when padded to whole MCUs.
    stride: usize,
    /// For each coefficient the lowest bit that was sent; [`UNSENT`] before its first scan.
    low: [u8; 64],
    /// For each block of a progressive frame a bit for each coefficient that is not zero so far.
    nonzero: Vec<u64>,
}

/// Above any bit position that a scan header can hold.
const UNSENT: u8 = 16;

struct Frame {
    /// Low byte of the SOF marker.
    process: u8,
    /// MCUs of an interleaved scan.
    columns: usize,
    rows: usize,
    components: Vec<Component>,
}

/// Reads all scans of the JPEG file `bytes`.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let mut tables: [Option<Code>; 8] = Default::default();
    let mut frame: Option<Frame> = None;
    let mut interval = 0;
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        let Some(start) = rest.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF)) else {
            // A missing end of the image is forgiven if all of the image is there.
            return finish(frame.as_ref());
        };
        let marker = rest[start + 1];
        rest = &rest[start + 2..];
        match marker {
            0xD9 => return finish(frame.as_ref()),
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let length = rest.get(..2).ok_or(Fault::Truncated)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
        let segment = rest.get(2..length).ok_or(Fault::Truncated)?;
        rest = &rest[length..];
        match marker {
            0xC4 => codes(segment, &mut tables)?,
            0xDD => match *segment {
                [high, low] => interval = usize::from(u16::from_be_bytes([high, low])),
                _ => return Err(Fault::Corrupt("restart interval")),
            },
            0xC0..=0xC3 if frame.is_none() => match Frame::new(marker, segment) {
                Some(new) => frame = Some(new),
                None => return Ok(()),
            },
            // Other processes, a second frame, arithmetic coding, a late number of lines.
            0xC0..=0xCF | 0xDC | 0xDE | 0xDF => return Ok(()),
            0xDA => {
                let frame = frame.as_mut().ok_or(Fault::Corrupt("a scan before the frame"))?;
                match frame.scan(segment, &tables, interval, rest)? {
                    Some(behind) => rest = behind,
                    // The decoder knows the tables that motion JPEG leaves out.
                    None => return Ok(()),
                }
            }
            _ => {}
        }
    }
}

/// Every coefficient of every component was sent down to its last bit.
fn finish(frame: Option<&Frame>) -> Result<(), Fault> {
    let whole = |frame: &Frame| frame.components.iter().all(|component| component.low == [0; 64]);
    if frame.is_some_and(whole) { Ok(()) } else { Err(Fault::Truncated) }
}

impl Frame {
    /// `None` if the header is not one that the decoder takes.
    fn new(process: u8, segment: &[u8]) -> Option<Self> {
        let &[_, h1, h0, w1, w0, count, ref list @ ..] = segment else { return None };
        let (width, height) = (usize::from(u16::from_be_bytes([w1, w0])), usize::from(u16::from_be_bytes([h1, h0])));
        let factors = |entry: &[u8]| (usize::from(entry[1] >> 4), usize::from(entry[1] & 15));
        let list = list.get(..usize::from(count) * 3)?.chunks_exact(3);
        if count == 0
            || count > 4
            || list.clone().map(factors).any(|(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v))
        {
            return None;
        }
        let widest = list.clone().map(|entry| factors(entry).0).max()?;
        let tallest = list.clone().map(|entry| factors(entry).1).max()?;
        let unit = if process == 0xC3 { 1 } else { 8 };
        let (columns, rows) = (width.div_ceil(unit * widest), height.div_ceil(unit * tallest));
        let component = |entry: &[u8]| {
            let (horizontal, vertical) = factors(entry);
            let blocks = if process == 0xC2 { columns * horizontal * rows * vertical } else { 0 };
            Component {
                id: entry[0],
                horizontal,
                vertical,
                // T.81, A.1.1.
                columns: (width * horizontal).div_ceil(widest).div_ceil(unit),
                rows: (height * vertical).div_ceil(tallest).div_ceil(unit),
                stride: columns * horizontal,
                low: [UNSENT; 64],
                nonzero: vec![0; blocks],
            }
        };
        Some(Self { process, columns, rows, components: list.map(component).collect() })
    }

    /// Reads one scan, whose bits begin at `bytes`; returns what is behind them, or `None` if a table is missing.
    fn scan<'a>(
        &mut self,
        header: &[u8],
        tables: &[Option<Code>; 8],
        interval: usize,
        bytes: &'a [u8],
    ) -> Result<Option<&'a [u8]>, Fault> {
        const WRONG: Fault = Fault::Corrupt("scan header");
        let (&count, header) = header.split_first().ok_or(WRONG)?;
        let (list, header) = header.split_at_checked(2 * usize::from(count)).ok_or(WRONG)?;
        let &[from, to, bits, ..] = header else { return Err(WRONG) };
        let kind = match self.process {
            0xC2 if from == 0 && to == 0 => Kind::Dc { refine: bits >> 4 > 0 },
            0xC2 if from > 0 && from <= to && to < 64 && count == 1 => {
                Kind::Ac { from: from.into(), to: to.into(), refine: bits >> 4 > 0 }
            }
            0xC2 => return Err(WRONG),
            0xC3 => Kind::Lossless,
            _ => Kind::Sequential,
        };
        // (component, DC code, AC code)
        let mut parts = Vec::new();
        for entry in list.chunks_exact(2) {
            let place = self.components.iter().position(|component| component.id == entry[0]).ok_or(WRONG)?;
            let dc = tables.get(usize::from(entry[1] >> 4)).and_then(Option::as_ref);
            let ac = tables.get(4 + usize::from(entry[1] & 15)).and_then(Option::as_ref);
            let (needs_dc, needs_ac) = match kind {
                Kind::Sequential => (true, true),
                Kind::Lossless | Kind::Dc { refine: false } => (true, false),
                Kind::Dc { refine: true } => (false, false),
                Kind::Ac { .. } => (false, true),
            };
            if needs_dc && dc.is_none() || needs_ac && ac.is_none() {
                return Ok(None);
            }
            self.components[place].send(kind, bits)?;
            parts.push((place, dc, ac));
        }
        let mut bits = Bits::new(bytes);
        let mut run = 0;
        let alone = match *parts.as_slice() {
            [] => return Err(WRONG),
            [(place, ..)] => Some((self.components[place].columns, self.components[place].rows)),
            _ => None,
        };
        let (columns, rows) = alone.unwrap_or((self.columns, self.rows));
        let mut mcu = 0;
        for y in 0..rows {
            for x in 0..columns {
                if interval > 0 && (x, y) != (0, 0) {
                    mcu += 1;
                    if mcu % interval == 0 {
                        if run > 0 {
                            return Err(RUN);
                        }
                        bits.restart(mcu / interval - 1)?;
                    }
                }
                for &(place, dc, ac) in &parts {
                    let component = &mut self.components[place];
                    let (wide, high) =
                        if alone.is_some() { (1, 1) } else { (component.horizontal, component.vertical) };
                    for block in (0..high).flat_map(|v| (0..wide).map(move |h| (v, h))) {
                        match (kind, dc, ac) {
                            (Kind::Sequential, Some(dc), Some(ac)) => sequential(&mut bits, dc, ac)?,
                            (Kind::Lossless, Some(dc), _) => difference(&mut bits, dc)?,
                            (Kind::Dc { refine: false }, Some(dc), _) => difference(&mut bits, dc)?,
                            (Kind::Dc { .. }, ..) => drop(bits.bits(1)?),
                            (Kind::Ac { from, to, refine }, _, Some(ac)) => {
                                let place = (y * high + block.0) * component.stride + x * wide + block.1;
                                let band = from..=to;
                                let nonzero = &mut component.nonzero[place];
                                if refine {
                                    refinement(&mut bits, ac, band, &mut run, nonzero)?;
                                } else {
                                    first(&mut bits, ac, band, &mut run, nonzero)?;
                                }
                            }
                            _ => return Ok(None),
                        }
                    }
                }
            }
        }
        if run > 0 {
            return Err(RUN);
        }
        let mut behind = bits.end()?;
        // Some encoders end the last interval with a marker, too.
        if let [0xD0..=0xD7, rest @ ..] = behind {
            behind = Bits::new(rest).end()?;
        }
        // From the 0xFF in front of the marker on.
        Ok(Some(&bytes[bytes.len() - behind.len() - usize::from(!behind.is_empty())..]))
    }
}

/// What a scan holds.
#[derive(Clone, Copy)]
enum Kind {
    Sequential,
    Lossless,
    Dc { refine: bool },
    Ac { from: usize, to: usize, refine: bool },
}

const RUN: Fault = Fault::Corrupt("a run of empty blocks goes beyond its scan or restart interval");

impl Component {
    /// Notes what a scan of this component sends. Progressive scans refine one bit after the other (T.81, G.1.1.1.2).
    fn send(&mut self, kind: Kind, bits: u8) -> Result<(), Fault> {
        let (high, low) = (bits >> 4, bits & 15);
        let (range, refine) = match kind {
            Kind::Sequential | Kind::Lossless => {
                self.low = [0; 64];
                return Ok(());
            }
            Kind::Dc { refine } => (0..=0, refine),
            Kind::Ac { from, to, refine } => (from..=to, refine),
        };
        let before = if refine { high } else { UNSENT };
        if refine && high != low + 1 || self.low[range.clone()].iter().any(|&sent| sent != before) {
            return Err(Fault::Corrupt("progressive scans out of order"));
        }
        self.low[range].fill(low);
        Ok(())
    }
}

/// The difference of a DC coefficient or of a lossless sample (T.81, F.2.2.1 and H.1.2.2): 16 has no bits.
fn difference(bits: &mut Bits, code: &Code) -> Result<(), Fault> {
    match bits.symbol(code)? {
        16 => Ok(()),
        size @ 0..=15 => bits.bits(size).map(drop),
        _ => Err(Fault::Corrupt("DC size")),
    }
}

/// T.81, F.2.2.1 and F.2.2.2.
fn sequential(bits: &mut Bits, dc: &Code, ac: &Code) -> Result<(), Fault> {
    let (start, zeros) = bits.place();
    difference(bits, dc)?;
    let mut k = 1;
    while k < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (usize::from(symbol >> 4), symbol & 15);
        if size == 0 && run < 15 {
            break;
        }
        k += run + 1;
        if k > 64 {
            return Err(Fault::Corrupt("AC run"));
        }
        bits.bits(size)?;
    }
    // Zeros end a flat block at once, or else they are a dozen equal coefficients and more, which no image has.
    if zeros && bits.place().0 - start > ZEROS as usize {
        return Err(Fault::Corrupt("a block of zeros"));
    }
    Ok(())
}

/// The first scan of a band of coefficients (T.81, G.1.2.2); `run` blocks more end where they begin.
fn first(
    bits: &mut Bits,
    code: &Code,
    band: std::ops::RangeInclusive<usize>,
    run: &mut u32,
    nonzero: &mut u64,
) -> Result<(), Fault> {
    if *run > 0 {
        *run -= 1;
        return Ok(());
    }
    let mut k = *band.start();
    while k <= *band.end() {
        let symbol = bits.symbol(code)?;
        let (zeros, size) = (symbol >> 4, symbol & 15);
        if size == 0 && zeros < 15 {
            *run = (1 << zeros) - 1 + bits.bits(zeros)?;
            break;
        }
        k += usize::from(zeros);
        if k > *band.end() {
            return Err(Fault::Corrupt("AC run"));
        }
        if size > 0 {
            bits.bits(size)?;
            *nonzero |= 1 << k;
        }
        k += 1;
    }
    Ok(())
}

/// A scan with one more bit for a band of coefficients (T.81, G.1.2.3): one for each that is not zero, and the places
/// and signs of those that become so.
fn refinement(
    bits: &mut Bits,
    code: &Code,
    band: std::ops::RangeInclusive<usize>,
    run: &mut u32,
    nonzero: &mut u64,
) -> Result<(), Fault> {
    let mut k = *band.start();
    if *run == 0 {
        while k <= *band.end() {
            let symbol = bits.symbol(code)?;
            let (mut zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 && zeros < 15 {
                *run = (1 << zeros) + bits.bits(zeros)?;
                break;
            }
            if size > 1 {
                return Err(Fault::Corrupt("a refinement of more than one bit"));
            }
            bits.bits(size)?;
            loop {
                if k > *band.end() {
                    return Err(Fault::Corrupt("AC run"));
                }
                if *nonzero >> k & 1 == 1 {
                    bits.bits(1)?;
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                k += 1;
            }
            *nonzero |= u64::from(size) << k;
            k += 1;
        }
    }
    if *run > 0 {
        if k <= *band.end() {
            let rest = *nonzero >> k << k << (63 - *band.end());
            for _ in 0..rest.count_ones() {
                bits.bits(1)?;
            }
        }
        *run -= 1;
    }
    Ok(())
}
