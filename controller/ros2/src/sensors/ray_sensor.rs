//! The source of the rays: a laser scanner, a lidar that sends point clouds, or a depth camera.

use nalgebra::Isometry3;
use policies::{Bundle, RayScan};
use robots::Robot;
use triple_buffer::Input;

use controller::deploy::ScanSample;

use super::{
    camera::DepthCamera,
    lidar::{Lidar, LidarError, Unseen},
    take,
};
use crate::{
    LinkError,
    config::{RaySource, Ros2Config},
    link::{Endpoints, Subscription},
    log::Recorder,
    messages::{CameraInfo, Image, LaserScan, PointCloud2},
    network::Delivery,
};

/// Subscriptions of a ray source.
pub enum RaySubscription {
    Scan(Subscription<LaserScan>),
    Cloud(Subscription<PointCloud2>),
    Depth {
        images: Subscription<Image>,
        infos: Subscription<CameraInfo>,
    },
}

/// Turns the messages of a ray source into rays.
pub struct RaySensor {
    config: Ros2Config,
    kind: Kind,
}

enum Kind {
    Lidar {
        lidar: Lidar,
        unseen: Option<Box<Unseen>>,
        scan: Input<ScanSample>,
    },
    Camera(DepthCamera),
}

impl RaySubscription {
    pub fn new(endpoints: &mut Endpoints, config: &Ros2Config) -> Self {
        let newest = Delivery::Newest;
        match config.rays {
            RaySource::Scan => Self::Scan(endpoints.subscribe(&config.scan_topic, newest)),
            RaySource::Cloud => Self::Cloud(endpoints.subscribe(&config.cloud_topic, newest)),
            RaySource::Depth => Self::Depth {
                images: endpoints.subscribe(&config.image_topic, newest),
                infos: endpoints.subscribe(&config.camera_info_topic, newest),
            },
        }
    }
}

impl RaySensor {
    /// The ray source of the settings; its rays go to `scan`.
    ///
    /// # Errors
    /// When a setting is out of range, or depth images are chosen without a camera or a ray network.
    pub fn new(
        robot: &Robot,
        bundle: &Bundle,
        config: &Ros2Config,
        scan: Input<ScanSample>,
    ) -> Result<Self, LinkError> {
        let kind = match config.rays {
            RaySource::Scan | RaySource::Cloud => {
                let (seen, unseen) = config.lidar.seen_rays(&bundle.spec.rays)?;
                Kind::Lidar {
                    lidar: Lidar::new(robot, &seen, &config.lidar)?,
                    unseen: unseen.map(Box::new),
                    scan,
                }
            }
            RaySource::Depth => Kind::Camera(DepthCamera::new(robot, bundle, scan)?),
        };
        Ok(Self {
            config: config.clone(),
            kind,
        })
    }

    /// Handles all messages that have arrived. `base` is the pose of the robot in the world frame.
    pub fn receive(
        &mut self,
        from: &RaySubscription,
        base: &Isometry3<f32>,
        now_ns: u64,
        recorder: Option<&Recorder>,
        notice: &mut dyn FnMut(String),
    ) {
        let config = &self.config;
        match (&mut self.kind, from) {
            (
                Kind::Lidar {
                    lidar,
                    unseen,
                    scan,
                },
                RaySubscription::Scan(scans),
            ) => {
                let topic = &config.scan_topic;
                take(scans, topic, recorder, notice, |message, notice| {
                    let rays = lidar.rays_of_scan(message, base);
                    let rays = completed(rays, unseen, base, now_ns);
                    write(rays, scan, topic, now_ns, notice);
                });
            }
            (
                Kind::Lidar {
                    lidar,
                    unseen,
                    scan,
                },
                RaySubscription::Cloud(clouds),
            ) => {
                let topic = &config.cloud_topic;
                take(clouds, topic, recorder, notice, |message, notice| {
                    let rays = lidar.rays_of_cloud(message, base, now_ns);
                    let rays = completed(rays, unseen, base, now_ns);
                    write(rays, scan, topic, now_ns, notice);
                });
            }
            (Kind::Camera(camera), RaySubscription::Depth { images, infos }) => {
                let (topic, info_topic) = (&config.image_topic, &config.camera_info_topic);
                take(infos, info_topic, recorder, notice, |info, _| {
                    camera.calibrate(info);
                });
                take(
                    images,
                    topic,
                    recorder,
                    notice,
                    |image, notice| match camera.predict(image, &base.rotation, now_ns) {
                        Ok(true) => {}
                        Ok(false) => notice(format!(
                            "{topic}: there are images, but no camera info on {info_topic}: set ros2.camera_info_topic"
                        )),
                        Err(error) => notice(format!("{topic}: {error}")),
                    },
                );
                if let Some(error) = camera.error() {
                    notice(format!("{topic}: {error}"));
                }
                if let Some(failure) = camera.new_failure() {
                    notice(failure.to_owned());
                }
            }
            // Both are made from the same setting.
            (Kind::Lidar { .. } | Kind::Camera(_), _) => {}
        }
    }
}

fn completed(
    rays: Result<RayScan, LidarError>,
    unseen: &mut Option<Box<Unseen>>,
    base: &Isometry3<f32>,
    now_ns: u64,
) -> Result<RayScan, LidarError> {
    match unseen {
        Some(unseen) => rays.map(|seen| unseen.complete(now_ns, base, &seen)),
        None => rays,
    }
}

fn write(
    rays: Result<RayScan, LidarError>,
    to: &mut Input<ScanSample>,
    topic: &str,
    received_ns: u64,
    notice: &mut dyn FnMut(String),
) {
    match rays {
        Ok(scan) => to.write(ScanSample { received_ns, scan }),
        Err(error) => notice(format!("{topic}: {error}")),
    }
}
