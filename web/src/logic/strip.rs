//! Which test images the strip shows: some of each class, then some that are hard.

/// Images of each class.
const PER_CLASS: usize = 3;
/// Images that the bundled weights get wrong.
const HARD: usize = 10;

/// An image of the strip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Its index among the test images.
    pub index: usize,
    /// Its label.
    pub label: usize,
    /// Whether the bundled weights get it wrong.
    pub hard: bool,
}

/// The strip over test images of these `labels`, of which `mistakes` are got wrong: the first of
/// each class in turn, then the first mistakes.
pub fn strip(labels: &[u8], mistakes: &[usize]) -> Vec<Shown> {
    let shown = |index: usize, hard| Shown {
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
}
