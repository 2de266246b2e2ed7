//! Messages for displays and diagnostics.

use super::{
    message,
    standard::{Header, Point, Pose, Quaternion, Vector3},
};

message! {
    #[derive(Copy, Default)]
    "builtin_interfaces" "Duration" Duration {
        sec: i32,
        nanosec: u32,
    }
    #[derive(Copy, Default)]
    "std_msgs" "ColorRGBA" ColorRgba {
        r: f32,
        g: f32,
        b: f32,
        a: f32,
    }
    "geometry_msgs" "Transform" Transform {
        translation: Vector3,
        rotation: Quaternion,
    }
    "geometry_msgs" "TransformStamped" TransformStamped {
        header: Header,
        child_frame_id: String,
        transform: Transform,
    }
    "tf2_msgs" "TFMessage" TfMessage {
        transforms: Vec<TransformStamped>,
    }
    "diagnostic_msgs" "KeyValue" KeyValue {
        key: String,
        value: String,
    }
    /// Level 0: ok, 1: warning, 2: error.
    "diagnostic_msgs" "DiagnosticStatus" DiagnosticStatus {
        level: u8,
        name: String,
        message: String,
        hardware_id: String,
        values: Vec<KeyValue>,
    }
    "diagnostic_msgs" "DiagnosticArray" DiagnosticArray {
        header: Header,
        status: Vec<DiagnosticStatus>,
    }
    #[derive(Default)]
    "sensor_msgs" "CompressedImage" CompressedImage {
        header: Header,
        format: String,
        data: Vec<u8>,
    }
    #[derive(Copy)]
    "visualization_msgs" "UVCoordinate" UvCoordinate {
        u: f32,
        v: f32,
    }
    #[derive(Default)]
    "visualization_msgs" "MeshFile" MeshFile {
        filename: String,
        data: Vec<u8>,
    }
    /// As in ROS 2 Humble and later.
    #[derive(Default)]
    "visualization_msgs" "Marker" Marker {
        header: Header,
        ns: String,
        id: i32,
        r#type: i32,
        action: i32,
        pose: Pose,
        scale: Vector3,
        color: ColorRgba,
        lifetime: Duration,
        frame_locked: bool,
        points: Vec<Point>,
        colors: Vec<ColorRgba>,
        texture_resource: String,
        texture: CompressedImage,
        uv_coordinates: Vec<UvCoordinate>,
        text: String,
        mesh_resource: String,
        mesh_file: MeshFile,
        mesh_use_embedded_materials: bool,
    }
    "visualization_msgs" "MarkerArray" MarkerArray {
        markers: Vec<Marker>,
    }
}
