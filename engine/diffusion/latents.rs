//! Latents on the CPU: what samplers compute with.
//!
//! Latents are small (16,384 numbers at 512 x 512), so samplers compute with them here in plain f32. The results
//! are then identical on every device, and a recorded step is a plain value.

/// A batch of latent pictures, `[batch, channels, height, width]`, contiguous.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    pub shape: [usize; 4],
    pub data: Vec<f32>,
}

impl Latents {
    /// # Panics
    /// If `data` is not as long as `shape` says.
    pub fn new(shape: [usize; 4], data: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "latents of shape {shape:?}");
        Self { shape, data }
    }

    pub fn zeros(shape: [usize; 4]) -> Self {
        Self { shape, data: vec![0.0; shape.iter().product()] }
    }

    pub fn batch(&self) -> usize {
        self.shape[0]
    }

    /// The numbers of one picture of the batch, `[channels, height, width]`.
    pub fn picture(&self, index: usize) -> &[f32] {
        let len = self.data.len() / self.shape[0];
        &self.data[index * len..(index + 1) * len]
    }

    pub fn scale(mut self, by: f32) -> Self {
        self.data.iter_mut().for_each(|value| *value *= by);
        self
    }

    /// `self + by * other`, element by element.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn add_scaled(mut self, by: f32, other: &Self) -> Self {
        assert_eq!(self.shape, other.shape, "latents of one shape");
        self.data.iter_mut().zip(&other.data).for_each(|(a, b)| *a += by * b);
        self
    }

    /// `f(self, other)`, element by element.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn zip_with(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        assert_eq!(self.shape, other.shape, "latents of one shape");
        let data = self.data.iter().zip(&other.data).map(|(&a, &b)| f(a, b)).collect();
        Self { shape: self.shape, data }
    }

    pub fn root_mean_square(&self) -> f64 {
        let squares: f64 = self.data.iter().map(|&value| f64::from(value).powi(2)).sum();
        (squares / self.data.len() as f64).sqrt()
    }

    pub fn is_finite(&self) -> bool {
        self.data.iter().all(|value| value.is_finite())
    }

    pub fn is_finite_and_nonzero(&self) -> bool {
        are_finite_and_nonzero(&self.data)
    }
}

/// False for the output of a failing device or network: NaN, infinity, or only zeros (wgpu #9545).
pub fn are_finite_and_nonzero(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite()) && values.iter().any(|&value| value != 0.0)
}
