//! How long each frame of an animation is shown, read without decoding a pixel.
//!
//! Standards: GIF89a specification, CompuServe, 1990; RFC 9649 (WebP), sections 2.5 to 2.7.

use std::path::Path;

use quintet_tensor::{DecodeKind, EncodeError};

use crate::walk::{Walk, decode};

/// Largest frame, pixels.
pub(crate) const MAX_PIXELS: u64 = 64_000_000;
/// Frames that are read of one clip.
pub(crate) const MAX_FRAMES: usize = 4_096;
/// Pixels that are decoded of one clip.
const MAX_CLIP_PIXELS: u64 = 1 << 30;
/// Shown when a frame names no time that a viewer would keep, milliseconds.
pub(crate) const DEFAULT_DELAY: u32 = 100;
/// Shorter delays are replaced by [`DEFAULT_DELAY`], as browsers do, milliseconds.
const SHORTEST_DELAY: u32 = 20;
/// An animation with more chunks that are no frames is taken for corrupt.
const MAX_OTHER: usize = 100_000;

/// Frame times in milliseconds, in order.
pub(crate) struct Timeline {
    delays: Vec<u32>,
    /// Pixels of the largest frame or canvas.
    largest: u64,
}

impl Timeline {
    fn new(path: &Path, [width, height]: [u32; 2]) -> Result<Self, EncodeError> {
        let largest = check_size(path, [width, height])?;
        Ok(Self { delays: Vec::new(), largest })
    }

    fn frame(
        &mut self,
        path: &Path,
        [width, height]: [u32; 2],
        delay: u32,
    ) -> Result<(), EncodeError> {
        self.largest = self.largest.max(check_size(path, [width, height])?);
        self.delays.push(if delay < SHORTEST_DELAY { DEFAULT_DELAY } else { delay });
        Ok(())
    }

    fn full(&self) -> bool {
        self.delays.len() as u64 >= (MAX_CLIP_PIXELS / self.largest).clamp(1, MAX_FRAMES as u64)
    }

    fn finish(mut self, path: &Path) -> Result<Vec<u32>, EncodeError> {
        if self.delays.is_empty() {
            return Err(decode(path, DecodeKind::Empty, "frames", "none"));
        }
        let most = (MAX_CLIP_PIXELS / self.largest).clamp(1, MAX_FRAMES as u64) as usize;
        self.delays.truncate(most);
        Ok(self.delays)
    }
}

/// The pixels of a picture, if there are any and not too many.
pub(crate) fn check_size(path: &Path, [width, height]: [u32; 2]) -> Result<u64, EncodeError> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        let found = format!("{width} × {height}");
        return Err(decode(path, DecodeKind::Corrupt, "a frame with pixels", &found));
    }
    if pixels > MAX_PIXELS {
        return Err(EncodeError::TooLarge {
            origin: path.display().to_string(),
            what: "width × height",
            limit: MAX_PIXELS,
            found: pixels,
        });
    }
    Ok(pixels)
}

fn u16_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(bytes[at]) | u32::from(bytes[at + 1]) << 8
}

fn u24_at(bytes: &[u8], at: usize) -> u32 {
    u16_at(bytes, at) | u32::from(bytes[at + 2]) << 16
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u16_at(bytes, at) | u16_at(bytes, at + 2) << 16
}

/// Frame times of a GIF, milliseconds.
///
/// # Errors
/// It ends before its trailer, contradicts the format, has no frame or frames that are too large.
pub(crate) fn gif(path: &Path) -> Result<Vec<u32>, EncodeError> {
    let mut walk = Walk::open(path)?;
    let head: [u8; 13] = walk.bytes("a GIF header")?;
    let mut line = Timeline::new(path, [u16_at(&head, 6), u16_at(&head, 8)])?;
    skip_palette(&mut walk, head[10])?;
    let mut delay = 0;
    let mut others = 0;
    while !line.full() {
        match walk.byte("a GIF trailer")? {
            0x2c => {
                let place: [u8; 9] = walk.bytes("an image descriptor")?;
                skip_palette(&mut walk, place[8])?;
                walk.byte("a code size")?;
                skip_blocks(&mut walk)?;
                line.frame(path, [u16_at(&place, 4), u16_at(&place, 6)], delay)?;
                delay = 0;
            }
            0x21 => {
                if walk.byte("an extension")? == 0xf9 {
                    let size = walk.byte("a graphic control")?;
                    if size != 4 {
                        return Err(walk.corrupt("a graphic control of 4 bytes", &size.to_string()));
                    }
                    let control: [u8; 4] = walk.bytes("a graphic control")?;
                    delay = u16_at(&control, 1) * 10;
                }
                skip_blocks(&mut walk)?;
                others += 1;
            }
            0x3b => break,
            other => return Err(walk.corrupt("a GIF block", &format!("byte {other:#04x}"))),
        }
        if others > MAX_OTHER {
            return Err(walk.corrupt("frames", &format!("{others} extensions")));
        }
    }
    line.finish(path)
}

fn skip_palette(walk: &mut Walk, flags: u8) -> Result<(), EncodeError> {
    if flags & 0x80 == 0 {
        return Ok(());
    }
    walk.skip(3 << ((flags & 7) + 1), "a palette")
}

fn skip_blocks(walk: &mut Walk) -> Result<(), EncodeError> {
    loop {
        match walk.byte("a data block")? {
            0 => return Ok(()),
            n => walk.skip(u64::from(n), "a data block")?,
        }
    }
}

/// Frame times of a WebP, milliseconds; `None` for a still one.
///
/// # Errors
/// As [`gif`]. A still one is checked too: the picture must have the size that the canvas names.
pub(crate) fn webp(path: &Path) -> Result<Option<Vec<u32>>, EncodeError> {
    let mut walk = Walk::open(path)?;
    let riff: [u8; 12] = walk.bytes("a WebP header")?;
    let end = 8 + u64::from(u32_at(&riff, 4));
    if end > walk.len() {
        return Err(walk.truncated(&format!("{end} bytes")));
    }
    let (kind, size) = chunk(&mut walk, end)?;
    if &kind != b"VP8X" {
        let dims = picture_size(&mut walk, kind, size)?;
        check_size(path, dims.ok_or_else(|| walk.corrupt("a picture", "another chunk"))?)?;
        return Ok(None);
    }
    if size < 10 {
        return Err(walk.corrupt("an extended header of 10 bytes", &size.to_string()));
    }
    let x: [u8; 10] = walk.bytes("an extended header")?;
    walk.skip(padded(size) - 10, "an extended header")?;
    let canvas = [u24_at(&x, 4) + 1, u24_at(&x, 7) + 1];
    let mut line = Timeline::new(path, canvas)?;
    let animated = x[0] & 2 != 0;
    let mut others = 0;
    while walk.pos() + 8 <= end && !line.full() {
        let (kind, size) = chunk(&mut walk, end)?;
        let next = walk.pos() + padded(size);
        if animated && &kind == b"ANMF" {
            let (dims, delay) = animation_frame(&mut walk, size)?;
            line.frame(path, dims, delay)?;
        } else if let Some(dims) = picture_size(&mut walk, kind, size)?
            && !animated
            && dims != canvas
        {
            return Err(size_mismatch(&walk, canvas, dims));
        }
        // The last chunk may lack its padding byte.
        let rest = next.min(end).saturating_sub(walk.pos());
        walk.skip(rest, "a chunk")?;
        others += 1;
        if others > MAX_OTHER {
            return Err(walk.corrupt("frames", &format!("{others} chunks")));
        }
    }
    if animated { line.finish(path).map(Some) } else { Ok(None) }
}

fn padded(size: u32) -> u64 {
    u64::from(size) + u64::from(size & 1)
}

fn chunk(walk: &mut Walk, end: u64) -> Result<([u8; 4], u32), EncodeError> {
    let head: [u8; 8] = walk.bytes("a chunk")?;
    let size = u32_at(&head, 4);
    if walk.pos() + u64::from(size) > end {
        return Err(walk.corrupt("a chunk inside the file", &format!("{size} bytes")));
    }
    Ok(([head[0], head[1], head[2], head[3]], size))
}

/// Width and height of a lossy or lossless picture chunk; nothing of other chunks.
fn picture_size(
    walk: &mut Walk,
    kind: [u8; 4],
    size: u32,
) -> Result<Option<[u32; 2]>, EncodeError> {
    match &kind {
        b"VP8 " if size >= 10 => {
            let head: [u8; 10] = walk.bytes("a lossy picture")?;
            Ok(Some([u16_at(&head, 6) & 0x3fff, u16_at(&head, 8) & 0x3fff]))
        }
        b"VP8L" if size >= 5 => {
            let head: [u8; 5] = walk.bytes("a lossless picture")?;
            let bits = u32_at(&head, 1);
            Ok(Some([(bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1]))
        }
        _ => Ok(None),
    }
}

/// Size and delay of an animation frame. The picture inside must have the size that the frame
/// names: decoders trust the frame when they allocate.
fn animation_frame(walk: &mut Walk, size: u32) -> Result<([u32; 2], u32), EncodeError> {
    if size < 24 {
        return Err(walk.corrupt("an animation frame of 24 bytes or more", &size.to_string()));
    }
    let end = walk.pos() + u64::from(size);
    let head: [u8; 16] = walk.bytes("an animation frame")?;
    let dims = [u24_at(&head, 6) + 1, u24_at(&head, 9) + 1];
    let delay = u24_at(&head, 12);
    let (mut kind, mut inner) = chunk(walk, end)?;
    if &kind == b"ALPH" && walk.pos() + padded(inner) + 8 <= end {
        walk.skip(padded(inner), "transparency")?;
        (kind, inner) = chunk(walk, end)?;
    }
    match picture_size(walk, kind, inner)? {
        Some(found) if found == dims => Ok((dims, delay)),
        Some(found) => Err(size_mismatch(walk, dims, found)),
        None => Err(walk.corrupt("a picture in every frame", "another chunk")),
    }
}

fn size_mismatch(walk: &Walk, expected: [u32; 2], found: [u32; 2]) -> EncodeError {
    let text = |[w, h]: [u32; 2]| format!("{w} × {h}");
    walk.corrupt(&format!("a picture of {}", text(expected)), &text(found))
}
