//! Tensors whose memory Rust reads and writes directly.

use tch::{Device, Kind, Tensor};

use super::elementwise::Bf16;

/// Rust's type for an element kind of torch. Any bit pattern is a value.
pub(crate) trait HostElement: Copy {
    const KIND: Kind;
}

impl HostElement for f32 {
    const KIND: Kind = Kind::Float;
}

impl HostElement for Bf16 {
    const KIND: Kind = Kind::BFloat16;
}

impl HostElement for i64 {
    const KIND: Kind = Kind::Int64;
}

/// The elements of a contiguous tensor in host memory.
pub(crate) fn elements<T: HostElement>(tensor: &Tensor) -> &[T] {
    check::<T>(tensor);
    // SAFETY: contiguous host memory of `numel` elements of this type, alive as long as the tensor is borrowed. Torch writes to it only inside
    // its calls, and the worker that owns the tensor makes none while it reads a slice.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// As `elements`, to write.
pub(crate) fn elements_mut<T: HostElement>(tensor: &mut Tensor) -> &mut [T] {
    check::<T>(tensor);
    // SAFETY: as in `elements`; views of the same memory belong to the same worker, which uses one slice at a time.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

fn check<T: HostElement>(tensor: &Tensor) {
    assert!(
        tensor.kind() == T::KIND && tensor.device() == Device::Cpu && tensor.is_contiguous(),
        "not a contiguous host tensor of {:?}: {tensor:?}",
        T::KIND
    );
}

/// Zeros in host memory.
pub(crate) fn zeros(shape: &[usize], kind: Kind) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    Tensor::zeros(shape, (kind, Device::Cpu))
}

/// The first `rows` rows.
pub(crate) fn head(tensor: &Tensor, rows: usize) -> Tensor {
    tensor.narrow(0, 0, rows as i64)
}
