//! Data of the kinds that packages hold, made from a seed: the same bytes on every machine.

/// Pseudo-random words (xorshift64*): the same on every machine.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 56) as u8).collect()
    }

    /// A value around 0 with the bell of four summed uniforms, as weights have.
    fn weight(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| (self.next() >> 40) as f32 / 16_777_216.0 - 0.5).sum();
        sum * 0.02
    }
}

#[allow(dead_code, reason = "the bench has kinds of its own")]
pub const KINDS: [&str; 11] =
    ["empty", "one", "zeros", "equal", "random", "text", "bf16", "f32", "upcast", "half", "header+weights"];

/// `len` bytes of a kind of data.
pub fn sample(kind: &str, len: usize, seed: u64) -> Vec<u8> {
    let mut noise = Noise(seed | 1);
    let words = ["\"token", "\": ", "Ġthe", ",\n  ", "ing", "1234", "[", "merges", "\u{120}a", "tion"];
    let mut out = Vec::with_capacity(len + 8);
    match kind {
        "empty" => return Vec::new(),
        "one" => return vec![seed as u8],
        "zeros" => out.resize(len, 0),
        "equal" => out.resize(len, seed as u8),
        "random" => out = noise.bytes(len),
        "half" => {
            out.resize(len / 2, 0);
            out.extend(sample("bf16", len - len / 2, seed));
        }
        "header+weights" => {
            out = sample("text", len / 20, seed);
            out.extend(sample("bf16", len - len / 20, seed));
        }
        _ => {
            while out.len() < len {
                match kind {
                    "text" => {
                        out.extend_from_slice(words[(noise.next() >> 60) as usize % words.len()].as_bytes());
                        out.extend_from_slice((noise.next() >> 50).to_string().as_bytes());
                    }
                    "bf16" => out.extend_from_slice(&noise.weight().to_bits().to_le_bytes()[2..]),
                    "f32" => out.extend_from_slice(&noise.weight().to_bits().to_le_bytes()),
                    "upcast" => out.extend_from_slice(&(noise.weight().to_bits() & 0xffff_0000).to_le_bytes()),
                    _ => unreachable!("{kind}"),
                }
            }
            out.truncate(len);
        }
    }
    out
}
