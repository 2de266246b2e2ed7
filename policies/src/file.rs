//! Files that are whole or not there when written, and of bounded size when read.

pub use robots::{
    atomic_file::{folder_of, temporary_beside, write_atomic},
    bounded_file::{MAX_DATA_BYTES, MAX_TEXT_BYTES, read_bytes, read_text},
};
