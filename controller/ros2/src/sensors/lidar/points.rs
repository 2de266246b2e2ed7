//! The points of a cloud.

use nalgebra::Point3;

use super::LidarError;
use crate::messages::PointCloud2;

/// Points of a cloud. More are refused.
const MOST_POINTS: usize = 1_000_000;
/// Number of the type of `float32` in a cloud.
pub(super) const FLOAT32: u8 = 7;

/// The points that are finite.
///
/// # Errors
/// When it contradicts itself, or has no coordinates.
pub(super) fn points_of(
    cloud: &PointCloud2,
) -> Result<impl Iterator<Item = Point3<f32>> + '_, LidarError> {
    let malformed = |problem: String| LidarError::Malformed {
        what: "point cloud",
        problem,
    };
    let step = cloud.point_step as usize;
    let offset = |name: &str| {
        let field = cloud.fields.iter().find(|field| {
            field.name == name
                && field.datatype == FLOAT32
                && (field.offset as usize).saturating_add(4) <= step
        });
        field
            .map(|field| field.offset as usize)
            .ok_or_else(|| malformed(format!("it has no field `{name}` of float32")))
    };
    let offsets = [offset("x")?, offset("y")?, offset("z")?];
    let (width, row_step) = (cloud.width as usize, cloud.row_step as usize);
    let row_bytes = width.saturating_mul(step);
    let rows_bytes = (cloud.height as usize).saturating_mul(row_step);
    let num_points = (cloud.height as usize).saturating_mul(width);
    if num_points > MOST_POINTS {
        return Err(malformed(format!(
            "{num_points} points, at most {MOST_POINTS}"
        )));
    }
    if cloud.is_bigendian || row_step < row_bytes || cloud.data.len() < rows_bytes {
        return Err(malformed(format!(
            "{} bytes for {} rows of {row_step} bytes with {width} points of {step} bytes{}",
            cloud.data.len(),
            cloud.height,
            if cloud.is_bigendian {
                ", big-endian"
            } else {
                ""
            }
        )));
    }
    let number = |point: &[u8], offset: usize| {
        let bytes = point[offset..].first_chunk::<4>();
        bytes.map_or(f32::NAN, |bytes| f32::from_le_bytes(*bytes))
    };
    Ok(cloud
        .data
        .chunks_exact(row_step.max(1))
        .take(cloud.height as usize)
        .flat_map(move |row| row[..row_bytes].chunks_exact(step.max(1)))
        .map(move |point| Point3::from(offsets.map(|offset| number(point, offset))))
        .filter(|point| point.coords.iter().all(|value| value.is_finite())))
}
