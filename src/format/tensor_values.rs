//! Values of tensors as `f64`, and what they say: statistics of one tensor, distance between two.
//!
//! Little-endian, as safetensors has them. float8 by "FP8 Formats for Deep Learning" (E4M3, E5M2), its FNUZ variants by
//! "8-bit Numerical Formats for Deep Neural Networks", E8M0 by the OCP microscaling formats. The parts of a complex
//! number count as two values. Types of under eight bits are not read.

use safetensors::Dtype;
use serde::Serialize;

/// Bytes of one value (of a part of it, for complex numbers); `None` where values are not read.
pub fn width(dtype: Dtype) -> Option<usize> {
    Some(match dtype {
        Dtype::BOOL | Dtype::U8 | Dtype::I8 => 1,
        Dtype::F8_E5M2 | Dtype::F8_E4M3 | Dtype::F8_E8M0 | Dtype::F8_E4M3FNUZ | Dtype::F8_E5M2FNUZ => 1,
        Dtype::I16 | Dtype::U16 | Dtype::F16 | Dtype::BF16 => 2,
        Dtype::I32 | Dtype::U32 | Dtype::F32 | Dtype::C64 => 4,
        Dtype::F64 | Dtype::I64 | Dtype::U64 => 8,
        _ => return None,
    })
}

/// Replaces `out` by the values in these bytes, which are whole values.
pub fn decode(dtype: Dtype, bytes: &[u8], out: &mut Vec<f64>) {
    macro_rules! read {
        ($type:ty, $to:expr) => {{
            let chunks = bytes.as_chunks::<{ size_of::<$type>() }>().0.iter();
            out.extend(chunks.map(|chunk| $to(<$type>::from_le_bytes(*chunk))));
        }};
    }
    out.clear();
    match dtype {
        Dtype::F32 | Dtype::C64 => read!(f32, f64::from),
        Dtype::F64 => read!(f64, |x| x),
        Dtype::BF16 => read!(u16, |x| f64::from(f32::from_bits(u32::from(x) << 16))),
        Dtype::F16 => read!(u16, half),
        Dtype::I8 => read!(i8, f64::from),
        Dtype::U8 | Dtype::BOOL => read!(u8, f64::from),
        Dtype::I16 => read!(i16, f64::from),
        Dtype::U16 => read!(u16, f64::from),
        Dtype::I32 => read!(i32, f64::from),
        Dtype::U32 => read!(u32, f64::from),
        Dtype::I64 => read!(i64, |x| x as f64),
        Dtype::U64 => read!(u64, |x| x as f64),
        // The upper half of a float16.
        Dtype::F8_E5M2 => read!(u8, |x| half(u16::from(x) << 8)),
        Dtype::F8_E4M3 => read!(u8, |x| if x & 0x7f == 0x7f { f64::NAN } else { octet(x, 3, 7) }),
        Dtype::F8_E4M3FNUZ => read!(u8, |x| if x == 0x80 { f64::NAN } else { octet(x, 3, 8) }),
        Dtype::F8_E5M2FNUZ => read!(u8, |x| if x == 0x80 { f64::NAN } else { octet(x, 2, 16) }),
        Dtype::F8_E8M0 => read!(u8, |x| if x == 0xff { f64::NAN } else { 2f64.powi(i32::from(x) - 127) }),
        _ => {}
    }
}

fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = ((bits >> 10) & 31, f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + mantissa) * 2f64.powi(i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

/// A float8 without infinities, with this many bits of mantissa.
fn octet(bits: u8, mantissa_bits: i32, bias: i32) -> f64 {
    let one = f64::from(1 << mantissa_bits);
    let mantissa = f64::from(i32::from(bits) & ((1 << mantissa_bits) - 1));
    let size = match i32::from(bits & 0x7f) >> mantissa_bits {
        0 => mantissa / one * 2f64.powi(1 - bias),
        exponent => (1.0 + mantissa / one) * 2f64.powi(exponent - bias),
    };
    if bits & 0x80 == 0 { size } else { -size }
}

/// Statistics of a tensor. Minimum, maximum and mean are those of its finite values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stats {
    /// Smallest value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Mean of the values.
    pub mean: f64,
    /// Greatest absolute value.
    pub absmax: f64,
    /// How many are not numbers.
    pub nan: u64,
    /// How many are infinite.
    pub inf: u64,
}

/// Collects statistics.
#[derive(Debug, Clone, Copy)]
pub struct Collector {
    min: f64,
    max: f64,
    sum: f64,
    finite: u64,
    nan: u64,
    inf: u64,
}

impl Default for Collector {
    fn default() -> Self {
        Self { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, finite: 0, nan: 0, inf: 0 }
    }
}

impl Collector {
    /// Takes in values.
    pub fn add(&mut self, values: &[f64]) {
        for value in values {
            if value.is_finite() {
                self.min = self.min.min(*value);
                self.max = self.max.max(*value);
                self.sum += value;
                self.finite += 1;
            } else if value.is_nan() {
                self.nan += 1;
            } else {
                self.inf += 1;
            }
        }
    }

    /// The statistics; `None` of no finite value.
    pub fn finish(&self) -> Option<Stats> {
        let Self { min, max, sum, finite, nan, inf } = *self;
        (finite > 0).then(|| Stats { min, max, mean: sum / finite as f64, absmax: max.max(-min), nan, inf })
    }
}

/// How far one tensor is from another of the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distance {
    /// Greatest absolute difference.
    pub max_abs: f64,
    /// Length of the difference over the length of the first.
    pub relative_l2: f64,
    /// Cosine of the angle between them; none where one is all zeros.
    pub cosine: Option<f64>,
    /// How many values differ.
    pub differing: u64,
    /// How many values are NaN or infinite on either side: the other figures leave them out.
    pub not_finite: u64,
}

/// Measures a distance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measure {
    max_abs: f64,
    difference: f64,
    first: f64,
    second: f64,
    dot: f64,
    differing: u64,
    not_finite: u64,
}

impl Measure {
    /// Takes in pairs of values.
    pub fn add(&mut self, first: &[f64], second: &[f64]) {
        for (a, b) in first.iter().zip(second) {
            if !a.is_finite() || !b.is_finite() {
                self.not_finite += 1;
                self.differing += u64::from(a != b && !(a.is_nan() && b.is_nan()));
                continue;
            }
            let difference = (a - b).abs();
            self.differing += u64::from(difference != 0.0);
            self.max_abs = self.max_abs.max(difference);
            self.difference += difference * difference;
            self.first += a * a;
            self.second += b * b;
            self.dot += a * b;
        }
    }

    /// The distance.
    pub fn finish(&self) -> Distance {
        let (difference, first, second) = (self.difference.sqrt(), self.first.sqrt(), self.second.sqrt());
        Distance {
            max_abs: self.max_abs,
            relative_l2: if difference == 0.0 { 0.0 } else { difference / first },
            cosine: (first > 0.0 && second > 0.0).then(|| (self.dot / (first * second)).clamp(-1.0, 1.0)),
            differing: self.differing,
            not_finite: self.not_finite,
        }
    }
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use super::{Collector, Measure, decode, width};

    fn values(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
        let mut out = vec![99.0];
        decode(dtype, bytes, &mut out);
        out
    }

    #[test]
    fn every_type_decodes() {
        assert_eq!(values(Dtype::F32, &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(values(Dtype::C64, &[1.5f32.to_le_bytes(), 2.0f32.to_le_bytes()].concat()), [1.5, 2.0]);
        assert_eq!(values(Dtype::F64, &(-0.1f64).to_le_bytes()), [-0.1]);
        assert_eq!(values(Dtype::BF16, &[0x80, 0x3f, 0x40, 0xc0]), [1.0, -3.0]);
        let halves: Vec<u8> =
            [0x3c00u16, 0xc000, 0x0001, 0x7bff, 0x7c00].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(values(Dtype::F16, &halves), [1.0, -2.0, 5.960_464_477_539_063e-8, 65504.0, f64::INFINITY]);
        assert!(values(Dtype::F16, &[0x01, 0x7e])[0].is_nan());
        assert_eq!(values(Dtype::F8_E5M2, &[0x3c, 0x7b, 0x01]), [1.0, 57344.0, 2f64.powi(-16)]);
        assert_eq!(values(Dtype::F8_E4M3, &[0x38, 0x7e, 0x01, 0xb8]), [1.0, 448.0, 2f64.powi(-9), -1.0]);
        assert_eq!(values(Dtype::F8_E4M3FNUZ, &[0x40, 0x7f]), [1.0, 240.0]);
        assert_eq!(values(Dtype::F8_E5M2FNUZ, &[0x40, 0x7f]), [1.0, 57344.0]);
        assert_eq!(values(Dtype::F8_E8M0, &[127, 128]), [1.0, 2.0]);
        for (dtype, nan) in [(Dtype::F8_E4M3, 0x7f), (Dtype::F8_E4M3FNUZ, 0x80), (Dtype::F8_E8M0, 0xff)] {
            assert!(values(dtype, &[nan])[0].is_nan());
        }
        assert_eq!(values(Dtype::I8, &[0xff]), [-1.0]);
        assert_eq!(values(Dtype::U8, &[0xff]), [255.0]);
        assert_eq!(values(Dtype::I16, &[0xff, 0xff]), [-1.0]);
        assert_eq!(values(Dtype::U32, &[0xff; 4]), [4_294_967_295.0]);
        assert_eq!(values(Dtype::I64, &[0xff; 8]), [-1.0]);
        assert_eq!((width(Dtype::F4), width(Dtype::C64), width(Dtype::BF16)), (None, Some(4), Some(2)));
    }

    #[test]
    fn statistics_leave_out_what_is_not_finite() {
        let mut collector = Collector::default();
        collector.add(&[1.0, -4.0, f64::NAN]);
        collector.add(&[f64::INFINITY, 0.0]);
        let stats = collector.finish().unwrap();
        assert_eq!((stats.min, stats.max, stats.mean, stats.absmax), (-4.0, 1.0, -1.0, 4.0));
        assert_eq!((stats.nan, stats.inf), (1, 1));
        assert_eq!(Collector::default().finish(), None);
    }

    #[test]
    fn distances_are_what_the_words_say() {
        let mut measure = Measure::default();
        measure.add(&[3.0, 4.0, f64::NAN, 1.0], &[3.0, 4.0, f64::NAN, f64::INFINITY]);
        let same = measure.finish();
        assert_eq!((same.max_abs, same.relative_l2, same.differing, same.not_finite), (0.0, 0.0, 1, 2));
        assert_eq!(same.cosine, Some(1.0));
        let mut measure = Measure::default();
        measure.add(&[3.0, 4.0], &[-4.0, 3.0]);
        let apart = measure.finish();
        assert_eq!((apart.max_abs, apart.cosine, apart.differing), (7.0, Some(0.0), 2));
        assert!((apart.relative_l2 - 2f64.sqrt()).abs() < 1e-12);
        let mut measure = Measure::default();
        measure.add(&[0.0], &[1.0]);
        assert_eq!((measure.finish().cosine, measure.finish().relative_l2), (None, f64::INFINITY));
    }
}
