//! The bundled test images.

/// Test images with their labels.
pub struct Samples {
    /// `[n, c, h, w]`.
    pub images: Vec<u8>,
    /// n.
    pub labels: Vec<u8>,
    /// Names of the classes.
    pub names: Vec<String>,
    /// Channels, height, width.
    pub shape: [usize; 3],
}

impl Samples {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Pixels of image `index`, `[c, h, w]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.images[index * size..(index + 1) * size]
    }

    /// Label of image `index`, and its name.
    pub fn truth(&self, index: usize) -> Option<(usize, &str)> {
        let label = usize::from(*self.labels.get(index)?);
        Some((label, self.names.get(label).map_or("", String::as_str)))
    }
}
