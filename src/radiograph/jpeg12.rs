//! Sequential Huffman JPEG of one component with 8 or 12 bits (ITU-T T.81, processes 1 and 4): DICOM's JPEG Extended.
//!
//! Own code, since no Rust crate decodes 12-bit JPEG; it is as plain as the standard's own flow charts. The inverse
//! transform is the definition (A.3.3) in `f64`, row by column, so every machine gets the same samples.

use super::huffman::{Bits, Code, Fault, codes};

/// cos(k pi / 16), k = 0..=8.
const COSINE: [f64; 9] = [
    1.0,
    0.980_785_280_403_230_4,
    0.923_879_532_511_286_7,
    0.831_469_612_302_545_2,
    std::f64::consts::FRAC_1_SQRT_2,
    0.555_570_233_019_602_2,
    0.382_683_432_365_089_8,
    0.195_090_322_016_128_27,
    0.0,
];

/// Places of the coefficients in the order of the stream (T.81, figure A.6).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Decodes the samples of a frame of `width` x `height` pixels with `precision` bits, whose header is known to say so.
pub(super) fn decode(bytes: &[u8], width: usize, height: usize, precision: u8) -> Result<Vec<u16>, Fault> {
    let mut tables = Tables::default();
    let mut rest = bytes.get(2..).ok_or(Fault::Truncated)?;
    let scan = loop {
        let start = rest.iter().position(|&byte| byte != 0xFF).ok_or(Fault::Truncated)?;
        if start == 0 {
            return Err(Fault::Corrupt("no marker between segments"));
        }
        let marker = rest[start];
        let length = rest.get(start + 1..start + 3).ok_or(Fault::Truncated)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
        let segment = rest.get(start + 3..start + 1 + length).ok_or(Fault::Truncated)?;
        rest = &rest[start + 1 + length..];
        match marker {
            0xC4 => codes(segment, &mut tables.codes)?,
            0xDB => tables.quantisation(segment)?,
            0xDD => {
                tables.restart =
                    usize::from(u16::from_be_bytes(segment.try_into().map_err(|_| Fault::Corrupt("restart interval"))?))
            }
            // Precision, size, one component: identifier, sampling, table.
            0xC0 | 0xC1 => tables.quantiser = usize::from(*segment.get(8).ok_or(Fault::Truncated)?),
            // One component: identifier, tables; then spectral selection, which sequential scans do not use.
            0xDA => break *segment.get(2).ok_or(Fault::Truncated)?,
            _ => {}
        }
    };
    let quantiser = tables.quantisers.get(tables.quantiser).and_then(Option::as_ref);
    let dc = tables.codes.get(usize::from(scan >> 4)).and_then(Option::as_ref);
    let ac = tables.codes.get(4 + usize::from(scan & 15)).and_then(Option::as_ref);
    let (Some(quantiser), Some(dc), Some(ac)) = (quantiser, dc, ac) else {
        return Err(Fault::Corrupt("a table is missing"));
    };
    let mut bits = Bits::new(rest);
    let mut samples = vec![0; width * height];
    let (columns, rows) = (width.div_ceil(8), height.div_ceil(8));
    let mut prediction = 0;
    for block in 0..columns * rows {
        if tables.restart > 0 && block > 0 && block % tables.restart == 0 {
            bits.restart(block / tables.restart - 1)?;
            prediction = 0;
        }
        let values = coefficients(&mut bits, dc, ac, quantiser, &mut prediction)?;
        let (left, top) = (block % columns * 8, block / columns * 8);
        for (y, row) in inverse(&values).chunks_exact(8).enumerate().take(height - top) {
            for (x, value) in row.iter().enumerate().take(width - left) {
                let level = value + f64::from(1_u32 << (precision - 1)) + 0.5;
                let most = f64::from((1_u32 << precision) - 1);
                samples[(top + y) * width + left + x] = level.floor().clamp(0.0, most) as u16;
            }
        }
    }
    Ok(samples)
}

#[derive(Default)]
struct Tables {
    quantisers: [Option<[i32; 64]>; 4],
    /// Four for DC, four for AC.
    codes: [Option<Code>; 8],
    restart: usize,
    quantiser: usize,
}

impl Tables {
    /// T.81, B.2.4.1.
    fn quantisation(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        while let Some((&kind, rest)) = segment.split_first() {
            let size = if kind >> 4 == 0 { 1 } else { 2 };
            let values = rest.get(..64 * size).ok_or(Fault::Truncated)?;
            let table = self.quantisers.get_mut(usize::from(kind & 15)).ok_or(Fault::Corrupt("quantisation table"))?;
            let value =
                |i: usize| values[i * size..(i + 1) * size].iter().fold(0, |sum, &byte| sum << 8 | i32::from(byte));
            *table = Some(std::array::from_fn(value));
            segment = &rest[64 * size..];
        }
        Ok(())
    }
}

/// One block of dequantised coefficients (T.81, F.2.2.1 and F.2.2.2).
fn coefficients(
    bits: &mut Bits,
    dc: &Code,
    ac: &Code,
    quantiser: &[i32; 64],
    prediction: &mut i32,
) -> Result<[f64; 64], Fault> {
    let mut block = [0.0; 64];
    let size = bits.symbol(dc)?;
    // 12-bit samples need at most 15 (table F.1), and the sum stays a 16-bit number.
    if size > 15 {
        return Err(Fault::Corrupt("DC size"));
    }
    *prediction += bits.number(size)?;
    if prediction.abs() > 0xFFFF {
        return Err(Fault::Corrupt("DC value"));
    }
    block[0] = f64::from(*prediction) * f64::from(quantiser[0]);
    let mut k = 1;
    while k < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (usize::from(symbol >> 4), symbol & 15);
        if size == 0 && run < 15 {
            break;
        }
        k += run;
        if k > 63 {
            return Err(Fault::Corrupt("AC run"));
        }
        block[ZIGZAG[k]] = f64::from(bits.number(size)?) * f64::from(quantiser[k]);
        k += 1;
    }
    Ok(block)
}

/// The inverse transform (T.81, A.3.3), first along the rows, then along the columns.
fn inverse(block: &[f64; 64]) -> [f64; 64] {
    // C(u) / 2 * cos((2 x + 1) u pi / 16), by the symmetry of the cosine about 16 and 8.
    let basis = |x: usize, u: usize| {
        let m = (2 * x + 1) * u % 32;
        let m = if m > 16 { 32 - m } else { m };
        let cosine = if m > 8 { -COSINE[16 - m] } else { COSINE[m] };
        if u == 0 { COSINE[4] / 2.0 } else { cosine / 2.0 }
    };
    let basis: [[f64; 8]; 8] = std::array::from_fn(|x| std::array::from_fn(|u| basis(x, u)));
    let rows: [f64; 64] = std::array::from_fn(|i| (0..8).map(|u| basis[i % 8][u] * block[i / 8 * 8 + u]).sum());
    std::array::from_fn(|i| (0..8).map(|v| basis[i / 8][v] * rows[v * 8 + i % 8]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_another_decoder_on_8_bits() {
        let (width, height) = (61_usize, 43_usize);
        let film =
            (0..width * height).map(|i| ((i % width) * 3 + (i / width) * 2 + (i * i) % 17) as u8).collect::<Vec<_>>();
        for restart in [0, 5] {
            let mut bytes = Vec::new();
            let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 92);
            encoder.set_restart_interval(restart);
            encoder.encode(&film, width as u16, height as u16, jpeg_encoder::ColorType::Luma).expect("encodes");
            let other = jpeg_decoder::Decoder::new(&*bytes).decode().expect("decodes");
            let found = decode(&bytes, width, height, 8).expect("decodes");
            // Another rounding of the transform: one level at most.
            assert!(found.iter().zip(&other).all(|(&a, &b)| a.abs_diff(b.into()) <= 1), "restart {restart}");
            assert_eq!(decode(&bytes[..bytes.len() / 2], width, height, 8), Err(Fault::Truncated));
        }
    }
}
