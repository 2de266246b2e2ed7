//! Depth images as cameras and ROS 2 give them.

use robots::Camera;
use serde::{Deserialize, Serialize};

/// Most pixels of a camera.
pub const MOST_PIXELS: usize = 1 << 24;

/// Size and projection of a pinhole camera. Pixel centres have whole coordinates, column 0 being the leftmost, row 0 the
/// topmost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intrinsics {
    /// Columns.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
    /// Focal lengths, horizontal and vertical, pixels.
    pub focal_px: [f32; 2],
    /// Where the optical axis meets the image, column and row.
    pub centre_px: [f32; 2],
}

/// How a pixel is stored, by its name in `sensor_msgs/Image`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepthEncoding {
    /// `16UC1`: millimetres; 0 is no depth.
    Millimetres16,
    /// `32FC1`: metres; NaN, infinities and 0 are no depth.
    Metres32,
}

/// A depth image in memory: the fields of `sensor_msgs/Image`.
#[derive(Clone, Copy, Debug)]
pub struct DepthImage<'a> {
    /// Columns.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
    /// How a pixel is stored.
    pub encoding: DepthEncoding,
    /// Whether the high byte comes first.
    pub is_big_endian: bool,
    /// Bytes from one row to the next.
    pub row_bytes: usize,
    /// All rows.
    pub data: &'a [u8],
}

/// An image or a camera that tells nothing: what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DepthError {
    /// No pixels.
    #[error("depth image is empty ({width_px} x {height_px} pixels)")]
    Empty {
        /// Columns.
        width_px: usize,
        /// Rows.
        height_px: usize,
    },
    /// More pixels than a camera has.
    #[error("camera of {width_px} x {height_px} pixels, at most {MOST_PIXELS} in all")]
    TooLarge {
        /// Columns.
        width_px: usize,
        /// Rows.
        height_px: usize,
    },
    /// A part of the image in which nearly nothing has a depth.
    #[error(
        "depth image is blind in columns {columns:?}: {found} of {expected} pixels have a depth; is the camera covered?"
    )]
    Blind {
        /// First column, and the one after the last.
        columns: [usize; 2],
        /// Pixels with a depth.
        found: usize,
        /// Pixels.
        expected: usize,
    },
    /// The prediction has failed, which is a mistake of this program.
    #[error("depth image gave no rays: the prediction has panicked")]
    Panicked,
    /// An encoding that holds no depth.
    #[error("depth image is encoded as `{0}`, must be `16UC1` (mm) or `32FC1` (m)")]
    Encoding(String),
    /// Fewer bytes than rows and columns need.
    #[error("depth image has {found} bytes, must have {expected} for its size and encoding")]
    Size {
        /// Bytes found.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// The image is not of the camera that it is said to be of.
    #[error("depth image has {found:?} pixels, but the camera info is for {expected:?}")]
    OtherSize {
        /// Columns and rows found.
        found: [usize; 2],
        /// Columns and rows of the camera.
        expected: [usize; 2],
    },
    /// The camera has no projection.
    #[error(
        "camera info has focal lengths {0:?} px, must be positive: the camera is not calibrated"
    )]
    FocalLength([f32; 2]),
    /// The optical axis is nowhere.
    #[error("camera info has centre {0:?} px, must be finite")]
    Centre([f32; 2]),
    /// Not one pixel with a depth.
    #[error("depth image has no pixel with a depth: all are 0, NaN or infinite")]
    NoDepth,
    /// All pixels alike: no camera sees that of the world.
    #[error(
        "depth image is constant, {0} m everywhere: the camera is covered or its driver stands still"
    )]
    Constant(f32),
}

impl DepthEncoding {
    /// The encoding of this name.
    ///
    /// # Errors
    /// When it is neither `16UC1` (or its other name `mono16`) nor `32FC1`.
    pub fn parse(name: &str) -> Result<Self, DepthError> {
        match name {
            "16UC1" | "mono16" => Ok(Self::Millimetres16),
            "32FC1" => Ok(Self::Metres32),
            _ => Err(DepthError::Encoding(name.to_owned())),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Millimetres16 => 2,
            Self::Metres32 => 4,
        }
    }
}

impl Intrinsics {
    /// Those of a robot's camera, whose optical axis meets the middle of the image.
    pub fn of(camera: &Camera) -> Self {
        let middle = |len: usize| 0.5 * (len as f32 - 1.0);
        let focal = 0.5 * camera.width_px as f32 / (0.5 * camera.horizontal_fov_rad).tan();
        Self {
            width_px: camera.width_px,
            height_px: camera.height_px,
            focal_px: [focal; 2],
            centre_px: [middle(camera.width_px), middle(camera.height_px)],
        }
    }

    /// Checks that there is a projection.
    ///
    /// # Errors
    /// When size or focal lengths are zero, or a number is not finite.
    pub fn validate(&self) -> Result<(), DepthError> {
        let Self {
            width_px,
            height_px,
            focal_px,
            centre_px,
        } = *self;
        if width_px == 0 || height_px == 0 {
            return Err(DepthError::Empty {
                width_px,
                height_px,
            });
        }
        if width_px.saturating_mul(height_px) > MOST_PIXELS {
            return Err(DepthError::TooLarge {
                width_px,
                height_px,
            });
        }
        if !focal_px.iter().all(|f| *f > 0.0 && f.is_finite()) {
            return Err(DepthError::FocalLength(focal_px));
        }
        if !centre_px.iter().all(|c| c.is_finite()) {
            return Err(DepthError::Centre(centre_px));
        }
        Ok(())
    }
}

impl DepthImage<'_> {
    /// Pixels with a depth, from a column to the one before another.
    pub fn num_seen(&self, [first, end]: [usize; 2]) -> usize {
        let bytes = self.encoding.bytes();
        let range = first.saturating_mul(bytes)..end.saturating_mul(bytes);
        let rows = self.data.chunks(self.row_bytes.max(1)).take(self.height_px);
        rows.filter_map(|row| row.get(range.clone()))
            .map(|pixels| match (self.encoding, self.is_big_endian) {
                (DepthEncoding::Millimetres16, _) => {
                    let pixels = pixels.as_chunks::<2>().0.iter();
                    pixels.filter(|bytes| **bytes != [0, 0]).count()
                }
                (DepthEncoding::Metres32, is_big_endian) => {
                    let metres = |bytes: &[u8; 4]| match is_big_endian {
                        true => f32::from_be_bytes(*bytes),
                        false => f32::from_le_bytes(*bytes),
                    };
                    let pixels = pixels.as_chunks::<4>().0.iter().map(metres);
                    pixels
                        .filter(|depth| *depth > 0.0 && depth.is_finite())
                        .count()
                }
            })
            .sum()
    }

    /// Writes depths [rows, columns], m, into `depth_m`; 0 where there is none. Never allocates once `depth_m` is large
    /// enough.
    ///
    /// # Errors
    /// When there are no pixels, bytes are missing, no pixel has a depth, or all are alike.
    pub fn decode(&self, depth_m: &mut Vec<f32>) -> Result<(), DepthError> {
        let Self {
            width_px,
            height_px,
            encoding,
            row_bytes,
            ..
        } = *self;
        if width_px == 0 || height_px == 0 {
            return Err(DepthError::Empty {
                width_px,
                height_px,
            });
        }
        let used = width_px.saturating_mul(encoding.bytes());
        let rows_above = (height_px - 1).saturating_mul(row_bytes.max(used));
        let expected = rows_above.saturating_add(used);
        if row_bytes < used || self.data.len() < expected {
            return Err(DepthError::Size {
                found: self.data.len(),
                expected,
            });
        }
        depth_m.clear();
        for row in self.data.chunks(row_bytes).take(height_px) {
            let row = &row[..used];
            match encoding {
                DepthEncoding::Millimetres16 => {
                    depth_m.extend(row.as_chunks::<2>().0.iter().map(|bytes| {
                        let millimetres = match self.is_big_endian {
                            true => u16::from_be_bytes(*bytes),
                            false => u16::from_le_bytes(*bytes),
                        };
                        f32::from(millimetres) / 1000.0
                    }))
                }
                DepthEncoding::Metres32 => {
                    depth_m.extend(row.as_chunks::<4>().0.iter().map(|bytes| {
                        let metres = match self.is_big_endian {
                            true => f32::from_be_bytes(*bytes),
                            false => f32::from_le_bytes(*bytes),
                        };
                        if metres > 0.0 && metres.is_finite() {
                            metres
                        } else {
                            0.0
                        }
                    }))
                }
            }
        }
        check(depth_m.iter().copied())
    }
}

/// Refuses images that tell nothing. Depths [rows, columns], m; 0 is no depth.
pub fn check(depths_m: impl ExactSizeIterator<Item = f32>) -> Result<(), DepthError> {
    let num_pixels = depths_m.len();
    let mut depths = depths_m.filter(|depth| *depth > 0.0);
    let first = depths.next().ok_or(DepthError::NoDepth)?;
    // A camera of a single pixel has nothing to differ from.
    if num_pixels > 1 && depths.all(|depth| depth == first) {
        return Err(DepthError::Constant(first));
    }
    Ok(())
}

/// Gives pixels without depth that of the nearest pixel of their row that has one; rows without any take the row below
/// them, or the last one above.
pub fn fill_holes(depth_m: &mut [f32], columns: usize) {
    let rows = depth_m.len() / columns;
    let mut first_known = None;
    for row in (0..rows).rev() {
        let (upper, lower) = depth_m.split_at_mut((row + 1) * columns);
        let pixels = &mut upper[row * columns..];
        if fill_row(pixels) {
            first_known.get_or_insert(row);
        } else if first_known.is_some() {
            pixels.copy_from_slice(&lower[..columns]);
        }
    }
    if let Some(row) = first_known {
        for below in row + 1..rows {
            depth_m.copy_within(row * columns..(row + 1) * columns, below * columns);
        }
    }
}

/// False if no pixel has a depth.
fn fill_row(row: &mut [f32]) -> bool {
    let mut known = None;
    let mut at = 0;
    while at < row.len() {
        if row[at] > 0.0 {
            known = Some(at);
            at += 1;
            continue;
        }
        let end = at + row[at..].iter().take_while(|depth| **depth <= 0.0).count();
        let (before, after) = (known.map(|k: usize| row[k]), row.get(end).copied());
        let (before, after) = match (before, after) {
            (Some(before), after) => (before, after.unwrap_or(before)),
            (None, Some(after)) => (after, after),
            (None, None) => return false,
        };
        let middle = if known.is_none() {
            at
        } else {
            at + (end - at) / 2
        };
        row[at..middle].fill(before);
        row[middle..end].fill(after);
        at = end;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(data: &[u8], size: [usize; 2], encoding: DepthEncoding) -> DepthImage<'_> {
        DepthImage {
            width_px: size[0],
            height_px: size[1],
            encoding,
            is_big_endian: false,
            row_bytes: size[0] * encoding.bytes(),
            data,
        }
    }

    fn decode(image: &DepthImage<'_>) -> Result<Vec<f32>, String> {
        let mut depth_m = Vec::new();
        let result = image.decode(&mut depth_m);
        result.map(|()| depth_m).map_err(|error| error.to_string())
    }

    #[test]
    fn both_encodings_give_metres_whatever_the_padding_and_byte_order() {
        let millimetres = [1500_u16, 0, 250, 6000];
        let little: Vec<u8> = millimetres.iter().flat_map(|mm| mm.to_le_bytes()).collect();
        let expected = vec![1.5, 0.0, 0.25, 6.0];
        let plain = image(&little, [2, 2], DepthEncoding::Millimetres16);
        assert_eq!(decode(&plain).unwrap(), expected);
        let big: Vec<u8> = millimetres
            .chunks(2)
            .flat_map(|row| row.iter().flat_map(|mm| mm.to_be_bytes()).chain([9, 9]))
            .collect();
        let padded = DepthImage {
            is_big_endian: true,
            row_bytes: 6,
            ..image(&big, [2, 2], DepthEncoding::Millimetres16)
        };
        assert_eq!(decode(&padded).unwrap(), expected);
        let metres = [1.5_f32, f32::NAN, f32::INFINITY, -1.0, 2.0];
        let bytes: Vec<u8> = metres.iter().flat_map(|m| m.to_le_bytes()).collect();
        let floats = image(&bytes, [5, 1], DepthEncoding::Metres32);
        assert_eq!(decode(&floats).unwrap(), [1.5, 0.0, 0.0, 0.0, 2.0]);
    }

    #[test]
    fn images_that_tell_nothing_are_refused_in_one_line() {
        let refuse = |image: DepthImage<'_>, part: &str| {
            let error = decode(&image).unwrap_err();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        };
        let mm = DepthEncoding::Millimetres16;
        refuse(image(&[], [0, 4], mm), "is empty");
        refuse(image(&[0; 7], [2, 2], mm), "7 bytes, must have 8");
        refuse(image(&[0; 8], [2, 2], mm), "no pixel with a depth");
        refuse(image(&[1; 8], [2, 2], mm), "constant, 0.257 m");
        let nan = f32::NAN.to_le_bytes().repeat(4);
        refuse(image(&nan, [2, 2], DepthEncoding::Metres32), "no pixel");
        let other = DepthEncoding::parse("rgb8").unwrap_err().to_string();
        assert!(other.contains("`rgb8`, must be `16UC1`"), "{other}");
        let camera = Intrinsics {
            width_px: 2,
            height_px: 2,
            focal_px: [0.0, 80.0],
            centre_px: [0.5; 2],
        };
        let error = camera.validate().unwrap_err().to_string();
        assert!(error.contains("focal lengths [0.0, 80.0]"), "{error}");
    }

    #[test]
    fn holes_take_the_nearest_depth_of_their_row() {
        let mut depth = vec![
            0.0, 0.0, 0.0, 0.0, //
            0.0, 1.0, 0.0, 0.0, //
            2.0, 0.0, 0.0, 3.0, //
            0.0, 0.0, 0.0, 0.0,
        ];
        fill_holes(&mut depth, 4);
        let expected = [
            1.0, 1.0, 1.0, 1.0, //
            1.0, 1.0, 1.0, 1.0, //
            2.0, 2.0, 3.0, 3.0, //
            2.0, 2.0, 3.0, 3.0,
        ];
        assert_eq!(depth, expected);
    }
}
