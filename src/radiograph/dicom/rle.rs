//! RLE Lossless (PS3.5, annex G). Own code, since the decoder of dicom-rs panics on short segments.

/// Decodes `segments` byte planes of `pixels` bytes each.
///
/// # Errors
/// What is wrong with the frame, in words.
pub(super) fn decode(frame: &[u8], segments: usize, pixels: usize) -> Result<Vec<Vec<u8>>, String> {
    let field = |i: usize| {
        let bytes = frame.get(4 * i..4 * i + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    };
    let stored = field(0).ok_or("no header")?;
    if stored != segments || segments > 15 {
        return Err(format!("{stored} segments, not {segments}"));
    }
    // Two bytes code at most 128, so the planes cannot be larger than this for the bytes that are there.
    if pixels.saturating_mul(segments) > frame.len().saturating_mul(64) {
        return Err("too few bytes for the image".into());
    }
    let offsets = (1..=segments).map(field).chain([Some(frame.len())]).collect::<Option<Vec<_>>>();
    let offsets = offsets.ok_or("no header")?;
    offsets
        .windows(2)
        .map(|pair| unpack(frame.get(pair[0]..pair[1]).ok_or("a segment lies outside the frame")?, pixels))
        .collect()
}

/// One PackBits segment (PS3.5, G.3.2).
fn unpack(mut segment: &[u8], pixels: usize) -> Result<Vec<u8>, String> {
    let mut plane = Vec::with_capacity(pixels);
    while plane.len() < pixels {
        let (&control, rest) = segment.split_first().ok_or("a segment stops before the last row")?;
        segment = match control {
            0..=127 => {
                let run = rest.get(..usize::from(control) + 1).ok_or("a literal run stops")?;
                plane.extend_from_slice(run);
                &rest[run.len()..]
            }
            128 => rest,
            129..=255 => {
                let (&value, rest) = rest.split_first().ok_or("a repeated run stops")?;
                plane.resize(plane.len() + 257 - usize::from(control), value);
                rest
            }
        };
    }
    plane.truncate(pixels);
    Ok(plane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_repeated_and_skipped_runs() {
        let mut frame = vec![0; 64];
        frame[0] = 1;
        frame[4] = 64;
        frame.extend([2, 7, 8, 9, 128, 254, 5, 0, 1]);
        assert_eq!(decode(&frame, 1, 7), Ok(vec![vec![7, 8, 9, 5, 5, 5, 1]]));
        for (bytes, segments, pixels) in [(&frame[..], 1, 8), (&frame[..], 2, 7), (&frame[..66], 1, 7), (&[][..], 1, 1)]
        {
            assert!(decode(bytes, segments, pixels).is_err());
        }
        frame[4] = 200;
        assert!(decode(&frame, 1, 7).is_err(), "an offset outside the frame");
    }
}
