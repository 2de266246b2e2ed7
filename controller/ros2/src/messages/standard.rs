//! Messages of ROS 2 that are received, and their parts.

use serde_big_array::BigArray;

use super::message;

message! {
    #[derive(Copy, Default)]
    "builtin_interfaces" "Time" Time {
        sec: i32,
        nanosec: u32,
    }
    #[derive(Default)]
    "std_msgs" "Header" Header {
        stamp: Time,
        frame_id: String,
    }
    "std_msgs" "String" Text {
        data: String,
    }
    "std_msgs" "Float32" Float32 {
        data: f32,
    }
    #[derive(Copy, Default)]
    "geometry_msgs" "Point" Point {
        x: f64,
        y: f64,
        z: f64,
    }
    #[derive(Copy, Default)]
    "geometry_msgs" "Vector3" Vector3 {
        x: f64,
        y: f64,
        z: f64,
    }
    #[derive(Copy)]
    "geometry_msgs" "Quaternion" Quaternion {
        x: f64,
        y: f64,
        z: f64,
        w: f64,
    }
    #[derive(Copy, Default)]
    "geometry_msgs" "Pose" Pose {
        position: Point,
        orientation: Quaternion,
    }
    "geometry_msgs" "PoseStamped" PoseStamped {
        header: Header,
        pose: Pose,
    }
    "geometry_msgs" "PoseWithCovariance" PoseWithCovariance {
        pose: Pose,
        #[serde(with = "BigArray")]
        covariance: [f64; 36],
    }
    #[derive(Copy, Default)]
    "geometry_msgs" "Twist" Twist {
        linear: Vector3,
        angular: Vector3,
    }
    "geometry_msgs" "PointStamped" PointStamped {
        header: Header,
        point: Point,
    }
    "geometry_msgs" "TwistStamped" TwistStamped {
        header: Header,
        twist: Twist,
    }
    "geometry_msgs" "TwistWithCovariance" TwistWithCovariance {
        twist: Twist,
        #[serde(with = "BigArray")]
        covariance: [f64; 36],
    }
    /// The twist is in the child frame.
    "nav_msgs" "Odometry" Odometry {
        header: Header,
        child_frame_id: String,
        pose: PoseWithCovariance,
        twist: TwistWithCovariance,
    }
    /// Angles in rad from the x axis, counter-clockwise; ranges in m.
    "sensor_msgs" "LaserScan" LaserScan {
        header: Header,
        angle_min: f32,
        angle_max: f32,
        angle_increment: f32,
        time_increment: f32,
        scan_time: f32,
        range_min: f32,
        range_max: f32,
        ranges: Vec<f32>,
        intensities: Vec<f32>,
    }
    "sensor_msgs" "PointField" PointField {
        name: String,
        offset: u32,
        datatype: u8,
        count: u32,
    }
    "sensor_msgs" "PointCloud2" PointCloud2 {
        header: Header,
        height: u32,
        width: u32,
        fields: Vec<PointField>,
        is_bigendian: bool,
        point_step: u32,
        row_step: u32,
        data: Vec<u8>,
        is_dense: bool,
    }
    "sensor_msgs" "Image" Image {
        header: Header,
        height: u32,
        width: u32,
        encoding: String,
        is_bigendian: u8,
        step: u32,
        data: Vec<u8>,
    }
    #[derive(Copy, Default)]
    "sensor_msgs" "RegionOfInterest" RegionOfInterest {
        x_offset: u32,
        y_offset: u32,
        height: u32,
        width: u32,
        do_rectify: bool,
    }
    "sensor_msgs" "CameraInfo" CameraInfo {
        header: Header,
        height: u32,
        width: u32,
        distortion_model: String,
        d: Vec<f64>,
        k: [f64; 9],
        r: [f64; 9],
        p: [f64; 12],
        binning_x: u32,
        binning_y: u32,
        roi: RegionOfInterest,
    }
    "sensor_msgs" "JointState" JointState {
        header: Header,
        name: Vec<String>,
        position: Vec<f64>,
        velocity: Vec<f64>,
        effort: Vec<f64>,
    }
    "sensor_msgs" "Imu" Imu {
        header: Header,
        orientation: Quaternion,
        orientation_covariance: [f64; 9],
        angular_velocity: Vector3,
        angular_velocity_covariance: [f64; 9],
        linear_acceleration: Vector3,
        linear_acceleration_covariance: [f64; 9],
    }
}

impl Default for Quaternion {
    /// No rotation.
    fn default() -> Self {
        Self {
            x: 0.0,
            y: 0.0,
            z: 0.0,
            w: 1.0,
        }
    }
}

impl Time {
    /// From nanoseconds since the Unix epoch.
    pub fn from_nanos(nanos: u64) -> Self {
        Self {
            sec: i32::try_from(nanos / 1_000_000_000).unwrap_or(i32::MAX),
            nanosec: (nanos % 1_000_000_000) as u32,
        }
    }
}
