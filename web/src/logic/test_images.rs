//! The bundled test images, the strip that shows some of them, and the names of their classes.

/// The number of images of each class in the strip.
const PER_CLASS: usize = 3;
/// The number of images in the strip that the bundled weights get wrong.
const HARD: usize = 10;

/// The test images of a dataset with their labels.
pub struct TestImages {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    names: Vec<String>,
    shape: [usize; 3],
    strip: Vec<StripImage>,
}

/// A test image that the strip shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StripImage {
    /// Index among the test images.
    pub index: usize,
    /// Index of the class.
    pub label: usize,
    /// Whether the bundled weights get the image wrong.
    pub hard: bool,
}

impl TestImages {
    /// Images `[n, c, h, w]` of `shape` `[c, h, w]` with their n labels and the names of the classes. The strip
    /// also shows images of `mistakes`, which the bundled weights get wrong.
    pub fn new(
        pixels: Vec<u8>,
        labels: Vec<u8>,
        names: Vec<String>,
        shape: [usize; 3],
        mistakes: &[usize],
    ) -> Self {
        let strip = strip(&labels, mistakes);
        Self {
            pixels,
            labels,
            names,
            shape,
            strip,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Pixels of image `index`, `[c, h, w]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The label of image `index`, and the name of this class.
    pub fn truth(&self, index: usize) -> Option<(usize, &str)> {
        let label = usize::from(*self.labels.get(index)?);
        Some((label, self.name(label)))
    }

    /// Name of class `label`.
    pub fn name(&self, label: usize) -> &str {
        self.names.get(label).map_or("", String::as_str)
    }

    /// The images of the strip, in their order.
    pub fn strip(&self) -> &[StripImage] {
        &self.strip
    }

    /// The test image that lies `by` places after image `index` in the strip. The strip wraps around at its ends. If it
    /// does not show `index`, places are counted from its first image.
    pub fn neighbour(&self, index: Option<usize>, by: i32) -> Option<usize> {
        let here = self
            .strip
            .iter()
            .position(|image| Some(image.index) == index)
            .unwrap_or(0);
        let count = i32::try_from(self.strip.len()).ok()?;
        let place = (here as i32 + by).checked_rem_euclid(count)?;
        Some(self.strip[place as usize].index)
    }
}

/// The strip over test images with `labels`, of which `mistakes` are the indices that the bundled weights get wrong:
/// the first images of each class in turn, then the first mistakes.
fn strip(labels: &[u8], mistakes: &[usize]) -> Vec<StripImage> {
    let shown = |index: usize, hard| StripImage {
        index,
        label: usize::from(labels[index]),
        hard,
    };
    let classes = labels.iter().max().map_or(0, |&last| usize::from(last) + 1);
    let mut strip = Vec::new();
    for turn in 0..PER_CLASS {
        for class in 0..classes {
            let easy = |&i: &usize| usize::from(labels[i]) == class && !mistakes.contains(&i);
            let of_class = (0..labels.len()).filter(easy).nth(turn);
            strip.extend(of_class.map(|index| shown(index, false)));
        }
    }
    let hard = mistakes.iter().filter(|&&i| i < labels.len()).take(HARD);
    strip.extend(hard.map(|&index| shown(index, true)));
    strip
}

/// A class name with its article: "a ship", "an airplane", "an 8".
pub fn with_article(name: &str) -> String {
    let first = name.chars().next().map(|c| c.to_ascii_lowercase());
    // Of the digits only the eight begins with a vowel when it is spoken.
    let vowel = matches!(first, Some('a' | 'e' | 'i' | 'o' | 'u' | '8'));
    format!("{} {name}", if vowel { "an" } else { "a" })
}

/// Whether a class name needs more room than a digit or two do.
pub fn is_word(name: &str) -> bool {
    name.chars().count() > 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strip_has_every_class_and_then_the_hard_ones() {
        let labels: Vec<u8> = (0..1000).map(|i| (i % 10) as u8).collect();
        let strip = strip(&labels, &[3, 500, 5000]);
        // Image 3 is hard, so class 3 begins with image 13.
        assert_eq!((strip[3].index, strip[3].label), (13, 3));
        assert_eq!(strip[10].index, 10);
        let hard: Vec<usize> = strip.iter().filter(|s| s.hard).map(|s| s.index).collect();
        assert_eq!(hard, [3, 500]);
        assert_eq!(strip.len(), 32);
    }

    #[test]
    fn there_may_be_few_images_or_none() {
        assert_eq!(strip(&[], &[0]), []);
        assert_eq!(strip(&[2, 2], &[]).len(), 2);
    }

    #[test]
    fn neighbours_go_around_the_ends_of_the_strip() {
        let of = |labels: Vec<u8>| {
            TestImages::new(vec![0; labels.len()], labels, Vec::new(), [1, 1, 1], &[])
        };
        // The strip shows the images 1, 0, 2.
        let images = of(vec![1, 0, 1]);
        assert_eq!(images.neighbour(Some(1), 1), Some(0));
        assert_eq!(images.neighbour(Some(1), -1), Some(2));
        assert_eq!(images.neighbour(Some(2), 1), Some(1));
        // For a drawing, places are counted from the first image of the strip.
        assert_eq!(images.neighbour(None, 1), Some(0));
        assert_eq!(of(Vec::new()).neighbour(None, 1), None);
    }

    #[test]
    fn articles_follow_the_sound() {
        let all = ["ship", "airplane", "Automobile", "8", "7"].map(with_article);
        assert_eq!(
            all,
            ["a ship", "an airplane", "an Automobile", "an 8", "a 7"]
        );
        assert_eq!(with_article(""), "a ");
    }

    #[test]
    fn words_are_longer_than_numbers() {
        assert!(is_word("cat") && !is_word("42") && !is_word("7"));
    }
}
