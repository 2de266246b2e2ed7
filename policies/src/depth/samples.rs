//! Depth images with the rays of the same instant: what the ray network learns from.

use std::collections::HashMap;

use nalgebra::Vector3;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// Images, rays and what the rays hit, one row per instant. In memory as in a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DepthSamples {
    /// Columns and rows of an image.
    pub size_px: [usize; 2],
    /// Rays of a scan.
    pub num_rays: usize,
    /// Depths [samples, rows, columns], mm; 0 is no depth.
    pub depth_mm: Vec<u16>,
    /// Ray distances [samples, rays], m.
    pub distance_m: Vec<f32>,
    /// Code of the kind of object that a ray hits [samples, rays]; [`Self::NOTHING`] if none.
    pub hit: Vec<u8>,
    /// Direction of gravity in the base frame [samples, 3], unit length.
    pub projected_gravity: Vec<[f32; 3]>,
    /// Scene \[samples\].
    pub scene: Vec<u32>,
    /// 1 where the camera had its errors, else 0 \[samples\].
    pub realism: Vec<u8>,
}

/// A file of samples that cannot be used; what follows its name in a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; remove it to record anew")]
pub struct SamplesError(String);

/// Key of the safetensors metadata that tells which samples a file holds.
const ORIGIN: &str = "origin";

impl DepthSamples {
    /// In [`hit`](Self::hit): the ray hits nothing.
    pub const NOTHING: u8 = 255;

    /// None yet, for images of `size_px` columns and rows.
    pub fn new(size_px: [usize; 2], num_rays: usize) -> Self {
        Self {
            size_px,
            num_rays,
            ..Self::default()
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.scene.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.scene.is_empty()
    }

    /// Pixels of an image.
    pub fn num_pixels(&self) -> usize {
        self.size_px[0] * self.size_px[1]
    }

    /// Appends an image, depths in m, and how the robot was tilted when it was taken.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn push(
        &mut self,
        depth_m: &[f32],
        projected_gravity: &Vector3<f32>,
        distance_m: &[f32],
        hit: &[u8],
        scene: u32,
        realism: bool,
    ) {
        assert_eq!(depth_m.len(), self.num_pixels(), "pixels of an image");
        assert_eq!(distance_m.len(), self.num_rays, "rays of a scan");
        assert_eq!(hit.len(), self.num_rays, "hits of a scan");
        // Casts saturate: what is too far for millimetres in 16 bits is far enough.
        let millimetres = depth_m.iter().map(|depth| (1000.0 * depth + 0.5) as u16);
        self.depth_mm.extend(millimetres);
        self.distance_m.extend_from_slice(distance_m);
        self.hit.extend_from_slice(hit);
        self.projected_gravity.push((*projected_gravity).into());
        self.scene.push(scene);
        self.realism.push(u8::from(realism));
    }

    /// Appends all samples of `other`.
    ///
    /// # Panics
    /// When its images or scans have another size.
    pub fn append(&mut self, other: &Self) {
        assert_eq!(
            (self.size_px, self.num_rays),
            (other.size_px, other.num_rays),
            "size of a sample"
        );
        self.depth_mm.extend_from_slice(&other.depth_mm);
        self.distance_m.extend_from_slice(&other.distance_m);
        self.hit.extend_from_slice(&other.hit);
        self.projected_gravity
            .extend_from_slice(&other.projected_gravity);
        self.scene.extend_from_slice(&other.scene);
        self.realism.extend_from_slice(&other.realism);
    }

    /// Image [rows, columns] of a sample, mm.
    pub fn image_mm(&self, sample: usize) -> &[u16] {
        let len = self.num_pixels();
        &self.depth_mm[sample * len..(sample + 1) * len]
    }

    /// Ray distances of a sample, m.
    pub fn rays_m(&self, sample: usize) -> &[f32] {
        &self.distance_m[sample * self.num_rays..(sample + 1) * self.num_rays]
    }

    /// Direction of gravity in the base frame of a sample.
    pub fn gravity(&self, sample: usize) -> Vector3<f32> {
        self.projected_gravity[sample].into()
    }

    /// What the rays of a sample hit.
    pub fn hits(&self, sample: usize) -> &[u8] {
        &self.hit[sample * self.num_rays..(sample + 1) * self.num_rays]
    }

    /// The bytes of a safetensors file. `origin` is all that the samples depend on.
    ///
    /// # Errors
    /// Only if safetensors refuses.
    pub fn encode(&self, origin: &str) -> Result<Vec<u8>, SamplesError> {
        let [columns, rows] = self.size_px;
        let (len, rays) = (self.len(), self.num_rays);
        let image: Vec<u8> = self.depth_mm.iter().flat_map(|v| v.to_le_bytes()).collect();
        let float_bytes =
            |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let distance = float_bytes(&self.distance_m);
        let gravity = float_bytes(self.projected_gravity.as_flattened());
        let scene: Vec<u8> = self.scene.iter().flat_map(|v| v.to_le_bytes()).collect();
        let views = [
            ("depth_mm", Dtype::U16, vec![len, rows, columns], &image),
            ("distance_m", Dtype::F32, vec![len, rays], &distance),
            ("hit", Dtype::U8, vec![len, rays], &self.hit),
            ("projected_gravity", Dtype::F32, vec![len, 3], &gravity),
            ("realism", Dtype::U8, vec![len], &self.realism),
            ("scene", Dtype::U32, vec![len], &scene),
        ];
        let views = views
            .into_iter()
            .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(dtype, shape, bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        let metadata = HashMap::from([(ORIGIN.to_owned(), origin.to_owned())]);
        views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|error| SamplesError(error.to_string()))
    }

    /// Reads the bytes of a file; with an `origin`, only one that was written with the same.
    ///
    /// # Errors
    /// When the file is cut off, is of another origin, or holds something else.
    pub fn decode(bytes: &[u8], origin: Option<&str>) -> Result<Self, SamplesError> {
        let error = |message: String| SamplesError(message);
        let cut = |e: safetensors::SafeTensorError| {
            error(format!("not a whole file of depth images ({e})"))
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(cut)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(cut)?;
        let found = metadata.metadata().as_ref().and_then(|map| map.get(ORIGIN));
        if origin.is_some() && found.map(String::as_str) != origin {
            return Err(error(
                "holds images of another camera, robot, policy, seed or configuration".to_owned(),
            ));
        }
        let tensor = |name: &str, dtype: Dtype| {
            let tensor = tensors.tensor(name).map_err(cut)?;
            match tensor.dtype() == dtype {
                true => Ok(tensor),
                false => Err(error(format!(
                    "{name} is {:?}, must be {dtype:?}",
                    tensor.dtype()
                ))),
            }
        };
        let image = tensor("depth_mm", Dtype::U16)?;
        let distance = tensor("distance_m", Dtype::F32)?;
        let (&[len, rows, columns], &[rays_len, num_rays]) = (image.shape(), distance.shape())
        else {
            return Err(error("images or rays have the wrong shape".to_owned()));
        };
        let (hit, realism) = (tensor("hit", Dtype::U8)?, tensor("realism", Dtype::U8)?);
        let gravity = tensor("projected_gravity", Dtype::F32)?;
        let scene = tensor("scene", Dtype::U32)?;
        let fits = rays_len == len
            && hit.shape() == [len, num_rays]
            && realism.shape() == [len]
            && gravity.shape() == [len, 3]
            && scene.shape() == [len];
        if !fits {
            return Err(error("images, rays and scenes differ in number".to_owned()));
        }
        let words = |bytes: &[u8]| -> Vec<[u8; 4]> { bytes.as_chunks::<4>().0.to_vec() };
        let floats = |bytes: &[u8]| -> Vec<f32> {
            let words = words(bytes).into_iter();
            words.map(f32::from_le_bytes).collect()
        };
        let pixels = image.data().as_chunks::<2>().0.iter();
        Ok(Self {
            size_px: [columns, rows],
            num_rays,
            depth_mm: pixels.map(|bytes| u16::from_le_bytes(*bytes)).collect(),
            distance_m: floats(distance.data()),
            hit: hit.data().to_vec(),
            projected_gravity: floats(gravity.data()).as_chunks::<3>().0.to_vec(),
            scene: words(scene.data())
                .into_iter()
                .map(u32::from_le_bytes)
                .collect(),
            realism: realism.data().to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> DepthSamples {
        let mut samples = DepthSamples::new([3, 2], 2);
        samples.push(
            &[0.1, 1.2345, 6.0, 0.0, 70.0, 2.0],
            &Vector3::new(0.1, -0.2, -0.9),
            &[0.5, 6.0],
            &[3, 255],
            7,
            true,
        );
        samples.push(&[1.0; 6], &-Vector3::z(), &[1.0, 2.0], &[0, 1], 8, false);
        samples
    }

    #[test]
    fn a_file_holds_what_was_recorded() {
        let samples = samples();
        assert_eq!(samples.image_mm(0), [100, 1235, 6000, 0, 65535, 2000]);
        let bytes = samples.encode("a").unwrap();
        assert_eq!(DepthSamples::decode(&bytes, Some("a")).unwrap(), samples);
        assert_eq!(DepthSamples::decode(&bytes, None).unwrap(), samples);
        let mut twice = samples.clone();
        twice.append(&samples);
        assert_eq!(
            (twice.len(), twice.rays_m(3), twice.hits(2)),
            (4, &[1.0, 2.0][..], &[3, 255][..])
        );
    }

    #[test]
    fn a_cut_file_and_one_of_another_camera_are_named() {
        let bytes = samples().encode("a").unwrap();
        for end in [4, 40, bytes.len() - 1] {
            let error = DepthSamples::decode(&bytes[..end], None).unwrap_err();
            assert!(error.to_string().contains("not a whole file"), "{error}");
        }
        let error = DepthSamples::decode(&bytes, Some("b"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("another camera") && error.contains("remove it"),
            "{error}"
        );
    }
}
