//! CRC-32C (Castagnoli), in the masked form of record files.
//!
//! Standard: the polynomial 0x1EDC6F41 of RFC 3720, §12.1, bits reversed. The mask keeps a
//! checksum of bytes that hold checksums from being weak.

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 { (rest >> 1) ^ 0x82F6_3B78 } else { rest >> 1 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
}

const TABLE: [u32; 256] = table();

fn plain(bytes: &[u8]) -> u32 {
    let step =
        |rest: u32, byte: &u8| (rest >> 8) ^ TABLE[((rest ^ u32::from(*byte)) & 255) as usize];
    !bytes.iter().fold(!0, step)
}

/// The checksum, turned by 15 bits and shifted by a constant.
pub(super) fn masked(bytes: &[u8]) -> u32 {
    plain(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the standard's catalogue, and the vectors of RFC 3720, B.4.
    #[test]
    fn known_sums() {
        assert_eq!(plain(b"123456789"), 0xE306_9283);
        assert_eq!(plain(&[0; 32]), 0x8A91_36AA);
        assert_eq!(plain(&[255; 32]), 0x62A8_AB43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(plain(&rising), 0x46DD_794E);
    }
}
