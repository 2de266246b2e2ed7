//! The 255 colours of an animation.

use super::Image;

/// Index that leaves a pixel as it was.
pub const TRANSPARENT: u8 = 255;
/// Bits per channel to which colours are rounded.
const BITS: u32 = 5;

/// Colours shared by all frames, so that nothing flickers.
pub struct Palette {
    colors: Vec<[u8; 3]>,
    /// Nearest colour for each rounded colour.
    nearest: Vec<u8>,
}

impl Palette {
    /// The colours that must be exact, then those that are frequent in the samples.
    pub fn new(exact: &[[u8; 3]], samples: &[Image]) -> Self {
        // Number and sum of the pixels that round to the same colour.
        let mut buckets = vec![(0_u32, [0_u32; 3]); 1 << (3 * BITS)];
        for pixel in samples.iter().flat_map(|image| image.rgb.chunks_exact(3)) {
            let (count, sum) = &mut buckets[bucket(pixel)];
            *count += 1;
            for (sum, channel) in sum.iter_mut().zip(pixel) {
                *sum += u32::from(*channel);
            }
        }
        let typical = |bucket: usize| match buckets[bucket] {
            (0, _) => middle(bucket),
            (count, sum) => sum.map(|sum| (sum / count) as u8),
        };
        let mut frequent: Vec<usize> = (0..buckets.len()).filter(|b| buckets[*b].0 > 0).collect();
        frequent.sort_by_key(|bucket| std::cmp::Reverse(buckets[*bucket].0));
        let mut colors = exact.to_vec();
        colors.extend(frequent.into_iter().map(typical));
        colors.truncate(usize::from(TRANSPARENT));
        let distance = |a: [u8; 3], b: [u8; 3]| -> i32 {
            (0..3)
                .map(|i| (i32::from(a[i]) - i32::from(b[i])).pow(2))
                .sum()
        };
        let nearest = (0..buckets.len())
            .map(|bucket| {
                let wanted = typical(bucket);
                let index = (0..colors.len()).min_by_key(|i| distance(colors[*i], wanted));
                index.unwrap_or_default() as u8
            })
            .collect();
        Self { colors, nearest }
    }

    /// The colour table of a GIF.
    pub fn table(&self) -> Vec<u8> {
        let mut table = self.colors.concat();
        table.resize(3 * 256, 0);
        table
    }

    /// The picture as indices.
    pub fn indices(&self, image: &Image) -> Vec<u8> {
        let pixels = image.rgb.chunks_exact(3);
        pixels.map(|pixel| self.nearest[bucket(pixel)]).collect()
    }
}

fn bucket(pixel: &[u8]) -> usize {
    let shift = 8 - BITS;
    pixel.iter().fold(0, |bucket, channel| {
        (bucket << BITS) | usize::from(channel >> shift)
    })
}

fn middle(bucket: usize) -> [u8; 3] {
    let mask = (1 << BITS) - 1;
    [2 * BITS, BITS, 0].map(|shift| {
        // Spread over the full range, so that white stays white.
        (((bucket >> shift) & mask) * 255 / mask) as u8
    })
}
