//! SHA-256 (FIPS 180-4), computed by the crate `sha2`.

use sha2::{Digest, Sha256};

/// Bytes that are hashed at a time. An engine of WebAssembly goes over to better code of a function between two calls
/// only, so that one call for a whole file would run in its first, slow code to the end.
const CHUNK: usize = 4 << 10;

/// SHA-256 of the parts, one after the other, in lower-case hexadecimal.
pub(crate) fn sha256(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for chunk in parts.iter().flat_map(|part| part.chunks(CHUNK)) {
        hasher.update(chunk);
    }
    format!("{:x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "abc", and a million times "a": NIST's examples of SHA-256.
    #[test]
    fn agrees_with_the_standards_examples() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&[b"abc"]), abc);
        assert_eq!(sha256(&[b"a", b"", b"bc"]), abc);
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(sha256(&[&[b'a'; 1_000_000]]), million);
    }
}
