//! DICOM files made by code.

/// Explicit VR Little Endian.
pub(crate) const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// One element in Explicit VR Little Endian.
pub(crate) fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.extend(vr.as_bytes());
    let padded = value.len() + value.len() % 2;
    if ["OB", "OW", "SQ", "UN", "UT"].contains(&vr) {
        bytes.extend([0, 0]);
        bytes.extend((padded as u32).to_le_bytes());
    } else {
        bytes.extend((padded as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes.resize(bytes.len() + padded - value.len(), if vr == "OW" || vr == "OB" { 0 } else { b' ' });
    bytes
}

/// An element of one unsigned 16-bit value.
pub(crate) fn short(group: u16, number: u16, value: u16) -> Vec<u8> {
    element(group, number, "US", &value.to_le_bytes())
}

/// Words as bytes.
pub(crate) fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The elements that every monochrome image needs: 16 bits allocated and stored, unsigned.
pub(crate) fn image(photometric: &str, columns: u16, rows: u16) -> Vec<Vec<u8>> {
    vec![
        short(0x28, 0x02, 1),
        element(0x28, 0x04, "CS", photometric.as_bytes()),
        short(0x28, 0x10, rows),
        short(0x28, 0x11, columns),
        short(0x28, 0x100, 16),
        short(0x28, 0x101, 16),
        short(0x28, 0x102, 15),
        short(0x28, 0x103, 0),
    ]
}

/// A file of a transfer syntax and elements, which are put in order.
pub(crate) fn file(transfer_syntax: &str, elements: &[Vec<u8>]) -> Vec<u8> {
    let mut syntax = transfer_syntax.as_bytes().to_vec();
    syntax.resize(syntax.len() + syntax.len() % 2, 0);
    let meta = element(2, 0x10, "UI", &syntax);
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend(element(2, 0, "UL", &(meta.len() as u32).to_le_bytes()));
    bytes.extend(meta);
    let mut elements = elements.to_vec();
    elements.sort_by_key(|element| {
        (u16::from_le_bytes([element[0], element[1]]), u16::from_le_bytes([element[2], element[3]]))
    });
    bytes.extend(elements.concat());
    bytes
}
