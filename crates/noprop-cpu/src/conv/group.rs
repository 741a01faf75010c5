//! Groups of output pixels: all pixels of a group share one matrix product.

use core::ops::Range;
use std::collections::BTreeMap;

/// A convolution along one axis.
pub(super) struct Axis {
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    /// The number of output pixels.
    pub output: usize,
}

impl Axis {
    /// The axis; `None` when the kernel is larger than the padded image.
    pub fn new(size: usize, kernel: usize, stride: usize, padding: usize) -> Option<Self> {
        Some(Self {
            size,
            kernel,
            stride,
            padding,
            output: (size + 2 * padding).checked_sub(kernel)? / stride + 1,
        })
    }

    fn padded(&self) -> usize {
        self.size + 2 * self.padding
    }

    /// The kernel taps that meet the image, not its padding, at output pixel `pixel`.
    fn taps(&self, pixel: usize) -> Range<usize> {
        let window = pixel * self.stride;
        let first = self.padding.saturating_sub(window);
        let end = (self.padding + self.size).saturating_sub(window);
        first..end.min(self.kernel).max(first)
    }

    /// The kernel taps that meet the image at one output pixel at least.
    fn all_taps(&self) -> Range<usize> {
        let ranges = (0..self.output).map(|pixel| self.taps(pixel));
        let union = |a: Range<usize>, b: Range<usize>| a.start.min(b.start)..a.end.max(b.end);
        ranges
            .filter(|taps| !taps.is_empty())
            .reduce(union)
            .unwrap_or(0..0)
    }
}

/// A group of output pixels, with the kernel taps through which each of them sees the image.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub taps: Vec<Tap>,
    /// The indices of the pixels in the output image.
    pub pixels: Vec<usize>,
    /// The index in a padded image at which the window of each pixel begins.
    pub windows: Vec<usize>,
    /// The number of windows that begin side by side, row after row: all windows of `windows` lie in runs of this
    /// length.
    pub run: usize,
}

/// One tap (place) of the kernel.
#[derive(Debug, Clone)]
pub(super) struct Tap {
    /// The index of the tap in the kernel.
    pub index: usize,
    /// The distance of the tap from the beginning of the window, in pixels of a padded image.
    pub offset: usize,
}

impl Group {
    fn new(
        vertical: &Axis,
        horizontal: &Axis,
        [rows, columns]: [Range<usize>; 2],
        pixels: Vec<usize>,
    ) -> Self {
        let taps = rows.flat_map(|i| columns.clone().map(move |j| (i, j)));
        let taps = taps.map(|(i, j)| Tap {
            index: i * horizontal.kernel + j,
            offset: i * horizontal.padded() + j,
        });
        let window = |pixel: &usize| {
            let (y, x) = (pixel / horizontal.output, pixel % horizontal.output);
            y * vertical.stride * horizontal.padded() + x * horizontal.stride
        };
        let windows: Vec<usize> = pixels.iter().map(window).collect();
        Self {
            taps: taps.collect(),
            run: run(&windows, horizontal.output),
            windows,
            pixels,
        }
    }

    /// Whether this group has all of the `pixels` output pixels, in their order.
    pub fn is_whole(&self, pixels: usize) -> bool {
        self.pixels.len() == pixels
    }

    /// The number of values of X for one channel of one image.
    pub fn len(&self) -> usize {
        self.taps.len() * self.pixels.len()
    }
}

/// `width` if the windows lie side by side in rows of this width, otherwise 1.
fn run(windows: &[usize], width: usize) -> usize {
    let rows = windows.chunks(width);
    let is_run = |row: &[usize]| row.len() == width && row.windows(2).all(|w| w[0] + 1 == w[1]);
    if rows.into_iter().all(is_run) {
        width
    } else {
        1
    }
}

/// The groups of a convolution: one group of all pixels, or one for each set of taps where this saves at least
/// half of the multiplications. It is `None` when the kernel meets only padding. On 4×4 pixels, where a third
/// would be saved, nine small products were measured to take as long as the large one.
pub(super) fn groups_of(vertical: &Axis, horizontal: &Axis) -> Option<Vec<Group>> {
    let group = |taps, pixels| Group::new(vertical, horizontal, taps, pixels);
    let pixels = 0..vertical.output * horizontal.output;
    let whole = group(
        [vertical.all_taps(), horizontal.all_taps()],
        pixels.clone().collect(),
    );

    let mut by_taps: BTreeMap<[usize; 4], Vec<usize>> = BTreeMap::new();
    for pixel in pixels {
        let rows = vertical.taps(pixel / horizontal.output);
        let columns = horizontal.taps(pixel % horizontal.output);
        let key = [rows.start, rows.end, columns.start, columns.end];
        by_taps.entry(key).or_default().push(pixel);
    }
    let parts: Vec<Group> = by_taps
        .into_iter()
        .map(|([top, bottom, left, right], pixels)| group([top..bottom, left..right], pixels))
        // The output at a pixel that sees only padding is zero.
        .filter(|part| !part.taps.is_empty())
        .collect();

    if whole.taps.is_empty() {
        return None;
    }
    let needed: usize = parts.iter().map(Group::len).sum();
    Some(if 2 * needed <= whole.len() {
        parts
    } else {
        vec![whole]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(size: usize, kernel: usize, stride: usize, padding: usize) -> Vec<(usize, usize)> {
        let axis = || Axis::new(size, kernel, stride, padding).expect("the kernel fits");
        let groups = groups_of(&axis(), &axis()).expect("not only padding");
        groups
            .iter()
            .map(|g| (g.taps.len(), g.pixels.len()))
            .collect()
    }

    #[test]
    fn small_images_have_a_group_for_each_set_of_taps() {
        // Each of the four output pixels sees all four input pixels, through other taps.
        assert_eq!(groups(2, 3, 1, 1), [(4, 1); 4]);
        assert_eq!(groups(1, 3, 1, 1), [(1, 1)]);
    }

    #[test]
    fn where_little_is_saved_one_product_serves() {
        // Corners see 4, edges 6 and the middle 9 pixels: of 144 products 100 are left.
        assert_eq!(groups(4, 3, 1, 1), [(9, 16)]);
        assert_eq!(groups(8, 3, 1, 1), [(9, 64)]);
        assert_eq!(groups(28, 7, 2, 3), [(49, 196)]);
        assert_eq!(groups(4, 1, 1, 0), [(1, 16)]);
    }
}
