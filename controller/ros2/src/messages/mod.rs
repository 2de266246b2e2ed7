//! ROS 2 messages and their wire format: plain CDR (XCDR1), little endian. Field names and order are those of the ROS
//! definitions; [`Message::schema`] follows from them.

mod motion_switcher;
mod standard;
mod status;
mod unitree;

use ros2_client::{MessageTypeName, dds::rustdds::serialization};
use serde::{Serialize, de::DeserializeOwned};

pub use motion_switcher::{
    Request, RequestHeader, RequestIdentity, RequestLease, RequestPolicy, Response, ResponseHeader,
    ResponseStatus,
};
pub use standard::*;
pub use status::{
    ColorRgba, CompressedImage, DiagnosticArray, DiagnosticStatus, Duration, KeyValue, Marker,
    MarkerArray, MeshFile, TfMessage, Transform, TransformStamped, UvCoordinate,
};
pub use unitree::{BmsCmd, BmsState, ImuState, LowCmd, LowState, MotorCmd, MotorState};

/// A type that may be a field of a message.
pub trait Field {
    /// Its name in a ROS definition, e.g. `float32[3]`.
    fn ros_name() -> String;
    /// Adds the definitions of the messages that it is made of, each once.
    fn add_definitions(definitions: &mut Vec<(String, String)>);
}

/// A ROS 2 message.
pub trait Message: Field + Serialize + DeserializeOwned + Clone + 'static {
    /// Package, e.g. `sensor_msgs`.
    const PACKAGE: &'static str;
    /// Name in the package, e.g. `LaserScan`.
    const NAME: &'static str;

    /// Type that DDS peers must have for the topic.
    fn type_name() -> MessageTypeName {
        MessageTypeName::new(Self::PACKAGE, Self::NAME)
    }

    /// Definition in the `ros2msg` format of MCAP: its own fields, then those of every message within.
    fn schema() -> String {
        let mut definitions = Vec::new();
        Self::add_definitions(&mut definitions);
        let mut text = String::new();
        for (index, (name, fields)) in definitions.iter().enumerate() {
            if index > 0 {
                text += &format!("{}\nMSG: {name}\n", "=".repeat(80));
            }
            text += fields;
        }
        text
    }

    /// Serialized, with the encapsulation header.
    fn to_cdr(&self) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0];
        // Writing to memory cannot fail, and every field has a CDR form.
        let written = serialization::to_writer::<_, byteorder::LittleEndian, _>(&mut bytes, self);
        debug_assert!(written.is_ok(), "{written:?}");
        bytes
    }

    /// From bytes with the encapsulation header of plain little-endian CDR; none if they are malformed.
    fn from_cdr(bytes: &[u8]) -> Option<Self> {
        let body = bytes.strip_prefix(&[0, 1])?.get(2..)?;
        let message = serialization::from_bytes::<Self, byteorder::LittleEndian>(body);
        message.ok().map(|(message, _)| message)
    }
}

macro_rules! primitive {
    ($($type:ty => $name:literal),*) => {$(
        impl Field for $type {
            fn ros_name() -> String {
                $name.to_owned()
            }
            fn add_definitions(_: &mut Vec<(String, String)>) {}
        }
    )*};
}
primitive!(bool => "bool", u8 => "uint8", i8 => "int8", u16 => "uint16", i16 => "int16", u32 => "uint32",
    i32 => "int32", u64 => "uint64", i64 => "int64", f32 => "float32", f64 => "float64", String => "string");

impl<T: Field, const N: usize> Field for [T; N] {
    fn ros_name() -> String {
        format!("{}[{N}]", T::ros_name())
    }
    fn add_definitions(definitions: &mut Vec<(String, String)>) {
        T::add_definitions(definitions);
    }
}

impl<T: Field> Field for Vec<T> {
    fn ros_name() -> String {
        T::ros_name() + "[]"
    }
    fn add_definitions(definitions: &mut Vec<(String, String)>) {
        T::add_definitions(definitions);
    }
}

/// Declares a message once, for the wire and for its schema. `name` and `package` are those of ROS.
macro_rules! message {
    ($($(#[$meta:meta])* $package:literal $name:literal $rust:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        #[doc = concat!("`", $package, "/", $name, "`")]
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[allow(missing_docs, reason = "the fields are those of the ROS definition")]
        pub struct $rust {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::messages::Field for $rust {
            fn ros_name() -> String {
                concat!($package, "/", $name).to_owned()
            }
            fn add_definitions(definitions: &mut Vec<(String, String)>) {
                if definitions.iter().any(|(name, _)| *name == Self::ros_name()) {
                    return;
                }
                let fields: &[(String, &str)] =
                    &[$((<$type>::ros_name(), stringify!($field)),)*];
                let line = |(name, field): &(String, &str)| {
                    format!("{name} {}\n", field.trim_start_matches("r#"))
                };
                definitions.push((Self::ros_name(), fields.iter().map(line).collect()));
                $(<$type>::add_definitions(definitions);)*
            }
        }

        impl $crate::messages::Message for $rust {
            const PACKAGE: &'static str = $package;
            const NAME: &'static str = $name;
        }
    )*};
}
pub(crate) use message;

#[cfg(test)]
mod tests;
