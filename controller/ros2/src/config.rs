use serde::{Deserialize, Serialize};

use crate::{network::Network, sensors::LidarConfig};

/// Network, topics and frames of the robot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ros2Config {
    /// DDS domain, `ROS_DOMAIN_ID` elsewhere. Robots come with 0.
    pub domain: u16,
    /// Network interface to the robot, e.g. `eth0`; empty for all.
    pub interface: String,
    /// Where the rays come from.
    pub rays: RaySource,
    /// Topic of `sensor_msgs/LaserScan`.
    pub scan_topic: String,
    /// Topic of `sensor_msgs/PointCloud2`.
    pub cloud_topic: String,
    /// Topic of `sensor_msgs/Image`, the depth image.
    pub image_topic: String,
    /// Topic of its `sensor_msgs/CameraInfo`.
    pub camera_info_topic: String,
    /// Topic of `nav_msgs/Odometry`.
    pub odometry_topic: String,
    /// Topic of `geometry_msgs/PoseStamped`, the goal, as RViz sends it.
    pub goal_topic: String,
    /// Topic of goals without heading, `geometry_msgs/PointStamped`: the robot faces the way that it came.
    pub point_topic: String,
    /// Time to reach a goal of that topic, s.
    pub goal_s: f32,
    /// Frame of the odometry and of the goal.
    pub world_frame: String,
    /// Frame of the base, that of the odometry's twist.
    pub base_frame: String,
    /// Publish `tf`: the pose of the base in the world frame, and of every link in the base. `false` where another program does.
    pub publish_tf: bool,
    /// Command nothing before the sport mode has released the joints. `false` for simulators without a motion switcher.
    pub release_sport_mode: bool,
    /// The lidar.
    pub lidar: LidarConfig,
}

/// Where the rays come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RaySource {
    /// A level `sensor_msgs/LaserScan`
    Scan,
    /// A `sensor_msgs/PointCloud2`, e.g. of the robot's own lidar
    Cloud,
    /// A depth `sensor_msgs/Image`, through the ray network of the bundle
    Depth,
}

impl Default for Ros2Config {
    fn default() -> Self {
        Self {
            domain: 0,
            interface: String::new(),
            rays: RaySource::Scan,
            scan_topic: "scan".to_owned(),
            cloud_topic: "utlidar/cloud".to_owned(),
            image_topic: "camera/depth/image_rect_raw".to_owned(),
            camera_info_topic: "camera/depth/camera_info".to_owned(),
            odometry_topic: "odom".to_owned(),
            goal_topic: "goal_pose".to_owned(),
            point_topic: "clicked_point".to_owned(),
            goal_s: 9.0,
            world_frame: "odom".to_owned(),
            base_frame: "base_link".to_owned(),
            publish_tf: true,
            release_sport_mode: true,
            lidar: LidarConfig::default(),
        }
    }
}

impl Ros2Config {
    /// Domain and interface.
    pub fn network(&self) -> Network {
        let interface = &self.interface;
        Network {
            domain: self.domain,
            interface: (!interface.is_empty()).then(|| interface.clone()),
        }
    }
}
