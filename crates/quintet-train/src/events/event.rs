//! The protobuf message of an event, as far as numbers by step need it.
//!
//! ```text
//! Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5 }
//! Summary { repeated Value value = 1 }
//! Value   { string tag = 1; float simple_value = 2 }
//! ```

/// The first event of a file.
pub(super) fn version(wall_time: f64) -> Vec<u8> {
    let mut out = Vec::new();
    double(&mut out, 1, wall_time);
    delimited(&mut out, 3, b"brain.Event:2");
    out
}

/// Numbers of one step.
pub(super) fn scalars(wall_time: f64, step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = Vec::new();
        delimited(&mut one, 1, tag.as_bytes());
        one.push(2 << 3 | 5);
        one.extend((*value as f32).to_le_bytes());
        delimited(&mut summary, 1, &one);
    }
    let mut out = Vec::new();
    double(&mut out, 1, wall_time);
    out.push(2 << 3);
    varint(&mut out, step);
    delimited(&mut out, 5, &summary);
    out
}

/// The step of an event, 0 where it has none; none for bytes that are no message.
pub(super) fn step(mut bytes: &[u8]) -> Option<u64> {
    let mut step = 0;
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes)?;
        let skip = match key & 7 {
            0 => {
                let value = read_varint(&mut bytes)?;
                step = if key >> 3 == 2 { value } else { step };
                0
            }
            1 => 8,
            2 => usize::try_from(read_varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        bytes = bytes.get(skip..)?;
    }
    Some(step)
}

fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | 1);
    out.extend(value.to_le_bytes());
}

fn delimited(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if *byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_byte_by_byte() {
        let expected = [
            &[0x09][..],
            &2.0f64.to_le_bytes(),
            &[0x10, 0xAC, 0x02],       // step 300
            &[0x2a, 0x0a, 0x0a, 0x08], // summary of 10 bytes, value of 8
            &[0x0a, 0x01, b'a', 0x15], // tag "a"
            &0.5f32.to_le_bytes(),
        ];
        assert_eq!(scalars(2.0, 300, &[("a", 0.5)]), expected.concat());
    }

    #[test]
    fn steps_are_read_again_and_nonsense_has_none() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX)] {
            assert_eq!(step(&scalars(1.5, value, &[("a", 1.0), ("b", 2.0)])), Some(value));
        }
        assert_eq!(step(&version(1.0)), Some(0));
        for bytes in [&[0x10][..], &[0x09, 1, 2], &[0x2a, 0xff, 0xff], &[0x03], &[0xff; 20]] {
            assert_eq!(step(bytes), None, "{bytes:?}");
        }
    }
}
