/// Convolutions that do not make a ray network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RayNetworkError {
    /// As many shapes as weights are needed.
    #[error("network has {convolutions} convolutions, but weights for {layers}")]
    Count {
        /// Shapes.
        convolutions: usize,
        /// Weight matrices.
        layers: usize,
    },
    /// A filter is larger than what it sees, or is nothing.
    #[error("convolution {layer} does not fit an input of {rows} x {columns}")]
    Geometry {
        /// Index of the convolution.
        layer: usize,
        /// Rows of its input.
        rows: usize,
        /// Columns of its input.
        columns: usize,
    },
    /// The weights have another size than the filters.
    #[error(
        "layers.{layer}.weight takes {found} inputs, must be {expected}: kernel times channels"
    )]
    Inputs {
        /// Index of the layer.
        layer: usize,
        /// Inputs of the weights.
        found: usize,
        /// Inputs that the filters have.
        expected: usize,
    },
    /// Inner channels that do not fill vector registers.
    #[error("layers.{layer} has {channels} channels, inner layers must have a multiple of 16")]
    Channels {
        /// Index of the layer.
        layer: usize,
        /// Its outputs.
        channels: usize,
    },
    /// The output is not one number per ray.
    #[error("network gives {found} numbers, must be {expected}, one per ray")]
    Outputs {
        /// Numbers that come out.
        found: usize,
        /// Number of rays.
        expected: usize,
    },
    /// A weight or bias is NaN or infinite.
    #[error("layers.{0} has a weight that is not finite")]
    NotFinite(usize),
}
